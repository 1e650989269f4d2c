"""The options of `dvc exp run` for stages: the real DVC and expd run the same stages and commit the same bytes."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.daemons import RunningDaemon, a_daemon
from helpers.repositories import a_repository, git
from interop.test_pipeline_repro import Step, ask_dvc

pytestmark = pytest.mark.interop

PIPELINE = """\
stages:
  prepare:
    cmd: sh step.sh prepare data raw.txt
    deps: [raw.txt]
    params: [p]
    outs: [data]
  left:
    cmd: sh step.sh left left.txt data
    deps: [data]
    params: [l]
    outs: [left.txt]
  right:
    cmd: sh step.sh right right.txt data
    deps: [data]
    params: [r]
    outs: [right.txt]
  join:
    cmd: sh step.sh join joined.json left.txt right.txt
    deps: [left.txt, right.txt]
    metrics: [joined.json: {cache: false}]
  lasting:
    cmd: sh step.sh lasting lasting.txt right.txt
    deps: [right.txt]
    outs: [lasting.txt: {persist: true}]
"""
OTHER = """\
stages:
  other:
    cmd: sh ../step.sh other other.txt ../params.yaml
    params: [../params.yaml: [o]]
    outs: [other.txt]
  last:
    cmd: sh ../step.sh last last.txt other.txt
    deps: [other.txt]
    outs: [last.txt]
"""
STEP = """\
name=$1 out=$2; shift 2
echo "$name" >> "$TRACES/$DVC_EXP_NAME"
cat "$@" params.yaml 2> /dev/null | md5sum | sed 's/.*/{"x": "&"}/; s/ *-//' > "$out"
grep -qx "fail: $name" params.yaml ../params.yaml 2>/dev/null && exit 3
exit 0
"""
PROJECT = {
    "dvc.yaml": PIPELINE,
    "sub/dvc.yaml": OTHER,
    "step.sh": STEP,
    "params.yaml": "p: 1\nl: 1\nr: 1\no: 1\nfail: nobody\n",
    ".gitignore": "/data\n/left.txt\n/right.txt\n/lasting.txt\n/raw.txt\n",
    "sub/.gitignore": "/other.txt\n/last.txt\n",
}


EVERYTHING = "the whole cache"
"""What a case may lack, the run cache included."""


@dataclass(frozen=True)
class Case:
    """Arguments of `dvc exp run` and `expctl run --temp`; `lost` are what the cache and the workspace lack at that moment."""

    name: str
    arguments: tuple[str, ...]
    lost: tuple[str, ...] = ()
    any_order: bool = False  # DVC walks a set of targets that is less than half of the graph
    in_workspace: bool = False  # in a worktree DVC checks out the targets and what they need, and misses the rest


def a_case(name: str, arguments: str, *lost: str, any_order: bool = False, in_workspace: bool = False) -> Case:
    """Make a case from words as they are typed."""
    return Case(name, tuple(arguments.split()), lost, any_order, in_workspace)


CASES = (
    a_case("pipeline", "-p left -S l=14 -S o=14", any_order=True, in_workspace=True),
    a_case("downstream", "--downstream left -S p=17 -S l=17", any_order=True, in_workspace=True),
    a_case("downstream-upstream-changed", "--downstream right -S r=18", any_order=True, in_workspace=True),
    a_case("nothing", ""),
    a_case("one-changed", "-S l=10"),
    a_case("force", "-f -S l=11"),
    a_case("single", "-s join -S l=12"),
    a_case("single-two", "-s left join -S l=13 -S r=13"),
    a_case("all-pipelines", "-P -S l=15 -S o=15"),
    a_case("recursive", "-R sub -S l=16 -S o=16"),
    a_case("force-downstream", "--force-downstream -S fail=none1 -S p=1 -S l=19"),
    a_case("force-downstream-nothing", "--force-downstream -S fail=none2"),
    a_case("force-downstream-from-cache", "--force-downstream -S l=10"),
    a_case("failing", "-S l=20 -S fail=left"),
    a_case("keep-going", "-k -S l=21 -S r=21 -S fail=left"),
    a_case("keep-going-above-all", "-k -S p=22 -S fail=prepare"),
    a_case("keep-going-single", "-k -s left join -S l=23 -S fail=left"),
    a_case("keep-going-well", "-k -S l=24"),
    a_case("ignore-errors", "--ignore-errors -S l=25 -S r=25 -S fail=left"),
    a_case("ignore-errors-last", "--ignore-errors -S r=26 -S fail=lasting"),
    a_case("target", "left -S l=27 -S r=27"),
    a_case("target-of-file", "sub/dvc.yaml:last -S o=28"),
    a_case("allow-missing", "--allow-missing -S r=30", "raw.txt"),
    a_case("allow-missing-all", "--allow-missing", "raw.txt", "data", "left.txt", "right.txt", "lasting.txt"),
    a_case("allow-missing-needed", "--allow-missing -S l=31", "data"),
    a_case("missing", "-S p=32", "raw.txt"),
    a_case("missing-ignore-errors", "--ignore-errors -P -S p=33 -S o=33", "raw.txt"),
    a_case("pull", "--pull -S p=34", "raw.txt"),
    a_case("pull-unchanged", "--pull", "raw.txt", "data", "left.txt", "right.txt", "lasting.txt"),
    a_case("pull-upstream", "--pull -S l=35", "data", "raw.txt"),
    a_case("pull-single", "--pull -s left -S l=36", "data", "raw.txt"),
    a_case("pull-allow-missing", "--pull --allow-missing -S l=37", "data", "raw.txt"),
    a_case("pull-known-runs", "--pull -S p=99 -S l=38", EVERYTHING),
)


@dataclass(frozen=True)
class Seen:
    """What one side did: which stages ran, in order, and the experiment's files, its message among them; None without."""

    ran: list[str]
    files: dict[str, str] | None


