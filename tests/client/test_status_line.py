"""The line below a followed log: there while a run goes on, and no byte of the log is shown otherwise because of it."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.conftest import Expctl
from client.scripted import RESULT, Step, a_page, an_entry, serving
from client.terminal import at_terminal
from expctl.render.status_line import StatusLine, column_after
from expproto.logs import Output
from expproto.progress import RunProgress, StageProgress
from expproto.replies import Ended, EntryProgress, Followed, Listed
from expproto.requests import Follow
from expproto.vocabulary import EntryId, EntryState, Succeeded

COLUMNS, ROWS = 12, 6
_CODE = re.compile("\x1b(?:\\[([0-9;]*)([A-Za-z])|([78D]))|(.)", re.DOTALL)


class Screen:
    """What a terminal of VT100's kind shows: a grid, a cursor that waits at the last column, and lines scrolled away."""

    def __init__(self) -> None:
        self.rows = [[" "] * COLUMNS for _ in range(ROWS)]
        self.gone = list[str]()
        self.row = self.column = 0
        self.is_full = False
        self._saved = (0, 0)

    def feed(self, text: str) -> None:
        """Obey."""
        for code in _CODE.finditer(text):
            _number, letter, single, character = code.groups()
            if character is not None:
                self._put(character)
            elif single == "D":
                self._down()
            elif single == "7":
                self._saved = (self.row, self.column)
            elif single == "8":
                (self.row, self.column), self.is_full = self._saved, False
            elif letter in {"A", "B"}:
                self.row = max(0, self.row - 1) if letter == "A" else min(ROWS - 1, self.row + 1)
                self.is_full = False
            elif letter == "J":
                self.rows[self.row][self.column :] = [" "] * (COLUMNS - self.column)
                self.rows[self.row + 1 :] = [[" "] * COLUMNS for _ in range(ROWS - self.row - 1)]

    def text(self) -> str:
        """Give everything that was shown and is not cleared."""
        return "\n".join([*self.gone, *("".join(row).rstrip() for row in self.rows)]).rstrip()

    def _put(self, character: str) -> None:
        if character == "\n":
            self.column = 0
            self._down()
        elif character == "\r":
            self.column, self.is_full = 0, False
        else:
            if self.is_full:
                self.column = 0
                self._down()
            self.rows[self.row][self.column] = character
            self.is_full = self.column == COLUMNS - 1
            self.column = min(self.column + 1, COLUMNS - 1)

    def _down(self) -> None:
        self.is_full = False
        if self.row == ROWS - 1:
            self.gone.append("".join(self.rows.pop(0)).rstrip())
            self.rows.append([" "] * COLUMNS)
        else:
            self.row += 1


def _shown(steps: list[tuple[str, str]]) -> tuple[Screen, list[str]]:
    """Give the screen after these steps, and what it showed after each."""
    screen, line, texts = Screen(), StatusLine(lambda: COLUMNS), list[str]()
    for what, text in steps:
        written = line.around(text.encode()) if what == "log" else line.change(text)
        screen.feed(written.decode())
        texts.append(screen.text())
    return screen, texts


_LOGS = st.text(st.sampled_from("ab\n"), max_size=30) | st.just("x" * COLUMNS) | st.just("\x1b[31mred\x1b[0m")
_STEPS = st.lists(st.tuples(st.just("log"), _LOGS) | st.tuples(st.just("line"), st.sampled_from(["", "S1", "T" * 40])))


@settings(max_examples=300, deadline=None)
@given(steps=_STEPS)
def test_the_log_is_on_the_screen_as_without_it(steps: list[tuple[str, str]]) -> None:
    """Whatever is shown below and whenever, when it is gone the screen holds the log, and the next byte stands where it would have."""
    with_it, _texts = _shown([*steps, ("line", "S"), ("line", ""), ("log", "end")])
    alone = Screen()
    alone.feed("".join(text for what, text in steps if what == "log") + "end")

    assert with_it.text() == alone.text()
    assert with_it.column == alone.column


def test_the_line_stands_below_what_was_written_last() -> None:
    """Also below a line that goes on, and on the last row; where a row is full it waits."""
    begun = [("log", "one\n"), ("line", "train 2/3"), ("log", "tw"), ("log", "o"), ("log", "\n" * 9 + "x" * COLUMNS)]
    _screen, texts = _shown([*begun, ("log", "y")])

    assert texts[1] == "one\ntrain 2/3"
    assert texts[3] == "one\ntwo\ntrain 2/3"
    assert texts[4].splitlines()[-1] == "x" * COLUMNS
    assert texts[5].splitlines()[-2:] == ["y", "train 2/3"]


