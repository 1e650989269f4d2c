"""docs/protocol.md says what the code does."""

from expctl.requests import PRIVATE_PREFIXES, PRIVATE_VARIABLES
from expctl.transport import ANSWERS
from expproto import errors
from protocol.reference import BEGIN, END, HINT, PATH, reference_text

TEXT = PATH.read_text(encoding="utf-8")


def test_messages_are_listed_as_they_are() -> None:
    """The list of messages is made from the code."""
    assert TEXT.partition(BEGIN)[2].partition(END)[0].strip() == reference_text().strip(), HINT


def test_codes_and_variables_are_listed() -> None:
    """Every code of a refusal and every variable that is not submitted has its place."""
    names = {name.decode() for name in PRIVATE_VARIABLES.union(PRIVATE_PREFIXES)} | errors.ALL_CODES

    assert {name for name in names if f"`{name}`" not in TEXT} == set()


def test_answers_are_listed_as_the_client_takes_them() -> None:
    """Each request stands in a row with its events and its reply."""
    for request, (events, replies) in ANSWERS.items():
        (row,) = [line for line in TEXT.splitlines() if line.startswith("| `") and f"`{request}`" in line.split("|")[1]]
        assert {f"`{event}`" for event in events} == set(row.split("|")[2].replace(",", "").split())
        assert all(f"`{reply}`" in row.split("|")[3] for reply in replies)
