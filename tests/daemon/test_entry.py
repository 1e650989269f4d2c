"""The two guards of an entry's state: the table in entry.py, and the constraints of schema.sql."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expd.queueing.database import Cursor, IntegrityError, open_connection
from expd.queueing.entry import LEGAL_CHANGES, may_change, outcome_from_json, outcome_to_json
from expd.queueing.groups import ensure_pool
from expproto.vocabulary import (
    OUTCOMES,
    Cancelled,
    EntryState,
    Failed,
    Killed,
    Lost,
    NotStarted,
    Outcome,
    OutOfMemory,
    Refused,
    Rev,
    Skipped,
    Succeeded,
    TimedOut,
)

REV = "a" * 40
LOST = outcome_to_json(Lost(reason="gone"))
PAIRS = list(itertools.product(EntryState, EntryState))

TEXTS = st.text(max_size=20)
OUTCOME_VALUES: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Succeeded, rev=st.text("0123456789abcdef", min_size=40, max_size=40).map(Rev)),
    st.builds(Failed, stage=TEXTS, exit_code=st.integers(0, 255)),
    st.builds(Killed, stage=TEXTS, signal=st.integers(1, 64)),
    st.builds(Cancelled, reason=TEXTS),
    st.builds(OutOfMemory, stage=TEXTS, evidence=TEXTS),
    st.builds(NotStarted, stage=TEXTS, errno=st.integers(0, 200), path=TEXTS, is_directory=st.booleans()),
    st.builds(TimedOut, stage=TEXTS, limit_seconds=st.floats(0, 1e9), seconds=st.floats(0, 1e9)),
    st.builds(Refused, reason=TEXTS),
    st.builds(Lost, reason=TEXTS),
    st.builds(Skipped, reason=TEXTS),
)


@pytest.fixture
def cursor(tmp_path: Path) -> Iterator[Cursor]:
    """Give a store file with one submission in it."""
    connection = open_connection(tmp_path / "queue.db")
    ensure_pool(connection, 1)
    _insert_submission(connection)
    yield connection
    connection.close()


def _insert_submission(cursor: Cursor, **changed: object) -> None:
    columns: dict[str, object] = {
        "request_id": "r" * 8,
        "held_as": f"store/{changed.get('request_id', 'r' * 8)}",
        "git_directory": "/r/.git",
        "workspace": "/r",
        "root": ".",
        "directory": ".",
        "cache": "/c",
        "baseline_rev": REV,
        "targets": "[]",
        "force": 0,
        "stage_options": "{}",
        "limits": "{}",
        "retries": "{}",
        "umask": 18,
        "mode": "queue",
        "captured_tree": REV,
        "submitted_at": 1.0,
    }
    _insert(cursor, "submissions", columns | changed)


def _insert_entry(cursor: Cursor, state: EntryState = EntryState.QUEUED, **changed: object) -> None:
    done = state is EntryState.DONE
    columns: dict[str, object] = {
        "submission": 1,
        "git_directory": "/r/.git",
        "baseline_rev": REV,
        "mode": "queue",
        "engine": "local",
        "name": "x",
        "stash_rev": REV,
        "params": "{}",
        "grp": "default",
        "place": 1.0,
        "at_once": 0,
        "state": state,
        "outcome_kind": "lost" if done else None,
        "outcome": LOST if done else None,
        "ended_at": 2.0 if done else None,
    }
    _insert(cursor, "entries", columns | changed)


def _insert_run(cursor: Cursor, **changed: object) -> None:
    columns: dict[str, object] = {
        "entry": 1,
        "attempt": 1,
        "token": "t",
        "worker": "w",
        "pid": 1,
        "start_ticks": 1,
        "boot_id": "b",
        "log": "",
        "record": "",
        "worktree": "/r/.git/expd/worktrees/0",
        "claimed_at": 1.0,
    }
    _insert(cursor, "runs", columns | changed)


def _insert(cursor: Cursor, table: str, columns: dict[str, object]) -> None:
    marks = ", ".join("?" for _ in columns)
    cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", tuple(columns.values()))


def _change_state(cursor: Cursor, after: EntryState, attempt: int = 1) -> None:
    kind, text, at = ("lost", LOST, 2.0) if after is EntryState.DONE else (None, None, None)
    sql = "UPDATE entries SET state = ?, outcome_kind = ?, outcome = ?, ended_at = ?, attempt = ? WHERE id = 1"
    cursor.execute(sql, (after, kind, text, at, attempt))


def _is_another_attempt(before: EntryState, after: EntryState) -> bool:
    """Tell whether an entry passes from a run to the wait for the next one."""
    return before not in {EntryState.HELD, EntryState.QUEUED} and after in {EntryState.HELD, EntryState.QUEUED}


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_table_and_trigger_agree_on_every_pair(cursor: Cursor, before: EntryState, after: EntryState) -> None:
    """Of all pairs of states, the file lets through exactly the changes that the table calls legal."""
    _insert_entry(cursor, before)

    try:
        _change_state(cursor, after, attempt=2 if _is_another_attempt(before, after) else 1)
        let_through = True
    except IntegrityError:
        let_through = False

    assert let_through == may_change(before, after)


def test_what_is_done_is_queued_only_as_another_attempt(cursor: Cursor) -> None:
    """The file lets nobody forget how an attempt ended by letting it run on."""
    _insert_entry(cursor, EntryState.DONE)

    with pytest.raises(IntegrityError):
        _change_state(cursor, EntryState.QUEUED, attempt=1)


def test_every_state_but_done_may_end_and_done_may_only_begin_anew() -> None:
    """An entry can be ended from wherever it is, and an ended one goes nowhere but to the queue."""
    enders = {state for state in EntryState if may_change(state, EntryState.DONE)}

    assert enders == set(EntryState) - {EntryState.DONE}
    assert LEGAL_CHANGES[EntryState.DONE] == {EntryState.QUEUED}


def test_table_knows_every_state() -> None:
    """A state without a row in the table would make asking about it a crash."""
    assert set(LEGAL_CHANGES) == set(EntryState)


def test_schema_takes_every_kind_of_outcome(cursor: Cursor) -> None:
    """The kinds in the constraint are the kinds of the vocabulary: none is refused once a run ends with it."""
    for number, outcome_type in enumerate(OUTCOMES):
        _insert_entry(cursor, EntryState.DONE, name=f"x{number}", outcome_kind=outcome_type.kind)

    assert cursor.execute("SELECT count(*) FROM entries").fetchone()[0] == len(OUTCOMES)


IMPOSSIBLE_ENTRIES = {
    "done without an outcome": {"state": "done"},
    "an outcome before the end": {"outcome_kind": "lost", "outcome": LOST, "ended_at": 2.0},
    "a kind without its outcome": {"state": "done", "outcome_kind": "lost", "ended_at": 2.0},
    "an outcome without its kind": {"outcome": LOST},
    "an outcome without a time": {"state": "done", "outcome_kind": "lost", "outcome": LOST},
    "a time without an outcome": {"ended_at": 2.0},
    "an unknown state": {"state": "paused"},
    "an unknown kind of outcome": {"state": "done", "outcome_kind": "won", "outcome": LOST, "ended_at": 2.0},
    "an outcome that is no JSON": {"state": "done", "outcome_kind": "lost", "outcome": "gone", "ended_at": 2.0},
    "parameters that are no JSON": {"params": "lr=1"},
    "a run in place without its place": {"mode": "workspace"},
    "a place for what is queued": {"workspace": "/r"},
    "a short rev": {"stash_rev": "abc123"},
    "a submission that is not there": {"submission": 7},
    "text where a number belongs": {"ended_at": "soon"},
    "no name": {"name": None},
}


@pytest.mark.parametrize("changed", IMPOSSIBLE_ENTRIES.values(), ids=IMPOSSIBLE_ENTRIES)
def test_impossible_entries_are_refused(cursor: Cursor, changed: dict[str, object]) -> None:
    """What no entry can be is no row of the file either, whatever the code above it believes."""
    with pytest.raises(IntegrityError):
        _insert_entry(cursor, **changed)  # type: ignore[arg-type]  # the table holds columns only


IMPOSSIBLE_SUBMISSIONS = {
    "a request id that was used": {},
    "a request id too short to be unique": {"request_id": "abc"},
    "a baseline that is no rev": {"request_id": "s" * 8, "baseline_rev": "HEAD"},
    "a command that is no JSON": {"request_id": "s" * 8, "command": "sh"},
    "targets that are no JSON": {"request_id": "s" * 8, "targets": "train"},
    "options that are no JSON": {"request_id": "s" * 8, "stage_options": "{"},
    "a umask beyond its bits": {"request_id": "s" * 8, "umask": 512},
    "a mode that is none": {"request_id": "s" * 8, "mode": "later"},
    "a captured tree that is no rev": {"request_id": "s" * 8, "captured_tree": "HEAD"},
    "half a force": {"request_id": "s" * 8, "force": 2},
}


@pytest.mark.parametrize("changed", IMPOSSIBLE_SUBMISSIONS.values(), ids=IMPOSSIBLE_SUBMISSIONS)
def test_impossible_submissions_are_refused(cursor: Cursor, changed: dict[str, object]) -> None:
    """The file holds no submission that could not have been made."""
    with pytest.raises(IntegrityError):
        _insert_submission(cursor, **changed)


def test_a_name_belongs_to_one_living_entry_of_a_baseline(cursor: Cursor) -> None:
    """Two living entries can't have one name; an ended one, another baseline or another repository is no hindrance."""
    _insert_entry(cursor)
    _insert_entry(cursor, EntryState.DONE)
    _insert_entry(cursor, baseline_rev="b" * 40)
    _insert_entry(cursor, git_directory="/other/.git")

    with pytest.raises(IntegrityError):
        _insert_entry(cursor, EntryState.RUNNING)


