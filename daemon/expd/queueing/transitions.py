"""Every transition of what waits or runs as SQL, each inside the caller's transaction: what a crash leaves is before or after, never between."""


ACTIVE = ("preparing", "running", "collecting")
_NEXT = "SELECT id FROM entries WHERE state = 'queued'"


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


def claim_next(cursor: Cursor, claim: Claim, runs_directory: Path) -> Entry | None:
    """Take the first queued entry for a worker, one that waits for no slot before others: queued → preparing, with a new run."""
    row = cursor.execute(f"{_NEXT} AND mode <> 'queue' ORDER BY id LIMIT 1").fetchone()
    if row is None and not claim.immediate_only:
        row = cursor.execute(f"{_NEXT} AND mode = 'queue' ORDER BY id LIMIT 1").fetchone()
    if row is None:
        return None
    entry = read_back(cursor, EntryId(row["id"]))
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
            "worktree": _place_of(cursor, entry.submission),
            "claimed_at": claim.at,
        },
    )
    files = (str(runs_directory / f"{run_id}.log"), str(runs_directory / f"{run_id}.outcome"), run_id)
    cursor.execute("UPDATE runs SET log = ?, record = ? WHERE id = ?", files)
    change_state(cursor, entry, EntryState.PREPARING, claim.at)
    return read_back(cursor, entry.id)


def _place_of(cursor: Cursor, submission: Submission) -> str:
    """Choose where to run: the workspace itself, or a slot of the repository."""
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
    """held → queued; raises WrongState for any other state."""
    entry = read_back(cursor, entry_id)
    if entry.state is not EntryState.HELD:
        raise WrongState(entry.id, entry.state)
    change_state(cursor, entry, EntryState.QUEUED, at)
    return read_back(cursor, entry_id)


def rename_entry(cursor: Cursor, entry_id: EntryId, name: str) -> None:
    """Give an entry another name; raises NameTaken."""
    try:
        cursor.execute("UPDATE entries SET name = ? WHERE id = ?", (name, entry_id))
    except IntegrityError as error:
        holder = living_holder(cursor, read_back(cursor, entry_id).submission, name)
        raise NameTaken(name, entry_id if holder is None else holder.id) from error


def read_pool(cursor: Cursor) -> PoolState:
    """Read the pool's settings and count what it works on."""
    settings = cursor.execute("SELECT jobs, paused FROM pool").fetchone()
    sql = (
        "SELECT state, mode = 'queue' AS waits, count(*) AS n FROM entries WHERE state <> 'done' GROUP BY state, waits"
    )
    counts = {(row["state"], bool(row["waits"])): int(row["n"]) for row in cursor.execute(sql)}
    return PoolState(
        jobs=settings["jobs"],
        paused=bool(settings["paused"]),
        running=sum(counts.get((state, True), 0) for state in ACTIVE),
        queued=counts.get(("queued", True), 0),
        immediate=counts.get(("queued", False), 0),
        active=sum(counts.get((state, waits), 0) for state in ACTIVE for waits in (True, False)),
    )
