"""`expctl why`: the facts in words, the log's end made harmless, and what to try."""

from dataclasses import replace
from pathlib import Path

import pytest

from client.conftest import Expctl
from client.scripted import RESULT, an_entry, serving
from expctl.hints import hints
from expctl.render.why import LINES_MAX, last_lines
from expproto.context import Usage
from expproto.progress import RunProgress, StageProgress
from expproto.replies import TAIL_BYTES, Diagnosed
from expproto.requests import Why
from expproto.vocabulary import (
    Cancelled,
    EntryState,
    Failed,
    Killed,
    Limit,
    Lost,
    NotStarted,
    Outcome,
    OutOfMemory,
    Phase,
    Refused,
    Succeeded,
    TimedOut,
)


def diagnosed(outcome: Outcome | None, *, state: EntryState = EntryState.DONE, tail: bytes = b"") -> Diagnosed:
    """Give what the daemon tells of an entry with this end."""
    return Diagnosed(
        entry=an_entry(state=state, outcome=outcome, exit_code=3),
        phase=Phase.STAGE,
        stage="train",
        command="python train.py",
        seconds=75.0,
        usage=Usage(user_seconds=60.0, system_seconds=2.0, rss_bytes_max=512 * 1024 * 1024),
        oom_kills=0,
        kept="/r/.git/expd/kept/1",
        tail=tail,
        log_bytes=len(tail),
    )


FAILED = diagnosed(
    Failed(stage="train", exit_code=3), tail=b"epoch 1\nTraceback\nModuleNotFoundError: No module named 'torch'\n"
)


def test_the_facts_are_lines(sock: Path, expctl: Expctl) -> None:
    """One fact a line: what it is and its value; the last lines and what to try at the end."""
    with serving(sock, [[FAILED]]) as daemon:
        ran = expctl("why", "tuned")

    (request,) = daemon.requests
    assert isinstance(request, Why)
    assert (request.entry, ran.code) == ("tuned", 0)
    facts = [line.split("\t") for line in ran.out.splitlines()]
    assert ["outcome", "failed: train exited with 3"] in facts
    assert ["phase", "stage"] in facts
    assert ["command", "python train.py"] in facts
    assert ["time", "1m15s"] in facts
    assert ["memory", "512 MiB at most, in one process"] in facts
    assert ["kept", "/r/.git/expd/kept/1"] in facts
    assert ["last lines", "ModuleNotFoundError: No module named 'torch'"] in facts
    assert facts[-2:] == [["try", "and then expctl retry 1"], ["try", "or go on in what it left: expctl resume 1"]]


def test_how_far_the_run_was_is_told(sock: Path, expctl: Expctl) -> None:
    """Stages that ended well of all, what is still under way, DVCLive's step, and every metric that was written."""
    stage = StageProgress(name="train", started_at=1.0, command_hash=None)
    far = RunProgress(begun=3, done=2, total=4, stages=(stage,), step=7, metrics={"loss": 0.5, "f1": 0.25})
    with serving(sock, [[replace(FAILED, entry=replace(FAILED.entry, progress=far))]]):
        facts = [line.split("\t") for line in expctl("why", "tuned").out.splitlines()]

    start = facts.index(["stages done", "2 of 4"])
    assert facts[start + 1][0] == "under way"
    assert facts[start + 1][1].startswith("train: ")
    assert facts[start + 2 : start + 5] == [["step", "7"], ["metric", "loss=0.5"], ["metric", "f1=0.25"]]


def test_the_document_has_the_same(sock: Path, expctl: Expctl) -> None:
    """With --json the outcome has its fields, and the lines and hints are lists."""
    with serving(sock, [[FAILED]]):
        document = expctl("why", "tuned", "--json").document

    assert document["detail"] == {"kind": "failed", "stage": "train", "exit_code": 3}
    assert (document["phase"], document["seconds"], document["kept"]) == ("stage", 75.0, "/r/.git/expd/kept/1")
    assert document["usage"] == {"user_seconds": 60.0, "system_seconds": 2.0, "rss_bytes_max": 536870912}
    assert document["last_lines"] == ["epoch 1", "Traceback", "ModuleNotFoundError: No module named 'torch'"]


