"""One opened repository: objects read and written, trees edited in memory. Never the index file, HEAD or a reflog.

An instance belongs to the thread that opened it, for as long as one piece of work takes.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pygit2
from pygit2.enums import DeltaStatus, FileMode, RepositoryOpenFlag

from expd.gitio.errors import GitDisturbed, GitFailed, ObjectMissing
from expd.gitio.locate import common_directory_of
from expd.gitio.loose import write_loose
from expd.gitio.packing import Kind, NewObject, is_collecting, new_object, write_pack
from expd.gitio.trees import DIRECTORY, TreeEntry, edited, parse_tree
from expproto.vocabulary import Rev

EMPTY_TREE = Rev("4b825dc642cb6eb9a060e54bf8d69288fbee4904")
LINK, EXECUTABLE, REGULAR, SUBMODULE = FileMode.LINK, FileMode.BLOB_EXECUTABLE, FileMode.BLOB, FileMode.COMMIT


T = TypeVar("T")

_HANDLES_MAX = 10
"""Handles opened one after the other: a collection that disturbs each of them is no accident any more."""
_PACK_OBJECTS_MIN = 16
"""Fewer are written as loose objects: packs are looked through one after the other, so there should not be many."""
_SMALL_BYTES_MAX, _SMALL_BLOBS_MAX = 64 * 1024, 16
"""Parameter files and the like, which every point of a sweep reads again: a megabyte at most, for as long as a piece of work."""
_DIRECTORY_GONE = "No such file or directory"
"""libgit2 gives no code for it, only the system's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    """One file of a tree: the object and the Git mode (0o100644, 0o100755, 0o120000 or 0o160000)."""

    rev: Rev
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who commits, and when: seconds since the epoch."""

    name: str
    email: str
    at: float


@contextmanager
def git_errors(what: str) -> Iterator[None]:
    """Turn libgit2's exceptions into GitFailed, GitDisturbed or ObjectMissing, with the piece of work they broke."""
    try:
        yield
    except KeyError as error:
        raise ObjectMissing(f"{what}: {error}") from error
    except (pygit2.GitError, ValueError, OSError) as error:
        if _DIRECTORY_GONE in str(error):
            raise GitDisturbed(f"{what}: {error}") from error
        raise GitFailed(f"{what}: {error}") from error


def again_if_disturbed(work: Callable[[], T]) -> T:
    """Do a piece of work that opens its own handles, again if somebody else's Git disturbed it.

    libgit2 keeps looking into a pack that `git gc` has replaced; a handle opened afterwards finds the new one. And it
    writes an object as make directory, write, rename, while `git prune` removes directories that are empty between
    the first two. Raises GitDisturbed if it goes on.
    """
    for _try in range(_HANDLES_MAX - 1):
        try:
            return work()
        except GitDisturbed:
            continue
    return work()


