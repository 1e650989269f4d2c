"""Messages: every one survives the wire, and the bytes of each are held."""

import dataclasses
import errno

import pytest
from hypothesis import given, settings

from expproto.codec import decode
from expproto.errors import ALL_CODES, BAD_MESSAGE, UNKNOWN_MESSAGE, RemoteProtocolError
from expproto.frames import HEADER_BYTES
from expproto.logs import Output
from expproto.messages import MESSAGES, Message, message_from_map, message_to_map
from expproto.replies import Ended, Inspected
from expproto.vocabulary import (
    OUTCOMES,
    Cancelled,
    EntryId,
    Failed,
    Killed,
    Limit,
    Lost,
    NotStarted,
    Outcome,
    OutOfMemory,
    Refused,
    Rev,
    Skipped,
    Succeeded,
    TimedOut,
    exit_code_of,
)
from protocol.golden import HINT, PATH, golden_text
from protocol.samples import fixed_samples, messages, round_trip

SAMPLES = fixed_samples()


def test_golden_bytes_are_unchanged() -> None:
    """A message whose bytes change is a new protocol, or a decision: a client in another language reads these bytes."""
    assert golden_text() == PATH.read_text(encoding="utf-8"), HINT


def test_golden_bytes_still_decode() -> None:
    """What an older peer sends is read as what it meant."""
    lines = [line.split() for line in PATH.read_text(encoding="utf-8").splitlines()]
    read = {kind: message_from_map(decode(bytes.fromhex(frame)[HEADER_BYTES:])) for kind, frame in lines}

    assert read == SAMPLES


@settings(deadline=None, max_examples=300)
@given(message=messages())
def test_every_message_survives_the_wire(message: Message) -> None:
    """What arrives equals what was sent, whatever its fields hold."""
    assert round_trip(message) == message


ENDS: list[tuple[Outcome, int]] = [
    (Succeeded(rev=Rev("a" * 40)), 0),
    (Failed(stage="s", exit_code=77), 77),
    (Killed(stage="s", signal=9), 137),
    (OutOfMemory(stage="s", evidence="cgroup"), 137),
    (NotStarted(stage="s", errno=errno.ENOENT, path="p", is_directory=False), 127),
    (Cancelled(reason="r", at=1.0), 125),
    (TimedOut(limit=Limit.TIME, limit_seconds=1, stage="s", seconds=1.1), 124),
    (Refused(reason="r"), 120),
    (Lost(reason="r"), 121),
    (Skipped(reason="r"), 122),
]
assert tuple(type(outcome) for outcome, _ in ENDS) == OUTCOMES
STARTS = [(errno.EACCES, False, 126), (errno.E2BIG, False, 126), (errno.ENOENT, True, 126), (errno.ENOENT, False, 127)]


@pytest.mark.parametrize(("number", "is_directory", "code"), STARTS)
def test_a_command_that_cannot_start_has_the_shells_codes(number: int, is_directory: bool, code: int) -> None:
    """A program that is not there is 127, anything else that is in the way 126: a directory that is gone, too."""
    assert exit_code_of(NotStarted(stage="s", errno=number, path="p", is_directory=is_directory)) == code


@pytest.mark.parametrize(("outcome", "code"), ENDS)
def test_outcome_is_told_apart_and_has_its_exit_code(outcome: Outcome, code: int) -> None:
    """A union is read by its kind, and the codes are a promise to scripts."""
    ended = Ended(entry=EntryId(1), name="n", outcome=outcome)

    assert round_trip(ended) == ended
    assert exit_code_of(outcome) == code


@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_field_that_is_unknown_missing_or_wrong_is_named(kind: str) -> None:
    """No field passes unread: each error says which message and which field."""
    good = message_to_map(SAMPLES[kind])
    _refused({**good, "surplus": 1}, BAD_MESSAGE, f"{kind} has no field 'surplus'")
    for field in dataclasses.fields(MESSAGES[kind]):
        if field.name in {"params", "changed", "metrics", "data", "overrides", "context"} or field.name.startswith(
            "baseline_"
        ):
            continue
        _refused({**good, field.name: {"odd": {}}}, BAD_MESSAGE, f"{kind}.{field.name}: ")
        without = {name: value for name, value in good.items() if name != field.name}
        if field.default is dataclasses.MISSING:
            _refused(without, BAD_MESSAGE, f"{kind} lacks its field '{field.name}'")
        else:
            assert getattr(message_from_map(without), field.name) == field.default


