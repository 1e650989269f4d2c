"""Entries that wait for others, from the shell."""

from pathlib import Path

from helpers.daemons import RunningDaemon


def test_a_chain_runs_in_order_and_its_rest_is_skipped(daemon: RunningDaemon, repository: Path) -> None:
    """A sweep, what waits for all of it, what waits for a failure; and the whole again after a retry."""
    daemon.expctl(repository, "jobs", "4")
    outside = repository.parent / "outside"

    def submit(name: str, script: str, *options: str) -> None:
        daemon.expctl(repository, "submit", "-n", name, *options, "--", "sh", "-c", script)

    daemon.expctl(repository, "pause")
    submit("points", "true", "-S", "train.lr=0.1,0.2")
    submit("report", f"cat '{outside}'", "--after", "points")
    submit("publish", "true", "--after", "report")
    submit("alarm", "true", "--after", "report:failed")
    waits = daemon.entries(repository, "report")[0]["waits_for"]
    shown = [line.split("\t")[1] for line in daemon.expctl(repository, "status").splitlines()]
    daemon.expctl(repository, "resume")
    codes = [daemon.run_expctl(repository, "wait", name).returncode for name in ("report", "publish", "alarm")]
    reason = daemon.entries(repository, "publish")[0]["reason"]

    outside.write_text("there now")
    daemon.expctl(repository, "retry", "report")
    again = [daemon.run_expctl(repository, "wait", name).returncode for name in ("report", "publish")]

    assert waits == "the end of entries 1, 2"
    assert shown == ["points-1", "points-2", "report", "publish", "alarm"]
    assert (codes, again) == ([1, 122, 0], [0, 0])
    assert reason == "skipped: entry 3, which it waits for, did not succeed (--after 3:ok)"


def test_nobody_waits_for_what_is_not_there(daemon: RunningDaemon, repository: Path) -> None:
    """An unknown entry is refused, and nothing is queued."""
    result = daemon.run_expctl(repository, "submit", "--after", "77:any", "--", "true")

    assert (result.returncode, daemon.entries(repository)) == (4, [])
