"""A small machine of its own under qemu, whose power can be cut, and this project with what it needs on one of its disks."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "lab" / "machine.sh"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "expd-lab" / "machine"
PYTHON = (3, 11)
"""Of Debian 12: what is compiled is copied to it as it is."""
_PACKAGES = [ROOT / name for name in ("daemon/expd", "client/expctl", "protocol/expproto", "tests/helpers")]
_NEEDED = ("qemu-system-x86_64", "mkfs.ext4")
_CONTROL = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|c)")
"""What the firmware tells a terminal."""
_DATA_BYTES, _JOB_BYTES, _MEMORY_MB = 512 << 20, 256 << 20, 1024


def why_no_machine() -> str | None:
    """Say why there can be no machine here; None if there can."""
    if sys.version_info[:2] != PYTHON:
        return "the machine's Python is 3.11, and what is compiled for another can't be used there"
    needed = _NEEDED if (CACHE / "root.img").exists() else (*_NEEDED, "debootstrap")
    missing = [program for program in needed if shutil.which(program) is None]
    if missing:
        return f"needs {', '.join(missing)} (Debian's packages qemu-system-x86, e2fsprogs, debootstrap)"
    if os.geteuid() != 0 and not (CACHE / "root.img").exists():
        return f"only root can build the machine that {SCRIPT.name} puts into {CACHE}"
    return None


class Machine:
    """A machine that is on: what it prints, line by line, and its power switch."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.console: list[str] = []
        self._process = process

    def lines(self) -> Iterator[str]:
        """Give what it prints, as it comes, to the end of its power; keeps it in `console`."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.console.append(_CONTROL.sub("", line).strip())
            yield self.console[-1]

    def cut(self) -> None:
        """Take its power: what it had not given to its disks is gone."""
        self._process.kill()
        self._process.wait()


class Disks:
    """The disks of one machine: what is to be done there is made anew for each start, its data stay."""

    def __init__(self, directory: Path, main: Path) -> None:
        """`main` is the program of Python that it runs; the project and its dependencies can be imported there."""
        subprocess.run([SCRIPT, CACHE], check=True, stdout=subprocess.DEVNULL)
        self._directory = directory
        self._job = directory / "job"
        _install(self._job / "site")
        shutil.copy(main, self._job / "main.py")
        _make_disk(directory / "data.img", _DATA_BYTES)

    @contextmanager
    def powered(self, **files: str) -> Iterator[Machine]:
        """Switch the machine on for as long as the block; `files` are texts that it finds in /job."""
        for name, text in files.items():
            (self._job / name).write_text(text)
        _make_disk(self._directory / "job.img", _JOB_BYTES, "-d", str(self._job))
        disks = [
            (CACHE / "root.img", ",snapshot=on"),
            (self._directory / "data.img", ""),
            (self._directory / "job.img", ""),
        ]
        drives = [word for path, how in disks for word in ("-drive", f"file={path},if=virtio,format=raw{how}")]
        process = subprocess.Popen(
            [
                "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", str(_MEMORY_MB), "-nodefaults", "-nographic",
                "-no-reboot", "-serial", "stdio", "-kernel", CACHE / "vmlinuz", "-initrd", CACHE / "initrd", *drives,
                "-append", "console=ttyS0 root=/dev/vda rw quiet mitigations=off systemd.show_status=0",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        machine = Machine(process)
        try:
            yield machine
        finally:
            machine.cut()
            assert process.stdout is not None
            process.stdout.close()
            print("\n".join(machine.console))  # noqa: T201 - pytest shows it with a failure


def _make_disk(path: Path, size: int, *options: str) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", *options, path], check=True)


def _install(site: Path) -> None:
    """Copy the project, and what it needs from the environment of the tests; no registry is asked."""
    for name in _needed_by("expd", set()):
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or []:
            source = Path(str(distribution.locate_file(file)))
            if ".." in file.parts or file.suffix in {".pth", ".pyc"} or not source.is_file():
                continue
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, site / file)
    for package in _PACKAGES:
        shutil.copytree(package, site / package.name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(site)]
    subprocess.run(compiling, check=False, stdout=subprocess.DEVNULL)  # templates of some dependency are no Python


def _needed_by(name: str, found: set[str]) -> set[str]:
    """Give the names of a distribution and all that it needs, of those that are here; extras are not asked for."""
    try:
        requirements = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return found
    found.add(name)
    for requirement in requirements:
        needed = re.match(r"[\w.-]+", requirement)
        if needed and "extra ==" not in requirement and needed.group() not in found:
            _needed_by(needed.group(), found)
    return found
