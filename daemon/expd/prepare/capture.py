"""The workspace and its points → stash commits held by one ref: objects only, nothing of the user's is written.

A stash commit has the shape `git stash` gives one: its tree is the workspace's (new files that Git does not ignore
among them), its parents are HEAD and a commit of the index, so that `git stash apply <rev>` brings it back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from expd.gitio.errors import LeavesTree
from expd.gitio.links import follow_links
from expd.gitio.refs import ENTRIES, RefChange, change_ref, read_ref
from expd.gitio.repository import EXECUTABLE, REGULAR, Identity, Repository, TreeFile
from expd.gitio.workspace import Choose, operation_in_progress, read_workspace, take_all
from expd.prepare.overrides.apply import edit
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import DEFAULT_FILE
from expd.prepare.overrides.sweeps import Point
from expproto.vocabulary import Rev


class NoCommit(Exception):
    """The repository has no commit yet: there is no baseline."""


class UnfinishedMerge(Exception):
    """A merge, rebase or the like is not finished: `operation`."""

    def __init__(self, operation: str) -> None:
        super().__init__(operation)
        self.operation = operation


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
    """Store what the workspace holds; raises NoCommit, UnfinishedMerge, WorkspaceChanging and what `choose` raises."""
    baseline = baseline_of(repository)
    trees = read_workspace(repository, choose)
    return Capture(
        baseline_rev=baseline,
        index_tree=trees.index_tree,
        workspace_tree=trees.files_tree,
        files_tree=trees.files_tree,
        left_out=trees.left_out,
        unchosen=trees.unchosen,
    )


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
    index_commit = repository.write_commit(capture.index_tree, [baseline], "Index stash", identity)
    return [
        repository.write_commit(tree, [baseline, index_commit], f"dvc-exp:{baseline}:{baseline}:{name}", identity)
        for name, tree in trees
    ]


def hold(
    repository: Repository, request_id: str, capture: Capture, stash_revs: Sequence[Rev], identity: Identity
) -> None:
    """Keep stash commits from the garbage collector by one ref, however many they are; raises ObjectMissing.

    Where they are several, or hold overrides and so not what the workspace held, a keeper commit has them as parents
    and the workspace as its tree. Objects are looked for once more after the ref stands: a `git gc --prune=now`
    between the two may have taken them.
    """
    keeper = stash_revs[0]
    if len(stash_revs) > 1 or repository.tree_of(keeper) != capture.workspace_tree:
        message = f"expd: keeps {len(stash_revs)} stash commits and the workspace"
        keeper = repository.write_commit(capture.workspace_tree, stash_revs, message, identity)
    change_ref(repository, RefChange(ref=f"{ENTRIES}{request_id}", new=keeper, force=True))
    repository.check_present(capture.baseline_rev, [keeper, *stash_revs])


def captured_by(repository: Repository, request_id: str, stash_rev: Rev) -> Rev | None:
    """Give the commit whose tree is the workspace as it was submitted; None where `hold` holds it no more."""
    keeper = read_ref(repository, f"{ENTRIES}{request_id}")
    if keeper is None or not (keeper == stash_rev or stash_rev in repository.parents_of(keeper)):
        return None
    return keeper


def let_go(repository: Repository, request_id: str) -> None:
    """Give up what `hold` held: the submission was refused after all."""
    change_ref(repository, RefChange(ref=f"{ENTRIES}{request_id}", new=None, force=True))


def _path_in_tree(repository: Repository, tree: Rev, asked: PurePosixPath, text: str) -> str:
    try:
        return follow_links(repository, tree, asked)
    except LeavesTree as error:
        raise OverrideError(text=text, problem=f"{error.path} {error.what}") from None
