"""What the fast commands import: a millisecond each, paid at every prompt."""

import subprocess
import sys
from pathlib import Path

import pytest

from client.scripted import BASELINE, RESULT, Step, a_page, an_entry, serving
from expproto.records import ExperimentRecord
from expproto.replies import CancelAccepted, ExperimentPage, Listed, Shown, Submitted

HEAVY = {
    "argparse", "asyncio", "collections", "dataclasses", "datetime", "difflib", "email", "hydra", "importlib", "inspect", "json", "logging", "msgpack", "pathlib", "psutil", "pygit2", "re",
    "rich", "ruamel", "selectors", "shutil", "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading", "tomli",
    "traceback", "trio", "typing", "yaml", "expd", "expproto.messages", "expctl.failures", "expctl.start",
    "expctl.render.table",
}  # fmt: skip

PROGRAM = """
import sys
before = set(sys.modules)
from expctl.cli import run
assert run(sys.argv[1:]) == 0
print(*sorted(set(sys.modules) - before), file=sys.stderr)
"""

SUBMITTED: list[Step] = [a_page(an_entry()), Submitted(submission=1, count=1)]
CANCELLED: list[Step] = [a_page(an_entry()), CancelAccepted(count=1)]
SHOWN: list[Step] = [
    ExperimentPage(
        experiments=(
            ExperimentRecord(
                name="n", rev=RESULT, baseline_rev=BASELINE, created_at=1.0, params={}, metrics={"x": 1}, entry=None
            ),
        )
    ),
    Shown(baseline_rev=BASELINE, baseline_name="main", baseline_params={}, baseline_metrics={}, count=1),
]
LISTED: list[Step] = [a_page(an_entry()), Listed(count=1, paused=False)]


@pytest.mark.parametrize(
    ("argv", "answer"),
    [(["submit", "-S", "a=1"], SUBMITTED), (["status"], LISTED), (["cancel", "1"], CANCELLED), (["show"], SHOWN)],
)
def test_fast_commands_import_nothing_heavy(sock: Path, argv: list[str], answer: list[Step]) -> None:
    """Off a terminal, submit, status, cancel and show load neither what starts daemons nor what draws tables."""
    with serving(sock, [answer]):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *argv], capture_output=True, text=True, timeout=30, check=True
        )

    loaded = set(done.stderr.split())
    assert loaded & HEAVY == set()
    commands = {name.removeprefix("expctl.commands.") for name in loaded if name.startswith("expctl.commands.")}
    assert commands <= {argv[0], "status"}


@pytest.mark.usefixtures("sock")
def test_help_asks_nobody() -> None:
    """Help and version need no daemon, no protocol and no command's module."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--help"], capture_output=True, text=True, timeout=30, check=True
    )

    assert "expctl submit" in done.stdout
    assert not {name for name in done.stderr.split() if name.startswith("expctl.commands.")}
