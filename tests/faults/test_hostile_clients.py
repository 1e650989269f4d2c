"""Whatever comes over the socket: a clear refusal or a closed connection, for that peer alone, and memory stays bounded."""

import os
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

import msgpack
import psutil
import pytest

from expproto import PROTOCOL_VERSION, VERSION
from expproto.codec import decode
from expproto.connection import Connection, NeedData, Role
from expproto.frames import FRAME_BYTES_MAX, FrameReader, encode_frame
from expproto.logs import Mark, Output
from expproto.messages import Hello, Message, message_to_map
from expproto.replies import DaemonShown, Ended, EntryPage, Followed, Refusal
from expproto.requests import (
    AskDaemon,
    Follow,
    FollowTarget,
    Request,
    Submit,
)
from expproto.vocabulary import Rev, RunId, Succeeded
from expproto.work import Acknowledge, Register, RunEnded
from faults.hostile_requests import hostile_requests, hostile_submissions
from helpers.daemons import Json, RunningDaemon, a_daemon
from helpers.repositories import a_repository
from helpers.waiting import eventually

ANSWER_SECONDS = 1.0
"""Within this others are answered, whatever a hostile client does (faults.md, invariant 6)."""
PATIENCE_SECONDS = 20.0
GROWTH_BYTES_MAX = 64 * 1024 * 1024
DEEP = 1000
PEERS = int(os.environ.get("EXPD_TEST_PEERS", "200"))
"""That send noise; as many as somebody has time for."""
SEED = int(os.environ.get("EXPD_FAULT_SEED", "7"))


def _frame(value: object) -> bytes:
    return encode_frame(msgpack.packb(value))


def _hello(**changes: object) -> bytes:
    return _frame({**message_to_map(Hello(protocol=PROTOCOL_VERSION, version=VERSION, role="client")), **changes})


class Peer:
    """One raw connection to the daemon."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(daemon.socket))  # blocking: it waits where a socket with a timeout gets EAGAIN
        self.socket.settimeout(PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes; a daemon that has closed already is no failure."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def hear_until(self, kind: str) -> None:
        """Read until a message of a kind has come."""
        frames = FrameReader()
        while data := self.socket.recv(65536):
            frames.receive_data(data)
            while (body := frames.next_frame()) is not None:
                if decode(body)["kind"] == kind:
                    return
        raise AssertionError(f"no {kind} came")

    def hear_to_the_end(self) -> list[dict[str, object]]:
        """Read until the daemon closes; gives what it said as maps."""
        frames, said = FrameReader(), []
        with suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                frames.receive_data(data)
                while (body := frames.next_frame()) is not None:
                    said.append(decode(body))
        return said


class Talk(Peer):
    """A client that keeps to the protocol."""

    def __init__(self, daemon: RunningDaemon, role: Role = "client") -> None:
        super().__init__(daemon)
        self._connection = Connection(role)
        self.send(self._connection.greet())
        assert isinstance(self.receive(), Hello)

    def receive(self) -> Message:
        """Receive one message."""
        while isinstance(message := self._connection.next_message(), NeedData):
            data = self.socket.recv(65536)
            assert data, "the daemon closed the connection"
            self._connection.receive_data(data)
        return message

    def tell(self, message: Message) -> None:
        """Send one message."""
        self.send(self._connection.send(message))

    def request(self, request: Request) -> Message:
        """Send a request and give its reply, events passed over."""
        self.send(self._connection.send(request))
        while isinstance(message := self.receive(), EntryPage | Output | Mark | Ended):
            pass
        return message


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningDaemon, Path]]:
    """Give a daemon for all tests of this file, and a project."""
    with a_daemon(jobs=1) as daemon:
        yield daemon, a_repository(tmp_path_factory.mktemp("hosted") / "project")


@contextmanager
def others_are_served(daemon: RunningDaemon) -> Iterator[None]:
    """Ask for the daemon's status all the time while inside: each answer comes in time, and memory does not grow."""
    over = threading.Event()
    slowest = [0.0]
    failures: list[Exception] = []
    process = psutil.Process(daemon.process.pid)
    before = process.memory_info().rss

    def ask() -> None:
        try:
            while not over.wait(0.02):
                start = time.monotonic()
                with Talk(daemon) as talk:
                    assert isinstance(talk.request(AskDaemon()), DaemonShown)
                slowest[0] = max(slowest[0], time.monotonic() - start)
        except (OSError, AssertionError) as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert failures == []
    assert slowest[0] < ANSWER_SECONDS
    assert process.memory_info().rss - before < GROWTH_BYTES_MAX


