"""[hooks]: whoever wants to be told of what happens is told once, and nothing depends on them."""

import http.server
import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.daemons import RunningDaemon, a_daemon
from helpers.waiting import eventually

TELL = """import os, sys
with open({told!r}, "a") as file:
    file.write(sys.stdin.read().replace(chr(10), " ") + chr(10))
"""
EVENTS = ("done", "failed", "held", "sweep_done", "idle")


class Listener(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted to it; `answer` is the code it gives."""

    posted: list[dict[str, object]]
    answer = 200

    def do_POST(self) -> None:
        """Take one document."""
        self.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.answer)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@contextmanager
def a_listener(answer: int = 200) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """Listen on loopback; gives the address and what came."""
    posted: list[dict[str, object]] = []
    handler = type("Handler", (Listener,), {"posted": posted, "answer": answer})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/token-in-the-path", posted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def hooks_to(told: Path, *events: str) -> str:
    """Give settings that have a program write down what it is told of these events."""
    program = told.parent / "tell.py"
    program.write_text(TELL.format(told=str(told)))
    return "[hooks]\n" + "".join(f"{event} = {json.dumps([sys.executable, str(program)])}\n" for event in events)


def events_in(told: Path) -> Counter[tuple[str, str]]:
    """Count what was told: (event, name of the entry)."""
    lines = told.read_text().splitlines() if told.exists() else []
    return Counter((document["event"], document["entry"]["name"]) for document in map(json.loads, lines))


def test_each_end_is_told_once(tmp_path: Path, repository: Path) -> None:
    """Of a sweep with a point that fails each end is told, the failure apart, then the sweep's end, and that all is quiet."""
    told = tmp_path / "told"
    with a_daemon(config=hooks_to(told, *EVENTS)) as daemon:
        daemon.run_expctl(
            repository, "submit", "--wait", "-n", "lr", "-S", "train.lr=0.1,0.2,0.3",
            "--", "sh", "-c", '! grep -q "lr: 0.2" params.yaml',
        )  # fmt: skip
        eventually(lambda: events_in(told)["idle", "lr-3"], "the last word is told")

        assert events_in(told) == {
            ("done", "lr-1"): 1, ("done", "lr-2"): 1, ("failed", "lr-2"): 1,
            ("done", "lr-3"): 1, ("sweep_done", "lr-3"): 1, ("idle", "lr-3"): 1,
        }  # fmt: skip


def test_an_address_gets_the_whole_of_it(repository: Path) -> None:
    """What is posted names experiment, parameters, outcome and commit; the address is nowhere shown."""
    with a_listener() as (url, posted), a_daemon(config=f'[hooks]\ndone = "{url}"\n') as daemon:
        daemon.expctl(repository, "submit", "--wait", "-n", "one", "-S", "train.lr=0.5", "--", "true")
        eventually(lambda: posted, "it is posted")
        (entry,) = daemon.entries(repository)
        shown = daemon.expctl(repository, "config", "show") + daemon.journal()

    (document,) = posted
    of_entry = document["entry"]
    assert isinstance(of_entry, dict)
    assert (document["version"], document["event"], document["text"]) == (1, "done", "one: succeeded")
    assert (of_entry["id"], of_entry["params"], of_entry["rev"]) == (1, {"train.lr": 0.5}, entry["experiment_rev"])
    assert of_entry["outcome"]["kind"] == "succeeded"
    assert "token-in-the-path" not in shown


def test_what_ends_while_the_daemon_is_away_is_told_by_the_next(tmp_path: Path, repository: Path) -> None:
    """A run that outlives its daemon is told when its end is known, and what was told before is not told again."""
    told, gate = tmp_path / "told", tmp_path / "gate"
    with a_daemon(config=hooks_to(told, "done")) as daemon:
        daemon.expctl(repository, "submit", "--wait", "-n", "before", "--", "true")
        eventually(lambda: events_in(told)["done", "before"], "the first is told")
        daemon.expctl(
            repository, "submit", "-n", "across", "--", "sh", "-c", f"until [ -e {gate} ]; do sleep 0.05; done"
        )
        eventually(lambda: daemon.entries(repository, "across")[0]["state"] == "running", "it runs")
        daemon.kill()
        gate.touch()
        daemon.restart()
        eventually(lambda: events_in(told)["done", "across"], "the other is told")

        assert events_in(told) == {("done", "before"): 1, ("done", "across"): 1}


def test_a_retry_is_told_at_its_last_end_alone(tmp_path: Path, repository: Path) -> None:
    """An attempt that another one follows has not ended the entry."""
    told = tmp_path / "told"
    with a_daemon(config=hooks_to(told, "done", "failed")) as daemon:
        retries = ("--retries", "2", "--backoff", "0s")
        daemon.run_expctl(repository, "submit", "--wait", "-n", "often", *retries, "--", "false")
        eventually(lambda: events_in(told)["failed", "often"], "the end is told")

        assert events_in(told) == {("done", "often"): 1, ("failed", "often"): 1}


def test_what_somebody_wanted_is_no_failure(tmp_path: Path, repository: Path) -> None:
    """What was cancelled, and what was skipped for it, is done, and has not failed."""
    told = tmp_path / "told"
    with a_daemon(config=hooks_to(told, "done", "failed")) as daemon:
        daemon.expctl(repository, "submit", "--hold", "-n", "cancelled", "--", "true")
        daemon.expctl(repository, "submit", "--after", "cancelled", "-n", "skipped", "--", "true")
        daemon.expctl(repository, "cancel", "cancelled")
        eventually(lambda: len(events_in(told)) == 2, "both are told")

        assert events_in(told) == {("done", "cancelled"): 1, ("done", "skipped"): 1}


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ('["/nowhere/to/be/found"]', "/nowhere/to/be/found can't be started"),
        ('["sh", "-c", "echo out of paper; exit 4"]', "sh ended with 4: out of paper"),
        ('"http://127.0.0.1:1/"', "the address can't be reached"),
    ],
)
def test_a_hook_that_does_not_work_is_a_line_in_the_journal(repository: Path, hook: str, words: str) -> None:
    """The experiment has succeeded all the same, and the journal says what the hook did not do."""
    with a_daemon(config=f"[hooks]\ndone = {hook}\n") as daemon:
        ended = daemon.run_expctl(repository, "submit", "--wait", "--", "true")
        eventually(lambda: words in daemon.journal(), "the journal says it")

    assert ended.returncode == 0


def test_hooks_chosen_later_are_told_what_happens_from_then_on(
    tmp_path: Path, daemon: RunningDaemon, repository: Path
) -> None:
    """After a reload what ended before is no news."""
    told = tmp_path / "told"
    daemon.expctl(repository, "submit", "--wait", "-n", "before", "--", "true")
    (daemon.directory / "config.toml").write_text(hooks_to(told, "done"))
    daemon.expctl(repository, "daemon", "reload")
    eventually(lambda: "the settings were read again" in daemon.journal(), "the daemon has read them")
    daemon.expctl(repository, "submit", "--wait", "-n", "after", "--", "true")
    eventually(lambda: events_in(told)["done", "after"], "it is told")

    assert events_in(told) == {("done", "after"): 1}
