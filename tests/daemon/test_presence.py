"""Whether a daemon serves a socket, as its file beside the socket tells."""

from pathlib import Path

from expd.linux.presence import announce, is_served, withdraw


def test_a_daemon_serves_from_announcing_to_withdrawing(tmp_path: Path) -> None:
    """Before it has said so, and after it has taken that back, nobody serves the socket."""
    path = tmp_path / "expd.sock"
    before = is_served(path)
    announce(path)
    meanwhile = is_served(path)
    withdraw(path)

    assert (before, meanwhile, is_served(path)) == (False, True, False)


def test_a_daemon_that_died_serves_nothing(tmp_path: Path) -> None:
    """What a daemon of another boot, or with another start time, has left behind is not believed; nor is rubbish."""
    path = tmp_path / "expd.sock"
    announce(path)
    boot, pid, ticks = (tmp_path / "expd.serving").read_text().split()
    answers = []
    for text in (f"x{boot} {pid} {ticks}", f"{boot} {pid} {int(ticks) + 1}", "", "a b c d", f"{boot} x {ticks}"):
        (tmp_path / "expd.serving").write_text(text)
        answers.append(is_served(path))

    assert answers == [False] * 5
