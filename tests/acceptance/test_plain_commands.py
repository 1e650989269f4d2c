"""A command without a pipeline finds what the project tracks, with DVC or without."""

import hashlib
from pathlib import Path

import pytest

from helpers.daemons import RunningDaemon
from helpers.repositories import a_repository, git, write_files

DATA = "some data\n"
MD5 = hashlib.md5(DATA.encode()).hexdigest()
LISTING = f'[{{"md5": "{MD5}", "relpath": "deep/x"}}]'
LISTING_MD5 = hashlib.md5(LISTING.encode()).hexdigest()
DVC_FILES = {
    "one.txt.dvc": f"outs:\n- md5: {MD5}\n  size: 10\n  hash: md5\n  path: one.txt\n",
    "many.dvc": f"outs:\n- md5: {LISTING_MD5}.dir\n  size: 10\n  nfiles: 1\n  hash: md5\n  path: many\n",
    "gone.bin.dvc": f"outs:\n- md5: {'f' * 32}\n  size: 10\n  hash: md5\n  path: gone.bin\n",
}
IGNORED = "/one.txt\n/many\n/gone.bin\n"


def _run(daemon: RunningDaemon, repository: Path, script: str) -> tuple[str, list[str]]:
    """Run a shell script to its end; gives its log, and the files of its experiment."""
    daemon.expctl(repository, "submit", "-n", "x", "--force", "--", "sh", "-c", script)
    daemon.expctl(repository, "wait", "--all")
    entry = daemon.entries(repository, "x")[-1]
    log = daemon.expctl(repository, "follow", str(entry["id"]))
    assert entry["outcome"] == "succeeded", log
    return log, git(repository, "ls-tree", "-r", "--name-only", str(entry["experiment_rev"])).split()


@pytest.mark.parametrize("with_dvc", [True, False])
@pytest.mark.parametrize("ignored", [IGNORED, ""])
def test_a_plain_command_finds_tracked_data(
    daemon: RunningDaemon, tmp_path: Path, with_dvc: bool, ignored: str
) -> None:
    """Files and directories that `.dvc` files track are in the worktree and in no result; what is missing is named."""
    files = {**DVC_FILES, **({".dvc/config": ""} if with_dvc else {}), ".gitignore": ignored, "src/x": ""}
    repository = a_repository(tmp_path / "project", files)
    cache = repository / (".dvc/cache" if with_dvc else ".git/expd/cache") / "files" / "md5"
    stored = {f"{MD5[:2]}/{MD5[2:]}": DATA, f"{LISTING_MD5[:2]}/{LISTING_MD5[2:]}.dir": LISTING}
    write_files(cache, stored)

    log, listed = _run(daemon, repository, "cat one.txt many/deep/x > made.txt; cat made.txt; test ! -e gone.bin")

    assert log.splitlines()[1:] == ["some data", "some data"]
    assert "expd: what gone.bin.dvc tracks is not in the cache" in log.splitlines()[0]
    assert set(listed) == {*files, "made.txt"}


def test_a_plain_command_finds_edited_data(daemon: RunningDaemon, tmp_path: Path) -> None:
    """What runs is the data as it was when it was submitted, though nobody has told DVC of the edit."""
    files = {"one.txt.dvc": DVC_FILES["one.txt.dvc"], ".dvc/config": "", ".gitignore": "/one.txt\n"}
    repository = a_repository(tmp_path / "project", files)
    write_files(repository, {"one.txt": "edited\n"})

    log, _listed = _run(daemon, repository, "cat one.txt")

    assert log == "edited\n"


def test_a_large_result_is_an_input_of_the_next_command(daemon: RunningDaemon, tmp_path: Path) -> None:
    """In a repository without DVC: what went to the cache for its size comes back once its `.dvc` file is there."""
    repository = a_repository(tmp_path / "project", {"x": ""})
    _run(daemon, repository, "head -c 17000000 /dev/zero > big.bin")
    (entry,) = daemon.entries(repository, "x")
    git(repository, "checkout", "--quiet", str(entry["experiment_rev"]), "--", "big.bin.dvc")

    log, listed = _run(daemon, repository, "wc -c < big.bin")

    assert log == "17000000\n"
    assert set(listed) == {"big.bin.dvc", "x"}
