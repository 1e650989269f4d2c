"""Every transition of what waits or runs, as SQL inside the caller's transaction: a crash leaves before or after."""

from dataclasses import dataclass
from pathlib import Path

from expd.queueing.database import Cursor, IntegrityError
from expd.queueing.entry import LOCAL, Entry, Submission
from expd.queueing.schedule import PoolState
from expd.queueing.writing import (
    NameTaken,
    WrongState,
    change_state,
    end_entry,
    entry_of_run,
    insert,
    living_holder,
    read_back,
)
from expproto.vocabulary import Cancelled, EntryId, EntryState, Mode, RunId

ACTIVE = ("preparing", "running", "collecting")
_NEXT = "SELECT id FROM entries WHERE state = 'queued' AND not_before IS NULL AND engine = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who takes the next entry: an idle worker, and the token that fences this attempt."""

    worker: str
    pid: int
    start_ticks: int
    boot_id: str
    token: str
    at: float
    immediate_only: bool = False
    """Take none of the queue's."""
    avoid: tuple[str, ...] = ()
    """Git directories of which none is taken."""
    engine: str = LOCAL
    """Whose entries."""


def next_for(cursor: Cursor, claim: Claim) -> Entry | None:
    """Find the entry that a claim would take."""
    wake_due(cursor, claim.at)
    avoid = f"AND git_directory NOT IN ({', '.join('?' * len(claim.avoid))})" if claim.avoid else ""
    values = (claim.engine, *claim.avoid)
    row = cursor.execute(f"{_NEXT} AND mode <> 'queue' {avoid} ORDER BY id LIMIT 1", values).fetchone()
    if row is None and not claim.immediate_only:
        row = cursor.execute(f"{_NEXT} AND mode = 'queue' {avoid} ORDER BY id LIMIT 1", values).fetchone()
    return None if row is None else read_back(cursor, EntryId(row["id"]))


def claim_next(cursor: Cursor, claim: Claim, runs_directory: Path) -> Entry | None:
    """Take the first queued entry that may start, one that waits for no slot before others: queued → preparing, with a new run."""
    entry = next_for(cursor, claim)
    if entry is None:
        return None
    run_id = insert(
        cursor,
        "runs",
        {
            "entry": entry.id,
            "attempt": entry.attempt,
            "token": claim.token,
            "worker": claim.worker,
            "pid": claim.pid,
            "start_ticks": claim.start_ticks,
            "boot_id": claim.boot_id,
            "log": "",
            "record": "",
            "worktree": _place_of(cursor, entry.submission, claim),
            "claimed_at": claim.at,
        },
    )
    files = (str(runs_directory / f"{run_id}.log"), str(runs_directory / f"{run_id}.outcome"), run_id)
    cursor.execute("UPDATE runs SET log = ?, record = ? WHERE id = ?", files)
    change_state(cursor, entry, EntryState.PREPARING, claim.at)
    return read_back(cursor, entry.id)


def _place_of(cursor: Cursor, submission: Submission, claim: Claim) -> str:
    """Choose where to run: the workspace itself, a slot of the repository, or a place that another host chooses."""
    if submission.engine != LOCAL:
        return f"{submission.engine}:{claim.token}"
    if submission.mode is Mode.WORKSPACE:
        return submission.workspace
    return _free_worktree(cursor, submission.git_directory)


def _free_worktree(cursor: Cursor, git_directory: str) -> str:
    """Choose the lowest numbered slot of the repository that no living run uses."""
    used = {row["worktree"] for row in cursor.execute("SELECT worktree FROM runs WHERE ended_at IS NULL")}
    slots = (f"{git_directory}/expd/worktrees/{number}" for number in range(len(used) + 1))
    return next(slot for slot in slots if slot not in used)


def start_run(cursor: Cursor, run: RunId, at: float) -> Entry:
    """preparing → running; a later stage of the same run changes nothing."""
    entry = entry_of_run(cursor, run)
    if entry.state is not EntryState.PREPARING:
        return entry
    cursor.execute("UPDATE runs SET started_at = ? WHERE id = ?", (at, run))
    change_state(cursor, entry, EntryState.RUNNING, at)
    return read_back(cursor, entry.id)


def move_run(cursor: Cursor, run: RunId, state: EntryState, at: float) -> Entry:
    """Pass a run's entry to another state."""
    entry = entry_of_run(cursor, run)
    cursor.execute("UPDATE runs SET started_at = coalesce(started_at, ?) WHERE id = ?", (at, run))
    change_state(cursor, entry, state, at)
    return read_back(cursor, entry.id)


def cancel_entry(cursor: Cursor, entry_id: EntryId, reason: str, at: float) -> Entry:
    """End an entry that waits; for an active one note the wish, which its worker is told."""
    entry = read_back(cursor, entry_id)
    if entry.state in {EntryState.HELD, EntryState.QUEUED}:
        end_entry(cursor, entry, Cancelled(reason=reason, at=at), at)
    elif entry.state is not EntryState.DONE and entry.run is not None:
        sql = "UPDATE runs SET cancel_reason = ?, cancel_at = ? WHERE id = ? AND cancel_reason IS NULL"
        cursor.execute(sql, (reason, at, entry.run.id))
    return read_back(cursor, entry_id)


def release_entry(cursor: Cursor, entry_id: EntryId, at: float) -> Entry:
    """held → queued, however often its runs were lost before; raises WrongState for any other state."""
    entry = read_back(cursor, entry_id)
    if entry.state is not EntryState.HELD:
        raise WrongState(entry.id, entry.state)
    change_state(cursor, entry, EntryState.QUEUED, at, {"hold_reason": None, "losses": 0})
    return read_back(cursor, entry_id)


def wake_due(cursor: Cursor, at: float) -> None:
    """Let what waited for its time be claimed, if that has come."""
    cursor.execute("UPDATE entries SET not_before = NULL WHERE state = 'queued' AND not_before <= ?", (at,))


def rename_entry(cursor: Cursor, entry_id: EntryId, name: str) -> None:
    """Give an entry another name; raises NameTaken."""
    try:
        cursor.execute("UPDATE entries SET name = ? WHERE id = ?", (name, entry_id))
    except IntegrityError as error:
        holder = living_holder(cursor, read_back(cursor, entry_id).submission, name)
        raise NameTaken(name, entry_id if holder is None else holder.id) from error


def read_pool(cursor: Cursor) -> PoolState:
    """Read the pool's settings, count what it works on, and find when the next entry's time comes."""
    settings = cursor.execute("SELECT jobs, paused FROM pool").fetchone()
    sql = """SELECT state, mode = 'queue' AS waits, not_before IS NULL AS ready, count(*) AS n
        FROM entries WHERE state <> 'done' AND engine = ? GROUP BY state, waits, ready"""
    counts = {
        (row["state"], bool(row["waits"]), bool(row["ready"])): int(row["n"]) for row in cursor.execute(sql, (LOCAL,))
    }
    next_at = "SELECT min(not_before) AS at FROM entries WHERE state = 'queued' AND not_before IS NOT NULL"
    return PoolState(
        jobs=settings["jobs"],
        paused=bool(settings["paused"]),
        running=sum(counts.get((state, True, True), 0) for state in ACTIVE),
        queued=counts.get(("queued", True, True), 0),
        immediate=counts.get(("queued", False, True), 0),
        active=sum(counts.get((state, waits, True), 0) for state in ACTIVE for waits in (True, False)),
        deferred=sum(counts.get(("queued", waits, False), 0) for waits in (True, False)),
        next_at=cursor.execute(next_at).fetchone()["at"],
    )
