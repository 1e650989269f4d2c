"""How a run ended, in words."""

from expctl.fields import Fields
from expctl.render.sizes import size_words


def outcome_words(outcome: Fields | None) -> str:
    """Say it in one phrase: `succeeded`, `failed: train exited with 1`, `killed: train by SIGKILL`."""
    if outcome is None:
        return ""
    match outcome.kind:
        case "failed":
            return f"failed: {outcome.text('stage')} exited with {outcome.integer('exit_code')}"
        case "killed":
            return f"killed: {outcome.text('stage')} by {signal_name(outcome.integer('signal'))}"
        case "out_of_memory":
            return f"out of memory: {outcome.text('stage')} {memory_words(outcome)}"
        case "not_started":
            return f"not started: {outcome.text('stage')}: {start_words(outcome)}"
        case "timed_out":
            return f"timed out: {outcome.text('stage')} {limit_words(outcome)}"
        case "cancelled" | "refused" | "lost" | "skipped":
            reason = outcome.text("reason")
            return reason if reason.startswith(outcome.kind) else f"{outcome.kind}: {reason}"
        case kind:
            return kind


def memory_words(outcome: Fields) -> str:
    """Say which limit was reached, if the run has one of its own, and how much it used."""
    limit, peak = outcome.integer_or_none("limit_bytes"), outcome.integer_or_none("peak_bytes")
    if limit is None:
        return "was ended by the kernel"
    return f"reached the limit of {size_words(limit)} (--mem)" + (
        "" if peak is None else f", {size_words(peak)} at most"
    )


def limit_words(outcome: Fields) -> str:
    """Say which limit was reached."""
    seconds = f"{outcome.seconds('limit_seconds'):g} s"
    if outcome.text("limit") == "stall":
        return f"did nothing for {seconds} (--stall-limit), {outcome.seconds('seconds'):.3g} s after the start"
    return f"took longer than {seconds} (--time-limit)"


def start_words(outcome: Fields) -> str:
    """Say why a command could not be started, and what of it."""
    import errno  # noqa: PLC0415 - as below
    import os  # noqa: PLC0415

    number, path = outcome.integer("errno"), outcome.text("path")
    if outcome.flag("is_directory"):
        what = {errno.ENOENT: "its directory is gone", errno.ENOTDIR: "what was its directory is none"}
        return f"{what.get(number, os.strerror(number))}: {path}"
    what = {
        errno.ENOENT: "command not found",
        errno.EACCES: "not executable",
        errno.EPERM: "not executable",
        errno.ENOEXEC: "not a program, and no #! line says what runs it",
        errno.E2BIG: "arguments and environment are too long",
        errno.EAGAIN: "no more processes are allowed",
        errno.ENOMEM: "no memory was left to start it",
    }
    return f"{what.get(number, os.strerror(number))}: {path}"


def signal_name(number: int) -> str:
    """Give a signal's name; `signal 99` if the system has none."""
    import signal  # noqa: PLC0415 - enum and the like, for the one outcome in a hundred that needs it

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
