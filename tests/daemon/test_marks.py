"""What is told of a run stands beside its raw log, and both are one stream again, whatever happened to either."""

import json
import os
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from expd.execute.marks import RECORD_BYTES_MAX, MarkWriter, Record, marks_of, read_marks
from expd.execute.runlog import RunLog
from expd.execute.timings import Timings
from expd.serve.logs import LogStream, Position, tail_position
from expproto.logs import Mark, Output, StoredOutput
from expproto.vocabulary import EntryId


class Pair:
    """A log and its marks, written as a worker writes them."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "1.log"
        self.marks = marks_of(self.log)
        self.run = RunLog(self.log, Timings())

    def write(self, data: bytes) -> None:
        """Write as a command does."""
        os.write(self.run.descriptor, data)

    def records(self) -> list[Record]:
        """Read all marks that are whole."""
        descriptor = os.open(self.marks, os.O_RDONLY)
        try:
            return read_marks(descriptor, 0)[0]
        finally:
            os.close(descriptor)

    async def events(self, place: Position = Position()) -> list[Output | Mark]:  # noqa: B008 - it is frozen
        """Give what is sent of both from a place on."""
        found: list[Output | Mark] = []

        async def take(event: Output | StoredOutput | Mark) -> None:
            await trio.lowlevel.checkpoint()
            assert not isinstance(event, StoredOutput)
            found.append(event)

        with closing(LogStream(EntryId(1), self.log, self.marks, take)) as stream:
            await stream.send_rest(place)
        return found


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Give an empty log and its marks."""
    return Pair(tmp_path)


def shown(events: list[Output | Mark]) -> bytes:
    """Give events as a person sees them: a mark is lines of its own."""
    text = b""
    for event in events:
        if isinstance(event, Output):
            text += event.data
        elif event.text:
            text += b"" if text.endswith(b"\n") or not text else b"\n"
            text += event.text.encode() + b"\n"
    return text


async def test_the_log_is_what_was_written_and_marks_stand_between(pair: Pair) -> None:
    """Not a byte of ours is in the log; merged, each mark stands where it was made."""
    pair.run.skipped("first")
    with pair.run.running("train", "abc") as times:
        pair.run.command("train", "echo a")
        pair.write(b"a\nno newline")
        times.exit_code = 3
    pair.run.note("expd: kept")

    events = await pair.events()

    assert pair.log.read_bytes() == b"a\nno newline"
    assert [
        (event.what, event.stage, event.offset, event.exit_code) for event in events if isinstance(event, Mark)
    ] == [
        ("skipped", "first", 0, None),
        ("started", "train", 0, None),
        ("command", "train", 0, None),
        ("ended", "train", 12, 3),
        ("note", None, 12, None),
    ]
    assert shown(events) == (
        b"Stage 'first' didn't change, skipping\nRunning stage 'train':\n> echo a\na\nno newline\nexpd: kept\n"
    )


