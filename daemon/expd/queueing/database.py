"""The only sqlite3 import: one connection, in one thread, for its whole life; work is committed in groups.

One read-write connection, because SQLite before 3.51.3 can corrupt a WAL that two connections reset at once; one
thread, so that it is never shared. WAL with synchronous=FULL: what was committed survives a power cut, except what says
of itself that it may pass. Pieces of
work that wait together are carried out in one transaction, each in a savepoint of its own, and share one sync.
Deleted rows are overwritten with zeros: some of them held environments.
"""

import contextlib
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Generic, TypeVar

import trio

from expd.linux.durable import sync_directory

_journal = logging.getLogger("expd.queueing")

T = TypeVar("T")

SCHEMA_VERSION = 1
"""`user_version` of the file; MIGRATIONS holds one step for each version before."""
APPLICATION_ID = 0x65787064  # "expd"
MIGRATIONS: Mapping[int, str] = {}
"""From a version to the SQL that makes the next one of it. A step is never changed once it was released."""

_GROUP_MAX = 100
"""Pieces of work in one transaction: enough to share a sync, few enough that nobody waits for a crowd."""

Cursor = sqlite3.Connection
"""What a piece of work is given: it executes, it never commits."""
Row = sqlite3.Row
IntegrityError = sqlite3.IntegrityError

_ERRORS_OF_THE_DISK = {sqlite3.OperationalError, sqlite3.DatabaseError, MemoryError}
"""Full, unreadable, damaged, or no memory to work with: nothing of a group can be promised then. Their subclasses are the fault of one piece."""
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "temp_store=MEMORY")
"""The last: what a savepoint keeps to go back to was a file below /var/tmp, for which no `secure_delete` cares."""
_HEADER = b"SQLite format 3\0"
"""The first bytes of every database that holds something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """One version of the store: the SQL that makes it anew, and the steps that make it of each version before."""

    version: int
    make: str
    steps: Mapping[int, str]


def present_schema() -> Schema:
    """Give the version that this program works with."""
    make = resources.files("expd.queueing").joinpath("schema.sql").read_text(encoding="utf-8")
    return Schema(version=SCHEMA_VERSION, make=make, steps=MIGRATIONS)


class StoreUnusable(Exception):
    """The file can't be used as it is; nothing of it was changed. The message names the file and what to do."""


class StoreFailed(Exception):
    """A piece of work could not be written: `what`; nothing of it is in the store."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(slots=True)
class _Piece(Generic[T]):
    """One piece of work on its way through the thread, and what became of it."""

    work: Callable[[Cursor], T]
    is_passing: bool = False
    done: trio.Event = field(default_factory=trio.Event)
    result: T | None = None
    error: Exception | None = None


class Database:
    """Opened in a thread of its own by `open`; `run` is the only way in.

    `trouble` says why the last write failed, until one succeeds; `troubled` is called when it begins.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pieces: queue.SimpleQueue[_Piece[object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="store", daemon=True)
        self._opened = threading.Event()
        self._open_error: StoreUnusable | None = None
        self.trouble: str | None = None
        self.troubled: Callable[[], None] = _pass_over
        self._token: trio.lowlevel.TrioToken | None = None

    def open(self) -> None:
        """Open the file and bring its schema up to date; raises StoreUnusable."""
        self._token = trio.lowlevel.current_trio_token()
        self._thread.start()
        self._opened.wait()
        if self._open_error is not None:
            raise self._open_error

    def close(self) -> None:
        """Finish what is under way and close the file."""
        self._pieces.put(None)
        self._thread.join()

    async def back_up(self) -> None:
        """Write a copy of the store beside it (`backup_of`); raises StoreFailed or OSError."""
        await self.run(lambda cursor: _between_transactions(cursor, lambda: back_up(cursor, self._path)))

    @property
    def path(self) -> Path:
        """Give the store file."""
        return self._path

    async def run(self, work: Callable[[Cursor], T], *, is_passing: bool = False) -> T:
        """Carry out one piece of work and give its result once it is on the disk.

        What `is_passing` is not waited for: it survives the end of the daemon, however that comes, and is on the disk
        with whatever is written next; a power cut before that takes it.

        An exception of the work undoes this piece only. A cancelled caller doesn't undo anything: the piece is
        carried out, as if its answer had been lost on the way.
        """
        piece: _Piece[T] = _Piece(work=work, is_passing=is_passing)
        self._pieces.put(piece)  # type: ignore[arg-type]  # the thread treats every piece alike
        await piece.done.wait()
        if piece.error is not None:
            raise piece.error
        return piece.result  # type: ignore[return-value]  # set whenever there is no error

    def _serve(self) -> None:
        try:
            connection = open_connection(self._path)
        except StoreUnusable as error:
            self._open_error = error
            return
        finally:
            self._opened.set()
        try:
            while (group := self._next_group()) is not None:
                wrote, failure = _commit_group(connection, group)
                if failure is not None and len(group) > 1:  # whose fault it is shows when each is alone
                    ends = [_commit_group(connection, [piece]) for piece in group]
                    wrote, failure = any(end[0] for end in ends), next((end[1] for end in ends if end[1]), None)
                if wrote or failure is not None:
                    self._remember(failure)
                self._answer(group)
        finally:
            connection.close()

    def _next_group(self) -> list[_Piece[object]] | None:
        """Wait for a piece and take all that wait with it; None at the end."""
        first = self._pieces.get()
        if first is None:
            return None
        group = [first]
        while len(group) < _GROUP_MAX:
            try:
                piece = self._pieces.get_nowait()
            except queue.Empty:
                break
            if piece is None:
                self._pieces.put(None)
                break
            group.append(piece)
        return group

    def _remember(self, failure: str | None) -> None:
        """Take note whether the disk took what was written; a group that only read shows nothing."""
        was, self.trouble = self.trouble, failure
        if failure is not None and was is None:
            assert self._token is not None
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self.troubled)

    def _answer(self, group: list[_Piece[object]]) -> None:
        assert self._token is not None
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(_set_all, [piece.done for piece in group])


