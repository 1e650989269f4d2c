"""Why: how an entry came to be as it is, in one answer: its phase, what it does or did, and what it left."""

import os
import shlex
from pathlib import Path

import trio

from expd.execute.kept import kept_place
from expd.pipeline.model import COMMAND_STAGE
from expd.queueing.entry import Attempt, Entry, Run
from expd.serve.entries import find_entries, record_of
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.context import Context, StageContext
from expproto.errors import AMBIGUOUS_ENTRY, UNKNOWN_ENTRY, RemoteProtocolError
from expproto.fields import from_map
from expproto.records import AttemptRecord
from expproto.replies import ATTEMPTS_MAX, TAIL_BYTES, Diagnosed
from expproto.requests import Why
from expproto.vocabulary import EntryState, Mode, Phase, Succeeded

_CANDIDATES_MAX = 20
"""Entries of a sweep that are named when one has to be chosen: more than a person looks through."""
_PHASES = {
    EntryState.PREPARING: Phase.PREPARING,
    EntryState.RUNNING: Phase.STAGE,
    EntryState.COLLECTING: Phase.COLLECTING,
}


async def handle(request: Why, services: Services, _answer: Answer) -> Diagnosed:
    """Tell of one entry; of a sweep one has to be named."""
    found = await find_entries(services, (request.entry,), request.cwd)
    if len(found) != 1:
        candidates = [f"{entry.id} {entry.name}" for entry in found[:_CANDIDATES_MAX]]
        raise Refused(AMBIGUOUS_ENTRY, selector=request.entry, candidates=candidates)
    attempts = await services.store.attempts(found[0].id)
    entry = found[0] if request.attempt is None else await _as_of(found[0], request.attempt, services)
    run = entry.run
    context = None if run is None else await _context(run, services)
    phase = await _phase(entry, services)
    told = _stage_of(entry, context, phase)
    ahead = await services.store.ahead_of(entry.id)
    record = record_of(services, entry, await services.store.pool(), ahead)
    stage = record.stage or (told.name if told else None) or getattr(entry.outcome, "stage", None)
    kept, tail, size = await trio.to_thread.run_sync(_look, entry, run, limiter=services.git)
    return Diagnosed(
        entry=record,
        phase=phase,
        stage=stage,
        command=_command_of(entry, stage, told),
        seconds=None if context is None else context.seconds,
        usage=None if context is None else context.usage,
        oom_kills=0 if told is None else told.oom_kills,
        kept=kept,
        tail=tail,
        log_bytes=size,
        attempts=tuple(_record_of(attempt) for attempt in attempts[-ATTEMPTS_MAX:]),
    )


async def _as_of(entry: Entry, number: int, services: Services) -> Entry:
    """Give an entry as it was when one of its attempts had ended; refuses an attempt that never ran."""
    found = await services.store.entry_in_attempt(entry.id, number)
    if found is None or found.run is None:
        raise Refused(UNKNOWN_ENTRY, selector=f"{entry.id}@{number}", candidates=[f"{entry.id}@{entry.attempt}"])
    return found


def _record_of(attempt: Attempt) -> AttemptRecord:
    return AttemptRecord(
        number=attempt.number,
        log=attempt.log,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        outcome=attempt.outcome,
    )


async def _context(run: Run, services: Services) -> Context | None:
    plain = await services.store.context(run.id)
    try:
        return None if plain is None else from_map(Context, plain)
    except RemoteProtocolError:  # of another version
        return None


async def _phase(entry: Entry, services: Services) -> Phase | None:
    """Give the phase in which a run is, or ended; None where there is none."""
    if entry.run is None:
        return None
    state = entry.state
    if state is EntryState.DONE:
        state = await services.store.state_before_end(entry.id, entry.attempt) or state
    return _PHASES.get(state)


def _stage_of(entry: Entry, context: Context | None, phase: Phase | None) -> StageContext | None:
    """Give what is told of the stage with which a run ended: the outcome's, or the last one that began."""
    stages = () if context is None else context.stages
    name = getattr(entry.outcome, "stage", None)
    if name is not None:
        return next((stage for stage in reversed(stages) if stage.name == name), None)
    return stages[-1] if stages and phase is Phase.STAGE else None


def _command_of(entry: Entry, stage: str | None, told: StageContext | None) -> str | None:
    if told is not None and told.command is not None:
        return told.command
    command = entry.submission.command
    return shlex.join(command) if command is not None and stage in {None, COMMAND_STAGE} else None


def _look(entry: Entry, run: Run | None) -> tuple[str | None, bytes, int]:
    """See what a run left: the directory that was kept, the end of its log, and the log's size."""
    if run is None:
        return None, b"", 0
    tail, size = _tail(Path(run.log))
    if entry.state is not EntryState.DONE or isinstance(entry.outcome, Succeeded):
        return None, tail, size
    kept = (
        Path(run.worktree)
        if _ran_in_workspace(entry, run)
        else kept_place(Path(entry.submission.git_directory), run.id)
    )
    return (str(kept) if kept is not None and kept.is_dir() else None), tail, size


def _ran_in_workspace(entry: Entry, run: Run) -> bool:
    return entry.submission.mode is Mode.WORKSPACE and run.worktree == entry.submission.workspace


def _tail(log: Path) -> tuple[bytes, int]:
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            return file.read(TAIL_BYTES), size
    except OSError:
        return b"", 0
