"""Status, wait, cancel, pause, resume, jobs: what is asked, shown, and given as exit code."""

import socket
from pathlib import Path

import pytest

from client.conftest import Expctl
from client.scripted import RESULT, STAY, Step, a_page, an_entry, serving
from expproto.replies import (
    CancelAccepted,
    Listed,
    PoolShown,
    Refusal,
    Waited,
)
from expproto.requests import Cancel, Status, Wait
from expproto.steering import Pause, Resume, SetJobs
from expproto.vocabulary import (
    Cancelled,
    EntryState,
    Failed,
    Killed,
    Limit,
    Lost,
    NotStarted,
    Outcome,
    OutOfMemory,
    Refused,
    Succeeded,
    TimedOut,
)

POOL: list[Step] = [PoolShown(jobs=2, paused=True, running=1, queued=3)]


def listed(*steps: Step, paused: bool = False) -> list[Step]:
    """Give pages and the reply that ends them."""
    return [*steps, Listed(count=1, paused=paused)]


def test_status_is_one_line_an_entry(sock: Path, expctl: Expctl) -> None:
    """Off a terminal every field is there in full: ISO time, seconds, the whole reason."""
    outcome = Failed(stage="train", exit_code=3)
    done = an_entry(1, state=EntryState.DONE, outcome=outcome, started_at=10.0, ended_at=12.5)
    with serving(sock, [listed(a_page(done, an_entry(2, waits_for="a free slot")))]):
        ran = expctl("status")

    assert ran.out.splitlines() == [
        "1\ttuned\tdone\tfailed: train exited with 3\t2025-06-15T15:06:40.250000Z\t2.500\t",
        "2\ttuned\tqueued\t\t2025-06-15T15:06:40.250000Z\t\ta free slot",
    ]
    assert (ran.code, ran.err) == (0, "")


def test_status_asks_for_the_entries_named(
    sock: Path, expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Selectors pass as they were typed, with the directory in which names mean something."""
    monkeypatch.chdir(tmp_path)
    with serving(sock, [listed(a_page(an_entry()))]) as daemon:
        expctl("status", "1", "tuned", "--json", "2")

    assert daemon.requests == [Status(cwd=str(tmp_path), entries=("1", "tuned", "2"))]


def test_status_json_has_the_documented_fields(sock: Path, expctl: Expctl) -> None:
    """The document holds what `submit --json` does, and how it went."""
    done = an_entry(
        state=EntryState.DONE,
        outcome=Succeeded(rev=RESULT),
        started_at=10.0,
        ended_at=12.5,
        exit_code=0,
        experiment_rev=RESULT,
    )
    with serving(sock, [listed(a_page(done))]):
        ran = expctl("status", "--json")

    entries = ran.document["entries"]
    assert isinstance(entries, list)
    expected = {
        "id": 1,
        "name": "tuned",
        "state": "done",
        "baseline_rev": "b" * 40,
        "stash_rev": "5" * 40,
        "params": {"train.lr": 0.2},
        "outcome": "succeeded",
        "experiment_rev": RESULT,
        "submitted_at": "2025-06-15T15:06:40.250000Z",
        "started_at": "1970-01-01T00:00:10.000000Z",
        "ended_at": "1970-01-01T00:00:12.500000Z",
        "exit_code": 0,
    }
    assert expected.items() <= entries[0].items()
    assert ran.document["paused"] is False


def test_status_of_an_empty_queue_has_no_lines(sock: Path, expctl: Expctl) -> None:
    """Nothing is nothing for a program; a person is told on stderr, also that the queue is paused."""
    with serving(sock, [[Listed(count=0, paused=True)]]):
        ran = expctl("status")

    assert (ran.code, ran.out) == (0, "")
    assert ran.err.splitlines() == [
        "the queue is empty: expctl submit",
        "the queue is paused, nothing more is started: expctl resume",
    ]


def test_status_shows_no_control_characters_of_names(sock: Path, expctl: Expctl) -> None:
    """A name can neither break a line in two nor add a field to it."""
    with serving(sock, [listed(a_page(an_entry(name="a\tb\nc\x1b[2J")))]):
        ran = expctl("status")

    assert ran.out.split("\t")[1] == "a\\x09b\\x0ac\\x1b[2J"


def test_cancel_shows_the_entries_as_they_are_now(sock: Path, expctl: Expctl) -> None:
    """The request names what was typed; the answer is shown like a status."""
    entry = an_entry(state=EntryState.RUNNING)
    with serving(sock, [[a_page(entry), CancelAccepted(count=1)]]) as daemon:
        ran = expctl("cancel", "1", "-q")

    (request,) = daemon.requests
    assert isinstance(request, Cancel)
    assert request.entries == ("1",)
    assert ran.out == "1\n"


def test_cancel_of_nothing_is_a_usage_error(expctl: Expctl, sock: Path) -> None:
    """Without an id nothing is asked: an empty list would mean everything elsewhere."""
    ran = expctl("cancel")

    assert ran.code == 2
    assert "usage: expctl cancel" in ran.err
    assert not sock.exists()


@pytest.mark.parametrize(
    ("argv", "request_sent"),
    [
        (["pause"], Pause()),
        (["resume"], Resume()),
        (["jobs"], SetJobs(jobs=None)),
        (["jobs", "4"], SetJobs(jobs=4)),
    ],
)
def test_pool_verbs_show_the_pool(
    sock: Path, expctl: Expctl, argv: list[str], request_sent: Pause | Resume | SetJobs
) -> None:
    """Pause, resume and jobs answer with the pool as it is now."""
    with serving(sock, [POOL]) as daemon:
        ran = expctl(*argv)

    assert daemon.requests == [request_sent]
    assert ran.out == "2\t1\t3\tpaused\n"


def test_pool_as_json(sock: Path, expctl: Expctl) -> None:
    """The pool's document has its numbers, whether it is paused, and what keeps it from starting anything."""
    with serving(sock, [POOL]):
        ran = expctl("jobs", "--json")

    assert ran.document == {
        "schema": 1,
        "jobs": 2,
        "running": 1,
        "queued": 3,
        "paused": True,
        "trouble": None,
        "group": None,
        "frozen": 0,
    }


@pytest.mark.parametrize("jobs", ["0", "+0", "many"])
def test_jobs_takes_a_positive_number(sock: Path, expctl: Expctl, jobs: str) -> None:
    """Nought at once is what pause is for."""
    assert expctl("jobs", jobs).code == 2
    assert not sock.exists()


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Succeeded(rev=RESULT), 0),
        (Failed(stage="train", exit_code=3), 3),
        (Killed(stage="train", signal=9), 137),
        (OutOfMemory(stage="train", evidence="cgroup"), 137),
        (NotStarted(stage="command", errno=2, path="tarin", is_directory=False), 127),
        (Cancelled(reason="by hand"), 125),
        (TimedOut(limit=Limit.STALL, limit_seconds=5, stage="train", seconds=7.0), 124),
        (Refused(reason="no such stage"), 120),
        (Lost(reason="its worker vanished"), 121),
        (None, 121),
    ],
)
def test_wait_for_one_passes_its_outcome_on(sock: Path, expctl: Expctl, outcome: Outcome | None, code: int) -> None:
    """The exit code of waiting for one entry is how that entry ended."""
    with serving(sock, [[a_page(an_entry(state=EntryState.DONE, outcome=outcome)), Waited(count=1)]]):
        assert expctl("wait", "1").code == code


