"""`expctl doctor` and `gc` in words: every finding has what, why and what to do, also one nobody here knows."""

from pathlib import Path

import pytest

from client.conftest import Expctl
from client.scripted import serving
from expctl.render.findings import SENTENCES, sentence_of
from expctl.render.sizes import size_words
from expproto.records import FindingRecord, GarbageRecord
from expproto.replies import Examined, GarbageCollected
from expproto.requests import Doctor, Gc

LEFT = FindingRecord(
    code="file_left", section="files", subject="/s/runs/1.log", is_problem=True, data={"kind": "run_file", "size": 2048}, mendable=True
)  # fmt: skip
ROOM = FindingRecord(
    code="disk_room", section="disk", subject="/s", is_problem=False, data={"type": "ext4", "free": 5, "size": 10}
)


@pytest.mark.parametrize("code", SENTENCES)
def test_every_finding_has_its_sentence(code: str) -> None:
    """Also without its data, as another version may send it, there is something to read."""
    finding = FindingRecord(code=code, section="daemon", subject="x", is_problem=True, data={})

    assert sentence_of(finding).what


def test_a_finding_nobody_knows_is_told_by_its_code() -> None:
    """A newer daemon's finding is shown as it came."""
    finding = FindingRecord(code="novel", section="daemon", subject="x", is_problem=True, data={"a": 1})

    assert sentence_of(finding).what == "novel: {'a': 1}"


def test_problems_make_the_exit_code(sock: Path, expctl: Expctl) -> None:
    """10 with something wrong, and the way to mend it is named; what is fine is told too."""
    with serving(sock, [[Examined(findings=(LEFT, ROOM), count=2, repository="/r")]]) as daemon:
        ran = expctl("doctor")

    (request,) = daemon.requests
    assert isinstance(request, Doctor)
    assert not request.fix
    assert ran.code == 10
    assert ran.out.splitlines() == [
        "wrong\tfiles\tfile_left\t/s/runs/1.log\ta run file that nobody needs, 2.0 KiB",
        "fine\tdisk\tdisk_room\t/s\t5 bytes are free of 10 bytes (ext4)",
    ]
    assert "expctl doctor --fix" in ran.err


def test_nothing_wrong_is_said(sock: Path, expctl: Expctl) -> None:
    """Exit code 0, in so many words."""
    with serving(sock, [[Examined(findings=(ROOM,), count=1, repository=None)]]):
        ran = expctl("doctor", "--fix")

    assert (ran.code, ran.err) == (0, "expctl: nothing is wrong\n")


def test_without_a_daemon_what_there_is_is_told(sock: Path, expctl: Expctl) -> None:
    """Exit code 3; the reason is a finding like the others."""
    ran = expctl("doctor", "--json")

    assert ran.code == 3
    findings = ran.document["findings"]
    assert isinstance(findings, list)
    assert [each["code"] for each in findings] == ["no_daemon"]
    assert str(sock) in findings[0]["subject"]


def test_garbage_is_a_line_a_piece(sock: Path, expctl: Expctl) -> None:
    """What, of what, how many bytes, by which rule; the sum in words, and whether it is gone."""
    garbage = GarbageRecord(what="log", subject="/s/runs/1.log", repository=None, size=4096, rule="age")
    answer = GarbageCollected(garbage=(garbage,), count=1, size=4096, problems=("x stays: locked",))
    with serving(sock, [[answer]], [[answer]]) as daemon:
        told, done = expctl("gc", "--dry-run"), expctl("gc")

    assert [request.dry_run for request in daemon.requests if isinstance(request, Gc)] == [True, False]
    assert told.out == done.out == "log\t/s/runs/1.log\t4096\tage\n"
    assert "1 would be removed, 4.0 KiB" in told.err
    assert "1 removed, 4.0 KiB" in done.err
    assert "x stays: locked" in done.err
    assert done.code == 1


def test_sizes_are_words() -> None:
    """In steps of 1024."""
    assert [size_words(size) for size in (0, 1023, 1024, 5 * 2**20, 2**50)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "5.0 MiB",
        "1024.0 TiB",
    ]
