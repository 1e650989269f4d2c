"""`expctl show` and `expctl get`: the experiments, one of them, and its files."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from client.conftest import Expctl
from client.scripted import BASELINE, RESULT, Step, a_page, an_entry, serving
from expproto.records import ExperimentRecord, OutputFile
from expproto.replies import (
    ExperimentPage,
    Fetched,
    Inspected,
    Listed,
    PoolShown,
    Refusal,
    Shown,
)
from expproto.requests import Get, Inspect, Show
from expproto.vocabulary import EntryId, EntryState, Failed, Succeeded

TUNED = ExperimentRecord(
    name="tuned",
    rev=RESULT,
    baseline_rev=BASELINE,
    created_at=0.0,
    params={"train.lr": 0.1, "loss": "l2, smooth"},
    metrics={"acc": 0.987654321, "loss": 0.5},
    entry=EntryId(3),
)
BROKEN = ExperimentRecord(
    name="odd",
    rev=RESULT,
    baseline_rev=BASELINE,
    created_at=1.5,
    params={},
    metrics={},
    entry=None,
    error="metrics.json is no JSON",
)
SHOWN = Shown(
    baseline_rev=BASELINE,
    baseline_name="main",
    baseline_params={"train.lr": 0.01, "seed": 1},
    baseline_metrics={"acc": float("nan")},
    count=2,
)
LIST: list[Step] = [ExperimentPage(experiments=(TUNED,)), ExperimentPage(experiments=(BROKEN,)), SHOWN]
ONE = Inspected(
    name="tuned",
    rev=RESULT,
    baseline_rev=BASELINE,
    params={"train.lr": 0.1, "seed": 1},
    changed={"train.lr": 0.1},
    metrics={"acc": 0.9, "curve": [1, None]},
    outputs=(
        OutputFile(path="model.pkl", role="output", home="cache", size=12, hash="md5:1", stage="train"),
        OutputFile(path="m.json", role="metric", home="git", size=None, hash="git:2", stage=None),
    ),
    entry=an_entry(3, state=EntryState.DONE, outcome=Succeeded(rev=RESULT), started_at=1.0, ended_at=2.0),
)


def test_show_is_one_line_an_experiment(
    sock: Path, expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off a terminal: name, full rev, parameters, metrics in all their digits, and what is wrong with a row."""
    monkeypatch.chdir(tmp_path)
    with serving(sock, [LIST]) as daemon:
        ran = expctl("show")

    assert daemon.requests == [Show(cwd=str(tmp_path))]
    assert ran.out.splitlines() == [
        f"tuned\t{RESULT}\ttrain.lr=0.1 loss=l2, smooth\tacc=0.987654321 loss=0.5\t",
        f"odd\t{RESULT}\t\t\tmetrics.json is no JSON",
    ]


def test_show_csv_has_a_heading_the_baseline_and_every_experiment(sock: Path, expctl: Expctl) -> None:
    """Columns are parameters, then metrics; a key that is both is told apart."""
    with serving(sock, [LIST]):
        ran = expctl("show", "--csv")

    assert list(csv.DictReader(io.StringIO(ran.out)))[:2] == [
        {
            "name": "main", "rev": BASELINE, "baseline_rev": "", "created_at": "", "entry": "", "outcome": "", "train.lr": "0.01",
            "params:loss": "", "acc": "nan", "metrics:loss": "",
        },
        {
            "name": "tuned", "rev": RESULT, "baseline_rev": BASELINE, "created_at": "1970-01-01T00:00:00.000000Z",
            "entry": "3", "outcome": "succeeded", "train.lr": "0.1", "params:loss": "l2, smooth", "acc": "0.987654321", "metrics:loss": "0.5",
        },
    ]  # fmt: skip


