"""When a run is tried again, as typed → as sent. The form is that of `expproto.retries`."""

from expctl.arguments import Arguments
from expctl.trouble import Trouble
from expproto.errors import USAGE

CAUSES = ("lost", "oom", "signal", "timeout", "stall", "exit")
BACKOFF_SECONDS = 10.0
"""As `expproto.retries` has both, whose import would cost more than a submission may; a test compares them."""


def retry_policy(arguments: Arguments) -> dict[str, object]:
    """Read the options in `options.RETRIES` from parsed arguments; raises Trouble for a backoff without retries."""
    if arguments.backoff is not None and not arguments.retries:
        raise Trouble(USAGE, {"what": "--backoff goes with --retries: without them nothing waits for its next attempt"})
    return {
        "kind": "retry_policy",
        "retries": arguments.retries or 0,
        "causes": list(CAUSES) if arguments.retry_on is None else causes(arguments.retry_on),
        "backoff_seconds": BACKOFF_SECONDS if arguments.backoff is None else arguments.backoff,
    }


def causes(text: str) -> list[str]:
    """Read a list parted by commas; `none` is an empty one. The daemon says which words it knows."""
    return [] if text == "none" else [word.strip() for word in text.split(",") if word.strip()]
