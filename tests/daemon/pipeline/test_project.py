"""The room's door: what is put in place before a run, what is decided, and what is recorded after it."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from daemon.pipeline.driver import a_cache, a_project, reproduce
from daemon.pipeline.oracle import write_files
from expd.pipeline.changes import Changed, Reason, Restorable, Unchanged
from expd.pipeline.commands import shell_commands
from expd.pipeline.datalinks import MissingData
from expd.pipeline.hashing import Hasher
from expd.pipeline.model import (
    Commands,
    Fingerprint,
    MissingDependencyError,
    MissingObjectError,
    MissingOutputError,
    PipelineError,
    Stage,
    TargetError,
)
from expd.pipeline.targets import Scope
from expproto.stage_options import Reach

COPY = "stages:\n  copy:\n    cmd: cp {0} out\n    deps: [{0}]\n    outs: [out]\n"


def a_root(tmp_path: Path, **files: str) -> Path:
    """A Git repository with files; `dvc_yaml` is dvc.yaml, two underscores are a slash."""
    root = tmp_path / "root"
    write_files(root, {name.replace("__", "/").replace("_", "."): text for name, text in files.items()})
    (root / ".git").mkdir()
    return root


def track(root: Path, name: str, *, legacy: bool = False) -> Fingerprint:
    """Store what is at `name`, describe it in `<name>.dvc`, and take it away."""
    content = Hasher().content(str(root / name), legacy=legacy)
    assert content is not None
    cache = a_cache(root)
    if content.manifest is None:
        cache.store_files([(root / name, content.fingerprint)])
    else:
        cache.store_files([(root / name / entry.relpath, entry.fingerprint) for entry in content.manifest.entries])
        cache.store_manifest(content.manifest, content.fingerprint)
        for file in (root / name).iterdir():
            file.unlink()
    marker = "" if legacy else "  hash: md5\n"
    (root / f"{name}.dvc").write_text(f"outs:\n- md5: {content.fingerprint.md5}\n{marker}  path: {name}\n")
    (root / name).rmdir() if (root / name).is_dir() else (root / name).unlink()
    return content.fingerprint


@pytest.mark.parametrize("legacy", [False, True], ids=["DVC 3", "DVC 2"])
@pytest.mark.parametrize("name", ["raw", "data"])
def test_tracked_data_is_put_in_place(tmp_path: Path, name: str, *, legacy: bool) -> None:
    """What a .dvc file describes comes out of the cache, file or directory, by the hashes of either version."""
    root = a_root(tmp_path, raw="r\r\n", data__x="x\r\n")
    fingerprint = track(root, name, legacy=legacy)
    assert a_project(root).link_data_sources() == ()
    content = Hasher().content(str(root / name), legacy=legacy)
    assert content is not None
    assert content.fingerprint == fingerprint


def test_a_missing_object_names_the_dvc_file_and_the_hash(tmp_path: Path) -> None:
    """Data that a stage of the plan reads, and that the cache lacks, is an error that says which and why."""
    root = a_root(tmp_path, dvc_yaml=COPY.format("raw"), raw="r\n")
    fingerprint = track(root, "raw")
    a_cache(root).location(fingerprint.md5).unlink()
    project = a_project(root)
    with pytest.raises(MissingObjectError) as caught:
        project.link_data_sources(project.order())
    assert fingerprint.md5 in caught.value.expected
    assert "raw.dvc" in caught.value.hint


def test_missing_data_that_nobody_reads_is_reported_only(tmp_path: Path) -> None:
    """A plan that does not need a data set runs without it."""
    root = a_root(tmp_path, dvc_yaml=COPY.format("src"), src="s", raw="r\n")
    fingerprint = track(root, "raw")
    a_cache(root).location(fingerprint.md5).unlink()
    project = a_project(root)
    missing = MissingData(path="raw.dvc", fingerprint=Fingerprint(md5=fingerprint.md5))
    assert project.link_data_sources(project.order()) == (missing,)


def test_data_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """A file that already holds what is recorded keeps its inode."""
    root = a_root(tmp_path, raw="r\n")
    track(root, "raw")
    a_project(root).link_data_sources()
    before = (root / "raw").stat().st_ino
    a_project(root).link_data_sources()
    assert (root / "raw").stat().st_ino == before


def test_outputs_of_stages_outside_the_plan_are_put_in_place(tmp_path: Path) -> None:
    """A single stage finds what others made earlier, although they are not gone through."""
    text = "stages:\n  a:\n    cmd: echo a > a\n    outs: [a]\n  b:\n    cmd: cp a b\n    deps: [a]\n    outs: [b]\n"
    root = a_root(tmp_path, dvc_yaml=text)
    assert reproduce(root).error is None
    (root / "a").unlink()
    (root / "b").unlink()
    done = reproduce(root, ("-s", "b"))
    assert done.steps == [("restored", "b")]
    assert (root / "a").read_text() == "a\n"


def test_an_unchanged_stage_is_left_alone_and_a_lost_output_is_restored(tmp_path: Path) -> None:
    """Nothing changed is nothing to do; an output that is gone comes from the cache, known from dvc.lock."""
    root = a_root(tmp_path, dvc_yaml=COPY.format("src"), src="s")
    reproduce(root)
    project = a_project(root)
    (stage,) = project.order()
    assert project.examine(stage) == Unchanged()
    (root / "out").unlink()
    verdict = project.examine(stage)
    assert isinstance(verdict, Restorable)
    assert (verdict.source, verdict.reasons) == ("lock", (Reason("output", "out", "deleted"),))
    project.restore(stage, verdict)
    assert project.examine(stage) == Unchanged()


def test_a_frozen_stage_is_never_run(tmp_path: Path) -> None:
    """What it lost is restored from the cache; what was edited is recorded; what is in neither place is named."""
    frozen = COPY.format("src") + "    frozen: true\n"
    root = a_root(tmp_path, dvc_yaml=COPY.format("src"), src="s")
    reproduce(root)
    write_files(root, {"dvc.yaml": frozen, "src": "changed"})
    assert reproduce(root).steps == [("unchanged", "copy")]
    (root / "out").unlink()
    assert reproduce(root).steps == [("restored", "copy")]
    assert (root / "out").read_text() == "s"
    write_files(root, {"out": "edited"})
    assert reproduce(root).steps == [("frozen", "copy")]
    (root / "out").unlink()
    for file in (root / ".dvc" / "cache" / "files").rglob("*"):
        if file.is_file():
            file.unlink()
    assert isinstance(reproduce(root).error, MissingOutputError)


def test_data_listed_file_by_file_needs_no_manifest(tmp_path: Path) -> None:
    """A .dvc file of a versioned remote lists its files; the directory is put together from their objects."""
    root = a_root(tmp_path, data__x="x", data__sub__y="y")
    cache = a_cache(root)
    listed = []
    for name in ("sub/y", "x"):
        content = Hasher().content(str(root / "data" / name))
        assert content is not None
        cache.store_content(content, root / "data" / name)
        listed.append(f"  - {{relpath: {name}, md5: {content.fingerprint.md5}, size: 1, version_id: v}}\n")
    shutil.rmtree(root / "data")
    (root / "data.dvc").write_text(f"outs:\n- path: data\n  hash: md5\n  files:\n{''.join(listed)}")
    assert a_project(root).link_data_sources() == ()
    assert {path: (root / "data" / path).read_text() for path in ("x", "sub/y")} == {"x": "x", "sub/y": "y"}


def test_a_changed_stage_says_why(tmp_path: Path) -> None:
    """The reasons name every changed dependency and parameter."""
    text = "stages:\n  a:\n    cmd: cp src out\n    deps: [src, other]\n    params: [p, q, r]\n    outs: [out]\n"
    root = a_root(tmp_path, dvc_yaml=text, src="s", other="o", params_yaml="p: 1\nq: 1\nr: 1\n")
    assert reproduce(root).error is None
    write_files(root, {"other": "changed", "params.yaml": "p: 1.0\nq: '1'\nr: 1\n"})
    project = a_project(root)
    assert project.examine(project.order()[0]) == Changed(
        (Reason("dependency", "other", "modified"), Reason("parameter", "params.yaml:q", "modified"))
    )


def test_a_stage_that_can_not_run_says_what_it_lacks(tmp_path: Path) -> None:
    """A missing dependency is found before any output is removed."""
    root = a_root(tmp_path, dvc_yaml=COPY.format("src"), src="s")
    reproduce(root)
    (root / "src").unlink()
    project = a_project(root)
    with pytest.raises(MissingDependencyError) as caught:
        project.examine(project.order()[0])
    assert caught.value.path == "src"
    assert (root / "out").exists()


def test_a_missing_output_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    """A stage that did not write what it declares leaves no lock entry and no object."""
    root = a_root(
        tmp_path, dvc_yaml="stages:\n  a:\n    cmd: 'true'\n    deps: [src]\n    outs: [x, out]\n", src="s", x="1"
    )
    project = a_project(root)
    with pytest.raises(MissingOutputError) as caught:
        project.record(project.order()[0])
    assert (caught.value.path, caught.value.stages) == ("out", ("a",))
    assert not (root / "dvc.lock").exists()
    assert not (root / ".dvc" / "cache").exists()


def test_the_record_names_what_an_experiment_commits(tmp_path: Path) -> None:
    """dvc.yaml, dvc.lock, plain dependencies and uncached outputs, but nothing that is in the cache or outside."""
    text = """\