def test_show_json_has_the_baseline_and_every_experiment(sock: Path, expctl: Expctl) -> None:
    """Numbers that JSON has no word for are text, so that every reader can read the document."""
    with serving(sock, [LIST]):
        ran = expctl("show", "--json")

    assert ran.document["baseline"] == {
        "rev": BASELINE, "name": "main", "params": {"train.lr": 0.01, "seed": 1}, "metrics": {"acc": "nan"},
    }  # fmt: skip
    experiments = ran.document["experiments"]
    assert isinstance(experiments, list)
    assert experiments[1] == {
        "name": "odd", "rev": RESULT, "baseline_rev": BASELINE, "created_at": "1970-01-01T00:00:01.500000Z",
        "params": {}, "metrics": {}, "id": None, "outcome": "succeeded", "error": "metrics.json is no JSON",
    }  # fmt: skip


def test_show_marks_what_has_no_result(sock: Path, expctl: Expctl) -> None:
    """A run that failed, and one that goes on, stand with their metrics and say what they are; -q leaves them out."""
    failed = replace(TUNED, name="bad", rev=None, metrics={"acc": 0.5}, outcome=Failed(stage="train", exit_code=3))
    going = replace(failed, name="new", outcome=None)
    told: list[Step] = [ExperimentPage(experiments=(failed, going, TUNED)), SHOWN]
    with serving(sock, [told], [told], [told], [told]):
        plain, quiet, table = expctl("show").out, expctl("show", "-q").out, expctl("show", "--csv").out
        document = expctl("show", "--json").document

    assert plain.splitlines()[:2] == [
        "bad\t\ttrain.lr=0.1 loss=l2, smooth\tacc=0.5\tfailed: train exited with 3",
        "new\t\ttrain.lr=0.1 loss=l2, smooth\tacc=0.5\trunning",
    ]
    assert quiet == "tuned\n"
    assert [row["outcome"] for row in csv.DictReader(io.StringIO(table))] == ["", "failed", "running", "succeeded"]
    experiments = document["experiments"]
    assert isinstance(experiments, list)
    assert [(row["rev"], row["outcome"]) for row in experiments[:2]] == [(None, "failed"), (None, "running")]


def test_show_of_no_experiments_says_so_on_stderr(sock: Path, expctl: Expctl) -> None:
    """Nothing is nothing on stdout."""
    with serving(sock, [[SHOWN]]):
        ran = expctl("show")

    assert (ran.out, ran.err) == ("", "bbbbbbb has no experiments yet: expctl submit\n")


def test_show_quiet_prints_names(sock: Path, expctl: Expctl) -> None:
    """An experiment's id is its name."""
    with serving(sock, [LIST]):
        assert expctl("show", "-q").out == "tuned\nodd\n"


@pytest.mark.parametrize("argv", [("--csv", "--json"), ("--csv", "tuned")])
def test_show_csv_is_for_the_list_alone(sock: Path, expctl: Expctl, argv: tuple[str, ...]) -> None:
    """Two forms at once, or a form that one experiment doesn't have, are usage errors."""
    assert expctl("show", *argv).code == 2
    assert not sock.exists()


def test_show_one_is_a_line_a_fact(sock: Path, expctl: Expctl) -> None:
    """Every fact has its kind first, so that a script picks what it wants."""
    with serving(sock, [[ONE]]):
        ran = expctl("show", "3")

    assert ran.out.splitlines() == [
        "name\ttuned",
        f"rev\t{RESULT}",
        f"baseline\t{BASELINE}",
        "entry\t3",
        "state\tdone",
        "outcome\tsucceeded",
        f"stash\t{'5' * 40}",
        "submitted\t2025-06-15T15:06:40.250000Z",
        "started\t1970-01-01T00:00:01.000000Z",
        "ended\t1970-01-01T00:00:02.000000Z",
        "log\t/state/runs/1.log",
        "changed\ttrain.lr\t0.1",
        "param\tseed\t1",
        "metric\tacc\t0.9",
        "metric\tcurve\t[1, null]",
        "output\tmodel.pkl\t12\tmd5:1\tcache\toutput\ttrain",
        "output\tm.json\t\tgit:2\tgit\tmetric\t",
    ]


