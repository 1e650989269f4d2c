"""`expctl follow`: every byte once, in whatever form, over as many connections as it takes."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.conftest import Expctl
from client.scripted import HANG_UP, RESULT, Step, a_page, an_entry, serving
from expproto.logs import Mark, Output, StoredOutput
from expproto.records import EntryRecord
from expproto.replies import Ended, Followed, Listed, Refusal
from expproto.requests import Follow, FollowTarget, Status
from expproto.vocabulary import EntryId, EntryState, Failed, Outcome, Succeeded

FINE: Outcome = Succeeded(rev=RESULT)


def known(*entries: EntryRecord) -> list[Step]:
    """Answer the question which entries are meant."""
    return [a_page(*(entries or [an_entry(state=EntryState.RUNNING)])), Listed(count=1, paused=False)]


def output(data: bytes, offset: int = 0, entry: int = 1) -> Output:
    """Give a piece of a log."""
    return Output(entry=EntryId(entry), offset=offset, data=data)


def ended(entry: int = 1, outcome: Outcome = FINE, name: str = "tuned") -> Ended:
    """Give the end of an entry."""
    return Ended(entry=EntryId(entry), name=name, outcome=outcome)


def mark(text: str, *, offset: int = 0, marks: int = 100, entry: int = 1, what: str = "note") -> Mark:
    """Give what is told beside a log."""
    return Mark(
        entry=EntryId(entry), offset=offset, marks=marks, at=1.5, what=what, stage="train", text=text, exit_code=None
    )


def test_follow_shows_marks_as_lines_of_their_own(sock: Path, expctl: Expctl) -> None:
    """A mark begins a line, whatever the log's last line is; one without text is not shown; the log goes on behind it."""
    steps: list[Step] = [
        mark("", what="started"),
        mark("Running stage 'train':\n> x"),
        output(b"open"),
        mark("expd: kept", offset=4),
        output(b"rest\n", 4),
        mark("last", offset=9),
        ended(),
        Followed(),
    ]
    with serving(sock, [known()], [steps]):
        ran = expctl("follow", "1")

    assert ran.out == "Running stage 'train':\n> x\nopen\nexpd: kept\nrest\nlast\n"


