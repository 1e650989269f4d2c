"""Starting a daemon: by itself, once, safely, and with the daemon's own words if it fails."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from client.conftest import Expctl, Ran
from client.scripted import HANG_UP, ScriptedDaemon, Step, Vanish, a_page, an_entry, serving
from expproto.replies import Submitted

TESTS = Path(__file__).parent.parent


@pytest.fixture
def starts(sock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the client start the stand-in for expd; give the file with the pids of those that were."""
    monkeypatch.setenv("EXPD_AUTOSTART", "1")
    monkeypatch.setenv("PYTHONPATH", f"{TESTS / 'client' / 'fakes'}:{TESTS}")
    monkeypatch.setenv("FAKE_STARTS", str(tmp_path / "starts"))
    monkeypatch.setenv("FAKE_QUESTIONS", "1")
    monkeypatch.setenv("FAKE_EXPD", "serve")
    sock.parent.rmdir()
    return tmp_path / "starts"


def run(*argv: str) -> Ran:
    """Run the client as a process: it becomes the parent of a daemon."""
    done = subprocess.run(
        [sys.executable, "-m", "expctl", *argv], capture_output=True, text=True, timeout=60, check=False
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def test_daemon_start_starts_one_in_private_directories(starts: Path, sock: Path, tmp_path: Path) -> None:
    """A start answers when the daemon listens; its directories and its log are its user's alone."""
    started = run("daemon", "start", "--json")
    stopped = run("daemon", "stop")

    assert started.document["started"] is True
    assert started.document["socket"] == str(sock)
    assert (stopped.code, stopped.err) == (0, "stopped\n")
    modes = [
        stat.S_IMODE(path.stat().st_mode) for path in (sock.parent, tmp_path / "state", tmp_path / "state/expd.log")
    ]
    assert modes == [0o700, 0o700, 0o600]
    assert len(starts.read_text().splitlines()) == 1


def test_any_command_starts_a_daemon_and_the_next_one_finds_it(starts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second start says that it was running already; nothing is started twice."""
    monkeypatch.setenv("FAKE_QUESTIONS", "3")
    words = [run("daemon", "start").err, run("daemon", "start").err, run("daemon", "status").err]
    run("daemon", "stop")

    assert words == ["started\n", "it was running already\n", ""]
    assert len(starts.read_text().splitlines()) == 1


def test_clients_that_come_at_once_start_one_daemon(starts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock lets one client start; the others find what it started."""
    monkeypatch.setenv("FAKE_QUESTIONS", "4")
    command = [sys.executable, "-m", "expctl", "daemon", "start", "-q"]
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    pids = {client.communicate(timeout=60)[0] for client in clients}
    run("daemon", "stop")

    assert pids == {starts.read_text()}


@pytest.mark.usefixtures("starts")
def test_failed_start_shows_the_daemons_own_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the daemon logged in this start is shown, made visible; what an earlier one said is not."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state/expd.log").write_text("yesterday's trouble\n")
    monkeypatch.setenv("FAKE_EXPD", "fail")
    ran = run("status")

    assert ran.code == 3
    assert ran.err.splitlines() == [
        "expctl: expd could not be started: it ended with 1 before it listened",
        "expd: the store /somewhere can't be read\\x1b[2J",
        f"  its log is {tmp_path}/state/expd.log",
    ]


def test_daemon_that_finds_the_lock_taken_is_waited_for(
    starts: Path, monkeypatch: pytest.MonkeyPatch, expctl: Expctl
) -> None:
    """Exit code 75 means that another daemon has the lock: it may yet listen, until a deadline."""
    monkeypatch.setenv("FAKE_EXPD", "locked")
    monkeypatch.setattr("expctl.start.LOCKED_SECONDS", 0.1)
    ran = expctl("status")

    assert ran.code == 3
    assert "did not answer within 0.1 s" in ran.err
    assert starts.exists()


def test_daemon_start_is_refused_where_it_is_forbidden(
    starts: Path, monkeypatch: pytest.MonkeyPatch, expctl: Expctl
) -> None:
    """EXPD_AUTOSTART=0 holds for every command."""
    monkeypatch.setenv("EXPD_AUTOSTART", "0")

    assert expctl("daemon", "start").code == 3
    assert expctl("status").code == 3
    assert not starts.exists()


def test_asking_for_the_daemon_starts_none(starts: Path, expctl: Expctl) -> None:
    """`daemon status` tells the truth, and `daemon stop` of none has nothing to do."""
    status, stop = expctl("daemon", "status"), expctl("daemon", "stop")

    assert (status.code, stop.code) == (3, 0)
    assert stop.err == "no daemon was running\n"
    assert not starts.exists()


@pytest.mark.parametrize(
    ("kind", "said"),
    [("link", "not a directory but a link"), ("open", "its mode is 0755"), ("file", "Not a directory")],
)
def test_directory_that_others_could_use_is_refused(
    starts: Path, sock: Path, expctl: Expctl, kind: str, said: str
) -> None:
    """A daemon is never started in a directory in which somebody else could put the socket first."""
    match kind:
        case "link":
            elsewhere = sock.parent.with_name("elsewhere")
            elsewhere.mkdir(mode=0o700)
            sock.parent.symlink_to(elsewhere)
        case "open":
            sock.parent.mkdir(mode=0o755)
        case _:
            sock.parent.touch()
    ran = expctl("status")

    assert ran.code == 3
    assert said in ran.err
    assert not starts.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_directory_of_another_user_is_refused(starts: Path, sock: Path, expctl: Expctl) -> None:
    """Whoever owns the directory owns what happens in it."""
    sock.parent.mkdir(mode=0o700)
    os.chown(sock.parent, 65534, 65534)
    ran = expctl("status")

    assert ran.code == 3
    assert "it belongs to user 65534" in ran.err
    assert not starts.exists()


@pytest.mark.usefixtures("sock")
@pytest.mark.parametrize(
    ("path", "said"), [("relative", "not absolute"), ("/" + "x" * 120, "has 131 bytes, the system allows 107")]
)
def test_path_that_can_hold_no_socket_is_named(
    expctl: Expctl, monkeypatch: pytest.MonkeyPatch, path: str, said: str
) -> None:
    """The limit of unix(7) and a path that depends on the directory are told before anything is tried."""
    monkeypatch.setenv("EXPD_RUNTIME_DIR", path)
    ran = expctl("status")

    assert ran.code == 3
    assert said in ran.err


def test_daemon_that_others_bring_back_is_waited_for(
    sock: Path, expctl: Expctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where we may not start a daemon, one that went away mid-question is waited for, and asked the same again."""
    answer: list[Step] = [a_page(an_entry()), Submitted(submission=1, count=1)]
    daemons = [ScriptedDaemon(sock, [[[Vanish(sock), HANG_UP]]])]
    monkeypatch.setattr("expctl.transport.time.sleep", lambda _: daemons.append(ScriptedDaemon(sock, [[answer]])))
    ran = expctl("submit", "-q")
    for daemon in daemons:
        daemon.close()

    assert (ran.code, ran.out) == (0, "1\n")
    assert daemons[0].requests == daemons[1].requests


def test_daemon_that_nobody_brings_back_is_given_up(
    sock: Path, expctl: Expctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waiting has an end, and the sentence says why no daemon was started."""
    monkeypatch.setattr("expctl.transport.BACK_DEADLINE_SECONDS", 0.1)
    with serving(sock, [[Vanish(sock), HANG_UP]]):
        ran = expctl("status")

    assert ran.code == 3
    assert "EXPD_AUTOSTART=0 forbids starting one" in ran.err


def test_daemon_that_never_gets_ready_is_given_up(
    starts: Path, monkeypatch: pytest.MonkeyPatch, expctl: Expctl
) -> None:
    """A start has a deadline; the daemon may still come up, and its log is named."""
    monkeypatch.setenv("FAKE_EXPD", "hang")
    monkeypatch.setattr("expctl.start.READY_SECONDS", 1.5)
    ran = expctl("status")
    os.kill(int(starts.read_text()), signal.SIGKILL)

    assert ran.code == 3
    assert "did not answer within 1.5 s" in ran.err
    assert "expd.log" in ran.err
