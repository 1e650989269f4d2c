"""A file that shrinks while it is hashed is read again: an editor or a training that saves is no reason to refuse."""

import os
import threading
from pathlib import Path

from expd.gitio.repository import Repository
from expd.gitio.workspace import read_workspace
from helpers.repositories import a_repository, git

SIZE = 3_000_000
ROUNDS = 40


def test_a_file_that_is_saved_meanwhile_is_captured(tmp_path: Path) -> None:
    """Emptied and filled again in two steps, as `open(…, "w")` does; after each capture one more time."""
    path = a_repository(tmp_path / "project", {"big.bin": "a" * SIZE})
    big = path / "big.bin"
    go, done = threading.Semaphore(0), threading.Event()

    def save() -> None:
        while go.acquire() and not done.is_set():
            with big.open("r+b", buffering=0) as file:
                for _ in range(3):
                    os.truncate(file.fileno(), 0)
                    os.pwrite(file.fileno(), b"a" * SIZE, 0)

    saver = threading.Thread(target=save)
    saver.start()
    contents = set[bytes]()
    try:
        for _ in range(ROUNDS):
            go.release()
            captured = Repository(path / ".git").read_file(
                read_workspace(Repository(path / ".git")).files_tree, "big.bin"
            )
            contents.add(captured or b"")
    finally:
        done.set()
        go.release()
        saver.join()

    assert read_workspace(Repository(path / ".git")).files_tree == git(path, "rev-parse", "HEAD^{tree}")
    assert {content.strip(b"a") for content in contents} == {b""}
