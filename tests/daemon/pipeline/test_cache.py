"""Objects are complete or not there, found again, brought back by every kind of link, and never rewritten through one."""

import os
import stat
from pathlib import Path

import pytest

from expd.pipeline.cache import Cache
from expd.pipeline.hashing import Content, Hasher
from expd.pipeline.links import LinkType
from expd.pipeline.model import ChangedWhileReadError, Fingerprint, MissingObjectError


class CancelledError(Exception):
    """What a checkpoint raises."""


def content_of(path: Path) -> Content:
    """What is at `path`."""
    content = Hasher().content(str(path))
    assert content is not None
    return content


def store(cache: Cache, path: Path) -> Fingerprint:
    """Store the file or directory at `path`."""
    content = content_of(path)
    if content.manifest is None:
        cache.store_files([(path, content.fingerprint)])
    else:
        cache.store_files([(path / entry.relpath, entry.fingerprint) for entry in content.manifest.entries])
        cache.store_manifest(content.manifest, content.fingerprint)
    return content.fingerprint


def a_directory(path: Path) -> Path:
    """A directory with files in it, one of them empty, one executable, two the same."""
    (path / "sub").mkdir(parents=True)
    (path / "a").write_text("a")
    (path / "sub" / "same").write_text("a")
    (path / "sub" / "empty").touch()
    (path / "run").write_text("#!")
    (path / "run").chmod(0o755)
    return path


def leftovers(cache: Cache) -> list[Path]:
    """Temporary files in the cache."""
    return [file for file in cache.directory.rglob("*") if file.name.endswith(".tmp")]


def test_an_object_is_read_only_and_named_by_its_hash(tmp_path: Path) -> None:
    """A stored file lies at files/md5/<2>/<30> with mode 0444 and nothing unfinished beside it."""
    source = tmp_path / "file"
    source.write_text("hello")
    cache = Cache(tmp_path / "cache")
    fingerprint = store(cache, source)
    file = tmp_path / "cache" / "files" / "md5" / "5d" / "41402abc4b2a76b9719d911017c592"
    assert cache.location(fingerprint.md5) == file
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("hello", 0o444)
    assert cache.has(fingerprint)
    assert leftovers(cache) == []


@pytest.mark.parametrize("kind", ["reflink", "hardlink", "symlink", "copy"])
def test_a_directory_comes_back_by_every_kind_of_link(tmp_path: Path, kind: LinkType) -> None:
    """Stored and checked out elsewhere, a directory has the same files, whatever cache.type says."""
    source = a_directory(tmp_path / "source")
    cache = Cache(tmp_path / "cache", types=(kind, "copy"))
    fingerprint = store(cache, source)
    cache.check_out(fingerprint, tmp_path / "target")
    assert content_of(tmp_path / "target").fingerprint == fingerprint
    assert (tmp_path / "target" / "a").is_symlink() == (kind == "symlink")
    assert ((tmp_path / "target" / "a").stat().st_nlink > 1) == (kind == "hardlink")


def test_checking_out_replaces_what_is_there(tmp_path: Path) -> None:
    """A file, a directory or a link to something else gives way; what a link pointed to is untouched."""
    (tmp_path / "file").write_text("new")
    cache = Cache(tmp_path / "cache")
    fingerprint = store(cache, tmp_path / "file")
    precious = a_directory(tmp_path / "precious")
    (tmp_path / "link").symlink_to(precious)
    a_directory(tmp_path / "directory")
    for name in ("link", "directory"):
        cache.check_out(fingerprint, tmp_path / name)
        assert (tmp_path / name).read_text() == "new"
    cache.check_out(store(cache, precious), tmp_path / "link")
    assert sorted(path.name for path in precious.iterdir()) == ["a", "run", "sub"]


def test_an_executable_file_comes_back_executable(tmp_path: Path) -> None:
    """The recorded executable bit is set again for the owner."""
    cache = Cache(tmp_path / "cache")
    fingerprint = store(cache, a_directory(tmp_path / "source") / "run")
    cache.check_out(fingerprint, tmp_path / "target")
    assert os.access(tmp_path / "target", os.X_OK)


def test_a_missing_object_is_named_before_anything_is_touched(tmp_path: Path) -> None:
    """Checking out what the cache does not have leaves the target as it was, and names the object."""
    source = a_directory(tmp_path / "source")
    cache = Cache(tmp_path / "cache")
    fingerprint = store(cache, source)
    cache.location(content_of(source / "run").fingerprint.md5).unlink()
    with pytest.raises(MissingObjectError) as caught:
        cache.check_out(fingerprint, source)
    assert fingerprint.md5 in caught.value.expected
    assert (source / "run").exists()


