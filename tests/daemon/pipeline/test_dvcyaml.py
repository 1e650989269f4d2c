"""dvc.yaml is read into stages, and every fault in it names file, line and what was expected."""

import pytest

from expd.pipeline.config import ParsingSettings
from expd.pipeline.dvcyaml import parse_pipeline
from expd.pipeline.model import Dependency, Output, ParamsDependency, Pipeline, PipelineError, Plot, Stage
from expd.pipeline.stages import StageFile


def parse(text: str, **files: str) -> Pipeline:
    """The pipeline of a dvc.yaml in `sub/`; `files` lie beside it, with `_` for the dot of their name."""
    beside = {f"/project/sub/{name.replace('_', '.')}": content for name, content in files.items()}
    pipeline = parse_pipeline(text, StageFile(path="sub/dvc.yaml", root="/project"), ParsingSettings(), beside.get)
    assert pipeline is not None
    return pipeline


def test_a_stage_has_its_paths_as_written_and_as_locations() -> None:
    """Everything a stage may declare is kept, paths relative to its directory and as absolute locations."""
    pipeline = parse(
        """\
stages:
  train:
    cmd: [first, second]
    wdir: code
    deps: [in/, /project/sub/code/abs, ../up]
    params: [lr, other.toml: [a, b], lr2]
    outs: [model: {persist: true, desc: d}]
    metrics: [m.json: {cache: false}]
    plots: [p.csv: {x: e}]
    frozen: true
    always_changed: true
    desc: trains
    meta: {anything: [1]}
"""
    )
    wdir = "/project/sub/code"
    assert pipeline.stages == (
        Stage(
            name="train",
            dvcyaml="sub/dvc.yaml",
            directory="/project/sub",
            wdir=wdir,
            commands=("first", "second"),
            deps=(
                Dependency(path="in/", location=f"{wdir}/in"),
                Dependency(path="abs", location=f"{wdir}/abs"),
                Dependency(path="../up", location="/project/sub/up"),
            ),
            params=(
                ParamsDependency(path="params.yaml", location=f"{wdir}/params.yaml", keys=("lr", "lr2")),
                ParamsDependency(path="other.toml", location=f"{wdir}/other.toml", keys=("a", "b")),
            ),
            outs=(
                Output(path="model", location=f"{wdir}/model", persist=True, flags={"desc": "d"}),
                Output(path="m.json", location=f"{wdir}/m.json", kind="metric", cache=False),
                Output(path="p.csv", location=f"{wdir}/p.csv", kind="plot", flags={"x": "e"}),
            ),
            frozen=True,
            always_changed=True,
            description="trains",
        ),
    )
    assert pipeline.stages[0].address == "sub/dvc.yaml:train"


def test_the_top_level_is_kept_as_written() -> None:
    """Parameters, metrics, plots with their sources, and artifacts of the top level are there."""
    pipeline = parse(
        """\
params: [p.yaml]
metrics: [m.json]
plots: [a.csv, {b.csv: }, {both: {x: {c.csv: x}, y: {d.csv: [y, z], e.csv: y}}}, {f.csv: {y: y}}]
artifacts: {model: {path: m, type: model, labels: [l]}}
datasets: whatever
"""
    )
    assert (pipeline.params, pipeline.metrics) == (("p.yaml",), ("m.json",))
    assert pipeline.plots[:2] == (Plot(id="a.csv"), Plot(id="b.csv"))
    assert [plot.sources() for plot in pipeline.plots] == [
        ("a.csv",),
        ("b.csv",),
        ("d.csv", "e.csv", "c.csv"),
        ("f.csv",),
    ]
    assert pipeline.artifacts == {"model": {"path": "m", "type": "model", "labels": ["l"]}}


