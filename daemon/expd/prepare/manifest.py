"""What an export says of its entries: everything of a submission but its environment, as one JSON document.

Read from a file that anybody may have written: each field is checked before it is believed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from expd.prepare.names import UnusableName, check_name
from expproto.errors import RemoteProtocolError
from expproto.fields import from_map, to_map
from expproto.limits import RunLimits, senseless_limit
from expproto.retries import NO_RETRIES, RetryPolicy, senseless_retries
from expproto.stage_options import StageOptions, contradiction
from expproto.vocabulary import Rev

VERSION = 1
_REV = re.compile(r"[0-9a-f]{40}")
_TEXT_CHARS_MAX = 64 * 1024
"""Of a message, or one word of a command: what Linux lets be an argument, and half as much again."""


class UnusableExport(Exception):
    """A file is no export that can be imported: `what`, and what to do (`hint`)."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestEntry:
    """One entry: its name, its stash commit, and what its overrides set."""

    kind = "entry"
    name: str
    stash_rev: Rev
    params: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A submission, or some of its entries. `kept_rev` is the commit that holds them all, at `ref` in the bundle."""

    kind = "expd-export"
    version: int
    baseline_rev: Rev
    ref: str
    kept_rev: Rev
    root: str
    directory: str
    name: str | None
    message: str | None
    command: tuple[str, ...] | None
    targets: tuple[str, ...]
    force: bool
    as_stage: bool
    stage_options: StageOptions
    limits: RunLimits
    entries: tuple[ManifestEntry, ...]
    retries: RetryPolicy = NO_RETRIES


def manifest_to_json(manifest: Manifest) -> bytes:
    """Give the document."""
    return (json.dumps(to_map(manifest), indent=2) + "\n").encode("ascii")


def manifest_from_json(document: bytes, entries_max: int) -> Manifest:
    """Read the document; raises UnusableExport for anything that no export says."""
    try:
        value: object = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise UnusableExport(f"its manifest is not JSON: {error}") from None
    if not isinstance(value, dict) or value.get("kind") != Manifest.kind:
        raise UnusableExport("its manifest is none of expd")
    if value.get("version") != VERSION:
        what = f"its manifest has version {value.get('version')!r}, and this expd reads version {VERSION}"
        raise UnusableExport(what, "import it with the release that wrote it, or a newer one")
    try:
        manifest = from_map(Manifest, value)
    except RemoteProtocolError as error:
        raise UnusableExport(f"its manifest can't be read: {error.what}") from None
    _check(manifest, entries_max)
    _check_options(manifest)
    return manifest


def _check(manifest: Manifest, entries_max: int) -> None:
    texts = [manifest.message or "", *(manifest.command or ()), *manifest.targets]
    names = [entry.name for entry in manifest.entries]
    revs = [manifest.baseline_rev, manifest.kept_rev, *(entry.stash_rev for entry in manifest.entries)]
    if any("\0" in text or len(text) > _TEXT_CHARS_MAX for text in texts) or manifest.command == ():
        raise UnusableExport("its message, command or targets can't be given to a program")
    if not all(map(_REV.fullmatch, revs)):
        raise UnusableExport("it names a commit by something that is no rev")
    if not 1 <= len(names) <= entries_max:
        raise UnusableExport(f"it holds {len(names)} entries; at most {entries_max} are taken (sweep_points_max)")
    if len(set(names)) < len(names):
        raise UnusableExport("two of its entries have one name")
    if not all(map(_is_below, (manifest.root, manifest.directory))):
        raise UnusableExport("its project lies outside the repository")
    try:
        for name in names:
            check_name(name)
    except UnusableName as error:
        raise UnusableExport(f"{error.name} can't be an experiment's name: {error.problem}") from None


def _check_options(manifest: Manifest) -> None:
    alone = None if manifest.as_stage else manifest.command
    if manifest.as_stage and manifest.command is None:
        raise UnusableExport("it has a stage of its own without the command")
    if what := contradiction(manifest.stage_options, manifest.targets, alone):
        raise UnusableExport(f"its options can't be: {what}")
    if what := senseless_limit(manifest.limits):
        raise UnusableExport(f"its limits can't be: {what}")
    if what := senseless_retries(manifest.retries):
        raise UnusableExport(f"its retries can't be: {what}")


def _is_below(path: str) -> bool:
    """Tell whether a path is one inside a repository, and not in its Git directory."""
    parts = PurePosixPath(path).parts
    return not path.startswith("/") and "\0" not in path and ".." not in parts and ".git" not in parts
