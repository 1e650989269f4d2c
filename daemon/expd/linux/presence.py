"""Whether a daemon serves a socket: told by a file beside it, which names the daemon's process.

The socket alone does not tell. Where systemd holds it, it accepts connections when no daemon runs, and a connection
starts one: that is a wish of clients, never of a worker that merely outlives a daemon somebody stopped.
"""

import contextlib
import os
from pathlib import Path

from expd.linux.processes import ProcessIdentity, identity_of
from expproto.address import SERVING_NAME


def announce(socket_path: Path) -> None:
    """Say that this process serves the socket, now; whoever watches the directory wakes up."""
    me = identity_of(os.getpid())
    assert me is not None
    temporary = socket_path.with_name(f".{SERVING_NAME}.{os.getpid()}")
    temporary.write_text(f"{me.boot_id} {me.pid} {me.start_ticks}\n", encoding="ascii")
    temporary.rename(socket_path.with_name(SERVING_NAME))


def withdraw(socket_path: Path) -> None:
    """Say no longer that anybody serves the socket."""
    socket_path.with_name(SERVING_NAME).unlink(missing_ok=True)


def server_of(socket_path: Path) -> ProcessIdentity | None:
    """Give the daemon that announced itself, if it lives; blocks for no longer than reading two small files."""
    with contextlib.suppress(OSError, ValueError):
        boot_id, pid, start_ticks = socket_path.with_name(SERVING_NAME).read_text(encoding="ascii").split()
        daemon = ProcessIdentity(boot_id=boot_id, pid=int(pid), start_ticks=int(start_ticks))
        return daemon if daemon.is_alive() else None
    return None