def test_follow_raw_asks_for_the_bytes_alone(
    sock: Path, expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --raw nothing is told beside the log, also where several are followed or documents are wanted."""
    monkeypatch.chdir(tmp_path)
    with serving(sock, [known()], [[ended(), Followed()]], [known()], [[ended(), Followed()]]) as daemon:
        expctl("follow", "1", "--raw")
        expctl("follow", "1", "--raw", "--json")

    asked = [request for request in daemon.requests if isinstance(request, Follow)]
    assert asked == [Follow(cwd=str(tmp_path), targets=(FollowTarget(entry="1"),), raw=True, reads_logs=True)] * 2


def test_follow_of_several_prefixes_marks(sock: Path, expctl: Expctl) -> None:
    """The lines of a mark carry the name; what was there of a line comes first, on a line of its own."""
    steps: list[Step] = [
        output(b"op"),
        output(b"other\n", entry=2),
        mark("two\nlines", offset=2),
        output(b"en\n", 2),
        ended(),
        ended(entry=2, name="slow"),
        Followed(),
    ]
    entries = [an_entry(), an_entry(2, name="slow")]
    with serving(sock, [known(*entries)], [steps]):
        ran = expctl("follow", "1", "2")

    assert ran.out == "slow  | other\ntuned | op\ntuned | two\ntuned | lines\ntuned | en\n"


def test_follow_json_tells_marks(sock: Path, expctl: Expctl) -> None:
    """Each mark is a document with its place, time, stage and exit code, also one without text."""
    stage = Mark(entry=EntryId(1), offset=7, marks=9, at=1.5, what="ended", stage="train", text="", exit_code=-9)
    with serving(sock, [known()], [[stage, ended(), Followed()]]):
        ran = expctl("follow", "1", "--json")

    assert json.loads(ran.out.splitlines()[0]) == {
        "schema": 1,
        "event": "mark",
        "id": 1,
        "name": "tuned",
        "offset": 7,
        "at": "1970-01-01T00:00:01.500000Z",
        "what": "ended",
        "stage": "train",
        "text": "",
        "exit_code": -9,
    }


def test_follow_resumes_behind_the_last_mark(sock: Path, expctl: Expctl) -> None:
    """After a reconnect neither a byte nor a mark comes twice: both places are asked for."""
    pieces: list[Step] = [output(b"one\n"), mark("two", offset=4, marks=60), HANG_UP]
    rest: list[Step] = [Output(entry=EntryId(1), offset=4, data=b"three\n", marks=80), HANG_UP]
    with serving(sock, [known()], [pieces], [rest], [[ended(), Followed()]]) as daemon:
        ran = expctl("follow", "1")

    targets = [request.targets for request in daemon.requests if isinstance(request, Follow)]
    assert ran.out == "one\ntwo\nthree\n"
    assert targets[1:] == [
        (FollowTarget(entry="1", offset=4, marks=60),),
        (FollowTarget(entry="1", offset=10, marks=80),),
    ]


def test_follow_passes_bytes_exactly_and_the_outcome_on(sock: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Off a terminal nothing is decoded, added or lost, and the exit code is the experiment's."""
    from expctl import cli  # noqa: PLC0415

    data = bytes(range(256)) + b"\x1b]0;title\x07 no newline"
    steps: list[Step] = [
        output(data[:100]),
        output(data[100:], 100),
        ended(outcome=Failed(stage="t", exit_code=3)),
        Followed(),
    ]
    with serving(sock, [known()], [steps]):
        code = cli.run(["follow", "1"])

    out, err = capfdbinary.readouterr()
    assert (code, out) == (3, data)
    assert err == b"expctl: 1 tuned failed: t exited with 3\n"


def test_follow_asks_by_id_from_the_first_byte_or_the_last_lines(
    sock: Path, expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is resolved once, so that a reconnect means the same entry; -n LINES is left to the daemon."""
    monkeypatch.chdir(tmp_path)
    with serving(sock, [known()], [[ended(), Followed()]], [known()], [[ended(), Followed()]]) as daemon:
        expctl("follow", "tuned")
        expctl("follow", "tuned", "-n", "5")

    assert daemon.requests == [
        Status(cwd=str(tmp_path), entries=("tuned",)),
        Follow(cwd=str(tmp_path), targets=(FollowTarget(entry="1"),), reads_logs=True),
        Status(cwd=str(tmp_path), entries=("tuned",)),
        Follow(cwd=str(tmp_path), targets=(FollowTarget(entry="1", lines=5),), reads_logs=True),
    ]


def test_follow_resumes_at_its_offset_when_the_daemon_goes_away(sock: Path, expctl: Expctl) -> None:
    """After a reconnect the first byte shown is the one after the last."""
    with serving(
        sock,
        [known()],
        [[output(b"one\n"), output(b"tw", 4), HANG_UP]],
        [[HANG_UP]],
        [[output(b"o\n", 6), ended(), Followed()]],
    ) as daemon:
        ran = expctl("follow", "1", "-n", "10")

    assert (ran.code, ran.out) == (0, "one\ntwo\n")
    targets = [request.targets for request in daemon.requests if isinstance(request, Follow)]
    resumed = (FollowTarget(entry="1", offset=6),)
    assert targets == [(FollowTarget(entry="1", lines=10),), resumed, resumed]


def test_follow_does_not_ask_again_for_what_has_ended(sock: Path, expctl: Expctl) -> None:
    """Of several logs only those still open are asked for again, each from its own place."""
    both = known(an_entry(1, name="a", state=EntryState.RUNNING), an_entry(2, name="b", state=EntryState.RUNNING))
    with serving(
        sock,
        [both],
        [[output(b"x\n"), ended(1, name="a"), output(b"y\n", 0, 2), HANG_UP]],
        [[ended(2, name="b"), Followed()]],
    ) as daemon:
        ran = expctl("follow", "1", "2")

    assert ran.out == "a | x\nb | y\n"
    last = daemon.requests[-1]
    assert isinstance(last, Follow)
    assert last.targets == (FollowTarget(entry="2", offset=2),)


def test_follow_needs_no_answer_after_the_last_end(sock: Path, expctl: Expctl) -> None:
    """A daemon that goes away between the last end and its reply has said everything."""
    with serving(sock, [known()], [[output(b"x\n"), ended(), HANG_UP]]):
        assert expctl("follow", "1").code == 0


def test_follow_gives_up_on_a_daemon_that_dies_of_it(sock: Path, expctl: Expctl) -> None:
    """Connections that end without one message are not tried for ever."""
    with serving(sock, [known()], *[[[HANG_UP]]] * 6):
        ran = expctl("follow", "1")

    assert ran.code == 3
    assert "broke 6 times" in ran.err


@pytest.mark.parametrize(("codes", "expected"), [([0, 0], 0), ([0, 4], 1), ([4, 4], 1)])
def test_follow_of_several_tells_whether_all_succeeded(
    sock: Path, expctl: Expctl, codes: list[int], expected: int
) -> None:
    """Several outcomes don't fit into one code."""
    entries = [an_entry(number, state=EntryState.RUNNING) for number in (1, 2)]
    ends: list[Step] = [
        ended(number, Failed(stage="t", exit_code=code) if code else FINE) for number, code in enumerate(codes, 1)
    ]
    with serving(sock, [known(*entries)], [[*ends, Followed()]]):
        assert expctl("follow", "1", "2").code == expected


def test_follow_prefixes_whole_lines_of_several(sock: Path, expctl: Expctl) -> None:
    """Lines of two logs never mix, however their pieces do; a last line without an end gets one."""
    entries = [an_entry(1, name="a", state=EntryState.RUNNING), an_entry(2, name="long", state=EntryState.RUNNING)]
    steps: list[Step] = [
        output(b"fir"),
        output(b"other\nha", 0, 2),
        output(b"st\n", 3),
        ended(1, name="a"),
        output(b"lf", 8, 2),
        ended(2, name="long"),
        Followed(),
    ]
    with serving(sock, [known(*entries)], [steps]):
        ran = expctl("follow", "1", "2")

    assert ran.out == "long | other\na    | first\nlong | half\n"


def test_follow_of_several_bounds_an_endless_line(sock: Path, expctl: Expctl) -> None:
    """A log without line breaks is shown in pieces instead of being kept."""
    entries = [an_entry(1, name="a", state=EntryState.RUNNING), an_entry(2, name="b", state=EntryState.RUNNING)]
    steps: list[Step] = [output(b"x" * 65_537), output(b"y", 65_537), ended(1), ended(2), Followed()]
    with serving(sock, [known(*entries)], [steps]):
        ran = expctl("follow", "1", "2")

    assert ran.out == "a | " + "x" * 65_537 + "\na | y\n"


def test_follow_without_ids_takes_the_one_that_runs(sock: Path, expctl: Expctl) -> None:
    """With one running entry there is nothing to choose."""
    entries = known(an_entry(1), an_entry(2, state=EntryState.RUNNING), an_entry(3, state=EntryState.DONE))
    with serving(sock, [entries], [[ended(2), Followed()]]) as daemon:
        assert expctl("follow").code == 0

    last = daemon.requests[-1]
    assert isinstance(last, Follow)
    assert last.targets == (FollowTarget(entry="2"),)


@pytest.mark.parametrize("running", [0, 2])
def test_follow_without_ids_does_not_guess(sock: Path, expctl: Expctl, running: int) -> None:
    """With none or several running the answer is exit code 4 and what could be meant."""
    entries = known(*(an_entry(number, state=EntryState.RUNNING) for number in range(1, running + 1)), an_entry(9))
    with serving(sock, [entries]):
        ran = expctl("follow")

    assert ran.code == 4
    assert ("2 tuned running" in ran.err) == bool(running)


def test_follow_of_an_unknown_entry_is_exit_code_4(sock: Path, expctl: Expctl) -> None:
    """The refusal of the first question is told as everywhere."""
    with serving(sock, [[Refusal(code="unknown_entry", data={"selector": "9", "candidates": []})]]):
        ran = expctl("follow", "9")

    assert ran.code == 4
    assert "`expctl status` lists the queue" in ran.err


def test_follow_refuses_answers_to_questions_it_did_not_ask(sock: Path, expctl: Expctl) -> None:
    """Output, ends and replies that don't belong here end the conversation as a protocol error."""
    for steps in ([output(b"x", entry=9)], [ended(9)], [Followed()], [Listed(count=0, paused=False)]):
        with serving(sock, [known()], [steps]):
            assert expctl("follow", "1").code == 8


def test_follow_json_is_one_document_a_line(sock: Path, expctl: Expctl) -> None:
    """Pieces end with whole characters, bytes that are no text are given exactly, and the end has its code."""
    steps: list[Step] = [
        output(b"a\xe2\x82"),
        output(b"\xac\n", 3),
        output(b"\xff", 5),
        output(b"\xe2", 6),
        ended(outcome=Failed(stage="t", exit_code=3)),
        Followed(),
    ]
    with serving(sock, [known()], [steps]):
        ran = expctl("follow", "1", "--json")

    about = {"schema": 1, "event": "output", "id": 1, "name": "tuned"}
    assert [json.loads(line) for line in ran.out.splitlines()] == [
        {**about, "offset": 0, "text": "a"},
        {**about, "offset": 1, "text": "€\n"},
        {**about, "offset": 5, "text": "\ufffd", "base64": base64.b64encode(b"\xff").decode()},
        {**about, "offset": 6, "text": "\ufffd", "base64": base64.b64encode(b"\xe2").decode()},
        {
            **about,
            "event": "ended",
            "outcome": "failed",
            "detail": {"kind": "failed", "stage": "t", "exit_code": 3},
            "exit_code": 3,
        },
    ]
    assert ran.code == 3


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.one_of(st.binary(min_size=1, max_size=6), st.text(min_size=1, max_size=3).map(str.encode)), max_size=6
    )
)
def test_follow_json_holds_every_byte(sock: Path, expctl: Expctl, pieces: list[bytes]) -> None:
    """Text where it is text, base64 where not: together they are the log, each at its offset."""
    steps: list[Step] = []
    for number, piece in enumerate(pieces):
        steps.append(output(piece, sum(map(len, pieces[:number]))))
    with serving(sock, [known()], [[*steps, ended(), Followed()]]):
        ran = expctl("follow", "1", "--json")

    joined = b""
    for event in map(json.loads, ran.out.splitlines()):
        if event["event"] == "output":
            assert event["offset"] == len(joined)
            joined += base64.b64decode(event["base64"]) if "base64" in event else event["text"].encode()
    assert joined == b"".join(pieces)


