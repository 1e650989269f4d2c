"""What a worker host has for runs: a bare repository of its own, a DVC cache, slots for worktrees, a directory a run.

Several worker programs of one user may share it: what belongs to one is locked, and the kernel gives a lock back
however its holder ends.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from expd.distributed.cargo import modules_of, unpack_copies
from expd.distributed.hubcache import HubCache
from expd.distributed.logpieces import LOG, MARKS, MODULES, PLACES, RECORD, read_pieces
from expd.distributed.messages import Task, order_of, variables_of
from expd.gitio.borrowing import lay_borrower, lay_module
from expd.gitio.repository import EMPTY_TREE, REGULAR, Repository, TreeFile
from expd.gitio.slots import module_place
from expd.gitio.submodules import submodules_of
from expd.linux.durable import private_directory, try_lock
from expd.pipeline.copies import copies_store
from expproto.vocabulary import Rev, Succeeded
from expproto.work import Execute, RunEnded

_OURS = ("EXPD_", "CELERY_", "FORKED_BY_MULTIPROCESSING")
"""Variables of a worker program that its runs don't get."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Where one attempt leaves what is not in its worktree."""

    path: Path

    @property
    def log(self) -> Path:
        """Give the run log; its marks lie beside it."""
        return self.path / "run.log"

    @property
    def marks(self) -> Path:
        """Give the marks of the log."""
        return self.path / "run.log.marks"

    @property
    def record(self) -> Path:
        """Give the outcome record of the worker process."""
        return self.path / "outcome"

    @property
    def git_directory(self) -> Path:
        """Give the repository that the run takes for the submitter's: what it writes goes with it."""
        return self.path / "repository.git"

    @property
    def unpacking(self) -> Path:
        """Give the place for files that came along and are not in their store yet."""
        return self.path / "unpacking"

    @property
    def inputs(self) -> Path:
        """Give the DVC project in which data is fetched."""
        return self.path / "inputs"

    @property
    def origin(self) -> Path:
        """Give what stands for the submitter's workspace: DVC's configuration, and nothing else."""
        return self.path / "origin"


