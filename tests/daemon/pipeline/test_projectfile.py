"""expd.toml holds the same pipeline as a dvc.yaml would, with errors as exact."""

from dataclasses import replace
from pathlib import Path

import pytest

from expd.pipeline.cache import Cache
from expd.pipeline.config import ParsingSettings
from expd.pipeline.dvcyaml import parse_pipeline
from expd.pipeline.model import Pipeline, PipelineError
from expd.pipeline.project import open_project
from expd.pipeline.stages import StageFile
from expd.pipeline.toml_nodes import offset_of
from expd.prepare.project import NothingToRun, find_project
from helpers.repositories import a_repository, write_files

YAML = """\
vars:
  - sizes: [s, m]
  - other.yaml:depth
params: [other.yaml]
metrics: [all.json]
plots:
  - curve.csv: {x: step, y: loss}
stages:
  prepare:
    cmd: [first, 'second ${depth}']
    wdir: code
    deps: [raw.txt]
    outs: [data: {persist: true}]
  train:
    foreach: ${sizes}
    do:
      cmd: train ${item} ${lr}
      params: [lr, other.yaml: []]
      outs: ['model-${item}']
      frozen: true
  grid:
    matrix: {a: [1, 2.5], b: [x, true]}
    cmd: run ${item.a} ${item.b}
    always_changed: true
    desc: all of them
"""
TOML = r"""
[pipeline]
vars = [{ sizes = ["s", "m"] }, "other.yaml:depth"]
params = ["other.yaml"]
metrics = ["all.json"]
plots = [{ "curve.csv" = { x = "step", y = "loss" } }]

[pipeline.stages.prepare]
cmd = ["first", 'second ${depth}']
wdir = "code"
deps = ["raw.txt"]
[[pipeline.stages.prepare.outs]]
data.persist = true

[pipeline.stages.train]
foreach = "${sizes}"
do.cmd = "train ${item} ${lr}"
do.params = ["lr", { "other.yaml" = [] }]
do.outs = ["model-${item}"]
do.frozen = true

[pipeline.stages]
grid = { matrix = { a = [1, 2.5], b = ["x", true] }, cmd = "run ${item.a} ${item.b}", always_changed = true, desc = "all of them" }
"""
FAULTS = {
    "no value": ("[pipeline]\nstages = \n", 2, "valid TOML"),
    "twice": ("[pipeline]\nvars = []\nvars = []\n", 3, "valid TOML"),
    "another table": ("# x\n\n[pipeline]\n[other]\na = 1\n", 4, "no such key at 'other'"),
    "a scalar": ("pipeline = 3\n", 1, "a mapping at 'pipeline'"),
    "unknown key": ("[pipeline.stages.a]\ncmd = 'x'\n\ndep = ['y']\n", 4, "no such key at 'pipeline.stages.a.dep'"),
    "no command": ("[pipeline.stages.a]\ndeps = []\n", 1, "a value for 'cmd' at 'pipeline.stages.a'"),
    "an item": (
        "[pipeline.stages.a]\ncmd = 'x'\ndeps = [\n  'y',\n  # why\n  3,\n]\n",
        6,
        "a string at 'pipeline.stages.a.deps.1'",
    ),
    "a table of an array": (
        "[pipeline.stages.a]\ncmd = 'x'\n[[pipeline.stages.a.outs]]\nf.cache = true\n[[pipeline.stages.a.outs]]\ng.cache = 1\n",
        6,
        "true or false at 'pipeline.stages.a.outs.1.g.cache'",
    ),
    "inline": ("pipeline.stages = { a = { cmd = 1 } }\n", 1, "a command or a list of commands"),
    "no such variable": ("[pipeline.stages.a]\ncmd = '''\n${x}'''\n", 2, "a value for 'x'"),
    "a date": ("[pipeline.stages.a]\ncmd = 2020-01-01\n", 2, "a command or a list of commands"),
}


def _parse(text: str, name: str) -> Pipeline | None:
    files = {"/project/params.yaml": "lr: 0.1\n", "/project/other.yaml": "depth: 3\n"}
    return parse_pipeline(text, StageFile(path=name, root="/project"), ParsingSettings(), files.get)


