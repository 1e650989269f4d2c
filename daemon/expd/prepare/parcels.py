"""Entries on their way to another clone: one file, an uncompressed tar of a manifest and a Git bundle.

The bundle holds what a clone with the baseline lacks. Environments, copies (-C), DVC's data and the content of
submodules are in no such file; what needs them is refused here, or by the checks of the importing side.
"""

import os
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from expd.gitio.bundles import needs_of_bundle, read_bundle, write_bundle
from expd.gitio.errors import GitFailed
from expd.gitio.locate import Location
from expd.gitio.refs import ENTRIES, put_ref
from expd.gitio.repository import SUBMODULE, Repository
from expd.linux.durable import sync_directory
from expd.pipeline.config import cache_directory
from expd.prepare.checks import check_pipeline
from expd.prepare.manifest import Manifest, UnusableExport, manifest_from_json, manifest_to_json
from expd.prepare.project import Project
from expd.prepare.submission import check_free
from expproto.vocabulary import Rev

MANIFEST, BUNDLE = "manifest.json", "entry.bundle"
MANIFEST_BYTES_MAX = 16 * 1024 * 1024
"""Ten thousand points of a hundred parameters, as of a file of points."""
BUNDLE_BYTES_MAX = 16 * 1024**3
"""Far beyond what a capture may hold by its limits; a larger file is no capture."""
_COPY_BYTES = 1024 * 1024


def export(repository: Repository, private: Path, manifest: Manifest, since: Rev, file: Path) -> int:
    """Write an export, whole or not at all, over nothing that is there; gives its bytes.

    Raises UnusableExport, GitFailed, and FileExistsError.
    """
    _check_submodules(repository, manifest)
    private.mkdir(parents=True, exist_ok=True)
    bundle = private / f"export-{manifest.kept_rev}.bundle"
    try:
        write_bundle(repository, bundle, manifest.ref, since)
        return _write_tar(file, manifest_to_json(manifest), bundle)
    finally:
        bundle.unlink(missing_ok=True)


def _check_submodules(repository: Repository, manifest: Manifest) -> None:
    before = repository.files_of(repository.tree_of(manifest.baseline_rev))
    for path, file in repository.files_of(repository.tree_of(manifest.kept_rev)).items():
        if file.mode == SUBMODULE and before.get(path) != file:
            what = f"what it captured of the submodule {path} is in another repository, and not in an export"
            raise UnusableExport(what, "push the submodule's commit, commit the submodule here, and submit again")


def _write_tar(file: Path, manifest: bytes, bundle: Path) -> int:
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            member = tarfile.TarInfo(MANIFEST)
            member.size = len(manifest)
            tar.addfile(member, BytesIO(manifest))
            member = tarfile.TarInfo(BUNDLE)
            member.size = bundle.stat().st_size
            with bundle.open("rb") as content:
                tar.addfile(member, content)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.link(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(file.parent)
    return file.stat().st_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Entries of an export, held by a ref of this repository."""

    manifest: Manifest
    project: Project
    captured_tree: Rev


def import_entries(location: Location, file: Path, held_as: str, entries_max: int) -> Imported:
    """Check an export whole, store its objects and hold them; raises UnusableExport, ExperimentExists, PipelineError."""
    private = location.private_directory
    private.mkdir(parents=True, exist_ok=True)
    bundle = private / f"import-{held_as.rpartition('/')[2]}.bundle"
    try:
        manifest = manifest_from_json(_unpack(file, bundle), entries_max)
        repository = Repository(location.git_directory)
        _check_needs(repository, manifest, bundle)
        try:
            read_bundle(repository, bundle, manifest.ref)
        except GitFailed as error:
            raise UnusableExport(f"its bundle is damaged: {error.what}") from error
    finally:
        bundle.unlink(missing_ok=True)
    repository = Repository(location.git_directory)
    _check_commits(repository, manifest)
    project = _project(location, repository, manifest)
    if manifest.command is None or manifest.as_stage:
        tree = repository.tree_of(manifest.entries[0].stash_rev)
        check_pipeline(repository, tree, project, manifest.targets, options=manifest.stage_options)
    put_ref(repository, f"{ENTRIES}{held_as}", manifest.kept_rev)
    stash_revs = [entry.stash_rev for entry in manifest.entries]
    repository.check_present(manifest.baseline_rev, [manifest.kept_rev, *stash_revs])
    return Imported(manifest=manifest, project=project, captured_tree=repository.tree_of(manifest.kept_rev))


def _unpack(file: Path, bundle: Path) -> bytes:
    """Give the manifest and write the bundle: two regular files of known names, in order, nothing else."""
    try:
        with tarfile.open(file, mode="r:") as tar:
            document = _member(tar, MANIFEST, MANIFEST_BYTES_MAX).read()
            content = _member(tar, BUNDLE, BUNDLE_BYTES_MAX)
            with bundle.open("wb") as stream:
                while piece := content.read(_COPY_BYTES):
                    stream.write(piece)
            if tar.next() is not None:
                raise UnusableExport("it holds more than a manifest and a bundle")
    except tarfile.TarError as error:
        raise UnusableExport(f"it is no file that `expctl export` wrote: {error}") from None
    return document


def _member(tar: tarfile.TarFile, name: str, bytes_max: int) -> IO[bytes]:
    member = tar.next()
    if member is None or member.name != name or not member.isreg() or member.issparse():
        raise UnusableExport(f"it is no file that `expctl export` wrote: {name} is not where it belongs")
    if member.size > bytes_max:
        raise UnusableExport(f"its {name} has {member.size} bytes; at most {bytes_max} are taken")
    content = tar.extractfile(member)
    assert content is not None
    return content


def _check_needs(repository: Repository, manifest: Manifest, bundle: Path) -> None:
    try:
        needs, refs = needs_of_bundle(bundle)
    except ValueError as error:
        raise UnusableExport(f"its bundle can't be read: {error}") from None
    if refs != {manifest.ref: manifest.kept_rev}:
        raise UnusableExport("its bundle holds other refs than its manifest says")
    for rev in needs:
        if not repository.has_object(rev):
            hint = f"git fetch it from where the entry was made (git fetch REMOTE {rev}), or export with --since an older commit"
            raise UnusableExport(f"it stands on the commit {rev}, which this repository does not have", hint)


def _check_commits(repository: Repository, manifest: Manifest) -> None:
    """Check that the commits are what an export holds: stash commits on the baseline, kept by the one at the ref."""
    stash_revs = [entry.stash_rev for entry in manifest.entries]
    try:
        kept = {manifest.kept_rev, *repository.parents_of(manifest.kept_rev)}
        shapes = [repository.is_stash_commit(rev) and repository.parents_of(rev)[0] for rev in stash_revs]
    except GitFailed as error:
        raise UnusableExport(f"its bundle lacks what its manifest names: {error.what}") from error
    if not kept.issuperset(stash_revs) or set(shapes) != {manifest.baseline_rev}:
        raise UnusableExport("its commits are no stash commits on the baseline that it names")
    check_free(repository, manifest.baseline_rev, [entry.name for entry in manifest.entries])


def _project(location: Location, repository: Repository, manifest: Manifest) -> Project:
    tree = repository.tree_of(manifest.entries[0].stash_rev)
    if not all(repository.has_path(tree, path) for path in (manifest.root, manifest.directory)):
        raise UnusableExport("its project is not in its tree")
    root = location.workspace / manifest.root
    cache = cache_directory(root) if (root / ".dvc").is_dir() else location.private_directory / "cache"
    return Project(location=location, root=manifest.root, directory=manifest.directory, cache=cache)
