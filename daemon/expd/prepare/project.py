"""Where a submission was made → which project it means: repository, DVC root, pipeline, cache. Reads, never writes."""

from dataclasses import dataclass
from pathlib import Path

from expd.gitio.locate import Location, locate
from expd.pipeline.config import cache_directory
from expd.pipeline.model import PIPELINE_FILES, PROJECT_FILE
from expd.pipeline.projectfile import holds_pipeline
from expd.pipeline.textfiles import read_text


class NothingToRun(Exception):
    """Neither a pipeline nor a command: `directory` is where one was looked for."""

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self.directory = directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What a submission is about. `root` and `directory` are relative to the workspace, `.` for itself.

    `root` is where DVC's paths start (the nearest `.dvc/`, else the workspace), `directory` holds the pipeline or
    is where the command was typed.
    """

    location: Location
    root: str
    directory: str
    cache: Path


def find_project(cwd: Path, *, command: tuple[str, ...] | None, is_pipeline_named: bool = False) -> Project:
    """Find the project of a directory; raises NotARepository, or NothingToRun without pipeline and command.

    The pipeline is the dvc.yaml or expd.toml of the directory itself, as DVC has it, or else the nearest one above inside the
    project: typed in `src/`, the project's experiment is meant. Where it `is_pipeline_named`, by a path or as all of
    them, it is the directory itself.
    """
    location = locate(cwd)
    here = cwd.resolve()
    above = [here, *(parent for parent in here.parents if parent.is_relative_to(location.workspace))]
    root = next((place for place in above if (place / ".dvc").is_dir()), location.workspace)
    is_here = command is not None or is_pipeline_named
    directory = here if is_here else _pipeline_directory(above, root)
    return Project(
        location=location,
        root=root.relative_to(location.workspace).as_posix(),
        directory=directory.relative_to(location.workspace).as_posix(),
        cache=cache_directory(root) if (root / ".dvc").is_dir() else location.private_directory / "cache",
    )


def _pipeline_directory(above: list[Path], root: Path) -> Path:
    for place in above:
        if place.is_relative_to(root) and any(_holds_pipeline(place / name) for name in PIPELINE_FILES):
            return place
    raise NothingToRun(str(above[0]))


def _holds_pipeline(file: Path) -> bool:
    return file.is_file() and (file.name == PROJECT_FILE or holds_pipeline(read_text(file), file.name))