def _nested(depth: int) -> object:
    value: object = 1
    for _level in range(depth):
        value = [value]
    return value


BEFORE_HELLO = {
    "a length of 4 GiB": (b"\xff\xff\xff\xff", "bad_frame"),
    "a length one above the limit": (struct.pack(">I", FRAME_BYTES_MAX + 1), "bad_frame"),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "bad_frame"),
    "an empty frame": (encode_frame(b""), "bad_message"),
    "no map": (_frame([1, 2, 3]), "bad_message"),
    "text where there is a map": (_frame("hello"), "bad_message"),
    "two values in a frame": (encode_frame(b"\x80\x80"), "bad_message"),
    "a map cut short": (encode_frame(b"\x82\xa1a"), "bad_message"),
    "a thousand nested arrays": (_frame({"kind": "hello", "x": _nested(DEEP)}), "bad_message"),
    "a frame longer than any greeting": (encode_frame(b"\x81\xa1x" + b"\xdd\x00\x01\x00\x00" * DEEP), "bad_frame"),
    "an array header of 4 billion items": (encode_frame(b"\x81\xa1x\xdd\xff\xff\xff\xff"), "bad_message"),
    "a key twice": (encode_frame(b"\x82\xa4kind\x01\xa4kind\x02"), "bad_message"),
    "an extension type": (encode_frame(b"\x81\xa1x\xd4\x05\x00"), "bad_message"),
    "a timestamp": (encode_frame(b"\x81\xa1x\xc7\x0c\xff" + b"\xff" * 12), "bad_message"),
    "an integer beyond 63 bits": (encode_frame(b"\x81\xa1x\xcf" + b"\xff" * 8), "bad_message"),
    "text that is no UTF-8": (encode_frame(b"\x81\xa1x\xa1\xff"), "bad_message"),
    "a key that is bytes": (encode_frame(b"\x81\xc4\x01x\x01"), "bad_message"),
    "an unknown kind": (_frame({"kind": "explode"}), "unknown_message"),
    "no kind": (_frame({}), "unknown_message"),
    "a kind that is a list": (_frame({"kind": ["hello"]}), "unknown_message"),
    "a request before hello": (_frame(message_to_map(AskDaemon())), "out_of_turn"),
    "a report before hello": (_frame({"kind": "leave"}), "out_of_turn"),
    "a hello without its fields": (_frame({"kind": "hello"}), "bad_message"),
    "a hello with one field more": (_hello(more=1), "bad_message"),
    "a version that is text": (_hello(protocol="1"), "bad_message"),
    "a role that is none": (_hello(role="king"), "out_of_turn"),
    "a daemon's role": (_hello(role="daemon"), "out_of_turn"),
    "another protocol version": (_hello(protocol=PROTOCOL_VERSION + 1), "version_mismatch"),
}


@pytest.mark.parametrize("case", BEFORE_HELLO)
def test_what_is_no_greeting_is_refused_by_its_rule(hosted: tuple[RunningDaemon, Path], case: str) -> None:
    """Bytes that break a rule are answered by one Refusal that names it, and the connection is closed."""
    data, code = BEFORE_HELLO[case]

    with others_are_served(hosted[0]), Peer(hosted[0]) as peer:
        peer.send(data)
        said = peer.hear_to_the_end()

    assert [message["kind"] for message in said] == ["hello", "refusal"]
    assert said[-1]["code"] == code


