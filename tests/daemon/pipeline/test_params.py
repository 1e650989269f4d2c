"""Values come out of every kind of parameter file as DVC reads them."""

from pathlib import Path

import pytest

from expd.pipeline.model import MissingDependencyError, ParamsDependency, PipelineError
from expd.pipeline.params import observe_params, parse_params, require_params, select

PYTHON = """\
import os
A = 1
B: float = 2.5
C = D = 3
E = os.sep
F = -1
G = {'x': [1]}
H = (1, 2)
class K:
    y = 'z'
    def __init__(self):
        self.w = 4
        local = 5
    def other(self):
        self.no = 6
"""
PARSED: dict[str, tuple[str, object]] = {
    "p.yaml": ("a: yes\nb: 1e3\nc: 010\nd: 0o10\ne: 1_000\n", {"a": "yes", "b": 1000.0, "c": 10, "d": 8, "e": 1000}),
    "p.yml": ("", {}),
    "p": ("a: 1\n", {"a": 1}),
    "p.toml": ("a = 1\n[t]\nb = [1, 2]\n", {"a": 1, "t": {"b": [1, 2]}}),
    "p.JSON": ('{"a": null}', {"a": None}),
    "empty.json": ("[]", {}),
    "p.py": (
        PYTHON,
        {"A": 1, "B": 2.5, "F": -1, "G": {"x": [1]}, "H": (1, 2), "K": {"y": "z", "w": 4}},
    ),
}


@pytest.mark.parametrize("name", PARSED)
def test_a_file_is_read_by_its_suffix(name: str) -> None:
    """YAML 1.2 unless the name says TOML, JSON or Python; Python is parsed and never run."""
    text, expected = PARSED[name]
    assert parse_params(text, name) == expected


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [("p.yaml", "a: 1\nb: [\n", 3), ("p.json", "{\n1}", 2), ("p.py", "a = 1\nb =\n", 2), ("p.toml", "a=", None)],
)
def test_a_faulty_file_names_its_line(name: str, text: str, line: int | None) -> None:
    """What can't be parsed is an error with the file and, where the format tells, the line."""
    with pytest.raises(PipelineError) as caught:
        parse_params(text, name)
    assert (caught.value.path, caught.value.line) == (name, line)


def test_keys_lead_through_mappings_and_lists() -> None:
    """A step is a key, also one that is a number, or an index; what is not there is left out."""
    config = {"a": {"b": [{"c": 1}, 2]}, "n": {1: "one"}, "x.y": 3}
    keys = ["a.b.0.c", "a.b.1", "n.1", "a.b.7", "a.z", "x.y", "a.b.0.c.d"]
    assert select(config, keys, "p") == {"a.b.0.c": 1, "a.b.1": 2, "n.1": "one"}


def test_a_wildcard_may_fit_one_value() -> None:
    """A pattern that fits several values is an error, as it is in DVC."""
    assert select({"ab": 1, "c": 2}, ["a*"], "p") == {"a*": 1}
    with pytest.raises(PipelineError):
        select({"ab": 1, "ac": 2}, ["a*"], "p")


def test_a_whole_file_has_to_be_a_mapping() -> None:
    """Without keys every top-level entry counts, so there must be such, with strings as keys."""
    assert select({"a": 1}, [], "p") == {"a": 1}
    for config in ([1], {1: 2}):
        with pytest.raises(PipelineError):
            select(config, [], "p")


def test_missing_values_are_named(tmp_path: Path) -> None:
    """A required key or file that does not exist is an error naming it; looked at, a file is just absent."""
    file = tmp_path / "p.yaml"
    dependency = ParamsDependency(path="p.yaml", location=str(file), keys=("a", "b.c", "d"))
    assert observe_params(dependency) is None
    with pytest.raises(MissingDependencyError):
        require_params(dependency)
    file.write_text("a: 1\n")
    assert observe_params(dependency) == {"a": 1}
    with pytest.raises(MissingDependencyError) as caught:
        require_params(dependency)
    assert "b.c, d" in caught.value.expected
