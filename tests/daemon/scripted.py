"""A daemon as a worker meets it, played by the test: a listening socket, one conversation at a time, orders by hand."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from expd.execute.marks import marks_of, read_marks
from expd.linux.presence import announce, withdraw
from expproto.codec import decode
from expproto.connection import Connection, NeedData
from expproto.frames import encode_frame
from expproto.messages import Hello, Message, message_from_map
from expproto.vocabulary import EntryId, Outcome, Rev, RunId
from expproto.work import Execute, Order, Register, RunEnded
from helpers.daemons import BIN, DEADLINE_SECONDS
from helpers.repositories import GIT_ENVIRONMENT, git

M = TypeVar("M", bound=Message)
WORKER_TOKEN = "worker-token"


class Conversation:
    """The daemon's side of one connection of a worker."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.socket.settimeout(DEADLINE_SECONDS)
        self._connection = Connection("daemon")

    def greet(self) -> Register:
        """Exchange Hellos, and hear who the worker is."""
        self.socket.sendall(self._connection.greet())
        assert self.hear(Hello).role == "worker"
        return self.hear(Register)

    def order(self, order: Order) -> None:
        """Send an order."""
        self.socket.sendall(self._connection.send(order))

    def hear(self, kind: type[M]) -> M:
        """Receive one message, which must be of a kind."""
        message = self.hear_any()
        assert isinstance(message, kind), message
        return message

    def hear_any(self) -> Message | None:
        """Receive one message; None if the worker has closed."""
        while isinstance(message := self._connection.next_message(), NeedData):
            data = self.socket.recv(65536)
            if not data:
                return None
            self._connection.receive_data(data)
        return message

    def hear_end(self) -> RunEnded:
        """Receive reports up to the end of a run."""
        while not isinstance(message := self.hear_any(), RunEnded):
            assert message is not None, "the worker closed the connection"
        return message

    def close(self) -> None:
        """Be gone."""
        self.socket.close()


class ScriptedDaemon:
    """A socket that is a daemon's, and one worker process that was started for it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.socket_path = base / "run" / "expd.sock"
        self.log = base / "worker.log"
        self._listening: socket.socket | None = None
        self._conversations: list[Conversation] = []
        self.listen()
        with self.log.open("wb") as log:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "expd.execute", str(self.socket_path)],
                env={**os.environ, **GIT_ENVIRONMENT, "EXPD_WORKER_TOKEN": WORKER_TOKEN},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def listen(self) -> None:
        """Listen at the socket's path, as a new daemon does."""
        self.socket_path.parent.mkdir(exist_ok=True)
        binding = self.socket_path.with_name("expd.bind")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.settimeout(DEADLINE_SECONDS)
        self._listening.bind(str(binding))
        self._listening.listen(16)
        binding.rename(self.socket_path)
        announce(self.socket_path)

    def accept(self) -> Conversation:
        """Take the next connection in."""
        assert self._listening is not None
        self._conversations.append(Conversation(self._listening.accept()[0]))
        return self._conversations[-1]

    def meet(self) -> tuple[Conversation, Register]:
        """Take the next connection on which a worker registers; one that only looks whether we listen is let go."""
        while True:
            conversation = self.accept()
            with suppress(AssertionError, BrokenPipeError, ConnectionResetError):
                return conversation, conversation.greet()
            conversation.close()

    def turn_away(self) -> None:
        """Answer the next connection that says anything in words that nobody knows."""
        while not (stranger := self.accept()).socket.recv(65536):
            stranger.close()
        stranger.socket.sendall(encode_frame(b"\x81\xa4kind\xa6future"))
        stranger.close()

    def vanish(self, conversation: Conversation, *, with_directory: bool = False) -> None:
        """Die: the connection breaks, nobody listens, and perhaps the runtime directory goes as well."""
        assert self._listening is not None
        self._listening.close()
        self.socket_path.unlink(missing_ok=True)
        withdraw(self.socket_path)
        if with_directory:
            shutil.rmtree(self.socket_path.parent)
        conversation.close()

    def run(self, order: Execute) -> Outcome:
        """Have one order carried out in a conversation of its own, and give its outcome."""
        conversation, _register = self.meet()
        conversation.order(order)
        ended = conversation.hear_end()
        conversation.close()
        return ended.outcome

    def stop(self) -> None:
        """End the worker, and close the socket."""
        if self.worker.poll() is None:
            self.worker.kill()
        self.worker.wait(DEADLINE_SECONDS)
        for conversation in self._conversations:
            conversation.close()
        if self._listening is not None:
            self._listening.close()


@contextmanager
def a_scripted_daemon(base: Path) -> Iterator[ScriptedDaemon]:
    """Play the daemon for as long as the block; the worker's own log is shown if a test fails."""
    daemon = ScriptedDaemon(base)
    try:
        yield daemon
    finally:
        daemon.stop()
        print(daemon.log.read_text())  # noqa: T201 - pytest shows it with a failure


def an_order(base: Path, repository: Path, command: tuple[str, ...] | None = None, **changes: object) -> Execute:
    """Give the order to run HEAD of a repository: its pipeline, or a command."""
    head = Rev(git(repository, "rev-parse", "HEAD"))
    fields: dict[str, object] = {
        "run": RunId(1),
        "run_token": "run-token",
        "entry": EntryId(1),
        "name": "tried",
        "message": None,
        "git_directory": str(repository / ".git"),
        "worktree": str(repository / ".git" / "expd" / "worktrees" / "slot"),
        "baseline_rev": head,
        "stash_rev": head,
        "root": ".",
        "directory": ".",
        "origin_root": str(repository),
        "cache": str(repository / ".dvc" / "cache"),
        "command": command,
        "targets": (),
        "force": False,
        "environment": ((b"PATH", os.fsencode(f"{BIN}:{os.environ['PATH']}")),),
        "umask": 0o022,
        "log": str(base / "1.log"),
        "record": str(base / "1.outcome"),
        "grace_seconds": 0.2,
        "kept_worktrees_max": 20,
    }
    order = Execute(**{**fields, **changes})  # type: ignore[arg-type]
    assert isinstance(order, Execute)
    return order


def told_of(order: Execute) -> str:
    """Give what was told of a run beside its log, a line each."""
    descriptor = os.open(marks_of(Path(order.log)), os.O_RDONLY)
    try:
        records, _place = read_marks(descriptor, 0)
    finally:
        os.close(descriptor)
    return "".join(f"{record.text}\n" for record in records if record.text)


def record_of(order: Execute) -> Message:
    """Read the outcome record of a run."""
    return message_from_map(decode(Path(order.record).read_bytes()))
