"""The `python` of a run's PATH and its packages, found without running it where its files say enough, and remembered.

A virtual environment says all in pyvenv.cfg. Any other interpreter is run once, within a bound, and again only when its
file or one of the variables it heeds has changed. Packages are the names of `*.dist-info` and `*.egg-info` in its
site-packages, read again only when that directory has changed: a few stat(2) a run.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from expproto.context import Interpreter

_ASK_SECONDS = 5.0
"""A Python starts in 20 ms, from a slow network disk in a second or two; one that hangs must not hold up a result."""
_ANSWER_CHARACTERS_MAX = 64 * 1024
_REMEMBERED_MAX = 100
"""Interpreters, and directories, that one worker remembers: far more than one user's projects have."""
PACKAGES_MAX = 5000
"""Packages listed, all of which are hashed: an environment of everything has a thousand."""
_NAME_CHARACTERS_MAX = 200
_HEEDED = ("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONUSERBASE", "HOME", "PYENV_VERSION", "CONDA_PREFIX")
"""Variables that decide which Python a shim starts and where it looks for packages."""
_QUESTION = (
    "import sys, os, json; "
    "print(json.dumps(['%d.%d.%d' % sys.version_info[:3], [p for p in sys.path if p and os.path.isdir(p)]]))"
)
_CFG_VERSION = re.compile(r"^\s*version(?:_info)?\s*=\s*(\d+\.\d+[\w.]*)\s*$", re.MULTILINE)
_CFG_SYSTEM_SITE = re.compile(r"^\s*include-system-site-packages\s*=\s*true\s*$", re.MULTILINE | re.IGNORECASE)
_METADATA = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)(?:-py[\d.]+.*)?\.(?:dist|egg)-info")
_SEPARATORS = re.compile(r"[-_.]+")

K = TypeVar("K")
V = TypeVar("V")

_Stamp = tuple[int, int, int, int]
"""Device, inode, size and time of change: a file that was replaced differs in one of them."""


@dataclass(frozen=True, slots=True)
class _Found:
    """An interpreter: its version, None if it did not say, and where it looks for packages, first place first."""

    version: str | None
    directories: tuple[str, ...]


@dataclass(slots=True)
class Interpreters:
    """Finds interpreters and remembers them; one a worker, used by one thread at a time."""

    _found: dict[tuple[object, ...], _Found] = field(default_factory=dict)
    _packages: dict[str, tuple[_Stamp, Mapping[str, str]]] = field(default_factory=dict)
    _described: dict[tuple[object, ...], Interpreter] = field(default_factory=dict)

    def look(self, environment: Mapping[str, str]) -> Interpreter | None:
        """Describe the interpreter that commands with this environment get as `python`; None if there is none."""
        path = environment.get("PATH", os.defpath)
        program = shutil.which("python", path=path) or shutil.which("python3", path=path)
        if program is None or (found := self._identify(program, environment)) is None:
            return None
        key = (program, found, *map(_stamp_of, found.directories))
        if key not in self._described:
            _make_room(self._described)
            self._described[key] = self._describe(program, found)
        return self._described[key]

    def _describe(self, program: str, found: _Found) -> Interpreter:
        packages: dict[str, str] = {}
        for directory in found.directories:
            packages = {**self._packages_in(directory), **packages}  # the first place in which a package lies counts
        listed = sorted(f"{name}=={version}" for name, version in packages.items())
        digest = hashlib.sha256("\n".join(listed).encode("utf-8", "surrogateescape")).hexdigest()
        shown = tuple(_text(package) for package in listed[:PACKAGES_MAX])
        return Interpreter(path=_text(program), version=found.version, packages=shown, packages_hash=f"sha256:{digest}")

    def _identify(self, program: str, environment: Mapping[str, str]) -> _Found | None:
        stamps = [_stamp_of(path) for path in (program, *_cfg_paths(program))]
        if stamps[0] is None:
            return None
        key = (program, *stamps, *(environment.get(name) for name in _HEEDED))
        if key not in self._found:
            _make_room(self._found)
            self._found[key] = _read_venv(program) or _ask(program, environment)
        return self._found[key]

    def _packages_in(self, directory: str) -> Mapping[str, str]:
        """List one directory: canonical name → version."""
        stamp = _stamp_of(directory)
        if stamp is None:
            return {}
        known = self._packages.get(directory)
        if known is None or known[0] != stamp:
            _make_room(self._packages)
            known = self._packages[directory] = (stamp, _list_packages(directory))
        return known[1]


def _make_room(memory: dict[K, V]) -> None:
    if len(memory) >= _REMEMBERED_MAX:
        memory.clear()


def _stamp_of(path: str) -> _Stamp | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - pathlib takes three times as long, and this is asked at every run
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _cfg_paths(program: str) -> tuple[str, str]:
    """Where a virtual environment's pyvenv.cfg would be: beside its interpreter, or above (PEP 405)."""
    directory = os.path.dirname(program)  # noqa: PTH120 - as above
    return f"{directory}/pyvenv.cfg", f"{os.path.dirname(directory)}/pyvenv.cfg"  # noqa: PTH120 - as above


def _read_venv(program: str) -> _Found | None:
    """Find out all from pyvenv.cfg; None if this is no virtual environment, or one that sees its base's packages."""
    for path in map(Path, _cfg_paths(program)):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        version = _CFG_VERSION.search(text)
        if version is None or _CFG_SYSTEM_SITE.search(text):
            return None
        short = ".".join(version[1].split(".")[:2])
        places = [path.parent / lib / f"python{short}" / "site-packages" for lib in ("lib", "lib64")]
        return _Found(".".join(version[1].split(".")[:3]), tuple(str(place) for place in places if place.is_dir()))
    return None


def _ask(program: str, environment: Mapping[str, str]) -> _Found:
    """Run an interpreter, with the environment in which a command would run it, and have it say what it is."""
    try:
        asked = subprocess.run(
            [program, "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            timeout=_ASK_SECONDS,
            check=True,
        )
        version, directories = json.loads(asked.stdout[:_ANSWER_CHARACTERS_MAX])
        return _Found(str(version)[:_NAME_CHARACTERS_MAX], tuple(map(str, directories)))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return _Found(None, ())


def _list_packages(directory: str) -> Mapping[str, str]:
    found = {}
    try:
        with os.scandir(directory) as entries:
            names: Sequence[str] = [entry.name for entry in entries if entry.name.endswith("-info")]
    except OSError:
        return {}
    for name in names:
        match = _METADATA.fullmatch(name)
        if match is not None:
            found[_SEPARATORS.sub("-", match["name"]).lower()] = match["version"]
    return found


def _text(text: str) -> str:
    """Give text that is UTF-8 whatever a file name held, and not longer than a name is."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")[:_NAME_CHARACTERS_MAX]
