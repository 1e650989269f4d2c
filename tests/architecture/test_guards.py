"""What the documents name as the guard of a promise is there to guard it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PROMISING = ("architecture.md", "faults.md", "security.md")
_TEST = re.compile(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`")
_FILE = re.compile(r"`(tests/[\w/]+(?:\.py|/))`")
FAULTS = 61
RULES = 26


@cache
def _tests_of(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds) and node.name.startswith("test_"))


@cache
def _all_tests() -> frozenset[str]:
    return frozenset(name for file in (TOP / "tests").rglob("test_*.py") for name in _tests_of(file))


def _is_there(file: str, name: str) -> bool:
    if not file:
        return name in _all_tests()
    return (TOP / file).is_file() and name in _tests_of(TOP / file)


def _text(document: str) -> str:
    return (TOP / "docs" / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", PROMISING)
def test_every_test_a_document_names_is_there(document: str) -> None:
    """A promise whose test was renamed or removed is found here."""
    text = _text(document)

    named = _TEST.findall(text)
    absent = [f"{file}::{name}" if file else name for file, name in named if not _is_there(file, name)]
    absent += [path for path in _FILE.findall(text) if not (TOP / path).exists()]

    assert named
    assert absent == []


def test_every_fault_has_a_row() -> None:
    """The table of faults leaves none out, and names each once."""
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", _text("faults.md"), re.MULTILINE)]

    assert numbers == list(range(1, FAULTS + 1))


def test_every_rule_has_a_row() -> None:
    """The rules of security are numbered, and none is left out."""
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", _text("security.md"), re.MULTILINE)]

    assert sorted(numbers) == list(range(1, RULES + 1))
