"""A queue on disk with the verbs of tests, and what they put into it."""

from pathlib import Path

from expd.queueing.database import Database
from expd.queueing.entry import Entry, NewEntry, Submission
from expd.queueing.store import Store
from expd.queueing.transitions import Claim
from expproto.place import DEFAULT_GROUP
from expproto.vocabulary import (
    Outcome,
    Rev,
    RunId,
)

BASELINE = Rev("b" * 40)
RESULT = Rev("e" * 40)
SECRET = b"TOKEN=canary"


class Queue(Store):
    """A store with the verbs of these tests."""

    def __init__(self, database: Database, directory: Path) -> None:
        super().__init__(database, directory / "runs")
        self.database = database
        self._number = 0

    async def submit(self, *names: str, **changed: object) -> list[Entry]:
        """Queue entries of these names as one submission."""
        self._number += 1
        submission = a_submission(f"request{self._number}", **changed)
        return await self.accept(submission, [a_new_entry(name) for name in names])

    async def take(self) -> Entry:
        """Claim the next entry, which has to be there."""
        self._number += 1
        entry = await self.claim(a_claim(f"token{self._number}"))
        assert entry is not None
        return entry

    async def run(self, outcome: Outcome) -> Entry:
        """Claim the next entry and end its run."""
        return await self.finish(run_of(await self.take()), outcome, 9.0)

    async def has_environment(self, entry: Entry) -> bool:
        """Tell whether the environment of an entry's submission is still there."""
        return await self.environment(entry.submission_id) is not None


def a_submission(request_id: str, **changed: object) -> Submission:
    """Make a submission of a pipeline."""
    fields: dict[str, object] = {
        "request_id": request_id,
        "held_as": f"store/{request_id}",
        "git_directory": "/r/.git",
        "workspace": "/r",
        "root": ".",
        "directory": "sub",
        "cache": "/r/.dvc/cache",
        "baseline_rev": BASELINE,
        "message": "why",
        "command": None,
        "targets": ("train", "test"),
        "force": False,
        "umask": 0o027,
        "environment": SECRET,
        "submitted_at": 1.0,
        "captured_tree": BASELINE,
    }
    return Submission(**(fields | changed))  # type: ignore[arg-type]  # the names above are its fields


def a_new_entry(name: str) -> NewEntry:
    """Make one point."""
    return NewEntry(name=name, stash_rev=Rev(f"{sum(name.encode()):040x}"), params={"lr": 0.1, "layers": [1, 2]})


def a_claim(token: str, group: str = DEFAULT_GROUP) -> Claim:
    """Make the claim of a worker."""
    return Claim(worker="w1", pid=100, start_ticks=200, boot_id="boot", token=token, at=5.0, group=group)


def run_of(entry: Entry) -> RunId:
    """Give the id of an entry's run."""
    assert entry.run is not None
    return entry.run.id


def ids(entries: list[Entry]) -> list[int]:
    """Give the ids of entries."""
    return [entry.id for entry in entries]
