"""A workspace is brought back to what was captured of it: files, modes, deletions and index. HEAD and branches stay.

What is there and nobody keeps is refused to be overwritten, or by force committed first and held by a ref. Then files
are removed and written one by one, each whole or not at all, and the index comes last: whatever ends this on the way,
doing it again finishes it, and nothing is lost.
"""

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from expd.gitio.locate import Location
from expd.gitio.present import IndexChanging, Present, UsersWorkspace
from expd.gitio.refs import RefChange, change_ref
from expd.gitio.repository import EXECUTABLE, LINK, SUBMODULE, Repository, TreeFile
from expd.linux.durable import try_lock
from expd.linux.placing import TEMPORARY_PREFIX, ChangedMeanwhile, Directory, NewFile, Seen
from expd.prepare.capture import baseline_of
from expd.prepare.restoring import Captured, Files, left_alone, newer_files, newer_in_index
from expproto.vocabulary import Rev

RESTORED = "refs/expd/restored/"
"""Below it one ref, named by its rev, a restore that would have lost something: what was there before."""
_BEFORE = re.compile("expd: before the restore of ([0-9a-f]{40}) ([0-9a-f]{40})")
_CHANGED = "it was changed meanwhile and left as it is; other files may be restored already"
_AGAIN = "let it come to rest, then repeat the command: it goes on where it was"
_ATTRIBUTES = ".gitattributes"


class CannotRestore(Exception):
    """A workspace can't be brought back: `what`, at `path` if it is one file's fault, and what to do (`hint`)."""

    def __init__(self, what: str, path: str = "", hint: str = "") -> None:
        super().__init__(what, path)
        self.what = what
        self.path = path
        self.hint = hint


