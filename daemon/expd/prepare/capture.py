"""The workspace and its points → stash commits held by one ref: objects only, nothing of the user's is written.

A stash commit has the shape `git stash` gives one: its tree is the workspace's (new files that Git does not ignore
among them), its parents are HEAD and a commit of the index, so that `git stash apply <rev>` brings it back. A submodule
with edits in it has such a commit in its own repository, and the superproject's tree names that one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from expd.gitio.drivers import Drivers
from expd.gitio.errors import CannotCapture, GitDisturbed, GitFailed, LeavesTree
from expd.gitio.links import follow_links
from expd.gitio.promised import check_promised
from expd.gitio.refs import ENTRIES, RefChange, change_ref, names_below, put_ref, read_ref
from expd.gitio.repository import EXECUTABLE, REGULAR, Identity, Repository, TreeFile
from expd.gitio.submodules import gitlinks_of_index, is_checked_out, open_checked_out, submodules_of
from expd.gitio.workspace import (
    Choose,
    WorkspaceChanging,
    operation_in_progress,
    read_workspace,
    take_all,
)
from expd.prepare.overrides.apply import edit
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import DEFAULT_FILE
from expd.prepare.overrides.sweeps import Point
from expproto.vocabulary import Rev

_MEANWHILE = "expd: keeps both what is and what is to be"
"""How the message of a keeper begins that holds more than the entries have."""
_TAKINGS_MAX = 5
"""Captures begun before one is refused: HEAD, the index or a submodule was another one each time it was done."""


class NoCommit(Exception):
    """The repository has no commit yet: there is no baseline."""


class UnfinishedMerge(Exception):
    """A merge, rebase or the like is not finished: `operation`."""

    def __init__(self, operation: str) -> None:
        super().__init__(operation)
        self.operation = operation


class UnusableSubmodule(CannotCapture):
    """A submodule can't be captured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedSubmodule:
    """What a submodule held: `rev` is its HEAD, or a stash commit on top of it if there are edits."""

    path: str
    """From the superproject's root."""
    git_directory: Path
    head_rev: Rev
    rev: Rev


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A workspace of one moment, as trees; no commit yet."""

    baseline_rev: Rev
    index_tree: Rev
    workspace_tree: Rev
    """What `restore` gives back."""
    files_tree: Rev
    """The same until DVC's data is taken in: what runs, but for its overrides."""
    left_out: tuple[str, ...] = ()
    """What other repositories hold."""
    unchosen: tuple[str, ...] = ()
    """New files that were not wanted."""
    pointers: tuple[str, ...] = ()
    """What is a Git LFS pointer in the workspace too, its content being nowhere here."""
    submodules: tuple[CapturedSubmodule, ...] = ()
    """Those that are checked out, inner ones before the one they are in."""


def baseline_of(repository: Repository) -> Rev:
    """Give the commit that a capture would start from; raises NoCommit or UnfinishedMerge."""
    baseline = repository.head_rev()
    if baseline is None:
        raise NoCommit
    operation = operation_in_progress(repository)
    if operation is not None:
        raise UnfinishedMerge(operation)
    return baseline


def capture_workspace(repository: Repository, choose: Choose = take_all) -> Capture:
    """Store what the workspace holds, and each of its submodules.

    Raises NoCommit, UnfinishedMerge, UnusableSubmodule, WorkspaceChanging and what `choose` raises.
    """
    for _taking in range(_TAKINGS_MAX):
        taking = _Taking(choose)
        capture = taking.take(repository, "")
        if taking.is_still_so():
            return capture
    raise WorkspaceChanging("HEAD")


