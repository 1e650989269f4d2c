"""What goes along with a submission beside its stash commits: its submodules, and what -C has stored. One commit of it.

Its parents are the submodules' commits, so that Git brings what they need; its tree has `modules` (JSON: path → commit)
and below `copies` the stored files by their hash. It is made in a repository that only borrows the user's objects, so
that nothing of it stays there; the same submission makes the same commit, whenever it is made. Everything here blocks.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from expd.gitio.borrowing import lay_borrower
from expd.gitio.errors import GitFailed
from expd.gitio.repository import EMPTY_TREE, REGULAR, Identity, Repository, TreeFile
from expd.gitio.submodules import Submodule, submodules_of
from expd.pipeline.cache import Cache
from expd.pipeline.copies import copies_store, objects_of
from expd.pipeline.hashing import Hasher
from expd.pipeline.model import Fingerprint
from expproto.vocabulary import Rev

_MODULES, _COPIES = "modules", "copies/"
_IN_MEMORY_BYTES_MAX = 64 * 2**20
"""A larger file goes from Git to the disk without being in our memory."""
_IDENTITY = Identity(name="expd", email="expd@localhost", at=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Of a submission what its cargo is made of: the user's repository and workspace, a stash commit, the listing of -C."""

    git_directory: Path
    workspace: Path
    stash_rev: Rev
    copies: str | None

    def submodules(self) -> list[Submodule]:
        """Find the submodules that were checked out, outer ones first; raises SubmoduleLost."""
        repository = Repository(self.git_directory)
        return list(submodules_of(repository, repository.tree_of(self.stash_rev), self.workspace))


def pack_cargo(sender: Sender, directory: Path) -> Rev | None:
    """Make the cargo in a new repository at `directory`; None if there is nothing to be brought along.

    Raises GitFailed, OSError, and MissingObjectError for what -C has stored and is not there.
    """
    submodules = sender.submodules()
    lay_borrower(directory, [sender.git_directory, *(submodule.git_directory for submodule in submodules)])
    if not submodules and sender.copies is None:
        return None
    repository = Repository(directory)
    modules = json.dumps({submodule.path: submodule.rev for submodule in submodules}, sort_keys=True)
    changes: dict[str, TreeFile | None] = {
        _MODULES: TreeFile(rev=repository.write_blob(modules.encode()), mode=REGULAR)
    }
    if sender.copies is not None:
        changes |= _stored(sender.copies, copies_store(sender.git_directory), directory)
    parents = list(dict.fromkeys(submodule.rev for submodule in submodules))
    return repository.write_commit(repository.edit_tree(EMPTY_TREE, changes), parents, "expd: cargo", _IDENTITY)


def _stored(listing: str, store: Cache, directory: Path) -> dict[str, TreeFile | None]:
    """Write what a listing names as blobs, by one process, however large they are."""
    hashes = sorted(objects_of(listing, store))
    paths = b"".join(os.fsencode(store.location(md5)) + b"\n" for md5 in hashes)
    words = ["git", f"--git-dir={directory}", "hash-object", "-w", "--no-filters", "--stdin-paths"]
    done = subprocess.run(words, input=paths, capture_output=True, env=_environ(), check=False)
    revs = done.stdout.decode("ascii").split()
    if done.returncode != 0 or len(revs) != len(hashes):
        raise GitFailed(f"what -C has stored can't be packed: {done.stderr.decode('utf-8', 'replace').strip()}")
    return {_COPIES + md5: TreeFile(rev=Rev(rev), mode=REGULAR) for md5, rev in zip(hashes, revs, strict=True)}


def modules_of(repository: Repository, cargo: Rev) -> Mapping[str, Rev]:
    """Give the submodules of a cargo, by their paths; raises GitFailed for what is no cargo."""
    content = repository.read_file(repository.tree_of(cargo), _MODULES)
    try:
        plain = json.loads(content or b"")
        modules = {str(path): Rev(str(rev)) for path, rev in plain.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise GitFailed(f"{cargo} is no cargo: {error!r}") from error
    if any(not {"", ".", "..", ".git"}.isdisjoint(path.split("/")) for path in modules):
        raise GitFailed(f"{cargo} is no cargo: a submodule can't be at {list(modules)}")
    return modules


def unpack_copies(repository: Repository, cargo: Rev, store: Cache, directory: Path) -> None:
    """Put what -C had stored into a store of this host, as far as it is not there; `directory` is for what is under way.

    Raises GitFailed and OSError.
    """
    files = repository.files_of(repository.tree_of(cargo))
    stored = {path.removeprefix(_COPIES): file.rev for path, file in files.items() if path.startswith(_COPIES)}
    lacking = {md5: rev for md5, rev in stored.items() if not store.has(Fingerprint(md5=md5))}
    if not lacking:
        return
    directory.mkdir(exist_ok=True)
    hasher, found = Hasher(), list[tuple[Path, Fingerprint]]()
    for md5, rev in lacking.items():
        path = directory / md5
        _write_blob(repository, rev, path)
        fingerprint = hasher.file(str(path), path.stat())
        if fingerprint.md5 != md5:
            raise GitFailed(f"what came along with -C is not what was stored: {md5}")
        found.append((path, fingerprint))
    store.store_files(found)


def _write_blob(repository: Repository, rev: Rev, path: Path) -> None:
    if repository.blob_size(rev) <= _IN_MEMORY_BYTES_MAX:
        path.write_bytes(repository.read_blob(rev))
        return
    words = ["git", f"--git-dir={repository.handle.path}", "cat-file", "blob", rev]
    with path.open("wb") as file:
        done = subprocess.run(words, stdout=file, stderr=subprocess.PIPE, env=_environ(), check=False)
    if done.returncode != 0:
        raise GitFailed(f"{rev} can't be read: {done.stderr.decode('utf-8', 'replace').strip()}")


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
