"""Parts of the daemon's and the worker's work in a process that is up, as they are done there; prints the seconds.

warm.py capture ROOT    store what a workspace holds, as a submission does
warm.py reuse ROOT      check a commit out in a worktree that holds its neighbour, where one parameter differs
warm.py look PATH       one lstat of every file below: what a worktree's second use can't be without
warm.py hash PATH       hash a file or all below a directory, remembering nothing
"""

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from expd.execute.worktree import check_out
from expd.gitio.repository import REGULAR, Identity, Repository, TreeFile
from expd.gitio.slot import lay_git_directory
from expd.gitio.slots import Slots
from expd.pipeline.hashing import Hasher
from expd.prepare.capture import capture_workspace
from expproto.vocabulary import Rev

_ROUNDS = 3
"""Of one start of the process; the fastest counts, which is the warm one."""
_RACY_SECONDS = 0.1
"""Longer than the time in which a file that was just written is not believed to be unchanged."""


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def capture(root: Path) -> float:
    """Capture, each time with a repository that was opened for it, as the daemon does."""
    return min(_timed(lambda: capture_workspace(Repository(root / ".git"))) for _ in range(_ROUNDS))


def reuse(root: Path) -> float:
    """Use one worktree for two commits by turns."""
    repository = Repository(root / ".git")
    head = repository.head_rev()
    assert head is not None
    commits = [head, _neighbour(repository, head)]
    worktree = root.with_name(f"{root.name}-reused")
    shutil.rmtree(worktree, ignore_errors=True)
    seconds = []
    for number in range(_ROUNDS + 1):
        commit = commits[number % 2]
        seconds.append(_timed(lambda commit=commit: _prepare(worktree, root / ".git", commit)))  # type: ignore[misc]
        expected = f"x: {number % 2}\n"
        assert (worktree / "params.yaml").read_text(encoding="utf-8") == expected
        time.sleep(_RACY_SECONDS)
    return min(seconds[1:])


def _prepare(worktree: Path, git_directory: Path, commit: Rev) -> None:
    """Do what `PrivateWorktree.prepare` does where there are no submodules."""
    worktree.mkdir(exist_ok=True)
    shutil.rmtree(worktree / ".git", ignore_errors=True)
    repository = Repository(git_directory)
    lay_git_directory(worktree, repository, commit)
    slots = Slots(worktree, repository)
    check_out(worktree, slots.wanted(commit))
    slots.write_indexes(commit)


def _neighbour(repository: Repository, head: Rev) -> Rev:
    changed = TreeFile(rev=repository.write_blob(b"x: 1\n"), mode=REGULAR)
    tree = repository.edit_tree(repository.tree_of(head), {"params.yaml": changed})
    return repository.write_commit(tree, [head], "neighbour", Identity(name="n", email="n", at=0.0))


def look(path: Path) -> float:
    """Look at every file, by names that are known."""
    names = [f"{place}/{name}" for place, _, files in os.walk(path) for name in files]
    return min(_timed(lambda: [os.lstat(name) for name in names]) for _ in range(_ROUNDS))


def hash_all(path: Path) -> float:
    """Hash what is in memory: the first pass brings it there."""
    return min(_timed(lambda: Hasher().content(str(path))) for _ in range(_ROUNDS))


def main(words: list[str]) -> None:
    """Do one of them."""
    name, path = words
    work = {"capture": capture, "reuse": reuse, "look": look, "hash": hash_all}[name]
    sys.stdout.write(f"{work(Path(path))}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