FAULTS: dict[str, tuple[str, int | None, str]] = {
    "yaml": ("stages:\n  a: [\n", 3, "valid YAML"),
    "duplicate key": ("stages:\n  a: {cmd: x}\n  a: {cmd: y}\n", 3, "valid YAML"),
    "top key": ("stage:\n  a: {cmd: x}\n", 1, "no such key at 'stage'"),
    "stage key": ("stages:\n  a:\n    cmd: x\n    outz: [y]\n", 4, "no such key at 'stages.a.outz'"),
    "no command": ("stages:\n  a:\n    outs: [y]\n", 2, "a value for 'cmd' at 'stages.a'"),
    "empty command": ("stages:\n  a:\n    cmd: []\n", 3, "a command that is not empty at 'stages.a.cmd'"),
    "type": ("stages:\n  a:\n    cmd: x\n    frozen: 1\n", 4, "true or false at 'stages.a.frozen'"),
    "item": ("stages:\n  a:\n    cmd: x\n    deps:\n    - x\n    - 1\n", 6, "a string at 'stages.a.deps.1'"),
    "flag": (
        "stages:\n  a:\n    cmd: x\n    outs:\n    - y: {cach: 1}\n",
        5,
        "no such key at 'stages.a.outs.0.y.cach'",
    ),
    "no mapping": ("- a\n", None, "a mapping"),
    "no stage": ("stages:\n  a:\n", 2, "a mapping at 'stages.a'"),
    "foreach alone": ("stages:\n  a:\n    foreach: [1]\n", 2, "a value for 'do' at 'stages.a'"),
    "foreach text": (
        "stages:\n  a:\n    foreach: x\n    do: {cmd: x}\n",
        3,
        "a list or a mapping at 'stages.a.foreach'",
    ),
    "matrix in do": (
        "stages:\n  a:\n    foreach: [1]\n    do: {cmd: x, matrix: {}}\n",
        4,
        "no such key at 'stages.a.do.matrix'",
    ),
    "at sign": ("stages:\n  a@b: {cmd: x}\n", 2, "a stage name without '@' at 'stages.a@b'"),
    "remote": ("stages:\n  a:\n    cmd: x\n    deps: ['s3://b/x']\n", 4, "a path on this machine at 'stages.a.deps.0'"),
    "dvc file": (
        "stages:\n  a:\n    cmd: x\n    outs: [x.dvc]\n",
        4,
        "an output that is not itself a file of DVC at 'stages.a.outs.0'",
    ),
    "outside": (
        "stages:\n  a:\n    cmd: x\n    outs: [../../x]\n",
        4,
        "an output inside the project at 'stages.a.outs.0'",
    ),
    "unknown value": (
        "stages:\n  a:\n    cmd:\n    - x\n    - ${no.pe}\n",
        5,
        "a value for 'no.pe' at 'stages.a.cmd.1'",
    ),
    "expression": ("stages:\n  a:\n    cmd: ${}\n", 3, "an expression like ${a.b[0]}, not ${} at 'stages.a.cmd'"),
    "in template": (
        "stages:\n  a:\n    foreach: [1]\n    do:\n      cmd: x\n      outs: ['${nope}']\n",
        6,
        "a value for 'nope' at 'stages.a.do.outs.0'",
    ),
    "mapping in text": (
        "stages:\n  a:\n    cmd: x\n    deps: ['x${m}']\n",
        4,
        "a value that has a text at 'stages.a.deps.0'",
    ),
    "list as value": (
        "stages:\n  a:\n    cmd: x\n    deps: ['${l}']\n",
        4,
        "a string, a number or a boolean at 'stages.a.deps.0'",
    ),
    "number as path": ("stages:\n  a:\n    cmd: x\n    deps: ['${n}']\n", 4, "a string at 'stages.a.deps.0'"),
    "second value": ("vars:\n- n: 2\nstages:\n  a: {cmd: x}\n", 2, "no second value for 'n' at 'vars.0'"),
    "missing file": ("vars:\n- x.yaml\n", 2, "the file 'sub/x.yaml' at 'vars.0'"),
    "missing key": ("vars:\n- other.yaml:zz\n", 2, "the key 'zz' in 'sub/other.yaml' at 'vars.0'"),
    "twice": (
        "vars:\n- other.yaml:o\n- other.yaml\n",
        3,
        "a file to be loaded once: whole, or by distinct keys at 'vars.1'",
    ),
    "same key": (
        "vars:\n- other.yaml:o\n- other.yaml:o\n",
        3,
        "keys of this file that are not loaded already at 'vars.1'",
    ),
    "interpolated vars": ("vars:\n- a: ${n}\n", 2, "no interpolation in vars at 'vars.0'"),
    "reserved": (
        "stages:\n  a:\n    foreach: [1]\n    do:\n      vars:\n      - item: 2\n      cmd: x\n",
        6,
        "no value for 'item' at 'stages.a.do.vars.0'",
    ),
    "axis": ("stages:\n  a:\n    matrix: {x: '${n}'}\n    cmd: x\n", 3, "a list at 'stages.a.matrix.x'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_its_line_and_what_was_expected(name: str) -> None:
    """The error of each faulty dvc.yaml carries the file, the line, and a clause about that place."""
    text, line, expected = FAULTS[name]
    with pytest.raises(PipelineError) as caught:
        parse(text, params_yaml="n: 1\nm: {a: 1}\nl: [1]\n", other_yaml="o: 1\n")
    assert (caught.value.path, caught.value.line) == ("sub/dvc.yaml", line)
    assert expected in caught.value.expected


def test_a_faulty_params_file_is_named_itself() -> None:
    """When params.yaml can't be parsed, the error is about params.yaml."""
    with pytest.raises(PipelineError) as caught:
        parse("stages:\n  a: {cmd: x}\n", params_yaml="a: [\n")
    assert (caught.value.path, caught.value.line) == ("sub/params.yaml", 2)


def test_groups_know_the_stages_they_generated() -> None:
    """A group's name stands for its stages, also when there are none."""
    pipeline = parse(
        "stages:\n  g:\n    foreach: [a, b]\n    do: {cmd: x}\n  e:\n    foreach: []\n    do: {cmd: x}\n  p: {cmd: x}\n"
    )
    assert pipeline.groups == {"g": ("g@a", "g@b"), "e": ()}


def test_a_thousand_generated_stages_are_nothing_special() -> None:
    """Interpolating a large matrix takes time in proportion; three thousand stages come out in order."""
    pipeline = parse(
        "stages:\n  m:\n    matrix: {a: '${l}', b: '${l}', c: [x, y, z]}\n    cmd: run ${item.a} ${item.b} ${item.c} ${key}\n",
        params_yaml=f"l: {list(range(32))}\n",
    )
    assert len(pipeline.stages) == 32 * 32 * 3
    assert pipeline.stages[-1].commands == "run 31 31 z 31-31-z"


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("{cmd: train, params: [lr]}", "train"),
        ("{cmd: 'train ${lr}', params: [lr]}", "train 2"),
        ("{foreach: [a], do: {cmd: train, params: [lr]}}", "train"),
    ],
)
def test_a_text_is_as_good_the_second_time(stage: str, command: str) -> None:
    """What is remembered of a text hides neither other values nor a params.yaml that has none, and spoils nothing."""
    text = f"stages:\n  train: {stage}\n"
    first = parse(text, params_yaml="lr: 1\n")

    with pytest.raises(PipelineError, match=r"params\.yaml"):
        parse(text, params_yaml="[1]\n")

    assert parse(text, params_yaml="lr: 1\n") == first
    assert [each.commands for each in parse(text, params_yaml="lr: 2\n").stages] == [command]