_pieces = st.lists(
    st.binary(max_size=20) | st.sampled_from([b"\n", b"a\nb\n", b"x" * 70_000]) | st.text(min_size=1, max_size=5),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(pieces=_pieces, cut=st.integers(0, 30))
def test_a_stream_goes_on_where_it_was(pieces: list[bytes | str], cut: int) -> None:
    """Interrupted after any event, and asked again from its place, it gives the rest: no byte and no mark twice or never."""
    with tempfile.TemporaryDirectory() as directory:
        pair = Pair(Path(directory))
        for piece in pieces:
            pair.write(piece) if isinstance(piece, bytes) else pair.run.note(piece)

        whole = trio.run(pair.events)
        first = whole[: min(cut, len(whole))]
        place = Position()
        for event in first:
            length = len(event.data) if isinstance(event, Output) else 0
            place = Position(offset=event.offset + length, marks=event.marks)
        rest = trio.run(pair.events, place)
        pair.run.close()

    assert shown(first + rest) == shown(whole)
    assert b"".join(event.data for event in whole if isinstance(event, Output)) == b"".join(
        piece for piece in pieces if isinstance(piece, bytes)
    )
    assert len([event for event in whole if isinstance(event, Mark)]) == sum(isinstance(piece, str) for piece in pieces)


_lines = st.lists(st.sampled_from([b"a\n", b"bb\n", b"\n", b"open", "note", "two\nlines"]), max_size=12)


@settings(max_examples=150, deadline=None)
@given(pieces=_lines, wanted=st.integers(0, 15))
def test_the_last_lines_are_those_of_what_is_shown(pieces: list[bytes | str], wanted: int) -> None:
    """The last so many lines of both together are where tail(1) has them; a mark of several lines is shown whole."""
    with tempfile.TemporaryDirectory() as directory:
        pair = Pair(Path(directory))
        for piece in pieces:
            pair.write(piece) if isinstance(piece, bytes) else pair.run.note(piece)
        whole = shown(trio.run(pair.events))
        last = shown(trio.run(pair.events, tail_position(pair.log, pair.marks, wanted)))
        pair.run.close()
        (Path(directory) / "whole").write_bytes(whole)
        tail = subprocess.run(["tail", "-n", str(wanted), f"{directory}/whole"], capture_output=True, check=True).stdout

    assert last == tail or last == b"two\n" + tail


def test_a_torn_record_is_left_for_later(pair: Pair) -> None:
    """What a kill cut off is no record; one that is still being written is read when it is whole."""
    pair.run.note("first")
    with pair.marks.open("ab") as file:
        file.write(b'{"offset": 0, "at": 1.0, "wh')
    before = pair.records()
    with pair.marks.open("ab") as file:
        file.write(b'at": "note", "text": "second"}\n')

    assert [record.text for record in before] == ["first"]
    assert [record.text for record in pair.records()] == ["first", "second"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"\0" * 100 + b"\n",
        b"[]\n",
        b"{}\n",
        b'{"offset": -1, "at": 1, "what": "note", "text": "x"}\n',
        b'{"offset": 0, "at": 1e300, "what": "note", "text": "x"}\n',
        b'{"offset": 0, "at": NaN, "what": "note", "text": "x"}\n',
        b'{"offset": "0", "at": 1, "what": "note", "text": "x"}\n',
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
        b"x" * RECORD_BYTES_MAX + b"\n",
    ],
)
async def test_what_is_no_record_is_passed_over(pair: Pair, garbage: bytes) -> None:
    """Whatever a disk left there, the records around it are read, and every byte of the log."""
    pair.run.note("first")
    with pair.marks.open("ab") as file:
        file.write(garbage)
    pair.write(b"bytes\n")
    pair.run.note("last")

    assert shown(await pair.events()) == b"first\nbytes\nlast\n"


async def test_a_mark_beyond_the_log_is_shown_at_its_end(pair: Pair) -> None:
    """A log that somebody emptied still tells how its run ended."""
    pair.write(b"bytes\n")
    pair.run.note("ended")
    os.truncate(pair.log, 0)

    assert shown(await pair.events()) == b"ended\n"


async def test_without_marks_the_log_is_shown(pair: Pair) -> None:
    """A crash may have come before the first mark, and a person may have removed them."""
    pair.write(b"bytes\n")
    pair.marks.unlink()

    assert shown(await pair.events()) == b"bytes\n"


def test_a_text_without_bound_is_cut(pair: Pair) -> None:
    """A command of a megabyte fits a record and a frame; bytes that are no text are escaped."""
    pair.run.note("x" * 10**6 + "\udcff")
    pair.run.note("caf\udce9")

    first, second = pair.records()
    assert (len(first.text), second.text) == (32 * 1024, "caf\\udce9")
    assert all(len(line) < RECORD_BYTES_MAX for line in pair.marks.read_bytes().splitlines())


def test_marks_are_lines_of_json(pair: Pair) -> None:
    """A person or a script can read them without us."""
    pair.run.note("a\nb")

    (line,) = pair.marks.read_text().splitlines()
    assert {**json.loads(line), "at": 0} == {
        "offset": 0,
        "at": 0,
        "what": "note",
        "stage": None,
        "text": "a\nb",
        "exit_code": None,
    }


def test_a_disk_that_is_full_ends_no_run(tmp_path: Path) -> None:
    """A mark that can't be written is not written, and that is all."""
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)

    MarkWriter(Path("/dev/full"), log).write("note", "x")

    os.close(log)
