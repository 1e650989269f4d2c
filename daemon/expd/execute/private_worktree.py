"""A private worktree as the place of a run: a slot that is used again, with a Git directory of its own.

What a run that did not succeed left is kept aside, and the slot starts empty.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import trio

from expd.execute.begun import forget_begun
from expd.execute.kept import keep_aside, take_up
from expd.execute.linked import note
from expd.execute.manifest import Manifest, load_manifest
from expd.execute.runlog import RunLog
from expd.execute.worktree import check_out, forget, make_slot, strip
from expd.gitio.errors import GitFailed
from expd.gitio.repository import Repository
from expd.gitio.slot import LAID_DIRECTORIES, files_to_lay, lay_files
from expd.gitio.slots import Slots, lay_submodules
from expd.gitio.submodules import submodules_of
from expd.pipeline.config import read_config
from expd.pipeline.copies import copies_store, place_copies
from expd.pipeline.localconfig import local_config_text
from expproto.vocabulary import RunId
from expproto.work import Execute

_journal = logging.getLogger("expd.execute")


class NothingKept(GitFailed):
    """What a run left has been removed since it was asked to go on in it."""

    def __init__(self, run: RunId) -> None:
        super().__init__(f"what run {run} left is not there any more: `expctl retry` starts from the beginning")


class PrivateWorktree:
    """The slot that an order names; a Place."""

    def __init__(self, order: Execute) -> None:
        self.directory = Path(order.worktree)
        self._order = order
        self._user_git = Path(order.git_directory)
        self._is_taken_up = False
        self._manifest: Manifest | None = None
        self._local_config = Path(order.root, ".dvc", "config.local").as_posix()

    def prepare(self) -> Manifest:
        """Make the worktree hold the stash commit's tree and those of its submodules, and nothing else; or what a run left."""
        stash_rev, repository = self._order.stash_rev, Repository(self._user_git)
        submodules = tuple(submodules_of(repository, repository.tree_of(stash_rev), self._workspace()))
        if self._order.resumes is None:
            make_slot(self.directory)
            forget_begun(self.directory)
        else:
            self._take_up(self._order.resumes)
        git_files = files_to_lay(self.directory, repository, self._order.baseline_rev)
        lay_files(self.directory / ".git", git_files, strip(self.directory / ".git", LAID_DIRECTORIES, git_files))
        lay_submodules(self.directory, submodules)
        slots = Slots(self.directory, repository, submodules)
        text = local_config_text(Path(self._order.origin_root), Path(self._order.cache))
        local_config = text.encode("utf-8", "surrogateescape")
        if self._order.resumes is None:
            private = {self._local_config: local_config}
            manifest = check_out(self.directory, slots.wanted(stash_rev), private, self._data_terms)
        else:
            manifest = load_manifest(self.directory)
        slots.write_indexes(stash_rev)
        self._write_local_config(local_config)
        pointers = slots.missing()
        if (
            pointers and self._order.resumes is None
        ):  # by the next run `git lfs fetch` may have brought what they stand for
            forget(self.directory)
        self._manifest = manifest
        return replace(manifest, submodules=submodules, pointers=pointers)

    def _data_terms(self) -> str | None:
        """Say what decides how data is linked, beside what is checked out; None where it is not to be left there.

        What is copied along may lie in it, and what is pulled may not be there.
        """
        order = self._order
        if order.copies is not None or order.resumes is not None or order.stage_options.pull:
            return None
        types = read_config(Path(order.origin_root)).cache_types
        exclude = self.directory / ".git" / "info" / "exclude"
        ignored = exclude.read_bytes().decode("utf-8", "surrogateescape") if exclude.is_file() else ""
        return "\n".join([order.root, order.cache, *types, ignored])

    def note_data(self, locations: Iterable[str]) -> None:
        """Write down which data was linked, for the next run."""
        top, manifest = f"{os.path.normpath(self.directory.absolute())}/", self._manifest
        places = [location.removeprefix(top) for location in locations if location.startswith(top)]
        terms = self._data_terms() if places and manifest is not None else None
        if manifest is not None and terms is not None:
            note(self.directory, places, dict(manifest.files()), terms)

    def _take_up(self, run: RunId) -> None:
        """Go on in what a run left. Being asked again, it is there already."""
        if self._is_taken_up:
            return
        if not take_up(self._user_git, run, self.directory):
            raise NothingKept(run)
        self._is_taken_up = True

    def _workspace(self) -> Path:
        """Give the user's work tree, in which submodules are checked out."""
        origin_root = Path(self._order.origin_root)
        return [origin_root, *origin_root.parents][len(PurePosixPath(self._order.root).parts)]

    def bring_along(self, manifest: Manifest) -> frozenset[str]:  # noqa: ARG002 - a Place's
        """Copy what was named with --copy-paths; it is no part of the experiment's commit. Where a run goes on, it is there."""
        if self._order.copies is None:
            return frozenset()
        store = copies_store(self._user_git, trio.from_thread.check_cancelled)
        return place_copies(self._order.copies, store, self.directory, only_missing=self._order.resumes is not None)

    def give_up(self, log: RunLog) -> None:
        """Leave what a run that did not succeed made where a person can look at it; the oldest such go."""
        try:
            place = keep_aside(self.directory, self._order.run, self._order.kept_worktrees_max)
        except OSError as error:
            _journal.warning("the worktree of run %s can't be kept: %s", self._order.run, error)
            return
        if place is not None:
            log.note(f"expd: the worktree is kept in {place}")

    def _write_local_config(self, content: bytes) -> None:
        """Let a `dvc` that a stage calls use the user's cache and local settings, as DVC's own worktrees do."""
        target = self.directory / self._local_config
        if target.parent.is_dir() and not target.exists():
            target.write_bytes(content)
            target.chmod(0o600)
