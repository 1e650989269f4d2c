"""What a worker host has of the hub: a bare repository, which several worker programs share, and which does not grow for ever.

Whoever runs something holds a shared lock on it; whoever has the lock alone may let go what is old, and then only.
Submissions that were run here last stay, so that the history of a project is fetched once.
"""

import logging
import os
import shutil
import subprocess
from pathlib import Path

from expd.distributed.hub import cargo_ref, held_as_of
from expd.gitio.errors import GitFailed, RefLocked, RefMoved
from expd.gitio.refs import ENTRIES, RefChange, change_ref, names_below, read_ref
from expd.gitio.repository import Repository
from expd.linux.durable import share_lock, try_lock
from expd.linux.measuring import size_below
from expd.pipeline.copies import copies_place
from expproto.vocabulary import Rev

_journal = logging.getLogger("expd.distributed")

SUBMISSIONS_MAX = 20
"""Of which the objects stay here: the next one of the same project needs hardly any others."""
_GROWTH_BYTES = 256 * 2**20
"""Git collects when its objects take twice what was left the last time, and this: seldom, and of a small project never."""
_COPIES_BYTES_MAX = 4 * 2**30
"""What -C brought along; beyond that all of it goes, and comes again where it is needed."""


class HubCache:
    """The repository; `share` while something of it is used. Everything here blocks."""

    def __init__(self, git_directory: Path) -> None:
        self.git_directory = git_directory
        self._private = git_directory / "expd"

    def make(self) -> None:
        """Make what is not there yet; raises OSError or CalledProcessError."""
        if not (self.git_directory / "HEAD").exists():
            init = ["git", "init", "--quiet", "--bare", "--template=", str(self.git_directory)]
            subprocess.run(init, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        self._private.mkdir(exist_ok=True)

    def share(self) -> int:
        """Keep all that is here until the descriptor is closed that this gives."""
        return share_lock(self._private / "in-use.lock")

    def held(self, held_as: str, stash_rev: Rev, cargo: Rev | None) -> Rev | None:
        """Give what a submission's ref was when it was fetched with all that a run of it needs; it counts as used now.

        None if it was not, or not since an entry of it was edited.
        """
        repository, refs = Repository(self.git_directory), [f"{ENTRIES}{held_as}"]
        keeper = read_ref(repository, refs[0])
        if keeper is None or not (keeper == stash_rev or stash_rev in repository.parents_of(keeper)):
            return None
        if cargo is not None:
            refs.append(cargo_ref(held_as))
            if read_ref(repository, refs[1]) != cargo:
                return None
        for ref in refs:
            os.utime(self.git_directory / ref)
        return keeper

    def shed(self, growth_bytes: int = _GROWTH_BYTES) -> bool:
        """Let go what was not used for longest, unless something runs; False then."""
        lock = try_lock(self._private / "in-use.lock")
        if lock is None:
            return False
        try:
            self._let_go()
            self._collect(growth_bytes)
            self._clear_copies()
        except (GitFailed, RefLocked, RefMoved, OSError, subprocess.CalledProcessError) as error:
            _journal.warning("what is not needed any more of %s stays: %s", self.git_directory, error)
        finally:
            os.close(lock)
        return True

    def _let_go(self) -> None:
        """Delete the refs of all but the newest submissions; none of them is packed, so that each tells its time."""
        repository = Repository(self.git_directory)
        used = dict[str, float]()
        refs = names_below(repository, "refs/expd/", "")
        for ref in refs:
            used[held_as_of(ref)] = max(used.get(held_as_of(ref), 0.0), (self.git_directory / ref).stat().st_mtime)
        staying = set(sorted(used, key=lambda held_as: used[held_as])[-SUBMISSIONS_MAX:])
        for ref in refs:
            if held_as_of(ref) not in staying:
                change_ref(repository, RefChange(ref=ref, new=None, force=True))

    def _collect(self, growth_bytes: int) -> None:
        """Have Git delete what no ref needs, if there may be much of it."""
        record = self._private / "collected"
        before = int(record.read_text()) if record.exists() else 0
        if size_below(self.git_directory / "objects") <= 2 * before + growth_bytes:
            return
        words = ["git", f"--git-dir={self.git_directory}", "-c", "gc.packRefs=false", "gc", "--quiet", "--prune=now"]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        record.write_text(str(size_below(self.git_directory / "objects")))

    def _clear_copies(self) -> None:
        copies = copies_place(self.git_directory)
        if copies.is_dir() and size_below(copies) > _COPIES_BYTES_MAX:
            shutil.rmtree(copies)
