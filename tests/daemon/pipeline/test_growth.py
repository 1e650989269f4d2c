"""Work grows with the pipeline and no faster: counted in function calls, which are the same on every machine."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from expd.pipeline.cache import Cache
from expd.pipeline.graph import build_graph
from expd.pipeline.locktext import LockText
from expd.pipeline.model import Dependency, Output, Stage
from expd.pipeline.project import Project, open_project
from helpers.repositories import write_files

FEW, MANY = 50, 400


def _calls(work: Callable[[], object]) -> int:
    """Count the calls of functions, Python's and C's, that a piece of work makes."""
    count = 0

    def see(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def _stages(count: int) -> list[Stage]:
    """Chains of ten stages, each of which reads what the one before has made."""
    return [
        Stage(
            name=f"s{number}",
            dvcyaml="dvc.yaml",
            directory="/r",
            wdir="/r",
            commands="x",
            deps=(Dependency(path="x", location=f"/r/o{number - 1}" if number % 10 else "/r/source"),),
            outs=(Output(path=f"o{number}", location=f"/r/o{number}"),),
        )
        for number in range(count)
    ]


def _recorded(root: Path, count: int) -> Project:
    """A project of so many stages, all of which are recorded but the last two."""
    lines = [f"  s{number}: {{cmd: x, deps: [source], outs: [{number % 50}/o{number}]}}\n" for number in range(count)]
    write_files(root, {"dvc.yaml": "stages:\n" + "".join(lines), "source": "x\n", ".git/HEAD": ""})
    write_files(root, {f"{number % 50}/o{number}": "x\n" for number in range(count)})
    project = open_project(root, root, cache=Cache(root / "cache"))
    entry = project.record(project.order()[0]).entry
    lock = LockText("")
    for stage in project.order()[:-2]:
        lock.set(stage.name, entry)
    (root / "dvc.lock").write_text(lock.text)
    return open_project(root, root, cache=Cache(root / "cache"))


def _calls_of_ordering(count: int) -> int:
    stages = _stages(count)
    return _calls(lambda: build_graph(stages, "/r").order())


def _calls_of_recording(root: Path, count: int) -> int:
    """Count the calls for one stage, when the file has been read and rewritten before."""
    project = _recorded(root, count)
    *_, before, last = project.order()
    project.record(before)
    calls = _calls(lambda: project.record(last))
    assert (root / "dvc.lock").read_text().count("cmd: x\n") == count
    return calls


def test_a_graph_of_ten_times_the_stages_is_ten_times_the_work() -> None:
    """Edges are found by place, not by comparing every stage with every other."""
    assert _calls_of_ordering(1000) < 11 * _calls_of_ordering(100)


def test_recording_a_stage_is_the_same_work_in_a_pipeline_of_any_size(tmp_path: Path) -> None:
    """dvc.lock is written anew with every stage, but only the block of that stage is made anew: no other is even looked at."""
    few, many = _calls_of_recording(tmp_path / "few", FEW), _calls_of_recording(tmp_path / "many", MANY)

    assert many - few < MANY - FEW
