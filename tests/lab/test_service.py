"""The service in a real systemd: installed from a built wheel by an unprivileged user, started, stopped, killed, hung.

`tests/lab/systemd.sh` boots it in namespaces that are thrown away; nothing of it reaches the host.
"""

import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.lab import Lab, a_lab, why_no_lab
from helpers.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
NO_LAB = why_no_lab()
pytestmark = [pytest.mark.lab, pytest.mark.skipif(NO_LAB is not None, reason=NO_LAB or "")]

INSTALL = """
"{python}" -m venv --without-pip ~/venv
echo "{packages}" > ~/venv/lib/python{version}/site-packages/of_the_tests.pth
"{host}" -m uv --quiet --no-cache pip install --offline --no-deps --python ~/venv/bin/python "{wheel}"
mkdir -p ~/.local/bin && ln -s ~/venv/bin/expctl ~/venv/bin/expd ~/.local/bin
git config --global user.name Ada && git config --global user.email ada@example.org
git init --quiet ~/project && cd ~/project && echo a > a.txt && git add a.txt && git commit --quiet -m start
"""
_EXPOSURE = re.compile(r"an exposure of (\d+\.\d) of 10")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Give a lab in which this project is installed from its wheel, in a home of its own."""
    shared = tmp_path_factory.mktemp("shared")
    for directory in (shared, *shared.parents[:2]):
        directory.chmod(0o777 if directory == shared else 0o711)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(shared)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = shared.glob("*.whl")
    with a_lab(shared) as lab:
        lab.shell(
            INSTALL.format(
                python=Path(sys.executable).resolve(),
                version=f"{sys.version_info.major}.{sys.version_info.minor}",
                packages=sysconfig.get_path("purelib"),
                host=sys.executable,
                wheel=wheel,
            )
        )
        yield lab


@pytest.fixture
def service(lab: Lab) -> Iterator[Lab]:
    """Give the lab with the service installed, its socket listening, the daemon not started and its queue empty."""
    lab.shell("expctl service install")
    yield lab
    lab.shell(
        "EXPD_AUTOSTART=0 expctl daemon stop --now || :\n"
        "rm -rf ~/.config/systemd/user/expd.service.d; systemctl --user daemon-reload\n"
        "systemctl --user stop expd.socket expd.service || :\n"
        "systemctl --user kill --kill-whom=all -s KILL expd.service || :\n"
        "systemctl --user reset-failed expd.socket expd.service || :\n"
        "rm -rf ~/.local/state/expd ~/.config/expd ~/project/.git/expd\n"
        "cd ~/project; git for-each-ref --format='delete %(refname)' refs/exps refs/expd | git update-ref --stdin"
    )


def _gate(lab: Lab, name: str) -> Path:
    """Make a FIFO at which an experiment waits; both sides of the lab see it."""
    gate = lab.shared / name
    lab.shell(f"mkfifo {gate}")
    return gate


def _submit(lab: Lab, name: str, script: str) -> None:
    lab.shell(f"cd ~/project && expctl submit -n {name} -- sh -c '{script}'")


def _waiting(lab: Lab, name: str) -> Path:
    """Submit an experiment that has begun and waits at its gate."""
    gate = _gate(lab, name)
    _submit(lab, name, f"echo before; echo started > {gate}; cat {gate} > made.txt; echo after")
    lab.shell(f"read -r line < {gate}")
    return gate


def _finished(lab: Lab, name: str, gate: Path) -> dict[str, object]:
    """Let an experiment go on to its end, which must be a good one; gives its entry."""
    lab.shell(f"echo word > {gate}; cd ~/project; expctl wait {name}")
    assert lab.shell(f"cd ~/project; git show {name_ref(lab, name)}:made.txt") == "word"
    return _entry(lab, name)


def _entry(lab: Lab, name: str) -> dict[str, object]:
    document: dict[str, list[dict[str, object]]] = json.loads(lab.shell(f"cd ~/project; expctl status {name} --json"))
    (entry,) = document["entries"]
    return entry


def name_ref(lab: Lab, name: str) -> str:
    """Give the one ref of an experiment."""
    return lab.shell(f"cd ~/project; git for-each-ref --format='%(refname)' 'refs/exps/*/*/{name}'")


def _override(lab: Lab, text: str) -> None:
    """Change the unit for this test, as a person would by `systemctl --user edit`."""
    lab.shell(
        f"mkdir -p ~/.config/systemd/user/expd.service.d; printf '%s' '{text}' > ~/.config/systemd/user/expd.service.d/x.conf\n"
        "systemctl --user daemon-reload"
    )


def test_the_first_command_starts_the_service(service: Lab) -> None:
    """Installed, the socket listens and no daemon runs; the first `expctl` starts it, and systemd shows what it does."""
    before = service.fact("ActiveState")
    service.shell("expctl status")

    assert (before, service.fact("ActiveState")) == ("inactive", "active")
    assert service.fact("StatusText") == "0 running, 0 queued"
    assert service.shell("stat -c %a%F $XDG_RUNTIME_DIR/expd $XDG_RUNTIME_DIR/expd/expd.sock").split("\n") == [
        "700directory",
        "600socket",
    ]
    assert json.loads(service.shell("expctl service status --json"))["current"] is True


def test_installing_again_changes_nothing_and_removing_leaves_nothing(service: Lab) -> None:
    """`install` is done once; `uninstall` takes away what it wrote, and `expctl` starts its daemon by itself again."""
    again = service.user("expctl", "service", "install").stderr.splitlines()
    dry = service.user("expctl", "service", "uninstall", "--dry-run").stderr.splitlines()
    service.shell("expctl service uninstall")
    left = service.shell("find ~/.config/systemd -name 'expd*'")
    service.shell("expctl status; expctl daemon stop")

    assert again == ["nothing to do", again[-1]]
    assert [line.split()[1] for line in dry] == ["systemctl", "remove", "remove", "systemctl"]
    assert left == ""
    assert service.shell("ls ~/.local/state/expd/expd.log")


def test_a_daemon_that_runs_hands_over_to_the_service(service: Lab) -> None:
    """Installed while a daemon of `expctl` runs an experiment, the service takes that over."""
    service.shell("expctl service uninstall")
    gate = _waiting(service, "handed")
    service.shell("expctl service install")

    entry = _finished(service, "handed", gate)

    assert service.fact("ActiveState") == "active"
    assert (entry["attempt"], entry["outcome"]) == (1, "succeeded")


def test_what_runs_outlives_the_killed_and_the_restarted_service(service: Lab) -> None:
    """Killed, restarted and stopped, the daemon leaves the run alone: it ends once, with its result and an unbroken log."""
    gate = _waiting(service, "survivor")
    first = service.fact("MainPID")
    service.shell(f"kill -9 {first}; expctl status")  # answered by the next daemon, for which this connection waits
    second = service.fact("MainPID")
    service.shell("systemctl --user restart expd.service; expctl status")
    third = service.fact("MainPID")
    service.shell("systemctl --user stop expd.service")
    stopped = service.fact("ActiveState"), service.fact("Result")
    service.shell("expctl status")

    entry = _finished(service, "survivor", gate)

    assert len({first, second, third}) == 3
    assert stopped == ("inactive", "success")
    assert (entry["attempt"], entry["outcome"]) == (1, "succeeded")
    assert service.shell("cd ~/project; expctl follow survivor --raw").split("\n") == ["before", "after"]


def test_a_stopped_service_stays_stopped_while_its_runs_go_on(service: Lab) -> None:
    """A worker whose run ends after the stop does not wake the daemon by its connection; the next command has the result."""
    gate = _waiting(service, "quiet")
    service.shell("systemctl --user stop expd.service")
    service.shell(f"echo word > {gate}")
    eventually(lambda: service.shell("ls ~/.local/state/expd/runs").count(".outcome"), "the outcome is on the disk")
    state = service.fact("ActiveState")

    assert state == "inactive"
    assert service.user("sh", "-c", "cd ~/project; expctl wait quiet").returncode == 0


def test_connections_made_while_it_restarts_are_answered(service: Lab) -> None:
    """Of commands that come all the while the daemon is restarted, none fails."""
    service.shell("expctl status")

    said = service.shell(
        "for i in 1 2 3; do systemctl --user restart expd.service & for j in 1 2 3 4; do expctl status -q || echo failed; done; "
        "wait; done; echo through"
    )

    assert said == "through"


def test_a_daemon_that_hangs_is_replaced_and_the_run_unharmed(service: Lab) -> None:
    """A stopped process feeds no watchdog: it is killed and started again, and what runs goes on."""
    _override(service, "[Service]\nWatchdogSec=2\n")
    gate = _waiting(service, "unharmed")
    first = service.fact("MainPID")
    service.shell(f"kill -STOP {first}")
    eventually(lambda: service.fact("MainPID") not in {"0", first}, "the next daemon is there")

    entry = _finished(service, "unharmed", gate)

    assert "Watchdog timeout" in service.shell("journalctl --user -u expd.service --no-pager -o cat")
    assert (entry["attempt"], entry["outcome"]) == (1, "succeeded")


def test_what_fails_at_every_start_is_given_up_and_told(service: Lab) -> None:
    """After the start limit the service is failed; `expctl` says so with a way out, which works."""
    _override(service, "[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=50ms\n")
    service.user("systemctl", "--user", "start", "expd.service")
    eventually(lambda: service.fact("ActiveState") == "failed", "systemd gives up")
    told = service.user("expctl", "status")
    service.shell("rm -r ~/.config/systemd/user/expd.service.d; systemctl --user daemon-reload")
    service.shell("systemctl --user reset-failed expd.service expd.socket; expctl status")

    assert told.returncode == 3
    assert "systemctl --user reset-failed expd.service expd.socket" in told.stderr
    assert service.fact("ActiveState") == "active"


def test_wrong_settings_are_told_and_not_tried_again(service: Lab) -> None:
    """A config.toml that can't be used ends the start with its reason, at once, in the client's words too."""
    service.shell("mkdir -p ~/.config/expd; echo 'jobs = \"many\"' > ~/.config/expd/config.toml")
    told = service.user("expctl", "status")

    assert told.returncode == 3
    assert "jobs must be a whole number" in told.stderr
    assert service.fact("NRestarts") == "0"


def test_the_journal_has_priorities_and_the_ids_of_what_it_is_about(service: Lab) -> None:
    """`journalctl --user EXPD_RUN=1` finds the events of a run; they are of the daemon's unit and have a level."""
    _submit(service, "logged", "true")
    service.shell("cd ~/project; expctl wait logged")
    lines = service.shell("journalctl --user EXPD_RUN=1 -o json --no-pager").splitlines()
    events = [json.loads(line) for line in lines]

    assert {event["_SYSTEMD_USER_UNIT"] for event in events} == {"expd.service"}
    assert {event["PRIORITY"] for event in events} == {"6"}
    assert {event["EXPD_ENTRY"] for event in events} == {"1"}
    assert any("goes to worker" in event["MESSAGE"] for event in events)
    assert "run 1 of entry 1" in service.shell("expctl service logs -n 20")


