"""Where the last lines of a log begin, as tail(1) has it."""

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expd.serve.logs import tail_offset

_lines = st.lists(st.sampled_from([b"", b"a", b"\r", b"\0\xff", b"longer line " * 20]), max_size=30)


def tail(log: Path, lines: int) -> bytes:
    """Ask tail(1)."""
    return subprocess.run(["tail", "-n", str(lines), log], capture_output=True, check=True).stdout


@settings(max_examples=100, deadline=None)
@given(lines=_lines, ends=st.booleans(), wanted=st.integers(0, 40))
def test_the_last_lines_are_those_of_tail(lines: list[bytes], ends: bool, wanted: int) -> None:
    """For any text, finished by a line feed or not, the offset is where the output of `tail -n` begins."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory, "log")
        log.write_bytes(b"\n".join(lines) + (b"\n" if ends and lines else b""))

        offset = tail_offset(log, wanted)

        assert log.read_bytes()[offset:] == tail(log, wanted)


BLOCK = 64 * 1024


@pytest.mark.parametrize("wanted", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    "text",
    [
        b"x" * (BLOCK - 1) + b"\n" + b"y" * BLOCK + b"\n",
        b"x" * BLOCK + b"\n" + b"y" * (BLOCK - 1),
        b"\n" * (2 * BLOCK + 1),
        b"x" * (3 * BLOCK),
        b"a\n" + b"x" * BLOCK + b"\nb",
        b"".join(b"line %d\n" % number for number in range(20_000)),
    ],
    ids=["break at a block's end", "break behind a block", "breaks only", "no break", "a block of text", "many lines"],
)
def test_blocks_make_no_difference(tmp_path: Path, text: bytes, wanted: int) -> None:
    """The file is read in blocks from its end, and lines that cross their borders are whole."""
    (tmp_path / "log").write_bytes(text)

    assert (tmp_path / "log").read_bytes()[tail_offset(tmp_path / "log", wanted) :] == tail(tmp_path / "log", wanted)


def test_more_lines_than_there_are_is_the_beginning(tmp_path: Path) -> None:
    """An empty log, and a number no log has, begin at 0."""
    (tmp_path / "log").touch()

    assert [tail_offset(tmp_path / "log", wanted) for wanted in (0, 1, 2**62)] == [0, 0, 0]
