"""The daemon's own log: one event is one line, whatever its text."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expd.journal import one_line

SPEAK = """
    import logging, os, sys
    from expd.journal import open_journal

    open_journal(os.environ, verbose="verbose" in sys.argv)
    log = logging.getLogger("expd.dispatch")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        log.log(level, "entry %s", sys.argv[1])
    if "broken" in sys.argv:
        try:
            raise ValueError("first\\nsecond")
        except ValueError:
            log.exception("it broke")
    logging.getLogger("elsewhere").error("nobody asked for this")
"""
FORGERY = "x\n<0>expd: forged\r\x1b[2J\u2028\x85tail"


def _spoken(log: Path, *arguments: str, under_systemd: bool) -> list[str]:
    """Let a process log to a file, as the journal's own stream or as any; gives its lines."""
    with log.open("wb") as stream:
        status = os.fstat(stream.fileno())
        environ = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}" if under_systemd else "1:1"}
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SPEAK), *arguments], stderr=stream, env=environ, check=True
        )
    return log.read_text(encoding="utf-8").split("\n")


@given(st.text())
def test_any_text_is_one_line(text: str) -> None:
    """No sign that ends a line, moves a cursor or turns the direction of writing is left in it."""
    shown = one_line(text)

    assert shown.isprintable()
    assert shown.splitlines() in ([shown], [])


def test_ordinary_text_stays_as_it_is() -> None:
    """Letters of any script, spaces and signs are not escaped."""
    assert one_line("entry 3 “größe” λ=0.1") == "entry 3 “größe” λ=0.1"
    assert one_line("a\nb\tc\x1b") == "a\\nb\\tc\\x1b"


def test_priorities_lead_the_lines_of_the_journal(tmp_path: Path) -> None:
    """Where the stream is the journal's, each line begins with its syslog level and carries no time."""
    lines = _spoken(tmp_path / "log", "7", "verbose", under_systemd=True)

    assert lines == [
        "<7>expd.dispatch: entry 7",
        "<6>expd.dispatch: entry 7",
        "<4>expd.dispatch: entry 7",
        "<3>expd.dispatch: entry 7",
        "<2>expd.dispatch: entry 7",
        "nobody asked for this",
        "",
    ]


def test_times_lead_the_lines_elsewhere(tmp_path: Path) -> None:
    """In a file or on a terminal a line begins with its time and level, and details are left out unless asked for."""
    lines = _spoken(tmp_path / "log", "7", under_systemd=False)

    assert [line.split(" ", 1)[1] for line in lines[:4]] == [
        "INFO expd.dispatch: entry 7",
        "WARNING expd.dispatch: entry 7",
        "ERROR expd.dispatch: entry 7",
        "CRITICAL expd.dispatch: entry 7",
    ]
    assert all(line[4] == "-" and line[10] == "T" for line in lines[:4])


@pytest.mark.parametrize("under_systemd", [True, False], ids=["journal", "file"])
def test_a_name_can_not_forge_a_line(tmp_path: Path, under_systemd: bool) -> None:
    """Line breaks of every kind in a name are shown escaped: four events are four lines."""
    lines = _spoken(tmp_path / "log", FORGERY, under_systemd=under_systemd)

    assert len(lines) == 4 + 1 + 1  # the foreign line, and the end
    assert not any(line.startswith("<0>") for line in lines)
    assert all("x\\n<0>expd: forged\\r\\x1b[2J\\u2028\\x85tail" in line for line in lines[:4])


def test_a_traceback_is_one_line(tmp_path: Path) -> None:
    """What goes wrong is told whole, and still as one event."""
    lines = _spoken(tmp_path / "log", "7", "broken", under_systemd=True)

    assert len(lines) == 5 + 1 + 1
    assert lines[4].startswith("<3>expd.dispatch: it broke\\nTraceback")
    assert lines[4].endswith("ValueError: first\\nsecond")