def test_the_last_lines_do_nothing_to_a_terminal() -> None:
    """Titles, cursor moves and colours of a log are text or gone, a progress bar is its steps, and a cut line is left out."""
    hostile = b"\x1b]0;title\x07\x1b[31mred\x1b[0m\n10%\r20%\rdone\n\x1b[2J\xff\n"
    many = b"".join(b"line %d\n" % number for number in range(5000))

    shown = last_lines(diagnosed(None, tail=hostile))
    cut = last_lines(replace(diagnosed(None, tail=many[-TAIL_BYTES:]), log_bytes=len(many)))

    assert shown == ["\\x1b]0;title\\x07red", "10%", "20%", "done", "\\x1b[2J\\xff"]
    assert cut == [f"line {number}" for number in range(5000 - LINES_MAX, 5000)]


HINTS: list[tuple[Outcome, str, str]] = [
    (Failed(stage="s", exit_code=1), "ModuleNotFoundError: No module named 'torch.nn'", "has no torch.nn"),
    (Failed(stage="s", exit_code=1), "FileNotFoundError: [Errno 2] No such file or directory: 'data/x.csv'", "data/x.csv is not in the run"),
    (Failed(stage="s", exit_code=127), "sh: 1: tarin: not found", "tarin is not on the PATH"),
    (Failed(stage="s", exit_code=127), "", "a program was not found"),
    (Failed(stage="s", exit_code=126), "", "chmod +x"),
    (Failed(stage="s", exit_code=1), "torch.OutOfMemoryError: CUDA out of memory.", "memory of the GPU"),
    (Failed(stage="s", exit_code=1), "OSError: [Errno 28] No space left on device", "the disk is full"),
    (Failed(stage="s", exit_code=1), "", "cd /r/.git/expd/kept/1"),
    (Killed(stage="s", signal=9), "", "somebody sent SIGKILL"),
    (Killed(stage="s", signal=11), "", "compiled code"),
    (OutOfMemory(stage="s", evidence="cgroup"), "", "expctl jobs N"),
    (OutOfMemory(stage="s", evidence="cgroup", limit_bytes=2**30), "", "expctl retry 1 --mem SIZE"),
    (NotStarted(stage="s", errno=2, path="tarin", is_directory=False), "", "on the PATH"),
    (NotStarted(stage="s", errno=2, path="/gone", is_directory=True), "", "holds no empty ones"),
    (TimedOut(limit=Limit.TIME, limit_seconds=1.0, stage="s", seconds=1.0), "", "--time-limit"),
    (TimedOut(limit=Limit.STALL, limit_seconds=1.0, stage="s", seconds=1.0), "", "--stall-limit"),
    (Lost(reason="its worker ended"), "", "its worker or the machine"),
    (Cancelled(reason="by hand"), "", "the same once more: expctl retry 1"),
    (Refused(reason="no space"), "expd: No space left on device", "the disk is full"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "line", "hint"), HINTS, ids=[f"{outcome.kind}-{hint}" for outcome, _line, hint in HINTS]
)
def test_every_end_has_a_hint(outcome: Outcome, line: str, hint: str) -> None:
    """What is most likely to help stands first, and the ways to another attempt last."""
    given = hints(diagnosed(outcome), [line])

    assert hint in given[0]
    assert given[-2].endswith("expctl retry 1")
    assert given[-1].endswith("expctl resume 1")


def test_a_kill_that_the_kernel_may_have_done_is_only_hinted_at() -> None:
    """What the machine ended for lack of memory meanwhile is told, and is called perhaps."""
    (first, *_rest) = hints(replace(diagnosed(Killed(stage="s", signal=9)), oom_kills=1), [])

    assert "for lack of memory meanwhile: perhaps" in first


@pytest.mark.parametrize(
    ("state", "hint"),
    [
        (EntryState.HELD, "expctl release 1"),
        (EntryState.RUNNING, "expctl follow 1"),
        (EntryState.COLLECTING, "nothing is lost"),
    ],
)
def test_what_is_not_done_has_its_own_hint(state: EntryState, hint: str) -> None:
    """Nothing is to be tried again that has not ended."""
    (given,) = hints(diagnosed(None, state=state), ["ModuleNotFoundError: No module named 'torch'"])

    assert hint in given


def test_a_success_needs_no_hint() -> None:
    """There is nothing to try."""
    assert hints(diagnosed(Succeeded(rev=RESULT)), ["No space left on device"]) == []
