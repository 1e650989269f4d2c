"""The store's file: durable, whole, in groups; and untouched where it is not ours to use."""

import os
import random
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio

from expd.queueing.database import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    Cursor,
    Database,
    IntegrityError,
    StoreFailed,
    StoreUnusable,
    open_connection,
)

DEADLINE_SECONDS = 30
"""For a thread that answers in microseconds."""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Give an open store with a table to write to."""
    opened = Database(tmp_path / "queue.db")
    opened.open()
    await opened.run(lambda cursor: cursor.execute("CREATE TABLE notes (text TEXT NOT NULL UNIQUE)"))
    yield opened
    opened.close()


def _note(text: str) -> Callable[[Cursor], object]:
    return lambda cursor: cursor.execute("INSERT INTO notes VALUES (?)", (text,)).lastrowid


def _notes_seen_from_outside(path: Path) -> set[str]:
    """Read what is committed, by a connection that has no part in it."""
    reader = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return {row[0] for row in reader.execute("SELECT text FROM notes")}
    finally:
        reader.close()


async def _run_held_back(database: Database, pieces: list[Callable[[Cursor], object]]) -> list[object]:
    """Let pieces wait together behind one that blocks the thread; gives what became of each, in order."""
    entered, released = threading.Event(), threading.Event()
    results: list[object] = [None] * len(pieces)

    def block(_cursor: Cursor) -> None:
        entered.set()
        assert released.wait(DEADLINE_SECONDS)

    async def run(number: int) -> None:
        try:
            results[number] = await database.run(pieces[number])
        except Exception as error:  # noqa: BLE001 - what each piece raised is what the tests look at
            results[number] = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.run, block)
        await trio.to_thread.run_sync(entered.wait, DEADLINE_SECONDS)
        for number in range(len(pieces)):
            nursery.start_soon(run, number)
            await trio.testing.wait_all_tasks_blocked()
        released.set()
    return results


async def test_commits_are_durable_and_readers_are_not_in_the_way(database: Database) -> None:
    """The journal is a WAL, every commit is synced (with NORMAL a power cut takes rows), what is deleted is wiped."""

    def pragmas(cursor: Cursor) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        return {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

    assert await database.run(pragmas) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
    }


async def test_what_may_pass_is_not_waited_for_and_nothing_else(database: Database, tmp_path: Path) -> None:
    """Only a transaction of nothing but such pieces does without the sync; the next one has it again, also after a failure."""

    def level(cursor: Cursor) -> int:
        return int(cursor.execute("PRAGMA synchronous").fetchone()[0])

    def fails(_cursor: Cursor) -> None:
        raise sqlite3.OperationalError("disk full")

    assert await database.run(level, is_passing=True) == 1
    assert await database.run(level) == 2
    await database.run(_note("passing"), is_passing=True)
    with pytest.raises(StoreFailed):
        await database.run(fails, is_passing=True)

    assert await database.run(level) == 2
    assert _notes_seen_from_outside(tmp_path / "queue.db") == {"passing"}


async def test_a_result_is_given_once_it_is_committed(database: Database, tmp_path: Path) -> None:
    """When `run` returns, a stranger who opens the file sees what was written."""
    await database.run(_note("first"))

    assert _notes_seen_from_outside(tmp_path / "queue.db") == {"first"}


async def test_pieces_that_wait_together_are_one_transaction(database: Database, tmp_path: Path) -> None:
    """Seen from outside, the pieces of a group appear at once: while the last one works, none of them is there."""
    path, seen = tmp_path / "queue.db", list[set[str]]()

    def look(cursor: Cursor) -> None:
        seen.append({row["text"] for row in cursor.execute("SELECT text FROM notes")})
        seen.append(_notes_seen_from_outside(path))

    await _run_held_back(database, [_note("a"), _note("b"), _note("c"), look])

    assert seen == [{"a", "b", "c"}, set()]
    assert _notes_seen_from_outside(path) == {"a", "b", "c"}


async def test_an_exception_undoes_its_piece_and_no_neighbour(database: Database, tmp_path: Path) -> None:
    """A piece that raises leaves nothing of itself, and the pieces before and after it in the group are committed."""

    def half_done(cursor: Cursor) -> None:
        _note("half done")(cursor)
        raise LookupError("changed my mind")

    results = await _run_held_back(database, [_note("before"), half_done, _note("before"), _note("after")])

    assert [type(result) for result in results] == [int, LookupError, IntegrityError, int]
    assert _notes_seen_from_outside(tmp_path / "queue.db") == {"before", "after"}


async def test_a_group_has_an_end(database: Database, tmp_path: Path) -> None:
    """More than a hundred pieces are more than one transaction: the first does not wait for the last."""
    path, seen = tmp_path / "queue.db", list[int]()

    def look(_cursor: Cursor) -> None:
        seen.append(len(_notes_seen_from_outside(path)))

    await _run_held_back(database, [*(_note(str(number)) for number in range(100)), look])

    assert seen == [100]


async def test_a_full_disk_fails_the_piece_and_not_the_next_one(database: Database, tmp_path: Path) -> None:
    """Where the file can't grow, what does not fit is StoreFailed, what waited with it is not, and then it goes on."""

    def pages_max(count: int) -> Callable[[Cursor], object]:
        return lambda cursor: cursor.execute(f"PRAGMA max_page_count = {count}").fetchone()[0]

    pages = await database.run(pages_max(1))  # the least there can be is what there is
    results = await _run_held_back(database, [_note("neighbour"), _note("x" * 100_000)])
    await database.run(pages_max(2**30))

    await database.run(_note("next"))

    assert isinstance(pages, int)
    assert [type(result) for result in results[1:]] == [StoreFailed]
    assert "full" in str(results[1])
    assert _notes_seen_from_outside(tmp_path / "queue.db") == {"neighbour", "next"}


