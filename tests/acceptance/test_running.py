"""The pool at work: status, wait, cancel, pause, resume, jobs; and that nothing of a run is left when it has ended."""

import os
from pathlib import Path

import psutil

from helpers.daemons import RunningDaemon, a_daemon, rows
from helpers.repositories import git
from helpers.waiting import eventually

TOKEN = "EXPD_RUN_TOKEN"


def _submit(daemon: RunningDaemon, repository: Path, name: str, script: str) -> None:
    daemon.expctl(repository, "submit", "-n", name, "--", "sh", "-c", script)


def _state(daemon: RunningDaemon, repository: Path, name: str) -> tuple[object, object]:
    entry = daemon.entries(repository, name)[0]
    return entry["state"], entry["outcome"]


def processes_of_runs(daemon: RunningDaemon) -> list[psutil.Process]:
    """List every process that a run of this daemon started, by the environment it was submitted with."""
    found = []
    for process in psutil.process_iter():
        try:
            environ = process.environ()
            is_ours = TOKEN in environ and environ.get("EXPD_STATE_DIR") == str(daemon.state)
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_for_line(daemon: RunningDaemon, repository: Path, name: str, gate: Path) -> None:
    """Wait until a run has opened its gate, by opening the other end: a FIFO blocks until both are there."""
    del daemon, repository, name
    with gate.open("rb") as reading:
        reading.readline()


def test_status_tells_the_truth_from_queued_to_done(daemon: RunningDaemon, repository: Path) -> None:
    """An entry is queued, running, then done with its outcome, and its times are in order."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    daemon.expctl(repository, "pause")
    _submit(daemon, repository, "one", f"echo started > '{gate}'; cat '{gate}'")
    queued = daemon.entries(repository, "one")[0]
    daemon.expctl(repository, "resume")
    wait_for_line(daemon, repository, "one", gate)
    running = daemon.entries(repository, "one")[0]
    gate.write_text("go on\n")
    daemon.expctl(repository, "wait", "one")
    done = daemon.entries(repository, "one")[0]

    assert (queued["state"], running["state"], done["state"]) == ("queued", "running", "done")
    assert (done["outcome"], done["exit_code"]) == ("succeeded", 0)
    assert str(done["submitted_at"]) <= str(done["started_at"]) <= str(done["ended_at"])


def test_a_queued_entry_says_what_it_waits_for(daemon: RunningDaemon, repository: Path) -> None:
    """Paused, an entry says so; behind another it says how many are ahead."""
    daemon.expctl(repository, "pause")
    _submit(daemon, repository, "one", "true")

    assert "paused" in daemon.expctl(repository, "status")


def test_wait_tells_whether_all_succeeded(daemon: RunningDaemon, repository: Path) -> None:
    """Wait exits 0 when everything succeeded, with the one entry's own code, and 1 for some of several."""
    _submit(daemon, repository, "good", "true")
    _submit(daemon, repository, "bad", "exit 7")

    codes = [
        daemon.run_expctl(repository, "wait", *names).returncode for names in (["good"], ["bad"], ["good", "bad"], [])
    ]

    assert codes[:3] == [0, 7, 1]


def test_wait_gives_up_at_its_timeout(daemon: RunningDaemon, repository: Path) -> None:
    """`--timeout` ends the waiting with 124, and the run goes on."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    _submit(daemon, repository, "long", f"echo started > '{gate}'; cat '{gate}'")
    wait_for_line(daemon, repository, "long", gate)

    result = daemon.run_expctl(repository, "wait", "long", "--timeout", "0.2")

    assert result.returncode == 124
    assert _state(daemon, repository, "long") == ("running", None)


def test_cancel_ends_the_whole_tree(daemon: RunningDaemon, repository: Path) -> None:
    """What ignores signals, left its group, its session or its parent is gone too when the entry is cancelled."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    stubborn = "trap '' INT TERM; sleep 300"
    script = f"""
        (setsid sh -c "{stubborn}" &)
        sh -c "{stubborn}" &
        setsid sh -c '(setsid sleep 300 &) ; sleep 300' &
        echo started > '{gate}'
        {stubborn}
    """
    _submit(daemon, repository, "tree", script)
    wait_for_line(daemon, repository, "tree", gate)
    assert len(processes_of_runs(daemon)) >= 4

    daemon.expctl(repository, "cancel", "tree")
    result = daemon.run_expctl(repository, "wait", "tree")

    assert _state(daemon, repository, "tree") == ("done", "cancelled")
    assert result.returncode == 125
    assert processes_of_runs(daemon) == []


