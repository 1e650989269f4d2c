"""One trivial experiment on another host, over a broker and a hub on this machine, from submit to done; beside the same
here, and beside an empty task of Celery's own over the same broker.
"""

import os
import socket
import sys
from dataclasses import replace
from functools import partial

from benchmarks.arena import Arena
from benchmarks.row import Row
from helpers.distributed import missing

_EMPTY = """
import sys, time
from celery import Celery
app = Celery("empty", broker=sys.argv[1], backend=sys.argv[1])
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1)
@app.task(name="empty")
def empty():
    return 0
if sys.argv[2] == "worker":
    app.Worker(pool="threads", concurrency=1, queues=["empty"], loglevel="ERROR", quiet=True, without_gossip=True, without_mingle=True).start()
else:
    app.send_task("empty", queue="empty").get(timeout=60)
    began = time.perf_counter()
    app.send_task("empty", queue="empty").get(timeout=60)
    print(time.perf_counter() - began)
"""


def _elsewhere(arena: Arena) -> Arena:
    """Give the project whose daemon has other hosts; with the first call broker, hub and two workers come up."""
    place = arena.directory / "hosts"
    config = {"EXPD_CONFIG": str(place / "config.toml")}
    if not place.exists():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        place.mkdir()
        (place / "broker").write_text(f"redis://127.0.0.1:{port}/0", encoding="ascii")
        (place / "empty.py").write_text(_EMPTY, encoding="utf-8")
        arena.run(["git", "init", "--quiet", "--bare", str(place / "hub.git")], arena.directory)
        table = f"[engines.celery]\nbroker = 'redis://127.0.0.1:{port}/0'\nhub = '{place}/hub.git'\n"
        (place / "config.toml").write_text(table, encoding="utf-8")
        worker = replace(arena, environment={**arena.environment, **config, "EXPD_STATE_DIR": str(place / "state")})
        _start(
            arena,
            f"redis-server --set-proc-title no --port {port} --bind 127.0.0.1 --save '' --appendonly no --dir {place}",
        )
        _start(worker, "expd worker --engine celery")
        _start(arena, f"{sys.executable} {place}/empty.py redis://127.0.0.1:{port}/0 worker")
    beside = replace(arena, environment={**arena.environment, **config}).beside("elsewhere")
    return replace(beside, environment={**beside.environment, **config})


def _start(arena: Arena, command: str) -> None:
    """Start something that goes on; the arena ends it with everything else of its own."""
    arena.run(["sh", "-c", f"exec {command} </dev/null >/dev/null 2>&1 &"], arena.ours)


def _experiment(on: tuple[str, ...], arena: Arena, number: int) -> float:
    here = _elsewhere(arena) if on else arena
    submit = ["expctl", "submit", "--quiet", "-S", f"x={number + 1}", *on]
    seconds = here.run(submit, here.ours)
    entry = (here.directory / "output").read_text(encoding="ascii").strip()
    return seconds + here.run(["expctl", "wait", entry], here.ours)


def _task(arena: Arena, _number: int) -> float:
    place = _elsewhere(arena).directory / "hosts"
    broker = (place / "broker").read_text(encoding="ascii")
    return arena.time([sys.executable, os.fspath(place / "empty.py"), broker, "send"], arena.ours)


ROW = Row(
    name="elsewhere",
    title="a trivial experiment on another host (broker and hub on this machine), from `submit` until `wait` has ended",
    rounds=5,
    ours=partial(_experiment, ("--on", "celery")),
    others={"the same here": partial(_experiment, ()), "an empty task of Celery's": _task},
    missing={"expd": missing},
)