NO_ROOM = """
    import resource, sys, trio
    from pathlib import Path
    from expd.queueing.database import Database, StoreFailed

    path = Path(sys.argv[1])

    async def main():
        database = Database(path)
        database.open()
        await database.run(lambda cursor: cursor.execute("CREATE TABLE notes (text TEXT)"))
        written = path.with_name("queue.db-wal").stat().st_size
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (written + 4096, hard))
        try:
            await database.run(lambda cursor: cursor.execute("INSERT INTO notes VALUES (?)", ("x" * 100_000,)))
        except StoreFailed as failed:
            print("failed:", failed.what)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await database.run(lambda cursor: cursor.execute("INSERT INTO notes VALUES ('next')"))
        database.close()

    trio.run(main)
"""


def test_a_write_the_system_refuses_is_told_and_survived(tmp_path: Path) -> None:
    """An error of write(2) at the commit is StoreFailed; with room again the next piece is written, the file sound."""
    path = tmp_path / "queue.db"

    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(NO_ROOM), path], capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("failed: ")
    assert _notes_seen_from_outside(path) == {"next"}
    open_connection(path).close()


async def test_damage_found_by_a_piece_is_the_disks_fault(tmp_path: Path) -> None:
    """A damaged page met on the way is StoreFailed, like any other failure of the disk, and the thread lives on."""
    path = tmp_path / "queue.db"
    connection = open_connection(path)
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.executemany("INSERT INTO notes VALUES (?)", [("x" * 3000,)] * 50)
    connection.close()
    database = Database(path)
    database.open()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 20 * 4096)
        file.write(b"\xff" * 10 * 4096)

    with pytest.raises(StoreFailed, match="malformed"):
        await database.run(lambda cursor: cursor.execute("SELECT sum(length(text)) FROM notes").fetchall())
    still_there = await database.run(lambda cursor: cursor.execute("SELECT 1").fetchone()[0])
    database.close()

    assert still_there == 1


async def test_a_cancelled_callers_piece_is_carried_out(database: Database, tmp_path: Path) -> None:
    """Cancelling the wait loses the answer, not the work: as if the answer had been lost on its way."""
    entered, released = threading.Event(), threading.Event()

    def slow(cursor: Cursor) -> None:
        entered.set()
        assert released.wait(DEADLINE_SECONDS)
        _note("carried out")(cursor)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.run, slow)
        await trio.to_thread.run_sync(entered.wait, DEADLINE_SECONDS)
        nursery.cancel_scope.cancel()
    released.set()
    await database.run(lambda _cursor: None)

    assert _notes_seen_from_outside(tmp_path / "queue.db") == {"carried out"}


async def test_closing_finishes_what_is_under_way(tmp_path: Path) -> None:
    """Pieces that were handed in before the end are in the file, with no log left beside it."""
    database = Database(tmp_path / "queue.db")
    database.open()
    await database.run(lambda cursor: cursor.execute("CREATE TABLE notes (text TEXT NOT NULL UNIQUE)"))

    async with trio.open_nursery() as nursery:
        for number in range(300):
            nursery.start_soon(database.run, _note(str(number)))
        await trio.testing.wait_all_tasks_blocked()
        database.close()

    assert list(_everything_in(tmp_path)) == ["queue.db"]
    assert len(_notes_seen_from_outside(tmp_path / "queue.db")) == 300


