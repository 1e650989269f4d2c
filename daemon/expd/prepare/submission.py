"""One Submit → what goes into the store: the project found, the workspace captured, the sweep expanded, names chosen.

Nothing is in the queue before the store has it; until then all there is are objects and one ref that a restart sweeps.
"""

import logging
import math
import os
import random
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from expd.gitio.damage import mend_empty_objects, with_damage
from expd.gitio.errors import GitFailed
from expd.gitio.refs import experiment_ref, read_ref, spellings_of
from expd.gitio.repository import Repository, again_if_disturbed
from expd.pipeline.model import COMMAND_STAGE, DEFAULT_PARAMS_FILE
from expd.pipeline.remotes import find_dvc
from expd.prepare.capture import Capture, baseline_of, capture_workspace, hold, keeper_of, point_tree, stash_points
from expd.prepare.checks import Beside, check_pipeline
from expd.prepare.copied import check_copied, store_copied
from expd.prepare.data import capture_data
from expd.prepare.declaration import TypedIn, addition_of, makes_something, with_command
from expd.prepare.declared import CapturedTree
from expd.prepare.hydra import compose_params, hydra_settings, params_path
from expd.prepare.names import UnusableName, check_name, filled, is_template, sweep_names, unique_name
from expd.prepare.newfiles import LeftOut, NewFileLimits, chooser, is_named
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.sweeps import Point
from expd.prepare.paths import UnusablePath, below_workspace
from expd.prepare.points import points_of
from expd.prepare.project import Project
from expd.prepare.source import capture_commit
from expproto.requests import Declared, Submit
from expproto.vocabulary import Mode, Rev

_journal = logging.getLogger("expd.prepare")

_EMPTY_NAMED = 5
"""Empty object files that a refusal names."""


