"""Entries that wait are given other parameters, limits and forerunners from the shell; they keep their id and their place."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from expproto.messages import Message
from expproto.replies import EntriesChanged, Refusal
from expproto.steering import EditEntries
from helpers.daemons import Json, RunningDaemon, a_daemon, rows
from helpers.peers import Talk
from helpers.repositories import a_repository, git, write_files

HELD = "refs/expd/entries"


def _edit(daemon: RunningDaemon, repository: Path, *arguments: str) -> list[Json]:
    return rows(daemon.expctl_json(repository, "edit", *arguments), "entries")


def _rate(repository: Path, rev: object) -> str:
    """Give the line of a commit's params.yaml that these tests change."""
    return next(line.strip() for line in git(repository, "show", f"{rev}:params.yaml").splitlines() if "lr:" in line)


def _held(repository: Path) -> set[str]:
    """Give what the only ref of this store holds: a keeper's parents, or a stash commit itself."""
    (keeper,) = git(repository, "for-each-ref", "--format=%(objectname)", HELD).split()
    parents = set(git(repository, "show", "-s", "--format=%P", keeper).split())
    return {keeper} if git(repository, "rev-parse", "HEAD") in parents else parents


def test_an_entry_that_waits_runs_with_other_parameters(daemon: RunningDaemon, repository: Path) -> None:
    """It keeps id and place; its name, made of its values, follows them; nothing is read of the workspace, or written."""
    write_files(repository, {"data.txt": "submitted\n"})
    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "submit", "-n", "lr-{train.lr}", "-S", "train.lr=0.2,0.3,0.4", "-S", "+train.layers=3")
    write_files(repository, {"data.txt": "newer\n", "params.yaml": "broken: [\n"})
    git(repository, "add", "data.txt")
    index = (repository / ".git" / "index").read_bytes()

    (edited,) = _edit(daemon, repository, "lr-0.3", "-S", "train.lr=0.9")
    order = [(entry["id"], entry["name"]) for entry in daemon.entries(repository)]
    daemon.expctl(repository, "resume")
    daemon.expctl(repository, "wait", "2")

    (entry,) = daemon.entries(repository, "2")
    assert (edited["id"], edited["name"], edited["waits_for"]) == (2, "lr-0.9", "the pool is paused: expctl resume")
    assert edited["params"] == {"train.lr": 0.9, "train.layers": 3}
    assert order == [(1, "lr-0.2"), (2, "lr-0.9"), (3, "lr-0.4")]
    assert _rate(repository, entry["experiment_rev"]).startswith("lr: 0.9")
    assert "layers: 3" in git(repository, "show", f"{entry['experiment_rev']}:params.yaml")
    assert git(repository, "show", f"{entry['experiment_rev']}:data.txt") == "submitted"
    assert _held(repository) == {str(each["stash_rev"]) for each in daemon.entries(repository)}
    assert (repository / ".git" / "index").read_bytes() == index
    assert (repository / "data.txt").read_text() == "newer\n"


def test_a_sweep_is_edited_as_one(daemon: RunningDaemon, repository: Path) -> None:
    """What waits of it, in one go, and again; what is done is passed over and keeps what it ran from."""
    daemon.expctl(repository, "submit", "-n", "s", "-S", "train.lr=0.2,0.3,0.4", "--hold")
    daemon.expctl(repository, "release", "s-1")
    daemon.expctl(repository, "wait", "s-1")

    first = _edit(daemon, repository, "s", "-S", "+train.layers=3", "--priority", "4")
    second = _edit(daemon, repository, "s", "-S", "~train.layers", "-S", "+train.depth=2")
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "--quiet", "--prune=now")
    daemon.expctl(repository, "release", "s")
    daemon.expctl(repository, "wait", "s")

    entries = daemon.entries(repository)
    assert [(entry["name"], entry["priority"], entry["state"]) for entry in first] == [
        ("s-2", 4, "held"),
        ("s-3", 4, "held"),
    ]
    assert [entry["name"] for entry in second] == ["s-2", "s-3"]
    texts = [git(repository, "show", f"{entry['experiment_rev']}:params.yaml") for entry in entries]
    assert [("depth: 2" in text, "layers" in text) for text in texts] == [(False, False), (True, False), (True, False)]
    assert _held(repository) == {str(entry["stash_rev"]) for entry in entries}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("done", "-S", "train.lr=0.5"), 5, "its run has begun or is over"),
        (("waits", "-S", "train.lr=0.5,0.6"), 2, "an entry has one value of each parameter"),
        (("waits", "-S", "train.nothing=1"), 2, "train.nothing"),
        (("a-0.1", "-S", "train.lr=0.2"), 5, "a-0.2"),
        (("waits", "--after", "behind"), 2, "waits for entry"),
        (("waits", "--after", "waits:any"), 2, "can't wait for itself"),
        (("waits", "--after", "done:failed"), 2, "would never run"),
        (("waits", "--time-limit", "0", "--backoff", "2h"), 2, "--backoff is at most"),
        (("waits",), 2, "say what is to be different"),
    ],
)
def test_what_can_not_be_is_refused_and_changes_nothing(
    prepared: tuple[RunningDaemon, Path], arguments: tuple[str, ...], code: int, words: str
) -> None:
    """The refusal says what is in the way; rows and refs are as they were."""
    daemon, repository = prepared
    before = daemon.entries(repository), _refs(repository)

    result = daemon.run_expctl(repository, "edit", *arguments)

    assert (result.returncode, words in result.stderr.decode()) == (code, True), result.stderr.decode()
    assert before == (daemon.entries(repository), _refs(repository))


