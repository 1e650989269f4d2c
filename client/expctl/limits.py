"""What a run may use up, as typed → as sent. The form is that of `expproto.limits`."""

from expctl.arguments import Arguments


def run_limits(arguments: Arguments) -> dict[str, object]:
    """Read the options in `options.LIMITS` from parsed arguments."""
    return {
        "kind": "run_limits",
        "time_seconds": arguments.time_limit,
        "stall_seconds": arguments.stall_limit,
        "memory_bytes": arguments.mem,
        "cpus": arguments.cpus,
    }
