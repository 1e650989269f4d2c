"""A command and what is declared of it → a stage, as text and as a decision."""

import pytest

from expd.pipeline.addition import Addition, with_stage
from expd.pipeline.config import ParsingSettings
from expd.pipeline.dvcyaml import parse_pipeline
from expd.pipeline.model import PipelineError, Stage
from expd.pipeline.stages import StageFile
from expd.prepare.declaration import TypedIn, addition_of
from expd.prepare.overrides.sweeps import expand
from expproto.requests import Declared

ROOT = "/w"


def _params(declared: tuple[str, ...], *overrides: str, has_params: bool = True) -> dict[str, tuple[str, ...]]:
    typed_in = TypedIn(cwd=ROOT, workspace=ROOT, has_params=has_params)
    addition = addition_of(Declared(params=declared), ("c",), expand(overrides), typed_in)
    return {file: tuple(keys) for file, keys in addition.params.items()}


def _deps(*paths: str) -> list[str]:
    typed_in = TypedIn(cwd="/w/src", workspace="/w", has_params=False)
    return list(addition_of(Declared(deps=paths), ("c",), (), typed_in).deps)


def _read_back(addition: Addition, text: str = "") -> list[Stage]:
    written = with_stage(text, "dvc.yaml", "command", addition)
    file = StageFile(path="dvc.yaml", root=ROOT)
    pipeline = parse_pipeline(written, file, ParsingSettings(), lambda _: None)
    assert pipeline is not None
    return list(pipeline.stages)


@pytest.mark.parametrize(
    ("command", "commands"),
    [
        (("python", "train.py", "--x", "a b"), "python train.py --x 'a b'"),
        (("python train.py && echo ${HOME}",), "python train.py && echo ${HOME}"),
        (("sh", "-c", "a\nb"), ("sh -c 'a\nb'",)),
        (("a\rb",), ("a\rb",)),
    ],
)
def test_a_command_means_to_the_shell_what_was_typed(command: tuple[str, ...], commands: object) -> None:
    """Words are quoted, a single one is a line for the shell, no line is torn apart, and nothing is a template."""
    addition = addition_of(Declared(), command, (), TypedIn(cwd=ROOT, workspace=ROOT, has_params=False))

    assert [stage.commands for stage in _read_back(addition)] == [commands]


def test_everything_declared_is_read_back_as_it_was_said() -> None:
    """Each kind of path keeps its kind: cached or not, metric or plot; awkward names are literal."""
    declared = Declared(
        deps=("a ${b}", "a ${b}"),
        params=("lr,sub.x", "other.yaml:k", "whole.json:"),
        outs=("model",),
        outs_no_cache=("log: #1",),
        metrics=("m.json",),
        plots=("p.csv",),
        plots_no_cache=("q.csv",),
    )
    typed_in = TypedIn(cwd=ROOT, workspace=ROOT, has_params=True)

    (stage,) = _read_back(addition_of(declared, ("c",), (), typed_in))

    assert [dep.path for dep in stage.deps] == ["a ${b}"]
    assert {item.path: item.keys for item in stage.params} == {
        "params.yaml": ("lr", "sub.x"),
        "other.yaml": ("k",),
        "whole.json": (),
    }
    assert [(out.path, out.kind, out.cache) for out in stage.outs] == [
        ("log: #1", "out", False),
        ("model", "out", True),
        ("m.json", "metric", False),
        ("p.csv", "plot", True),
        ("q.csv", "plot", False),
    ]
    assert not stage.always_changed


@pytest.mark.parametrize(
    ("declared", "overrides", "params"),
    [
        ((), (), {"params.yaml": ()}),
        (("lr",), (), {"params.yaml": ("lr",)}),
        (("train",), ("train.lr=1,2",), {"params.yaml": ("train",)}),
        (("lr",), ("seed=1",), {"params.yaml": ()}),
        (("lr",), ("lrx=1",), {"params.yaml": ()}),
        (("lr",), ("other.json:a=1",), {"params.yaml": ("lr",), "other.json": ()}),
        (("lr", "lr,m"), ("+n=1",), {"params.yaml": ()}),
        (("params.yaml:", "lr"), (), {"params.yaml": ()}),
    ],
)
def test_what_is_overridden_counts_as_read(
    declared: tuple[str, ...], overrides: tuple[str, ...], params: dict[str, tuple[str, ...]]
) -> None:
    """Two points of a sweep differ in what the stage depends on, whatever was declared: none may take another's result."""
    assert _params(declared, *overrides) == params


def test_no_parameter_file_is_no_dependency() -> None:
    """Where there is no params.yaml, none is asked for."""
    assert _params((), has_params=False) == {}


def test_paths_mean_the_same_in_every_worktree() -> None:
    """An absolute path into the repository becomes relative to where the command was typed; others stay as they are."""
    assert _deps("/w/data/x", "./a/../b", "../c", "/usr/share/x", "/w/src/d") == [
        "../data/x",
        "b",
        "../c",
        "/usr/share/x",
        "d",
    ]


def test_a_stage_is_added_beside_the_others() -> None:
    """Comments and other stages stay; a stage of the same name makes room."""
    text = "# mine\nstages:\n  a: # first\n    cmd: x\n    outs: [f]\n  command:\n    cmd: old\n    deps: [f]\n"
    written = with_stage(text, "dvc.yaml", "command", Addition(commands="new", params={}, cached=("g",)))

    assert written == (
        "# mine\nstages:\n  a: # first\n    cmd: x\n    outs: [f]\n  command:\n    cmd: new\n    outs:\n    - g\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "stages:\n  command:\n    cmd: new\n"),
        (
            "vars: [x]\nstages:\n  a:\n    cmd:  x  # why\n    deps:\n        - y\n\n",
            "vars: [x]\nstages:\n  a:\n    cmd:  x  # why\n    deps:\n        - y\n\n  command:\n    cmd: new\n",
        ),
        (
            "stages:\n  a:\n    cmd: x\n    deps:\n      - y\n  command:\n    cmd: old\n    outs:\n      - z\n",
            "stages:\n  a:\n    cmd: x\n    deps:\n      - y\n  command:\n    cmd: new\n",
        ),
        ("stages: {a: {cmd: x}}\n", "stages: {a: {cmd: x}, command: {cmd: new}}\n"),
        ("stages:\n    a:\n        cmd: x\n", "stages:\n  a:\n    cmd: x\n  command:\n    cmd: new\n"),
        (
            "stages:\n  a:\n    cmd: x\nmetrics: [m]\n",
            "stages:\n  a:\n    cmd: x\n  command:\n    cmd: new\nmetrics: [m]\n",
        ),
        ("stages:\n  a:\n    cmd: |\n      x\n", "stages:\n  a:\n    cmd: |\n      x\n  command:\n    cmd: new\n"),
    ],
)
def test_a_stage_is_appended_where_it_can_be(text: str, expected: str) -> None:
    """The bytes of the other stages stay: an experiment in the workspace shows as the added lines and no others."""
    assert with_stage(text, "dvc.yaml", "command", Addition(commands="new", params={})) == expected


@pytest.mark.parametrize("text", ["stages: 3\n", "stages:\n  a: {cmdd: x}\n", "a: [\n", "- 1\n"])
def test_a_faulty_file_is_named_with_its_line(text: str) -> None:
    """Nothing is added to what is no dvc.yaml."""
    with pytest.raises(PipelineError) as caught:
        with_stage(text, "sub/dvc.yaml", "command", Addition(commands="new", params={}))

    assert caught.value.path == "sub/dvc.yaml"
