"""What the daemon and the workers of other hosts say through a broker: JSON, no pickle, nothing secret in it by itself.

A `Task` asks for one attempt; whoever claims it on the hub runs it, and tells of it until its result is on the hub. All
of it may come twice, late, or never: a result is found by its ref, output has its offset, and every word has its token.
"""

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from expproto.errors import BAD_MESSAGE, RemoteProtocolError
from expproto.fields import from_map, to_map
from expproto.vocabulary import Rev, RunId
from expproto.work import Collecting, Execute, Obstacle, Progress, RunEnded, StageStarted

FORMAT = 1
"""Raised when a worker of an older release could misunderstand a task."""
PIECE_BYTES_MAX = 64 * 1024
"""Of output in one message: a screen at once, and nothing that a broker would notice."""
_NAME = re.compile(r"[0-9a-z]{4,40}")
_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

QUEUES = "expd"
"""What workers listen to: this queue, or `expd.gpu` of those with `--queue gpu`."""


def queue_of(name: str | None) -> str:
    """Give the broker's name of a queue of workers; ValueError for a name that is none."""
    if name is None:
        return QUEUES
    if not _QUEUE.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a queue: letters, digits, - and _ are")
    return f"{QUEUES}.{name}"


def replies_of(store: str) -> str:
    """Give the queue on which one daemon is told of its runs."""
    return f"{QUEUES}.told.{store}"


class BrokerAway(Exception):
    """The broker does not answer, or turned us away: `what` has no password in it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where a broker is, and by which certificates it and we are known to each other; the address holds its password."""

    url: str = field(repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One attempt. `order` is an Execute without the places of a host; `environment` the variables that travel, as text.

    `store` names the daemon; `held_as` the ref on the hub that has the stash commit; `cargo` is what goes along with it,
    if anything does. Results are by `author_name` and `author_email`. `pushes_data`
    says that outputs go to the DVC remote. A worker that lives says so once in `lease_seconds`, or oftener.
    """

    kind = "task"
    format: int
    store: str
    token: str
    held_as: str
    stash_rev: Rev
    order: Mapping[str, object]
    environment: tuple[tuple[str, str], ...]
    lease_seconds: float
    author_name: str
    author_email: str
    pushes_data: bool = False
    cargo: Rev | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A worker has claimed the attempt: `host` is its name, and it lives at `at`. Said again and again for as long as it does."""

    kind = "claimed"
    run: RunId
    token: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A report of the run, as a local worker has it. Of its end only the result on the hub tells."""

    kind = "reported"
    run: RunId
    token: str
    report: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Pieces of the run log and of its marks, in base64, each with its place in the file."""

    kind = "written"
    run: RunId
    token: str
    log_offset: int
    log: str
    marks_offset: int
    marks: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultPushed:
    """The result is on the hub."""

    kind = "result_pushed"
    run: RunId
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """What executed the run has ended without an outcome."""

    kind = "gone"
    run: RunId
    token: str
    how: str


Told = Claimed | Reported | Written | ResultPushed | Gone
_TOLD: tuple[type[Told], ...] = (Claimed, Reported, Written, ResultPushed, Gone)

Report = StageStarted | Progress | Collecting | Obstacle
_REPORTS: tuple[type[Report], ...] = (StageStarted, Progress, Collecting, Obstacle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What of a submission is on the hub, and who submitted it."""

    held_as: str
    held_rev: Rev
    cargo: Rev | None
    author_name: str
    author_email: str


def task_of(order: Execute, parcel: Parcel, *, lease_seconds: float, pushes_data: bool) -> Task:
    """Make the task of an order; its environment is what travels, and nothing else."""
    bare = replace(order, environment=(), git_directory="", worktree="", origin_root="", cache="", log="", record="")
    variables = tuple((os.fsdecode(name), os.fsdecode(value)) for name, value in order.environment)
    return Task(
        format=FORMAT,
        store=parcel.held_as.partition("/")[0],
        token=order.run_token,
        held_as=parcel.held_as,
        stash_rev=order.stash_rev,
        order=to_map(bare),
        environment=variables,
        lease_seconds=lease_seconds,
        author_name=parcel.author_name,
        author_email=parcel.author_email,
        pushes_data=pushes_data,
        cargo=parcel.cargo,
    )


def task_from(value: object) -> Task:
    """Read a task; raises RemoteProtocolError for what no daemon of this format sends."""
    if isinstance(value, Mapping) and value.get("format") != FORMAT:
        raise RemoteProtocolError(
            BAD_MESSAGE, f"a task of format {value.get('format')!r}, and this worker reads {FORMAT}"
        )
    task = from_map(Task, value)
    parts = task.held_as.split("/")
    if not all(map(_NAME.fullmatch, (task.store, task.token))) or len(parts) != 2 or parts[0] != task.store:
        raise RemoteProtocolError(BAD_MESSAGE, "a task names what can't be on a hub")
    revs = [rev for rev in (task.stash_rev, task.cargo) if rev is not None]
    if not re.fullmatch(r"[0-9A-Za-z]{4,64}", parts[1]) or not all(re.fullmatch(r"[0-9a-f]{40}", rev) for rev in revs):
        raise RemoteProtocolError(BAD_MESSAGE, "a task names what can't be on a hub")
    if order_of(task).run_token != task.token:
        raise RemoteProtocolError(BAD_MESSAGE, "a task has the order of another")
    return task


def order_of(task: Task) -> Execute:
    """Give the order of a task, without the places and the variables of a host."""
    return from_map(Execute, task.order)


def variables_of(task: Task) -> dict[bytes, bytes]:
    """Give the variables that came along."""
    return {os.fsencode(name): os.fsencode(value) for name, value in task.environment}


def told_from(value: object) -> Told:
    """Read what a worker tells; raises RemoteProtocolError."""
    for told_type in _TOLD:
        if isinstance(value, Mapping) and value.get("kind") == told_type.kind:
            return from_map(told_type, value)
    raise RemoteProtocolError(BAD_MESSAGE, "a word that no worker says")


def report_from(reported: Reported) -> Report:
    """Read a report that a worker passes on, which is one of its own run; raises RemoteProtocolError."""
    for report_type in _REPORTS:
        if reported.report.get("kind") == report_type.kind:
            report = from_map(report_type, reported.report)
            return replace(report, run=reported.run, run_token=reported.token)
    raise RemoteProtocolError(BAD_MESSAGE, "a report that no worker sends")


def result_from(value: object, run: RunId, token: str) -> RunEnded:
    """Read the outcome of an attempt; raises RemoteProtocolError if it is that of another."""
    ended = from_map(RunEnded, value)
    if (ended.run, ended.run_token) != (run, token):
        raise RemoteProtocolError(BAD_MESSAGE, "the outcome of another attempt")
    return ended


def to_text(data: bytes) -> str:
    """Give bytes as JSON can hold them."""
    return base64.b64encode(data).decode("ascii")


def from_text(text: str) -> bytes:
    """Read what `to_text` gave; raises RemoteProtocolError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RemoteProtocolError(BAD_MESSAGE, "output that is not base64") from None
