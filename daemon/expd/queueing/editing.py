"""What waits is made another: its place, its time, what it waits for, its limits, and with which parameters it will run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from expd.queueing.database import Cursor
from expd.queueing.dependents import Dependency, add_dependencies, is_met, needs_of, set_met, waiting_behind
from expd.queueing.entry import Entry, outcome_from_json
from expd.queueing.groups import check_group
from expd.queueing.steering import read_waiting
from expd.queueing.transitions import rename_entry
from expd.queueing.writing import WrongState, read_back
from expproto.fields import to_map
from expproto.limits import RunLimits
from expproto.retries import RetryPolicy
from expproto.vocabulary import EntryId, EntryState, Rev


class UnusableDependency(Exception):
    """An entry can't be made to wait for `needs`: `what` says why."""

    def __init__(self, entry: EntryId, needs: EntryId, what: str) -> None:
        super().__init__(what)
        self.entry = entry
        self.needs = needs
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """An entry with other parameters: the stash commit that takes the place of `stash_rev_before`, and what follows from it."""

    stash_rev_before: Rev
    stash_rev: Rev
    params: dict[str, object]
    name: str
    request_id: str
    """Of the request that asks for it: asked again it changes nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What is to be different about entries that wait; None is as it was.

    `not_before` 0 is at once, a limit of 0 is none. `after` are all that they wait for then.
    """

    priority: int | None = None
    group: str | None = None
    not_before: float | None = None
    after: tuple[Dependency, ...] | None = None
    time_seconds: float | None = None
    stall_seconds: float | None = None
    memory_bytes: int | None = None
    cpus: float | None = None
    retries: int | None = None
    causes: tuple[str, ...] | None = None
    backoff_seconds: float | None = None

    def limits(self, before: RunLimits) -> RunLimits:
        """Give what a run may use up then."""
        return RunLimits(
            time_seconds=before.time_seconds if self.time_seconds is None else self.time_seconds or None,
            stall_seconds=before.stall_seconds if self.stall_seconds is None else self.stall_seconds or None,
            memory_bytes=before.memory_bytes if self.memory_bytes is None else self.memory_bytes or None,
            cpus=before.cpus if self.cpus is None else self.cpus or None,
        )

    def policy(self, before: RetryPolicy) -> RetryPolicy:
        """Give when a run is followed by another then."""
        return RetryPolicy(
            retries=before.retries if self.retries is None else self.retries,
            causes=before.causes if self.causes is None else self.causes,
            backoff_seconds=before.backoff_seconds if self.backoff_seconds is None else self.backoff_seconds,
        )


AS_IT_WAS = Edit()


def edit_entry(cursor: Cursor, entry_id: EntryId, edit: Edit, variant: Variant | None = None) -> Entry:
    """Change an entry that waits; raises WrongState, NoSuchGroup, UnusableDependency and NameTaken."""
    entry = read_waiting(cursor, entry_id)
    if variant is not None:
        _vary(cursor, entry, variant)
    if edit.group is not None:
        check_group(cursor, edit.group)
        cursor.execute("UPDATE entries SET grp = ? WHERE id = ?", (edit.group, entry_id))
    if edit.priority is not None:
        cursor.execute("UPDATE entries SET priority = ? WHERE id = ?", (edit.priority, entry_id))
    if edit.not_before is not None:
        cursor.execute("UPDATE entries SET not_before = ? WHERE id = ?", (edit.not_before or None, entry_id))
    if edit.after is not None:
        _replace_dependencies(cursor, entry_id, edit.after)
    _set_terms(cursor, entry, edit)
    return read_back(cursor, entry_id)


def _vary(cursor: Cursor, entry: Entry, variant: Variant) -> None:
    """Let an entry run from another stash commit; WrongState if it has another one already than the variant was made of."""
    values = (variant.stash_rev, json.dumps(variant.params), variant.request_id, entry.id, variant.stash_rev_before)
    sql = (
        "UPDATE entries SET stash_rev = ?, params = ?, edited_by = ? WHERE id = ? AND stash_rev = ? AND resumes IS NULL"
    )
    if cursor.execute(sql, values).rowcount != 1:
        raise WrongState(entry.id, entry.state)
    if variant.name != entry.name:
        rename_entry(cursor, entry.id, variant.name)


def _set_terms(cursor: Cursor, entry: Entry, edit: Edit) -> None:
    """Give an entry limits and retries of its own, where those of its submission are not wanted any more."""
    limits, policy = edit.limits(entry.submission.limits), edit.policy(entry.submission.retries)
    if limits != entry.submission.limits:
        cursor.execute("UPDATE entries SET limits = ? WHERE id = ?", (json.dumps(to_map(limits)), entry.id))
    if policy != entry.submission.retries:
        cursor.execute("UPDATE entries SET retries = ? WHERE id = ?", (json.dumps(to_map(policy)), entry.id))


def _replace_dependencies(cursor: Cursor, entry: EntryId, after: Sequence[Dependency]) -> None:
    """Let an entry wait for these, and for no others; raises UnusableDependency where it never could run."""
    behind = waiting_behind(cursor, entry)
    for each in after:
        if each.needs == entry:
            raise UnusableDependency(entry, each.needs, f"entry {entry} can't wait for itself")
        if each.needs in behind:
            raise UnusableDependency(entry, each.needs, f"entry {each.needs} waits for entry {entry}")
    cursor.execute("DELETE FROM dependencies WHERE entry = ?", (entry,))
    add_dependencies(cursor, entry, after)
    for each, state, outcome in needs_of(cursor, entry):
        if state is EntryState.DONE and outcome is not None:
            if not is_met(each.condition, outcome_from_json(outcome)):
                how = "has not succeeded" if each.condition == "ok" else "has succeeded"
                raise UnusableDependency(
                    entry, each.needs, f"entry {each.needs} {how}, and entry {entry} would never run"
                )
            set_met(cursor, entry, each.needs)