AFTER_HELLO = {
    "a second hello": (_hello(), "out_of_turn"),
    "a worker's report": (
        _frame(
            message_to_map(RunEnded(run=RunId(1), run_token="", outcome=Succeeded(rev=Rev("0" * 40)), ended_at=0.0))
        ),
        "out_of_turn",
    ),
    "a daemon's order": (_frame({"kind": "leave"}), "out_of_turn"),
    "a reply": (_frame({"kind": "followed"}), "out_of_turn"),
    "array headers of 65,536 items": (encode_frame(b"\x81\xa1x" + b"\xdd\x00\x01\x00\x00" * DEEP), "bad_message"),
    "four million empty maps": (
        encode_frame(b"\x81\xa1x\xdc\x00\x3c" + (b"\xdc\xff\xff" + b"\x80" * 65_535) * 60),
        "bad_message",
    ),
    "a request with a wrong type": (_frame({"kind": "status", "cwd": 5}), "bad_message"),
    "a request with a wrong inner type": (_frame({"kind": "status", "cwd": "/", "entries": [1]}), "bad_message"),
    "a request with nothing in it": (_frame({"kind": "submit"}), "bad_message"),
    "a huge length": (b"\x7f\xff\xff\xff", "bad_frame"),
}


@pytest.mark.parametrize("case", AFTER_HELLO)
def test_what_is_no_request_is_refused_by_its_rule(hosted: tuple[RunningDaemon, Path], case: str) -> None:
    """After a proper greeting too a broken rule is named, and ends the conversation."""
    data, code = AFTER_HELLO[case]

    with others_are_served(hosted[0]), Peer(hosted[0]) as peer:
        peer.send(_hello() + data)
        said = peer.hear_to_the_end()

    assert (said[-1]["kind"], said[-1]["code"]) == ("refusal", code)


@pytest.mark.parametrize("at_once", [True, False], ids=["in one piece", "later"])
def test_a_second_request_before_the_answer_ends_the_conversation(
    hosted: tuple[RunningDaemon, Path], at_once: bool
) -> None:
    """A client that asks again while its first request is open is told that this is out of turn, whenever it comes."""
    daemon, repository = hosted
    with _a_gated_run(daemon, repository, f"open-{at_once}"), Peer(daemon) as peer:
        first = _frame(message_to_map(Follow(cwd=str(repository), targets=(FollowTarget(entry=f"open-{at_once}"),))))
        second = _frame(message_to_map(AskDaemon()))
        peer.send(_hello())
        if at_once:
            peer.send(first + second)
        else:
            peer.send(first)
            peer.hear_until("output")
            peer.send(second)
        said = peer.hear_to_the_end()

    assert (said[-1]["kind"], said[-1]["code"]) == ("refusal", "out_of_turn")


@contextmanager
def _a_gated_run(daemon: RunningDaemon, repository: Path, name: str) -> Iterator[tuple[Json, Path]]:
    """Have a run under way that has written a line, and ends after the block."""
    gate = repository.parent / f"gate-{name}"
    os.mkfifo(gate)
    daemon.expctl(repository, "submit", "-n", name, "--", "sh", "-c", f"echo started; echo > '{gate}'; cat '{gate}'")
    gate.read_text()
    try:
        yield daemon.entries(repository, name)[0], gate
    finally:
        gate.write_text("go on\n")
        daemon.expctl(repository, "wait", name)


def test_random_bytes_end_nobody_else(hosted: tuple[RunningDaemon, Path]) -> None:
    """Peers that send noise, bare or in frames, before or after a greeting, are all sent away, however many they are."""
    chance = random.Random(SEED)
    with others_are_served(hosted[0]):
        for number in range(PEERS):
            noise = chance.randbytes(chance.choice([1, 4, 5, 100, 5000]))
            with Peer(hosted[0]) as peer:
                peer.send((_hello() if number % 2 else b"") + (encode_frame(noise) if number % 3 else noise))
                peer.socket.shutdown(socket.SHUT_WR)
                said = peer.hear_to_the_end()
            assert said[0]["kind"] == "hello"
            assert all(message["kind"] in {"hello", "refusal"} for message in said)


