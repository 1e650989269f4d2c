"""A daemon that says what a test tells it to: a real Unix socket, served by a thread, speaking through expproto."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from expproto.connection import Connection, NeedData
from expproto.messages import Hello, Message
from expproto.records import EntryRecord
from expproto.replies import EntryPage
from expproto.vocabulary import EntryId, EntryState, Outcome, Rev

BASELINE, STASH, RESULT = Rev("b" * 40), Rev("5" * 40), Rev("e" * 40)

HANG_UP = "hang up"
"""A step: close the connection here."""
STAY = "stay"
"""A step: keep the connection until the client closes it."""

GREETING = Connection("daemon").greet()
"""What a daemon says first; a test may give other bytes, after which nothing more is said, or None for silence."""


class Vanish:
    """A step: take the socket away, so that nobody can connect."""

    def __init__(self, path: Path) -> None:
        self.path = path


Step = Message | bytes | str | Vanish
"""What follows a request: a message to send, bytes to send as they are, a step above, or a socket to take away."""
Conversation = Sequence[Sequence[Step]]
"""For each request that comes over one connection, in turn, what is answered."""


class ScriptedDaemon:
    """Serves one conversation a connection, in order; `requests` are what came, whatever the connection."""

    def __init__(self, path: Path, conversations: Sequence[Conversation], *, greeting: bytes | None = GREETING) -> None:
        self.requests: list[Message] = []
        self.heard = threading.Event()
        self._greeting = greeting
        self._conversations = conversations
        self._listener = socket.socket(socket.AF_UNIX)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        self._listener.listen()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until every conversation has taken place."""
        self._thread.join()

    def close(self) -> None:
        """End, and raise what went wrong in the thread."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()
        assert not self._thread.is_alive(), "the script waits for a request that never came"
        if self._error is not None:
            raise self._error

    def _serve(self) -> None:
        try:
            for conversation in self._conversations:
                peer, _ = self._listener.accept()
                with peer, contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client had enough
                    self._converse(peer, conversation)
        except OSError:
            pass  # closed by the test before every conversation took place
        except Exception as error:  # noqa: BLE001 - carried to the test's thread
            self._error = error

    def _converse(self, peer: socket.socket, conversation: Conversation) -> None:
        connection = Connection("daemon")
        if self._greeting is None:
            return _wait_closed(peer)
        peer.sendall(self._greeting)
        if self._greeting != GREETING:
            return None
        hello = _next(peer, connection)
        if hello is None:
            return None
        assert isinstance(hello, Hello)
        for steps in conversation:
            request = _next(peer, connection)
            if request is None:
                return None
            self.requests.append(request)
            self.heard.set()
            if not self._answer(peer, connection, steps):
                return None
        return _wait_closed(peer)

    def _answer(self, peer: socket.socket, connection: Connection, steps: Sequence[Step]) -> bool:
        for step in steps:
            if isinstance(step, bytes):
                peer.sendall(step)
            elif isinstance(step, Vanish):
                step.path.unlink()
            elif step == HANG_UP:
                return False
            elif step == STAY:
                _wait_closed(peer)
                return False
            elif not isinstance(step, str):
                peer.sendall(connection.send(step))
        return True


@contextlib.contextmanager
def serving(path: Path, *conversations: Conversation, greeting: bytes | None = GREETING) -> Iterator[ScriptedDaemon]:
    """Serve conversations at a path while the block runs; fails if the script and the client disagreed."""
    daemon = ScriptedDaemon(path, conversations, greeting=greeting)
    try:
        yield daemon
    finally:
        daemon.close()


def an_entry(
    number: int = 1,
    *,
    name: str = "tuned",
    state: EntryState = EntryState.QUEUED,
    outcome: Outcome | None = None,
    waits_for: str | None = None,
    exit_code: int | None = None,
    started_at: float | None = None,
    ended_at: float | None = None,
    experiment_rev: Rev | None = None,
) -> EntryRecord:
    """Give an entry as the daemon tells it."""
    return EntryRecord(
        id=EntryId(number),
        submission=1,
        name=name,
        state=state,
        outcome=outcome,
        repository="/home/ada/project",
        baseline_rev=BASELINE,
        stash_rev=STASH,
        params={"train.lr": 0.2},
        command=None,
        experiment_rev=experiment_rev,
        submitted_at=1_750_000_000.25,
        started_at=started_at,
        ended_at=ended_at,
        exit_code=exit_code,
        log="/state/runs/1.log",
        waits_for=waits_for,
    )


def a_page(*entries: EntryRecord) -> EntryPage:
    """Give entries in one page."""
    return EntryPage(entries=entries)


def _next(peer: socket.socket, connection: Connection) -> Message | None:
    """Give the next message; None if the client has closed."""
    while isinstance(message := connection.next_message(), NeedData):
        try:
            data = peer.recv(65536)
        except ConnectionResetError:
            return None
        if not data:
            return None
        connection.receive_data(data)
    return message


def _wait_closed(peer: socket.socket) -> None:
    with contextlib.suppress(ConnectionResetError):
        while peer.recv(65536):
            pass
