"""The store's backup: whole, without secrets, never replaced by something worse, and named when it is needed."""

import sqlite3
import stat
from pathlib import Path

import pytest

from daemon.queues import Queue, a_new_entry, a_submission
from expd.linux.filesystems import NotLocal, check_local
from expd.queueing.database import Database, StoreFailed, StoreUnusable, backup_of, open_connection, set_backup_aside


async def test_a_backup_is_a_whole_store_without_environments(queue: Queue, tmp_path: Path) -> None:
    """Every entry is in it, no environment, and it is nobody else's to read; as a store it has a name of its own."""
    await queue.submit("a", "b")
    before = await queue.kept()
    name = await queue.name()

    await queue.back_up()

    path = tmp_path / "queue.db"
    assert backup_of(path) == queue.backup
    assert b"canary" not in queue.backup.read_bytes()
    assert stat.S_IMODE(queue.backup.stat().st_mode) == 0o600
    restored = Database(queue.backup)
    restored.open()
    other = Queue(restored, tmp_path / "other")
    kept, other_name = await other.kept(), await other.name()
    restored.close()
    assert [each.entry for each in kept] == [each.entry for each in before]
    assert {each.has_environment for each in before} == {True}
    assert {each.has_environment for each in kept} == {False}
    assert other_name != name


async def test_the_newest_backup_takes_the_place_of_the_last(queue: Queue) -> None:
    """There is one, and nothing half-written beside it."""
    await queue.back_up()
    await queue.submit("a")
    await queue.back_up()

    connection = sqlite3.connect(queue.backup)
    assert connection.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    connection.close()
    assert not list(queue.backup.parent.glob(".*"))


async def test_a_damaged_store_does_not_replace_its_backup(tmp_path: Path) -> None:
    """The copy is looked through first; one that is damaged is thrown away, and said."""
    path = tmp_path / "queue.db"
    database = Database(path)
    database.open()
    queue = Queue(database, tmp_path)
    await queue.ensure_pool(1)
    for number in range(300):
        await queue.accept(a_submission(f"request-{number}"), [a_new_entry(f"{number:03}" * 20)])
    await queue.back_up()
    good = queue.backup.read_bytes()
    database.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 8192)

    database = Database(path)
    try:
        database.open()
    except StoreUnusable as refused:
        said = str(refused)
    else:  # the damage lies where nobody looks at the start
        with pytest.raises(StoreFailed) as failed:
            await Queue(database, tmp_path).back_up()
        said = str(failed.value)
        database.close()

    assert "damaged" in said or "malformed" in said
    assert queue.backup.read_bytes() == good


def test_the_refusal_names_the_backup_and_its_age(tmp_path: Path) -> None:
    """Whoever reads it knows what to move where; without one it says that too."""
    path = tmp_path / "queue.db"
    path.write_text("not a database\n")
    with pytest.raises(StoreUnusable, match="a backup of yours can take its place"):
        open_connection(path)
    backup_of(path).write_text("")

    with pytest.raises(StoreUnusable, match=rf"{backup_of(path)}, written .* can take its place"):
        open_connection(path)


def test_the_backup_of_a_store_that_is_gone_is_kept(tmp_path: Path) -> None:
    """A new store has a new backup, beside that of the old one."""
    path = tmp_path / "queue.db"
    backup_of(path).write_text("old")

    set_backup_aside(path)

    assert [file.read_text() for file in tmp_path.glob("queue.db.backup.*")] == ["old"]
    path.touch()
    backup_of(path).write_text("new")
    set_backup_aside(path)
    assert backup_of(path).read_text() == "new"


def test_a_network_file_system_is_refused_by_name(tmp_path: Path) -> None:
    """The path, the type, where it is mounted, and the variable that names another place."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 21 0:51 / {tmp_path} rw - nfs4 host:/home rw\n")

    with pytest.raises(NotLocal) as refused:
        check_local(tmp_path / "state", "EXPD_STATE_DIR", mounts)

    said = str(refused.value)
    assert str(tmp_path / "state") in said
    assert "nfs4" in said
    assert "EXPD_STATE_DIR" in said
    check_local(tmp_path, "EXPD_STATE_DIR")
