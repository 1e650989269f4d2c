"""Requests as maps, ready for the codec: what `expproto.requests` gives, without its imports.

A test shows for each that both give the same bytes. Here is also what of this process goes along with a submission.
"""

from __future__ import annotations

import os

from expctl.trouble import Trouble
from expproto import PROTOCOL_VERSION, VERSION
from expproto.errors import USAGE

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PRIVATE_VARIABLES = frozenset({
    b"_", b"SHLVL", b"OLDPWD",  # the shell's own bookkeeping; would differ between two equal submissions
    b"NOTIFY_SOCKET", b"LISTEN_FDS", b"LISTEN_PID", b"LISTEN_FDNAMES",  # systemd's, for the process that got them
    b"INVOCATION_ID", b"JOURNAL_STREAM",
    b"GIT_DIR", b"GIT_WORK_TREE", b"GIT_INDEX_FILE",  # would point a run's git at the user's repository
    b"GIT_OBJECT_DIRECTORY", b"GIT_ALTERNATE_OBJECT_DIRECTORIES",
})  # fmt: skip
"""Variables that are not submitted; documented in docs/protocol.md."""
PRIVATE_PREFIXES = (b"WATCHDOG_", b"EXPD_READY")
DECLARED = ("deps", "params", "outs", "outs_no_cache", "metrics", "plots", "plots_no_cache")
"""What can be said of a command that becomes a stage: fields of the message, and names of options."""
BARE_VARIABLES = frozenset({b"PATH", b"HOME", b"LANG"})
"""What goes along in spite of --no-env: without them hardly any program starts, or speaks."""


HERE: Mapping[str, object] = {"engine": "local", "travelling": [], "push_data": None}
"""Where a submission runs if nothing is said: on this host, so that nothing travels."""


def hello() -> dict[str, object]:
    """Say who we are."""
    return {"kind": "hello", "protocol": PROTOCOL_VERSION, "version": VERSION, "role": "client"}


def submit(
    *,
    cwd: str,
    overrides: Sequence[str],
    name: str | None,
    message: str | None,
    force: bool,
    command: Sequence[str] | None,
    targets: Sequence[str],
    environment: Sequence[tuple[bytes, bytes]],
    umask: int,
    stages: Mapping[str, object],
    limits: Mapping[str, object],
    retries: Mapping[str, object],
    place: Mapping[str, object],
    max_failures: int | None = None,
    points: str | None = None,
    sample: int | None = None,
    seed: int = 0,
    preview: bool = False,
    on_hold: bool = False,
    include: Sequence[str] = (),
    copy_paths: Sequence[str] = (),
    no_hydra: bool = False,
    declared: Mapping[str, Sequence[str]] | None = None,
    mode: str = "queue",
    source: str | None = None,
    destination: Mapping[str, object] = HERE,
) -> dict[str, object]:
    """Ask for a submission, under a new request id: the same map sent twice submits once."""
    return {
        "kind": "submit",
        "request_id": os.urandom(16).hex(),
        "cwd": cwd,
        "overrides": list(overrides),
        "name": name,
        "message": message,
        "force": force,
        "command": None if command is None else list(command),
        "targets": list(targets),
        "environment": [list(pair) for pair in environment],
        "umask": umask,
        "points": points,
        "sample": sample,
        "seed": seed,
        "preview": preview,
        "on_hold": on_hold,
        "include": list(include),
        "copy_paths": list(copy_paths),
        "no_hydra": no_hydra,
        "declared": None if declared is None else _declared(declared),
        "mode": mode,
        "stage_options": dict(stages),
        "limits": dict(limits),
        "retries": dict(retries),
        "place": dict(place),
        "max_failures": max_failures,
        "source": source,
        **destination,
    }


def _declared(declared: Mapping[str, Sequence[str]]) -> dict[str, object]:
    return {"kind": "declared", **{key: list(declared[key]) for key in DECLARED}}


def status(cwd: str, entries: Sequence[str], most: int | None = None) -> dict[str, object]:
    """Ask for the queue, for these entries, or for so many of the queue at most."""
    return {"kind": "status", "cwd": cwd, "entries": list(entries), "most": most}


def show(cwd: str) -> dict[str, object]:
    """Ask for the experiments of HEAD."""
    return {"kind": "show", "cwd": cwd}


def wait(cwd: str, entries: Sequence[str]) -> dict[str, object]:
    """Ask for an answer when these are done."""
    return {"kind": "wait", "cwd": cwd, "entries": list(entries), "until_idle": False}


def wait_until_idle(cwd: str) -> dict[str, object]:
    """Ask for an answer when nothing runs."""
    return {**wait(cwd, ()), "until_idle": True}


def cancel(cwd: str, entries: Sequence[str], number: int | None = None) -> dict[str, object]:
    """Ask for the end of these."""
    reason = "cancelled by the user"
    return {"kind": "cancel", "cwd": cwd, "entries": list(entries), "reason": reason, "signal": number}


def release(cwd: str, entries: Sequence[str]) -> dict[str, object]:
    """Ask that these run after all."""
    return {"kind": "release", "cwd": cwd, "entries": list(entries)}


def export(cwd: str, entry: str, file: str, since: str | None) -> dict[str, object]:
    """Ask for a file."""
    return {"kind": "export", "cwd": cwd, "entry": entry, "file": file, "since": since}


def import_entries(
    cwd: str, file: str, *, on_hold: bool, environment: Sequence[tuple[bytes, bytes]], umask: int
) -> dict[str, object]:
    """Ask for the entries of a file, under a new request id."""
    return {
        "kind": "import",
        "request_id": os.urandom(16).hex(),
        "cwd": cwd,
        "file": file,
        "on_hold": on_hold,
        "environment": [list(pair) for pair in environment],
        "umask": umask,
    }


