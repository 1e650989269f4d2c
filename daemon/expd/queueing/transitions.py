"""Every transition of what waits or runs, as SQL inside the caller's transaction: a crash leaves before or after."""

from dataclasses import dataclass, replace
from pathlib import Path

from expd.queueing.database import Cursor, IntegrityError
from expd.queueing.entry import LOCAL, Entry, Submission
from expd.queueing.rows import read_environment
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
from expproto.place import DEFAULT_GROUP
from expproto.vocabulary import Cancelled, EntryId, EntryState, Mode, RunId

ACTIVE = ("preparing", "running", "collecting")
AT_ONCE = "SELECT id FROM entries WHERE standing = 'ready' AND engine = ? AND at_once = 1 {avoid} ORDER BY grp, priority DESC, place LIMIT 1"
ELSEWHERE = "SELECT id FROM entries WHERE standing = 'ready' AND engine = ? {avoid} ORDER BY at_once DESC, priority DESC, place LIMIT 1"
IN_TURN = """SELECT id FROM entries WHERE standing = 'ready' AND engine = ? AND at_once = 0 AND grp = ? {avoid}
    ORDER BY priority DESC, place LIMIT 1"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who takes the next entry: an idle worker, and the token that fences this attempt."""

    worker: str
    pid: int
    start_ticks: int
    boot_id: str
    token: str
    at: float
    group: str | None = DEFAULT_GROUP
    """Whose turn it is, where nothing waits for no slot; None takes only such."""
    avoid: tuple[str, ...] = ()
    """Git directories of which none is taken."""
    engine: str = LOCAL
    """Whose entries."""
    roomy: frozenset[tuple[str, str]] | None = None
    """Git directories and caches whose disks are known to have room: what is next has to be in such; with None that is of no account."""


class RoomUnknown(Exception):
    """What is next in turn would run where nobody has looked for room."""


def next_for(cursor: Cursor, claim: Claim) -> Entry | None:
    """Find the entry that a claim would take."""
    wake_due(cursor, claim.at)
    avoid = f"AND git_directory NOT IN ({', '.join('?' * len(claim.avoid))})" if claim.avoid else ""
    if claim.engine != LOCAL:  # whose slots are not ours to give
        row = cursor.execute(ELSEWHERE.format(avoid=avoid), (claim.engine, *claim.avoid)).fetchone()
        return None if row is None else read_back(cursor, EntryId(row["id"]))
    row = cursor.execute(AT_ONCE.format(avoid=avoid), (claim.engine, *claim.avoid)).fetchone()
    if row is None and claim.group is not None:
        row = cursor.execute(IN_TURN.format(avoid=avoid), (claim.engine, claim.group, *claim.avoid)).fetchone()
    return None if row is None else read_back(cursor, EntryId(row["id"]))


def claim_next(cursor: Cursor, claim: Claim, runs_directory: Path) -> Entry | None:
    """Take the first queued entry that may start, one that waits for no slot before others: queued → preparing, with a new run."""
    entry = next_for(cursor, claim)
    if entry is None:
        return None
    if claim.roomy is not None and (entry.submission.git_directory, entry.submission.cache) not in claim.roomy:
        raise RoomUnknown
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
    claimed = read_back(cursor, entry.id)
    environment = read_environment(cursor, entry.submission_id) or b""
    return replace(claimed, submission=replace(claimed.submission, environment=environment))


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


def start_run(cursor: Cursor, run: RunId, at: float, token: str | None = None) -> Entry:
    """preparing → running; a later stage of the same run changes nothing. Raises WrongState for another token than its own."""
    entry = _entry_under(cursor, run, token)
    if entry.state is not EntryState.PREPARING:
        return entry
    cursor.execute("UPDATE runs SET started_at = ? WHERE id = ?", (at, run))
    change_state(cursor, entry, EntryState.RUNNING, at)
    return read_back(cursor, entry.id)


def collect_run(cursor: Cursor, run: RunId, at: float, token: str | None = None) -> Entry:
    """preparing or running → collecting, once; raises WrongState from any other, and for another token than the run's own."""
    entry = _entry_under(cursor, run, token)
    if entry.state is EntryState.COLLECTING:
        return entry
    cursor.execute("UPDATE runs SET started_at = coalesce(started_at, ?) WHERE id = ?", (at, run))
    change_state(cursor, entry, EntryState.COLLECTING, at)
    return read_back(cursor, entry.id)


def _entry_under(cursor: Cursor, run: RunId, token: str | None) -> Entry:
    entry = entry_of_run(cursor, run)
    if token is not None and (entry.run is None or entry.run.token != token):
        raise WrongState(entry.id, entry.state)
    return entry


def cancel_entry(cursor: Cursor, entry_id: EntryId, reason: str, at: float, number: int | None = None) -> Entry:
    """End an entry that waits; for an active one note the wish, and with which signal, which its worker is told."""
    entry = read_back(cursor, entry_id)
    if entry.state in {EntryState.HELD, EntryState.QUEUED}:
        end_entry(cursor, entry, Cancelled(reason=reason, at=at), at)
    elif entry.state is not EntryState.DONE and entry.run is not None:
        sql = (
            "UPDATE runs SET cancel_reason = ?, cancel_at = ?, cancel_signal = ? WHERE id = ? AND cancel_reason IS NULL"
        )
        cursor.execute(sql, (reason, at, number, entry.run.id))
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
        taken = NameTaken(name, entry_id) if holder is None else NameTaken(name, holder.id, holder.name)
        raise taken from error