def test_cancel_ends_what_is_queued(daemon: RunningDaemon, repository: Path) -> None:
    """A queued entry is cancelled at once, and never runs."""
    daemon.expctl(repository, "pause")
    _submit(daemon, repository, "queued", "true")

    daemon.expctl(repository, "cancel", "queued")
    daemon.expctl(repository, "resume")

    assert _state(daemon, repository, "queued") == ("done", "cancelled")
    assert daemon.entries(repository, "queued")[0]["log"] is None


def test_what_a_run_leaves_behind_is_ended(daemon: RunningDaemon, repository: Path) -> None:
    """A run that succeeds and leaves a process in another session leaves none when it is done."""
    _submit(daemon, repository, "leaver", "(setsid sleep 300 &)")

    daemon.expctl(repository, "wait", "leaver")

    assert processes_of_runs(daemon) == []


def test_one_failure_blocks_nobody(daemon: RunningDaemon, repository: Path) -> None:
    """Entries behind a failed one run, in the order of their submission."""
    _submit(daemon, repository, "bad", "exit 1")
    for number in range(3):
        _submit(daemon, repository, f"good-{number}", "true")

    daemon.run_expctl(repository, "wait")

    entries = daemon.entries(repository)
    assert [entry["outcome"] for entry in entries] == ["failed", "succeeded", "succeeded", "succeeded"]
    started = [str(entry["started_at"]) for entry in entries]
    assert started == sorted(started)


