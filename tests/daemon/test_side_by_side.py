"""Stages of one run side by side: they run at once, and what they leave is what one after the other would have left."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.pipeline.driver import a_project
from daemon.pipeline.oracle import write_files
from expd.execute.commands import end_tree
from expd.execute.flights import Flights
from expd.execute.freezing import Freezer
from expd.execute.marks import marks_of
from expd.execute.patience import Patience
from expd.execute.runlog import RunLog
from expd.execute.stages import CommandEnded, StagesDone, Surroundings, plan_stages, run_stages
from expd.execute.timings import Timings
from expd.pipeline.waiting import waits
from expproto.stage_options import OnFailure, StageOptions
from helpers.daemons import DEADLINE_SECONDS
from helpers.waiting import eventually


class Pipeline:
    """A project in a directory, and what a run of it told."""

    def __init__(self, base: Path, stages: str) -> None:
        self.base = base
        self.root = base / "root"
        write_files(self.root, {"dvc.yaml": f"stages:\n{stages}", "raw": "raw\n", ".git/HEAD": ""})
        self.told = list[str]()
        self.log = base / "log"

    async def run(self, jobs: int, on_failure: OnFailure = OnFailure.STOP) -> StagesDone:
        """Go through all stages."""

        async def tell(stages: str) -> None:
            await trio.lowlevel.checkpoint()
            self.told.append(stages)

        log = RunLog(self.log, Timings())
        surroundings = Surroundings(
            environment={"PATH": os.environ["PATH"], "BASE": str(self.base)},
            log=log,
            flights=Flights(self.base / "flights", "this run"),
            tell_stage=tell,
            patience=Patience(self.hear_obstacle),
            freezer=Freezer(),
            options=StageOptions(stage_jobs=jobs, on_failure=on_failure),
        )
        try:
            with trio.fail_after(DEADLINE_SECONDS):
                project = a_project(self.root)
                return await run_stages(project, plan_stages(project, (), surroundings), surroundings)
        finally:
            log.close()

    async def hear_obstacle(self, what: str | None) -> None:
        """There is none."""
        raise AssertionError(what)

    def fifo(self, name: str) -> Path:
        """Give a FIFO that stages know as $BASE/name."""
        os.mkfifo(self.base / name)
        return self.base / name

    def locked(self) -> list[str]:
        """Give the names in dvc.lock, in order."""
        lines = (self.root / "dvc.lock").read_text().splitlines()
        return [line.strip(" :") for line in lines if line.startswith("  ") and line[2] != " "]

    def left(self) -> dict[str, tuple[int, bytes]]:
        """Give the mode and the bytes of every file, those of the cache among them."""
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return {
            str(path.relative_to(self.root)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) for path in files
        }


async def test_independent_stages_run_at_once(tmp_path: Path) -> None:
    """Two stages that each wait for a word of the other end well; while both run, both are told of."""
    pipeline = Pipeline(
        tmp_path,
        "  left: {cmd: echo word > $BASE/right; cat $BASE/left > l, outs: [l]}\n"
        "  right: {cmd: cat $BASE/right > r; echo word > $BASE/left, outs: [r]}\n",
    )
    pipeline.fifo("left")
    pipeline.fifo("right")

    done = await pipeline.run(2)

    assert [record.name for record in done.ran] == ["left", "right"]
    assert pipeline.told[:2] in (["left", "left, right"], ["right", "right, left"])
    assert pipeline.told[2] in {"left", "right"}


async def test_files_are_written_in_the_order_of_the_plan(tmp_path: Path) -> None:
    """A stage that ends first stands in dvc.lock and .gitignore where the plan has it."""
    pipeline = Pipeline(
        tmp_path,
        "  first: {cmd: cat $BASE/gate > f, outs: [f]}\n"
        "  second: {cmd: echo second > s, outs: [s]}\n"
        "  third: {cmd: cat s > t; echo open > $BASE/gate, deps: [s], outs: [t]}\n",
    )
    pipeline.fifo("gate")

    await pipeline.run(2)

    assert pipeline.locked() == ["first", "second", "third"]
    assert (pipeline.root / ".gitignore").read_text() == "/f\n/s\n/t\n"


FAILING = """\
  bad: {cmd: cat $BASE/started; exit 3, outs: [b]}
  good: {cmd: echo yes > $BASE/started; cat $BASE/gate > g, outs: [g]}
  last: {cmd: echo last > l, outs: [l]}
