"""New files that Git does not ignore: which are captured, which are left out, and when they are too much.

Looked at by lstat(2) before anything is read: a forgotten checkpoint would be in the object store for good, and a
password in an experiment that somebody pushes.
"""

import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from expd.pipeline.locations import is_private_to_dvc

LARGEST_SHOWN = 10
"""Files that a refusal names: enough to see whose they are."""

SECRETS = (
    ".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx",
    "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", "_netrc", ".pypirc", ".npmrc", ".htpasswd",
    ".git-credentials", "credentials.json", "client_secret*.json", "service-account*.json", "service_account*.json",
    "kaggle.json", "secrets.json", "secrets.toml", "secrets.yaml", "secrets.yml",
)  # fmt: skip
"""Names, whatever their case, of files that hold keys or passwords; documented in docs/capture.md."""
NO_SECRETS = (".env.example", ".env.sample", ".env.template", ".env.dist")
"""Templates, which are there to be shared."""

Reason = Literal["secret", "repository", "pointer"]
"""Why a file was left out: its name says so; another repository holds it; Git LFS has its pointer here and nothing more."""
Setting = Literal["new_file_bytes_max", "new_files_bytes_max", "new_files_max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFileLimits:
    """How much may be new: bytes of one file, bytes of all, and how many."""

    file_bytes_max: int
    bytes_max: int
    count_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A file or directory that was not captured."""

    path: str
    reason: Reason


class NewFilesTooLarge(Exception):
    """New files exceed the limit `setting`; `largest` are the paths with their bytes, largest first."""

    def __init__(self, setting: Setting, limit: int, found: int, largest: Sequence[tuple[str, int]]) -> None:
        super().__init__(setting)
        self.setting = setting
        self.limit = limit
        self.found = found
        self.largest = tuple(largest)


def looks_like_secret(path: str) -> bool:
    """Tell whether a file's name says that it holds a key or a password, or its place that it is DVC's own."""
    if is_private_to_dvc(path):
        return True
    name = path.rpartition("/")[2].lower()
    return name not in NO_SECRETS and any(fnmatchcase(name, pattern) for pattern in SECRETS)


def is_named(path: str, names: Iterable[str]) -> bool:
    """Tell whether a path is one of the names, or lies below one."""
    return any(name in {".", path} or path.startswith(f"{name}/") for name in names)


def is_kept_home(path: str, include: Sequence[str]) -> bool:
    """Tell whether a new file looks like a secret and was not asked for."""
    return looks_like_secret(path) and not is_named(path, include)


def chooser(
    workspace: Path, limits: NewFileLimits, include: Sequence[str], copied: Sequence[str] = ()
) -> Callable[[Sequence[str]], list[str]]:
    """Make the choice for one workspace: paths relative to it, secrets left out unless `include` names them.

    What is `copied` beside the capture is left out too.

    What it gives raises NewFilesTooLarge.
    """

    def choose(new_files: Sequence[str]) -> list[str]:
        unwanted = [path for path in new_files if is_named(path, copied) or is_kept_home(path, include)]
        check_sizes(_sizes(workspace, sorted(set(new_files) - set(unwanted))), limits)
        return unwanted

    return choose


def check_sizes(sizes: Sequence[tuple[str, int]], limits: NewFileLimits) -> None:
    """Raise NewFilesTooLarge for too large a file, too many of them, or too much in all."""
    ranked = sorted(sizes, key=lambda item: (-item[1], item[0]))
    total, too_large = sum(size for _, size in ranked), [item for item in ranked if item[1] > limits.file_bytes_max]
    if too_large:
        raise NewFilesTooLarge("new_file_bytes_max", limits.file_bytes_max, too_large[0][1], too_large[:LARGEST_SHOWN])
    if len(ranked) > limits.count_max:
        raise NewFilesTooLarge("new_files_max", limits.count_max, len(ranked), ranked[:LARGEST_SHOWN])
    if total > limits.bytes_max:
        raise NewFilesTooLarge("new_files_bytes_max", limits.bytes_max, total, ranked[:LARGEST_SHOWN])


def _sizes(workspace: Path, paths: Sequence[str]) -> list[tuple[str, int]]:
    """Give the bytes of each regular file; a link holds its own path only, and what has vanished holds nothing."""
    sizes = []
    for path in paths:
        try:
            status = (workspace / path).lstat()
        except OSError:
            continue
        sizes.append((path, status.st_size if stat.S_ISREG(status.st_mode) else 0))
    return sizes
