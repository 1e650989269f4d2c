"""Large files are worked on several at once, and neither an error nor a cancel is lost in a thread."""

import os
import threading
from functools import partial
from pathlib import Path

import pytest

from expd.pipeline import hashing
from expd.pipeline.cache import Cache
from expd.pipeline.hashing import Hasher, no_checkpoint
from expd.pipeline.model import ChangedWhileReadError
from expd.pipeline.project import open_project
from expd.pipeline.sidebyside import LARGE_BYTES, Checkpoint, side_by_side


class Cancelled(Exception):
    """What a caller's checkpoint raises."""


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be several cores wherever the tests run."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})


def _endless(checkpoint: Checkpoint) -> None:
    while True:
        checkpoint()


def test_tasks_run_at_the_same_time_and_answer_in_order() -> None:
    """Four tasks that wait for each other come to an end, each with its own answer in its own place."""
    met = threading.Barrier(4, timeout=30)

    def meet(number: int, _checkpoint: Checkpoint) -> int:
        met.wait()
        return number

    assert side_by_side([partial(meet, number) for number in range(4)], no_checkpoint) == [0, 1, 2, 3]


def test_an_error_ends_the_others() -> None:
    """What one task raises is raised, and tasks that would never end are ended."""

    def fail(_checkpoint: Checkpoint) -> None:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        side_by_side([_endless, _endless, fail], no_checkpoint)


def test_a_cancel_ends_all_and_is_asked_for_in_the_callers_thread() -> None:
    """The caller's checkpoint is its own: what it raises ends the work and passes through."""
    threads = set[int]()

    def cancel() -> None:
        threads.add(threading.get_ident())
        raise Cancelled

    with pytest.raises(Cancelled):
        side_by_side([_endless, _endless], cancel)
    assert threads == {threading.get_ident()}


def test_a_directory_of_large_files_is_hashed_and_stored_like_any_other(tmp_path: Path) -> None:
    """Large and small files, side by side or one by one: the same manifest, and each object is there."""
    for number in range(9):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / f"{number}").write_bytes(bytes([number]) * (LARGE_BYTES + number if number % 2 else number))
    content = Hasher().content(str(tmp_path / "d"))
    assert content is not None
    assert content.manifest is not None
    single = {path.name: Hasher().content(str(path)) for path in (tmp_path / "d").iterdir()}
    cache = Cache(tmp_path / "cache")

    cache.store_content(content, tmp_path / "d")

    assert [entry.relpath for entry in content.manifest.entries] == sorted(single)
    for entry in content.manifest.entries:
        known = single[entry.relpath]
        assert known is not None
        assert entry.fingerprint == known.fingerprint
    assert cache.has(content.fingerprint)


def test_large_outputs_of_one_stage_are_hashed_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two outputs that are a file each are read at the same time: each read waits until the other has begun."""
    (tmp_path / "dvc.yaml").write_text("stages:\n  make: {cmd: make it, outs: [one, two, small]}\n")
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode() * LARGE_BYTES)
    (tmp_path / "small").write_text("small")
    met = threading.Barrier(2, timeout=30)
    digest_of = hashing.hash_file

    def meet(location: str, checkpoint: Checkpoint) -> str:
        if not location.endswith("small"):
            met.wait()
        return digest_of(location, checkpoint)

    monkeypatch.setattr(hashing, "hash_file", meet)
    project = open_project(tmp_path, tmp_path, cache=Cache(tmp_path / "cache"))
    (stage,) = project.order()

    record = project.record(stage)

    known = {path: digest_of(str(tmp_path / path)) for path in ("one", "two", "small")}
    assert {path: found.md5 for path, found in record.entry.outs.items()} == known


def test_a_large_file_that_changes_is_not_stored(tmp_path: Path) -> None:
    """The refusal of a file that is written to passes out of its thread; nothing half-done is left."""
    files = [tmp_path / "d" / name for name in ("a", "b", "c")]
    (tmp_path / "d").mkdir()
    for file in files:
        file.write_bytes(file.name.encode() * LARGE_BYTES)
    content = Hasher().content(str(tmp_path / "d"))
    assert content is not None
    files[1].write_bytes(b"x" * LARGE_BYTES)
    cache = Cache(tmp_path / "cache")

    with pytest.raises(ChangedWhileReadError):
        cache.store_content(content, tmp_path / "d")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
