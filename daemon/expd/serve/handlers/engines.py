"""Engines: who executes entries, on which hosts, and what runs there."""

import socket
from collections.abc import Mapping

from expd.distributed.messages import BrokerAway
from expd.queueing.entry import LOCAL
from expd.serve.services import Answer, Services
from expproto.records import EngineRecord, HostRecord, RunOnHost
from expproto.replies import EnginesShown
from expproto.requests import Engines
from expproto.vocabulary import EntryId


async def handle(_request: Engines, services: Services, _answer: Answer) -> EnginesShown:
    """Ask all hosts; those that do not answer within a second are not listed."""
    active = [entry for entry in await services.store.active() if entry.submission.engine == LOCAL]
    runs = tuple(RunOnHost(entry=entry.id, name=entry.name) for entry in active)
    pool = await services.store.pool()
    here = HostRecord(host=socket.gethostname(), slots=pool.jobs, queues=(), runs=runs)
    local = EngineRecord(name=LOCAL, queued=pool.queued + pool.immediate, hosts=(here,), trouble=services.pool.trouble)
    return EnginesShown(engines=(local, *[await _other(name, services) for name in services.pool.other_engines]))


async def _other(name: str, services: Services) -> EngineRecord:
    queued, trouble = await services.store.queued_on(name), services.pool.engine_trouble(name)
    hosts: tuple[HostRecord, ...] = ()
    if trouble is None:
        try:
            states = await services.pool.ask_hosts(name)
        except BrokerAway as away:
            states, trouble = [], away.what
        store = await services.store.name()
        hosts = tuple(sorted((_host(state, store) for state in states), key=lambda host: host.host))
    return EngineRecord(name=name, queued=queued, hosts=hosts, trouble=trouble)


def _host(state: Mapping[str, object], store: str) -> HostRecord:
    """Read what a host tells of itself; what makes no sense reads as nothing."""
    slots, queues, runs = state.get("slots"), state.get("queues"), state.get("runs")
    return HostRecord(
        host=str(state.get("host")),
        slots=slots if isinstance(slots, int) else 0,
        queues=tuple(map(str, queues)) if isinstance(queues, list) else (),
        runs=tuple(_run(run, store) for run in runs if isinstance(run, dict)) if isinstance(runs, list) else (),
    )


def _run(run: Mapping[str, object], store: str) -> RunOnHost:
    entry = run.get("entry")
    is_ours = isinstance(entry, int) and run.get("store") == store
    return RunOnHost(entry=EntryId(entry) if is_ours and isinstance(entry, int) else None, name=str(run.get("name")))
