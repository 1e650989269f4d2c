"""Options of a run through a pipeline, as typed → as sent; what contradicts itself is refused here.

DVC lets one of two contradicting options win in silence. The form is that of `expproto.stage_options`.
"""

from expctl.arguments import Arguments
from expctl.trouble import Trouble
from expproto.errors import USAGE

_REACHES = (
    ("single_item", "single"),
    ("pipeline", "pipeline"),
    ("all_pipelines", "everything"),
    ("downstream", "downstream"),
)
_ON_FAILURE = (("keep_going", "keep_going"), ("ignore_errors", "ignore"))


def stage_options(arguments: Arguments) -> dict[str, object]:
    """Read the options in `options.STAGE_OPTIONS` from parsed arguments; raises Trouble if they make no sense together."""
    if arguments.dry:
        what = (
            "--dry is not there: what a stage would do depends on what those before it make; "
            "--preview shows the points, --explain what would be captured, `dvc status` what has changed"
        )
        raise Trouble(USAGE, {"what": what})
    return {
        "kind": "stage_options",
        "reach": _the_one(arguments, _REACHES, "upstream"),
        "recursive": arguments.recursive,
        "force_downstream": arguments.force_downstream,
        "on_failure": _the_one(arguments, _ON_FAILURE, "stop"),
        "pull": arguments.pull,
        "allow_missing": arguments.allow_missing,
        "stage_jobs": arguments.stage_jobs,
    }


def _the_one(arguments: Arguments, choices: tuple[tuple[str, str], ...], default: str) -> str:
    """Give the word of the option that was typed; each excludes the others."""
    typed = [(option, word) for option, word in choices if getattr(arguments, option)]
    if len(typed) > 1:
        first, second = (f"--{option.replace('_', '-')}" for option, _word in typed[:2])
        raise Trouble(USAGE, {"what": f"{first} and {second} exclude each other"})
    return typed[0][1] if typed else default
