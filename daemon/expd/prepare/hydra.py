"""Where DVC's `hydra.enabled` is set, params.yaml is composed for each point, from the captured configuration.

The configuration is written out of the captured tree into a private directory, so that what was submitted is what is
composed. Code of the project (plugins, configuration modules) is not loaded into the daemon: where it is asked for, the
submission is refused.
"""

import json
import os
import posixpath
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from expd.gitio.errors import LeavesTree
from expd.gitio.links import follow_links
from expd.gitio.repository import LINK, SUBMODULE, Repository
from expd.pipeline.config import HydraSettings, read_config
from expd.pipeline.model import DEFAULT_PARAMS_FILE
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import DEFAULT_FILE, split_file
from expd.prepare.overrides.sweeps import Point
from expd.prepare.project import Project
from expproto.requests import Submit
from expproto.vocabulary import Rev

_COMPOSE_SECONDS = 300
"""A composition takes milliseconds a point; ten thousand points of a large configuration take a minute or two."""


def hydra_settings(request: Submit, project: Project) -> HydraSettings | None:
    """Give the settings if this submission's parameters are composed; raises OverrideError for those we can't serve."""
    if request.command is not None or request.no_hydra:
        return None
    settings = read_config(project.location.workspace / project.root).hydra
    if not settings.enabled:
        return None
    for name, value in (("config_module", settings.config_module), ("plugins_path", settings.plugins_path)):
        if value is not None:
            raise OverrideError(
                text=f"hydra.{name}",
                problem="code of the project is not loaded into the daemon",
                hint="keep the configuration in files (hydra.config_dir), or edit params.yaml in place with --no-hydra",
            )
    return settings


def params_path(project: Project) -> str:
    """Give the path in the tree of the file that is composed: beside the dvc.yaml that runs."""
    return posixpath.normpath(posixpath.join(project.directory, DEFAULT_PARAMS_FILE))


def compose_params(
    repository: Repository,
    tree: Rev,
    project: Project,
    settings: HydraSettings,
    *,
    points: Sequence[Point],
    environment: Mapping[str, str],
) -> list[bytes]:
    """Compose params.yaml for each point; blocks. Raises OverrideError with Hydra's own first line."""
    with tempfile.TemporaryDirectory(prefix="expd-hydra-") as directory:
        config_dir = _config_directory(repository, tree, project, settings, Path(directory))
        overrides = [hydra_overrides(point) for point in points]
        answers = _ask(
            {
                "config_dir": str(config_dir),
                "config_name": settings.config_name,
                "points": overrides,
                "environment": environment,
            }
        )
    for typed, composed in zip(overrides, answers, strict=True):
        if "error" in composed:
            problem = f"Hydra can't compose the parameters: {composed['error']}".replace(directory, "")
            raise OverrideError(text=" ".join(typed) or DEFAULT_PARAMS_FILE, problem=problem, hint=_HINT)
    return [composed["text"].encode() for composed in answers]


_HINT = "the configuration is that of the captured files; --no-hydra edits params.yaml in place"


def hydra_overrides(point: Point) -> list[str]:
    """Give the overrides of params.yaml as Hydra reads them: without the file."""
    own = [override.text for override in point.overrides if override.file == DEFAULT_FILE]
    return [split_file(text)[1] if text.startswith(f"{DEFAULT_FILE}:") else text for text in own]


def _config_directory(
    repository: Repository, tree: Rev, project: Project, settings: HydraSettings, private: Path
) -> Path:
    """Write the captured configuration out; one that lies outside the repository is used where it is."""
    if posixpath.isabs(settings.config_dir):
        return Path(settings.config_dir)
    inside = posixpath.normpath(posixpath.join(project.root, settings.config_dir))
    written = 0
    for path, content in _files_below(repository, tree, inside):
        target = private / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        written += 1
    if not written:
        problem = f"there is no configuration in {inside}/ of what would run"
        raise OverrideError(
            text="hydra.config_dir", problem=problem, hint="ignored files are not captured; or --no-hydra"
        )
    return private


def _files_below(repository: Repository, tree: Rev, directory: str) -> list[tuple[str, bytes]]:
    """Give the files below a directory of a tree, links replaced by what they lead to inside the tree."""
    files, found = repository.files_of(tree), dict[str, Rev]()
    for path, file in files.items():
        relative = posixpath.relpath(path, directory)
        if relative.startswith("../") or file.mode == SUBMODULE:
            continue
        if file.mode != LINK:
            found[relative] = file.rev
            continue
        try:
            behind = follow_links(repository, tree, PurePosixPath(path))
        except LeavesTree:
            continue
        for other, linked in files.items():
            if other == behind or other.startswith(f"{behind}/"):
                found[posixpath.normpath(posixpath.join(relative, posixpath.relpath(other, behind)))] = linked.rev
    return [(path, repository.read_blob(rev)) for path, rev in found.items()]


def _ask(request: Mapping[str, object]) -> list[dict[str, str]]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "expd.prepare.compose"],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=_COMPOSE_SECONDS,
            check=True,
            cwd="/",
            env=dict(os.environ),
        )
    except subprocess.TimeoutExpired:
        problem = f"the composition took longer than {_COMPOSE_SECONDS} s"
        raise OverrideError(text=DEFAULT_PARAMS_FILE, problem=problem, hint="submit it in parts") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        raise OverrideError(text=DEFAULT_PARAMS_FILE, problem=f"the composition ended early: {lines[-1]}") from None
    answers: list[dict[str, str]] = json.loads(done.stdout)
    return answers