def test_it_is_never_wider_than_the_screen() -> None:
    """What does not fit is cut, letters of two columns counted as such."""
    _screen, texts = _shown([("line", "a" * 30), ("line", "深" * 30)])

    assert texts == ["a" * (COLUMNS - 1), "深" * ((COLUMNS - 1) // 2)]


def test_where_a_line_ends_is_counted_as_terminals_do() -> None:
    """Tabs stop before the last column, wide letters wrap whole, combining marks take no place."""
    assert column_after("ab\tc", 80) == 9
    assert column_after("a" * 79 + "\t", 80) == 79
    assert column_after("a" * 80, 80) == 80
    assert column_after("a" * 79 + "深", 80) == 2
    assert column_after("e\u0301", 80) == 1


FAR = RunProgress(
    begun=2,
    done=1,
    total=3,
    stages=(StageProgress(name="train", started_at=1.0, command_hash=None, estimate_seconds=40.0),),
    step=7,
    metrics={"loss": 0.25},
)
RUNNING: list[Step] = [a_page(an_entry(state=EntryState.RUNNING)), Listed(count=1, paused=False)]
FOLLOWED: list[Step] = [
    Output(entry=EntryId(1), offset=0, data=b"epoch 1\n"),
    EntryProgress(entry=EntryId(1), progress=FAR),
    Ended(entry=EntryId(1), name="tuned", outcome=Succeeded(rev=RESULT)),
    Followed(),
]


def test_follow_shows_how_far_a_run_is(sock: Path) -> None:
    """Stage i of n, elapsed time and estimate, step and metrics stand below the log, and are taken away at the end."""
    with serving(sock, [RUNNING], [FOLLOWED]) as daemon:
        ran = at_terminal("follow", "1")

    assert [request.progress for request in daemon.requests if isinstance(request, Follow)] == [True]
    assert ran.out.startswith("epoch 1\n\x1b7")
    assert re.search(r"train 2/3  \d+d\d\dh of about 40s  step 7  loss=0.25\x1b8", ran.out)
    assert ran.out.endswith("\x1b7\x1b[0m\x1b[J\x1b8expctl: 1 tuned succeeded\n")


@pytest.mark.parametrize("how", [["--raw"], ["-q"]])
def test_follow_shows_the_log_alone_if_asked_to(sock: Path, how: list[str]) -> None:
    """With --raw or --quiet nothing is drawn, nor asked for."""
    with serving(sock, [RUNNING], [FOLLOWED]) as daemon:
        ran = at_terminal("follow", "1", *how)

    assert [request.progress for request in daemon.requests if isinstance(request, Follow)] == [False]
    assert "\x1b" not in ran.out


def test_a_terminal_that_obeys_nothing_is_told_nothing(sock: Path) -> None:
    """Where TERM is dumb no line is drawn."""
    with serving(sock, [RUNNING], [FOLLOWED]):
        assert at_terminal("follow", "1", environ={"TERM": "dumb"}).out == "epoch 1\nexpctl: 1 tuned succeeded\n"


def test_off_a_terminal_follow_is_the_log(sock: Path, expctl: Expctl) -> None:
    """In a pipe there is neither a line nor a word about progress."""
    with serving(sock, [RUNNING], [FOLLOWED]) as daemon:
        assert expctl("follow", "1").out == "epoch 1\n"

    assert [request.progress for request in daemon.requests if isinstance(request, Follow)] == [False]


def test_follow_json_tells_how_far_a_run_is(sock: Path, expctl: Expctl) -> None:
    """Programs get the same as an event, with the fields that `status --json` has."""
    with serving(sock, [RUNNING], [FOLLOWED]):
        ran = expctl("follow", "1", "--json")

    (event,) = [one for one in map(json.loads, ran.out.splitlines()) if one["event"] == "progress"]
    stage = {"name": "train", "started_at": "1970-01-01T00:00:01.000000Z", "estimate_seconds": 40.0}
    assert event == {
        "schema": 1,
        "event": "progress",
        "id": 1,
        "name": "tuned",
        "begun": 2,
        "done": 1,
        "total": 3,
        "stages": [stage],
        "step": 7,
        "metrics": {"loss": 0.25},
    }
