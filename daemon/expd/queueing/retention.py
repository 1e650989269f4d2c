"""What is kept no longer: rules by age, count and size, pure; and what the store knows of what they are applied to.

The newest is kept first. Nothing here speaks of results: experiments belong to the user, and no rule knows them.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from expd.queueing.database import Cursor
from expproto.vocabulary import EntryId, RunId

GivenUpBy = Literal["age", "count", "size", "unused"]
_STRANGE_SECONDS = 7 * 86400.0
"""A week without a submission and without an end; a holiday costs one day of waiting."""
_FIRST_DAY_SECONDS = 86400.0
"""In which somebody may see that the clock is wrong, and set it right."""
_DRIFT_SECONDS = 3600.0
"""What a clock may be put right by; no rule counts in less than days."""
_LIVING = "(SELECT submission FROM entries WHERE state <> 'done')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that may be given up: since when it is there (seconds since the epoch), and its bytes on the disk."""

    key: int
    at: float
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How long (in seconds), how many and how much of a kind are kept; None is no bound."""

    seconds_max: float | None = None
    count_max: int | None = None
    size_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Both clocks at one moment, in seconds: the wall's, which anybody may set, and that of this boot, which nobody can."""

    wall: float
    boot: float


def counted_to(start: Clocks, now: Clocks, newest_at: float | None) -> float:
    """Give the time that ages are counted to, so that a clock that was set takes nothing away.

    A wall clock that went further than that of the boot since the daemon's start was set: the time that has passed counts. Whether
    one was set before, or the machine was off, nobody can tell: where the newest that the store knows of from before the start
    (`newest_at`, None if nothing) is long past, nothing has an age on the first day.
    """
    elapsed = now.boot - start.boot
    is_strange = newest_at is not None and start.wall - newest_at > _STRANGE_SECONDS
    if is_strange and elapsed < _FIRST_DAY_SECONDS:
        return -math.inf
    return min(now.wall, start.wall + elapsed + _DRIFT_SECONDS)


def given_up(items: Sequence[Item], rule: Rule, now: float) -> Iterator[tuple[Item, GivenUpBy]]:
    """Give what a rule does not keep, newest first, with the bound that it is beyond; after one too large none is kept."""
    size = 0
    for number, item in enumerate(sorted(items, key=lambda each: (-each.at, -each.key))):
        size += item.size
        if rule.seconds_max is not None and now - item.at > rule.seconds_max:
            yield item, "age"
        elif rule.count_max is not None and number >= rule.count_max:
            yield item, "count"
        elif rule.size_max is not None and size > rule.size_max:
            yield item, "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """A run of an entry that is done: its files may be given up."""

    run: RunId
    entry: EntryId
    ended_at: float
    git_directory: str
    log: str


def read_done(cursor: Cursor) -> list[Item]:
    """List entries that are done, of submissions of which nothing waits or runs any more: a sweep is counted whole."""
    sql = f"SELECT id, ended_at FROM entries WHERE state = 'done' AND submission NOT IN {_LIVING}"  # noqa: S608 - a text of ours
    return [Item(key=row["id"], at=row["ended_at"]) for row in cursor.execute(sql)]


def read_newest_at(cursor: Cursor, before: float) -> float | None:
    """Give the latest time of a submission or an end that is not after `before`; None if there is none."""
    sql = """SELECT max(at) AS at FROM (SELECT submitted_at AS at FROM submissions UNION ALL SELECT ended_at FROM entries)
        WHERE at <= ?"""
    row = cursor.execute(sql, (before,)).fetchone()
    return None if row["at"] is None else float(row["at"])


def read_ended_runs(cursor: Cursor) -> list[EndedRun]:
    """List the runs of entries that are done."""
    sql = """SELECT runs.id, runs.entry, runs.ended_at, runs.log, entries.git_directory
        FROM runs JOIN entries ON entries.id = runs.entry WHERE entries.state = 'done' AND runs.ended_at IS NOT NULL"""
    return [
        EndedRun(
            run=RunId(row["id"]),
            entry=EntryId(row["entry"]),
            ended_at=row["ended_at"],
            git_directory=row["git_directory"],
            log=row["log"],
        )
        for row in cursor.execute(sql)
    ]


def read_not_gone_on(cursor: Cursor, git_directory: str, runs: Sequence[RunId]) -> list[RunId]:
    """Give those of a repository's runs in whose worktree no entry is to go on."""
    sql = """SELECT runs.id FROM runs JOIN entries ON entries.id = runs.entry
        WHERE entries.git_directory = ? AND runs.id IN (SELECT value FROM json_each(?))
              AND (entries.state = 'done' OR entries.resumes IS NOT runs.id)"""
    return [RunId(row["id"]) for row in cursor.execute(sql, (git_directory, json.dumps(runs)))]


def read_environments(cursor: Cursor) -> list[Item]:
    """List the environments of submissions of which nothing waits or runs: since their last entry ended."""
    sql = f"""SELECT environments.submission, max(entries.ended_at) AS at, length(environments.variables) AS size
        FROM environments JOIN entries ON entries.submission = environments.submission
        WHERE environments.submission NOT IN {_LIVING} GROUP BY environments.submission"""  # noqa: S608 - a text of ours
    return [Item(key=row["submission"], at=row["at"], size=row["size"]) for row in cursor.execute(sql)]


def wipe_environment(cursor: Cursor, submission: int) -> None:
    """Forget the environment of a submission, unless something of it waits or runs again."""
    sql = f"DELETE FROM environments WHERE submission = ? AND submission NOT IN {_LIVING}"  # noqa: S608 - a text of ours
    cursor.execute(sql, (submission,))


def read_copies(cursor: Cursor, git_directory: str) -> set[str]:
    """List what entries of a repository, living or done, were submitted with by -C: the hashes of the listings."""
    sql = "SELECT DISTINCT copies FROM submissions WHERE git_directory = ? AND copies IS NOT NULL"
    return {str(row["copies"]) for row in cursor.execute(sql, (git_directory,))}
