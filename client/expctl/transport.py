"""One blocking socket to the daemon, as maps: greeted, asked, answered; a daemon is started if nobody listens.

Stands on the light core of expproto (`frames`, `plain_codec`, `errors`, `address`) and on `_socket`, the C module under
`socket`, whose Python part costs 7 ms for names this file does not need.
"""

from __future__ import annotations

import _socket
import errno
import os
import sys
import time

from expctl import requests
from expctl.trouble import (
    DAEMON_LOST,
    DAEMON_SILENT,
    NO_DAEMON,
    NOT_TEXT,
    SOCKET_DENIED,
    DisconnectedError,
    Trouble,
)
from expproto import PROTOCOL_VERSION, VERSION
from expproto.address import SERVING_NAME, SOCKET_PATH_BYTES_MAX, runtime_directory, socket_path
from expproto.errors import BAD_MESSAGE, OUT_OF_TURN, TOO_LARGE, VERSION_MISMATCH, RemoteProtocolError
from expproto.frames import FRAME_BYTES_MAX, FrameReader, encode_frame
from expproto.plain_codec import encode

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

SHORT_BYTES = 32 * 1024
"""Bodies up to here are read in plain Python: importing msgpack costs more instructions than it saves on about 40 kB."""
RECEIVE_BYTES = 64 * 1024
"""What the daemon puts into one Output."""
HELLO_SECONDS = 30.0
"""A daemon that systemd starts on our connect has to read its store before it greets; longer than this it hangs."""
IDLE_SECONDS = 1.0
"""How often a clock on a screen moves on."""
BREAKS_MAX = 5
"""Connections in a row that end without one message: beyond, the daemon dies of what we ask."""
BACK_DEADLINE_SECONDS = 10.0
"""How long a supervisor may take to bring back a daemon that we may not start."""
BACK_PAUSE_SECONDS = 0.05
ROOT = 0
"""Whoever is root can read our environment without asking."""

_ENTRIES, _NOTHING = frozenset({"entry_page"}), frozenset[str]()
ANSWERS = {
    "submit": (_ENTRIES | {"point_page"}, {"submitted", "previewed"}),
    "explain": (frozenset({"capture_page"}), {"explained"}),
    "status": (_ENTRIES, {"listed"}),
    "wait": (_ENTRIES, {"waited"}),
    "cancel": (_ENTRIES, {"cancel_accepted"}),
    "release": (_ENTRIES, {"entries_changed"}),
    "export": (_NOTHING, {"exported"}),
    "import": (_ENTRIES, {"submitted"}),
    "retry": (_ENTRIES, {"entries_changed"}),
    "resume_runs": (_ENTRIES, {"entries_changed"}),
    "verify": (_ENTRIES, {"verified"}),
    "remove": (_ENTRIES, {"entries_removed"}),
    "rename": (_ENTRIES, {"entries_changed"}),
    "restore": (_NOTHING, {"restored"}),
    "show": (frozenset({"experiment_page"}), {"shown"}),
    "inspect": (_NOTHING, {"inspected"}),
    "why": (_NOTHING, {"diagnosed"}),
    "get": (_NOTHING, {"fetched"}),
    "follow": (
        frozenset({"output", "stored_output", "mark", "entry_progress", "attempt_ended", "ended"}),
        {"followed"},
    ),
    "doctor": (_NOTHING, {"examined"}),
    "gc": (_NOTHING, {"garbage_collected"}),
    "hold": (_ENTRIES, {"entries_changed"}),
    "run_now": (_ENTRIES, {"entries_changed"}),
    "edit": (_ENTRIES, {"entries_changed"}),
    "move": (_ENTRIES, {"entries_changed"}),
    "add_group": (_NOTHING, {"pool_shown"}),
    "remove_group": (_NOTHING, {"pool_shown"}),
    "pause": (_NOTHING, {"pool_shown"}),
    "resume": (_NOTHING, {"pool_shown"}),
    "set_jobs": (_NOTHING, {"pool_shown"}),
    "engines": (_NOTHING, {"engines_shown"}),
    "ask_daemon": (_NOTHING, {"daemon_shown"}),
    "stop": (_NOTHING, {"stopping"}),
}
"""For each request the events and the replies that answer it."""
_NOBODY = frozenset({errno.ENOENT, errno.ECONNREFUSED})
"""No socket there, or one that its daemon left behind."""

