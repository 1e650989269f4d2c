"""What every engine does, as tests that each of them passes: a subclass says how to get a place to run.

They see what a person sees, so that the rest of the daemon is shown not to know which engine it is.
"""

import os
import signal
from pathlib import Path

from expd.linux.processes import identity_of
from helpers.daemons import Json, RunningDaemon
from helpers.repositories import git
from helpers.waiting import eventually


class Place:
    """A daemon, and how to submit to the engine under test."""

    def __init__(self, daemon: RunningDaemon, *on: str) -> None:
        self.daemon = daemon
        self.on = on

    def submit(self, repository: Path, *arguments: str) -> str:
        """Submit one entry, and give its id."""
        return self.daemon.expctl(repository, "submit", "--quiet", *self.on, *arguments).strip()

    def entry(self, repository: Path, entry: str) -> Json:
        """Give an entry's record."""
        return self.daemon.entries(repository, entry)[0]

    def log(self, repository: Path, entry: str) -> str:
        """Read the run log of an entry as far as it is here."""
        path = self.entry(repository, entry)["log"]
        return Path(str(path)).read_text() if path is not None and Path(str(path)).exists() else ""

    def first_line(self, repository: Path, entry: str) -> str:
        """Wait until a run has written a line, and give it."""
        eventually(lambda: "\n" in self.log(repository, entry), "output while the run goes on")
        return self.log(repository, entry).splitlines()[0]


class EngineContract:
    """The tests; `place` is a fixture of the subclass."""

    def test_a_result_is_an_experiment(self, place: Place, repository: Path) -> None:
        """A pipeline that succeeds is an experiment on its baseline, with its parameters and metrics."""
        entry = place.submit(repository, "-S", "train.lr=0.7", "-n", "tuned")

        place.daemon.expctl(repository, "wait", entry)

        (experiment,) = [row for row in _experiments(place, repository) if row["name"] == "tuned"]
        assert (experiment["params"], experiment["metrics"]) == ({"train.lr": 0.7}, {"acc": 0.7})
        head = git(repository, "rev-parse", "HEAD")
        assert git(repository, "rev-parse", f"refs/exps/{head[:2]}/{head[2:]}/tuned^") == head

    def test_output_is_whole_and_in_order(self, place: Place, repository: Path) -> None:
        """What a run wrote is its log, byte for byte, and follow gives the run's own exit code."""
        entry = place.submit(repository, "--", "sh", "-c", "seq 1 30000; exit 3")

        followed = place.daemon.run_expctl(repository, "follow", "--raw", entry)

        assert followed.stdout.decode() == "".join(f"{number}\n" for number in range(1, 30001))
        assert followed.returncode == 3

    def test_output_comes_while_the_run_goes_on(self, place: Place, repository: Path, tmp_path: Path) -> None:
        """The first line is there before the last is written, and the entry says that it is running."""
        gate = tmp_path / "gate"
        entry = place.submit(
            repository, "--", "sh", "-c", f"echo begun; until [ -e {gate} ]; do sleep 0.05; done; echo over"
        )

        first = place.first_line(repository, entry)
        state = place.entry(repository, entry)["state"]
        gate.touch()
        place.daemon.expctl(repository, "wait", entry)

        assert (first, state) == ("begun", "running")
        assert place.log(repository, entry) == "begun\nover\n"

    def test_cancel_ends_the_whole_tree(self, place: Place, repository: Path) -> None:
        """Whatever the run started is gone when it is said to be cancelled."""
        entry = place.submit(repository, "--", "sh", "-c", "sleep 1000 & echo $!; wait")
        process = identity_of(int(place.first_line(repository, entry)))
        assert process is not None

        place.daemon.expctl(repository, "cancel", entry)
        waited = place.daemon.run_expctl(repository, "wait", entry)

        assert waited.returncode == 125
        assert not process.is_alive()

    def test_a_time_limit_ends_a_run(self, place: Place, repository: Path) -> None:
        """The worker keeps the limit, wherever it is."""
        entry = place.submit(repository, "--time-limit", "0.5s", "--", "sleep", "1000")

        assert place.daemon.run_expctl(repository, "wait", entry).returncode == 124

    def test_a_broken_preparation_is_refused(self, place: Place, repository: Path) -> None:
        """A command that is not there has an outcome of its own."""
        entry = place.submit(repository, "--", "no-such-program-anywhere")

        assert place.daemon.run_expctl(repository, "wait", entry).returncode == 127

    def test_a_lost_run_is_run_again_and_uses_up_no_retry(self, place: Place, repository: Path, tmp_path: Path) -> None:
        """When what executes a run is killed, another attempt has the result, and its log is its own."""
        mark = tmp_path / "mark"
        script = f"if [ -e {mark} ]; then echo second; else touch {mark}; echo $PPID; sleep 1000; fi"
        entry = place.submit(repository, "--", "sh", "-c", script)
        worker = int(place.first_line(repository, entry))

        os.kill(worker, signal.SIGKILL)
        place.daemon.expctl(repository, "wait", entry)

        assert place.entry(repository, entry)["attempt"] == 2
        assert place.log(repository, entry) == "second\n"

    def test_a_run_survives_the_daemon(self, place: Place, repository: Path, tmp_path: Path) -> None:
        """The next daemon takes in what goes on, and files its result once, its log unbroken."""
        gate = tmp_path / "gate"
        entry = place.submit(
            repository,
            "-n",
            "kept",
            "--",
            "sh",
            "-c",
            f"echo begun; until [ -e {gate} ]; do sleep 0.05; done; seq 1 20000 | tee out.txt",
        )
        place.first_line(repository, entry)

        place.daemon.kill()
        gate.touch()
        place.daemon.restart()
        place.daemon.expctl(repository, "wait", entry)

        assert place.entry(repository, entry)["attempt"] == 1
        assert place.log(repository, entry) == "begun\n" + "".join(f"{number}\n" for number in range(1, 20001))
        assert len(git(repository, "for-each-ref", "refs/exps").splitlines()) == 1

    def test_progress_is_told(self, place: Place, repository: Path, tmp_path: Path) -> None:
        """Which stage runs is seen in status while it does."""
        gate = tmp_path / "gate"
        (repository / "train.sh").write_text(
            f"until [ -e {gate} ]; do sleep 0.05; done\necho m > model.bin; echo '{{}}' > metrics.json\n"
        )
        entry = place.submit(repository)

        eventually(lambda: place.entry(repository, entry)["stage"] == "train", "the stage is shown")
        gate.touch()
        place.daemon.expctl(repository, "wait", entry)


def _experiments(place: Place, repository: Path) -> list[Json]:
    rows = place.daemon.expctl_json(repository, "show")["experiments"]
    assert isinstance(rows, list)
    return rows
