"""A private worktree as the place of a run: a slot that is used again, with a Git directory of its own.

What a run that did not succeed left is kept aside, and the slot starts empty.
"""

import logging
from pathlib import Path

import trio

from expd.execute.runlog import RunLog
from expd.execute.worktree import Manifest, check_out, keep, make_slot, remove_tree
from expd.gitio.repository import Repository
from expd.gitio.slot import Slot, lay_git_directory
from expd.pipeline.copies import copies_store, place_copies
from expd.pipeline.localconfig import local_config_text
from expproto.work import Execute

_journal = logging.getLogger("expd.execute")


class PrivateWorktree:
    """The slot that an order names; a Place."""

    def __init__(self, order: Execute) -> None:
        self.directory = Path(order.worktree)
        self._order = order
        self._user_git = Path(order.git_directory)

    def prepare(self) -> Manifest:
        """Make the worktree hold the stash commit's tree, and nothing else."""
        order = self._order
        repository = Repository(self._user_git)
        tree = repository.tree_of(order.stash_rev)
        files = repository.files_of(tree)
        make_slot(self.directory)
        remove_tree(self.directory / ".git")
        lay_git_directory(self.directory, self._user_git, order.baseline_rev)
        slot = Slot(self.directory, self._user_git)
        if slot.has_filters(files):
            manifest = check_out(self.directory, files, lambda file, path: slot.content_of(file, path, order.stash_rev))
        else:
            manifest = check_out(self.directory, files, lambda file, _path: repository.read_blob(file.rev))
        slot.write_index(tree)
        self._write_local_config()
        return manifest

    def bring_along(self, manifest: Manifest) -> frozenset[str]:  # noqa: ARG002 - a Place's
        """Copy what was named with --copy-paths; it is no part of the experiment's commit."""
        if self._order.copies is None:
            return frozenset()
        store = copies_store(self._user_git, trio.from_thread.check_cancelled)
        return place_copies(self._order.copies, store, self.directory)

    def give_up(self, log: RunLog) -> None:
        """Leave what a run that did not succeed made where a person can look at it; the oldest such go."""
        kept = self.directory.parent.parent / "kept"
        try:
            if self.directory.exists():
                keep(self.directory, kept / str(self._order.run))
                log.note(f"expd: the worktree is kept in {kept / str(self._order.run)}")
            runs = sorted((path for path in kept.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
            for path in runs[: max(0, len(runs) - self._order.kept_worktrees_max)]:
                remove_tree(path)
        except OSError as error:
            _journal.warning("the worktree of run %s can't be kept: %s", self._order.run, error)

    def _write_local_config(self) -> None:
        """Let a `dvc` that a stage calls use the user's cache and local settings, as DVC's own worktrees do."""
        local = Path(self._order.root, ".dvc", "config.local")
        target = self.directory / local
        if target.parent.is_dir() and not target.exists():
            text = local_config_text(Path(self._order.origin_root), Path(self._order.cache))
            target.write_text(text, encoding="utf-8")
            target.chmod(0o600)