@pytest.mark.parametrize("make", [lambda _path: None, Path.touch], ids=["absent", "empty"])
def test_an_absent_or_empty_file_becomes_a_store(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Empty is what a crash between creating the file and the first commit leaves: it is taken as new."""
    path = tmp_path / "queue.db"
    make(path)

    connection = open_connection(path)

    marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    connection.close()
    assert marks == [APPLICATION_ID, SCHEMA_VERSION]


def test_a_crash_before_the_first_table_is_no_damage(tmp_path: Path) -> None:
    """A file that SQLite has begun and nobody has written a table to is taken as new too."""
    path = tmp_path / "queue.db"
    begun = sqlite3.connect(path, isolation_level=None)
    begun.execute("PRAGMA journal_mode=WAL").fetchall()
    begun.close()
    assert path.stat().st_size > 0

    connection = open_connection(path)

    assert connection.execute("SELECT count(*) FROM entries").fetchone()[0] == 0
    connection.close()


def test_nobody_else_can_read_the_store(tmp_path: Path) -> None:
    """The file and its log are 0600 whatever the umask: environments with secrets are in them."""
    before = os.umask(0)
    try:
        connection = open_connection(tmp_path / "queue.db")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        connection.close()
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(("queue.db", "queue.db-wal", "queue.db-shm"), 0o600)


@pytest.mark.parametrize("directory", ["a b", "50%41", "what?mode=rw", "issue#7", "ü", "x&y=z;"])
def test_a_store_opens_again_wherever_it_is(tmp_path: Path, directory: str) -> None:
    """Signs that mean something in a URI are ordinary in a path: the file looked at is the file opened."""
    path = tmp_path / directory / "queue.db"
    path.parent.mkdir()
    open_connection(path).close()

    open_connection(path).close()

    assert [file.name for file in tmp_path.iterdir()] == [directory]


def _a_store(path: Path) -> None:
    open_connection(path).close()


def _with_version(version: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        _a_store(path)
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()

    return make


def _foreign(application_id: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(f"PRAGMA application_id = {application_id}")
        connection.execute("CREATE TABLE photographs (name TEXT)")
        connection.close()

    return make


def _damaged(start: int, length: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        _a_store(path)
        with path.open("r+b") as file:
            file.seek(start)
            file.write(random.Random(start).randbytes(length))

    return make


def _cut_short(path: Path) -> None:
    _a_store(path)
    os.truncate(path, path.stat().st_size // 2)


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "of a newer version": (_with_version(SCHEMA_VERSION + 1), "newer expd"),
    "of no version": (_with_version(0), "damaged"),
    "of a version before the first": (_with_version(-1), "damaged"),
    "of another program": (_foreign(77), "not a store of expd"),
    "of a program without a mark": (_foreign(0), "not a store of expd"),
    "text": (lambda path: path.write_text("jobs = 2\n" * 1000), "not a database"),
    "a few bytes": (lambda path: path.write_bytes(b"x"), "not a database"),
    "damaged in its header": (_damaged(0, 100), "not a database"),
    "damaged in its first page": (_damaged(100, 500), "malformed"),
    "damaged in a later page": (_damaged(3 * 4096, 4096), "damaged"),
    "cut short": (_cut_short, "malformed"),
    "a directory": (Path.mkdir, "not a file"),
    "a fifo": (os.mkfifo, "not a file"),
    "a link to nowhere": (lambda path: path.symlink_to("gone/queue.db"), "queue.db"),
}


@pytest.mark.parametrize(("make", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_can_not_be_used_is_named_and_left_alone(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    """The refusal names the file and the reason; nothing in it or beside it has changed by one byte."""
    path = tmp_path / "queue.db"
    make(path)
    before = _everything_in(tmp_path)

    with pytest.raises(StoreUnusable) as refused:
        open_connection(path)

    assert str(refused.value).startswith(f"{path}: ")
    assert reason in str(refused.value)
    assert _everything_in(tmp_path) == before


def _everything_in(directory: Path) -> dict[str, object]:
    return {
        file.name: (file.lstat().st_mode, file.lstat().st_mtime_ns, file.read_bytes() if file.is_file() else None)
        for file in directory.iterdir()
    }


async def test_opening_an_unusable_store_says_so_at_once(tmp_path: Path) -> None:
    """What the thread finds is raised where the daemon starts, not left for the first piece of work to wait on."""
    (tmp_path / "queue.db").write_text("not a database at all")
    await trio.lowlevel.checkpoint()  # a store belongs to a running loop

    with pytest.raises(StoreUnusable):
        Database(tmp_path / "queue.db").open()


def test_a_newer_log_is_heeded_and_kept(tmp_path: Path) -> None:
    """A newer version that crashed has its version in the log only: it is read there, and the log is not folded in."""
    path = tmp_path / "queue.db"
    _a_store(path)
    script = (
        "import os, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        f"connection.execute('PRAGMA user_version = {SCHEMA_VERSION + 1}')\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, path], check=True)
    log = path.with_name("queue.db-wal")
    before = (path.read_bytes(), log.read_bytes())

    with pytest.raises(StoreUnusable, match="newer expd"):
        open_connection(path)

    assert (path.read_bytes(), log.read_bytes()) == before