def retry(
    cwd: str,
    entries: Sequence[str],
    *,
    failed: bool,
    force: bool,
    environment: Sequence[tuple[bytes, bytes]],
    limits: Mapping[str, object],
    overrides: Sequence[str] = (),
    name: str | None = None,
) -> dict[str, object]:
    """Ask for another attempt; or with overrides for new entries, under a new request id."""
    return {
        "kind": "retry",
        "cwd": cwd,
        "entries": list(entries),
        "failed": failed,
        "force": force,
        "environment": [list(pair) for pair in environment],
        "overrides": list(overrides),
        "name": name,
        "request_id": os.urandom(16).hex() if overrides else "",
        "limits": dict(limits),
    }


def resume_runs(
    cwd: str, entries: Sequence[str], *, force: bool, environment: Sequence[tuple[bytes, bytes]]
) -> dict[str, object]:
    """Ask that runs go on where they ended."""
    return {
        "kind": "resume_runs",
        "cwd": cwd,
        "entries": list(entries),
        "force": force,
        "environment": [list(pair) for pair in environment],
    }


def verify(cwd: str, experiment: str, *, environment: Sequence[tuple[bytes, bytes]], umask: int) -> dict[str, object]:
    """Ask for a repetition, under a new request id."""
    return {
        "kind": "verify",
        "request_id": os.urandom(16).hex(),
        "cwd": cwd,
        "experiment": experiment,
        "environment": [list(pair) for pair in environment],
        "umask": umask,
    }


def remove(cwd: str, entries: Sequence[str], *, done: bool) -> dict[str, object]:
    """Ask that these leave the queue, or all that are done."""
    return {"kind": "remove", "cwd": cwd, "entries": list(entries), "done": done}


def rename(cwd: str, entry: str, name: str) -> dict[str, object]:
    """Ask for another name."""
    return {"kind": "rename", "cwd": cwd, "entry": entry, "name": name}


def restore(cwd: str, entry: str, *, force: bool, umask: int) -> dict[str, object]:
    """Ask for what was captured."""
    return {"kind": "restore", "cwd": cwd, "entry": entry, "force": force, "umask": umask}


def hold(cwd: str, entries: Sequence[str]) -> dict[str, object]:
    """Ask that these wait for their release."""
    return {"kind": "hold", "cwd": cwd, "entries": list(entries)}


def run_now(cwd: str, entries: Sequence[str]) -> dict[str, object]:
    """Ask that these run at once."""
    return {"kind": "run_now", "cwd": cwd, "entries": list(entries)}


def edit(
    cwd: str, entries: Sequence[str], changes: Mapping[str, object], overrides: Sequence[str] = ()
) -> dict[str, object]:
    """Ask that these are changed, each thing to what `changes` says; with overrides under a new request id."""
    return {
        "kind": "edit",
        "cwd": cwd,
        "entries": list(entries),
        **dict.fromkeys(EDITABLE),
        **changes,
        "overrides": list(overrides),
        "request_id": os.urandom(16).hex() if overrides else "",
    }


EDITABLE = (
    "priority", "group", "not_before", "after", "time_seconds", "stall_seconds", "memory_bytes", "cpus", "retries", "causes", "backoff_seconds",
)  # fmt: skip
"""What `edit` changes beside parameters; None is as it was."""


def move(cwd: str, entries: Sequence[str], before: str | None) -> dict[str, object]:
    """Ask that these come next, or before another one."""
    return {"kind": "move", "cwd": cwd, "entries": list(entries), "before": before}


def pause(group: str | None = None, *, freeze: bool = False) -> dict[str, object]:
    """Ask that nothing more is started, and perhaps that what runs stands still."""
    return {"kind": "pause", "group": group, "freeze": freeze}


def resume(group: str | None = None) -> dict[str, object]:
    """Ask that entries are started again."""
    return {"kind": "resume", "group": group}


def set_jobs(jobs: int | None, change: int | None = None, group: str | None = None) -> dict[str, object]:
    """Ask for so many runs at once, or so many more, or how many there are."""
    return {"kind": "set_jobs", "jobs": jobs, "change": change, "group": group}


def add_group(name: str, jobs: int) -> dict[str, object]:
    """Ask for a group."""
    return {"kind": "add_group", "name": name, "jobs": jobs}


def remove_group(name: str) -> dict[str, object]:
    """Ask that a group goes."""
    return {"kind": "remove_group", "name": name}


def ask_daemon() -> dict[str, object]:
    """Ask who answers."""
    return {"kind": "ask_daemon"}


def stop(ending: str) -> dict[str, object]:
    """Ask the daemon to end."""
    return {"kind": "stop", "ending": ending}


def submitted_environment(
    environ: Mapping[bytes, bytes], given: Sequence[str] = (), *, is_bare: bool = False
) -> list[tuple[bytes, bytes]]:
    """Give what a run's commands get: the environment without what belongs to this process alone, and what is given.

    `given` are `NAME=VALUE`, or `NAME` for the value it has here; with `is_bare` little else goes along.
    Raises Trouble for one that is neither.
    """
    chosen = {
        name: value for name, value in environ.items() if (name in BARE_VARIABLES if is_bare else _is_public(name))
    }
    for text in given:
        name, equals, value = os.fsencode(text).partition(b"=")
        if not name or (not equals and name not in environ):
            what = f"--env {text}: there is no such variable" if name else f"--env {text}: the form is NAME=VALUE"
            raise Trouble(USAGE, {"what": what})
        chosen[name] = value if equals else environ[name]
    return list(chosen.items())


def _is_public(name: bytes) -> bool:
    return name not in PRIVATE_VARIABLES and not name.startswith(PRIVATE_PREFIXES)


def current_umask() -> int:
    """Read the umask, which can only be read by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