Message = dict[str, object]


class Link:
    """One greeted connection. Use as a context manager."""

    def __init__(self, connection: _socket.socket) -> None:
        self._connection = connection
        self._frames = FrameReader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def greet(self) -> None:
        """Exchange Hellos; raises Trouble if the other side is not a daemon of our protocol, and of our user."""
        pid = self._check_owner()
        self._connection.settimeout(HELLO_SECONDS)
        self.send(requests.hello())
        try:
            peer = self.receive()
        except TimeoutError:
            raise Trouble(DAEMON_SILENT, {"seconds": HELLO_SECONDS, "pid": serving_pid() or pid}) from None
        self._connection.settimeout(None)
        if peer["kind"] != "hello" or peer.get("role") != "daemon":
            raise RemoteProtocolError(OUT_OF_TURN, "the daemon did not greet")
        if peer.get("protocol") != PROTOCOL_VERSION:
            theirs = {
                "daemon_version": peer.get("version"),
                "daemon_protocol": peer.get("protocol"),
                "pid": serving_pid() or pid,
            }
            raise Trouble(VERSION_MISMATCH, {**theirs, "version": VERSION, "protocol": PROTOCOL_VERSION})

    def converse(
        self, request: Message, deadline: float | None = None, *, idle: Callable[[], None] | None = None
    ) -> Iterator[Message]:
        """Ask, and give the events and then the reply; raises TimeoutError at the deadline.

        Without a deadline `idle` is called, if there is one, whenever nothing has come for a second.
        """
        self.send(request)
        events, replies = ANSWERS[str(request["kind"])]
        while True:
            if idle is not None and deadline is None:
                message = self._receive_patiently(idle)
            else:
                message = self.receive(None if deadline is None else deadline - time.monotonic())
            if message["kind"] not in replies and message["kind"] not in events:
                raise RemoteProtocolError(OUT_OF_TURN, f"{message['kind']} answered {request['kind']}")
            yield message
            if message["kind"] in replies:
                return

    def _receive_patiently(self, idle: Callable[[], None]) -> Message:
        while True:
            try:
                return self.receive(IDLE_SECONDS)
            except TimeoutError:
                idle()

    def send(self, request: Message) -> None:
        """Send one message; what the daemon said before it closed is still read by `receive`."""
        try:
            self._connection.sendall(_to_bytes(request))
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self, seconds: float | None = None) -> Message:
        """Give the next message; a Refusal is raised as Trouble, the end of the connection as DisconnectedError."""
        if seconds is not None:
            self._connection.settimeout(max(seconds, 0.001))
        while (body := self._frames.next_frame()) is None:
            try:
                data = self._connection.recv(RECEIVE_BYTES)
            except ConnectionResetError:
                data = b""
            if not data:
                raise DisconnectedError
            self._frames.receive_data(data)
        message = _from_bytes(body)
        if message.get("kind") == "refusal":
            raise _refused(message)
        if not isinstance(message.get("kind"), str):
            raise RemoteProtocolError(BAD_MESSAGE, "a message without a kind")
        return message

    def wait_closed(self) -> None:
        """Return when the daemon has closed the connection."""
        try:
            self.receive()
        except (DisconnectedError, Trouble):
            return

    def _check_owner(self) -> int:
        """Refuse a daemon of somebody else: it would be given our environment, and what is in it."""
        credentials = self._connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        pid, uid = (int.from_bytes(credentials[start : start + 4], sys.byteorder) for start in (0, 4))
        if uid not in {os.geteuid(), ROOT}:
            raise Trouble(SOCKET_DENIED, {"socket": address(), "what": f"it belongs to a process of user {uid}"})
        return pid


