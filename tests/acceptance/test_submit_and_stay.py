"""`expctl submit --wait` and `--follow`: for scripts, which want the end and its exit code from one command."""

import json
import signal
from pathlib import Path

import pytest

from helpers.daemons import DEADLINE_SECONDS, RunningDaemon
from helpers.waiting import eventually


def test_a_submission_that_waits_has_the_exit_code_of_its_experiment(daemon: RunningDaemon, repository: Path) -> None:
    """`--wait` shows the entry as it was queued and as it ended, and passes on the command's exit code."""
    ended = daemon.run_expctl(repository, "submit", "--wait", "-n", "seven", "--", "sh", "-c", "exit 7")

    assert ended.returncode == 7, ended.stderr
    assert [line.split("\t")[1:3] for line in ended.stdout.decode().splitlines()] == [
        ["seven", "queued"],
        ["seven", "done"],
    ]


def test_of_a_sweep_that_waits_one_failure_is_enough(daemon: RunningDaemon, repository: Path) -> None:
    """A sweep of which a point failed ends with 1; with --json there is one document, that of the end."""
    command = ["sh", "-c", 'grep -q "lr: 0.1" params.yaml']
    ended = daemon.run_expctl(repository, "submit", "--json", "--wait", "-S", "train.lr=0.1,0.2", "--", *command)

    assert ended.returncode == 1
    assert [entry["outcome"] for entry in json.loads(ended.stdout)["entries"]] == ["succeeded", "failed"]


def test_a_submission_that_follows_shows_the_output(daemon: RunningDaemon, repository: Path) -> None:
    """`--follow` shows what the command writes, and ends with its exit code."""
    ended = daemon.run_expctl(repository, "submit", "--follow", "--", "sh", "-c", "echo hello; exit 3")

    assert ended.returncode == 3
    assert b"hello" in ended.stdout.splitlines()


@pytest.mark.parametrize("staying", ["--wait", "--follow"])
def test_an_interrupt_ends_the_waiting_and_not_the_experiment(
    daemon: RunningDaemon, repository: Path, staying: str
) -> None:
    """Ctrl-C is 130, says that it goes on, and it does."""
    client = daemon.start_expctl(repository, "submit", staying, "-n", "long", "--", "sh", "-c", "sleep 60")
    eventually(lambda: [entry["state"] for entry in daemon.entries(repository)] == ["running"], "it runs")

    client.send_signal(signal.SIGINT)
    _, words = client.communicate(timeout=DEADLINE_SECONDS)

    assert client.returncode == 130
    assert b"goes on" in words
    assert [entry["state"] for entry in daemon.entries(repository)] == ["running"]


@pytest.mark.parametrize("other", ["--hold", "--preview", "--explain"])
def test_nobody_waits_for_what_does_not_run(daemon: RunningDaemon, repository: Path, other: str) -> None:
    """With what runs nothing, --wait would wait for ever: it is refused, and nothing is queued."""
    refused = daemon.run_expctl(repository, "submit", "--wait", other, "-S", "train.lr=0.1")

    assert refused.returncode == 2
    assert b"--hold, --preview and --explain run nothing" in refused.stderr
    assert daemon.entries(repository) == []
