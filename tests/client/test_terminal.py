"""Output for people: tables, colours, and nothing that a log or a name could do to the terminal."""

from pathlib import Path

import pytest

from client.scripted import RESULT, Step, a_page, an_entry, serving
from client.terminal import at_terminal
from client.test_daemon import SHOWN as DAEMON
from client.test_results import LIST, ONE
from expproto.logs import Output
from expproto.replies import Ended, Fetched, Followed, Listed, PoolShown, Refusal, Submitted
from expproto.vocabulary import EntryId, EntryState, Failed, Succeeded

LONG = "a-name-that-is-much-longer-than-any-column-of-this-terminal-could-ever-be"
QUEUE: list[Step] = [
    a_page(
        an_entry(1, state=EntryState.DONE, outcome=Failed(stage="train", exit_code=3), started_at=1.0, ended_at=190.0),
        an_entry(12, name=LONG, waits_for="a free slot"),
        an_entry(13, name="a\x1b[2J\u202eb"),
    ),
    Listed(count=3, paused=True),
]
RUNNING: list[Step] = [a_page(an_entry(state=EntryState.RUNNING)), Listed(count=1, paused=False)]
PLAIN = {"NO_COLOR": "1"}


def log(*pieces: bytes) -> list[Step]:
    """Give a log in pieces, and its end."""
    steps: list[Step] = []
    for number, piece in enumerate(pieces):
        steps.append(Output(entry=EntryId(1), offset=sum(map(len, pieces[:number])), data=piece))
    return [*steps, Ended(entry=EntryId(1), name="tuned", outcome=Succeeded(rev=RESULT)), Followed()]


def test_status_is_a_table_for_people(sock: Path) -> None:
    """Aligned columns under a heading, ages and durations instead of times, no box characters, nothing cut."""
    with serving(sock, [QUEUE]):
        ran = at_terminal("status", environ=PLAIN, columns=200)

    lines = ran.out.splitlines()
    assert lines[0].split() == ["id", "name", "state", "outcome", "age", "duration", "waits", "for"]
    assert "failed: train exited" in ran.out
    assert "3m09s" in ran.out
    assert LONG in ran.out
    assert all(ord(character) < 128 for character in ran.out)
    assert "a\\x1b[2J\\u202eb" in ran.out
    assert lines[-1] == "the queue is paused, nothing more is started: expctl resume"


def test_what_a_long_queue_has_beyond_the_table_is_counted(sock: Path) -> None:
    """A person is shown what is nearest, and told how to see the rest."""
    page: list[Step] = [a_page(an_entry(1)), Listed(count=1, paused=False, left_out=9_949)]
    with serving(sock, [page]):
        ran = at_terminal("status", environ=PLAIN, columns=200)

    assert ran.out.splitlines()[-1] == "9949 more entries: expctl status --all"


def test_narrow_table_is_folded_and_never_cut(sock: Path) -> None:
    """Where a cell doesn't fit it goes on below; no letter of it is lost, and no line is wider than the terminal."""
    with serving(sock, [QUEUE]):
        ran = at_terminal("status", environ=PLAIN, columns=60)

    lines = ran.out.splitlines()
    assert max(map(len, lines)) <= 60
    column = slice(lines[0].index("name"), lines[0].index("state"))
    assert LONG in "".join(line[column].strip() for line in lines[:-1])


def test_status_is_coloured_unless_asked_not_to(sock: Path) -> None:
    """NO_COLOR and a dumb terminal have the same words without one escape."""
    with serving(sock, *[[QUEUE]] * 3):
        coloured, plain, dumb = (
            at_terminal("status", environ=environ).out for environ in ({}, PLAIN, {"TERM": "dumb"})
        )

    assert "\x1b[31mfailed" in coloured
    assert "\x1b" not in plain + dumb


def test_empty_queue_is_one_sentence(sock: Path) -> None:
    """No heading stands above nothing."""
    with serving(sock, [[Listed(count=0, paused=False)]]):
        assert at_terminal("status").out == "the queue is empty: expctl submit\n"


def test_submit_answers_in_aligned_columns(sock: Path) -> None:
    """The line of the README: id, name, state."""
    pages: list[Step] = [a_page(an_entry(9), an_entry(10, name="b")), Submitted(submission=1, count=2)]
    with serving(sock, [pages]):
        ran = at_terminal("submit")

    assert ran.out == "9   tuned  queued  train.lr=0.2\n10  b      queued  train.lr=0.2\n"