"""


@pytest.mark.parametrize(
    ("on_failure", "locked"), [(OnFailure.STOP, ["good"]), (OnFailure.KEEP_GOING, ["good", "last"])]
)
async def test_failure_lets_the_others_end(tmp_path: Path, on_failure: OnFailure, locked: list[str]) -> None:
    """When a stage fails those beside it end and are recorded, nothing else starts, and the failure is the outcome."""
    pipeline = Pipeline(tmp_path, FAILING)
    pipeline.fifo("started")
    gate = pipeline.fifo("gate")

    marks = marks_of(pipeline.log)

    def open_after_failure() -> None:
        eventually(lambda: marks.exists() and "'bad' failed" in marks.read_text(), "the failure is told")
        gate.write_text("open\n")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, open_after_failure)
        with pytest.raises(CommandEnded) as failure:
            await pipeline.run(2, on_failure)

    assert (failure.value.stage, failure.value.return_code) == ("bad", 3)
    assert pipeline.locked() == locked
    assert (pipeline.root / ".gitignore").read_text() == "".join(f"/{name[0]}\n" for name in locked)


async def test_cancelled_run_knows_what_it_made(tmp_path: Path) -> None:
    """When a run is cancelled, a stage that had ended before one that precedes it is in dvc.lock all the same."""
    pipeline = Pipeline(
        tmp_path,
        "  first: {cmd: cat $BASE/never > f, outs: [f]}\n"
        "  second: {cmd: echo second > s, outs: [s]}\n"
        "  third: {cmd: echo there > $BASE/arrived; cat $BASE/never, deps: [s], outs: [t]}\n",
    )
    pipeline.fifo("never")
    arrived = pipeline.fifo("arrived")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pipeline.run, 2)
        await trio.to_thread.run_sync(arrived.read_text)
        nursery.cancel_scope.cancel()
    await end_tree((), 0.0)

    assert pipeline.locked() == ["second"]


def test_who_reads_what_is_written_waits_for_it(tmp_path: Path) -> None:
    """A directory with an output of somebody holds a .gitignore: it is whole when all before in the plan have ended."""
    pipeline = Pipeline(
        tmp_path,
        "  slow: {cmd: echo slow > s, outs: [s]}\n"
        "  maker: {cmd: echo x > shared/x, outs: [shared/x]}\n"
        "  user: {cmd: cat shared/x, deps: [shared]}\n"
        "  other: {cmd: cat shared/x, deps: [shared/x]}\n",
    )
    project = a_project(pipeline.root)

    found = waits(project.order(), project.graph)

    assert found == {
        "slow": frozenset(),
        "maker": frozenset(),
        "user": {"slow", "maker"},
        "other": {"maker"},
    }


@st.composite
def pipelines(draw: st.DrawFn) -> str:
    """A few stages in any order, of which each reads from some before it; the last may read a directory of outputs."""
    stages, readable = list[str](), ["raw"]
    for number in range(draw(st.integers(2, 6))):
        deps = draw(st.lists(st.sampled_from(readable), max_size=2, unique=True))
        out = f"{draw(st.sampled_from(['', 'shared/', 'other/']))}f{number}"
        kind = draw(st.sampled_from(["outs: [{}]", "metrics: [{}: {{cache: false}}]"]))
        fails = draw(st.sampled_from(["", "", "", "; exit 3"]))
        command = f"cat {' '.join(['/dev/null', *deps])} > {out}; echo {number} >> {out}{fails}"
        stages.append(f"  s{number}: {{cmd: '{command}', deps: [{', '.join(deps)}], {kind.format(out)}}}\n")
        readable.append(out)
    if draw(st.booleans()):
        stages.append("  z: {cmd: 'cat shared/* > all', deps: [shared], outs: [all]}\n")
    return "".join(draw(st.permutations(stages)))


@settings(max_examples=8, deadline=None)
@given(stages=pipelines(), on_failure=st.sampled_from([OnFailure.KEEP_GOING, OnFailure.IGNORE]))
def test_side_by_side_leaves_what_one_after_the_other_leaves(stages: str, on_failure: OnFailure) -> None:
    """Whatever the pipeline: the same bytes in dvc.lock, .gitignore, outputs and cache, and the same failure."""

    def outcome(base: Path, jobs: int) -> tuple[str, dict[str, tuple[int, bytes]]]:
        pipeline = Pipeline(base, stages)
        write_files(pipeline.root, {"shared/raw": "", "other/raw": ""})
        try:
            done = trio.run(pipeline.run, jobs, on_failure)
            said = f"ran {[record.name for record in done.ran]}"
        except CommandEnded:
            said = "failed"
        return said, pipeline.left()

    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as four:
        assert outcome(Path(one), 1) == outcome(Path(four), 4)