def _commit_group(connection: sqlite3.Connection, group: list[_Piece[object]]) -> tuple[bool, str | None]:
    """Carry out pieces in one transaction; gives whether anything was written, and what is wrong with the disk."""
    changes = connection.total_changes
    try:
        with _unwaited(connection) if all(piece.is_passing for piece in group) else nullcontext():
            connection.execute("BEGIN IMMEDIATE")
            for piece in group:
                _carry_out(connection, piece)
            connection.execute("COMMIT")
    except (sqlite3.Error, MemoryError) as error:
        what = str(error) or "out of memory"
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        for piece in group:
            piece.error = StoreFailed(what)
        return False, f"the store can't be written: {what}"
    return connection.total_changes != changes, None


@contextlib.contextmanager
def _unwaited(connection: sqlite3.Connection) -> Iterator[None]:
    """Let transactions in here not wait for the disk: their pages are in the log before those of the next one that does.

    https://www.sqlite.org/pragma.html#pragma_synchronous: with NORMAL a transaction in WAL mode may be rolled back by a
    power cut, and what came before it is whole.
    """
    connection.execute("PRAGMA synchronous=NORMAL")
    try:
        yield
    finally:
        if connection.in_transaction:  # in one it can't be changed
            connection.execute("ROLLBACK")
        connection.execute("PRAGMA synchronous=FULL")


def _set_all(events: Sequence[trio.Event]) -> None:
    """Let everybody go on whose piece is done; one wake-up for all of them."""
    for event in events:
        event.set()


def _pass_over() -> None:
    """Nobody wants to know."""


def _carry_out(connection: sqlite3.Connection, piece: _Piece[object]) -> None:
    piece.error = None
    connection.execute("SAVEPOINT piece")
    try:
        piece.result = piece.work(connection)
    except Exception as error:  # whatever it is belongs to the caller, who waits in another thread
        if type(error) in _ERRORS_OF_THE_DISK:
            raise
        connection.execute("ROLLBACK TO piece")
        piece.error = error
    connection.execute("RELEASE piece")


def open_connection(path: Path, schema: Schema | None = None) -> sqlite3.Connection:
    """Open or create the store file; raises StoreUnusable and changes nothing where it is not ours to use."""
    schema = schema or present_schema()
    try:
        is_new = _check_before_touching(path, schema.version) if path.exists() else True
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
        try:
            _make_ready(connection, path, schema, is_new=is_new)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise StoreUnusable(f"{path}: {error}; nothing was changed. {_way_out(path)}") from error
    return connection


def _make_ready(connection: sqlite3.Connection, path: Path, schema: Schema, *, is_new: bool) -> None:
    connection.row_factory = sqlite3.Row
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").fetchall()
    if is_new:
        _run_script(connection, schema.make, schema.version)
    elif (found := _pragma(connection, "user_version")) < schema.version:
        _migrate(connection, path, schema, found)


def _check_before_touching(path: Path, schema_version: int) -> bool:
    """Look at an existing file read-only: is it ours, whole, and no newer than we are? Gives whether it is empty.

    Empty is what a crash before the first commit leaves.
    """
    if not path.is_file():
        raise StoreUnusable(f"{path}: is not a file; nothing was changed. {_way_out(path)}")
    with path.open("rb") as file:
        if (header := file.read(len(_HEADER))) != _HEADER:
            if not header:
                return True
            raise StoreUnusable(f"{path}: is not a database; nothing was changed. {_way_out(path)}")
    connection = sqlite3.connect(_read_only(path), uri=True)
    try:
        version = _pragma(connection, "user_version")
        application = _pragma(connection, "application_id")
        sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    finally:
        connection.close()
    if application == 0 and version == 0 and tables == 0:
        return True
    if application != APPLICATION_ID:
        raise StoreUnusable(f"{path}: is not a store of expd; nothing was changed. {_way_out(path)}")
    if version > schema_version:
        raise StoreUnusable(
            f"{path}: was written by a newer expd (schema {version}, this one knows {schema_version}); "
            "nothing was changed. Install that version again, or newer."
        )
    if version < 1 or sound != "ok":
        raise StoreUnusable(f"{path}: is damaged (schema {version}, {sound}); nothing was changed. {_way_out(path)}")
    return False


