"""`expctl service` and what it writes, without any systemd: the text of the units, and what is refused before it is asked."""

import shutil
import subprocess
from pathlib import Path

import pytest

from client.conftest import Expctl
from expctl import installation, systemd
from expctl.units import HEADER, SERVICE, SOCKET, unit_files

SHOWN = Path(__file__).parent.parent.parent / "systemd"


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a configuration directory of its own; no service manager can be reached."""
    for name in ("EXPD_RUNTIME_DIR", "XDG_RUNTIME_DIR", "EXPD_STATE_DIR", "XDG_STATE_HOME", "EXPD_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EXPD_AUTOSTART", "0")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "systemd" / "user"


@pytest.mark.parametrize("name", [SERVICE, SOCKET])
def test_the_units_shown_are_those_that_are_written(name: str) -> None:
    """What `systemd/` holds is what an installation below ~/.local gets, but for the line that marks it as ours."""
    written = unit_files(["%h/.local/bin/expd"], {})[name].replace("%%h", "%h")

    assert written == HEADER + (SHOWN / name).read_text()


def test_every_line_of_the_units_has_its_reason() -> None:
    """No setting stands in a unit that systemd/README.md doesn't explain."""
    reasons = (SHOWN / "README.md").read_text()
    settings = [line for name in (SERVICE, SOCKET) for line in (SHOWN / name).read_text().splitlines() if "=" in line]

    assert [line for line in settings if f"`{line}`" not in reasons] == []


def test_programs_and_values_are_quoted_for_systemd() -> None:
    """A path with spaces, percent and dollar signs is one word, and stands for itself."""
    service = unit_files(["/a b/50%/$x/expd", "-m"], {"XDG_STATE_HOME": "/s t/100%/$y"})[SERVICE]

    assert 'ExecStart="/a b/50%%/$$x/expd" -m\n' in service
    assert 'Environment="XDG_STATE_HOME=/s t/100%%/$y"\n' in service


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_has_nothing_to_say_about_the_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`systemd-analyze verify` tells of unknown settings on stderr, and exits with 0 all the same: not a word is allowed."""
    program = tmp_path / "a dir" / "expd"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for name, text in unit_files([str(program)], {"XDG_STATE_HOME": "/s t/%"}).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "run" / "systemd").mkdir(parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))

    ended = subprocess.run(
        ["systemd-analyze", "--user", "verify", tmp_path / SERVICE, tmp_path / SOCKET],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_units_are_printed_with_a_program_that_is_there(expctl: Expctl, surroundings: Path) -> None:
    """`--print` writes nothing, and what the service would start can be started."""
    ran = expctl("service", "install", "--print")
    (line,) = [line for line in ran.out.splitlines() if line.startswith("ExecStart=")]
    command = [*line.removeprefix("ExecStart=").split(), "--version"]

    assert ran.code == 0
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("expd ")
    assert not surroundings.exists()


def test_what_client_and_daemon_must_agree_on_is_passed_on(expctl: Expctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this shell says that settings and state are, the service looks too."""
    monkeypatch.setenv("EXPD_STATE_DIR", "/state here")

    assert 'Environment="EXPD_STATE_DIR=/state here"' in expctl("service", "install", "--print").out


def test_without_systemd_nothing_is_installed(
    expctl: Expctl, surroundings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no service manager can be reached, that is said, and that none is needed."""
    monkeypatch.setattr(installation, "_temporary_directories", set)
    ran = expctl("service", "install")

    assert ran.code == 5
    assert ran.err.startswith("expctl: no service manager of this user can be reached: ")
    assert ran.err.endswith("; nothing was changed\n  expctl starts the daemon by itself where it is needed\n")
    assert not surroundings.exists()


@pytest.mark.parametrize(
    ("place", "word"),
    [
        (".cache/uv/archive-v0/abc", "uvx"),
        (".cache/uv/environments-v2/abc", "uvx"),
        (".cache/pipx/abc", "pipx run"),
        (".local/share/pipx/.cache/abc", "pipx run"),
    ],
)
def test_an_installation_for_one_call_is_refused(
    expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, word: str
) -> None:
    """A service must not start a program that a cache may drop tomorrow; what to install instead is said."""
    monkeypatch.setattr(installation, "_temporary_directories", set)
    monkeypatch.setattr("sys.prefix", str(tmp_path / "home" / place))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    ran = expctl("service", "install")

    assert (ran.code, word in ran.err, "uv tool install expd" in ran.err) == (5, True, True)


def test_an_installation_in_a_temporary_directory_is_refused(
    expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/tmp is emptied at the next boot, and with it what the service would start."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("sys.prefix", str(tmp_path / "venv"))

    assert "temporary files" in expctl("service", "install").err


def test_a_unit_of_somebody_else_is_left_alone(
    expctl: Expctl, surroundings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What expctl did not write it neither writes over nor removes."""
    surroundings.mkdir(parents=True)
    (surroundings / SERVICE).write_text("[Service]\nExecStart=/mine\n")
    monkeypatch.setattr(installation, "_temporary_directories", set)
    monkeypatch.setattr(systemd, "is_there", lambda: True)

    installed, removed = expctl("service", "install"), expctl("service", "uninstall", "--dry-run")

    assert (installed.code, "was not written by expctl" in installed.err) == (5, True)
    assert (removed.code, "left alone" in removed.err) == (0, True)
    assert (surroundings / SERVICE).read_text() == "[Service]\nExecStart=/mine\n"


def test_our_units_are_removed_also_without_systemd(expctl: Expctl, surroundings: Path) -> None:
    """Files that expctl wrote go, whoever runs now; a second time there is nothing to do."""
    surroundings.mkdir(parents=True)
    for name, text in unit_files(["expd"], {}).items():
        (surroundings / name).write_text(text)

    first, second = expctl("service", "uninstall"), expctl("service", "uninstall")

    assert [line.split()[0] for line in first.err.splitlines()] == ["remove", "remove", "what"]
    assert (list(surroundings.iterdir()), second.err) == ([], "nothing to do\n")


def test_status_tells_that_no_service_is_needed(expctl: Expctl) -> None:
    """Without a service its state is shown as data, and in words what happens instead."""
    ran = expctl("service", "status", "--json")

    assert {"installed": False, "service": "inactive", "pid": None}.items() <= ran.document.items()
    assert "expctl starts the daemon by itself" in expctl("service", "status").err


@pytest.mark.parametrize(
    "argv", [["status", "--print"], ["install", "-f"], ["logs", "--dry-run"], ["install", "-n", "3"], ["enable"], []]
)
def test_service_wants_what_makes_sense(expctl: Expctl, argv: list[str]) -> None:
    """An option of another action is wrong usage, and names where it belongs."""
    assert expctl("service", *argv).code == 2
