"""Hashes are DVC's, made in constant memory, noticed by a cancel, and remembered only while nothing changes."""

import os
import tracemalloc
from pathlib import Path

import pytest

from expd.pipeline.dvcignore import DvcIgnore
from expd.pipeline.hashing import CHUNK_BYTES, Content, Hasher, hash_file, hash_legacy_file
from expd.pipeline.memo import RACY_NANOSECONDS, HashMemo, key_of
from expd.pipeline.model import Fingerprint, PipelineError


class CancelledError(Exception):
    """What a checkpoint raises."""


def content_of(path: Path, hasher: Hasher | None = None) -> Content:
    """What is at `path`."""
    content = (hasher or Hasher()).content(str(path))
    assert content is not None
    return content


def test_a_directory_has_the_hash_that_dvc_gives_it(tmp_path: Path) -> None:
    """The manifest lists md5 and relpath, sorted, as ASCII JSON; its md5 with `.dir` is the hash."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("a\n")
    (tmp_path / "sub" / "é").write_text("b\n")
    content = content_of(tmp_path)
    assert content.manifest is not None
    assert content.manifest.to_bytes() == (
        b'[{"md5": "60b725f10c9c85c70d97880dfe8191b3", "relpath": "a.txt"}, '
        b'{"md5": "3b5d5c3712955042212316173ccf37be", "relpath": "sub/\\u00e9"}]'
    )
    assert content.fingerprint == Fingerprint(md5="563b73eb78be4fed9544d1f8c5532b8a.dir", size=4, nfiles=2)


def test_nothing_there_is_none(tmp_path: Path) -> None:
    """A missing path, one below a file, and a broken link are all nothing."""
    (tmp_path / "file").touch()
    (tmp_path / "broken").symlink_to("nowhere")
    assert [Hasher().content(str(tmp_path / name)) for name in ("none", "file/x", "broken")] == [None, None, None]


def test_links_to_files_count_and_links_to_directories_do_not(tmp_path: Path) -> None:
    """As in DVC a linked file is hashed by its content, a linked directory left out."""
    (tmp_path / "d" / "real").mkdir(parents=True)
    (tmp_path / "d" / "real" / "x").write_text("x")
    (tmp_path / "d" / "file").symlink_to("real/x")
    (tmp_path / "d" / "directory").symlink_to("real")
    manifest = content_of(tmp_path / "d").manifest
    assert manifest is not None
    assert [entry.relpath for entry in manifest.entries] == ["file", "real/x"]


@pytest.mark.parametrize("what", ["pipe", "broken link", "ignore file"])
def test_what_can_not_be_tracked_is_named(tmp_path: Path, what: str) -> None:
    """A pipe, a link to nothing or an ignore file inside a directory is an error with its path."""
    path = tmp_path / "d" / {"ignore file": ".dvcignore"}.get(what, "x")
    path.parent.mkdir()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "broken link":
        path.symlink_to("nowhere")
    else:
        path.touch()
    with pytest.raises(PipelineError) as caught:
        Hasher().content(str(path.parent))
    assert caught.value.path == str(path)


def test_ignored_files_do_not_count(tmp_path: Path) -> None:
    """What .dvcignore names, and a nested project, take no part in the hash."""
    (tmp_path / ".dvcignore").write_text("*.tmp\n")
    (tmp_path / "d" / "nested" / ".dvc").mkdir(parents=True)
    (tmp_path / "d" / "nested" / "x").touch()
    (tmp_path / "d" / "a").touch()
    (tmp_path / "d" / "b.tmp").touch()
    manifest = content_of(tmp_path / "d", Hasher(ignore=DvcIgnore(str(tmp_path)))).manifest
    assert manifest is not None
    assert [entry.relpath for entry in manifest.entries] == ["a"]


def test_a_huge_file_needs_little_memory_and_can_be_cancelled(tmp_path: Path) -> None:
    """The checkpoint is called for every chunk, what it raises ends the hash, and no more than chunks are held."""
    file = tmp_path / "sparse"
    file.touch()
    os.truncate(file, 64 * CHUNK_BYTES)
    calls: list[int] = []
    tracemalloc.start()
    hash_file(str(file), lambda: calls.append(1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(calls) == 64
    assert peak < 4 * CHUNK_BYTES

    def cancel() -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        hash_file(str(file), cancel)


def test_the_old_hash_folds_line_endings_of_text_only(tmp_path: Path) -> None:
    """DVC 2 hashed CRLF as LF, but not in a file with a NUL."""
    for name, data in {"crlf": b"a\r\nb\r\n", "lf": b"a\nb\n", "binary": b"\0a\r\n"}.items():
        (tmp_path / name).write_bytes(data)
    assert hash_legacy_file(str(tmp_path / "crlf")) == hash_file(str(tmp_path / "lf"))
    assert hash_legacy_file(str(tmp_path / "binary")) == hash_file(str(tmp_path / "binary"))


def test_a_file_at_rest_is_hashed_once(tmp_path: Path) -> None:
    """A second look at an unchanged file reads nothing; a change of size, time or inode is noticed."""
    file = tmp_path / "f"
    file.write_text("one")
    later = HashMemo(now_ns=lambda: file.stat().st_ctime_ns + 2 * RACY_NANOSECONDS)
    reads: list[int] = []
    hasher = Hasher(memo=later, checkpoint=lambda: reads.append(1))
    first = content_of(file, hasher)
    assert content_of(file, hasher) == first
    assert len(reads) == 1
    other = tmp_path / "g"
    other.write_text("two")
    other.replace(file)
    assert content_of(file, hasher) != first


def test_a_file_that_has_just_changed_is_not_remembered(tmp_path: Path) -> None:
    """Within one tick of the clock that stamps files a second write could go unseen, so such a file is read again."""
    file = tmp_path / "f"
    file.write_text("one")
    status = file.stat()
    memo = HashMemo(now_ns=lambda: status.st_ctime_ns + RACY_NANOSECONDS // 2)
    content_of(file, Hasher(memo=memo))
    assert memo.get(key_of(str(file), status)) is None


def test_a_memo_survives_on_disk_and_damage_is_no_knowledge(tmp_path: Path) -> None:
    """What was saved is loaded; a missing or broken file loads as nothing."""
    memo = HashMemo()
    key = key_of("/x", tmp_path.stat())
    memo.put(key, "0" * 32, key.ctime_ns + 2 * RACY_NANOSECONDS)
    memo.save(tmp_path / "memo")
    loaded = HashMemo()
    loaded.load(tmp_path / "memo")
    assert loaded.get(key) == "0" * 32
    for text in ("{", "{}", '[["/x", 1]]'):
        (tmp_path / "memo").write_text(text)
        empty = HashMemo()
        empty.load(tmp_path / "memo")
        empty.load(tmp_path / "none")
        assert len(empty) == 0
