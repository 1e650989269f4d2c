"""What machine this is: hostname, platform, kernel, processors, memory, graphics. Read from /proc and /etc, in a millisecond.

Nothing here fails: what can't be read is empty or nought. `nvidia-smi`, which takes a second, is only asked where the
driver shows no processors in /proc (as under WSL), and for no longer than its bound.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from expproto.context import Gpu, Machine

_SMI_SECONDS = 5.0
"""With a dozen idle processors nvidia-smi answers in one or two seconds; one that hangs must not hold up a result."""
_GPUS_MAX = 64
_READ_CHARACTERS_MAX = 256 * 1024
"""/proc/cpuinfo of a machine with 256 processors has more; its first one is all that is looked at."""


def survey_machine(search_path: str, root: Path = Path("/")) -> Machine:
    """Describe the machine; `search_path` is where nvidia-smi would be found, `root` where /proc and /etc are."""
    system = os.uname()
    return Machine(
        hostname=system.nodename,
        platform=_platform(root) or system.sysname,
        kernel=f"{system.sysname} {system.release}",
        architecture=system.machine,
        cpu_model=_first_value(root / "proc" / "cpuinfo", "model name") or system.machine,
        cpu_count=len(os.sched_getaffinity(0)),
        memory_bytes=_memory_bytes(root),
        gpus=_gpus(search_path, root),
    )


def _platform(root: Path) -> str:
    return _first_value(root / "etc" / "os-release", "PRETTY_NAME", "=").strip("\"'")


def _memory_bytes(root: Path) -> int:
    """Read the installed memory, which /proc gives in kB."""
    number = _first_value(root / "proc" / "meminfo", "MemTotal").removesuffix("kB").strip()
    return int(number) * 1024 if number.isdecimal() else 0


def _gpus(search_path: str, root: Path) -> tuple[Gpu, ...]:
    nvidia = root / "proc" / "driver" / "nvidia"
    found = list(_gpus_of_driver(nvidia))
    if not found and (program := shutil.which("nvidia-smi", path=search_path)):
        found = _ask_smi(program)
    return tuple(found[:_GPUS_MAX])


def _gpus_of_driver(nvidia: Path) -> Iterator[Gpu]:
    """Read what the driver shows: a directory a processor, by its place on the bus."""
    try:
        places = sorted((nvidia / "gpus").iterdir())
    except OSError:
        return
    version = _first_value(nvidia / "version", "NVRM version").split("  ")
    driver = next((part.strip() for part in version[1:] if part.strip()), None)
    for place in places:
        about = place / "information"
        name, uuid = _first_value(about, "Model"), _first_value(about, "GPU UUID")
        yield Gpu(name=name or "NVIDIA", uuid=uuid or None, memory_bytes=None, driver=driver)


def _ask_smi(program: str) -> list[Gpu]:
    query = [program, "--query-gpu=name,uuid,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            query, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SMI_SECONDS, check=True, env=_bare()
        ).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.splitlines()[:_GPUS_MAX]]
    return [_gpu_of(row) for row in rows if len(row) == 4]


def _gpu_of(row: list[str]) -> Gpu:
    mebibytes = int(row[2]) if row[2].isdecimal() else None
    return Gpu(
        name=row[0][:200],
        uuid=row[1][:200] or None,
        memory_bytes=None if mebibytes is None else mebibytes * 1024 * 1024,
        driver=row[3][:200] or None,
    )


def _bare() -> Mapping[str, str]:
    """Give a program that is asked what it needs to start, and nothing of anybody's environment."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}


def _first_value(path: Path, key: str, separator: str = ":") -> str:
    """Give the value of the first line `key<separator>value` of a file; empty if there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = file.read(_READ_CHARACTERS_MAX).splitlines()
    except OSError:
        return ""
    pairs = (line.partition(separator) for line in lines)
    return next((value.strip()[:200] for name, _, value in pairs if name.strip() == key), "")
