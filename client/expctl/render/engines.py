"""Engines, their hosts and what runs there → table, lines, JSON."""

from collections.abc import Iterator

from expctl.render.lines import lines
from expctl.render.table import table
from expctl.render.terminal import visible
from expproto.records import HostRecord
from expproto.replies import EnginesShown

_HEADING = ("engine", "host", "slots", "busy", "queues", "runs")


def document(shown: EnginesShown) -> dict[str, object]:
    """Give the JSON document."""
    return {
        "engines": [
            {
                "name": engine.name,
                "queued": engine.queued,
                "trouble": engine.trouble,
                "hosts": [
                    {
                        "host": host.host,
                        "slots": host.slots,
                        "queues": list(host.queues),
                        "runs": [{"entry": run.entry, "name": run.name} for run in host.runs],
                    }
                    for host in engine.hosts
                ],
            }
            for engine in shown.engines
        ]
    }


def plain(shown: EnginesShown) -> str:
    """Give a line a host."""
    return lines(_rows(shown))


def page(shown: EnginesShown) -> str:
    """Give the table, and what waits."""
    waiting = [f"{engine.queued} queued for {engine.name}" for engine in shown.engines if engine.queued]
    return table(_HEADING, list(_rows(shown)), numbers=frozenset({"slots", "busy"})) + "".join(
        f"{words}\n" for words in waiting
    )


def troubles(shown: EnginesShown) -> Iterator[str]:
    """Say what is wrong with an engine, and where one is without hosts."""
    for engine in shown.engines:
        if engine.trouble is not None:
            yield f"{engine.name}: {visible(engine.trouble)}"
        elif not engine.hosts:
            yield f"{engine.name}: no worker answers; on another host: expd worker --engine {engine.name}"


def _rows(shown: EnginesShown) -> Iterator[tuple[str, ...]]:
    for engine in shown.engines:
        for host in engine.hosts:
            queues = ", ".join(host.queues)
            yield (engine.name, host.host, str(host.slots), str(len(host.runs)), queues, _runs(host))


def _runs(host: HostRecord) -> str:
    """Name what runs: another daemon's without a number."""
    return ", ".join(run.name if run.entry is None else f"{run.entry} {run.name}" for run in host.runs)
