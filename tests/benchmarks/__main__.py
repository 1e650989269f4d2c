"""`python -m tests.benchmarks`, from the repository root."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as pytest does: `benchmarks` is then the package's name

from benchmarks.command import main

sys.exit(main(sys.argv[1:]))
