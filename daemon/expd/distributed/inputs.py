"""Data that `.dvc` files track, on its way to another host: from the submitter's cache to the DVC remote, and from there.

DVC alone knows its remotes and their credentials. It runs in a directory of its own with the captured `.dvc` files and the
project's configuration, since a workspace may have moved on, and a worktree is not there yet.
"""

import logging
import os
import posixpath
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from expd.gitio.repository import Repository
from expd.pipeline.cache import Cache
from expd.pipeline.config import read_config
from expd.pipeline.datafiles import parse_data_file
from expd.pipeline.links import DEFAULT_LINK_TYPES
from expd.pipeline.localconfig import local_config_text
from expd.pipeline.model import DATA_FILE_SUFFIX, PipelineError
from expd.pipeline.remotes import find_dvc
from expproto.vocabulary import Rev

_journal = logging.getLogger("expd.distributed")

_WORDS_MAX = 500


class DataStuck(Exception):
    """DVC could not bring data to its remote, or from there; the message is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The tracked data of one stash commit: below which `root` of the tree, with whose configuration and cache."""

    git_directory: Path
    stash_rev: Rev
    root: str
    project: Path
    """Where `.dvc/config.local` is looked for."""
    cache: Path

    def lay(self, directory: Path) -> list[str]:
        """Write a DVC project with the `.dvc` files and nothing else; gives their paths. Blocks."""
        repository = Repository(self.git_directory)
        tree = repository.tree_of(self.stash_rev)
        prefix = "" if self.root == "." else f"{self.root}/"
        paths = [path for path in repository.files_of(tree) if path.startswith(prefix) and _is_data_file(path)]
        if not paths:
            return []
        subprocess.run(["git", "init", "--quiet", str(directory)], check=True, capture_output=True)
        (directory / ".dvc").mkdir()
        for path in (*paths, f"{prefix}.dvc/config"):
            place = directory / path.removeprefix(prefix)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(repository.read_file(tree, path) or b"")
        local = directory / ".dvc" / "config.local"
        local.write_text(local_config_text(self.project, self.cache), encoding="utf-8")
        local.chmod(0o600)
        return [path.removeprefix(prefix) for path in paths]

    def lacking(self, directory: Path, paths: Sequence[str]) -> list[str]:
        """Give those whose data the cache does not have; PipelineError for a faulty one. Blocks."""
        cache = Cache(self.cache, types=DEFAULT_LINK_TYPES)
        root = posixpath.normpath(str(directory))
        found = []
        for path in paths:
            data_file = parse_data_file((directory / path).read_text(encoding="utf-8"), path, root)
            if not all(cache.has(fingerprint) for fingerprint in data_file.recorded.values()):
                found.append(path)
        return found


async def push_inputs(inputs: Inputs, directory: Path) -> None:
    """Bring what a submission reads to the DVC remote, as far as it is not there; raises DataStuck."""
    paths = await trio.to_thread.run_sync(_laid, inputs, directory)
    has_remote = await trio.to_thread.run_sync(_has_remote, directory)
    if paths and has_remote:
        await _dvc(
            ["push", "--quiet", *paths], directory, os.environ, "what it reads can't be pushed to the DVC remote"
        )


async def fetch_inputs(inputs: Inputs, directory: Path, environ: Mapping[str, str]) -> None:
    """Bring what a run reads and the cache of this host lacks; raises DataStuck."""
    paths = await trio.to_thread.run_sync(_laid, inputs, directory)
    lacking = await trio.to_thread.run_sync(_lacking, inputs, directory, paths)
    has_remote = await trio.to_thread.run_sync(_has_remote, directory)
    if lacking and has_remote:
        await _dvc(["fetch", "--quiet", *lacking], directory, environ, "what it reads can't be had from the DVC remote")


def _laid(inputs: Inputs, directory: Path) -> list[str]:
    try:
        return inputs.lay(directory)
    except subprocess.CalledProcessError as error:
        raise DataStuck(f"no place for its data could be made: {error}") from error


def _lacking(inputs: Inputs, directory: Path, paths: Sequence[str]) -> list[str]:
    try:
        return inputs.lacking(directory, paths)
    except PipelineError as error:
        raise DataStuck(str(error)) from error


def _has_remote(directory: Path) -> bool:
    return read_config(directory).default_remote is not None


async def _dvc(words: Sequence[str], directory: Path, environ: Mapping[str, str], failure: str) -> None:
    try:
        dvc = find_dvc(environ.get("PATH", ""))
    except PipelineError:
        raise DataStuck(f"{failure}: there is no program dvc on the PATH") from None
    done = await trio.run_process(
        [dvc, *words],
        cwd=directory,
        env={**environ, "DVC_NO_ANALYTICS": "1", "PWD": str(directory)},
        stdin=subprocess.DEVNULL,
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        said = done.stdout.decode("utf-8", "replace").strip()[-_WORDS_MAX:]
        raise DataStuck(f"{failure}: {said}")


def _is_data_file(path: str) -> bool:
    name = posixpath.basename(path)
    return name.endswith(DATA_FILE_SUFFIX) and name != DATA_FILE_SUFFIX