def test_a_run_has_a_control_group_that_ends_with_it(service: Lab) -> None:
    """Worker and commands are in the run's own group, apart from the daemon; cancelled, nothing of it lives, and it is gone."""
    gate = _gate(service, "grouped")
    service.shell("mkdir -p ~/.config/expd; echo 'grace_seconds = 0.2' > ~/.config/expd/config.toml")
    _submit(
        service,
        "grouped",
        f'(setsid sh -c "trap : TERM INT; sleep 300; sleep 300" &); echo started > {gate}; sleep 300',
    )
    service.shell(f"read -r line < {gate}")
    group = f"/sys/fs/cgroup{service.fact('ControlGroup')}"
    below = service.shell(f"cd {group}; ls -d */").split()
    own = service.shell(f"cat {group}/cgroup.procs")
    count = len(service.shell(f"cat {group}/run-*/cgroup.procs").split())
    service.shell("cd ~/project; expctl cancel grouped; expctl wait grouped || :")

    assert [re.sub("-.*", "", name.rstrip("/")) for name in sorted(below)] == ["daemon", "run", "workers"]
    assert (own, count) == ("", 5)
    assert service.shell(f"ls -d {group}/run-* 2>/dev/null || echo none") == "none"


def test_a_frozen_run_stays_so_under_the_next_daemon(service: Lab) -> None:
    """The kernel freezes its group, and not its worker; the restarted service lets it go on, in the group, to its end."""
    gate = _waiting(service, "frozen")
    service.shell("expctl pause --freeze")
    events = f"/sys/fs/cgroup{service.fact('ControlGroup')}/run-*/cgroup.events"
    eventually(lambda: "frozen 1" in service.shell(f"cat {events}"), "it is frozen")
    service.shell("systemctl --user restart expd.service")
    told = _entry(service, "frozen")
    still = service.shell(f"cat {events}")
    service.shell("expctl resume")
    eventually(lambda: "frozen 0" in service.shell(f"cat {events}"), "it goes on")

    entry = _finished(service, "frozen", gate)

    assert (told["state"], told["waits_for"]) == ("running", "it is frozen: expctl resume")
    assert "frozen 1" in still
    assert (entry["attempt"], entry["outcome"]) == (1, "succeeded")