def test_toml_and_yaml_give_the_same_pipeline() -> None:
    """Whatever dvc.yaml can say, the table says too: the same stages with the same names, paths and values."""
    toml, yaml = _parse(TOML, "expd.toml"), _parse(YAML, "dvc.yaml")

    assert toml is not None
    assert yaml is not None
    as_yaml = replace(
        toml, dvcyaml="dvc.yaml", stages=tuple(replace(stage, dvcyaml="dvc.yaml") for stage in toml.stages)
    )
    assert as_yaml == yaml
    assert [stage.address for stage in toml.stages] == [stage.address for stage in yaml.stages]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_toml_names_its_line(name: str) -> None:
    """File, line and a clause about that very place, in tables, dotted keys, arrays of tables and inline tables alike."""
    text, line, expected = FAULTS[name]
    with pytest.raises(PipelineError) as caught:
        _parse(text, "expd.toml")

    assert (caught.value.path, caught.value.line) == ("expd.toml", line)
    assert expected in caught.value.expected


def test_an_expd_toml_without_a_pipeline_is_none() -> None:
    """An empty file describes nothing, and is no fault."""
    assert _parse("# later\n", "expd.toml") is None


def test_a_place_that_is_not_there_is_that_of_what_is_around_it() -> None:
    """The nearest thing that exists, and nothing for the document itself."""
    text = "a = 1\n[b]\nc = { d = [1, { e = 2 }] }\n"

    assert offset_of(text, ("b", "c", "d", 1, "e")) == text.index("e = 2")
    assert offset_of(text, ("b", "c", "d", 7)) == text.index("d = [")
    assert offset_of(text, ("x",)) is None


def test_two_pipelines_in_one_directory_are_refused(tmp_path: Path) -> None:
    """Which of them is meant is not guessed; an expd.toml without a pipeline may lie beside a dvc.yaml."""
    write_files(tmp_path, {"dvc.yaml": "stages: {a: {cmd: x}}\n", "expd.toml": "[pipeline.stages.b]\ncmd = 'y'\n"})
    with pytest.raises(PipelineError, match=r"one pipeline in a directory, not a second one in dvc\.yaml"):
        open_project(tmp_path, tmp_path, cache=Cache(tmp_path / "cache"))
    write_files(tmp_path, {"expd.toml": ""})

    assert [stage.name for stage in open_project(tmp_path, tmp_path, cache=Cache(tmp_path / "cache")).order()] == ["a"]


def test_pipelines_of_both_forms_make_one_graph(tmp_path: Path) -> None:
    """A stage of an expd.toml may read what one of a dvc.yaml elsewhere makes; targets name either file."""
    files = {
        "expd.toml": "[pipeline.stages.b]\ncmd = 'x'\ndeps = ['sub/out']\n",
        "sub/dvc.yaml": "stages: {a: {cmd: x, outs: [out]}}\n",
    }
    write_files(tmp_path, files)
    project = open_project(tmp_path, tmp_path, cache=Cache(tmp_path / "cache"))

    assert [stage.address for stage in project.order()] == ["sub/dvc.yaml:a", "b"]
    assert [stage.address for stage in project.order(["expd.toml:b"])] == ["sub/dvc.yaml:a", "b"]
    assert [stage.address for stage in project.order(["expd.toml"])] == ["sub/dvc.yaml:a", "b"]
    assert [project.address(stage) for stage in project.order(["b"])] == ["sub/dvc.yaml:a", "b"]


def test_the_nearest_pipeline_of_either_form_is_meant(tmp_path: Path) -> None:
    """Typed in a directory below, the submission is about the expd.toml above; one without a pipeline is passed over."""
    pipeline = "[pipeline.stages.a]\ncmd = 'x'\n"
    path = a_repository(tmp_path / "project", {"expd.toml": pipeline, "sub/expd.toml": "", "sub/deep/x": ""})

    assert find_project(path / "sub" / "deep", command=None).directory == "."
    write_files(path, {"expd.toml": ""})
    with pytest.raises(NothingToRun):
        find_project(path / "sub" / "deep", command=None)
