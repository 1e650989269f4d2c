"""config.toml from the client's side: shown, checked, and read again while everything goes on."""

from pathlib import Path

from helpers.daemons import RunningDaemon, rows
from helpers.waiting import eventually


def test_settings_are_read_again_without_a_restart(daemon: RunningDaemon, repository: Path) -> None:
    """After `daemon reload` the same daemon goes by the new file: what it now forbids is refused."""
    before = daemon.expctl_json(repository, "daemon", "status")["pid"]
    (daemon.directory / "config.toml").write_text("sweep_points_max = 2\n")
    daemon.expctl(repository, "daemon", "reload")
    eventually(lambda: "the settings were read again" in daemon.journal(), "the daemon has read them")

    refused = daemon.run_expctl(repository, "submit", "-S", "train.lr=0.1,0.2,0.3")

    assert refused.returncode != 0
    assert b"more than 2 points" in refused.stderr
    assert daemon.expctl_json(repository, "daemon", "status")["pid"] == before


def test_settings_that_can_not_be_used_change_nothing(daemon: RunningDaemon, repository: Path) -> None:
    """`daemon reload` names the mistake and asks nobody; a daemon that is asked by a signal keeps what it had."""
    (daemon.directory / "config.toml").write_text("job = 2\n")

    reloaded = daemon.run_expctl(repository, "daemon", "reload")
    checked = daemon.run_expctl(repository, "config", "check")
    daemon.process.send_signal(1)
    eventually(lambda: "the settings stay as they were" in daemon.journal(), "the daemon has tried")

    assert (reloaded.returncode, checked.returncode) == (2, 2)
    assert b"unknown key 'job'" in reloaded.stderr
    assert daemon.expctl(repository, "submit", "--", "true")


def test_config_show_tells_where_each_value_comes_from(daemon: RunningDaemon, repository: Path) -> None:
    """The file, a variable of the environment, or the default: every key has its row."""
    daemon.environ["EXPD_SWEEP_POINTS_MAX"] = "7"
    shown = rows(daemon.expctl_json(repository, "config", "show"), "settings")
    by_key = {str(row["key"]): row for row in shown}

    assert by_key["jobs"] == {"key": "jobs", "value": 1, "default": 1, "from": "file"}
    assert by_key["sweep_points_max"]["from"] == "EXPD_SWEEP_POINTS_MAX"
    assert by_key["stage_jobs"]["from"] == "default"
    assert daemon.run_expctl(repository, "config", "check").stderr.endswith(b"config.toml: can be used\n")