@pytest.mark.parametrize(
    ("argv", "outcomes", "code"),
    [
        (["1", "2"], [0, 0], 0),
        (["1", "2"], [0, 7], 1),
        ([], [7], 1),
        (["--all"], [7, 9], 1),
        (["--all"], [], 0),
        (["tuned"], [7, 9], 1),
    ],
)
def test_wait_for_several_tells_whether_all_succeeded(
    sock: Path, expctl: Expctl, argv: list[str], outcomes: list[int], code: int
) -> None:
    """Of several entries no code can be passed on: 0 if all succeeded, else 1."""
    entries = [
        an_entry(
            number,
            state=EntryState.DONE,
            outcome=Failed(stage="t", exit_code=exit_code) if exit_code else Succeeded(rev=RESULT),
        )
        for number, exit_code in enumerate(outcomes, 1)
    ]
    with serving(sock, [[a_page(*entries), Waited(count=len(entries))]]) as daemon:
        ran = expctl("wait", *argv)

    assert ran.code == code
    (request,) = daemon.requests
    assert isinstance(request, Wait)
    assert list(request.entries) == [word for word in argv if word != "--all"]


def test_wait_gives_up_at_its_timeout(sock: Path, expctl: Expctl) -> None:
    """The timeout ends the waiting with 124 and nothing else."""
    with serving(sock, [[STAY]]):
        ran = expctl("wait", "--timeout", "0.05")

    assert (ran.code, ran.out) == (124, "")
    assert "not done after 0.05 s; everything goes on" in ran.err


def test_wait_survives_a_daemon_that_comes_back(sock: Path, expctl: Expctl) -> None:
    """The same question is asked again when the connection breaks."""
    done: list[Step] = [a_page(an_entry(state=EntryState.DONE, outcome=Succeeded(rev=RESULT))), Waited(count=1)]
    with serving(sock, [["hang up"]], [done]) as daemon:
        assert expctl("wait", "1").code == 0

    assert daemon.requests[0] == daemon.requests[1]


def test_wait_for_all_and_some_is_a_usage_error(expctl: Expctl, sock: Path) -> None:
    """--all and ids contradict each other."""
    assert expctl("wait", "--all", "1").code == 2
    assert not sock.exists()


def test_unknown_entry_names_what_is_near(sock: Path, expctl: Expctl) -> None:
    """The candidates of a refusal become the hint."""
    data = {"selector": "tunde", "candidates": [{"id": 1, "name": "tuned", "state": "running"}, "tuner"]}
    with serving(sock, [[Refusal(code="unknown_entry", data=data)]]):
        ran = expctl("status", "tunde")

    assert ran.code == 4
    assert ran.err.splitlines() == [
        "expctl: no entry or experiment answers to tunde",
        "  did you mean 1 tuned running, tuner?",
    ]


def test_nobody_listening_is_exit_code_3(sock: Path, expctl: Expctl) -> None:
    """Where no daemon may be started, its absence is the failure, also behind a socket that was left over."""
    missing = expctl("status")
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(sock))
    stale = expctl("status")

    assert (missing.code, stale.code) == (3, 3)
    assert "EXPD_AUTOSTART=0" in missing.err


@pytest.mark.parametrize("argv", [["status"], ["jobs"]])
def test_what_keeps_the_pool_is_said(sock: Path, expctl: Expctl, argv: list[str]) -> None:
    """Where nothing is started and nobody wanted that, the reason is a sentence, and that it ends by itself."""
    trouble = "the store can't be written: database or disk is full"
    listed = Listed(count=0, paused=False, trouble=trouble)
    shown = PoolShown(jobs=1, paused=False, running=0, queued=1, trouble=trouble)

    with serving(sock, [[listed if argv == ["status"] else shown]]):
        ran = expctl(*argv)

    assert f"nothing is started: {trouble}; it goes on by itself" in ran.err