def test_show_compares_experiments_in_a_table(sock: Path) -> None:
    """The baseline stands first; metrics are rounded for reading."""
    with serving(sock, [LIST]):
        ran = at_terminal("show", environ=PLAIN, columns=120)

    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0] == ["name", "rev", "age", "acc", "loss", "train.lr", "loss"]
    assert lines[1] == ["main", "bbbbbbb", "nan", "0.01"]
    assert lines[2][0:2] == ["tuned", "eeeeeee"]
    assert "0.98765" in lines[2]
    assert "metrics.json" in ran.out


def test_show_one_is_aligned(sock: Path) -> None:
    """The facts of one experiment stand in columns."""
    with serving(sock, [[ONE]]):
        ran = at_terminal("show", "3")

    assert "name       tuned\n" in ran.out
    assert "changed    train.lr   0.1\n" in ran.out


def test_get_lists_paths_from_here(sock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person reads relative paths."""
    monkeypatch.chdir(tmp_path)
    with serving(sock, [[Fetched(directory=str(tmp_path / "out"), files=("m.json",))]]):
        assert at_terminal("get", "3", "-o", "out").out == "out/m.json\n"


def test_pool_and_daemon_are_told_in_words(sock: Path) -> None:
    """One line for the pool, aligned facts for the daemon."""
    pool = PoolShown(jobs=2, paused=False, running=1, queued=3)
    with serving(sock, [[pool]], [[DAEMON]]):
        jobs, daemon = at_terminal("jobs"), at_terminal("daemon", "status")

    assert jobs.out == "2 at once, 1 running, 3 queued, active\n"
    assert "state directory  /state\n" in daemon.out


def test_follow_at_a_terminal_is_harmless(sock: Path) -> None:
    """Colours pass and are reset, everything else that a terminal obeys is shown, and the last line is ended."""
    with serving(sock, [RUNNING], [log(b"\x1b[31mred \x1b", b"]0;owned\x07\r50", b"%\xe2\x82", b"\xac")]):
        ran = at_terminal("follow", "1")

    assert ran.out == "\x1b[31mred \\x1b]0;owned\\x07\n50%€\x1b[0m\nexpctl: 1 tuned succeeded\n"


def test_follow_raw_at_a_terminal_is_exact(sock: Path) -> None:
    """--raw is the log as it is."""
    with serving(sock, [RUNNING], [log(b"\x1b]0;owned\x07\r50%\xff")]):
        ran = at_terminal("follow", "1", "--raw", "-q")

    assert ran.out == "\x1b]0;owned\x07\r50%\udcff"


def test_follow_of_several_at_a_terminal_keeps_colours_to_their_line(sock: Path) -> None:
    """A colour that one log leaves on does not reach the next log's line; names are made visible too."""
    entries = a_page(
        an_entry(1, name="a\x1b", state=EntryState.RUNNING), an_entry(2, name="b", state=EntryState.RUNNING)
    )
    known: list[Step] = [entries, Listed(count=2, paused=False)]
    steps: list[Step] = [
        Output(entry=EntryId(1), offset=0, data=b"plain\n\x1b[31mred\nend"),
        Output(entry=EntryId(2), offset=0, data=b"\x1b[2J\n"),
        Ended(entry=EntryId(1), name="a\x1b", outcome=Succeeded(rev=RESULT)),
        Ended(entry=EntryId(2), name="b", outcome=Succeeded(rev=RESULT)),
        Followed(),
    ]
    with serving(sock, [known], [steps]):
        ran = at_terminal("follow", "1", "2", "-q")

    assert ran.out.splitlines() == [
        "a\\x1b | plain",
        "a\\x1b | \x1b[31mred\x1b[0m",
        "b     | \\x1b[2J",
        "a\\x1b | end\x1b[0m",
    ]


def test_error_texts_are_made_visible(sock: Path) -> None:
    """What a refusal quotes from a repository can't steer the terminal, nor add a line that looks like ours."""
    with serving(sock, [[Refusal(code="cannot_capture", data={"path": "a\x1b[2J", "what": "it changes\u202e"})]]):
        ran = at_terminal("submit")

    assert ran.code == 6
    assert "a\\x1b[2J: it changes\\u202e" in ran.out
