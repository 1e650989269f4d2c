"""A pack that a disk has cut short: everybody hears which one it is, nothing is lost, and all goes on when it is back."""

from pathlib import Path

from helpers.daemons import a_daemon
from helpers.repositories import a_repository, git


def test_a_truncated_pack_is_named_and_costs_nothing_but_time(tmp_path: Path) -> None:
    """A capture, a run and the doctor name it, status answers; brought back, what failed runs and what was held is whole."""
    repository = a_repository(tmp_path / "project")
    with a_daemon() as daemon:
        daemon.expctl(repository, "submit", "--hold", "-n", "before")
        git(repository, "gc", "--quiet")
        (pack,) = (repository / ".git" / "objects" / "pack").glob("*.pack")
        whole = pack.read_bytes()
        pack.chmod(0o644)
        pack.write_bytes(whole[: len(whole) // 2])

        submitted = daemon.run_expctl(repository, "submit", "-n", "new")
        daemon.expctl(repository, "release", "before")
        daemon.run_expctl(repository, "wait", "before")
        ended = daemon.entries(repository)
        examined = daemon.run_expctl(repository, "doctor")

        assert submitted.returncode == 6
        assert [str(entry["name"]) for entry in ended] == ["before"]
        for said in (submitted.stderr.decode(), daemon.expctl(repository, "why", "before"), examined.stdout.decode()):
            assert str(pack) in said

        pack.write_bytes(whole)
        daemon.stop()
        daemon.restart()
        daemon.expctl(repository, "retry", "before")
        daemon.expctl(repository, "submit", "-n", "new")
        daemon.expctl(repository, "wait")
        assert [entry["outcome"] for entry in daemon.entries(repository)] == ["succeeded", "succeeded"]
        assert git(repository, "fsck", "--full", "--no-dangling") == ""