def test_frames_cut_anywhere_are_no_requests(hosted: tuple[RunningDaemon, Path]) -> None:
    """A client that dies after any byte of its submission has submitted nothing."""
    daemon, repository = hosted
    whole = _hello() + _frame(message_to_map(Submit(request_id="cut" * 4, cwd=str(repository), name="cut")))
    entries = len(daemon.entries(repository))

    for end in range(0, len(whole), 3):
        with Peer(daemon) as peer:
            peer.send(whole[:end])

    assert len(daemon.entries(repository)) == entries


def test_a_submission_whose_answer_nobody_hears_is_made_once(hosted: tuple[RunningDaemon, Path]) -> None:
    """A client that dies with its submission on its way may ask again with the same request id: one entry, the same."""
    daemon, repository = hosted
    request = Submit(request_id="unheard00", cwd=str(repository), name="unheard", command=("true",))

    for _try in range(3):
        with Peer(daemon) as peer:
            peer.send(_hello() + _frame(message_to_map(request)))
    with Talk(daemon) as talk:
        answered = talk.request(request)

    assert answered.kind == "submitted"
    assert [entry["name"] for entry in daemon.entries(repository)].count("unheard") == 1


def test_requests_that_make_no_sense_are_refused_with_a_reason(hosted: tuple[RunningDaemon, Path]) -> None:
    """Well-formed requests with hostile values are refused with a code of their own: none is a bug, none is accepted."""
    daemon, repository = hosted

    codes = {}
    submissions = [
        replace(submission, request_id=f"hostile{number:03}")
        for number, submission in enumerate(hostile_submissions(str(repository)))
    ]
    with others_are_served(daemon):
        for request in (*hostile_requests(str(repository)), *submissions):
            with Talk(daemon) as talk:
                answer = talk.request(request)
            codes[repr(request)[:300]] = answer.code if isinstance(answer, Refusal) else answer.kind

    assert {what: code for what, code in codes.items() if code in {"internal", "submitted"}} == {}


@pytest.mark.parametrize(
    "target",
    [FollowTarget(entry="done", offset=-1), FollowTarget(entry="done", offset=2**63 - 1),
     FollowTarget(entry="done", lines=-1), FollowTarget(entry="done", lines=2**62)],
)  # fmt: skip
def test_following_from_nowhere_ends(hosted: tuple[RunningDaemon, Path], target: FollowTarget) -> None:
    """An offset or a number of lines that no log has is refused or answered, and nothing hangs."""
    daemon, repository = hosted
    if not any(entry["name"] == "done" for entry in daemon.entries(repository)):
        daemon.expctl(repository, "submit", "-n", "done", "--", "echo", "done")
        daemon.expctl(repository, "wait", "done")

    with Talk(daemon) as talk:
        answer = talk.request(Follow(cwd=str(repository), targets=(target,)))

    assert isinstance(answer, Followed | Refusal)


def test_a_worker_that_guesses_ends_no_run(hosted: tuple[RunningDaemon, Path]) -> None:
    """A report under another token than the run's own changes nothing: the run goes on to its own end."""
    daemon, repository = hosted
    with _a_gated_run(daemon, repository, "guarded") as (entry, _gate):
        with Talk(daemon, "worker") as talk:
            run = RunId(int(Path(str(entry["log"])).name.split(".")[0]))
            talk.tell(Register(token="mine", pid=1, start_ticks=1, boot_id="", run=None, run_token=None))
            ended = RunEnded(run=run, run_token="guessed", outcome=Succeeded(rev=Rev("0" * 40)), ended_at=0.0)
            talk.tell(ended)
            heard = talk.receive()
        state = daemon.entries(repository, "guarded")[0]["state"]

    assert (heard, state) == (Acknowledge(run=run), "running")
    assert daemon.run_expctl(repository, "wait", "guarded").returncode == 0