@pytest.mark.parametrize("damage", ["", "hell", "other"])
def test_a_damaged_writable_object_is_removed(tmp_path: Path, damage: str) -> None:
    """An object that is not 0444 is read again; one that is short or different does not count and goes."""
    (tmp_path / "file").write_text("hello")
    cache = Cache(tmp_path / "cache")
    fingerprint = store(cache, tmp_path / "file")
    file = cache.location(fingerprint.md5)
    file.chmod(0o644)
    file.write_text(damage)
    assert not cache.has(fingerprint)
    assert not file.exists()


def test_an_intact_writable_object_is_protected_again(tmp_path: Path) -> None:
    """What another tool left writable is read once and then trusted."""
    (tmp_path / "file").write_text("hello")
    cache = Cache(tmp_path / "cache")
    fingerprint = store(cache, tmp_path / "file")
    cache.location(fingerprint.md5).chmod(0o644)
    assert cache.has(fingerprint)
    assert stat.S_IMODE(cache.location(fingerprint.md5).stat().st_mode) == 0o444


def test_a_cancel_leaves_no_half_object(tmp_path: Path) -> None:
    """When the checkpoint raises between two files, neither an incomplete object nor a temporary file stays."""
    calls: list[int] = []

    def cancel_at_the_second() -> None:
        calls.append(1)
        if len(calls) > 1:
            raise CancelledError

    source = a_directory(tmp_path / "source")
    cache = Cache(tmp_path / "cache", checkpoint=cancel_at_the_second)
    with pytest.raises(CancelledError):
        store(cache, source)
    assert [file for file in (tmp_path / "cache").rglob("*") if file.is_file()] == []


def test_a_file_that_changes_after_it_was_hashed_is_refused(tmp_path: Path) -> None:
    """Content that no longer fits its hash never becomes an object."""
    source = tmp_path / "file"
    source.write_text("hello")
    fingerprint = content_of(source).fingerprint
    os.utime(source, ns=(1, 1))
    source.write_text("HELLO")
    cache = Cache(tmp_path / "cache")
    with pytest.raises(ChangedWhileReadError):
        cache.store_files([(source, fingerprint)])
    assert not cache.has(fingerprint)
    assert leftovers(cache) == []


def test_unprotecting_cuts_the_tie_to_the_cache(tmp_path: Path) -> None:
    """After it, writing to an output that was linked does not reach the object."""
    for kind in ("hardlink", "symlink"):
        base = tmp_path / kind
        cache = Cache(base / "cache", types=(kind,))
        source = a_directory(base / "source")
        fingerprint = store(cache, source)
        cache.relink(content_of(source), source)
        cache.unprotect(source)
        (source / "a").write_text("appended")
        assert cache.has(fingerprint)
        assert stat.S_IMODE((source / "a").stat().st_mode) & 0o200


def test_a_group_cache_lets_the_group_add(tmp_path: Path) -> None:
    """With cache.shared=group every directory is 02775, as DVC makes it."""
    (tmp_path / "file").write_text("hello")
    cache = Cache(tmp_path / "cache", shared=True)
    store(cache, tmp_path / "file")
    modes = {
        stat.S_IMODE(path.stat().st_mode) for path in [cache.directory, *cache.directory.rglob("*")] if path.is_dir()
    }
    assert modes == {0o2775}


def test_many_small_files_are_stored_in_one_batch(tmp_path: Path) -> None:
    """More files than are synced singly arrive as well, and the manifest names each."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(40):
        (source / f"{number}").write_text(f"{number}")
    cache = Cache(tmp_path / "cache")
    fingerprint = store(cache, source)
    assert cache.has(fingerprint)
    assert len(cache.manifest(fingerprint).entries) == 40


def test_a_manifest_that_leads_outside_is_not_followed(tmp_path: Path) -> None:
    """A manifest from a foreign cache with `..` in a path counts as damaged."""
    cache = Cache(tmp_path / "cache")
    fingerprint = Fingerprint(md5="0123456789abcdef0123456789abcdef.dir")
    file = cache.location(fingerprint.md5)
    file.parent.mkdir(parents=True)
    file.write_text('[{"md5": "5d41402abc4b2a76b9719d911017c592", "relpath": "../../etc/x"}]')
    file.chmod(0o444)
    assert not cache.has(fingerprint)