@pytest.mark.parametrize(
    "value", [{}, {"kind": None}, {"kind": ["submit"]}, {"kind": "nonsense"}, {"kind": "x" * 1_000_000}]
)
def test_unknown_kind_is_refused_in_few_words(value: dict[str, object]) -> None:
    """A message of no known kind has its own code; its name is not repeated at length."""
    _refused(value, UNKNOWN_MESSAGE, "no message of kind")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("entry", True, "expected int, found bool"),
        ("entry", 1.0, "expected int, found float"),
        ("data", "text", "expected bytes, found str"),
        ("offset", None, "expected int, found NoneType"),
    ],
)
def test_scalars_are_of_exactly_their_type(field: str, value: object, said: str) -> None:
    """A boolean is no integer, and text no bytes."""
    good = message_to_map(Output(entry=EntryId(1), offset=0, data=b""))
    _refused({**good, field: value}, BAD_MESSAGE, said)


@pytest.mark.parametrize(
    "outcome", [None, "succeeded", {}, {"kind": []}, {"kind": "nonsense"}, {"kind": "succeeded"}, {"kind": "entry"}]
)
def test_outcome_of_no_known_kind_is_refused(outcome: object) -> None:
    """The records of a union are told apart by a kind that must be one of theirs, also where it is no text at all."""
    good = message_to_map(Ended(entry=EntryId(1), name="n", outcome=Cancelled(reason="r")))
    _refused({**good, "outcome": outcome}, BAD_MESSAGE, "ended.outcome: ")


@pytest.mark.parametrize("pair", [[], [b"a"], [b"a", b"b", b"c"], b"ab", [b"a", "b"]])
def test_pairs_have_two_elements(pair: object) -> None:
    """An environment is made of pairs of bytes and nothing else."""
    good = message_to_map(SAMPLES["submit"])
    _refused({**good, "environment": [pair]}, BAD_MESSAGE, "submit.environment: ")


def test_maps_and_states_are_checked() -> None:
    """A map field holds a map, an enumeration one of its words, and a float also takes an integer."""
    good = message_to_map(SAMPLES["entry_page"])
    entries = good["entries"]
    assert isinstance(entries, list)
    _refused({**good, "entries": [{**entries[0], "params": []}]}, BAD_MESSAGE, "expected a map")
    _refused({**good, "entries": [{**entries[0], "state": "lost"}]}, BAD_MESSAGE, "not a EntryState")
    _refused({**good, "entries": [{**entries[0], "submitted_at": "now"}]}, BAD_MESSAGE, "expected float")
    _refused({**good, "entries": [1]}, BAD_MESSAGE, "expected a map of kind entry")
    _refused({**good, "entries": {}}, BAD_MESSAGE, "expected an array")
    page = message_from_map({**good, "entries": [{**entries[0], "submitted_at": 3}]})
    assert page != SAMPLES["entry_page"]


def test_new_type_may_be_absent() -> None:
    """`Rev | None` has another form than `str | None` in the typing module, and the same meaning."""
    inspected = Inspected(
        name="n", rev=None, baseline_rev=Rev("b"), params={}, changed={}, metrics={}, outputs=(), entry=None
    )

    assert round_trip(inspected) == inspected


def test_codes_are_distinct_words() -> None:
    """A code is what scripts match."""
    assert len(ALL_CODES) == 35
    assert all(code.replace("_", "").islower() for code in ALL_CODES)


def _refused(value: dict[str, object], code: str, said: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        message_from_map(value)
    assert caught.value.code == code
    assert said in caught.value.what
    assert len(caught.value.what) < 300
