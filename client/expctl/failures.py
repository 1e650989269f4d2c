"""Every way to fail, in words: what happened, to what, what is unchanged, what to do next; and the exit code.

The only place that knows sentences and exit codes of failures. Imported only when there is one.
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass

from expctl import trouble
from expctl.output import STDERR, Output, write_all
from expctl.render.terminal import visible, visible_lines
from expctl.sentences import (
    EXIT_BROKEN_PIPE,
    EXIT_CANNOT_CAPTURE,
    EXIT_FAILURE,
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_NO_ENTRY,
    EXIT_REFUSED,
    EXIT_USAGE,
    EXIT_VERSION,
    LOCAL_SENTENCES,
    Data,
    Sentence,
    fixed,
    hint_or,
)
from expctl.trouble import DisconnectedError, Trouble
from expproto import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failure as it is told."""

    code: str
    message: str
    hint: str
    exit_code: int


def report(error: BaseException, output: Output) -> int:
    """Tell a failure the way the command was asked to speak, and give its exit code."""
    if isinstance(error, BrokenPipeError):
        return EXIT_BROKEN_PIPE
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_FAILURE
    failure = describe(error)
    try:
        _tell(failure, output)
        if os.environ.get("EXPCTL_DEBUG") == "1":
            import traceback  # noqa: PLC0415 - for developers only

            write_all(STDERR, "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # nobody is left to be told; the exit code still says it
    return failure.exit_code


def describe(error: BaseException) -> Failure:
    """Give the words for any exception."""
    match error:
        case Trouble():
            return _of_code(error.code, error.data)
        case errors.ProtocolError():
            return _of_code(error.code, {"what": error.what})
        case DisconnectedError():
            return _of_code(trouble.DAEMON_LOST, {"times": 1})
        case TimeoutError():
            return _of_code(trouble.TIMEOUT, {})
        case FileNotFoundError() if error.filename is None:
            return _plain_failure(
                "no_directory_here", "the current directory no longer exists", "go to another directory"
            )
        case OSError():
            name = errno.errorcode.get(error.errno or 0, "error").lower()
            return _plain_failure(name, f"the system refused: {error}", "")
        case _:
            message = f"a bug in expctl: {type(error).__name__}: {error}"
            hint = "EXPCTL_DEBUG=1 shows where; please report it"
            return Failure(code=errors.INTERNAL, message=message, hint=hint, exit_code=EXIT_INTERNAL)


def _of_code(code: str, raw: Mapping[str, object]) -> Failure:
    data = Data(raw)
    exit_code, message, hint = SENTENCES.get(code, _UNKNOWN)
    sentence = message(data) if code in SENTENCES else f"{code}: {message(data)}"
    return Failure(code=code, message=sentence, hint=hint(data), exit_code=exit_code)


def _plain_failure(code: str, message: str, hint: str) -> Failure:
    return Failure(code=code, message=message, hint=hint, exit_code=EXIT_FAILURE)


def _tell(failure: Failure, output: Output) -> None:
    if output.as_json:
        output.document({"error": {"code": failure.code, "message": failure.message, "hint": failure.hint or None}})
        return
    text = f"expctl: {visible_lines(failure.message)}\n"
    if failure.hint:
        text += "".join(f"  {visible(line)}\n" for line in failure.hint.splitlines())
    write_all(STDERR, text.encode("utf-8", "backslashreplace"))


def _not_a_repository(data: Data) -> str:
    """Say whether there is none, or what is wrong with the one there."""
    if data["what"].startswith("no Git repository") or not data["what"]:
        return f"there is no Git repository at or above {data['cwd']}"
    return f"the Git repository at {data['cwd']} can't be used: {data['what']}"


def _not_a_repository_hint(data: Data) -> str:
    if "is not owned by" in data["what"]:
        return f"if you trust it: git config --global --add safe.directory {data['cwd']}"
    if "sha256" in data["what"] or "refstorage" in data["what"]:
        return "objects are SHA-1 and refs are files here: `git clone` it into a repository of that kind"
    return "go to the project's directory, or make it a repository: git init && git add . && git commit"


def _after_colon(text: str) -> str:
    return f": {text}" if text else ""


def _usage(data: Data) -> str:
    return data["usage"] or data["hint"] or "`expctl --help` shows how"


def _taken(data: Data) -> str:
    holder = f"entry {data['entry']}" if data["entry"] else f"an {data['holder'] or 'experiment'}"
    baseline = f" of baseline {data.short('baseline_rev')}" if data["baseline_rev"] else ""
    if data["as_held"]:
        of_whom = f"{data['as_held']}, which belongs to {holder}{baseline}"
        return f"the name {data['name']} differs from {of_whom}, by case alone; nothing was queued"
    return f"the name {data['name']} belongs to {holder}{baseline}; nothing was queued"


def _cannot_capture(data: Data) -> str:
    what = (
        f"the workspace can't be frozen: {data['path']}: {data['what']}"
        if data["path"]
        else f"Git failed: {data['what']}"
    )
    return f"{what}; nothing was queued, no file was changed"


def _other_name(data: Data) -> str:
    if data["as_held"]:
        return "choose another name: where a file system knows no case the two would be one"
    return "choose another name, leave -n away, or replace it with --force"


def _unknown_entry(data: Data) -> str:
    return f"no entry or experiment answers to {data['selector']}"


def _candidates(data: Data) -> str:
    near = data.listed("candidates")
    return f"did you mean {near}?" if near else "`expctl status` lists the queue, `expctl show` the experiments of HEAD"


def _versions(data: Data) -> str:
    if not data["daemon_version"]:
        return f"expctl and the running expd are of different versions: {data['what']}; nothing was done"
    return (
        f"this is expctl {data['version']} (protocol {data['protocol']}), but expd {data['daemon_version']} "
        f"(protocol {data['daemon_protocol']}) is running; nothing was done"
    )


def _stop_hint(data: Data) -> str:
    process = f"kill {data['pid']}" if data["pid"] else "`expctl daemon stop` of its version"
    return (
        f"`expctl daemon restart` ends it and starts this version (or: {process}); what runs goes on and is taken over"
    )


def _bad_pipeline(data: Data) -> str:
    place = f"{data['path'] or 'dvc.yaml'}{':' + data['line'] if data['line'] else ''}"
    return f"{place}: {data['what']}; nothing was queued"


def _too_large(data: Data) -> str:
    if data["setting"]:
        return _too_much_new(data)
    found = f", this is {data['found']}" if data["found"] else ""
    return f"too large: {data['what']} (the limit is {data['limit']}{found}); nothing was done"


_NEW = {
    "new_file_bytes_max": "a new file that Git does not ignore",
    "new_files_bytes_max": "all new files that Git does not ignore together",
    "new_files_max": "the number of new files that Git does not ignore",
}


def _too_much_new(data: Data) -> str:
    """Name the limit and the largest files: one of them is nearly always the one that .gitignore forgot."""
    what = _NEW.get(data["setting"], data["setting"])
    listed = "".join(f"\n  {size:>12}  {path}" for path, size in data.pairs("largest"))
    return (
        f"too large: {what} ({data['setting']} is {data['limit']}, this is {data['found']}); nothing was queued; "
        f"the largest, in bytes:{listed}"
    )


def _too_large_hint(data: Data) -> str:
    if not data["setting"]:
        return data["hint"]
    return f"let .gitignore name it (-C copies it if the run needs it), track it with `dvc add`, or raise {data['setting']} in config.toml"


def _paths(data: Data) -> str:
    paths = data.texts("paths")
    more = f"\n  … {int(data['count'] or 0) - len(paths)} more" if len(paths) < int(data["count"] or 0) else ""
    return "".join(f"\n  {path}" for path in paths) + more


def _internal(data: Data) -> str:
    return f"expd met a bug in itself: {data['what'] or 'no details were given'}"


def _incident(data: Data) -> str:
    where = f" under {data['incident']}" if data["incident"] else ""
    return f"its journal has the details{where}: expd.log below the state directory; please report it"


def _protocol(data: Data) -> str:
    return f"expd and expctl don't understand each other: {data['what']}; whether it was done is not known"


def _living(data: Data) -> str:
    return f"{data['count']} of its entries are not done" if int(data["count"] or 0) else "it is always there"


_NOTHING = fixed("")
_MAKE_ROOM = "wait, or end what takes so much (other clients, other programs); then repeat the command"
_PROTOCOL: Sentence = (
    EXIT_INTERNAL,
    _protocol,
    fixed("`expctl daemon status` shows the daemon's version; please report it"),
)
_UNKNOWN: Sentence = (
    EXIT_FAILURE,
    lambda data: data["what"] or "expd refused, with a code this expctl does not know",
    hint_or(""),
)

SENTENCES: Mapping[str, Sentence] = {
    errors.CANNOT_TRAVEL: (
        EXIT_REFUSED,
        lambda data: f"{data['what']}; nothing was queued{_paths(data)}",
        hint_or("run it on this host, without --on"),
    ),
    errors.USAGE: (EXIT_USAGE, lambda data: data["what"] or "the arguments make no sense together", _usage),
    errors.NOT_A_REPOSITORY: (
        EXIT_CANNOT_CAPTURE,
        _not_a_repository,
        _not_a_repository_hint,
    ),
    errors.NO_COMMIT: (
        EXIT_CANNOT_CAPTURE,
        lambda data: f"the repository {data['repository']} has no commit to compare experiments with",
        fixed("commit once: git add . && git commit"),
    ),
    errors.UNFINISHED_MERGE: (
        EXIT_CANNOT_CAPTURE,
        lambda data: f"a {data['operation'] or 'merge'} is in progress in {data['repository']}; nothing was queued",
        fixed("finish it or give it up with git, then submit again"),
    ),
    errors.CANNOT_CAPTURE: (
        EXIT_CANNOT_CAPTURE,
        _cannot_capture,
        hint_or("fix that file, or let .gitignore name it, and submit again"),
    ),
    errors.BAD_OVERRIDE: (
        EXIT_USAGE,
        lambda data: f"-S {data['override']}: {data['what']}; nothing was queued",
        hint_or("the form is -S [FILE:]KEY=VALUE, as `dvc exp run` has it"),
    ),
    errors.BAD_SOURCE: (
        EXIT_CANNOT_CAPTURE,
        lambda data: f"{data['source']} can't be run: {data['what']}; nothing was queued",
        hint_or("name a stash commit, an experiment or a commit of this repository"),
    ),
    errors.BAD_EXPORT: (
        EXIT_CANNOT_CAPTURE,
        lambda data: f"this can't be passed on: {data['what']}; nothing was queued or written",
        hint_or("write it anew with `expctl export`, or push the stash commit with git and `expctl submit --from` it"),
    ),
    errors.BAD_NAME: (
        EXIT_USAGE,
        lambda data: f"{data['name']} can't be an experiment's name: {data['what']}; nothing was queued",
        hint_or("use letters, digits, - and _"),
    ),
    errors.NAME_TAKEN: (EXIT_REFUSED, _taken, _other_name),
    errors.NOTHING_TO_RUN: (
        EXIT_USAGE,
        lambda data: f"there is neither a dvc.yaml (or a [pipeline] in expd.toml) in {data['directory']} nor a command to run; "
        "nothing was queued",
        fixed("name the command: expctl submit -- python train.py"),
    ),
    errors.BAD_PIPELINE: (EXIT_CANNOT_CAPTURE, _bad_pipeline, hint_or("correct it and submit again")),
    errors.UNKNOWN_ENTRY: (EXIT_NO_ENTRY, _unknown_entry, _candidates),
    errors.AMBIGUOUS_ENTRY: (
        EXIT_NO_ENTRY,
        lambda data: f"{data['selector']} names more than one: {data.listed('candidates')}; nothing was done",
        fixed("use the entry's id"),
    ),
    errors.WORKSPACE_BUSY: (
        EXIT_REFUSED,
        lambda data: f"{data['name']} (entry {data['entry']}) runs in {data['workspace']}; nothing was done",
        lambda data: f"watch it: expctl follow {data['entry']}; or run beside it: expctl run --temp, expctl submit",
    ),
    errors.WRONG_STATE: (
        EXIT_REFUSED,
        lambda data: f"entry {data['entry']} is {data['state']}{_after_colon(data['what'])}; nothing was changed",
        lambda data: data["hint"] or f"expctl status {data['entry']}",
    ),
    errors.NO_GROUP: (
        EXIT_NO_ENTRY,
        lambda data: f"there is no group {data['group']}; nothing was changed",
        lambda data: f"there are {data.listed('known')}; another: expctl group add {data['group']} --jobs N",
    ),
    errors.GROUP_IN_USE: (
        EXIT_REFUSED,
        lambda data: f"the group {data['group']} stays: {_living(data)}",
        lambda data: f"let them end, or put them elsewhere: expctl edit group:{data['group']} -g default",
    ),
    errors.NO_RESULT: (
        EXIT_FAILURE,
        lambda data: f"{data['experiment']} has no {data['path'] or 'result'}: {data['what']}; nothing was written",
        lambda data: data["hint"] or f"expctl show {data['experiment']} lists what it holds",
    ),
    errors.FILE_EXISTS: (
        EXIT_REFUSED,
        lambda data: f"{data['path']} is there already; nothing was written",
        hint_or("name another directory with -o, or replace what is there with --force"),
    ),
    errors.CANNOT_RESTORE: (
        EXIT_CANNOT_CAPTURE,
        lambda data: f"the workspace can't be restored: {data['path'] + ': ' if data['path'] else ''}{data['what']}",
        hint_or("`git stash apply REV` brings a capture into another clone or work tree"),
    ),
    errors.NEWER_EDITS: (
        EXIT_REFUSED,
        lambda data: f"edits would be lost, in so many files: {data['count']}; nothing was changed{_paths(data)}",
        fixed("commit or stash them, or overwrite them with --force, which keeps them in a stash commit first"),
    ),
    errors.REF_LOCKED: (
        EXIT_FAILURE,
        lambda data: f"{data['holder'] or 'another Git process'} holds {data['path']}; nothing was changed",
        hint_or("repeat the command when it is through; `expctl doctor` tells whether it was left behind"),
    ),
    errors.STORE_FAILED: (
        EXIT_FAILURE,
        lambda data: f"expd could not write its store: {data['what']}; nothing was accepted",
        fixed("is the disk full? make room, then repeat the command"),
    ),
    errors.DISK_FAILED: (
        EXIT_FAILURE,
        lambda data: f"the system refused{' ' + data['path'] if data['path'] else ''}: {data['what']}; nothing was changed",
        hint_or("make room or correct the permissions, then repeat the command"),
    ),
    errors.EXHAUSTED: (EXIT_FAILURE, lambda data: f"not now: {data['what']}; nothing was done", fixed(_MAKE_ROOM)),
    errors.STOPPING: (
        EXIT_REFUSED,
        fixed("expd is on its way out and takes no new work; nothing was queued"),
        fixed("repeat the command when it has ended (`expctl daemon stop` waits for that): a new one starts by itself"),
    ),
    errors.INTERNAL: (EXIT_INTERNAL, _internal, _incident),
    errors.TOO_LARGE: (EXIT_CANNOT_CAPTURE, _too_large, _too_large_hint),
    **dict.fromkeys((errors.BAD_FRAME, errors.BAD_MESSAGE, errors.UNKNOWN_MESSAGE, errors.OUT_OF_TURN), _PROTOCOL),
    errors.VERSION_MISMATCH: (EXIT_VERSION, _versions, _stop_hint),
    **LOCAL_SENTENCES,
}  # fmt: skip
"""One sentence for every code that can come over the wire or arise here."""