@dataclass(frozen=True)
class Sides:
    """What both sides did in each case, and what they said."""

    theirs: dict[str, Seen]
    ours: dict[str, Seen]
    said: dict[str, str]


class Side:
    """One of two copies of the project, with a directory for what its stages tell of themselves."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.project = base / "project"
        self.traces = base / "traces"

    def lost(self, paths: tuple[str, ...]) -> list[Path]:
        """Give the objects in the cache that hold these, and what was linked to them in the workspace."""
        cache = self.project / ".dvc" / "cache"
        if paths == (EVERYTHING,):
            return [path for path in cache.rglob("*") if path.is_file()]
        files = cache / "files" / "md5"
        texts = (self.project / name for name in ("raw.txt.dvc", "dvc.lock"))
        lines = [line.split() for text in texts for line in text.read_text().splitlines()]
        found = []
        for path in paths:
            at = next(number for number, words in enumerate(lines) if words[-2:] == ["path:", path])
            near = lines[at - 4 : at + 4]
            md5 = next(words[-1] for words in (near if path == "raw.txt" else near[4:]) if "md5:" in words)
            found += [self.project / path, files / md5[:2] / md5[2:]]
        return found

    def seen(self, name: str) -> Seen:
        """Look at what an experiment of this name left."""
        trace = self.traces / name
        ran = trace.read_text().split() if trace.exists() else []
        head = git(self.project, "rev-parse", "HEAD")
        ref = f"refs/exps/{head[:2]}/{head[2:]}/{name}"
        if not git(self.project, "for-each-ref", ref):
            return Seen(ran, None)
        listed = git(self.project, "ls-tree", "-r", "--format=%(path) %(objectmode)", ref).splitlines()
        files = {line: git(self.project, "show", f"{ref}:{line.split()[0]}") for line in listed}
        return Seen(ran, {**files, "message": git(self.project, "log", "-1", "--format=%s", ref)})


def a_project(base: Path, store: Path) -> Path:
    """Make the project, reproduced once, committed, and pushed to a remote that is a directory."""
    project = a_repository(base / "project", PROJECT)
    (project / "raw.txt").write_text("raw\n")
    os.environ["TRACES"] = str(base)
    os.environ["DVC_EXP_NAME"] = "first"
    params = {text: PROJECT["params.yaml"].replace("p: 1", text) for text in ("p: 99", "p: 1")}
    words: tuple[list[str], ...] = (
        ["init", "--quiet"],
        ["add", "--quiet", "raw.txt"],
        ["remote", "add", "--quiet", "-d", "store", str(store)],
        ["repro", "--quiet", "--all-pipelines"],  # a run that no commit has: only the run cache knows of it
        ["push", "--quiet", "--run-cache"],
        ["repro", "--quiet", "--all-pipelines"],
        ["push", "--quiet", "--run-cache"],
    )
    writes: tuple[dict[str, str], ...] = (
        {},
        {},
        {},
        {"params.yaml": params["p: 99"]},
        {},
        {"params.yaml": params["p: 1"]},
        {},
    )
    answers = ask_dvc(
        [{"directory": str(project), "write": write, "argv": argv} for argv, write in zip(words, writes, strict=True)],
        base.parent,
    )
    assert [code for code, _output in answers] == [0] * len(words), answers
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "reproduced")
    return project


def by_dvc(side: Side, home: Path) -> dict[str, str]:
    """Let DVC run all cases, as far as it can in worktrees of their own; gives what it said."""
    steps: list[Step] = []
    for case in CASES:
        if case.in_workspace:
            clean: Step = {"directory": str(side.project), "write": {}, "argv": ["git", "reset", "--quiet", "--hard"]}
            steps += [a_checkout(side), a_step(side, case), clean]
    steps += [a_step(side, case, "--temp") for case in CASES if not case.in_workspace]
    outputs = [(step["argv"], said) for step, (_code, said) in zip(steps, ask_dvc(steps, home), strict=True)]
    return {argv[argv.index("-n") + 1]: said for argv, said in outputs if isinstance(argv, list) and "-n" in argv}


def a_checkout(side: Side) -> Step:
    """Give a step of DVC that puts the outputs of HEAD in place."""
    return {"directory": str(side.project), "write": {}, "argv": ["checkout", "--force"]}


def a_step(side: Side, case: Case, *options: str) -> Step:
    """Give a case as a step of DVC."""
    return {
        "directory": str(side.project),
        "write": {str(path): None for path in side.lost(case.lost)},
        "argv": ["exp", "run", *options, "-n", case.name, *case.arguments],
    }


def by_expd(side: Side, case: Case, daemon: RunningDaemon) -> str:
    """Run a case in a worktree of its own; gives what was said."""
    for path in side.lost(case.lost):
        path.unlink(missing_ok=True)
    result = daemon.run_expctl(side.project, "run", "--temp", "-n", case.name, *case.arguments)
    return (result.stdout + result.stderr).decode()


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """Give what both sides did, in two equal copies, case after case."""
    base = tmp_path_factory.mktemp("options")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACES", "")
        patch.setenv("DVC_EXP_NAME", "")
        a_project(base / "start", base / "store")
        patch.delenv("DVC_EXP_NAME")
        theirs, ours = Side(base / "dvc"), Side(base / "expd")
        found = Sides({}, {}, {})
        for side in (theirs, ours):
            shutil.copytree(base / "start", side.base, symlinks=True)
            side.traces.mkdir()
        patch.setenv("TRACES", str(theirs.traces))
        found.said.update(by_dvc(theirs, base))
        for case in CASES:
            found.theirs[case.name] = theirs.seen(case.name)
        patch.setenv("TRACES", str(ours.traces))
        with a_daemon() as daemon:
            for case in CASES:
                found.said[case.name] += "\n--- expd ---\n" + by_expd(ours, case, daemon)
                found.ours[case.name] = ours.seen(case.name)
        yield found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_run_the_same_stages(sides: Sides, case: Case) -> None:
    """The same stages run their commands, in the same order, and the others don't."""
    in_order = sorted if case.any_order else list
    ours, theirs = sides.ours[case.name], sides.theirs[case.name]
    assert in_order(ours.ran) == in_order(theirs.ran), sides.said[case.name]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_commit_the_same_experiment(sides: Sides, case: Case) -> None:
    """There is an experiment on both sides or on neither, with the same files, dvc.lock among them, and message."""
    assert sides.ours[case.name].files == sides.theirs[case.name].files, sides.said[case.name]


def test_a_run_that_only_the_remote_knows_is_not_repeated(sides: Sides) -> None:
    """With nothing in the cache, --pull brings the runs of others and what they made: what is new or persists runs."""
    assert sides.ours["pull-known-runs"].ran == ["left", "join", "lasting"], sides.said["pull-known-runs"]
