"""What a submission would take along, and what it would leave out and why: nothing is queued, no ref is written."""

import stat
from dataclasses import dataclass, replace
from pathlib import Path

from expd.gitio.repository import Repository, again_if_disturbed
from expd.gitio.workspace import ignored_paths
from expd.pipeline.copies import files_below
from expd.prepare.capture import Capture
from expd.prepare.copied import check_copied
from expd.prepare.data import capture_data
from expd.prepare.newfiles import NewFileLimits, is_named
from expd.prepare.project import Project
from expd.prepare.submission import Wishes, capture_files, left_out_of
from expproto.requests import Explain


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedFile:
    """One path and its fate: `changed`, `new`, `deleted`, `data`, `submodule` or `copied`, else why it is left out; bytes if known."""

    path: str
    fate: str
    size: int | None


def explain(request: Explain, project: Project, limits: NewFileLimits) -> list[ExplainedFile]:
    """Capture as a submission would, and tell what differs from the baseline; raises what capturing raises."""
    cwd, workspace = Path(request.cwd).resolve(), project.location.workspace
    wishes = Wishes(cwd, request.include, check_copied(request.copy_paths, cwd, workspace))
    return again_if_disturbed(lambda: _explain_once(project, wishes, limits))


def _explain_once(project: Project, wishes: Wishes, limits: NewFileLimits) -> list[ExplainedFile]:
    repository = Repository(project.location.opened_at)
    capture = capture_files(repository, project, wishes, limits)
    fates = _taken(repository, capture, project)
    fates += [(path, "copied") for path in wishes.copied]
    fates += [(file.path, file.reason) for file in left_out_of(capture, wishes.copied)]
    ignored = (path for path in ignored_paths(repository) if not is_named(path.rstrip("/"), wishes.copied))
    fates += [(path, "ignored") for path in ignored]
    workspace = project.location.workspace
    return [ExplainedFile(path=path, fate=fate, size=_size(workspace, path, fate)) for path, fate in fates]


def _taken(repository: Repository, capture: Capture, project: Project) -> list[tuple[str, str]]:
    """Give what the captured tree has unlike the baseline; a `.dvc` file that names other data than it does is data."""
    baseline_tree = repository.tree_of(capture.baseline_rev)
    whole = replace(capture, files_tree=capture_data(repository, capture.files_tree, project))
    data = set(repository.changed_paths(capture.files_tree, whole.files_tree))
    fates = repository.differences(baseline_tree, whole.files_tree)
    fates |= dict.fromkeys(data & fates.keys(), "data")
    for submodule in capture.submodules:
        inner = Repository(submodule.git_directory)
        changes = inner.differences(inner.tree_of(submodule.head_rev), inner.tree_of(submodule.rev))
        fates |= {f"{submodule.path}/{path}": fate for path, fate in changes.items()}
    fates |= {submodule.path: "submodule" for submodule in capture.submodules}
    return sorted(fates.items())


def _size(workspace: Path, path: str, fate: str) -> int | None:
    """Measure a file, or all that a copied path stands for; None for what is gone or a directory that nobody enters."""
    try:
        if fate == "copied":
            return sum(status.st_size for _, status in files_below(workspace, path) if stat.S_ISREG(status.st_mode))
        status = (workspace / path).lstat()
    except OSError:
        return None
    return None if stat.S_ISDIR(status.st_mode) else status.st_size