def test_two_hundred_silent_connections_hold_up_nobody(hosted: tuple[RunningDaemon, Path]) -> None:
    """While 200 peers are connected and say nothing, or half a header, others are answered within a second."""
    with others_are_served(hosted[0]), ExitStack() as stack:
        for number in range(200):
            peer = stack.enter_context(Peer(hosted[0]))
            peer.send(b"\0\0\0"[: number % 4])
        with Talk(hosted[0]) as talk:
            assert isinstance(talk.request(AskDaemon()), DaemonShown)

    _descriptors_come_back(hosted[0])


def test_descriptors_that_are_sent_along_are_not_taken(hosted: tuple[RunningDaemon, Path]) -> None:
    """A peer that sends open files with its bytes gives the daemon none of them: its table of descriptors does not grow."""
    process = psutil.Process(hosted[0].process.pid)
    with others_are_served(hosted[0]), Peer(hosted[0]) as peer, Path("/dev/null").open("rb") as file:
        before = process.num_fds()
        peer.send(_hello())
        for _time in range(50):
            socket.send_fds(peer.socket, [_frame(message_to_map(AskDaemon()))], [file.fileno()] * 50)
            peer.hear_until("daemon_shown")
        grown = process.num_fds() - before

    assert grown < 20  # connections of those who are served meanwhile


def test_peers_that_promise_much_and_send_little_are_cheap(hosted: tuple[RunningDaemon, Path]) -> None:
    """A hundred headers that announce the largest frame reserve no memory for it."""
    with others_are_served(hosted[0]), ExitStack() as stack:
        for _number in range(100):
            stack.enter_context(Peer(hosted[0])).send(struct.pack(">I", FRAME_BYTES_MAX) + b"x" * 1000)

    _descriptors_come_back(hosted[0])


def _descriptors_come_back(daemon: RunningDaemon) -> None:
    process = psutil.Process(daemon.process.pid)
    eventually(lambda: process.num_fds() < 60, f"the daemon gives its descriptors back: {process.num_fds()}")


def test_a_follower_that_never_reads_costs_nothing(hosted: tuple[RunningDaemon, Path]) -> None:
    """While a run writes 50 MB, a follower that reads none of it slows down neither the run nor others, nor fills memory."""
    daemon, repository = hosted
    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "submit", "-n", "loud", "--", "sh", "-c", "yes 0123456789abcdef | head -c 50000000")

    with others_are_served(daemon), Peer(daemon) as deaf:
        targets = tuple(FollowTarget(entry="loud") for _number in range(20))
        deaf.send(_hello() + _frame(message_to_map(Follow(cwd=str(repository), targets=targets))))
        daemon.expctl(repository, "resume")
        daemon.expctl(repository, "wait", "loud")

    assert Path(str(daemon.entries(repository, "loud")[0]["log"])).stat().st_size == 50_000_000
    _descriptors_come_back(daemon)


def test_the_last_lines_of_a_long_log_are_found_in_time(hosted: tuple[RunningDaemon, Path]) -> None:
    """A follower that asks for more lines than 50 MB of output without a line break hold keeps nobody waiting."""
    daemon, repository = hosted
    script = "head -c 50000000 /dev/zero"
    daemon.expctl(repository, "submit", "-n", "endless", "--", "sh", "-c", script)
    daemon.expctl(repository, "wait", "endless")

    with others_are_served(daemon), Peer(daemon) as peer:
        target = FollowTarget(entry="endless", lines=10)
        peer.send(_hello() + _frame(message_to_map(Follow(cwd=str(repository), targets=(target,)))))
        received = 0
        while received < 1_000_000:
            received += len(peer.socket.recv(65536))


def test_nothing_of_all_this_was_a_bug(hosted: tuple[RunningDaemon, Path]) -> None:
    """After all of the above the daemon is the same process, works, and its journal speaks of no bug."""
    daemon, repository = hosted
    daemon.expctl(repository, "submit", "-n", "after", "--", "true")

    assert daemon.run_expctl(repository, "wait", "after").returncode == 0
    assert daemon.process.poll() is None
    assert [line for line in daemon.journal().splitlines() if "bug" in line or "Traceback" in line] == []