IMPOSSIBLE_RUNS = {
    "two living runs of an entry": {"token": "u", "attempt": 2, "worktree": "/1"},
    "one worktree for two living runs": {"token": "u", "entry": 2},
    "a token that was used": {"entry": 2, "worktree": "/1"},
    "an attempt counted twice": {"token": "u", "worktree": "/1", "ended_at": 3.0, "outcome": LOST},
    "an attempt before the first": {"token": "u", "entry": 2, "attempt": 0, "worktree": "/1"},
    "an end without an outcome": {"token": "u", "entry": 2, "worktree": "/1", "ended_at": 3.0},
    "an outcome without an end": {"token": "u", "entry": 2, "worktree": "/1", "outcome": LOST},
    "an entry that is not there": {"token": "u", "entry": 7, "worktree": "/1"},
}


@pytest.mark.parametrize("changed", IMPOSSIBLE_RUNS.values(), ids=IMPOSSIBLE_RUNS)
def test_impossible_runs_are_refused(cursor: Cursor, changed: dict[str, object]) -> None:
    """Two runs at one thing, or a run half ended, can't be stored."""
    _insert_entry(cursor)
    _insert_entry(cursor, name="y")
    _insert_run(cursor)

    with pytest.raises(IntegrityError):
        _insert_run(cursor, **changed)


