"""The client as a process among others: signals, pipes, closed and odd descriptors, start-up failures."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from client.scripted import RESULT, STAY, Step, a_page, an_entry, serving
from expproto.logs import Output
from expproto.replies import Ended, Followed, Listed, Stopping
from expproto.requests import Follow
from expproto.vocabulary import EntryId, EntryState, Succeeded

EXPCTL = [sys.executable, "-m", "expctl"]
RUNNING: list[Step] = [a_page(an_entry(state=EntryState.RUNNING)), Listed(count=1, paused=False)]
LISTED: list[Step] = [a_page(an_entry()), Listed(count=1, paused=False)]
END: list[Step] = [Ended(entry=EntryId(1), name="tuned", outcome=Succeeded(rev=RESULT)), Followed()]
PIECE = 64 * 1024


def pieces(count: int) -> list[Step]:
    """Give a log of so many full pieces."""
    return [
        Output(entry=EntryId(1), offset=PIECE * number, data=b"%07d\n" % number * (PIECE // 8))
        for number in range(count)
    ]


def start(*argv: str) -> "subprocess.Popen[bytes]":
    """Start the client with pipes."""
    return subprocess.Popen([*EXPCTL, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_interrupt_of_follow_detaches(sock: Path) -> None:
    """Ctrl-C ends the watching with 130 and says that the experiment goes on; nothing is asked of the daemon."""
    piece = Output(entry=EntryId(1), offset=0, data=b"first\n")
    with serving(sock, [RUNNING], [[piece, STAY]]) as daemon:
        client = start("follow", "1")
        assert client.stdout is not None
        assert client.stdout.readline() == b"first\n"
        client.send_signal(signal.SIGINT)
        out, err = client.communicate(timeout=30)

    assert (client.returncode, out, err) == (130, b"", b"expctl: detached; the experiment goes on\n")
    assert isinstance(daemon.requests[-1], Follow)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["submit"], b"interrupted before the answer; `expctl status` shows whether it was queued"),
        (["wait"], b"no longer waiting; everything goes on"),
        (["status"], b""),
    ],
)
def test_interrupt_says_what_goes_on(sock: Path, argv: list[str], words: bytes) -> None:
    """An interrupt is 130 without a traceback, with the one sentence that matters."""
    with serving(sock, [[STAY]]) as daemon:
        client = start(*argv)
        assert daemon.heard.wait(30)
        client.send_signal(signal.SIGINT)
        _, err = client.communicate(timeout=30)

    assert client.returncode == 130
    assert words in err
    assert b"Traceback" not in err


def test_interrupt_of_daemon_stop_leaves_it_stopping(sock: Path) -> None:
    """The request has been made; only the waiting ends."""
    with serving(sock, [LISTED, [Stopping(running=1), STAY]]):
        client = start("daemon", "stop", "--drain")
        assert client.stderr is not None
        assert client.stderr.readline() == b"waiting for 1 running\n"
        client.send_signal(signal.SIGINT)
        _, err = client.communicate(timeout=30)

    assert (client.returncode, err) == (130, b"expctl: no longer waiting; the daemon still ends\n")


def test_slow_reader_gets_every_byte(sock: Path) -> None:
    """Whoever reads late reads all of it: the daemon's sending waits, nothing is dropped or kept."""
    log = pieces(64)
    with serving(sock, [RUNNING], [[*log, *END]]) as daemon:
        client = start("follow", "1")
        assert daemon.heard.wait(30)
        assert client.stdout is not None
        read = os.read(client.stdout.fileno(), 10)
        read += client.communicate(timeout=30)[0]

    assert read == b"".join(piece.data for piece in log if isinstance(piece, Output))
    assert client.returncode == 0


def test_reader_that_leaves_ends_the_client_silently(sock: Path) -> None:
    """`expctl follow | head` is no error: exit code 141, as a program that dies of SIGPIPE, and no words."""
    with serving(sock, [RUNNING], [[*pieces(64), *END]]):
        client = start("follow", "1")
        assert client.stdout is not None
        client.stdout.read(10)
        client.stdout.close()
        client.stdout = None
        _, err = client.communicate(timeout=30)

    assert (client.returncode, err) == (141, b"")


def test_non_blocking_stdout_gets_every_byte(sock: Path) -> None:
    """A pipe that somebody else made non-blocking is waited for."""
    log = pieces(16)
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    with serving(sock, [RUNNING], [[*log, *END]]), open(ours, "rb") as reader:  # noqa: PTH123
        client = subprocess.Popen([*EXPCTL, "follow", "1"], stdout=theirs, stderr=subprocess.PIPE)
        os.close(theirs)
        read = reader.read()
        client.communicate(timeout=30)

    assert read == b"".join(piece.data for piece in log if isinstance(piece, Output))
    assert client.returncode == 0


def test_closed_streams_do_not_mix_with_the_socket(sock: Path) -> None:
    """Started without stdin, stdout and stderr, the client doesn't print into its own connection."""
    with serving(sock, [LISTED]) as daemon:
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *EXPCTL, "status"],
            check=False,
            capture_output=True,
            timeout=30,
        )

    assert done.returncode == 0
    assert len(daemon.requests) == 1


def test_deleted_directory_is_named(sock: Path, tmp_path: Path) -> None:
    """Without a current directory nothing can be asked about it, and that is said."""
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'rmdir "{gone}" && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *EXPCTL, "submit"], cwd=gone, check=False, capture_output=True, text=True, timeout=30
    )

    assert done.returncode == 1
    assert "the current directory no longer exists" in done.stderr
    assert not sock.exists()


def test_argument_that_is_no_text_is_named(sock: Path) -> None:
    """Bytes that are no UTF-8 can't be an override; nothing is sent."""
    with serving(sock, [LISTED]) as daemon:
        done = subprocess.run(
            [*EXPCTL, "submit", "-n", b"\xff"], check=False, capture_output=True, text=True, timeout=30
        )

    assert done.returncode == 2
    assert "not UTF-8 and can't be sent: \\xff; nothing was done" in done.stderr
    assert daemon.requests == []


def test_traceback_is_shown_on_request_alone(sock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EXPCTL_DEBUG=1 shows where a failure arose; without it no user sees a traceback."""
    plain = subprocess.run([*EXPCTL, "status"], check=False, capture_output=True, text=True, timeout=30)
    monkeypatch.setenv("EXPCTL_DEBUG", "1")
    debug = subprocess.run([*EXPCTL, "status"], check=False, capture_output=True, text=True, timeout=30)

    assert (plain.returncode, debug.returncode) == (3, 3)
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr
    assert not sock.exists()