stages:
  a:
    cmd: cp src a && echo 1 > m
    deps: [src, raw, ../outer]
    params: [p, other.yaml: [q]]
    outs: [a]
    metrics: [m: {cache: false}]
  b:
    cmd: cp a b
    deps: [a, code]
    outs: [b]
"""
    root = a_root(
        tmp_path,
        sub__dvc_yaml=text,
        sub__src="s",
        sub__raw="r",
        sub__code__x="",
        sub__params_yaml="p: 1",
        sub__other_yaml="q: 1",
    )
    (root / "outer").write_text("o")
    (tmp_path / "outer").write_text("o")
    track(root / "sub", "raw")
    for name in ("cache", "raw.dvc"):
        assert (root / "sub" / (f".dvc/{name}" if name == "cache" else name)).exists()
    (root / ".dvc").mkdir()
    (root / "sub" / ".dvc" / "cache").rename(root / ".dvc" / "cache")
    (root / "sub" / ".dvc").rmdir()
    done = reproduce(root, (), root / "sub")
    assert done.error is None
    assert [record.tracked_paths for record in done.records] == [
        ("sub/dvc.yaml", "sub/dvc.lock", "sub/src", "outer", "sub/params.yaml", "sub/other.yaml", "sub/m"),
        ("sub/dvc.yaml", "sub/dvc.lock", "sub/code"),
    ]
    assert [record.address for record in done.records] == ["sub/dvc.yaml:a", "sub/dvc.yaml:b"]


def test_outputs_are_cleared_but_for_those_that_persist(tmp_path: Path) -> None:
    """Before a run outputs are gone, also a directory nobody may write in; a persistent one is there and writable."""
    text = "stages:\n  a:\n    cmd: x\n    outs: [d, link, p: {persist: true}]\n"
    root = a_root(tmp_path, dvc_yaml=text, d__x="1", p="p", precious__y="2")
    (root / "link").symlink_to("precious")
    project = a_project(root)
    (stage,) = project.order()
    project.record(stage)
    (root / "p").unlink()
    (root / "d").chmod(0o555)
    project.clear_outputs(stage)
    assert sorted(path.name for path in root.iterdir() if not path.name.startswith(".")) == [
        "dvc.lock",
        "dvc.yaml",
        "p",
        "precious",
    ]
    assert (root / "precious" / "y").exists()
    assert stat.S_IMODE((root / "p").stat().st_mode) & stat.S_IWUSR


def test_a_project_without_dvc_uses_the_cache_it_is_given(tmp_path: Path) -> None:
    """A repository that DVC never saw is reproduced as well."""
    root = a_root(tmp_path, dvc_yaml=COPY.format("src"), src="s")
    done = reproduce(root)
    assert done.steps == [("ran", "copy")]
    assert (root / ".dvc" / "cache" / "files" / "md5").is_dir()


TARGETS: dict[str, tuple[tuple[str, ...], Scope, list[str]]] = {
    "nothing": ((), Scope(), ["other/dvc.yaml:o", "g@1", "g@2", "t"]),
    "stage": (("t",), Scope(), ["other/dvc.yaml:o", "g@1", "t"]),
    "group": (("g",), Scope(), ["g@1", "g@2"]),
    "generated": (("g@2",), Scope(), ["g@2"]),
    "file": (("../other/dvc.yaml",), Scope(), ["other/dvc.yaml:o", "other/dvc.yaml:lone"]),
    "stage of a file": (("../other/dvc.yaml:lone",), Scope(), ["other/dvc.yaml:lone"]),
    "data": (("raw.dvc",), Scope(), []),
    "directory": (("../other",), Scope(recursive=True), ["other/dvc.yaml:o", "other/dvc.yaml:lone"]),
    "single": (("t",), Scope(reach=Reach.SINGLE), ["t"]),
    "downstream": (("g@1",), Scope(reach=Reach.DOWNSTREAM), ["g@1", "t"]),
    "pipeline": (("g@1",), Scope(reach=Reach.PIPELINE), ["other/dvc.yaml:o", "g@1", "t"]),
    "everything": ((), Scope(reach=Reach.EVERYTHING), ["other/dvc.yaml:o", "other/dvc.yaml:lone", "g@1", "g@2", "t"]),
}


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """A project with two pipelines, seen from `sub`."""
    return a_root(
        tmp_path,
        other__dvc_yaml="stages:\n  o:\n    cmd: echo > o\n    outs: [o]\n  lone:\n    cmd: echo\n",
        sub__dvc_yaml="stages:\n  t:\n    cmd: x\n    deps: [../other/o, o-1]\n  g:\n    foreach: [1, 2]\n    do:\n      cmd: echo\n      outs: ['o-${item}']\n",
        sub__raw_dvc="outs:\n- md5: abcdef\n  hash: md5\n  path: raw\n",
    )


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_selects_stages(nested: Path, name: str) -> None:
    """Names, files, groups, directories and the options of DVC select what they select there, producers first."""
    targets, scope, expected = TARGETS[name]
    project = a_project(nested, nested / "sub")
    found = [stage.address.removeprefix("sub/dvc.yaml:") for stage in project.order(targets, scope)]
    assert sorted(found) == sorted(expected)
    assert found.index("t") == len(found) - 1 if "t" in found and "g@2" not in found else True


@pytest.mark.parametrize("target", ["nope", "../dvc.yaml", "dvc.lock", "../other/dvc.yaml:nope", "raw"])
def test_a_target_that_names_nothing_is_an_error(nested: Path, target: str) -> None:
    """What is no stage and no file of stages is refused, with a hint."""
    with pytest.raises(TargetError) as caught:
        a_project(nested, nested / "sub").order((target,))
    assert caught.value.hint


def test_a_stage_has_the_address_that_dvc_gives_it_here(nested: Path) -> None:
    """DVC_STAGE names a stage from where the submitter stands."""
    project = a_project(nested, nested / "sub")
    addresses = {project.address(stage) for stage in project.order(scope=Scope(reach=Reach.EVERYTHING))}
    assert addresses == {"t", "g@1", "g@2", "../other/dvc.yaml:o", "../other/dvc.yaml:lone"}


def test_a_dvc_file_with_commands_is_refused_when_it_is_needed(tmp_path: Path) -> None:
    """The stages of DVC 0 are not run, and that is said; a plan without them goes on."""
    root = a_root(
        tmp_path,
        dvc_yaml="stages:\n  a:\n    cmd: x\n    deps: [o]\n  b: {cmd: y}\n",
        o_dvc="cmd: echo > o\nouts:\n- md5: abcdef\n  path: o\n",
    )
    project = a_project(root)
    assert [stage.name for stage in project.order(("b",))] == ["b"]
    with pytest.raises(PipelineError) as caught:
        project.order(("a",))
    assert caught.value.path == "o.dvc"


SHELLS = {
    "/bin/bash": ["/bin/bash", "--noprofile", "--norc", "-c"],
    "/usr/bin/zsh": ["/usr/bin/zsh", "--no-rcs", "-c"],
    "/bin/dash": ["/bin/dash", "-c"],
    "": ["/bin/sh", "-c"],
}


@pytest.mark.parametrize("shell", SHELLS)
def test_each_line_gets_a_shell_of_its_own(shell: str) -> None:
    """A text is one command a line, a list one an item, each for the user's shell without its start-up files."""
    lines = a_stage("one\n\ntwo\n")
    items = a_stage(("one\ntwo", "three"))
    assert shell_commands(lines, {"SHELL": shell}) == [[*SHELLS[shell], line] for line in ("one", "", "two")]
    assert shell_commands(items, {"SHELL": shell}) == [[*SHELLS[shell], line] for line in ("one\ntwo", "three")]


def a_stage(commands: Commands) -> Stage:
    """A stage with these commands."""
    return Stage(name="a", dvcyaml="dvc.yaml", directory="/", wdir="/", commands=commands)


def test_nothing_of_ours_is_left_in_the_worktree(tmp_path: Path) -> None:
    """After a run with every kind of link there is no temporary file, and Git sees what DVC would leave."""
    for kind in ("copy", "hardlink", "symlink"):
        root = a_root(tmp_path / kind, dvc_yaml=COPY.format("src"), src="s")
        write_files(root, {".dvc/config": f"[cache]\n    type = {kind}\n"})
        (root / ".git").rmdir()
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        reproduce(root)
        assert sorted(path.name for path in root.iterdir()) == [
            ".dvc",
            ".git",
            ".gitignore",
            "dvc.lock",
            "dvc.yaml",
            "out",
            "src",
        ]
