"""A store of an older schema is brought up to date whole, with a copy beside it, or left exactly as it was.

Schema 1 is the first; until there is a second, the steps are those of an invented store, on real SQLite.
"""

import sqlite3
import stat
from pathlib import Path

import pytest

from expd.queueing.database import MIGRATIONS, SCHEMA_VERSION, Schema, StoreUnusable, open_connection

FIRST = """
CREATE TABLE submissions (id INTEGER PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE entries (id INTEGER PRIMARY KEY, submission INTEGER NOT NULL REFERENCES submissions (id), label TEXT);
"""
SECOND_STEP = """
-- a column gets its right name
ALTER TABLE entries RENAME COLUMN label TO name;
CREATE TRIGGER names BEFORE INSERT ON entries WHEN NEW.name = '' BEGIN
    SELECT RAISE(ABORT, 'no name');
    SELECT 1;
END;
"""
THIRD_STEP = """
CREATE TABLE entries_new (
    id INTEGER PRIMARY KEY, submission INTEGER NOT NULL REFERENCES submissions (id), name TEXT NOT NULL
);
INSERT INTO entries_new SELECT id, submission, coalesce(name, 'e' || id) FROM entries;
DROP TABLE entries;
ALTER TABLE entries_new RENAME TO entries
"""
SCHEMA_1 = Schema(version=1, make=FIRST, steps={})
SCHEMA_3 = Schema(version=3, make="", steps={1: SECOND_STEP, 2: THIRD_STEP})


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """Give a store of the first schema with rows in it."""
    connection = open_connection(tmp_path / "queue.db", SCHEMA_1)
    connection.executescript(
        "INSERT INTO submissions VALUES (1, 5.0); INSERT INTO entries VALUES (1, 1, 'a'), (2, 1, NULL)"
    )
    connection.close()
    return tmp_path / "queue.db"


def _entries(path: Path) -> tuple[int, list[tuple[object, ...]]]:
    connection = sqlite3.connect(path)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return version, connection.execute("SELECT * FROM entries ORDER BY id").fetchall()
    finally:
        connection.close()


def test_there_is_a_step_from_every_released_schema() -> None:
    """Whatever version of the store is met, there is a way from it to this one."""
    assert set(MIGRATIONS) == set(range(1, SCHEMA_VERSION))


def test_an_older_store_is_brought_up_to_date_over_all_steps(older: Path) -> None:
    """All steps are taken in order, rows and references survive, and the store is of the newest schema."""
    connection = open_connection(older, SCHEMA_3)
    enforced = connection.execute("PRAGMA foreign_keys").fetchone()[0]
    connection.close()

    assert _entries(older) == (3, [(1, 1, "a"), (2, 1, "e2")])
    assert enforced == 1


def test_the_store_as_it_was_is_kept_beside_it(older: Path) -> None:
    """The copy is whole, private, tells its schema in its name, and can be used by the version that wrote it."""
    before = _entries(older)
    open_connection(older, SCHEMA_3).close()

    backup = older.with_name("queue.db.schema-1")
    opened = open_connection(backup, SCHEMA_1)
    opened.close()

    assert _entries(backup) == before
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "step",
    ["UPDATE entries SET name = 'lost'; SELECT * FROM nowhere;", "DELETE FROM submissions;"],
    ids=["a statement that fails", "a reference left behind"],
)
def test_a_step_that_fails_changes_nothing(older: Path, step: str) -> None:
    """Of several steps none is taken if one can't be; the message says so, and what to install."""
    before = _entries(older)

    with pytest.raises(
        StoreUnusable, match=r"can't be brought from schema 1 to 3: .*; nothing was changed. Install the version"
    ):
        open_connection(older, Schema(version=3, make="", steps={1: SECOND_STEP, 2: step}))

    assert _entries(older) == before


def test_without_room_for_the_copy_nothing_is_begun(older: Path) -> None:
    """Where the copy can't be written, the store stays what it is and is not opened."""
    before = _entries(older)
    older.with_name(".queue.db.schema-1.tmp").mkdir()

    with pytest.raises(StoreUnusable):
        open_connection(older, SCHEMA_3)

    assert _entries(older) == before


def test_an_older_program_refuses_a_newer_store(older: Path) -> None:
    """Brought up to date, the store is refused by the version before with a sentence, and left alone."""
    open_connection(older, SCHEMA_3).close()
    before = older.read_bytes()

    with pytest.raises(StoreUnusable, match=r"was written by a newer expd \(schema 3, this one knows 1\)"):
        open_connection(older, SCHEMA_1)

    assert older.read_bytes() == before
