"""`expctl daemon`: what answers, and its end; and what the client makes of a daemon that is none of ours."""

from pathlib import Path

import pytest

from client.conftest import Expctl
from client.scripted import Step, a_page, an_entry, serving
from expproto import PROTOCOL_VERSION
from expproto.codec import encode
from expproto.frames import encode_frame
from expproto.replies import DaemonShown, Listed, Refusal, Stopping
from expproto.requests import AskDaemon, Status, Stop
from expproto.vocabulary import Ending, EntryState

SHOWN = DaemonShown(
    pid=42,
    version="0.1.0",
    protocol=1,
    socket="/run/expd.sock",
    state_directory="/state",
    started_at=0.0,
    running=1,
    queued=2,
    jobs=3,
    paused=False,
)
TAKEN_OVER = "; the next daemon takes over what goes on (`expctl daemon stop --now` ends it)"
RUNNING: list[Step] = [
    a_page(an_entry(1), an_entry(2, name="b", state=EntryState.RUNNING)),
    Listed(count=2, paused=False),
]


def test_daemon_status_is_a_line_a_fact(sock: Path, expctl: Expctl) -> None:
    """Every fact has its name first."""
    with serving(sock, [[SHOWN]]) as daemon:
        ran = expctl("daemon", "status")

    assert daemon.requests == [AskDaemon()]
    assert ran.out.splitlines()[:4] == ["pid\t42", "version\t0.1.0", "protocol\t1", "socket\t/run/expd.sock"]


def test_daemon_status_json_has_the_documented_fields(sock: Path, expctl: Expctl) -> None:
    """The document names the process, its release, its socket and what it has to do."""
    with serving(sock, [[SHOWN]]):
        ran = expctl("daemon", "status", "--json")

    expected = {"schema": 1, "pid": 42, "version": "0.1.0", "socket": "/run/expd.sock", "running": 1, "queued": 2}
    assert expected.items() <= ran.document.items()


@pytest.mark.parametrize(
    ("argv", "ending", "words"),
    [
        ([], Ending.LEAVE, f"leaving 1 running: 2 b{TAKEN_OVER}"),
        (["--drain"], Ending.DRAIN, "waiting for 1 running: 2 b"),
        (["--now"], Ending.NOW, "cancelling 1 running: 2 b"),
    ],
)
def test_daemon_stop_says_what_still_runs_and_waits(
    sock: Path, expctl: Expctl, argv: list[str], ending: Ending, words: str
) -> None:
    """What runs goes on unless asked otherwise; the command returns when the daemon has closed its connection."""
    with serving(sock, [RUNNING, [Stopping(running=1), "hang up"]]) as daemon:
        ran = expctl("daemon", "stop", *argv)

    assert daemon.requests == [Status(cwd="/", entries=()), Stop(ending=ending)]
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.splitlines() == [words, "stopped"]


def test_daemon_stop_json_names_what_ran(sock: Path, expctl: Expctl) -> None:
    """The document comes when the daemon has ended."""
    with serving(sock, [RUNNING, [Stopping(running=1), "hang up"]]):
        ran = expctl("daemon", "stop", "--json")

    assert ran.document == {"schema": 1, "stopped": True, "running": [{"id": 2, "name": "b"}]}


@pytest.mark.parametrize(
    "argv", [["daemon"], ["daemon", "reset"], ["daemon", "status", "--now"], ["daemon", "stop", "--now", "--drain"]]
)
def test_daemon_wants_a_known_action(sock: Path, expctl: Expctl, argv: list[str]) -> None:
    """Wrong usage is told before anybody is asked."""
    assert expctl(*argv).code == 2
    assert not sock.exists()


def hello(**changed: object) -> bytes:
    """Give a daemon's Hello with some fields changed."""
    return encode_frame(
        encode({"kind": "hello", "protocol": PROTOCOL_VERSION, "version": "9.9", "role": "daemon", **changed})
    )


def test_daemon_of_another_version_is_told_with_both(sock: Path, expctl: Expctl) -> None:
    """The sentence names both versions and the process to end."""
    with serving(sock, [], greeting=hello(protocol=2)):
        ran = expctl("status", "--json")

    assert ran.code == 7
    error = ran.document["error"]
    assert isinstance(error, dict)
    assert error["code"] == "version_mismatch"
    assert "expd 9.9 (protocol 2) is running; nothing was done" in error["message"]
    assert "kill " in error["hint"]


@pytest.mark.parametrize(
    ("greeting", "code"),
    [
        (hello(role="client"), 8),
        (encode_frame(encode({"kind": "followed"})), 8),
        (encode_frame(encode({"no": "kind"})), 8),
        (encode_frame(encode({"kind": "refusal", "code": "stopping", "data": {}})), 5),
        (encode_frame(encode({"kind": "refusal", "code": "version_mismatch", "data": {"what": "x"}})), 7),
        (encode_frame(encode({"kind": "refusal"})), 8),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 8),
        (encode_frame(b"\xc1"), 8),
        (b"", 3),
    ],
)
def test_greeting_that_is_none_is_an_error_with_a_code(sock: Path, expctl: Expctl, greeting: bytes, code: int) -> None:
    """Whatever listens there, the client ends with a sentence."""
    with serving(sock, *[[]] * 6, greeting=greeting):
        ran = expctl("status")

    assert ran.code == code
    assert ran.err.startswith("expctl: ")


def test_daemon_that_never_greets_is_given_up(sock: Path, expctl: Expctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped daemon accepts connections and says nothing; its process is named."""
    monkeypatch.setattr("expctl.transport.HELLO_SECONDS", 0.05)
    with serving(sock, [], greeting=None):
        ran = expctl("status")

    assert ran.code == 3
    assert "did not greet within 0.05 s" in ran.err


def test_refusal_with_an_unknown_code_is_still_told(sock: Path, expctl: Expctl) -> None:
    """A newer daemon's code is shown with what it says."""
    with serving(sock, [[Refusal(code="out_of_tea", data={"what": "no tea is left"})]]):
        ran = expctl("status")

    assert (ran.code, ran.err) == (1, "expctl: out_of_tea: no tea is left\n")


def test_daemon_of_another_user_gets_nothing(sock: Path, expctl: Expctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment goes only to a daemon of the same user, whoever put the socket there."""
    monkeypatch.setattr("os.geteuid", lambda: 4242)
    monkeypatch.setattr("expctl.transport.ROOT", 4243)
    with serving(sock, []) as daemon:
        ran = expctl("submit")

    assert ran.code == 3
    assert "belongs to a process of user" in ran.err
    assert daemon.requests == []
