"""Restore: what is asked, and what a person is told of it."""

from pathlib import Path

import pytest

from client.conftest import Expctl
from client.scripted import BASELINE, RESULT, STASH, serving
from expproto.replies import Refusal, Restored
from expproto.requests import Restore
from expproto.vocabulary import EntryId

DONE = Restored(
    entry=EntryId(1),
    name="tuned",
    workspace="/here",
    origin="/there",
    written=("a.py", "b.py"),
    written_count=2,
    removed=("old.py",),
    removed_count=1,
    left=("new.py",),
    left_count=1,
    baseline_rev=BASELINE,
    head_rev=RESULT,
    kept_rev=STASH,
)


def test_restore_names_files_and_says_what_it_did_not_do(sock: Path, expctl: Expctl) -> None:
    """Paths on stdout; on stderr where it wrote, that HEAD stayed, and how what was there comes back."""
    with serving(sock, [[DONE]]):
        ran = expctl("restore", "tuned")

    assert ran.out.splitlines() == ["written\ta.py", "written\tb.py", "removed\told.py", "left\tnew.py"]
    assert ran.err.splitlines() == [
        "/here is as it was captured for tuned: 2 written, 1 removed",
        "this is not the work tree it was captured in: that is /there",
        "new since, and left alone: 1",
        "HEAD is at eeeeeee and was at bbbbbbb: it was not moved, so `git status` compares with eeeeeee",
        "what was there before is kept: expctl restore 555555555555",
    ]


def test_restore_asks_for_one_entry(
    sock: Path, expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory decides which work tree is written, the umask how."""
    monkeypatch.chdir(tmp_path)
    with serving(sock, [[DONE]]) as daemon:
        document = expctl("restore", "-f", "7", "--json").document

    (request,) = daemon.requests
    assert isinstance(request, Restore)
    assert (request.cwd, request.entry, request.force) == (str(tmp_path), "7", True)
    assert (document["entry"], document["kept_rev"]) == (1, STASH)


def test_newer_edits_are_listed(sock: Path, expctl: Expctl) -> None:
    """The files that would be lost are named, however many there are, and so is the way out."""
    refusal = Refusal(code="newer_edits", data={"paths": ["a.py", "b.py"], "count": 3})
    with serving(sock, [[refusal]]):
        ran = expctl("restore", "1")

    assert ran.code == 5
    assert ran.err.splitlines()[:4] == [
        "expctl: edits would be lost, in so many files: 3; nothing was changed",
        "  a.py",
        "  b.py",
        "  … 1 more",
    ]
    assert "--force" in ran.err
