"""The user's workspace as a place to run: nothing is written over what was not captured."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.scripted import ScriptedDaemon, a_scripted_daemon, an_order
from expproto.vocabulary import Refused, Succeeded
from expproto.work import Execute
from helpers.repositories import git, write_files


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[ScriptedDaemon]:
    """Give a daemon that the test plays."""
    with a_scripted_daemon(tmp_path) as daemon:
        yield daemon


def _in_place(base: Path, repository: Path, *, lr: str | None = None, command: tuple[str, ...] = ("true",)) -> Execute:
    """Give the order to run HEAD in its workspace, with another learning rate if there is one."""
    captured, stash = git(repository, "rev-parse", "HEAD^{tree}"), git(repository, "rev-parse", "HEAD")
    if lr is not None:
        params = (repository / "params.yaml").read_text()
        write_files(repository, {"params.yaml": params.replace("0.1", lr)})
        stash = git(repository, "stash", "create")
        write_files(repository, {"params.yaml": params})
    at = (repository / "train.sh").stat().st_mtime
    return an_order(
        base, repository, command, worktree=str(repository), stash_rev=stash, captured_tree=captured, captured_at=at
    )


def test_the_overrides_are_written_into_the_workspace(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path
) -> None:
    """The command finds the value that was asked for, and it stays there; the file keeps its permissions."""
    (repository / "params.yaml").chmod(0o640)
    order = _in_place(tmp_path, repository, lr="0.5", command=("grep", "lr: 0.5", "params.yaml"))

    assert isinstance(scripted.run(order), Succeeded)
    assert "lr: 0.5" in (repository / "params.yaml").read_text()
    assert (repository / "params.yaml").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in repository.iterdir() if "expd" in path.name] == []


@pytest.mark.parametrize("path", ["params.yaml", "train.sh"])
def test_an_edit_after_the_capture_is_not_written_over(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path, path: str
) -> None:
    """Whoever saves a file between the capture and the run finds it as saved, and a refusal that names it."""
    order = _in_place(tmp_path, repository, lr="0.5")
    write_files(repository, {path: "saved just now\n"})

    outcome = scripted.run(order)

    assert isinstance(outcome, Refused)
    assert path in outcome.reason
    assert (repository / path).read_text() == "saved just now\n"
    assert path == "params.yaml" or "lr: 0.1" in (repository / "params.yaml").read_text()


def test_a_deletion_after_the_capture_is_noticed(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """A file that is gone since is no file to run without."""
    order = _in_place(tmp_path, repository)
    (repository / "train.sh").unlink()

    outcome = scripted.run(order)

    assert isinstance(outcome, Refused)
    assert "train.sh" in outcome.reason


def test_a_link_in_place_of_a_directory_is_not_followed(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path
) -> None:
    """An override's file is written where it was captured, or not at all."""
    write_files(repository, {"conf/params.yaml": "lr: 0.1\n"})
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "conf")
    captured = git(repository, "rev-parse", "HEAD^{tree}")
    write_files(repository, {"conf/params.yaml": "lr: 0.5\n"})
    stash = git(repository, "stash", "create")
    outside = tmp_path / "outside"
    (repository / "conf").rename(outside)
    (outside / "params.yaml").write_text("lr: 0.1\n")
    (repository / "conf").symlink_to(outside)
    order = an_order(
        tmp_path,
        repository,
        ("true",),
        worktree=str(repository),
        stash_rev=stash,
        captured_tree=captured,
        captured_at=0.0,
    )

    assert isinstance(scripted.run(order), Refused)
    assert (outside / "params.yaml").read_text() == "lr: 0.1\n"


def test_what_a_sparse_checkout_leaves_out_is_no_deletion(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path
) -> None:
    """A run in a sparse workspace commits what it did there, and keeps the rest of the tree."""
    write_files(repository, {"big/data.txt": "far away\n"})
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "big")
    git(repository, "sparse-checkout", "set", "--no-cone", "/*", "!/big/")
    assert not os.path.lexists(repository / "big")

    outcome = scripted.run(_in_place(tmp_path, repository, command=("sh", "-c", "echo 1 > made.txt")))

    assert isinstance(outcome, Succeeded)
    assert git(repository, "diff", "--name-status", "HEAD", outcome.rev) == "A\tmade.txt"
