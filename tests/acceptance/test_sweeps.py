"""A sweep is one object: many points, one submission, addressed as one; held, released, renamed."""

from pathlib import Path

import pytest

from helpers.daemons import RunningDaemon, rows
from helpers.repositories import git, write_files


def _params(daemon: RunningDaemon, repository: Path, *arguments: str) -> list[object]:
    document = daemon.expctl_json(repository, "submit", "--preview", *arguments)
    return [point["params"] for point in rows(document, "points")]


def test_points_come_from_a_csv_file(daemon: RunningDaemon, repository: Path) -> None:
    """Each row is a run; an empty cell leaves the parameter, and overrides beside it are combined with every row."""
    write_files(repository.parent, {"points.csv": 'train.lr,train.name\n0.1,"a b"\n0.2,\n'})

    params = _params(daemon, repository, "--points", "../points.csv", "-S", "+seed=1,2")

    assert params == [
        {"train.lr": 0.1, "train.name": "a b", "seed": 1},
        {"train.lr": 0.1, "train.name": "a b", "seed": 2},
        {"train.lr": 0.2, "seed": 1},
        {"train.lr": 0.2, "seed": 2},
    ]


def test_points_come_from_json_lines(daemon: RunningDaemon, repository: Path) -> None:
    """Each line is an object of parameters with their values as they are."""
    write_files(repository.parent, {"points.jsonl": '{"train.lr": 0.5, "train.name": "1"}\n\n{"train.lr": 1}\n'})

    assert _params(daemon, repository, "--points", "../points.jsonl") == [
        {"train.lr": 0.5, "train.name": "1"},
        {"train.lr": 1},
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "train.lr\n0.1,0.2\n", b"as many cells"),
        ("b.csv", 'train.lr\n"0.1,0.2"\n', b"one value"),
        ("c.jsonl", "[1]\n", b"one object"),
        ("d.jsonl", "{\n", b"not JSON"),
        ("e.csv", "train.lr\n", b"no rows"),
    ],
)
def test_a_points_file_that_makes_no_sense_is_refused(
    daemon: RunningDaemon, repository: Path, name: str, text: str, said: bytes
) -> None:
    """The error names what is wrong with the file, and nothing is queued."""
    write_files(repository.parent, {name: text})

    result = daemon.run_expctl(repository, "submit", "--points", f"../{name}")

    assert result.returncode == 2
    assert said in result.stderr
    assert daemon.entries(repository) == []


def test_a_sample_is_part_of_the_product_and_the_same_for_a_seed(daemon: RunningDaemon, repository: Path) -> None:
    """A sample has as many points as asked for, all of the product, in its order; another seed gives another one."""
    sweep = ("-S", "train.lr=range(0,100)", "--sample", "5")

    first, again, other = (
        _params(daemon, repository, *sweep, *seed) for seed in ([], ["--seed", "0"], ["--seed", "1"])
    )

    values = [point["train.lr"] for point in first if isinstance(point, dict)]
    assert len(set(values)) == 5
    assert values == sorted(values)
    assert (first == again, first == other) == (True, False)


def test_a_preview_queues_nothing_and_leaves_no_ref(daemon: RunningDaemon, repository: Path) -> None:
    """A preview names its points, and neither the queue nor the refs know of it."""
    document = daemon.expctl_json(repository, "submit", "--preview", "-S", "train.lr=1,2", "-n", "lr")

    assert [point["name"] for point in rows(document, "points")] == ["lr-1", "lr-2"]
    assert daemon.entries(repository) == []
    assert git(repository, "for-each-ref", "refs/expd") == ""


def test_a_sweep_is_addressed_as_one(daemon: RunningDaemon, repository: Path) -> None:
    """Its name, or `s` and the number of its submission, mean all its entries: in status, wait, follow and cancel."""
    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "submit", "-S", "train.lr=1,2,3", "-n", "lr")
    daemon.expctl(repository, "submit", "-n", "other")

    by_name = [entry["name"] for entry in daemon.entries(repository, "lr")]
    by_number = [entry["name"] for entry in daemon.entries(repository, "s1")]
    daemon.expctl(repository, "cancel", "lr")
    waited = daemon.run_expctl(repository, "wait", "s1").returncode

    assert by_name == by_number == ["lr-1", "lr-2", "lr-3"]
    assert waited == 1
    assert [entry["state"] for entry in daemon.entries(repository)] == ["done", "done", "done", "queued"]


def test_held_entries_wait_for_their_release(daemon: RunningDaemon, repository: Path) -> None:
    """Submitted with --hold an entry does not run and says why; released it does."""
    daemon.expctl(repository, "submit", "-n", "held", "--hold")
    daemon.expctl(repository, "submit", "-n", "behind")
    daemon.expctl(repository, "wait", "behind")
    held = daemon.entries(repository, "held")[0]

    daemon.expctl(repository, "release", "held")

    assert (held["state"], held["waits_for"]) == ("held", "its release")
    assert daemon.run_expctl(repository, "wait", "held").returncode == 0
    assert daemon.run_expctl(repository, "release", "held").returncode == 5


def test_an_experiment_is_renamed_with_its_ref(daemon: RunningDaemon, repository: Path) -> None:
    """A finished experiment's ref moves to the new name; a name that is taken is refused and nothing moves."""
    daemon.expctl(repository, "submit", "-n", "one")
    daemon.expctl(repository, "submit", "-n", "two")
    daemon.expctl(repository, "wait")

    taken = daemon.run_expctl(repository, "rename", "one", "two")
    daemon.expctl(repository, "rename", "one", "best")

    names = {str(row["name"]) for row in rows(daemon.expctl_json(repository, "show"), "experiments")}
    assert taken.returncode == 5
    assert names == {"best", "two"}
    assert daemon.entries(repository, "best")[0]["id"] == 1


def test_a_name_that_differs_from_another_by_case_is_refused_by_it(daemon: RunningDaemon, repository: Path) -> None:
    """Refs are files, and some file systems know no case: said at submit, by force too, at rename, and within a sweep."""
    daemon.expctl(repository, "submit", "-n", "Tuned", "--", "true")
    daemon.expctl(repository, "submit", "-n", "other", "--", "true")
    daemon.expctl(repository, "wait")
    asked = [("submit", "-n", "tuned"), ("submit", "--force", "-n", "tuned"), ("rename", "other", "tuned")]

    refused = [daemon.run_expctl(repository, *arguments) for arguments in asked]
    daemon.expctl(repository, "rename", "Tuned", "tuned")

    assert [ran.returncode for ran in refused] == [5, 5, 5]
    assert all(b"differs from Tuned, which belongs to an experiment of baseline" in ran.stderr for ran in refused)
    assert {entry["name"] for entry in daemon.entries(repository)} == {"tuned", "other"}


def test_a_queued_entry_is_renamed_before_it_runs(daemon: RunningDaemon, repository: Path) -> None:
    """The result of an entry that was renamed while it waited has the new name."""
    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "submit", "-n", "old")

    daemon.expctl(repository, "rename", "old", "new")
    daemon.expctl(repository, "resume")
    daemon.expctl(repository, "wait")

    assert [row["name"] for row in rows(daemon.expctl_json(repository, "show"), "experiments")] == ["new"]
