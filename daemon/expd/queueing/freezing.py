"""Which runs of this host are to stand still: noted with the run, so that it holds across daemons."""

from expd.queueing.database import Cursor
from expd.queueing.entry import LOCAL
from expproto.vocabulary import RunId

_FREEZE = """UPDATE runs SET frozen_at = :at WHERE ended_at IS NULL AND frozen_at IS NULL AND cancel_reason IS NULL AND entry IN
    (SELECT id FROM entries WHERE standing = 'active' AND state <> 'collecting' AND engine = :engine
     AND (:grp IS NULL OR grp = :grp)) RETURNING id"""
_THAW = """UPDATE runs SET frozen_at = NULL WHERE frozen_at IS NOT NULL AND ended_at IS NULL AND NOT (SELECT paused FROM pool)
    AND entry IN (SELECT entries.id FROM entries JOIN groups ON groups.name = entries.grp WHERE NOT groups.paused) RETURNING id"""


def freeze_runs(cursor: Cursor, group: str | None, at: float) -> list[RunId]:
    """Note that what runs is to stand still, of one group or all of it; gives the runs for which that is new."""
    rows = cursor.execute(_FREEZE, {"at": at, "engine": LOCAL, "grp": group}).fetchall()
    return [RunId(row["id"]) for row in rows]


def thaw_runs(cursor: Cursor) -> list[RunId]:
    """Note that what is frozen goes on, unless the pool or its group is paused; gives the runs for which that is new."""
    return [RunId(row["id"]) for row in cursor.execute(_THAW).fetchall()]


def count_frozen(cursor: Cursor) -> int:
    """Count the runs that stand still."""
    sql = "SELECT count(*) AS n FROM runs WHERE frozen_at IS NOT NULL AND ended_at IS NULL"
    return int(cursor.execute(sql).fetchone()["n"])
