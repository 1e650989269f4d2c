"""The client in this process, at a socket of its own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from expctl import cli


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, object]:
        """Read stdout as the one JSON document it has to be."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


class Expctl(Protocol):
    """Runs one command line."""

    def __call__(self, *argv: str) -> Ran:
        """Run it."""


@pytest.fixture
def sock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the path of the socket that the client will use; nobody listens yet, and none may be started."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("EXPD_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("EXPD_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("EXPD_AUTOSTART", "0")
    return runtime / "expd.sock"


@pytest.fixture
def expctl(capfd: pytest.CaptureFixture[str]) -> Expctl:
    """Run one command line in this process and give what it wrote."""

    def run(*argv: str) -> Ran:
        code = cli.run(list(argv))
        captured = capfd.readouterr()
        return Ran(code=code, out=captured.out, err=captured.err)

    return run
