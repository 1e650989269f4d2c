"""What is refused at submit because the run would not find it, against real repositories; and what is not."""

from pathlib import Path

import pytest

from expd.gitio.repository import Repository
from expd.pipeline.model import GraphError, PipelineError, TargetError
from expd.prepare.capture import capture_workspace
from expd.prepare.checks import check_pipeline
from expd.prepare.project import find_project
from expproto.stage_options import DEFAULT_STAGE_OPTIONS, OnFailure, Reach, StageOptions, names_pipelines
from helpers.repositories import a_repository, git, write_files

READS = "stages:\n  train: {{cmd: make it, deps: [{dep}]}}\n"
NO_OBJECT = "outs:\n- md5: 0123456789abcdef0123456789abcdef\n  size: 4\n  hash: md5\n  path: raw.csv\n"


def check(cwd: Path, *targets: str, options: StageOptions = DEFAULT_STAGE_OPTIONS) -> None:
    """Capture the workspace and check its pipeline, as a submission from `cwd` would."""
    project = find_project(cwd, command=None, is_pipeline_named=names_pipelines(options, targets))
    repository = Repository(project.location.git_directory)
    check_pipeline(repository, capture_workspace(repository).files_tree, project, targets, options=options)


def a_project(path: Path, files: dict[str, str]) -> Path:
    """Make a repository of a DVC project with these files, all of them captured unless ignored."""
    return a_repository(path / "project", {".dvc/config": "", **files})


@pytest.mark.parametrize(
    ("files", "dep"),
    [
        ({"train.py": ""}, "train.py"),
        ({"src/a/train.py": ""}, "src"),
        ({"src/a/train.py": ""}, "./src/a/"),
        ({".hidden": ""}, ".hidden"),
        ({"params.yaml": "a: 1\n"}, "."),
        ({"params.yaml": "a: 1\n"}, "/etc/passwd"),
    ],
)
def test_dependency_that_was_captured_is_found(tmp_path: Path, files: dict[str, str], dep: str) -> None:
    """A file, a directory that holds one, and what an absolute path names on this machine are there for the run."""
    check(a_project(tmp_path, {"dvc.yaml": READS.format(dep=dep), **files}))


@pytest.mark.parametrize(
    ("files", "dep", "why"),
    [
        ({}, "nope.csv", "does not exist"),
        ({".gitignore": "*.csv\n", "data/raw.csv": "1\n"}, "data/raw.csv", "Git ignores it"),
        ({".gitignore": "/data\n", "data/raw.csv": "1\n"}, "data", "Git ignores it"),
        ({}, "../outside.csv", "outside the repository"),
        ({}, "/no/such/file", "outside the repository"),
    ],
)
def test_dependency_that_was_not_captured_is_refused(tmp_path: Path, files: dict[str, str], dep: str, why: str) -> None:
    """The error names the stage, the path, and why the run would not find it."""
    project = a_project(tmp_path, {"dvc.yaml": READS.format(dep=dep), **files})

    with pytest.raises(PipelineError) as caught:
        check(project)

    assert f"{dep} of stage train" in caught.value.expected
    assert why in caught.value.hint
    assert caught.value.path == "dvc.yaml"


def test_parameter_file_that_was_not_captured_is_refused(tmp_path: Path) -> None:
    """Parameters are read from a file, and that file must be there."""
    project = a_project(tmp_path, {"dvc.yaml": "stages:\n  train: {cmd: make it, params: [lr]}\n"})

    with pytest.raises(PipelineError, match=r"the parameter file params\.yaml of stage train"):
        check(project)


def test_empty_directory_is_no_dependency(tmp_path: Path) -> None:
    """Git holds no empty directories, so a run would not find one."""
    project = a_project(tmp_path, {"dvc.yaml": READS.format(dep="data")})
    (project / "data").mkdir()

    with pytest.raises(PipelineError, match="holds no file"):
        check(project)


def test_file_of_a_nested_repository_is_no_dependency(tmp_path: Path) -> None:
    """What another repository holds is not captured, and the error says so."""
    project = a_project(tmp_path, {"dvc.yaml": READS.format(dep="lib/x.py")})
    a_repository(project / "lib", {"x.py": ""})

    with pytest.raises(PipelineError, match="belongs to another repository"):
        check(project)


@pytest.mark.parametrize("dep", ["made/deep/x.csv", "made", "sub/made.csv", "raw.csv"])
def test_dependency_that_something_makes_is_found(tmp_path: Path, dep: str) -> None:
    """An output, what lies in one, and a directory around one are made by stages, of this dvc.yaml or of another."""
    stages = READS.format(dep=dep) + "  make: {cmd: make it, outs: [made/deep]}\n"
    files = {
        "dvc.yaml": stages,
        "sub/dvc.yaml": "stages:\n  other: {cmd: make it, outs: [made.csv]}\n",
        "raw.csv.dvc": NO_OBJECT,
        "raw.csv": "1\n",
        ".gitignore": "/raw.csv\n",
    }

    check(a_project(tmp_path, files))


def test_only_planned_stages_are_checked(tmp_path: Path) -> None:
    """A stage that neither is a target nor is needed for one may lack what it wants; so may a frozen one."""
    stages = "a: {cmd: make it, outs: [a.txt]}\n  b: {cmd: make it, deps: [nope]}\n  c: {cmd: make it, deps: [nope], frozen: true}"
    project = a_project(tmp_path, {"dvc.yaml": f"stages:\n  {stages}\n"})

    check(project, "a", "c")
    with pytest.raises(PipelineError, match="of stage b"):
        check(project)


