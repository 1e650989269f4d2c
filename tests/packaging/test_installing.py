"""Installed from its wheel by pip, pipx and uv into a home of its own: both programs, the manual, completions, the unit.

No registry is asked: the dependencies are those of the test environment, behind wheels that hold nothing but their names.
"""

import base64
import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.install
SECONDS = 120

BASH = "share/bash-completion/completions/expctl"
SHARED = (
    "share/man/man1/expctl.1",
    "share/man/man1/expd.1",
    BASH,
    "share/zsh/site-functions/_expctl",
    "share/fish/vendor_completions.d/expctl.fish",
)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory with our wheel and one for each dependency."""
    directory = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(_ours(directory)) as wheel:
        (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        text = wheel.read(metadata).decode()
    needed = re.findall(r"^Requires-Dist: ([A-Za-z0-9._-]+)(?!.*extra ==)", text, re.MULTILINE)
    for number, name in enumerate(needed):
        _stand_in(directory, name, {"of_the_tests.pth": f"{sysconfig.get_path('purelib')}\n"} if number == 0 else {})
    return directory


def _ours(directory: Path) -> Path:
    (wheel,) = directory.glob("expd-*.whl")
    return wheel


def _stand_in(directory: Path, name: str, files: dict[str, str]) -> None:
    """Make a wheel of a dependency's name and version, with these files in it."""
    version, stem = importlib.metadata.version(name), re.sub("[-_.]+", "_", name).lower()
    info = f"{stem}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},{_digest(text)},{len(text)}\n" for path, text in files.items()) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(directory / f"{stem}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)


def _pack_pip(directory: Path) -> None:
    """Make the installed pip a wheel again: pipx gives one to the environments that it makes."""
    files = importlib.metadata.files("pip") or []
    with zipfile.ZipFile(directory / f"pip-{importlib.metadata.version('pip')}-py3-none-any.whl", "w") as wheel:
        for file in files:
            if not str(file).startswith("..") and "__pycache__" not in str(file):
                wheel.write(file.locate(), str(file))


def _digest(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


class Home:
    """A fresh home, what its programs see, and how they are run."""

    def __init__(self, directory: Path, wheels: Path) -> None:
        self.directory = directory
        self.wheels = wheels
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("EXPD_", "XDG_", "PYTHON", "UV_", "PIP"))
        }
        self.environ = {
            **kept,
            "HOME": str(directory),
            "PATH": f"{directory}/.local/bin:/usr/bin:/bin",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
            "UV_OFFLINE": "1",
            "UV_NO_INDEX": "1",
            "UV_FIND_LINKS": str(wheels),
            "UV_CACHE_DIR": str(directory / "cache"),
        }

    def run(self, *argv: str | Path) -> str:
        """Run a program, which must succeed; gives what it printed."""
        ended = subprocess.run(
            argv, cwd=self.directory, env=self.environ, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert ended.returncode == 0, f"{argv}: {ended.stdout}{ended.stderr}"
        return ended.stdout


def _by_pip(home: Home) -> tuple[Path, Path]:
    """Install into a virtual environment; gives where programs are, and what is beside them."""
    venv = home.directory / "venv"
    home.run(sys.executable, "-m", "venv", venv)
    home.run(
        venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", _ours(home.wheels)
    )
    return venv / "bin", venv


def _by_uv(home: Home) -> tuple[Path, Path]:
    home.run(sys.executable, "-m", "uv", "tool", "install", "--python", sys.executable, _ours(home.wheels))
    return home.directory / ".local/bin", home.directory / ".local/share/uv/tools/expd"


def _by_pipx(home: Home) -> tuple[Path, Path]:
    _pack_pip(home.wheels)
    home.run(sys.executable, "-m", "pipx", "install", "--python", sys.executable, _ours(home.wheels))
    return home.directory / ".local/bin", home.directory / ".local/share/pipx/venvs/expd"


@pytest.mark.parametrize("install", [_by_pip, _by_pipx, _by_uv])
def test_an_installation_has_all_its_parts(
    tmp_path: Path, wheels: Path, install: Callable[[Home], tuple[Path, Path]]
) -> None:
    """Both programs run, man page and completions are there, and the unit starts this installation's own daemon."""
    home = Home(tmp_path, wheels)
    programs, beside = install(home)

    versions = home.run(programs / "expctl", "--version"), home.run(programs / "expd", "--version")
    unit = home.run(programs / "expctl", "service", "install", "--print")
    (command,) = re.findall("^ExecStart=(.*)$", unit, re.MULTILINE)
    home.run(programs / "expctl", "man", "--install")
    home.run(programs / "expctl", "completion", "bash", "--install")

    assert versions == ("expctl 0.1.0\n", "expd 0.1.0\n")
    assert [path for path in SHARED if not (beside / path).is_file()] == []
    assert home.run(programs / "expctl", "man") == (beside / SHARED[0]).read_text()
    assert home.run(*command.split(), "--version") == "expd 0.1.0\n"
    assert Path(command.split()[0]).is_relative_to(tmp_path)
    assert (tmp_path / ".local" / BASH).read_text() == (beside / BASH).read_text()