def test_systemd_has_nothing_to_say_about_the_installed_units(service: Lab) -> None:
    """Every setting is known to systemd, which would tell on stderr alone; what exposure it sees is that of a shell."""
    verified = service.user("systemd-analyze", "--user", "verify", "expd.service", "expd.socket")
    told = service.shell("systemd-analyze --user security expd.service --no-pager | tail -n 1")
    (exposure,) = [float(word) for word in told.split() if re.fullmatch(r"\d+\.\d", word)]

    assert (verified.returncode, verified.stderr) == (0, "")
    documented = _EXPOSURE.search((ROOT / "systemd" / "README.md").read_text())
    assert documented is not None
    assert exposure <= float(documented[1])


def test_an_upgrade_leaves_what_runs_alone(service: Lab) -> None:
    """Installed anew while an experiment runs, `expctl daemon restart` starts the new daemon, and the run ends well."""
    gate = _waiting(service, "upgraded")
    before = service.fact("MainPID")
    (wheel,) = service.shared.glob("*.whl")
    service.shell(
        f'"{sys.executable}" -m uv --quiet --no-cache pip install --offline --no-deps --reinstall --python ~/venv/bin/python "{wheel}"\n'
        "expctl daemon restart"
    )

    entry = _finished(service, "upgraded", gate)

    assert service.fact("MainPID") != before
    assert (entry["attempt"], entry["outcome"]) == (1, "succeeded")


