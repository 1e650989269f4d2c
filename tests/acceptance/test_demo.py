"""What a newcomer sees first has to work."""

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "docs" / "examples" / "demo.py"


def test_the_demonstration_ends_well_and_leaves_nothing() -> None:
    """The demonstration runs six experiments, DVC reads them, and no process of it is left."""
    result = subprocess.run(
        [sys.executable, DEMO], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "No process of this demonstration is left." in result.stdout
