"""Files of an experiment → a directory: from Git or the cache, never over what is there, never in the workspace's way."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from expd.collect.results import ResultPath
from expd.gitio.repository import EXECUTABLE, LINK, Repository, TreeFile
from expd.pipeline.cache import Cache
from expd.pipeline.links import LinkType
from expproto.vocabulary import Rev

_COPIES: tuple[LinkType, ...] = ("reflink", "copy")
"""What is fetched is the user's to change: no link that would reach into the cache."""


class NoSuchResult(Exception):
    """The experiment has no such path, or its data is gone: `path`, `what`."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
        self.what = what


class AlreadyThere(Exception):
    """`path` exists and is not overwritten."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """What to fetch: paths of one experiment (none: all it made), relative to the project's root, to `directory`."""

    commit: Rev
    root: str
    paths: Sequence[str]
    directory: Path
    force: bool


def fetch(repository: Repository, results: Sequence[ResultPath], cache: Cache, order: Fetch) -> list[str]:
    """Write the files and give their paths below the directory; checks all of them before the first is written."""
    chosen = list(results) if not order.paths else [_choose(repository, results, order, path) for path in order.paths]
    targets = [(result, _target(order, result.path)) for result in chosen]
    for result, target in targets:
        if not order.force and (target.exists() or target.is_symlink()):
            raise AlreadyThere(str(target))
        _check_no_link(order, result, target)
        if result.fingerprint is not None and not cache.has(result.fingerprint):
            raise NoSuchResult(result.path, f"the cache has no {result.fingerprint.md5}; `dvc pull` may bring it")
    _make_directory(repository, order.directory)
    for result, target in targets:
        _check_no_link(order, result, target)
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(repository, cache, order, result, target)
    return [result.path for result, _target_path in targets]


def _make_directory(repository: Repository, directory: Path) -> None:
    """Make the directory; inside the repository a new one is hidden from Git, or the next capture would take it in."""
    if directory.exists():
        return
    directory.mkdir(parents=True)
    if repository.holds(directory):
        (directory / ".gitignore").write_text("*\n", encoding="utf-8")


def _choose(repository: Repository, results: Sequence[ResultPath], order: Fetch, path: str) -> ResultPath:
    """Find one path among the results, or else in the experiment's tree."""
    wanted = PurePosixPath(path).as_posix()
    for result in results:
        if result.path == wanted:
            return result
    found = repository.file_at(repository.tree_of(order.commit), _in_tree(order.root, wanted))
    if found is None:
        known = ", ".join(result.path for result in results[:10])
        raise NoSuchResult(path, f"the experiment has no such file; it made {known or 'nothing'}")
    return ResultPath(path=wanted, role="file", stage=None, fingerprint=None, blob=found.rev, size=None)


def _target(order: Fetch, path: str) -> Path:
    parts = PurePosixPath(path).parts
    if ".." in parts or PurePosixPath(path).is_absolute():
        raise NoSuchResult(path, "it lies outside the project")
    return order.directory.joinpath(*parts)


def _check_no_link(order: Fetch, result: ResultPath, target: Path) -> None:
    """Refuse to write through a link below the directory: an experiment may bring one, and a file behind it."""
    for parent in target.parents:
        if parent == order.directory:
            return
        if parent.is_symlink():
            raise NoSuchResult(result.path, f"{parent} is a link, and nothing is written through one")


def _write(repository: Repository, cache: Cache, order: Fetch, result: ResultPath, target: Path) -> None:
    if result.fingerprint is not None:
        cache.check_out(result.fingerprint, target, types=_COPIES)
        return
    file = repository.file_at(repository.tree_of(order.commit), _in_tree(order.root, result.path))
    assert file is not None
    if target.exists() or target.is_symlink():
        target.unlink()
    _write_blob(repository, file, target)


def _write_blob(repository: Repository, file: TreeFile, target: Path) -> None:
    data = repository.read_blob(file.rev)
    if file.mode == LINK:
        target.symlink_to(os.fsdecode(data))
        return
    mode = 0o777 if file.mode == EXECUTABLE else 0o666
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)


def _in_tree(root: str, path: str) -> str:
    return path if root == "." else f"{root}/{path}"
