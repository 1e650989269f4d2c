"""What a worker host has for runs: a bare repository of its own, a DVC cache, slots for worktrees, a directory a run.

Several worker programs of one user may share it: what belongs to one is locked, and the kernel gives a lock back
however its holder ends.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from expd.distributed.logpieces import LOG, MARKS, PLACES, RECORD, read_pieces
from expd.distributed.messages import Task, order_of, variables_of
from expd.gitio.repository import EMPTY_TREE, REGULAR, Repository, TreeFile
from expd.linux.durable import private_directory, try_lock
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
        self.git_directory = directory / "hub.git"
        self.cache = directory / "cache"
        self._dvc_config = dvc_config
        self._runs = private_directory(directory / "runs")

    def make(self) -> None:
        """Make what is not there yet; raises OSError or CalledProcessError."""
        if not (self.git_directory / "HEAD").exists():
            init = ["git", "init", "--quiet", "--bare", "--template=", str(self.git_directory)]
            subprocess.run(init, check=True, stdin=subprocess.DEVNULL, capture_output=True)

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
        slots = self.git_directory / "expd" / "worktrees"
        slots.mkdir(parents=True, exist_ok=True)
        number = 0
        while (lock := try_lock(slots / f"{number}.lock")) is None:
            number += 1
        try:
            yield slots / str(number)
        finally:
            os.close(lock)

    def order(self, task: Task, directory: RunDirectory, worktree: Path) -> Execute:
        """Give the order of a task as this host carries it out; blocks."""
        order = order_of(task)
        origin = directory.origin / order.root
        self._lay_origin(order, origin)
        return replace(
            order,
            git_directory=str(self.git_directory),
            worktree=str(worktree),
            origin_root=os.path.normpath(origin),
            cache=str(self.cache),
            log=str(directory.log),
            record=str(directory.record),
            environment=tuple((_variables() | variables_of(task)).items()),
        )

    def _lay_origin(self, order: Execute, origin: Path) -> None:
        """Put DVC's configuration where a run looks for the user's: that of the project, and the host's own on top."""
        repository = Repository(self.git_directory)
        (origin / ".dvc").mkdir(parents=True)
        path = ".dvc/config" if order.root == "." else f"{order.root}/.dvc/config"
        config = repository.read_file(repository.tree_of(order.stash_rev), path)
        (origin / ".dvc" / "config").write_bytes(config or b"")
        if self._dvc_config is not None:
            local = origin / ".dvc" / "config.local"
            local.write_bytes(self._dvc_config.read_bytes())
            local.chmod(0o600)

    def has(self, rev: Rev) -> bool:
        """Tell whether a commit was fetched before, with another entry of its sweep. Blocks."""
        return Repository(self.git_directory).has_object(rev)

    def claim_commit(self, task: Task, host: str, nonce: str, at: float) -> Rev:
        """Make the commit that claims an attempt: no two are alike. Blocks."""
        repository = Repository(self.git_directory)
        message = json.dumps({"host": host, "nonce": nonce, "token": task.token})
        return repository.write_commit(EMPTY_TREE, [], message, repository.identity(at))

    def result_commit(self, ended: RunEnded, record: bytes, directory: RunDirectory) -> Rev:
        """Make the commit of a result: outcome, log and marks, on top of the experiment if there is one. Blocks."""
        repository = Repository(self.git_directory)
        places, log = read_pieces(directory.log)
        files = {RECORD: record, LOG: log, PLACES: json.dumps(places).encode(), MARKS: directory.marks.read_bytes()}
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
