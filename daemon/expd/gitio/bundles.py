"""Git bundles, made and read by the git program: libgit2 has no word for them.

No shell, no hook, no terminal; what is read is checked object by object before any of it is in the repository.
"""

import os
import subprocess
from pathlib import Path

from expd.gitio.errors import GitFailed
from expd.gitio.repository import Repository
from expproto.vocabulary import Rev

_SECONDS_MAX = 600.0
"""For one bundle: a gigabyte is read in one minute; what takes ten has stopped."""
_QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "maintenance.auto=false")
_CHECKED = ("-c", "fetch.fsckObjects=true", "-c", "protocol.file.allow=always")
_HEADER_BYTES_MAX = 64 * 1024
"""A header names one ref and one commit that it needs: some two hundred bytes."""


def write_bundle(repository: Repository, file: Path, ref: str, since: Rev) -> None:
    """Write what a ref holds and a repository with the commit `since` lacks; raises GitFailed."""
    _git(repository, "bundle", "create", "--quiet", str(file), ref, f"^{since}")


def needs_of_bundle(file: Path) -> tuple[list[Rev], dict[str, Rev]]:
    """Read a bundle's header: the commits that must be there, and the refs it holds (gitformat-bundle(5)).

    Raises ValueError for what is no bundle of version 2.
    """
    with file.open("rb") as stream:
        head, found, _pack = stream.read(_HEADER_BYTES_MAX).partition(b"\n\n")
    lines = head.decode("utf-8").splitlines()
    if not found or lines[:1] != ["# v2 git bundle"]:
        raise ValueError("it is no Git bundle of version 2")
    needs = [Rev(line[1:41]) for line in lines[1:] if line.startswith("-")]
    refs = dict(line.split(" ", 1)[::-1] for line in lines[1:] if not line.startswith("-"))
    return needs, {ref: Rev(rev) for ref, rev in refs.items()}


def read_bundle(repository: Repository, file: Path, ref: str) -> None:
    """Store the objects of a bundle, each checked, none missing; no ref moves. Raises GitFailed with Git's words."""
    options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--no-auto-maintenance")
    _git(repository, *_CHECKED, "fetch", *options, str(file), ref)


def _git(repository: Repository, *words: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ = {**inherited, "GIT_DIR": repository.handle.path, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    command = ["git", *_QUIET, *words]
    try:
        done = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitFailed(f"git can't be run: {error}") from error
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitFailed(lines[-1] if lines else f"git ended with {done.returncode}")
