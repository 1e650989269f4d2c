"""Outputs of a run on another host → the DVC remote, by the real `dvc`: it alone knows remotes and their credentials."""

import os
import subprocess
from pathlib import Path

import trio

from expd.execute.environment import run_environment
from expd.pipeline.model import LOCK_FILE, PipelineError
from expd.pipeline.remotes import find_dvc
from expproto.work import Execute

_TRIES, _BETWEEN_SECONDS = 3, 5.0
_WORDS_MAX = 500


class DataNotPushed(Exception):
    """The DVC remote did not take what the run made; the message is a sentence."""


async def push_outputs(order: Execute, log: Path) -> None:
    """Push what the worktree of a run tracks; what DVC says goes to the run log. Raises DataNotPushed."""
    root = Path(order.worktree, order.root)
    if not (root / ".dvc").is_dir() or not _tracks_data(Path(order.worktree), root):
        return
    environment = {**run_environment(order), "DVC_NO_ANALYTICS": "1", "PWD": str(root)}
    try:
        dvc = find_dvc(environment.get("PATH", ""))
    except PipelineError:
        raise DataNotPushed("outputs can't be pushed: there is no program dvc on the worker's PATH") from None
    said = b""
    for number in range(_TRIES):
        if number:
            await trio.sleep(_BETWEEN_SECONDS)
        done = await trio.run_process(
            [dvc, "push", "--quiet"],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode == 0:
            return
        said = done.stdout
        _append(log, said)
    words = said.decode("utf-8", "replace").strip()[-_WORDS_MAX:]
    raise DataNotPushed(f"the run succeeded, and its outputs can't be pushed to the DVC remote: {words}")


def _tracks_data(worktree: Path, root: Path) -> bool:
    return any(root.rglob(LOCK_FILE)) or any(worktree.glob("*.dvc"))


def _append(log: Path, data: bytes) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