def test_show_one_json_holds_all_of_it(
    sock: Path, expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document has the outputs with size and hash, and the entry as `status --json` has it."""
    monkeypatch.chdir(tmp_path)
    with serving(sock, [[ONE]]) as daemon:
        ran = expctl("show", "tuned", "--json")

    assert daemon.requests == [Inspect(cwd=str(tmp_path), experiment="tuned")]
    assert ran.document["outputs"] == [
        {"path": "model.pkl", "role": "output", "home": "cache", "size": 12, "hash": "md5:1", "stage": "train"},
        {"path": "m.json", "role": "metric", "home": "git", "size": None, "hash": "git:2", "stage": None},
    ]
    assert ran.document["changed"] == {"train.lr": 0.1}
    entry = ran.document["entry"]
    assert isinstance(entry, dict)
    assert (entry["id"], entry["outcome"], entry["log"]) == (3, "succeeded", "/state/runs/1.log")


@pytest.mark.parametrize("directory", ["out/", "./out", "/elsewhere"])
def test_get_writes_below_the_directory_named(
    sock: Path, expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    """The daemon is told an absolute directory, and what it wrote is listed."""
    monkeypatch.chdir(tmp_path)
    target = str(tmp_path / directory)
    with serving(sock, [[Fetched(directory=target, files=("a", "d/b"))]]) as daemon:
        ran = expctl("get", "tuned", "a", "-o", directory, "d")

    assert daemon.requests == [
        Get(cwd=str(tmp_path), experiment="tuned", paths=("a", "d"), directory=target, force=False)
    ]
    assert ran.out == f"{target}/a\n{target}/d/b\n"


def test_get_without_a_directory_makes_one_of_the_name(
    sock: Path, expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of an experiment never land among those of the workspace unasked."""
    monkeypatch.chdir(tmp_path)
    target = str(tmp_path / "tuned")
    with serving(sock, [[ONE]], [[Fetched(directory=target, files=())]]) as daemon:
        ran = expctl("get", "3", "-f", "--json")

    assert daemon.requests[1] == Get(cwd=str(tmp_path), experiment="3", paths=(), directory=target, force=True)
    assert ran.document == {"schema": 1, "directory": target, "files": []}


def test_get_is_refused_where_a_file_is_in_the_way(sock: Path, expctl: Expctl) -> None:
    """Nothing is overwritten, and both ways out are named."""
    with serving(sock, [[Refusal(code="file_exists", data={"path": "out/a"})]]):
        ran = expctl("get", "3", "-o", "out")

    assert ran.code == 5
    assert "out/a is there already; nothing was written" in ran.err
    assert "--force" in ran.err


@pytest.mark.parametrize("name", ["..", "a/b", ""])
def test_get_makes_no_directory_of_a_name_that_is_none(sock: Path, expctl: Expctl, name: str) -> None:
    """A name off the wire doesn't choose a place elsewhere."""
    odd = Inspected(
        name=name, rev=None, baseline_rev=BASELINE, params={}, changed={}, metrics={}, outputs=(), entry=None
    )
    with serving(sock, [[odd]]):
        assert expctl("get", "3").code == 2


@pytest.mark.parametrize("argv", [("show",), ("show", "1"), ("get", "1", "-o", "x"), ("follow", "1")])
def test_reply_to_another_question_is_a_protocol_error(sock: Path, expctl: Expctl, argv: tuple[str, ...]) -> None:
    """Whatever is answered, it is not mistaken for what was asked."""
    with serving(sock, [[PoolShown(jobs=1, paused=False, running=0, queued=0)]]):
        assert expctl(*argv).code == 8


def test_page_of_another_kind_is_a_protocol_error(sock: Path, expctl: Expctl) -> None:
    """Entries are no experiments."""
    with serving(
        sock, [[a_page(an_entry()), SHOWN]], [[ExperimentPage(experiments=(TUNED,)), Listed(count=1, paused=False)]]
    ):
        assert (expctl("show").code, expctl("status").code) == (8, 8)
