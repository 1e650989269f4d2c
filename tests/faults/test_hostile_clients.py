"""Whatever comes over the socket: a clear refusal or a closed connection, for that peer alone, and memory stays bounded."""

import os
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from expproto import PROTOCOL_VERSION
from expproto.frames import FRAME_BYTES_MAX, encode_frame
from expproto.messages import message_to_map
from expproto.replies import Followed, Refusal
from expproto.requests import (
    AskDaemon,
    Follow,
    FollowTarget,
    Submit,
)
from expproto.vocabulary import Rev, RunId, Succeeded
from expproto.work import Acknowledge, Register, RunEnded
from faults.hostile_requests import hostile_requests, hostile_submissions
from helpers.daemons import Json, RunningDaemon
from helpers.peers import Peer, Talk, frame, hello, others_are_served

ANSWER_SECONDS = 1.0
"""Within this others are answered, whatever a hostile client does (faults.md, invariant 6)."""
PATIENCE_SECONDS = 20.0
GROWTH_BYTES_MAX = 64 * 1024 * 1024
DEEP = 1000
PEERS = int(os.environ.get("EXPD_TEST_PEERS", "200"))
"""That send noise; as many as somebody has time for."""
SEED = int(os.environ.get("EXPD_FAULT_SEED", "7"))


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
    "no map": (frame([1, 2, 3]), "bad_message"),
    "text where there is a map": (frame("hello"), "bad_message"),
    "two values in a frame": (encode_frame(b"\x80\x80"), "bad_message"),
    "a map cut short": (encode_frame(b"\x82\xa1a"), "bad_message"),
    "a thousand nested arrays": (frame({"kind": "hello", "x": _nested(DEEP)}), "bad_message"),
    "a frame longer than any greeting": (encode_frame(b"\x81\xa1x" + b"\xdd\x00\x01\x00\x00" * DEEP), "bad_frame"),
    "an array header of 4 billion items": (encode_frame(b"\x81\xa1x\xdd\xff\xff\xff\xff"), "bad_message"),
    "a key twice": (encode_frame(b"\x82\xa4kind\x01\xa4kind\x02"), "bad_message"),
    "an extension type": (encode_frame(b"\x81\xa1x\xd4\x05\x00"), "bad_message"),
    "a timestamp": (encode_frame(b"\x81\xa1x\xc7\x0c\xff" + b"\xff" * 12), "bad_message"),
    "an integer beyond 63 bits": (encode_frame(b"\x81\xa1x\xcf" + b"\xff" * 8), "bad_message"),
    "text that is no UTF-8": (encode_frame(b"\x81\xa1x\xa1\xff"), "bad_message"),
    "a key that is bytes": (encode_frame(b"\x81\xc4\x01x\x01"), "bad_message"),
    "an unknown kind": (frame({"kind": "explode"}), "unknown_message"),
    "no kind": (frame({}), "unknown_message"),
    "a kind that is a list": (frame({"kind": ["hello"]}), "unknown_message"),
    "a request before hello": (frame(message_to_map(AskDaemon())), "out_of_turn"),
    "a report before hello": (frame({"kind": "leave"}), "out_of_turn"),
    "a hello without its fields": (frame({"kind": "hello"}), "bad_message"),
    "a hello with one field more": (hello(more=1), "bad_message"),
    "a version that is text": (hello(protocol="1"), "bad_message"),
    "a role that is none": (hello(role="king"), "out_of_turn"),
    "a daemon's role": (hello(role="daemon"), "out_of_turn"),
    "another protocol version": (hello(protocol=PROTOCOL_VERSION + 1), "version_mismatch"),
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
    "a second hello": (hello(), "out_of_turn"),
    "a worker's report": (
        frame(message_to_map(RunEnded(run=RunId(1), run_token="", outcome=Succeeded(rev=Rev("0" * 40)), ended_at=0.0))),
        "out_of_turn",
    ),
    "a daemon's order": (frame({"kind": "leave"}), "out_of_turn"),
    "a reply": (frame({"kind": "followed"}), "out_of_turn"),
    "array headers of 65,536 items": (encode_frame(b"\x81\xa1x" + b"\xdd\x00\x01\x00\x00" * DEEP), "bad_message"),
    "four million empty maps": (
        encode_frame(b"\x81\xa1x\xdc\x00\x3c" + (b"\xdc\xff\xff" + b"\x80" * 65_535) * 60),
        "bad_message",
    ),
    "a request with a wrong type": (frame({"kind": "status", "cwd": 5}), "bad_message"),
    "a request with a wrong inner type": (frame({"kind": "status", "cwd": "/", "entries": [1]}), "bad_message"),
    "a request with nothing in it": (frame({"kind": "submit"}), "bad_message"),
    "a huge length": (b"\x7f\xff\xff\xff", "bad_frame"),
}


@pytest.mark.parametrize("case", AFTER_HELLO)
def test_what_is_no_request_is_refused_by_its_rule(hosted: tuple[RunningDaemon, Path], case: str) -> None:
    """After a proper greeting too a broken rule is named, and ends the conversation."""
    data, code = AFTER_HELLO[case]

    with others_are_served(hosted[0]), Peer(hosted[0]) as peer:
        peer.send(hello() + data)
        said = peer.hear_to_the_end()

    assert (said[-1]["kind"], said[-1]["code"]) == ("refusal", code)


@pytest.mark.parametrize("at_once", [True, False], ids=["in one piece", "later"])
def test_a_second_request_before_the_answer_ends_the_conversation(
    hosted: tuple[RunningDaemon, Path], at_once: bool
) -> None:
    """A client that asks again while its first request is open is told that this is out of turn, whenever it comes."""
    daemon, repository = hosted
    with _a_gated_run(daemon, repository, f"open-{at_once}"), Peer(daemon) as peer:
        first = frame(message_to_map(Follow(cwd=str(repository), targets=(FollowTarget(entry=f"open-{at_once}"),))))
        second = frame(message_to_map(AskDaemon()))
        peer.send(hello())
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
                peer.send((hello() if number % 2 else b"") + (encode_frame(noise) if number % 3 else noise))
                peer.socket.shutdown(socket.SHUT_WR)
                said = peer.hear_to_the_end()
            assert said[0]["kind"] == "hello"
            assert all(message["kind"] in {"hello", "refusal"} for message in said)


def test_frames_cut_anywhere_are_no_requests(hosted: tuple[RunningDaemon, Path]) -> None:
    """A client that dies after any byte of its submission has submitted nothing."""
    daemon, repository = hosted
    whole = hello() + frame(message_to_map(Submit(request_id="cut" * 4, cwd=str(repository), name="cut")))
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
            peer.send(hello() + frame(message_to_map(request)))
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


def test_nothing_of_all_this_was_a_bug(hosted: tuple[RunningDaemon, Path]) -> None:
    """After all of the above the daemon is the same process, works, and its journal speaks of no bug."""
    daemon, repository = hosted
    daemon.expctl(repository, "submit", "-n", "after", "--", "true")

    assert daemon.run_expctl(repository, "wait", "after").returncode == 0
    assert daemon.process.poll() is None
    assert [line for line in daemon.journal().splitlines() if "bug" in line or "Traceback" in line] == []
