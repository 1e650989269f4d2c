"""How a run ended, in words."""

from expctl.fields import Fields


def outcome_words(outcome: Fields | None) -> str:
    """Say it in one phrase: `succeeded`, `failed: train exited with 1`, `killed: train by SIGKILL`."""
    if outcome is None:
        return ""
    match outcome.kind:
        case "failed":
            return f"failed: {outcome.text('stage')} exited with {outcome.integer('exit_code')}"
        case "killed":
            return f"killed: {outcome.text('stage')} by {signal_name(outcome.integer('signal'))}"
        case "timed_out":
            return f"timed out after {outcome.seconds('limit_seconds'):g} s"
        case "cancelled" | "refused" | "lost":
            reason = outcome.text("reason")
            return reason if reason.startswith(outcome.kind) else f"{outcome.kind}: {reason}"
        case kind:
            return kind


def signal_name(number: int) -> str:
    """Give a signal's name; `signal 99` if the system has none."""
    import signal  # noqa: PLC0415 - enum and the like, for the one outcome in a hundred that needs it

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