def test_an_edit_whose_answer_nobody_heard_is_made_once(prepared: tuple[RunningDaemon, Path]) -> None:
    """The same request again is answered as the first time, where another one would find nothing left to delete."""
    daemon, repository = prepared
    request = EditEntries(cwd=str(repository), entries=("waits",), overrides=("~train.name",), request_id="unheard0")

    answers = list[Message]()
    for each in (request, request, replace(request, request_id="another0")):
        with Talk(daemon) as talk:
            answers.append(talk.request(each))

    assert answers[:2] == [EntriesChanged(count=1)] * 2
    assert isinstance(answers[2], Refusal)


def _refs(repository: Path) -> str:
    return git(repository, "for-each-ref")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningDaemon, Path]]:
    """Give a daemon with one entry that is done, some that wait, and one behind them."""
    repository = a_repository(tmp_path_factory.mktemp("edit") / "project")
    with a_daemon() as daemon:
        daemon.expctl(repository, "submit", "-n", "done", "--", "true")
        daemon.expctl(repository, "wait", "done")
        daemon.expctl(repository, "pause")
        daemon.expctl(repository, "submit", "-n", "waits", "--", "true")
        daemon.expctl(repository, "submit", "-n", "behind", "--after", "waits", "--", "true")
        daemon.expctl(repository, "submit", "-n", "a-{train.lr}", "-S", "train.lr=0.1,0.2", "--", "true")
        yield daemon, repository


def test_forerunners_limits_and_retries_are_edited(daemon: RunningDaemon, repository: Path) -> None:
    """Of one point alone: it waits for another entry, then for none; its limit ends it, and its retries are its own."""
    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "submit", "-n", "first", "--hold", "--", "true")
    daemon.expctl(repository, "submit", "-n", "s", "-S", "train.lr=0.2,0.3", "--", "sleep", "60")

    (behind,) = _edit(daemon, repository, "s-1", "--after", "first", "--time-limit", "1s", "--retries", "1")
    (free,) = _edit(daemon, repository, "s-1", "--after", "none", "--backoff", "0")
    daemon.expctl(repository, "cancel", "s-2", "first")
    daemon.expctl(repository, "resume")
    daemon.run_expctl(repository, "wait", "s-1")

    (ended,) = daemon.entries(repository, "s-1")
    assert (behind["waits_for"], behind["retries_left"]) == ("the end of entry 1", 1)
    assert free["waits_for"] == "the pool is paused: expctl resume"
    assert (ended["outcome"], ended["attempt"]) == ("timed_out", 2)


def test_an_edit_and_a_start_do_not_meet_halfway(daemon: RunningDaemon, repository: Path) -> None:
    """Edited while workers take one entry after the other: each runs with what its edit was answered, or as it was."""
    names = [f"n{number}" for number in range(1, 13)]
    daemon.expctl(repository, "jobs", "2")
    daemon.expctl(repository, "submit", "-n", "n{n}", "-S", f"+train.extra=range({len(names)})", "--hold", "--", "true")
    daemon.expctl(repository, "release", "s1")

    codes = [daemon.run_expctl(repository, "edit", name, "-S", "train.lr=0.9").returncode for name in reversed(names)]
    daemon.expctl(repository, "wait", "--all")

    entries = {str(entry["name"]): entry for entry in daemon.entries(repository)}
    ran = ["0.9" in _rate(repository, entries[name]["experiment_rev"]) for name in reversed(names)]
    assert set(codes) <= {0, 5}
    assert ran == [code == 0 for code in codes]
