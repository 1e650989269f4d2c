"""The pool's settings and what it works on, group by group: all by name or by tally, whatever the length of the queue."""

from expd.queueing.database import Cursor
from expd.queueing.entry import LOCAL
from expd.queueing.freezing import count_frozen
from expd.queueing.schedule import GroupState, PoolState
from expproto.place import DEFAULT_GROUP


class NoSuchGroup(Exception):
    """There is no group of this `name`; `known` are those there are."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(name)
        self.name = name
        self.known = known


class GroupInUse(Exception):
    """The group `name` has `count` entries that are not done, or is the one that is always there."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(name)
        self.name = name
        self.count = count


def read_pool(cursor: Cursor) -> PoolState:
    """Read the settings, the tallies, and when the next entry's time comes."""
    tallies = "SELECT grp, at_once, standing, sum(n) AS n FROM tallies WHERE engine = ? GROUP BY grp, at_once, standing"
    counts = {
        (row["grp"], bool(row["at_once"]), row["standing"]): int(row["n"]) for row in cursor.execute(tallies, (LOCAL,))
    }
    groups = [
        GroupState(
            name=row["name"],
            jobs=row["jobs"],
            paused=bool(row["paused"]),
            running=counts.get((row["name"], False, "active"), 0),
            queued=counts.get((row["name"], False, "ready"), 0),
        )
        for row in cursor.execute("SELECT name, jobs, paused FROM groups ORDER BY name")
    ]
    (default,) = [group for group in groups if group.name == DEFAULT_GROUP]
    next_at = "SELECT min(not_before) AS at FROM entries WHERE state = 'queued' AND not_before IS NOT NULL"

    def total(standing: str, *, at_once: tuple[bool, ...] = (False, True)) -> int:
        return sum(n for (_group, now, found), n in counts.items() if found == standing and now in at_once)

    return PoolState(
        jobs=default.jobs,
        paused=bool(cursor.execute("SELECT paused FROM pool").fetchone()["paused"]),
        running=default.running,
        queued=default.queued,
        immediate=total("ready", at_once=(True,)),
        active=total("active"),
        deferred=total("waiting"),
        next_at=cursor.execute(next_at).fetchone()["at"],
        default_paused=default.paused,
        frozen=count_frozen(cursor),
        others=tuple(group for group in groups if group.name != DEFAULT_GROUP),
    )


def ensure_pool(cursor: Cursor, jobs: int) -> None:
    """Make the pool and its first group on a new store."""
    cursor.execute("INSERT OR IGNORE INTO pool (id, paused) VALUES (1, 0)")
    cursor.execute("INSERT OR IGNORE INTO groups (name, jobs, paused) VALUES (?, ?, 0)", (DEFAULT_GROUP, jobs))


def check_group(cursor: Cursor, name: str) -> None:
    """Raise NoSuchGroup unless there is one of this name."""
    known = [str(row["name"]) for row in cursor.execute("SELECT name FROM groups ORDER BY name")]
    if name not in known:
        raise NoSuchGroup(name, known)


def set_jobs(cursor: Cursor, group: str, jobs: int) -> PoolState:
    """Let so many runs of a group be active at once; raises NoSuchGroup."""
    check_group(cursor, group)
    cursor.execute("UPDATE groups SET jobs = ? WHERE name = ?", (jobs, group))
    return read_pool(cursor)


def set_paused(cursor: Cursor, group: str | None, *, paused: bool) -> PoolState:
    """Stop or go on claiming entries, of one group or of all; raises NoSuchGroup."""
    if group is None:
        cursor.execute("UPDATE pool SET paused = ?", (int(paused),))
    else:
        check_group(cursor, group)
        cursor.execute("UPDATE groups SET paused = ? WHERE name = ?", (int(paused), group))
    return read_pool(cursor)


def add_group(cursor: Cursor, name: str, jobs: int) -> PoolState:
    """Make a group, or give one that is there other slots."""
    sql = "INSERT INTO groups (name, jobs, paused) VALUES (?, ?, 0) ON CONFLICT DO UPDATE SET jobs = excluded.jobs"
    cursor.execute(sql, (name, jobs))
    return read_pool(cursor)


def remove_group(cursor: Cursor, name: str) -> PoolState:
    """Take a group away; what is done of it is the default group's then. Raises NoSuchGroup and GroupInUse."""
    check_group(cursor, name)
    sql = "SELECT coalesce(sum(n), 0) AS n FROM tallies WHERE grp = ? AND standing <> 'done'"
    living = int(cursor.execute(sql, (name,)).fetchone()["n"])
    if living or name == DEFAULT_GROUP:
        raise GroupInUse(name, living)
    cursor.execute("UPDATE entries SET grp = ? WHERE grp = ?", (DEFAULT_GROUP, name))
    cursor.execute("DELETE FROM groups WHERE name = ?", (name,))
    return read_pool(cursor)
