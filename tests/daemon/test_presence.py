"""Whether a daemon serves a socket, as its file beside the socket tells."""

import os
from pathlib import Path

from expd.linux.presence import announce, server_of, withdraw
from expd.linux.processes import identity_of


def test_a_daemon_serves_from_announcing_to_withdrawing(tmp_path: Path) -> None:
    """Before it has said so, and after it has taken that back, nobody serves the socket."""
    path = tmp_path / "expd.sock"
    before = server_of(path)
    announce(path)
    meanwhile = server_of(path)
    withdraw(path)

    assert (before, meanwhile, server_of(path)) == (None, identity_of(os.getpid()), None)


def test_a_daemon_that_died_serves_nothing(tmp_path: Path) -> None:
    """What a daemon of another boot, or with another start time, has left behind is not believed; nor is rubbish."""
    path = tmp_path / "expd.sock"
    announce(path)
    boot, pid, ticks = (tmp_path / "expd.serving").read_text().split()
    answers = []
    for text in (f"x{boot} {pid} {ticks}", f"{boot} {pid} {int(ticks) + 1}", "", "a b c d", f"{boot} x {ticks}"):
        (tmp_path / "expd.serving").write_text(text)
        answers.append(server_of(path))

    assert answers == [None] * 5
