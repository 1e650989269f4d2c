"""What was used once is not held for ever: a daemon lives for weeks."""

import subprocess
import sys

PROGRAM = """
from expd.linux.allocator import give_back_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

pieces = [bytes(2000) for _ in range(20_000)]
last = bytes(2000)
del pieces
before = resident()
give_back_memory()
print(before - resident())
"""


def test_memory_that_was_used_goes_back_to_the_system() -> None:
    """Forty megabytes of pieces, with something behind them that stays, are the system's again."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)

    assert int(done.stdout) > 30_000_000
