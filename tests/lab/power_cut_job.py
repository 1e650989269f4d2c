"""What the machine of test_power_cut.py does: submit until its power is cut, or, started anew, look at what is left.

It runs there as root, with /job read-only and /data the disk that stays; its output is the serial console.
"""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import count
from pathlib import Path

from helpers.daemons import BIN, RunningDaemon
from helpers.invariants import check_all, check_store, held_by
from helpers.repositories import a_repository, git
from helpers.waiting import eventually

JOB, DATA = Path("/job"), Path("/data")
CONFIG = "jobs = 2\ngrace_seconds = 1.0\n"
PROGRAM = "#!{python}\nimport sys\nfrom {package}.__main__ import main\nsys.exit(main())\n"
LONG = "cp /proc/sys/kernel/random/boot_id made.txt; test -e /data/anew || sleep 10000"
"""Ends only after the machine was started anew."""
WAIT_SECONDS = 400


def say(line: str) -> None:
    """Print a line of its own on the console."""
    print(line, flush=True)  # noqa: T201 - the console is all that the outside sees


def boot() -> str:
    """Give the id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def submit_until_the_end(daemon: RunningDaemon, project: Path) -> None:
    """Submit one entry after the other, and print each acknowledgement."""
    os.sync()  # the project was there before
    for number in count():
        name = f"n{number}" if number else "long"
        script = f"echo {name} > made.txt" if number else LONG
        if daemon.run_expctl(project, "submit", "-n", name, "--", "sh", "-c", script).returncode == 0:
            say(f"ACK {name}")
        if not number:
            eventually(lambda: daemon.entries(project, "long")[0]["state"] == "running", "the long one runs")
            say("RUNNING long")


def look(daemon: RunningDaemon, project: Path, acknowledged: list[str], before: dict[str, object]) -> None:
    """Check what was acknowledged, let all of it come to its end, check again; print what was found."""
    check_all(daemon, project, acknowledged)
    trees = held_by(daemon.state / "queue.db")
    files = [len(git(project, "ls-tree", "-r", rev).splitlines()) for revs in trees.values() for rev in revs]
    waiting = daemon.start_expctl(project, "wait", "--timeout", str(WAIT_SECONDS))
    waiting.communicate(timeout=2 * WAIT_SECONDS)
    check_all(daemon, project, acknowledged)
    outcomes = {entry["name"]: entry["outcome"] for entry in daemon.entries(project)}
    facts = {
        **before,
        "boot": boot(),
        "outcomes": outcomes,
        "files_min": min(files),
        "refs": len(trees),
        "runs": runs(daemon),
    }
    say("FACTS " + json.dumps(facts))


def runs(daemon: RunningDaemon) -> list[list[object]]:
    """Give each run of the store: entry's name, boot, entry's state, whether the run is over, outcome."""
    with closing(sqlite3.connect(f"file:{daemon.state}/queue.db?mode=ro", uri=True)) as connection:
        sql = """SELECT entries.name, runs.boot_id, entries.state, runs.ended_at IS NOT NULL, runs.outcome
                 FROM runs JOIN entries ON entries.id = runs.entry ORDER BY runs.id"""
        return [list(row) for row in connection.execute(sql)]


def main() -> None:
    """Work if this is the first boot of the disk, look otherwise."""
    for name in ("expd", "expctl"):
        program = BIN / name
        program.write_text(PROGRAM.format(python=sys.executable, package=name))
        program.chmod(0o755)
    say(f"\nBOOT {boot()}")  # the firmware ends without a line break
    acknowledged = (JOB / "acknowledged").read_text().split()
    project = DATA / "project"
    if acknowledged:
        check_store(DATA / "state" / "queue.db")  # as the cut left it, before any daemon
        (DATA / "anew").touch()
    else:
        a_repository(project)
    daemon = RunningDaemon(CONFIG, DATA / "state")
    try:
        if acknowledged:
            look(daemon, project, acknowledged, {"at_start": runs(daemon)})
        else:
            submit_until_the_end(daemon, project)
    except (AssertionError, subprocess.SubprocessError):
        say(daemon.journal())
        raise


main()