class _Taking:
    """One pass over a workspace and its submodules; afterwards all of them must still be what was read."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._new: set[str] = set()
        self._checks: list[Callable[[], bool]] = []

    def is_still_so(self) -> bool:
        """Tell whether no HEAD, index or file has changed since it was read."""
        return all(check() for check in self._checks)

    def take(self, repository: Repository, prefix: str) -> Capture:
        """Capture one repository whose work tree lies at `prefix`, after what lies in it."""
        baseline = baseline_of(repository)
        submodules: list[CapturedSubmodule] = []
        gitlinks, inner = dict[str, Rev](), list[Capture]()
        workspace = Path(repository.handle.workdir)
        for path in gitlinks_of_index(repository):
            if is_checked_out(workspace / path):
                captured, submodule = self._take_submodule(workspace / path, prefix + path)
                gitlinks[path] = submodule.rev
                inner.append(captured)
                submodules += [*captured.submodules, submodule]
        trees = read_workspace(repository, self._below(prefix), gitlinks)
        self._checks.append(lambda: _has_same_head(repository, baseline) and trees.has_same_index())
        if prefix:  # the superproject's files were looked at last, and nothing was left to do
            self._checks.append(trees.has_same_files)
        check_promised(repository, trees.files_tree)
        pointers = Drivers(repository).check(trees.files_tree, trees.attribute_files, workspace)
        return Capture(
            baseline_rev=baseline,
            index_tree=trees.index_tree,
            workspace_tree=trees.files_tree,
            files_tree=trees.files_tree,
            left_out=(*_prefixed(prefix, trees.left_out), *(path for each in inner for path in each.left_out)),
            unchosen=(*_prefixed(prefix, trees.unchosen), *(path for each in inner for path in each.unchosen)),
            pointers=(*_prefixed(prefix, pointers), *(path for each in inner for path in each.pointers)),
            submodules=tuple(submodules),
        )

    def _take_submodule(self, place: Path, path: str) -> tuple[Capture, CapturedSubmodule]:
        try:
            repository = open_checked_out(place)
            capture = self.take(repository, f"{path}/")
            return capture, CapturedSubmodule(
                path=path,
                git_directory=Path(repository.handle.path),
                head_rev=capture.baseline_rev,
                rev=_stash_submodule(repository, capture, path),
            )
        except NoCommit:
            raise UnusableSubmodule(path, "this submodule has no commit yet", "commit once in it") from None
        except UnfinishedMerge as error:
            what = f"a {error.operation} is in progress in this submodule"
            raise UnusableSubmodule(path, what, "finish it or give it up there, then submit again") from None
        except WorkspaceChanging as error:
            raise WorkspaceChanging(f"{path}/{error.path}") from None
        except GitDisturbed:
            raise
        except GitFailed as error:
            hint = f"`git -C {path} status` may tell more; `git submodule update --init {path}` makes it anew"
            raise UnusableSubmodule(path, f"this submodule can't be captured: {error.what}", hint) from None

    def _below(self, prefix: str) -> Choose:
        """Ask about the new files of one repository together with all that were found before: limits are for the whole."""

        def choose(paths: Sequence[str]) -> list[str]:
            self._new.update(prefix + path for path in paths)
            unwanted = set(self._choose(sorted(self._new)))
            return [path for path in paths if prefix + path in unwanted]

        return choose


def _has_same_head(repository: Repository, baseline: Rev) -> bool:
    """Look at HEAD, and whether a merge or the like has begun, with fresh eyes; the index is asked for itself."""
    fresh = Repository(Path(repository.handle.path))
    return fresh.head_rev() == baseline and fresh.handle.state() == repository.handle.state()


def _prefixed(prefix: str, paths: Sequence[str]) -> list[str]:
    return [prefix + path for path in paths]


def _stash_submodule(repository: Repository, capture: Capture, path: str) -> Rev:
    """Give the commit that holds what a submodule holds; the same files make the same commit, whenever it is made."""
    head = capture.baseline_rev
    head_tree = repository.tree_of(head)
    if capture.files_tree == head_tree == capture.index_tree:
        return head
    identity = repository.identity(repository.committed_at(head))
    index_commit = repository.write_commit(capture.index_tree, [head], "Index stash", identity)
    message = f"expd: submodule {path} as captured"
    return repository.write_commit(capture.files_tree, [head, index_commit], message, identity)


def point_tree(
    repository: Repository,
    capture: Capture,
    point: Point,
    directory: str,
    environment: Mapping[str, str],
    *,
    composed: tuple[str, bytes] | None = None,
) -> Rev:
    """Make the tree of one point: the captured one with its overrides in the parameter blobs; raises OverrideError.

    Override files are named relative to `directory`, where they were typed; `environment` is the submitter's, for
    interpolations that ask for it. `composed` is the path and content of a params.yaml that Hydra has made of the
    overrides that belong to it.
    """
    edited: dict[str, TreeFile] = {}
    if composed is not None:
        edited[composed[0]] = TreeFile(rev=repository.write_blob(composed[1]), mode=REGULAR)
    for file, overrides in point.by_file().items():
        if composed is not None and file == DEFAULT_FILE:
            continue
        path = _path_in_tree(repository, capture.files_tree, PurePosixPath(directory, file), overrides[0].text)
        found = edited.get(path) or repository.file_at(capture.files_tree, path)
        submodule = next((each.path for each in capture.submodules if path.startswith(f"{each.path}/")), None)
        if submodule is not None:
            raise OverrideError(
                text=overrides[0].text,
                problem=f"{path} lies in the submodule {submodule}, whose files are captured as they are",
                hint="edit the file there before you submit, or keep the parameters in the superproject",
            )
        if found is None or found.mode not in {REGULAR, EXECUTABLE}:
            raise OverrideError(
                text=overrides[0].text,
                problem=f"there is no file {path} in what would run",
                hint="name another file as FILE:KEY=VALUE, or create it; ignored files are not captured",
            )
        content = edit(file, repository.read_blob(found.rev), overrides, environment=environment)
        edited[path] = TreeFile(rev=repository.write_blob(content), mode=found.mode)
    return repository.edit_tree(capture.files_tree, edited) if edited else capture.files_tree


def stash_points(
    repository: Repository, capture: Capture, trees: Sequence[tuple[str, Rev]], identity: Identity
) -> list[Rev]:
    """Commit the tree of each named point as `git stash` would have; gives the revs in order."""
    baseline = capture.baseline_rev
    with repository.together():
        index_commit = repository.write_commit(capture.index_tree, [baseline], "Index stash", identity)
        return [
            repository.write_commit(tree, [baseline, index_commit], f"dvc-exp:{baseline}:{baseline}:{name}", identity)
            for name, tree in trees
        ]


def keeper_of(repository: Repository, capture: Capture, stash_revs: Sequence[Rev], identity: Identity) -> Rev:
    """Give the commit that stash commits are held by.

    Where they are several, or hold overrides and so not what the workspace held, it is one that has them as parents and
    the workspace as its tree.
    """
    if len(stash_revs) == 1 and repository.tree_of(stash_revs[0]) == capture.workspace_tree:
        return stash_revs[0]
    return repository.write_commit(capture.workspace_tree, stash_revs, _keeper_message(len(stash_revs)), identity)


def hold(repository: Repository, held_as: str, capture: Capture, stash_revs: Sequence[Rev], keeper: Rev) -> None:
    """Keep stash commits from the garbage collector by one ref, however many they are; raises ObjectMissing.

    What submodules held is kept by a ref of the same name in theirs. Objects are looked for once more after the ref
    stands: a `git gc --prune=now` between the two may have taken them.
    """
    _hold_submodules(capture, held_as)
    put_ref(repository, f"{ENTRIES}{held_as}", keeper)
    repository.check_present(capture.baseline_rev, [keeper, *stash_revs])


def hold_commit(repository: Repository, held_as: str, stash_rev: Rev) -> None:
    """Keep one stash commit once more, under a name of its own; raises GitFailed if it is gone."""
    workspace = None if repository.handle.is_bare else Path(repository.handle.workdir)
    for submodule in submodules_of(repository, repository.tree_of(stash_rev), workspace):
        put_ref(Repository(submodule.git_directory), f"{ENTRIES}{held_as}", submodule.rev)
    put_ref(repository, f"{ENTRIES}{held_as}", stash_rev)
    repository.check_present(repository.parents_of(stash_rev)[0], [stash_rev])


def hold_again(
    repository: Repository, held_as: str, captured_tree: Rev, stash_revs: Sequence[Rev], identity: Identity
) -> None:
    """Set the ref of a submission anew, so that it holds these commits, and the workspace where that is still there."""
    tree = _tree_to_keep(repository, captured_tree, stash_revs)
    keeper = stash_revs[0]
    if len(stash_revs) > 1 or tree != repository.tree_of(keeper):
        keeper = repository.write_commit(tree, stash_revs, _keeper_message(len(stash_revs)), identity)
    _put_keeper(repository, held_as, tree, keeper)


def hold_meanwhile(
    repository: Repository,
    held_as: str,
    captured_tree: Rev,
    identity: Identity,
    *,
    kept: Sequence[Rev],
    coming: Sequence[Rev],
) -> None:
    """Let the ref of a submission hold the stash commits that are `coming` beside those that are `kept`; raises ObjectMissing.

    `hold_again` follows once it is decided which. A ref that is such while nobody is at it was left by a kill.
    """
    together = list(dict.fromkeys((*kept, *coming)))
    tree = _tree_to_keep(repository, captured_tree, together)
    keeper = repository.write_commit(tree, together, f"{_MEANWHILE}: {len(together)} stash commits", identity)
    _put_keeper(repository, held_as, tree, keeper)
    repository.check_present(repository.parents_of(coming[0])[0], coming)


def is_held_meanwhile(repository: Repository, keeper: Rev) -> bool:
    """Tell whether a keeper is one of `hold_meanwhile`."""
    return repository.message_of(keeper).startswith(_MEANWHILE)


def _tree_to_keep(repository: Repository, captured_tree: Rev, stash_revs: Sequence[Rev]) -> Rev:
    return captured_tree if repository.has_object(captured_tree) else repository.tree_of(stash_revs[0])


def _put_keeper(repository: Repository, held_as: str, tree: Rev, keeper: Rev) -> None:
    workspace = None if repository.handle.is_bare else Path(repository.handle.workdir)
    for submodule in submodules_of(repository, tree, workspace):
        put_ref(Repository(submodule.git_directory), f"{ENTRIES}{held_as}", submodule.rev)
    put_ref(repository, f"{ENTRIES}{held_as}", keeper)


def _keeper_message(count: int) -> str:
    return f"expd: keeps {count} stash commits and the workspace"


def captured_by(repository: Repository, held_as: str, stash_rev: Rev) -> Rev | None:
    """Give the commit whose tree is the workspace as it was submitted; None where `hold` holds it no more."""
    keeper = read_ref(repository, f"{ENTRIES}{held_as}")
    if keeper is None or not (keeper == stash_rev or stash_rev in repository.parents_of(keeper)):
        return None
    return keeper


def let_go(repository: Repository, held_as: str) -> None:
    """Give up what `hold` held, if it holds anything."""
    ref = f"{ENTRIES}{held_as}"
    held = read_ref(repository, ref)
    if held is None:
        return
    workspace = None if repository.handle.is_bare else Path(repository.handle.workdir)
    for submodule in submodules_of(repository, repository.tree_of(held), workspace):
        change_ref(Repository(submodule.git_directory), RefChange(ref=ref, new=None, force=True))
    change_ref(repository, RefChange(ref=ref, new=None, force=True))


def held_below(repository: Repository, prefix: str) -> list[str]:
    """List under which names commits are held that begin with a prefix."""
    return names_below(repository, f"{ENTRIES}{prefix}", ENTRIES)


def _hold_submodules(capture: Capture, held_as: str) -> None:
    """Keep what was captured of each submodule in its own repository; raises ObjectMissing."""
    for submodule in capture.submodules:
        repository = Repository(submodule.git_directory)
        put_ref(repository, f"{ENTRIES}{held_as}", submodule.rev)
        repository.check_present(submodule.head_rev, [submodule.rev])


def _path_in_tree(repository: Repository, tree: Rev, asked: PurePosixPath, text: str) -> str:
    try:
        return follow_links(repository, tree, asked)
    except LeavesTree as error:
        raise OverrideError(text=text, problem=f"{error.path} {error.what}") from None
