"""The floor of an experiment: one process that checks out, spawns the command, hashes, commits, sets the ref, and syncs.

bare.py ROOT FIRST LAST    one trivial experiment for each x in range(FIRST, LAST), one after the other

It promises nothing: no queue, no log, no isolation of one run from the next, no record of what happened, no check that
nobody else does the same. What is left is what cannot be left out; objects, refs and names are those of DVC.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

import pygit2

_LOCK = """\
schema: '2.0'
stages:
  trivial:
    cmd: cp params.yaml metrics.yaml
    params:
      params.yaml:
        x: {point}
    outs:
    - path: metrics.yaml
      hash: md5
      md5: {md5}
      size: {size}
"""


class _Loop:
    """A repository, and one worktree beside it that is used for every point."""

    def __init__(self, root: Path) -> None:
        pygit2.settings.enable_fsync_gitdir(True)
        self._repository = pygit2.Repository(str(root))
        self._baseline = self._repository.head.target
        self._tree = self._repository[self._baseline].peel(pygit2.Tree)
        self._worktree = root.with_name(f"{root.name}-bare")
        self._worktree.mkdir(exist_ok=True)
        self._signature = pygit2.Signature("bench", "bench")

    def run(self, point: int) -> None:
        """Do one experiment, durable when this returns."""
        self._check_out()
        params = self._worktree / "params.yaml"
        params.write_text(f"x: {point}\n", encoding="utf-8")
        with (self._worktree.parent / "bare.log").open("wb") as log:
            subprocess.run(
                ["sh", "-c", "cp params.yaml metrics.yaml"], cwd=self._worktree, stdout=log, stderr=log, check=True
            )
        metrics = (self._worktree / "metrics.yaml").read_bytes()
        md5 = hashlib.md5(metrics, usedforsecurity=False).hexdigest()
        lock = _LOCK.format(point=point, md5=md5, size=len(metrics))
        self._commit(point, {"params.yaml": params.read_bytes(), "metrics.yaml": metrics, "dvc.lock": lock.encode()})

    def _check_out(self) -> None:
        """Write every file of the baseline's top directory anew; there are three."""
        for file in self._worktree.iterdir():
            file.unlink()
        for entry in self._tree:
            if isinstance(entry, pygit2.Blob):
                assert entry.name is not None
                (self._worktree / entry.name).write_bytes(entry.data)

    def _commit(self, point: int, files: dict[str, bytes]) -> None:
        builder = self._repository.TreeBuilder(self._tree)
        for name, content in files.items():
            builder.insert(name, self._repository.create_blob(content), pygit2.enums.FileMode.BLOB)
        commit = self._repository.create_commit(
            None,
            self._signature,
            self._signature,
            f"dvc: commit experiment {point}\n",
            builder.write(),
            [self._baseline],
        )
        sha = str(self._baseline)
        self._repository.references.create(f"refs/exps/{sha[:2]}/{sha[2:]}/bare-{point}", commit)


def main(words: list[str]) -> None:
    """Run all points."""
    root, first, last = words
    loop = _Loop(Path(root))
    for point in range(int(first), int(last)):
        loop.run(point)


if __name__ == "__main__":
    main(sys.argv[1:])
