"""The queue steered live from the shell, with 8 running and 200 queued: each verb takes effect at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.daemons import Json, RunningDaemon, a_daemon, rows
from helpers.repositories import a_repository
from helpers.waiting import eventually

RUNNING, QUEUED = 8, 200

pytestmark = pytest.mark.load


class Busy:
    """A daemon with eight runs that wait for a file, and two hundred entries behind them; and the verbs of these tests."""

    def __init__(self, daemon: RunningDaemon, project: Path) -> None:
        self.daemon = daemon
        self.project = project
        self.gate = project.parent / "gate"
        self.waits = ("sh", "-c", f"while [ ! -e '{self.gate}' ]; do sleep 0.2; done")
        self.started = project.parent / "started"

    def expctl(self, *arguments: str) -> list[Json]:
        """Run a verb that answers with entries."""
        return rows(self.daemon.expctl_json(self.project, *arguments), "entries")

    def pool(self, *arguments: str) -> Json:
        """Run a verb that answers with the pool."""
        return self.daemon.expctl_json(self.project, *arguments)

    def submit(self, name: str, *options: str) -> str:
        """Queue one that notes that it started; gives its id."""
        script = f"echo {name} >> '{self.started}'"
        return self.daemon.expctl(self.project, "submit", "-q", "-n", name, *options, "--", "sh", "-c", script).strip()

    def entry(self, entry: str) -> Json:
        """Give one entry as it is now."""
        return self.daemon.entries(self.project, entry)[0]

    def running(self) -> int:
        """Count what runs."""
        return int(str(self.pool("jobs")["running"]))

    def has_started(self, name: str) -> bool:
        """Tell whether one has noted that it started."""
        return self.started.exists() and name in self.started.read_text().split()


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    """Give a daemon that is busy; every test leaves it so."""
    project = a_repository(tmp_path_factory.mktemp("steering") / "project")
    with a_daemon(jobs=RUNNING, config="grace_seconds = 0.2\nkept_worktrees_max = 0\n") as daemon:
        busy = Busy(daemon, project)
        daemon.expctl(project, "submit", "-S", f"train.lr=range({RUNNING})", "-n", "run", "--", *busy.waits)
        eventually(lambda: busy.running() == RUNNING, "all slots are taken")
        daemon.expctl(project, "submit", "-S", f"train.lr=range({QUEUED})", "-n", "wait", "--", *busy.waits)
        yield busy
        daemon.expctl(project, "pause")
        busy.gate.touch()


def test_the_highest_priority_is_next(busy: Busy) -> None:
    """One that is submitted with it waits behind none, one that is given it later likewise; a sweep is changed as one."""
    first = busy.submit("first", "--priority", "9", "--hold")
    (released,) = busy.expctl("release", first)
    sweep = busy.expctl("edit", "wait", "--priority", "20")
    behind = busy.entry(first)["waits_for"]
    busy.expctl("edit", "wait", "--priority", "0")
    busy.expctl("cancel", first)

    assert (released["priority"], released["waits_for"]) == (9, "a free slot")
    assert {entry["priority"] for entry in sweep} == {20}
    assert (len(sweep), behind) == (QUEUED, f"{QUEUED} ahead in the queue")


def test_entries_are_moved(busy: Busy) -> None:
    """To the top, and before another one; the last of two hundred, and a new one."""
    entry = busy.submit("moved")
    last = busy.entry(entry)["waits_for"]
    (top,) = busy.expctl("move", entry, "--top")
    (third,) = busy.expctl("move", entry, "--before", "wait-3")
    refused = busy.daemon.run_expctl(busy.project, "move", "run-1", "--top")
    busy.expctl("cancel", entry)

    assert last == f"{QUEUED} ahead in the queue"
    assert (top["waits_for"], third["waits_for"]) == ("a free slot", "2 ahead in the queue")
    assert (refused.returncode, b"its run has begun" in refused.stderr) == (5, True)


def test_what_can_not_wait_runs_beyond_the_slots(busy: Busy) -> None:
    """It runs though all slots are taken, also from a hold."""
    entry = busy.submit("urgent", "--hold")

    busy.expctl("run-now", entry)
    busy.daemon.expctl(busy.project, "wait", entry)

    assert (busy.has_started("urgent"), busy.running()) == (True, RUNNING)


def test_what_is_held_is_passed_over(busy: Busy) -> None:
    """One entry, or all that waits of a sweep; released, it stands where it stood."""
    (held,) = busy.expctl("hold", "wait-1")
    others = busy.expctl("hold", "wait")
    released = busy.expctl("release", "wait")

    assert (held["state"], held["waits_for"]) == ("held", "its release")
    assert {entry["state"] for entry in others} == {"held"}
    assert [entry["waits_for"] for entry in released][:2] == ["a free slot", "1 ahead in the queue"]


def test_what_waits_gets_other_parameters(busy: Busy) -> None:
    """A sweep of two hundred as one, and one of them; each keeps its place, and what runs is refused."""
    sweep = busy.expctl("edit", "wait", "-S", "+train.depth=2")
    (one,) = busy.expctl("edit", "wait-3", "-S", "train.depth=5", "-S", "train.lr=0.7")
    refused = busy.daemon.run_expctl(busy.project, "edit", "run-1", "-S", "train.lr=0.7")
    entries = busy.expctl("status", "wait")

    assert len({str(entry["stash_rev"]) for entry in sweep}) == QUEUED
    assert [entry["params"] for entry in sweep[:2]] == [{"train.lr": number, "train.depth": 2} for number in range(2)]
    assert (one["params"], one["waits_for"]) == ({"train.lr": 0.7, "train.depth": 5}, "2 ahead in the queue")
    assert (refused.returncode, b"its run has begun" in refused.stderr) == (5, True)
    assert [entry["waits_for"] for entry in entries[1:]] == [f"{n} ahead in the queue" for n in range(1, QUEUED)]


def test_a_group_has_slots_of_its_own(busy: Busy) -> None:
    """It runs beside the busy one, is paused and resized alone, named as one, and goes when it is empty."""
    busy.pool("group", "add", "gpu", "--jobs", "1")
    busy.pool("pause", "-g", "gpu")
    entries = [busy.submit(f"gpu-{number}", "-g", "gpu") for number in range(3)]
    paused = busy.entry(entries[0])["waits_for"]
    cancelled = busy.expctl("cancel", entries[2])
    in_use = busy.daemon.run_expctl(busy.project, "group", "remove", "gpu")
    more = busy.pool("jobs", "+2", "-g", "gpu")
    listed = rows(busy.pool("group", "list"), "groups")
    busy.pool("resume", "-g", "gpu")
    busy.daemon.expctl(busy.project, "wait", *entries[:2])
    gone = rows(busy.pool("group", "remove", "gpu"), "groups")
    unknown = busy.daemon.run_expctl(busy.project, "submit", "-g", "gpu", "--", "true")

    assert paused == "the group gpu is paused: expctl resume -g gpu"
    assert [entry["state"] for entry in cancelled] == ["done"]
    assert (in_use.returncode, b"2 of its entries are not done" in in_use.stderr) == (5, True)
    assert (more["jobs"], more["running"]) == (3, 0)
    assert [(group["name"], group["queued"]) for group in listed] == [("default", QUEUED), ("gpu", 2)]
    assert (busy.has_started("gpu-0"), busy.has_started("gpu-2")) == (True, False)
    assert [group["name"] for group in gone] == ["default"]
    assert (unknown.returncode, b"there is no group gpu" in unknown.stderr) == (4, True)


def test_the_number_of_slots_changes_live(busy: Busy) -> None:
    """More start at once; with fewer nothing is ended; a change is counted from what there is."""
    busy.expctl("hold", "wait")
    more = busy.pool("jobs", "+1")
    entry = busy.submit("ninth")
    busy.daemon.expctl(busy.project, "wait", entry)
    fewer = busy.pool("jobs", "2")
    back = busy.pool("jobs", "+6")
    busy.expctl("release", "wait")

    assert [pool["jobs"] for pool in (more, fewer, back)] == [RUNNING + 1, 2, RUNNING]
    assert (fewer["running"], busy.has_started("ninth")) == (RUNNING, True)


def test_nothing_starts_while_the_queue_is_paused(busy: Busy) -> None:
    """With free slots nothing is started, but for what is asked for at once; going on, it starts."""
    busy.pool("pause")
    busy.pool("jobs", "+1")
    entry, now = busy.submit("paused"), busy.submit("now")
    busy.expctl("move", entry, "--top")
    busy.expctl("run-now", now)
    busy.daemon.expctl(busy.project, "wait", now)
    waiting = busy.entry(entry)["waits_for"]
    busy.expctl("hold", "wait")
    busy.pool("resume")
    busy.daemon.expctl(busy.project, "wait", entry)
    busy.pool("jobs", str(RUNNING))
    busy.expctl("release", "wait")

    assert waiting == "the pool is paused: expctl resume"


def test_an_entry_waits_for_its_time(busy: Busy) -> None:
    """Until when is shown; it is nobody's forerunner, and edited to now it is queued like any other."""
    entry = busy.submit("later", "--at", "2h", "--priority", "99")
    waiting, first = busy.entry(entry), busy.entry("wait-1")["waits_for"]
    (now,) = busy.expctl("edit", entry, "--at", "now")
    busy.expctl("cancel", entry)

    assert (waiting["waits_for"], waiting["state"], first) == ("its time", "queued", "a free slot")
    assert str(waiting["not_before"]).startswith("20")
    assert (now["not_before"], now["waits_for"]) == (None, "a free slot")


def test_the_order_outlives_the_daemon(busy: Busy) -> None:
    """Killed and started again, it has every entry where it was put, and what ran runs."""
    busy.expctl("move", "wait-200", "--before", "wait-2")
    before = {str(entry["name"]): entry["waits_for"] for entry in busy.expctl("status", "wait")}

    busy.daemon.kill()
    busy.daemon.restart()

    after = {str(entry["name"]): entry["waits_for"] for entry in busy.expctl("status", "wait")}
    assert after == before
    assert (after["wait-200"], busy.running()) == ("1 ahead in the queue", RUNNING)


def test_a_running_sweep_is_cancelled_as_one(busy: Busy) -> None:
    """All eight end, and the slots go to the next in order: first in, first out."""
    busy.daemon.expctl(busy.project, "cancel", "run")
    busy.daemon.run_expctl(busy.project, "wait", "run")
    eventually(lambda: busy.running() == RUNNING, "the slots are taken again")

    running = [str(entry["name"]) for entry in busy.expctl("status", "wait") if entry["state"] != "queued"]
    expected = ["wait-1", "wait-200", *(f"wait-{number}" for number in range(2, RUNNING))]
    assert sorted(running) == sorted(expected)