def _way_out(path: Path) -> str:
    """Say what to do about a store that can't be used, and what there is to go back to."""
    backup = backup_of(path)
    try:
        written = time.strftime("%Y-%m-%d %H:%M", time.localtime(backup.stat().st_mtime))
    except OSError:
        return f"Move it away, and {path.name}-wal and {path.name}-shm with it; a backup of yours can take its place."
    return f"Move it away, and {path.name}-wal and {path.name}-shm with it; {backup}, written {written}, can take its place."


def backup_of(path: Path) -> Path:
    """Give the place of the backup of a store."""
    return path.with_name(f"{path.name}.backup")


def _between_transactions(connection: Cursor, work: Callable[[], None]) -> None:
    """Do what can't be done inside a transaction: what came before in this group is committed, the rest follows in another.

    SQLite copies nothing from a connection that is about to write.
    """
    connection.execute("COMMIT")
    try:
        work()
    finally:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SAVEPOINT piece")


def set_backup_aside(path: Path) -> None:
    """Keep the backup of a store that is there no more: the next backup will be that of a new one."""
    backup = backup_of(path)
    if backup.exists() and not path.exists():
        backup.rename(backup.with_name(f"{backup.name}.{time.strftime('%Y%m%d-%H%M%S')}"))


def back_up(connection: Cursor, path: Path) -> None:
    """Write a whole copy of the store beside it, in place of the one before; raises sqlite3.Error or OSError.

    It holds no environments, which may be secrets that are wiped here; and its name as a store is another one, so that
    nothing which the rows of a later day own counts as an orphan where the copy is taken into use.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    with closing(sqlite3.connect(temporary, isolation_level=None)) as copy:
        connection.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE").fetchall()
        copy.execute("PRAGMA secure_delete=ON").fetchall()
        copy.execute("DELETE FROM environments")
        copy.execute("UPDATE store SET name = lower(hex(randomblob(4)))")
        copy.execute("VACUUM")
        sound = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    if sound != "ok":
        temporary.unlink()
        raise sqlite3.DatabaseError(f"the store is damaged ({sound}): its backup is left as it is")
    descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(backup_of(path))


def _read_only(path: Path) -> str:
    """Give the URI that opens a file without writing beside it, where no log left by a crash has to be read as well."""
    log = path.with_name(f"{path.name}-wal")
    return f"{path.absolute().as_uri()}?{'mode=ro' if log.exists() else 'immutable=1'}"


def _run_script(connection: sqlite3.Connection, script: str, version: int) -> None:
    """Carry out a script as one transaction that ends with a version."""
    connection.executescript(
        f"BEGIN;\n{script}\nPRAGMA application_id={APPLICATION_ID};\nPRAGMA user_version={version};\nCOMMIT;"
    )


def _migrate(connection: sqlite3.Connection, path: Path, schema: Schema, found: int) -> None:
    """Bring an older store up to date: all steps or none, with a copy of the store as it was kept beside it."""
    backup = _back_up(connection, path, found)
    connection.execute("PRAGMA foreign_keys=OFF")  # a step may make a table anew under its name; looked at in the end
    try:
        connection.execute("BEGIN IMMEDIATE")
        for version in range(found, schema.version):
            for statement in _statements(schema.steps[version]):
                connection.execute(statement)
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise sqlite3.IntegrityError(f"a row of {broken[0]} refers to one that is not there")
        connection.execute(f"PRAGMA user_version={schema.version}")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise StoreUnusable(
            f"{path}: can't be brought from schema {found} to {schema.version}: {error}; nothing was changed. "
            "Install the version again that it was written by, and report this."
        ) from error
    connection.execute("PRAGMA foreign_keys=ON")
    _journal.info(
        "the store is of schema %s now; as it was with schema %s it is kept as %s", schema.version, found, backup
    )


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """Copy the store, whole or not at all, to a file that tells its schema; raises sqlite3.Error or OSError."""
    backup = path.with_name(f"{path.name}.schema-{version}")
    temporary = path.with_name(f".{backup.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    connection.execute("VACUUM INTO ?", (str(temporary),))
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.rename(backup)
    sync_directory(path.parent)
    return backup


def _statements(script: str) -> Iterator[str]:
    """Cut a script into its statements; a trigger holds several, and is one."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