class ExperimentExists(Exception):
    """`name` is an experiment of `baseline_rev` already; `as_held` is how that is spelled, where only its case differs."""

    def __init__(self, name: str, baseline_rev: Rev, as_held: str | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.baseline_rev = baseline_rev
        self.as_held = as_held


class SweepOutsideQueue(Exception):
    """A sweep of `count` points was asked to run at once: each point needs a place and an entry of its own."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPoint:
    """One entry to be: its name, its stash commit, and what its overrides set."""

    name: str
    stash_rev: Rev
    params: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A submission ready for the store."""

    baseline_rev: Rev
    captured_tree: Rev
    """The workspace without overrides."""
    captured_at: float
    """When the capture began."""
    points: tuple[PreparedPoint, ...]
    left_out: tuple[LeftOut, ...]
    copies: str | None
    """The listing of what is copied beside the capture."""
    targets: tuple[str, ...]
    as_stage: bool
    """Whether the command is a stage of the captured dvc.yaml, the one that `targets` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What preparation needs from outside: the time, chance, limits, and the names of the repository's living entries."""

    at: float
    rng: random.Random
    points_max: int
    new_files: NewFileLimits
    living_names: Container[str]
    held_as: str
    """The name under which the commits are held; empty where the caller holds them."""
    source: Rev | None = None
    """The commit to run instead of the workspace."""
    is_variant: bool = False
    """Whether the overrides come on top of those that the source was made with."""


def prepare(request: Submit, project: Project, circumstances: Circumstances) -> Prepared:
    """Prepare a submission; blocks. Every refusal is an exception of the room that found it, and leaves nothing."""
    has_groups = hydra_settings(request, project) is not None
    if has_groups and circumstances.is_variant:
        raise OverrideError(
            text=" ".join(request.overrides),
            problem="params.yaml is composed by Hydra, and which overrides it was composed with is not kept",
            hint="submit it anew with all of them: expctl submit --from ID -S … -S …",
        )
    points = points_of(request, circumstances.points_max, circumstances.rng, has_groups=has_groups)
    if len(points) > 1 and request.mode is not Mode.QUEUE:
        raise SweepOutsideQueue(len(points))
    try:
        return again_if_disturbed(lambda: _prepare_once(request, circumstances, project, points))
    except GitFailed as failed:
        removed = _remove_empty_objects(project, failed)
    try:
        return again_if_disturbed(lambda: _prepare_once(request, circumstances, project, points))
    except GitFailed as failed:
        empty = ", ".join(map(str, removed[:_EMPTY_NAMED]))
        raise GitFailed(
            f"{failed.what}; empty object files, as a power cut leaves them, were removed: {empty}"
        ) from failed


def _remove_empty_objects(project: Project, failed: GitFailed) -> tuple[Path, ...]:
    """Remove object files without a byte, so that what is captured is written anew; raises what failed if there are none."""
    mended = mend_empty_objects(Repository(project.location.opened_at))
    if not mended.removed:
        raise GitFailed(with_damage(failed.what, project.location.common_directory)) from failed
    for path in mended.removed:
        _journal.warning("the object file %s was empty, and is removed", path)
    return mended.removed


def _prepare_once(request: Submit, circumstances: Circumstances, project: Project, points: list[Point]) -> Prepared:
    repository = Repository(project.location.opened_at)
    cwd, workspace = Path(request.cwd).resolve(), project.location.workspace
    copied = check_copied(request.copy_paths, cwd, workspace)
    wishes = Wishes(cwd, request.include, copied, _made(request, cwd, workspace))
    names, capture = _take(request, circumstances, repository, project, points=points, wishes=wishes)
    left_out = left_out_of(capture, wishes.beside)
    secrets = [file.path for file in left_out if file.reason == "secret"]
    identity = repository.identity(circumstances.at)
    directory = cwd.relative_to(workspace).as_posix()
    environment = {os.fsdecode(name): os.fsdecode(value) for name, value in request.environment}
    if request.stage_options.pull:
        find_dvc(environment.get("PATH", ""))
    composed = _composed(request, repository, capture, project, points=points, environment=environment)
    with repository.together():
        trees = [
            (name, point_tree(repository, capture, point, directory, environment, composed=params))
            for name, point, params in zip(names, points, composed, strict=True)
        ]
    staged = _with_command(request, repository, capture, project, points=points, trees=trees)
    targets = request.targets if staged is None else (COMMAND_STAGE,)
    if request.command is None or staged is not None:
        checked = trees if staged is None else staged
        beside = Beside(copied=copied, secrets=secrets)
        check_pipeline(
            repository,
            checked[0][1],
            project,
            targets,
            options=request.stage_options,
            beside=beside,
            submodules=capture.submodules,
        )
    as_stage = staged is not None and makes_something(request.declared)
    trees = staged if staged is not None and as_stage else trees
    copies = None
    if request.preview:
        stash_revs = [capture.baseline_rev] * len(trees)
    else:
        copies = store_copied(copied, _captured_files(repository, capture) if copied else (), project)
        with repository.together():
            stash_revs = stash_points(repository, capture, trees, identity)
            keeper = keeper_of(repository, capture, stash_revs, identity) if circumstances.held_as else None
        if keeper is not None:
            hold(repository, circumstances.held_as, capture, stash_revs, keeper)
    return Prepared(
        baseline_rev=capture.baseline_rev,
        captured_tree=capture.workspace_tree,
        captured_at=circumstances.at,
        points=tuple(
            PreparedPoint(name=name, stash_rev=rev, params=_for_display(point.values()))
            for name, rev, point in zip(names, stash_revs, points, strict=True)
        ),
        left_out=left_out,
        copies=copies,
        targets=targets if as_stage else request.targets,
        as_stage=as_stage,
    )


def _take(
    request: Submit,
    circumstances: Circumstances,
    repository: Repository,
    project: Project,
    *,
    points: list[Point],
    wishes: "Wishes",
) -> tuple[list[str], Capture]:
    """Choose names, and capture the workspace with its data, or take the commit that stands for it."""
    if circumstances.source is not None:
        capture = capture_commit(repository, circumstances.source)
        return _choose_names(request, circumstances, repository, capture.baseline_rev, points), capture
    baseline = baseline_of(repository)
    names = _choose_names(request, circumstances, repository, baseline, points)
    capture = capture_files(repository, project, wishes, circumstances.new_files)
    if capture.baseline_rev != baseline:  # HEAD has moved since
        names = _choose_names(request, circumstances, repository, capture.baseline_rev, points)
    return names, replace(capture, files_tree=capture_data(repository, capture.files_tree, project))


def _captured_files(repository: Repository, capture: Capture) -> Collection[str]:
    return CapturedTree(repository, capture.files_tree, Path(), capture.submodules).files


def _made(request: Submit, cwd: Path, workspace: Path) -> tuple[str, ...]:
    """Give the outputs that go to the cache: what an earlier try left of them is not captured."""
    declared = request.declared or Declared()
    return below_workspace((*declared.outs, *declared.plots), cwd, workspace)


def _with_command(
    request: Submit,
    repository: Repository,
    capture: Capture,
    project: Project,
    *,
    points: list[Point],
    trees: list[tuple[str, Rev]],
) -> list[tuple[str, Rev]] | None:
    """Give the trees with the command as a stage of their dvc.yaml; None where nothing is declared of it."""
    if request.declared is None or request.command is None:
        return None
    workspace, directory = project.location.workspace, project.directory
    params = PurePosixPath(directory, DEFAULT_PARAMS_FILE).as_posix()
    typed_in = TypedIn(
        cwd=str(workspace / directory),
        workspace=str(workspace),
        has_params=repository.file_at(capture.files_tree, params) is not None,
    )
    addition = addition_of(request.declared, request.command, points, typed_in)
    changes = with_command(repository, capture.files_tree, directory, addition)
    with repository.together():
        return [(name, repository.edit_tree(tree, changes)) for name, tree in trees]


def _composed(
    request: Submit,
    repository: Repository,
    capture: Capture,
    project: Project,
    *,
    points: list[Point],
    environment: Mapping[str, str],
) -> Sequence[tuple[str, bytes] | None]:
    """Give path and content of params.yaml for each point, or None where it is edited in place."""
    settings = hydra_settings(request, project)
    if settings is None:
        return [None] * len(points)
    contents = compose_params(repository, capture.files_tree, project, settings, points=points, environment=environment)
    return [(params_path(project), content) for content in contents]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked of a capture: secrets to include, as typed in `cwd`, paths that are copied beside it, and paths
    that a run will make.
    """

    cwd: Path
    include: Sequence[str]
    copied: Sequence[str]
    made: Sequence[str] = ()

    @property
    def beside(self) -> tuple[str, ...]:
        """Give all that is not to be captured where it is new."""
        return (*self.copied, *self.made)


def capture_files(repository: Repository, project: Project, wishes: Wishes, limits: NewFileLimits) -> Capture:
    """Capture a project's workspace as asked; raises what capturing raises, and UnusablePath."""
    workspace = project.location.workspace
    included = below_workspace(wishes.include, wishes.cwd, workspace)
    capture = capture_workspace(repository, chooser(workspace, limits, included, wishes.beside))
    for typed, path in zip(wishes.include, included, strict=True):
        if not repository.has_path(capture.files_tree, path):
            raise UnusablePath(
                typed, "it is not there, or Git ignores it", "let .gitignore pass it, or copy it with -C"
            )
    return capture


def left_out_of(capture: Capture, copied: Sequence[str]) -> tuple[LeftOut, ...]:
    """Name what was neither captured nor is copied, and why."""
    found = [LeftOut(path=path, reason="secret") for path in capture.unchosen]
    found += [LeftOut(path=path, reason="repository") for path in capture.left_out]
    found += [LeftOut(path=path, reason="pointer") for path in capture.pointers]
    return tuple(file for file in found if not is_named(file.path.rstrip("/"), copied))


def _for_display(values: Mapping[str, object]) -> dict[str, object]:
    """Spell what JSON or the wire has no word for: not-a-number, the infinities, integers beyond 64 bits."""
    return {key: _displayed(value) for key, value in values.items()}


def _displayed(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, list | tuple):
        return [_displayed(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _displayed(item) for key, item in value.items()}
    return value


def _choose_names(
    request: Submit,
    circumstances: Circumstances,
    repository: Repository,
    baseline: Rev,
    points: list[Point],
) -> list[str]:
    """Give each point a name: the one asked for, `X-1 … X-N`, a filled template, or random ones nobody has."""

    def is_experiment(name: str) -> bool:
        return read_ref(repository, experiment_ref(baseline, name)) is not None

    if not request.name:
        living = circumstances.living_names
        return _random_names(circumstances.rng, len(points), lambda name: name in living or is_experiment(name))
    names = _asked_names(request.name, points)
    if len({name.lower() for name in names}) < len(names):
        problem = "two points of the sweep would have one name, or names that differ by case alone"
        raise UnusableName(name=request.name, problem=problem, hint="add {n} to it")
    check_free(repository, baseline, names, force=request.force)
    return names


def check_free(repository: Repository, baseline: Rev, names: Iterable[str], *, force: bool = False) -> None:
    """Raise ExperimentExists if an experiment of a baseline has one of these names; with `force`, one in another case."""
    spelled = spellings_of(repository, experiment_ref(baseline, ""))
    for name in names:
        if read_ref(repository, experiment_ref(baseline, name)) is None:
            twins = spelled.get(name.lower(), set()) - {name}
            if twins:
                raise ExperimentExists(name, baseline, min(twins))
        elif not force:
            raise ExperimentExists(name, baseline)


def _asked_names(name: str, points: list[Point]) -> list[str]:
    if is_template(name):
        return [filled(name, point.values(), point.number) for point in points]
    return [check_name(name)] if len(points) == 1 else sweep_names(name, len(points))


def _random_names(rng: random.Random, count: int, is_taken: Callable[[str], bool]) -> list[str]:
    names = list[str]()
    chosen = set[str]()
    for _point in range(count):
        name = unique_name(rng, lambda candidate: candidate in chosen or is_taken(candidate))
        chosen.add(name)
        names.append(name)
    return names
