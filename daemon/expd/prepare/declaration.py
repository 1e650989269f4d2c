"""A command that declares what it reads and makes → a stage in the dvc.yaml of what was captured.

The stage is in the captured tree, so that whatever reads that tree later, DVC among it, finds an ordinary pipeline; the
user's workspace has no part in it. What an override sets counts as read, and so does params.yaml if nothing is said:
two points of a sweep must never be taken for one.
"""

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expd.gitio.repository import LINK, REGULAR, Repository, TreeFile
from expd.pipeline.addition import Addition, with_stage
from expd.pipeline.locations import is_within
from expd.pipeline.model import COMMAND_STAGE, DEFAULT_PARAMS_FILE, PROJECT_FILE, Commands, PipelineError
from expd.pipeline.projectfile import holds_pipeline, other_file
from expd.prepare.overrides.sweeps import Point
from expproto.requests import Declared
from expproto.vocabulary import Rev


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedIn:
    """Where a command was typed: absolute directories, and whether a params.yaml is captured there."""

    cwd: str
    workspace: str
    has_params: bool


def addition_of(declared: Declared, command: tuple[str, ...], points: Sequence[Point], typed_in: TypedIn) -> Addition:
    """Give the stage of a command."""

    def written(paths: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_as_seen_from(typed_in, path) for path in paths))

    return Addition(
        commands=_commands(command),
        deps=written(declared.deps),
        params=_params(declared.params, points, has_params=typed_in.has_params),
        cached=written(declared.outs),
        uncached=written(declared.outs_no_cache),
        metrics=written(declared.metrics),
        cached_plots=written(declared.plots),
        uncached_plots=written(declared.plots_no_cache),
        always_runs=not declared.deps,
    )


def makes_something(declared: Declared | None) -> bool:
    """Tell whether any output is declared; what only reads keeps every new file as its result, like any command."""
    if declared is None:
        return False
    return any((declared.outs, declared.outs_no_cache, declared.metrics, declared.plots, declared.plots_no_cache))


def _as_seen_from(typed_in: TypedIn, path: str) -> str:
    """Give a path in the form in which it means the same in any worktree; outside the repository it stays absolute."""
    normal = posixpath.normpath(path)
    is_inside = posixpath.isabs(normal) and is_within(normal, typed_in.workspace)
    return posixpath.relpath(normal, typed_in.cwd) if is_inside else normal


def _commands(command: tuple[str, ...]) -> Commands:
    """One word is a line for the shell, as `dvc stage add` has it; a line that has several is an item of a list."""
    line = command[0] if len(command) == 1 else shlex.join(command)
    return (line,) if len(line.splitlines()) > 1 else line


def _params(listed: Sequence[str], points: Sequence[Point], *, has_params: bool) -> dict[str, tuple[str, ...]]:
    """File → keys, none for the whole of it."""
    found: dict[str, tuple[str, ...]] = {}
    for text in listed:
        file, _, keys = text.rpartition(":")
        named = tuple(key for key in keys.split(",") if key)
        file = posixpath.normpath(file or DEFAULT_PARAMS_FILE)
        found[file] = () if not named or found.get(file) == () else tuple(dict.fromkeys((*found.get(file, ()), *named)))
    if not listed and has_params:
        found[DEFAULT_PARAMS_FILE] = ()
    for override in (override for point in points for override in point.overrides):
        if not _covers(found, posixpath.normpath(override.file), override.key):
            found[posixpath.normpath(override.file)] = ()
    return found


def _covers(params: Mapping[str, tuple[str, ...]], file: str, key: str) -> bool:
    keys = params.get(file)
    return keys is not None and (not keys or any(key == known or key.startswith(f"{known}.") for known in keys))


def with_command(repository: Repository, tree: Rev, directory: str, addition: Addition) -> Mapping[str, TreeFile]:
    """Store the dvc.yaml of a directory with the command as its stage COMMAND_STAGE; gives what changes in the tree.

    PipelineError for one that is there and can't be used.
    """
    path = posixpath.normpath(posixpath.join(directory, PROJECT_FILE))
    found = repository.file_at(tree, path)
    if found is not None and found.mode == LINK:
        raise PipelineError(path=path, expected="a file", hint="a stage can't be added to what a link leads to")
    toml = repository.read_file(tree, other_file(path))
    if toml is not None and holds_pipeline(toml.decode("utf-8", "replace"), other_file(path)):
        raise PipelineError(
            path=other_file(path),
            expected="no [pipeline] beside a command's outputs",
            hint="write the command into it as a stage",
        )
    text = "" if found is None else repository.read_blob(found.rev).decode("utf-8", "replace")
    content = with_stage(text, path, COMMAND_STAGE, addition)
    mode = REGULAR if found is None else found.mode
    return {path: TreeFile(rev=repository.write_blob(content.encode()), mode=mode)}
