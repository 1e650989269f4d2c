"""Notes on commits, as `git notes --ref=expd` has them: one blob a commit, below a ref of their own.

A note lies at `<2>/<38>` in the notes' tree; Git itself may lay the tree otherwise when somebody edits notes by hand,
and reads every layout. Whatever else a tree holds stays.
"""

from collections.abc import Mapping

import pygit2
from pygit2.enums import FileMode

from expd.gitio.refs import RefChange, change_ref, read_ref
from expd.gitio.repository import Repository, git_errors
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


def write_notes(repository: Repository, notes: Mapping[Rev, bytes], at: float) -> None:
    """Set the notes on some commits, in one commit; nothing moves if all are there as they are.

    Raises RefLocked, RefMoved if somebody else wrote notes meanwhile, or GitFailed; doing it again is right.
    """
    handle = repository.handle
    before = read_ref(repository, NOTES_REF)
    with git_errors("notes can't be written"):
        old_tree = None if before is None else handle[before].peel(pygit2.Tree)
        tree = _set(handle, old_tree, {commit: handle.create_blob(content) for commit, content in notes.items()})
    if old_tree is not None and tree == old_tree.id:
        return
    parents = [] if before is None else [before]
    identity = repository.identity(at)
    commit = repository.write_commit(Rev(str(tree)), parents, f"Notes of {len(notes)} experiments\n", identity)
    change_ref(repository, RefChange(ref=NOTES_REF, new=commit, expected=before))


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


def _set(handle: pygit2.Repository, tree: pygit2.Tree | None, notes: Mapping[str, pygit2.Oid]) -> pygit2.Oid:
    """Write a tree with some notes set, each in the place it has or else in ours; untouched trees are not written anew."""
    builder = handle.TreeBuilder() if tree is None else handle.TreeBuilder(tree)
    deeper: dict[str, dict[str, pygit2.Oid]] = {}
    for rest, blob in notes.items():
        has_place = tree is not None and rest in tree
        if not has_place and (len(rest) == _REV_CHARACTERS or _tree_in(tree, rest[:2]) is not None):
            deeper.setdefault(rest[:2], {})[rest[2:]] = blob
        else:
            builder.insert(rest, blob, FileMode.BLOB)
    for name, inner in deeper.items():
        builder.insert(name, _set(handle, _tree_in(tree, name), inner), FileMode.TREE)
    return builder.write()


def _tree_in(tree: pygit2.Tree | None, name: str) -> pygit2.Tree | None:
    found = None if tree is None or name not in tree else tree[name]
    return found if isinstance(found, pygit2.Tree) else None
