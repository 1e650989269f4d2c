"""Where an entry stands in the queue, as typed → as sent. The form is that of `expproto.place`."""

from expctl.arguments import Arguments

DEFAULT_GROUP = "default"
"""As `expproto.place` has it; a test compares them."""


def queue_place(arguments: Arguments) -> dict[str, object]:
    """Read the options in `options.PLACE` from parsed arguments; only what is submitted to the queue has them."""
    return {
        "kind": "queue_place",
        "priority": arguments.priority or 0,
        "group": arguments.group or DEFAULT_GROUP,
        "not_before": arguments.at,
        "after": list(arguments.after),
    }


ANYWHERE: dict[str, object] = {
    "kind": "queue_place",
    "priority": 0,
    "group": DEFAULT_GROUP,
    "not_before": None,
    "after": [],
}
"""Where everything stands that says nothing."""
