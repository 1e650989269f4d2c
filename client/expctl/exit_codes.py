"""How a run ended as an exit code: `expproto.vocabulary` decides, this reads the wire for it."""

from expctl.fields import Fields
from expproto.errors import BAD_MESSAGE, RemoteProtocolError
from expproto.fields import from_map, kind_of
from expproto.vocabulary import EXIT_LOST, OUTCOMES, exit_code_of

_BY_KIND = {kind_of(outcome): outcome for outcome in OUTCOMES}


def outcome_exit_code(outcome: Fields | None) -> int:
    """Give the exit code of an outcome; an entry that is done without one has lost it."""
    if outcome is None:
        return EXIT_LOST
    if outcome.kind not in _BY_KIND:
        raise RemoteProtocolError(BAD_MESSAGE, f"no outcome of kind {outcome.kind!r}")
    return exit_code_of(from_map(_BY_KIND[outcome.kind], outcome.plain))
