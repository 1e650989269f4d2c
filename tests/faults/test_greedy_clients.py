"""Clients that are many, silent, deaf, or promise much: they cost little, and others are served in time."""

import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import psutil

from expproto.frames import FRAME_BYTES_MAX
from expproto.messages import message_to_map
from expproto.replies import DaemonShown
from expproto.requests import AskDaemon, Follow, FollowTarget
from helpers.daemons import RunningDaemon
from helpers.peers import Peer, Talk, frame, hello, others_are_served
from helpers.waiting import eventually


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
        peer.send(hello())
        for _time in range(50):
            socket.send_fds(peer.socket, [frame(message_to_map(AskDaemon()))], [file.fileno()] * 50)
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
        deaf.send(hello() + frame(message_to_map(Follow(cwd=str(repository), targets=targets))))
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
        peer.send(hello() + frame(message_to_map(Follow(cwd=str(repository), targets=(target,)))))
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
