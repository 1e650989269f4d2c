"""`expctl submit --explain`: what is asked, and how it is shown."""

from pathlib import Path

import pytest

from client.conftest import Expctl
from client.scripted import Step, serving
from expproto.records import CaptureRecord
from expproto.replies import CapturePage, Explained
from expproto.requests import Explain

FILES = (
    CaptureRecord(path="a\tb", fate="new", size=4),
    CaptureRecord(path="gone", fate="deleted", size=None),
    CaptureRecord(path=".env", fate="secret", size=17),
)
ANSWER: list[Step] = [CapturePage(files=FILES[:2]), CapturePage(files=FILES[2:]), Explained(count=3)]


def test_explain_asks_for_the_capture_only(
    sock: Path, expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What decides about files is sent, and nothing is submitted."""
    monkeypatch.chdir(tmp_path)
    with serving(sock, [ANSWER]) as daemon:
        ran = expctl("submit", "--explain", "-C", "big", "--include", ".env", "-S", "a=1")

    assert ran.code == 0
    assert daemon.requests == [Explain(cwd=str(tmp_path), include=(".env",), copy_paths=("big",))]


def test_explain_prints_fate_path_and_bytes(sock: Path, expctl: Expctl) -> None:
    """Off a terminal a path is one line of tab-separated fields; with -q only what goes along is named."""
    with serving(sock, [ANSWER], [ANSWER]):
        assert expctl("submit", "--explain").out == "new\ta\\x09b\t4\ndeleted\tgone\t\nsecret\t.env\t17\n"
        assert expctl("submit", "--explain", "-q").out == "a\\x09b\ngone\n"


def test_explain_json_has_the_documented_fields(sock: Path, expctl: Expctl) -> None:
    """Each path says whether it is taken, so that no script has to know every fate."""
    with serving(sock, [ANSWER]):
        ran = expctl("submit", "--explain", "--json")

    assert ran.document == {
        "schema": 1,
        "files": [
            {"path": "a\tb", "fate": "new", "taken": True, "size": 4},
            {"path": "gone", "fate": "deleted", "taken": True, "size": None},
            {"path": ".env", "fate": "secret", "taken": False, "size": 17},
        ],
    }


def test_explain_whose_pages_are_short_is_an_error(sock: Path, expctl: Expctl) -> None:
    """A page that is missing is never shown as if all were there."""
    with serving(sock, [[CapturePage(files=FILES[:1]), Explained(count=3)]]):
        assert expctl("submit", "--explain").code == 8
