"""Every message, as frozen records in closed unions: requests, replies and events, orders and reports.

A client's request is answered by any number of events and then exactly one reply. A worker is told by orders and
tells by reports, in no fixed turn. Requests are imperatives, replies past participles, events and reports nouns.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from expproto.errors import UNKNOWN_MESSAGE, RemoteProtocolError
from expproto.fields import from_map, kind_of, to_map
from expproto.logs import Mark, Output, StoredOutput
from expproto.replies import (
    AttemptEnded,
    CancelAccepted,
    CapturePage,
    DaemonShown,
    Diagnosed,
    Ended,
    EnginesShown,
    EntriesChanged,
    EntriesRemoved,
    EntryPage,
    EntryProgress,
    Event,
    Examined,
    ExperimentPage,
    Explained,
    Exported,
    Fetched,
    Followed,
    GarbageCollected,
    Inspected,
    Listed,
    PointPage,
    PoolShown,
    Previewed,
    Refusal,
    Reply,
    Restored,
    Shown,
    Stopping,
    Submitted,
    Verified,
    Waited,
)
from expproto.requests import (
    AskDaemon,
    Cancel,
    Doctor,
    Engines,
    Explain,
    Export,
    Follow,
    Gc,
    Get,
    Import,
    Inspect,
    Release,
    Remove,
    Rename,
    Request,
    Restore,
    ResumeRuns,
    Retry,
    Show,
    Status,
    Stop,
    Submit,
    Verify,
    Wait,
    Why,
)
from expproto.steering import AddGroup, EditEntries, Hold, Move, Pause, RemoveGroup, Resume, RunNow, SetJobs
from expproto.work import (
    Acknowledge,
    CancelRun,
    Collecting,
    Execute,
    FreezeRun,
    Leave,
    Obstacle,
    Order,
    Progress,
    Register,
    Report,
    RunEnded,
    StageStarted,
    ThawRun,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Who speaks: the protocol it speaks, its release, and as what (`client`, `worker` or `daemon`)."""

    kind = "hello"
    protocol: int
    version: str
    role: str


Message = Hello | Request | Event | Reply | Order | Report

_ALL: tuple[type[Message], ...] = (
    Hello, Submit, Explain, Status, Show, Inspect, Why, Get, Follow, Wait, Cancel, Release, Export, Import, Retry, ResumeRuns, Remove, Verify, Rename, Restore, Doctor, Gc, Hold, RunNow, EditEntries, Move, Pause, Resume, SetJobs, Engines, AddGroup, RemoveGroup, AskDaemon,
    Stop, EntryPage, ExperimentPage, PointPage, CapturePage, Output, StoredOutput, Mark, EntryProgress, AttemptEnded, Ended, Submitted, Previewed, EntriesChanged, EntriesRemoved, Verified, Restored, Exported, Explained,
    Listed, Shown, Inspected, Diagnosed, Fetched, Followed, Waited,
    CancelAccepted, Examined, GarbageCollected, PoolShown, EnginesShown, DaemonShown, Stopping, Refusal, Register, Execute, CancelRun, FreezeRun, ThawRun, Acknowledge, Leave,
    StageStarted, Progress, Collecting, Obstacle, RunEnded,
)  # fmt: skip
MESSAGES: Mapping[str, type[Message]] = {kind_of(message): message for message in _ALL}
"""Every kind that may stand in a frame."""


def message_to_map(message: Message) -> dict[str, object]:
    """Give the map form of a message, as `codec.encode` takes it."""
    return to_map(message)


def message_from_map(value: Mapping[str, object]) -> Message:
    """Read the map form of a message; raises RemoteProtocolError for an unknown kind or a wrong field."""
    kind = value.get("kind")
    message_type = MESSAGES.get(kind) if isinstance(kind, str) else None
    if message_type is None:
        raise RemoteProtocolError(UNKNOWN_MESSAGE, f"no message of kind {str(kind)[:80]!r}")
    return from_map(message_type, value)
