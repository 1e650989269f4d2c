"""Stands in for the daemon where the client starts one: behaves as FAKE_EXPD says, and counts its starts in a file."""

import os
import signal
import sys
from pathlib import Path


def main() -> int:
    """Fail, hold the lock elsewhere, or serve as many questions as FAKE_QUESTIONS says, then a stop."""
    assert Path.cwd() == Path("/")
    assert os.getsid(0) == os.getpid()
    with Path(os.environ["FAKE_STARTS"]).open("a", encoding="utf-8") as starts:
        starts.write(f"{os.getpid()}\n")
    behaviour = os.environ["FAKE_EXPD"]
    if behaviour == "fail":
        print("expd: the store /somewhere can't be read\x1b[2J", file=sys.stderr)  # noqa: T201 - its log is the point
        return 1
    if behaviour == "locked":
        return 75
    if behaviour == "hang":
        signal.pause()
    ready = int(sys.argv[sys.argv.index("--ready-fd") + 1])
    return _serve(ready)


def _serve(ready: int) -> int:
    from client.scripted import ScriptedDaemon, Step  # noqa: PLC0415 - those that don't serve are quick to start
    from expproto.address import socket_path  # noqa: PLC0415
    from expproto.replies import DaemonShown, Listed, Stopping  # noqa: PLC0415

    path = socket_path(os.environ)
    shown = DaemonShown(
        pid=os.getpid(),
        version="0.1.0",
        protocol=1,
        socket=path,
        state_directory="/state",
        started_at=0.0,
        running=0,
        queued=0,
        jobs=1,
        paused=False,
    )
    question: list[list[Step]] = [[shown]]
    stop: list[list[Step]] = [[Listed(count=0, paused=False)], [Stopping(running=0), "hang up"]]
    daemon = ScriptedDaemon(Path(path), [question] * int(os.environ["FAKE_QUESTIONS"]) + [stop])
    os.write(ready, b"READY\n")
    os.close(ready)
    daemon.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