def test_a_worktree_is_free_again_once_its_run_has_ended(cursor: Cursor) -> None:
    """The constraint is about living runs: slots are used again."""
    _insert_entry(cursor)
    _insert_entry(cursor, name="y")
    _insert_run(cursor, ended_at=3.0, outcome=LOST)

    _insert_run(cursor, entry=2, token="u")

    assert cursor.execute("SELECT count(*) FROM runs").fetchone()[0] == 2


@pytest.mark.parametrize(
    ("jobs", "paused"), [(-1, 0), (1, 2), (None, 0)], ids=["negative slots", "half a pause", "no number of slots"]
)
def test_impossible_pools_are_refused(cursor: Cursor, jobs: int | None, paused: int) -> None:
    """The pool's settings make sense wherever they come from."""
    with pytest.raises(IntegrityError):
        _insert(cursor, "groups", {"name": "gpu", "jobs": jobs, "paused": paused})


@given(OUTCOME_VALUES)
def test_outcomes_are_read_as_they_were_stored(outcome: Outcome) -> None:
    """Every outcome, whatever its texts hold, comes back as the same value."""
    assert outcome_from_json(outcome_to_json(outcome)) == outcome


def test_an_outcome_of_no_known_kind_is_an_error() -> None:
    """What a newer version has stored is not mistaken for something else."""
    with pytest.raises(ValueError, match="promoted"):
        outcome_from_json('{"kind": "promoted"}')