def test_producers_of_a_target_are_checked(tmp_path: Path) -> None:
    """A stage of another directory that has to run first is planned too."""
    files = {
        "dvc.yaml": READS.format(dep="sub/made.csv"),
        "sub/dvc.yaml": "stages:\n  other: {cmd: make it, deps: [nope], outs: [made.csv]}\n",
    }

    with pytest.raises(PipelineError, match="nope of stage other") as caught:
        check(a_project(tmp_path, files))
    assert caught.value.path == "sub/dvc.yaml"


@pytest.mark.parametrize(("target", "problem"), [("nope", TargetError), ("sub/dvc.yaml", TargetError)])
def test_target_that_is_not_there_is_refused(tmp_path: Path, target: str, problem: type[PipelineError]) -> None:
    """A stage or file that does not exist is named before anything is queued."""
    with pytest.raises(problem):
        check(a_project(tmp_path, {"dvc.yaml": "stages:\n  a: {cmd: make it}\n"}), target)


def test_fault_between_two_files_is_refused(tmp_path: Path) -> None:
    """Two dvc.yaml files that write the same output are found out before the run."""
    files = {
        "dvc.yaml": "stages:\n  a: {cmd: make it, outs: [sub/x]}\n",
        "sub/dvc.yaml": "stages:\n  b: {cmd: make it, outs: [x]}\n",
    }

    with pytest.raises(GraphError):
        check(a_project(tmp_path, files))


def test_what_dvc_does_not_look_at_is_not_checked(tmp_path: Path) -> None:
    """A dvc.yaml that .dvcignore hides, or that belongs to a project of its own, is nobody's business."""
    files = {
        "dvc.yaml": "stages:\n  a: {cmd: make it}\n",
        ".dvcignore": "old/\n",
        "old/dvc.yaml": "no: pipeline\n",
        "own/.dvc/config": "",
        "own/dvc.yaml": "no: pipeline\n",
    }

    check(a_project(tmp_path, files))


def test_data_without_its_object_is_refused(tmp_path: Path) -> None:
    """Data that is neither in the cache nor in the workspace is named, with the command that brings it."""
    project = a_project(tmp_path, {"dvc.yaml": READS.format(dep="raw.csv"), "raw.csv.dvc": NO_OBJECT})

    with pytest.raises(PipelineError, match=r"raw\.csv.*stage train.*dvc pull raw\.csv\.dvc"):
        check(project)


def test_data_that_no_planned_stage_reads_may_be_missing(tmp_path: Path) -> None:
    """Tracked data that nothing needs is not pulled for this run."""
    check(a_project(tmp_path, {"dvc.yaml": "stages:\n  a: {cmd: make it}\n", "raw.csv.dvc": NO_OBJECT}))


def test_dependency_behind_a_link_is_found(tmp_path: Path) -> None:
    """A link is followed to what was captured; one that leads out of the repository is taken at its word."""
    project = a_project(tmp_path, {"dvc.yaml": READS.format(dep="data/x.csv"), "real/x.csv": "1\n"})
    (project / "data").symlink_to("real")
    check(project)

    (project / "data").unlink()
    (project / "data").symlink_to(tmp_path)
    check(project)

    (project / "data").unlink()
    (project / "data").symlink_to("nowhere")
    with pytest.raises(PipelineError, match="does not exist"):
        check(project)


def test_project_below_the_repository_reads_beside_itself(tmp_path: Path) -> None:
    """A DVC project in a subdirectory may depend on files of the repository outside it."""
    repository = a_repository(tmp_path / "whole", {"common.py": "", "sub/.dvc/config": ""})
    write_files(repository / "sub", {"dvc.yaml": READS.format(dep="../common.py")})
    check(repository / "sub")

    git(repository, "rm", "--quiet", "common.py")
    with pytest.raises(PipelineError, match=r"\.\./common\.py of stage train"):
        check(repository / "sub")


def test_stages_are_checked_as_far_as_the_run_reaches(tmp_path: Path) -> None:
    """A single stage is checked alone, everything with what lies in other directories, also without a dvc.yaml here."""
    files = {
        "one/dvc.yaml": "stages:\n  a: {cmd: make it, outs: [a]}\n  b: {cmd: make it, deps: [a]}\n",
        "two/dvc.yaml": "stages:\n  c: {cmd: make it, deps: [nope]}\n",
    }
    project = a_project(tmp_path, files)

    check(project, "one/dvc.yaml:b", options=StageOptions(reach=Reach.SINGLE))
    check(project, "one", options=StageOptions(recursive=True))
    with pytest.raises(PipelineError, match="nope of stage c"):
        check(project, options=StageOptions(reach=Reach.EVERYTHING))
    with pytest.raises(PipelineError, match="nope of stage c"):
        check(project, "two", options=StageOptions(recursive=True))


@pytest.mark.parametrize(
    ("options", "data", "dependency"),
    [
        (StageOptions(pull=True), True, False),
        (StageOptions(allow_missing=True), True, True),
        (StageOptions(on_failure=OnFailure.IGNORE), True, True),
        (StageOptions(on_failure=OnFailure.KEEP_GOING), False, False),
    ],
)
def test_what_is_missing_may_be_where_the_options_say_so(
    tmp_path: Path, options: StageOptions, *, data: bool, dependency: bool
) -> None:
    """Data may be in the remote with --pull; with --allow-missing and --ignore-errors anything may be missing."""
    of_data = a_project(tmp_path / "data", {"dvc.yaml": READS.format(dep="raw.csv"), "raw.csv.dvc": NO_OBJECT})
    of_files = a_project(tmp_path / "files", {"dvc.yaml": READS.format(dep="nope.csv")})

    for project, may_be_missing in ((of_data, data), (of_files, dependency)):
        if may_be_missing:
            check(project, options=options)
        else:
            with pytest.raises(PipelineError):
                check(project, options=options)
