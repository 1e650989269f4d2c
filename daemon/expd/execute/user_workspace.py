"""The user's workspace as the place of a run: what was captured must still be there, and the overrides are written into it.

HEAD and the index are not touched, before the run or after it. What the run makes stays, as with `dvc exp run`.
"""

import logging
import os
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from expd.collect.leftovers import left_path
from expd.execute.manifest import Manifest, numbered, row_of, stamp_of
from expd.execute.runlog import RunLog
from expd.execute.worktree import new_files, status_at, tracked_changes
from expd.gitio.errors import GitFailed
from expd.gitio.repository import EXECUTABLE, REGULAR, SUBMODULE, Repository, TreeFile, again_if_disturbed
from expd.gitio.slots import Slots
from expd.gitio.submodules import Submodule, is_checked_out, submodules_of
from expd.linux.placing import ChangedMeanwhile, Directory, NewFile
from expproto.vocabulary import Rev
from expproto.work import Execute

_journal = logging.getLogger("expd.execute")

_CLOCKS_SECONDS = 2.0
"""A file stamped so shortly before the capture is read again: the clock that stamps files lags behind the other."""


class WorkspaceMoved(GitFailed):
    """A file is not what was captured: somebody has edited it between the capture and the run."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} was edited after the workspace had been captured: run again to take it along")


class UserWorkspace:
    """The workspace that an order names; a Place."""

    def __init__(self, order: Execute) -> None:
        assert order.captured_tree is not None
        self.directory = Path(order.worktree)
        self._order = order
        self._captured_tree = order.captured_tree
        self._user_git = Path(order.git_directory)
        self._manifest: Manifest | None = None

    def prepare(self) -> Manifest:
        """Look that the workspace is what was captured, and write what the overrides change; raises WorkspaceMoved.

        Nothing is written unless all is well. Doing it again finds the overrides already written.
        """
        repository, stash_rev = Repository(self._user_git), self._order.stash_rev
        submodules = self._submodules(repository)
        slots = Slots(self.directory, repository, submodules)
        look = _Look(self.directory, repository, slots, self._order.captured_at)
        wanted = slots.files_of(stash_rev)
        overridden = repository.changed_paths(self._captured_tree, repository.tree_of(stash_rev))
        captured = {**wanted, **{path: repository.file_at(self._captured_tree, path) for path in overridden}}
        edited = [path for path, file in wanted.items() if look.is_to_be_written(path, captured[path], file)]
        read = slots.reader(stash_rev)
        for path in edited:
            content = read(wanted[path], path)
            self._write(path, content if isinstance(content, bytes) else content.read_bytes(), wanted[path])
        self._manifest = replace(look.manifest(wanted), submodules=submodules)
        return self._manifest

    def _submodules(self, repository: Repository) -> tuple[Submodule, ...]:
        """Find those that are checked out here; one that is not has no files to look at."""
        found = submodules_of(repository, repository.tree_of(self._order.stash_rev), self.directory)
        return tuple(
            replace(submodule, in_place=True) for submodule in found if is_checked_out(self.directory / submodule.path)
        )

    def bring_along(self, manifest: Manifest) -> frozenset[str]:
        """List the new files that were not captured, for a command whose result is every new file."""
        if self._order.command is None:
            return frozenset()
        slots = Slots(self.directory, Repository(self._user_git), manifest.submodules)
        return frozenset(new_files(self.directory, manifest, slots.is_ignored))

    def note_data(self, locations: Iterable[str]) -> None:
        """Leave it: in the workspace everything stays."""

    def give_up(self, log: RunLog) -> None:
        """Leave everything as the run left it, as DVC does, and note what that is: `restore` then knows it from edits."""
        manifest = self._manifest
        if manifest is None:
            return
        entry = self._order.entry
        log.note(
            f"expd: the workspace is as the run left it; `expctl restore {entry}` brings back what was there before"
        )
        try:
            rev = again_if_disturbed(lambda: self._commit_what_is_left(manifest))
            left_path(Path(self._order.log)).write_text(f"{rev}\n", encoding="ascii")
        except (GitFailed, OSError) as error:
            _journal.warning("what run %s left in the workspace can't be noted: %s", self._order.run, error)

    def _commit_what_is_left(self, manifest: Manifest) -> Rev:
        """Store what the run did to the files it found, as a commit that no ref holds: it is worth a while, no more."""
        repository = Repository(self._user_git)
        slots = Slots(self.directory, repository, manifest.submodules)
        changes = tracked_changes(self.directory, manifest)
        files: dict[str, TreeFile | None] = dict.fromkeys(changes.deleted)
        files |= {path: slots.store_file(path) for path in changes.touched}
        ours = {path: file for path, file in files.items() if slots.is_top(path)}
        tree = repository.edit_tree(repository.tree_of(self._order.stash_rev), ours)
        message = f"expd: the workspace as entry {self._order.entry} left it"
        return repository.write_commit(tree, [self._order.stash_rev], message, repository.identity(time.time()))

    def _write(self, path: str, content: bytes, file: TreeFile) -> None:
        """Replace a file in one step; it keeps its permissions."""
        directory = Directory(self.directory, self._order.umask)
        seen = directory.look(path)
        fresh = (0o777 if file.mode == EXECUTABLE else 0o666) & ~self._order.umask
        mode = fresh if seen is None else stat.S_IMODE(seen.mode)
        try:
            directory.replace(path, NewFile(content=content, mode=mode), seen)
        except ChangedMeanwhile as error:
            raise WorkspaceMoved(error.path) from error


class _Look:
    """One comparison of a workspace with what was captured there at `captured_at`."""

    def __init__(self, workspace: Path, repository: Repository, slots: Slots, captured_at: float) -> None:
        self._slots = slots
        self._workspace = workspace
        self._since_ns = int((captured_at - _CLOCKS_SECONDS) * 1e9)
        self._is_sparse = repository.setting("core.sparsecheckout") == "true"
        self._has_modes = repository.setting("core.filemode") != "false"
        self._directories = {"": True}

    def is_to_be_written(self, path: str, captured: TreeFile | None, wanted: TreeFile) -> bool:
        """Tell whether an override's file still holds what was captured; raises WorkspaceMoved if anything else does."""
        if captured == wanted:
            if not self._holds(path, wanted, may_be_old=True):
                raise WorkspaceMoved(path)
            return False
        if self._holds(path, wanted, may_be_old=False):
            return False
        if not self._holds(path, captured, may_be_old=True):
            raise WorkspaceMoved(path)
        return True

    def manifest(self, wanted: Mapping[str, TreeFile]) -> Manifest:
        """Say what is there; a file that a sparse checkout leaves out is not, and is no deletion of the run."""
        found = {path: (file, self._status(path)) for path, file in wanted.items()}
        rows = {path: row_of(file, stamp_of(status)) for path, (file, status) in found.items() if status is not None}
        return Manifest(paths=numbered(rows), rows=b"".join(rows.values()), stamped_ns=time.time_ns())

    def _holds(self, path: str, file: TreeFile | None, *, may_be_old: bool) -> bool:
        """Compare one path; one that is older than the capture has been compared by it."""
        status = self._status(path)
        if file is None or status is None:
            return (file is None and status is None) or (status is None and self._is_sparse)
        if file.mode == SUBMODULE or stat.S_ISDIR(status.st_mode):
            return file.mode == SUBMODULE and stat.S_ISDIR(status.st_mode)
        if may_be_old and status.st_ctime_ns < self._since_ns:
            return True
        found = self._slots.store_file(path)
        return found is not None and found.rev == file.rev and self._mode(found) == self._mode(file)

    def _mode(self, file: TreeFile) -> int:
        return REGULAR if file.mode == EXECUTABLE and not self._has_modes else file.mode

    def _status(self, path: str) -> os.stat_result | None:
        return status_at(self._workspace, path, self._directories)