class Premises:
    """The directories of one user's workers on this host."""

    def __init__(self, directory: Path, dvc_config: Path | None = None) -> None:
        self.directory = private_directory(directory)
        self.hub_cache = HubCache(directory / "hub.git")
        self.cache = directory / "cache"
        self._dvc_config = dvc_config
        self._runs = private_directory(directory / "runs")

    def make(self) -> None:
        """Make what is not there yet, and let go what is old; raises OSError or CalledProcessError."""
        self.hub_cache.make()
        self.hub_cache.shed()

    @contextmanager
    def run_directory(self, token: str) -> Iterator[RunDirectory]:
        """Have a directory for an attempt while inside; nothing of it stays."""
        directory = RunDirectory(private_directory(self._runs / token))
        lock = try_lock(directory.path / "lock")
        if lock is None:
            raise BlockingIOError(f"attempt {token} is under way here")
        try:
            directory.log.touch(mode=0o600)
            directory.marks.touch(mode=0o600)
            yield directory
            shutil.rmtree(directory.path)
        finally:
            os.close(lock)

    def abandoned(self) -> Iterator[str]:
        """Find attempts whose worker program has ended without them, by their tokens; what they left is removed."""
        for path in sorted(self._runs.iterdir()):
            lock = try_lock(path / "lock")
            if lock is not None:
                yield path.name
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)

    @contextmanager
    def worktree(self) -> Iterator[Path]:
        """Have a slot for a worktree while inside: the first that nobody has."""
        slots = self.hub_cache.git_directory / "expd" / "worktrees"
        slots.mkdir(parents=True, exist_ok=True)
        number = 0
        while (lock := try_lock(slots / f"{number}.lock")) is None:
            number += 1
        try:
            yield slots / str(number)
        finally:
            os.close(lock)

    def order(self, task: Task, directory: RunDirectory, worktree: Path) -> Execute:
        """Give the order of a task as this host carries it out, with all that it needs in its place.

        Blocks; raises GitFailed or OSError.
        """
        order = order_of(task)
        self._lay_repository(task, directory)
        origin = directory.origin / order.root
        self._lay_origin(order, origin)
        return replace(
            order,
            git_directory=str(directory.git_directory),
            worktree=str(worktree),
            origin_root=os.path.normpath(origin),
            cache=str(self.cache),
            log=str(directory.log),
            record=str(directory.record),
            environment=tuple((_variables() | variables_of(task)).items()),
        )

    def _lay_repository(self, task: Task, directory: RunDirectory) -> None:
        """Make the repository of a run: commits in it are the submitter's, submodules are where Git would have them.

        What runs share beside Git (worktrees, flights, copies) is in one place for all of them.
        """
        place, author = directory.git_directory, (task.author_name, task.author_email)
        lay_borrower(place, [self.hub_cache.git_directory], author)
        (place / "expd").symlink_to(self.hub_cache.git_directory / "expd", target_is_directory=True)
        if task.cargo is None:
            return
        repository = Repository(place)
        paths = list(modules_of(repository, task.cargo))
        for path in paths:
            lay_module(place / module_place(path, paths), place, author)
        unpack_copies(repository, task.cargo, copies_store(place), directory.unpacking)

    def _lay_origin(self, order: Execute, origin: Path) -> None:
        """Put DVC's configuration where a run looks for the user's: that of the project, and the host's own on top."""
        repository = Repository(self.hub_cache.git_directory)
        (origin / ".dvc").mkdir(parents=True)
        path = ".dvc/config" if order.root == "." else f"{order.root}/.dvc/config"
        config = repository.read_file(repository.tree_of(order.stash_rev), path)
        (origin / ".dvc" / "config").write_bytes(config or b"")
        if self._dvc_config is not None:
            local = origin / ".dvc" / "config.local"
            local.write_bytes(self._dvc_config.read_bytes())
            local.chmod(0o600)

    def claim_commit(self, task: Task, host: str, nonce: str, at: float) -> Rev:
        """Make the commit that claims an attempt: no two are alike. Blocks."""
        repository = Repository(self.hub_cache.git_directory)
        message = json.dumps({"host": host, "nonce": nonce, "token": task.token})
        return repository.write_commit(EMPTY_TREE, [], message, repository.identity(at))

    def left_in_modules(self, task: Task, ended: RunEnded, directory: RunDirectory) -> list[tuple[str, Rev]]:
        """Give the submodules in which a run left something, and as what commit. Blocks; raises GitFailed."""
        if task.cargo is None or not isinstance(ended.outcome, Succeeded):
            return []
        repository = Repository(directory.git_directory)
        before = modules_of(repository, task.cargo)
        after = submodules_of(repository, repository.tree_of(ended.outcome.rev), None)
        return [(submodule.path, submodule.rev) for submodule in after if before.get(submodule.path) != submodule.rev]

    def result_commit(
        self, ended: RunEnded, record: bytes, modules: Sequence[tuple[str, Rev]], directory: RunDirectory
    ) -> Rev:
        """Make the commit of a result: outcome, log and marks, on top of the experiment if there is one. Blocks."""
        repository = Repository(directory.git_directory)
        places, log = read_pieces(directory.log)
        files = {
            RECORD: record,
            LOG: log,
            PLACES: json.dumps(places).encode(),
            MARKS: directory.marks.read_bytes(),
            MODULES: json.dumps(modules).encode(),
        }
        changes: dict[str, TreeFile | None] = {
            name: TreeFile(rev=repository.write_blob(content), mode=REGULAR) for name, content in files.items()
        }
        tree = repository.edit_tree(EMPTY_TREE, changes)
        parents = [ended.outcome.rev] if isinstance(ended.outcome, Succeeded) else []
        return repository.write_commit(
            tree, parents, f"expd: attempt {ended.run_token}", repository.identity(ended.ended_at)
        )


def _variables() -> dict[bytes, bytes]:
    """Give this program's environment as a run's base: a submitter's paths mean nothing here."""
    return {os.fsencode(name): os.fsencode(value) for name, value in os.environ.items() if not name.startswith(_OURS)}