class NewerEdits(Exception):
    """The files at `paths` hold what nobody keeps; nothing was changed."""

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__(len(paths))
        self.paths = tuple(paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOrder:
    """What to bring back, by commits, and whether newer edits may be replaced.

    The tree of `workspace_rev` is the workspace, the parents of `stash_rev` are baseline and index; `result_rev` is
    what the entry's run made of it. `umask` is for what is written.
    """

    workspace_rev: Rev
    stash_rev: Rev
    result_rev: Rev | None
    umask: int
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """What was done: files written, removed and left alone; where HEAD is; and what keeps what was there before."""

    written: tuple[str, ...]
    removed: tuple[str, ...]
    left: tuple[str, ...]
    baseline_rev: Rev
    head_rev: Rev
    kept_rev: Rev | None


def restore(location: Location, order: RestoreOrder) -> Restoration:
    """Bring a workspace back; blocks. Raises CannotRestore, NewerEdits and what capturing raises."""
    with _alone_in(location):
        try:
            return _Restore(location, order).run()
        except ChangedMeanwhile as error:
            raise CannotRestore(_CHANGED, error.path, _AGAIN) from error
        except IndexChanging as error:
            raise CannotRestore(_CHANGED, "the index", _AGAIN) from error


@contextmanager
def _alone_in(location: Location) -> Iterator[None]:
    """Let one restore at a time write the work trees of a repository."""
    location.private_directory.mkdir(parents=True, exist_ok=True)
    lock = try_lock(location.private_directory / "restore.lock")
    if lock is None:
        raise CannotRestore("another restore of this repository is under way", hint="repeat it when that is through")
    try:
        yield
    finally:
        os.close(lock)


class _Restore:
    """One restore: what is to be replaced is looked at once, and must be the same when it is replaced."""

    def __init__(self, location: Location, order: RestoreOrder) -> None:
        self._order = order
        self._repository = Repository(location.opened_at)
        self._workspace = UsersWorkspace(self._repository)
        self._directory = Directory(location.workspace, order.umask)
        self._seen: dict[str, Seen] = {}
        self._directories: list[str] = []
        self._other_attributes = False

    def run(self) -> Restoration:
        head = self._check()
        baseline, index_commit = self._repository.parents_of(self._order.stash_rev)[:2]
        index_tree = self._repository.tree_of(index_commit)
        captured = self._read_capture(head, baseline, index_tree)
        present = self._workspace.read()
        write = self._find_unlike(captured, present)
        for path in captured.deleted:
            self._look_at_old(path)
        found = {path: file for path in self._seen if (file := self._workspace.store(path)) is not None}
        write = [path for path in write if found.get(path) != captured.files[path] or self._is_unlike(captured, path)]
        doomed = {path: file for path, file in found.items() if path in set(write) or path not in captured.files}
        newer = self._newer(captured, present, doomed)
        kept = self._keep(present, found, head) if newer else None
        removed = self._remove(path for path in doomed if path not in captured.files)
        self._write(write, captured)
        self._workspace.write_index(index_tree, present.index_tree)
        left = left_alone(captured, present.tracked, present.new, removed)
        return Restoration(
            written=tuple(write),
            removed=tuple(removed),
            left=tuple(path for path in left if not PurePosixPath(path).name.startswith(TEMPORARY_PREFIX)),
            baseline_rev=baseline,
            head_rev=head,
            kept_rev=kept,
        )

    def _check(self) -> Rev:
        head = baseline_of(self._repository)
        self._workspace.check_index_is_free()
        if (self._repository.setting("core.sparseCheckout") or "false").lower() in {"true", "1", "yes", "on"}:
            raise CannotRestore("a sparse checkout is not restored", hint="git sparse-checkout disable, then repeat it")
        return head

    def _read_capture(self, head: Rev, baseline: Rev, index_tree: Rev) -> Captured:
        trees = [self._repository.tree_of(head), self._repository.tree_of(self._order.stash_rev)]
        if self._order.result_rev is not None and self._repository.has_object(self._order.result_rev):
            trees.append(self._repository.tree_of(self._order.result_rev))
        made, made_index = self._made_by_restore()
        return Captured(
            files=self._files_of(self._order.workspace_rev),
            index=self._repository.files_of(index_tree),
            baseline=self._files_of(baseline),
            kept=[made, made_index, *map(self._repository.files_of, trees)],
            made=made,
        )

    def _made_by_restore(self) -> tuple[Files, Files]:
        """Give files and index that a restore made when it kept this; nothing for any other stash commit."""
        told = _BEFORE.fullmatch(self._repository.message_of(self._order.stash_rev))
        if told is None or not all(self._repository.has_object(Rev(rev)) for rev in told.groups()):
            return {}, {}
        workspace, stash = (Rev(rev) for rev in told.groups())
        if not self._repository.is_stash_commit(stash):
            return {}, {}
        return self._files_of(workspace), self._files_of(self._repository.parents_of(stash)[1])

    def _files_of(self, commit: Rev) -> Files:
        return self._repository.files_of(self._repository.tree_of(commit))

    # --- looking

    def _find_unlike(self, captured: Captured, present: Present) -> list[str]:
        """List the captured files that may not be as captured, and look at what is in their places.

        Attributes that differ may let other bytes stand for the same object, so that every file counts then.
        """
        wanted = {path: file for path, file in captured.files.items() if file.mode != SUBMODULE}
        unlike = [path for path, file in wanted.items() if present.tracked.get(path) != file]
        if any(PurePosixPath(path).name == _ATTRIBUTES for path in (*unlike, *captured.deleted)):
            unlike, self._other_attributes = list(wanted), True
        for path in unlike:
            self._look_at_place(path)
        return sorted(unlike)

    def _look_at_place(self, path: str) -> None:
        """Note what has to go for a file to be written: itself, a parent that is none, what a directory there holds."""
        for parent in reversed([above.as_posix() for above in PurePosixPath(path).parents][:-1]):
            seen = self._directory.look(parent)
            if seen is None:
                return
            if not seen.is_directory:
                self._note(parent, seen)
                return
        seen = self._directory.look(path)
        if seen is None:
            return
        if not seen.is_directory:
            self._note(path, seen)
            return
        self._directories.append(path)
        for below in self._directory.files_below(path):
            found = self._directory.look(below)
            assert found is not None
            if ".git" in below.split("/"):
                raise CannotRestore("a repository stands in the place of a file", path, "move it away, then repeat it")
            self._note(below, found)

    def _look_at_old(self, path: str) -> None:
        """Note a file that was gone when it was captured and is there again."""
        seen = self._directory.look(path)
        if seen is not None and seen.is_file:
            self._note(path, seen)

    def _note(self, path: str, seen: Seen) -> None:
        if not seen.is_file:
            raise CannotRestore("neither a file nor a link: it can't be kept", path, "move it away, then repeat it")
        self._seen[path] = seen

    def _is_unlike(self, captured: Captured, path: str) -> bool:
        """Tell whether a file whose object is right has other bytes than a checkout would write."""
        file = captured.files[path]
        if file.mode == LINK or not self._other_attributes:
            return False
        return self._directory.read(path) != self._workspace.content_of(file, path, self._order.workspace_rev)

    # --- doing

    def _newer(self, captured: Captured, present: Present, doomed: Files) -> list[str]:
        """Name what would be lost; raises NewerEdits where that is not by force."""
        index = self._repository.files_of(present.index_tree)
        newer = {*newer_files(captured, doomed), *newer_in_index(captured, index, present.tracked, doomed)}
        if newer and not self._order.force:
            raise NewerEdits(sorted(newer))
        return sorted(newer)

    def _keep(self, present: Present, found: Files, head: Rev) -> Rev:
        """Hold what is there, in the shape of a stash; of new files those that the capture knows too."""
        repository, identity = self._repository, self._repository.identity(time.time())
        tree = repository.edit_tree(present.files_tree, found)
        index_commit = repository.write_commit(present.index_tree, [head], "Index stash", identity)
        message = f"expd: before the restore of {self._order.workspace_rev} {self._order.stash_rev}"
        kept = repository.write_commit(tree, [head, index_commit], message, identity)
        change_ref(repository, RefChange(ref=f"{RESTORED}{kept}", new=kept, force=True))
        repository.check_present(head, [kept, index_commit])
        return kept

    def _remove(self, paths: Iterable[str]) -> list[str]:
        removed = sorted(paths)
        for path in removed:
            self._directory.remove(path, self._seen[path])
        for directory in self._directories:
            if self._directory.look(directory) is not None:
                self._directory.remove_directory(directory)
        return removed

    def _write(self, paths: Sequence[str], captured: Captured) -> None:
        for path in paths:
            file = captured.files[path]
            content = self._workspace.content_of(file, path, self._order.workspace_rev)
            self._directory.replace(path, NewFile(content=content, mode=self._mode_of(file)), self._seen.get(path))

    def _mode_of(self, file: TreeFile) -> int | None:
        if file.mode == LINK:
            return None
        return (0o777 if file.mode == EXECUTABLE else 0o666) & ~self._order.umask