def test_with_lingering_a_logout_changes_nothing(service: Lab) -> None:
    """A session that begins and ends leaves daemon and run as they are."""
    gate = _waiting(service, "lingering")
    before = service.fact("MainPID")
    service.root("runuser", "-l", "labuser", "-c", "true")

    entry = _finished(service, "lingering", gate)

    assert (service.fact("MainPID"), entry["attempt"]) == (before, 1)


def test_without_lingering_a_logout_ends_all_and_the_next_login_says_so(service: Lab) -> None:
    """The user's manager ends, and with it every process; when it is back, the run is not called running, and is told of."""
    gate = _waiting(service, "ended")
    service.root("loginctl", "disable-linger", "labuser")
    eventually(lambda: "inactive" in service.user_manager(), "the user's manager has ended")
    service.root("loginctl", "enable-linger", "labuser")
    eventually(lambda: service.user("systemctl", "--user", "is-active", "expd.socket").returncode == 0, "it is back")
    states = service.shell("cd ~/project; expctl status --json")

    entries = [entry for entry in json.loads(states)["entries"] if entry["name"] == "ended"]

    assert gate.exists()
    assert [entry["state"] == "running" and entry["attempt"] == 1 for entry in entries] == [False]


def test_the_service_reads_its_settings_again(service: Lab) -> None:
    """`systemctl --user reload` has the running daemon read config.toml, and systemd goes on calling it running."""
    service.shell("expctl status; mkdir -p ~/.config/expd; echo 'stage_jobs = 2' > ~/.config/expd/config.toml")
    before = service.fact("MainPID")
    service.shell("systemctl --user reload expd.service")
    eventually(lambda: "the settings were read again" in service.journal(), "the daemon has read them")

    assert (service.fact("ActiveState"), service.fact("MainPID")) == ("active", before)