def test_pause_lets_what_runs_go_on_and_starts_nothing(daemon: RunningDaemon, repository: Path) -> None:
    """A paused pool finishes the running entry and leaves the next one queued until resume."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    _submit(daemon, repository, "running", f"echo started > '{gate}'; cat '{gate}'")
    _submit(daemon, repository, "next", "true")
    wait_for_line(daemon, repository, "running", gate)

    daemon.expctl(repository, "pause")
    gate.write_text("go on\n")
    daemon.expctl(repository, "wait", "running")
    while_paused = _state(daemon, repository, "next")
    daemon.expctl(repository, "resume")
    daemon.expctl(repository, "wait", "next")

    assert while_paused == ("queued", None)
    assert _state(daemon, repository, "next") == ("done", "succeeded")


def test_jobs_changes_how_many_run_at_once(daemon: RunningDaemon, repository: Path) -> None:
    """With two slots two entries run at the same time: each waits for the other to be there."""
    left, right = repository.parent / "left", repository.parent / "right"
    os.mkfifo(left)
    os.mkfifo(right)
    daemon.expctl(repository, "jobs", "2")
    _submit(daemon, repository, "left", f"echo here > '{left}'; cat '{right}'")
    _submit(daemon, repository, "right", f"cat '{left}'; echo here > '{right}'")

    assert daemon.run_expctl(repository, "wait", "left", "right").returncode == 0


def test_a_command_that_cannot_start_is_refused_with_its_reason(daemon: RunningDaemon, repository: Path) -> None:
    """A program that does not exist is an outcome with a reason in the log, not a hang."""
    daemon.expctl(repository, "submit", "-n", "missing", "--", "/nonexistent/program")

    result = daemon.run_expctl(repository, "follow", "missing")

    assert result.returncode == 127
    assert b"/nonexistent/program" in result.stdout


def test_a_failed_run_keeps_its_worktree(daemon: RunningDaemon, repository: Path) -> None:
    """What a failed run made can be looked at in the place its log names; the next run does not find it."""
    _submit(daemon, repository, "bad", "echo partial > partial.txt; exit 1")
    log = daemon.run_expctl(repository, "follow", "bad").stdout.decode()
    kept = Path(log.rstrip().rsplit(" ", 1)[-1])
    _submit(daemon, repository, "next", "test ! -e partial.txt")

    assert (kept / "partial.txt").read_text() == "partial\n"
    assert daemon.run_expctl(repository, "wait", "next").returncode == 0


def test_stages_run_in_the_order_of_their_graph_and_skip_what_is_known(daemon: RunningDaemon, repository: Path) -> None:
    """Producers run first whatever the file says, and a stage computed before is taken from the cache."""
    (repository / "dvc.yaml").write_text(
        "stages:\n"
        "  second: {cmd: cat a.txt > b.txt, deps: [a.txt], params: [train.lr], outs: [b.txt]}\n"
        "  first: {cmd: echo a > a.txt, outs: [a.txt], deps: [train.sh]}\n"
    )
    daemon.expctl(repository, "submit", "-S", "train.lr=1,2", "-n", "lr")
    one, two = (daemon.run_expctl(repository, "follow", f"lr-{n}").stdout.decode() for n in (1, 2))

    assert one.index("Running stage 'first'") < one.index("Running stage 'second'")
    assert "Running stage 'first'" not in two
    assert "Running stage 'second'" in two


def test_force_runs_what_is_known(daemon: RunningDaemon, repository: Path) -> None:
    """With --force a stage runs again although its result is in the cache."""
    for arguments in (["-n", "first"], ["-n", "second"], ["-n", "third", "--force"]):
        daemon.expctl(repository, "submit", *arguments)

    ran = [
        b"training with" in daemon.run_expctl(repository, "follow", name).stdout
        for name in ("first", "second", "third")
    ]

    assert ran == [True, False, True]


def test_the_worktree_tells_the_truth_about_what_runs(daemon: RunningDaemon, repository: Path) -> None:
    """Inside a run HEAD is the baseline, and `git status` shows what the submission changed, and nothing else."""
    daemon.expctl(
        repository,
        "submit",
        "-S",
        "train.lr=0.9",
        "-n",
        "look",
        "--",
        "sh",
        "-c",
        "git rev-parse HEAD; git status --short",
    )

    printed = daemon.run_expctl(repository, "follow", "look").stdout.decode().splitlines()

    assert printed == [git(repository, "rev-parse", "HEAD"), "M  params.yaml"]


def test_draining_finishes_what_runs(repository: Path) -> None:
    """`daemon stop --drain` lets the running entry finish, starts no other, and the next daemon goes on with the queue."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    with a_daemon() as daemon:
        _submit(daemon, repository, "running", f"echo started > '{gate}'; cat '{gate}'")
        _submit(daemon, repository, "next", "true")
        wait_for_line(daemon, repository, "running", gate)
        stopping = daemon.start_expctl(repository, "daemon", "stop", "--drain")
        eventually(lambda: "ending: drain" in daemon.journal(), "the daemon drains")
        gate.write_text("go on\n")
        words = stopping.communicate(timeout=60)[1].decode().splitlines()
        assert daemon.process.wait(60) == 0
        daemon.restart()
        daemon.expctl(repository, "wait", "next")

        states = [(entry["name"], entry["outcome"]) for entry in daemon.entries(repository)]

    assert words == ["waiting for 1 running: 1 running", "stopped"]
    assert states == [("running", "succeeded"), ("next", "succeeded")]