def stored(log: Path, offset: int, end: int, inode: int | None = None) -> StoredOutput:
    """Tell that a piece of a log lies in a file."""
    status = log.stat()
    return StoredOutput(
        entry=EntryId(1),
        offset=offset,
        end=end,
        path=str(log),
        device=status.st_dev,
        inode=status.st_ino if inode is None else inode,
    )


@pytest.mark.parametrize("words", [(), ("--raw",), ("--json",)])
def test_follow_reads_a_complete_log_itself(sock: Path, expctl: Expctl, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Bytes that are named are shown as if they had been sent, between marks and others, in every form."""
    log = tmp_path / "1.log"
    log.write_bytes(b"begin\n" + b"0123456789abcdef\n" * 10_000 + b"end")
    size = log.stat().st_size
    steps: list[Step] = [output(b"begin\n"), stored(log, 6, size), mark("last", offset=size), ended(), Followed()]
    sent: list[Step] = [output(log.read_bytes()), *steps[2:]]

    with serving(sock, [known()], [steps], [known()], [sent]):
        read, told = expctl("follow", "1", *words), expctl("follow", "1", *words)

    assert read.code == told.code == 0
    if "--json" in words:
        logs = [[json.loads(line) for line in ran.out.splitlines()] for ran in (read, told)]
        texts = ["".join(one["text"] for one in lines if one["event"] == "output") for lines in logs]
        assert texts[0] == texts[1] == log.read_text(encoding="utf-8")
    else:
        assert read.out == told.out


@pytest.mark.parametrize("missing", ["another", "shorter", "gone"])
def test_follow_asks_for_a_log_that_it_cannot_read(
    sock: Path, expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """A file that is another one, shorter or not there is not shown: its bytes are asked for, from where it began."""
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "1.log"
    log.write_bytes(b"begin\nrest\n")
    piece = stored(log, 6, 12 if missing == "shorter" else 11, inode=1 if missing == "another" else None)
    if missing == "gone":
        log.unlink()

    with serving(
        sock, [known()], [[output(b"begin\n"), piece, HANG_UP]], [[output(b"rest\n", 6), ended(), Followed()]]
    ) as daemon:
        ran = expctl("follow", "1")

    assert (ran.code, ran.out) == (0, "begin\nrest\n")
    assert daemon.requests[-1] == Follow(cwd=str(tmp_path), targets=(FollowTarget(entry="1", offset=6),))
