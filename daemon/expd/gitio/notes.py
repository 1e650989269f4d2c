"""Notes on commits, as `git notes --ref=expd` has them: one blob a commit, below a ref of their own.

A note lies at `<2>/<38>` in the notes' tree; Git itself may lay the tree otherwise when somebody edits notes by hand,
and reads every layout. Whatever else a tree holds stays.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pygit2

from expd.gitio.errors import ObjectMissing
from expd.gitio.locate import common_directory_of
from expd.gitio.loose import write_loose
from expd.gitio.packing import NewObject
from expd.gitio.refs import RefChange, change_ref, read_ref
from expd.gitio.repository import EMPTY_TREE, REGULAR, Repository, TreeFile, git_errors
from expproto.vocabulary import Rev

NOTES_REF = "refs/notes/expd"
_REV_CHARACTERS = 40
_LEVELS_MAX = 3
"""Directories of two digits above a note that are looked through: Git needs a third one from 16 million notes on."""


def read_note(repository: Repository, commit: Rev, bytes_max: int) -> bytes | None:
    """Read the note on a commit; None if there is none, or one larger than anything we write."""
    with git_errors(f"the note on {commit} can't be read"):
        notes = read_ref(repository, NOTES_REF)
        if notes is None:
            return None
        found = _find(repository.handle[notes].peel(pygit2.Tree), commit)
        return found.data if isinstance(found, pygit2.Blob) and found.size <= bytes_max else None


def write_notes(repository: Repository, notes: Mapping[Rev, bytes], at: float) -> Sequence[NewObject]:
    """Set the notes on some commits, in one commit; nothing moves if all are there as they are.

    Gives the objects that were written, for `restore_objects`: a `git gc --prune=now` that had looked at the refs before
    takes them all the same. Where nobody could restore them, the newest notes that can be read go on.
    Raises RefLocked, RefMoved if somebody else wrote notes meanwhile, or GitFailed; doing it again is right.
    """
    before = read_ref(repository, NOTES_REF)
    try:
        return _write_upon(repository, notes, at, before, before)
    except ObjectMissing:
        fresh = Repository(Path(repository.handle.path))  # this one may look into a pack that was replaced
        for parent in [before, *_earlier(fresh, before)]:
            with suppress(ObjectMissing):
                return _write_upon(fresh, notes, at, before, parent)
        return _write_upon(fresh, notes, at, before, None)


def _write_upon(
    repository: Repository, notes: Mapping[Rev, bytes], at: float, before: Rev | None, parent: Rev | None
) -> Sequence[NewObject]:
    """Add notes to those of a commit, and move the ref there from `before`."""
    old_tree = EMPTY_TREE if parent is None else repository.tree_of(parent)
    with git_errors("the notes can't be read"):
        places = {commit: _place(repository.handle, old_tree, commit) for commit in notes}
    with repository.together() as written:
        files = {
            places[commit]: TreeFile(rev=repository.write_blob(content), mode=REGULAR)
            for commit, content in notes.items()
        }
        tree = repository.edit_tree(old_tree, files)
        if tree == old_tree and parent == before:
            return ()
        message = f"Notes of {len(notes)} experiments\n"
        parents = [] if parent is None else [parent]
        commit = repository.write_commit(tree, parents, message, repository.identity(at))
    change_ref(repository, RefChange(ref=NOTES_REF, new=commit, expected=before))
    return tuple(written.values())


def _earlier(repository: Repository, before: Rev | None) -> Iterable[Rev]:
    """Give the commits of notes that the ref named before this one, by its log, newest first; a bare repository has no log."""
    if before is None:
        return []
    with git_errors("the log of the notes can't be read"):
        return [Rev(str(line.oid_new)) for line in repository.handle.references[NOTES_REF].log()]


def restore_objects(git_directory: Path, written: Sequence[NewObject]) -> int:
    """Write objects again that are not there any more; gives how many. They have their ref by now, so they stay."""
    repository = Repository(git_directory)
    lost = [new for new in written if not repository.has_object(Rev(new.id.hex()))]
    with git_errors("objects can't be written again"):
        write_loose(common_directory_of(git_directory) / "objects", lost)
    return len(lost)


def _find(tree: pygit2.Tree, commit: Rev) -> pygit2.Object | None:
    """Look a commit up in a tree of notes, whatever its layout."""
    rest: str = commit
    for _level in range(_LEVELS_MAX + 1):
        if rest in tree:
            return tree[rest]
        below = _tree_in(tree, rest[:2])
        if below is None:
            return None
        tree, rest = below, rest[2:]
    return None


def _place(handle: pygit2.Repository, notes: Rev, commit: Rev) -> str:
    """Give the path of a commit's note: the one it has, or else as deep as the directories that are there, and one deep at least."""
    tree = None if notes == EMPTY_TREE else handle[notes].peel(pygit2.Tree)
    path, rest = "", str(commit)
    while not (tree is not None and rest in tree):
        below = _tree_in(tree, rest[:2])
        if len(rest) < _REV_CHARACTERS and below is None:
            break
        tree, path, rest = below, f"{path}{rest[:2]}/", rest[2:]
    return path + rest


def _tree_in(tree: pygit2.Tree | None, name: str) -> pygit2.Tree | None:
    found = None if tree is None or name not in tree else tree[name]
    return found if isinstance(found, pygit2.Tree) else None