class Repository:
    """A thin, typed face of pygit2.Repository. One whose work tree is gone, as a submodule's may be, opens as bare."""

    def __init__(self, git_directory: Path) -> None:
        with git_errors(f"can't open {git_directory}"):
            try:
                self.handle = pygit2.Repository(str(git_directory))
            except pygit2.GitError:
                self.handle = pygit2.Repository(str(git_directory), RepositoryOpenFlag.BARE)
        self.is_index_edited = False
        """Whether the index in memory may be another one than the file; whoever edits it says so."""
        self._config: pygit2.Config | None = None
        self._unwritten: dict[bytes, NewObject] | None = None
        self._trees: dict[bytes, bytes] = {}
        self._small_blobs: dict[Rev, bytes] = {}
        self._paths_of_trees = frozenset[str]()
        self._found_named: dict[tuple[bytes, frozenset[bytes]], tuple[bytes, ...]] = {}
        self.common_directory = common_directory_of(Path(self.handle.path))
        """What all work trees of the repository share (gitrepository-layout(5))."""
        self.objects_directory = self.common_directory / "objects"

    def head_rev(self) -> Rev | None:
        """Give the commit of HEAD, or None before the first one."""
        with git_errors("HEAD can't be read"):
            if self.handle.head_is_unborn:
                return None
            return Rev(str(self.handle.head.peel(pygit2.Commit).id))

    def head_name(self) -> str | None:
        """Give the branch of HEAD, None if it is detached."""
        with git_errors("HEAD can't be read"):
            return None if self.handle.head_is_detached else self.handle.head.shorthand

    def identity(self, at: float) -> Identity:
        """Give the configured user, or the account's where none is configured."""
        try:
            signature = self.handle.default_signature
        except (KeyError, pygit2.GitError):
            account = os.environ.get("USER") or f"uid{os.getuid()}"
            return Identity(name=account, email=f"{account}@{os.uname().nodename}", at=at)
        return Identity(name=signature.name, email=signature.email, at=at)

    def setting(self, key: str) -> str | None:
        """Give one value of the repository's configuration."""
        try:
            if self._config is None:  # opening it takes longer than a look
                self._config = self.handle.config
            return self._config[key]
        except (KeyError, pygit2.GitError):
            return None

    def holds(self, path: Path) -> bool:
        """Tell whether a path lies in the work tree."""
        return not self.handle.is_bare and path.resolve().is_relative_to(Path(self.handle.workdir).resolve())

    def has_object(self, rev: Rev) -> bool:
        """Tell whether an object is in the store, looking again at the disk before saying no."""
        with git_errors(f"object {rev} can't be read"):
            return rev in self.handle

    def resolve_commit(self, text: str) -> Rev | None:
        """Give the commit a revision string names (a rev, its beginning, a branch, a tag); None if there is none."""
        try:
            return Rev(str(self.handle.revparse_single(text).peel(pygit2.Commit).id))
        except (KeyError, pygit2.GitError, ValueError):
            return None

    def tree_of(self, commit: Rev) -> Rev:
        """Give the tree of a commit, also of one that is to be written."""
        if self._unwritten is not None and (new := self._unwritten.get(bytes.fromhex(commit))) is not None:
            return Rev(new.data[len(b"tree ") :][: len(EMPTY_TREE)].decode())
        with git_errors(f"commit {commit} can't be read"):
            return Rev(str(self._commit(commit).tree_id))

    def parents_of(self, commit: Rev) -> list[Rev]:
        """Give the parents of a commit, first one first."""
        with git_errors(f"commit {commit} can't be read"):
            return [Rev(str(parent)) for parent in self._commit(commit).parent_ids]

    def is_stash_commit(self, commit: Rev) -> bool:
        """Tell whether a commit has the shape of git-stash(1): beside HEAD, its parents are a commit of the index on it."""
        parents = self.parents_of(commit)
        return len(parents) in {2, 3} and self.parents_of(parents[1]) == parents[:1]

    def message_of(self, commit: Rev) -> str:
        """Give the message of a commit, what is not UTF-8 replaced."""
        with git_errors(f"commit {commit} can't be read"):
            return self._commit(commit).raw_message.decode("utf-8", "replace")

    def committed_at(self, commit: Rev) -> float:
        """Give the committer's time of a commit."""
        with git_errors(f"commit {commit} can't be read"):
            return float(self._commit(commit).commit_time)

    def file_at(self, tree: Rev, path: str) -> TreeFile | None:
        """Find one file (or submodule) in a tree; None if it is absent or a directory."""
        with git_errors(f"tree {tree} can't be read"):
            try:
                found = self._tree(tree)[path]
            except KeyError:
                return None
            if found.filemode == FileMode.TREE:
                return None
            return TreeFile(rev=Rev(str(found.id)), mode=int(found.filemode))

    def has_path(self, tree: Rev, path: str) -> bool:
        """Tell whether a tree holds a file or directory; `.` is the tree itself."""
        with git_errors(f"tree {tree} can't be read"):
            return path == "." or path in self._tree(tree)

    def read_file(self, tree: Rev, path: str) -> bytes | None:
        """Read one file of a tree; None if there is no such regular file."""
        found = self.file_at(tree, path)
        return None if found is None or found.mode == SUBMODULE else self.read_blob(found.rev)

    def read_blob(self, rev: Rev) -> bytes:
        """Read one blob whole, also one that is to be written; a small one that was read before is remembered."""
        if self._unwritten is not None and (new := self._unwritten.get(bytes.fromhex(rev))) is not None:
            return new.data
        if rev in self._small_blobs:
            return self._small_blobs[rev]
        with git_errors(f"blob {rev} can't be read"):
            blob = self.handle[rev]
            assert isinstance(blob, pygit2.Blob)
            data = blob.data
        if len(data) <= _SMALL_BYTES_MAX and len(self._small_blobs) < _SMALL_BLOBS_MAX:
            self._small_blobs[rev] = data
        return data

    def blob_size(self, rev: Rev) -> int:
        """Give a blob's size in bytes."""
        with git_errors(f"blob {rev} can't be read"):
            blob = self.handle[rev]
            assert isinstance(blob, pygit2.Blob)
            return blob.size

    def files_of(self, tree: Rev) -> dict[str, TreeFile]:
        """List every file below a tree, by its path; names that are not UTF-8 as os.fsdecode has them."""
        with git_errors(f"tree {tree} can't be read"):
            return dict(_walk(self.handle, self._tree(tree), b""))

    def paths_named(self, tree: Rev, names: frozenset[str]) -> list[str]:
        """List the files of a tree that have one of these names, in any directory; a directory looked through is remembered."""
        with git_errors(f"tree {tree} can't be read"):
            return [os.fsdecode(path) for path in self._named(bytes.fromhex(tree), frozenset(map(os.fsencode, names)))]

    def _named(self, tree: bytes, names: frozenset[bytes]) -> tuple[bytes, ...]:
        key = (tree, names)
        if key not in self._found_named:
            found = list[bytes]()
            for name, entry in parse_tree(self._read_tree(tree)).items():
                if entry.mode == DIRECTORY:
                    found += [name + b"/" + path for path in self._named(entry.id, names)]
                elif name in names:
                    found.append(name)
            self._found_named[key] = tuple(found)
        return self._found_named[key]

    def changed_paths(self, old_tree: Rev, new_tree: Rev) -> list[str]:
        """List the paths that two trees do not hold alike."""
        with git_errors(f"trees {old_tree} and {new_tree} can't be compared"):
            diff = self._tree(old_tree).diff_to_tree(self._tree(new_tree))
            return sorted({os.fsdecode(delta.new_file.raw_path) for delta in diff.deltas})

    def differences(self, old_tree: Rev, new_tree: Rev) -> dict[str, str]:
        """Tell of each path that two trees do not hold alike whether it is `new`, `deleted` or `changed`."""
        names = {DeltaStatus.ADDED: "new", DeltaStatus.DELETED: "deleted"}
        with git_errors(f"trees {old_tree} and {new_tree} can't be compared"):
            diff = self._tree(old_tree).diff_to_tree(self._tree(new_tree))
            return {os.fsdecode(item.new_file.raw_path): names.get(item.status, "changed") for item in diff.deltas}

    def file_differences(self, old_tree: Rev, new_tree: Rev) -> dict[str, TreeFile | None]:
        """Give each path that two trees do not hold alike with what the new one holds, None for nothing.

        Directories that are the same are not looked into.
        """
        with git_errors(f"trees {old_tree} and {new_tree} can't be compared"):
            deltas = list(self._tree(old_tree).diff_to_tree(self._tree(new_tree)).deltas)
        paths = [(os.fsdecode(delta.new_file.raw_path), delta) for delta in deltas]
        found: dict[str, TreeFile | None] = {path: None for path, delta in paths if delta.status == DeltaStatus.DELETED}
        for path, delta in paths:
            if delta.status != DeltaStatus.DELETED:  # what is of another type now is told as deleted and as added
                found[path] = TreeFile(rev=Rev(str(delta.new_file.id)), mode=int(delta.new_file.mode))
        return found

    def objects_added(self, old_tree: Rev, new_tree: Rev) -> list[Rev]:
        """List the blobs that a tree has and another lacks."""
        with git_errors(f"trees {old_tree} and {new_tree} can't be compared"):
            diff = self._tree(old_tree).diff_to_tree(self._tree(new_tree))
            files = [delta.new_file for delta in diff.deltas]
            return [Rev(str(file.id)) for file in files if file.mode not in {0, SUBMODULE}]

    def check_present(self, baseline: Rev, commits: Sequence[Rev]) -> None:
        """Raise ObjectMissing unless each commit, and what its tree adds to the baseline's, is in the store.

        GitFailed for an object whose file is empty: a power cut leaves such, and Git takes it for written.

        Asked by a handle that has not written them: beside `git gc` in a loop about one fresh object in ten thousand
        was gone the moment after libgit2 had reported it as written.
        """
        fresh = Repository(Path(self.handle.path))
        baseline_tree = fresh.tree_of(baseline)
        for commit in commits:
            added = fresh.objects_added(baseline_tree, fresh.tree_of(commit))
            if empty := next(filter(fresh.is_empty_file, added), None):
                raise GitFailed(f"the file of object {empty} is empty")
            if not all(fresh.has_object(rev) for rev in added):
                raise ObjectMissing(f"objects of {commit} are gone")

    def is_empty_file(self, rev: Rev) -> bool:
        """Tell whether an object is a loose one whose file has no byte, which no object is."""
        try:
            return (self.objects_directory / rev[:2] / rev[2:]).stat().st_size == 0
        except FileNotFoundError:
            return False

    @contextmanager
    def together(self) -> Iterator[Mapping[bytes, NewObject]]:
        """Keep what is written in here until the end, and write it then: as one pack, where it is much. Gives what is kept.

        Until then only `edit_tree`, `read_blob` and `tree_of` can read it. Nothing is written if the piece of work fails. While
        `git gc` is under way it is a pack in any case, marked so that the collection leaves it alone. In another such block it
        is written with all of that.
        """
        if self._unwritten is not None:
            yield self._unwritten
            return
        unwritten = self._unwritten = {}
        try:
            yield unwritten
        finally:
            self._unwritten = None
        with git_errors("objects can't be written"):
            new = list(unwritten.values())
            if new and is_collecting(self.common_directory):
                write_pack(self.objects_directory, new, is_kept=True)
            elif len(new) >= _PACK_OBJECTS_MIN:
                write_pack(self.objects_directory, new)
            else:
                write_loose(self.objects_directory, new)

    def write_blob(self, data: bytes) -> Rev:
        """Store bytes as a blob."""
        with git_errors("a blob can't be written"):
            return Rev(self._write("blob", data).hex())

    def edit_tree(self, tree: Rev, changes: Mapping[str, TreeFile | None]) -> Rev:
        """Make a tree with some files replaced, added or (None) removed; gives its rev."""
        with git_errors("a tree can't be written"):
            if not self._paths_of_trees.issuperset(changes):
                index = pygit2.Index()
                # It refuses what can be no path in a tree, such as `..` and `.git` in all its spellings.
                for path in changes:
                    index.add(pygit2.IndexEntry(path, pygit2.Oid(hex=EMPTY_TREE), FileMode.BLOB))
                self._paths_of_trees = frozenset(changes)
            entries = {
                path: None if file is None else TreeEntry(int(file.mode), bytes.fromhex(file.rev))
                for path, file in changes.items()
            }
            made = edited(bytes.fromhex(tree), entries, self._read_tree, lambda data: self._write("tree", data))
            return Rev((self._write("tree", b"") if made is None else made).hex())

    def write_commit(self, tree: Rev, parents: Sequence[Rev], message: str, identity: Identity) -> Rev:
        """Store a commit; no ref moves."""
        signature = pygit2.Signature(identity.name, identity.email, int(identity.at), 0)
        with git_errors("a commit can't be written"):
            if missing := next((rev for rev in (tree, *parents) if not self._is_known(rev)), None):
                raise ObjectMissing(f"a commit can't be written: {missing} is missing")
            return Rev(self._write("commit", _commit_bytes(tree, parents, message, signature)).hex())

    def _write(self, kind: Kind, data: bytes) -> bytes:
        """Store an object, or keep it for later; gives its id."""
        new = new_object(kind, data)
        if self._unwritten is None:
            write_loose(self.objects_directory, [new])
        else:
            self._unwritten[new.id] = new
        return new.id

    def _is_known(self, rev: Rev) -> bool:
        """Tell whether an object is there, or is to be written."""
        oid = bytes.fromhex(rev)
        return (self._unwritten is not None and oid in self._unwritten) or self.has_object(rev)

    def _read_tree(self, tree: bytes) -> bytes:
        """Give the bytes of a tree, also of one that is to be written; those read from the disk are kept."""
        if self._unwritten is not None and tree in self._unwritten:
            return self._unwritten[tree].data
        if tree not in self._trees:
            self._trees[tree] = b"" if tree.hex() == EMPTY_TREE else self.handle[pygit2.Oid(raw=tree)].read_raw()
        return self._trees[tree]

    def _commit(self, rev: Rev) -> pygit2.Commit:
        return self.handle[rev].peel(pygit2.Commit)

    def _tree(self, rev: Rev) -> pygit2.Tree:
        if rev == EMPTY_TREE and rev not in self.handle:
            self.handle.TreeBuilder().write()
        return self.handle[rev].peel(pygit2.Tree)


def _commit_bytes(tree: Rev, parents: Sequence[Rev], message: str, signature: pygit2.Signature) -> bytes:
    """Write a commit object as libgit2 does; format: git's Documentation/gitformat-commit."""
    who = b"%b <%b> %d +0000" % (signature.raw_name, signature.raw_email, signature.time)
    lines = [b"tree " + tree.encode(), *(b"parent " + parent.encode() for parent in parents)]
    return b"\n".join([*lines, b"author " + who, b"committer " + who, b"", message.encode()])


def _walk(handle: pygit2.Repository, tree: pygit2.Tree, prefix: bytes) -> Iterator[tuple[str, TreeFile]]:
    for item in tree:
        path = prefix + (item.raw_name or b"")
        if isinstance(item, pygit2.Tree):
            yield from _walk(handle, item, path + b"/")
        else:
            yield os.fsdecode(path), TreeFile(rev=Rev(str(item.id)), mode=int(item.filemode))
