"""The two ways a command ends early: as data. The words for them are in `failures`, and nowhere else."""

from __future__ import annotations

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Mapping


NO_DAEMON = "no_daemon"
"""Nobody listens at `socket`, and starting a daemon was not asked for or is forbidden: `why`."""
DAEMON_FAILED = "daemon_failed"
"""A daemon was started and ended with `exit_code` before it listened; `log` and its last lines `tail`."""
DAEMON_SLOW = "daemon_slow"
"""A daemon was started, or another has the lock, and none answered within `seconds`: `log`."""
DAEMON_SILENT = "daemon_silent"
"""The process `pid` accepted the connection and did not greet within `seconds`."""
DAEMON_LOST = "daemon_lost"
"""The connection broke `times` times before the answer to `request` came."""
UNSAFE_DIRECTORY = "unsafe_directory"
"""The directory `path` can't hold the socket: `what`."""
SOCKET_DENIED = "socket_denied"
"""The socket `socket` can't be used: `what`."""
NOT_TEXT = "not_text"
"""Something that must be sent as text is not valid UTF-8."""
NO_SUCH_COMMAND = "no_such_command"
"""The verb `verb` does not exist; `near` is the nearest, or empty."""
NOTHING_TO_FOLLOW = "nothing_to_follow"
"""No entry was named and not exactly one runs: `candidates`."""
TIMEOUT = "timeout"
"""`--timeout` was reached after `seconds`."""
NO_DIRECTORY = "no_directory"
"""The name `name` can't be a directory's, so `get` needs -o."""
BAD_SETTINGS = "bad_settings"
"""The settings can't be used: `what`."""
SERVICE_REFUSED = "service_refused"
"""The service can't be installed, looked at or removed here: `why`, and `hint`. Nothing was changed."""
SERVICE_FAILED = "service_failed"
"""The user's service manager refused: `what` in its words, and what the service said last, `tail`."""

LOCAL_CODES = frozenset(value for name, value in globals().items() if name.isupper() and isinstance(value, str))


class Trouble(Exception):
    """A command can't be done: `code` is one of the above or of `expproto.errors`, `data` what its sentence needs."""

    def __init__(self, code: str, data: Mapping[str, object] | None = None) -> None:
        super().__init__(code, data)
        self.code = code
        self.data: Mapping[str, object] = data or {}


class DisconnectedError(Exception):
    """The connection ended before the answer: the caller asks again or gives up."""
