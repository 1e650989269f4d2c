"""What to try: from how an entry ended, where it waits, and what its last lines say. One table, first things first."""

import re
from collections.abc import Callable, Sequence

from expproto.replies import Diagnosed
from expproto.vocabulary import (
    Cancelled,
    EntryState,
    Failed,
    Killed,
    Limit,
    Lost,
    Mode,
    NotStarted,
    Outcome,
    OutOfMemory,
    Refused,
    Skipped,
    Succeeded,
    TimedOut,
)

SHELL_NOT_FOUND, SHELL_NOT_EXECUTABLE, BY_SIGKILL = 127, 126, 137

_LINES: Sequence[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = (
    (
        re.compile(r"(?:ModuleNotFoundError|ImportError): No module named '?([\w.]+)"),
        lambda found: f"the Python of the run has no {found[1]}: is the right environment active where you submit?",
    ),
    (
        re.compile(r"(?:FileNotFoundError: .*?: |No such file or directory: )'([^']+)'"),
        lambda found: f"{found[1]} is not in the run: is it ignored by Git, or not yet captured? "
        "expctl submit --explain shows what goes along, -C takes an ignored file",
    ),
    (
        re.compile(r"(?:^|[ :])([^ :]+): (?:command )?not found$"),
        lambda found: f"{found[1]} is not on the PATH of the run, which is that of the shell you submitted from",
    ),
    (
        re.compile(r"CUDA out of memory|torch\.(?:cuda\.)?OutOfMemoryError"),
        lambda _found: "the memory of the GPU has run out: smaller batches, or fewer at once: expctl jobs N",
    ),
    (
        re.compile(r"^(?:\w+\.)*MemoryError\b"),
        lambda _found: "no memory was left: less at once: expctl jobs N, smaller batches",
    ),
    (
        re.compile(r"No space left on device|Disk quota exceeded"),
        lambda _found: "the disk is full; df -h shows which one",
    ),
    (
        re.compile(r"Too many open files"),
        lambda _found: "the limit of open files is that of the daemon's start: ulimit -n, then expctl daemon stop",
    ),
)  # fmt: skip
"""What a line of the log says, and what it means here."""


def hints(found: Diagnosed, last_lines: Sequence[str]) -> list[str]:
    """Give what to try, the most telling first; nothing where there is nothing to do."""
    entry = found.entry
    if entry.state is not EntryState.DONE:
        return _while_it_lasts(found)
    if entry.outcome is None or isinstance(entry.outcome, Succeeded):
        return []
    given = _of_outcome(found, entry.outcome)
    if isinstance(entry.outcome, Failed | Refused):
        given = _of_lines(last_lines) + given
    again = "and then" if given else "the same once more:"
    onward = (
        []
        if found.kept is None or entry.mode is Mode.WORKSPACE
        else [f"or go on in what it left: expctl resume {entry.id}"]
    )
    return list(dict.fromkeys([*given, f"{again} expctl retry {entry.id}", *onward]))


def _while_it_lasts(found: Diagnosed) -> list[str]:
    entry = found.entry
    match entry.state:
        case EntryState.HELD:
            return [f"let it run: expctl release {entry.id}"]
        case EntryState.QUEUED:
            earlier = [attempt.number for attempt in found.attempts if attempt.number < entry.attempt]
            return [f"how attempt {earlier[-1]} went: expctl why {entry.id} --attempt {earlier[-1]}"] if earlier else []
        case EntryState.COLLECTING:
            return ["nothing is lost: its result is kept until it can be filed, and it is not computed again"]
        case _:
            return [f"watch it: expctl follow {entry.id}"]


def _of_lines(last_lines: Sequence[str]) -> list[str]:
    """Give what the newest telling line means."""
    for line in reversed(last_lines):
        for pattern, hint in _LINES:
            if match := pattern.search(line):
                return [hint(match)]
    return []


def _of_outcome(found: Diagnosed, outcome: Outcome) -> list[str]:
    match outcome:
        case OutOfMemory(limit_bytes=limit):
            fewer, less = "let fewer run at once: expctl jobs N", "let it need less: smaller batches, fewer loaders"
            return [
                f"give it more memory, or {fewer}"
                if limit is None
                else f"give it more memory: expctl retry {found.entry.id} --mem SIZE; or {less}"
            ]
        case NotStarted(is_directory=True):
            return ["is the directory in what is captured? Git holds no empty ones"]
        case NotStarted():
            return ["is the program on the PATH where you submit, and executable (chmod +x)?"]
        case TimedOut(limit=Limit.TIME):
            return ["the log has the stacks of its Python processes; give it more: --time-limit"]
        case TimedOut():
            return ["the log shows where its Python processes hung; give it more: --stall-limit"]
        case Killed():
            return _of_signal(found, outcome.signal)
        case Failed(exit_code=code):
            return _of_exit_code(found, code)
        case Lost():
            return ["its worker or the machine ended; expctl daemon status names the journal's place"]
        case Cancelled() | Refused() | Skipped() | Succeeded():
            return []


def _of_signal(found: Diagnosed, number: int) -> list[str]:
    kill, segv, abort = 9, 11, 6
    if number == kill and found.oom_kills:
        return [
            f"the kernel ended {found.oom_kills} processes of this machine for lack of memory meanwhile: perhaps it"
        ]
    if number == kill:
        return ["somebody sent SIGKILL, or a memory limit that leaves no trace did: dmesg may know"]
    if number in {segv, abort}:
        return ["a crash in compiled code: PYTHONFAULTHANDLER=1 (--env) shows where"]
    return []


def _of_exit_code(found: Diagnosed, code: int) -> list[str]:
    if code == BY_SIGKILL:
        return _of_signal(found, code - 128)
    if code == SHELL_NOT_FOUND:
        return ["a program was not found: its PATH is that of the shell you submitted from"]
    if code == SHELL_NOT_EXECUTABLE:
        return ["a program is not executable: chmod +x, and submit again"]
    return [] if found.kept is None else [f"look at what it left: cd {found.kept}"]
