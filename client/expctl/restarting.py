"""The end of a daemon whose version is another: it may not understand us, so the service manager or a signal ends it."""

import os
import select
import signal

from expctl.requests import stop
from expctl.systemd import insist, serves_us
from expctl.transport import connect_only, serving_pid
from expctl.trouble import DAEMON_SILENT, Trouble
from expctl.units import SERVICE
from expproto.errors import VERSION_MISMATCH

END_SECONDS = 60.0
"""A daemon that leaves what runs ends in less than five; one that drains on SIGTERM, as older ones do, takes longer."""


def restart_service() -> bool:
    """Restart the service, if the daemon is one; False if it is none."""
    if not serves_us():
        return False
    insist("restart", SERVICE)
    return True


def end_daemon() -> bool:
    """End the daemon that listens, of whatever version, and wait until it has gone; False if none listened.

    What runs goes on. Raises Trouble if it does not end.
    """
    try:
        link = connect_only()
    except Trouble as trouble:
        pid = serving_pid()  # never the process behind the socket, which may be systemd
        if trouble.code != VERSION_MISMATCH or pid is None:
            raise
        _terminate(pid)
        return True
    if link is None:
        return False
    with link:
        list(link.converse(stop("leave")))
        link.wait_closed()
    return True


def _terminate(pid: int) -> None:
    """End a process by SIGTERM, and wait until it has gone. The kernel lets us end our own user's alone."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        if not select.select([process], [], [], END_SECONDS)[0]:
            raise Trouble(DAEMON_SILENT, {"seconds": END_SECONDS, "pid": pid})
    except ProcessLookupError:
        return
    finally:
        os.close(process)