def serving_pid() -> int | None:
    """Give the daemon's process as its file beside the socket names it: the socket itself may be that of systemd."""
    try:
        with open(f"{runtime_directory(os.environ)}/{SERVING_NAME}", encoding="ascii") as file:  # noqa: PTH123 - pathlib costs 10 ms
            _boot_id, pid, _start_ticks = file.read(1024).split()
        return int(pid)
    except (OSError, ValueError):
        return None


def address() -> str:
    """Give the socket's path; raises Trouble if there can be no socket there."""
    path = socket_path(os.environ)
    if not path.startswith("/"):
        raise Trouble(SOCKET_DENIED, {"socket": path, "what": "the path is not absolute"})
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES_MAX:
        what = f"the path has {length} bytes, the system allows {SOCKET_PATH_BYTES_MAX}"
        raise Trouble(SOCKET_DENIED, {"socket": path, "what": what})
    return path


def connect() -> Link:
    """Give a greeted connection to the daemon, starting one if nobody listens."""
    connection = dial()
    if connection is None:
        from expctl.start import start_daemon  # noqa: PLC0415 - starting takes subprocess and more, and is rare

        connection = start_daemon().connection
    return greeted(connection)


def connect_only() -> Link | None:
    """Give a greeted connection, or None if nobody listens."""
    connection = dial()
    return None if connection is None else greeted(connection)


def dial() -> _socket.socket | None:
    """Connect, without a word said; None if nobody listens."""
    path = address()
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError as error:
        connection.close()
        if error.errno in _NOBODY:
            return None
        raise Trouble(SOCKET_DENIED, {"socket": path, "what": error.strerror}) from error
    return connection


def greeted(connection: _socket.socket) -> Link:
    """Greet over a new connection; closes it if that fails."""
    link = Link(connection)
    try:
        link.greet()
    except BaseException:
        connection.close()
        raise
    return link


def reconnect() -> Link:
    """Connect after a connection broke; where we may not start a daemon, waits a little for whoever does."""
    try:
        return connect()
    except Trouble as trouble:
        if trouble.code != NO_DAEMON:
            raise
        return _wait_for_supervisor(trouble)


def _wait_for_supervisor(trouble: Trouble) -> Link:
    """Try for a while: whoever forbids us to start a daemon has something else that does."""
    deadline = time.monotonic() + BACK_DEADLINE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(BACK_PAUSE_SECONDS)
        link = connect_only()
        if link is not None:
            return link
    raise trouble


def ask(
    request: Message, *, deadline: float | None = None, hear: Callable[[Message], None] | None = None
) -> tuple[list[Message], Message]:
    """Give the events and the reply to one request; asks again, with the same map, if the connection breaks.

    `hear` is given each message as it comes; those of a connection that breaks come again.

    Every request may be asked twice: Submit carries its id, and the others lead to the same state.
    """
    breaks = 0
    while True:
        try:
            with reconnect() if breaks else connect() as link:
                messages = list[Message]()
                for message in link.converse(request, deadline):
                    messages.append(message)
                    if hear is not None:
                        hear(message)
                return messages[:-1], messages[-1]
        except DisconnectedError:
            breaks += 1
            if breaks > BREAKS_MAX:
                raise Trouble(DAEMON_LOST, {"times": breaks, "request": request["kind"]}) from None


def _refused(message: Message) -> Trouble:
    code, data = message.get("code"), message.get("data")
    if not isinstance(code, str) or not isinstance(data, dict):
        raise RemoteProtocolError(BAD_MESSAGE, "a refusal without code or data")
    return Trouble(code, data)


def _from_bytes(body: bytes) -> Message:
    if len(body) <= SHORT_BYTES:
        from expproto.plain_codec import decode  # noqa: PLC0415 - one of the two
    else:
        from expproto.codec import decode  # noqa: PLC0415 - costs more than all else of a short command
    return decode(body)


def _to_bytes(request: Message) -> bytes:
    try:
        body = encode(request)
    except UnicodeEncodeError as error:
        raise Trouble(NOT_TEXT, {"text": error.object}) from None
    if len(body) > FRAME_BYTES_MAX:
        what = "the request: arguments and environment together"
        raise Trouble(TOO_LARGE, {"what": what, "limit": FRAME_BYTES_MAX, "found": len(body)})
    return encode_frame(body)