def test_daemon_stop_says_what_it_leaves_running(repository: Path) -> None:
    """`daemon stop` returns at once and names what goes on; the next daemon takes it over, and it has its result."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    with a_daemon() as daemon:
        _submit(daemon, repository, "long", f"echo started > '{gate}'; cat '{gate}' > made.txt")
        wait_for_line(daemon, repository, "long", gate)
        stopped = daemon.expctl_json(repository, "daemon", "stop")
        daemon.process.wait(60)
        daemon.restart()
        gate.write_text("went on\n")
        result = daemon.run_expctl(repository, "wait", "long")
        entry = daemon.entries(repository, "long")[0]

    assert stopped == {"schema": 1, "stopped": True, "running": [{"id": 1, "name": "long"}]}
    assert (result.returncode, entry["attempt"]) == (0, 1)
    assert git(repository, "show", f"{entry['experiment_rev']}:made.txt") == "went on"


def test_when_stop_returns_the_daemon_has_gone(daemon: RunningDaemon, repository: Path) -> None:
    """`daemon stop` returns when nothing of the daemon is left: not its process, not its workers, not its socket."""
    _submit(daemon, repository, "one", "true")
    daemon.expctl(repository, "wait", "one")
    here = psutil.Process(daemon.process.pid)
    workers = here.children()

    daemon.expctl(repository, "daemon", "stop")

    assert len(workers) == 1
    assert daemon.process.poll() is not None or here.status() == psutil.STATUS_ZOMBIE
    assert not any(worker.is_running() for worker in workers)
    assert not daemon.socket.exists()


def test_daemon_status_says_who_answers(daemon: RunningDaemon, repository: Path) -> None:
    """The daemon's pid, version, socket and counts are in `daemon status --json`."""
    document = daemon.expctl_json(repository, "daemon", "status")

    assert document["pid"] == daemon.process.pid
    assert document["socket"] == str(daemon.socket)
    assert (document["running"], document["queued"]) == (0, 0)


def test_show_lists_experiments_of_head(daemon: RunningDaemon, repository: Path) -> None:
    """Show has a row an experiment: name, changed parameters, metrics."""
    daemon.expctl(repository, "submit", "-S", "train.lr=0.2,0.4", "-n", "lr")
    daemon.expctl(repository, "wait")

    found = rows(daemon.expctl_json(repository, "show"), "experiments")

    assert {(str(row["name"]), str(row["params"]), str(row["metrics"])) for row in found} == {
        ("lr-1", "{'train.lr': 0.2}", "{'acc': 0.2}"),
        ("lr-2", "{'train.lr': 0.4}", "{'acc': 0.4}"),
    }


def test_get_fetches_results_from_git_and_cache(daemon: RunningDaemon, repository: Path, tmp_path: Path) -> None:
    """Get writes outputs from the cache and metrics from Git into a directory, and overwrites nothing."""
    daemon.expctl(repository, "submit", "-S", "train.lr=0.2", "-n", "lr")
    daemon.expctl(repository, "wait")
    before = git(repository, "status", "--short")

    daemon.expctl(repository, "get", "lr", "-o", str(tmp_path / "got"))
    again = daemon.run_expctl(repository, "get", "lr", "model.bin", "-o", str(tmp_path / "got"))

    assert (tmp_path / "got" / "model.bin").read_text() == "weights 0.2\n"
    assert (tmp_path / "got" / "metrics.json").read_text() == '{"acc": 0.2}\n'
    assert again.returncode == 5
    assert git(repository, "status", "--short") == before


def test_what_get_fetched_is_no_part_of_the_next_experiment(daemon: RunningDaemon, repository: Path) -> None:
    """A directory that get made inside the workspace is hidden from Git, so that no capture takes it in."""
    daemon.expctl(repository, "submit", "-S", "train.lr=0.2", "-n", "lr")
    daemon.expctl(repository, "wait")

    daemon.expctl(repository, "get", "lr")

    assert (repository / "lr" / "model.bin").read_text() == "weights 0.2\n"
    assert git(repository, "status", "--short") == ""
