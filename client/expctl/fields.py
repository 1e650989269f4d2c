"""What came off the wire, read field by field with its type checked.

The commands that people type all day read entries through this instead of `expproto.messages`: the typed messages
cost 35 ms of imports, three times the rest of `expctl status`. A test holds the two to the same fields.
"""

from __future__ import annotations

from expproto.errors import BAD_MESSAGE, RemoteProtocolError

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Fields:
    """One map; each method gives one field of the type in its name, or raises RemoteProtocolError."""

    __slots__ = ("_fields", "kind")

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = fields
        self.kind = self.text("kind")

    @property
    def plain(self) -> Mapping[str, object]:
        """Give the map itself."""
        return self._fields

    def text(self, name: str) -> str:
        """Give a string."""
        value = self._fields.get(name)
        if type(value) is str:
            return value
        raise self._wrong(name)

    def text_or_none(self, name: str) -> str | None:
        """Give a string or None."""
        return None if self._fields.get(name) is None else self.text(name)

    def integer(self, name: str) -> int:
        """Give an integer, which a boolean is not."""
        value = self._fields.get(name)
        if type(value) is int:
            return value
        raise self._wrong(name)

    def integer_or_none(self, name: str) -> int | None:
        """Give an integer or None."""
        return None if self._fields.get(name) is None else self.integer(name)

    def flag(self, name: str) -> bool:
        """Give a boolean."""
        value = self._fields.get(name)
        if type(value) is bool:
            return value
        raise self._wrong(name)

    def seconds(self, name: str) -> float:
        """Give a time or a duration."""
        value = self._fields.get(name)
        if type(value) is float or type(value) is int:
            return float(value)
        raise self._wrong(name)

    def seconds_or_none(self, name: str) -> float | None:
        """Give a time or None."""
        return None if self._fields.get(name) is None else self.seconds(name)

    def mapping(self, name: str) -> Mapping[str, object]:
        """Give a map of plain data."""
        value = self._fields.get(name)
        if isinstance(value, dict):
            return value
        raise self._wrong(name)

    def sequence(self, name: str) -> Sequence[object]:
        """Give an array of plain data."""
        value = self._fields.get(name)
        if isinstance(value, list):
            return value
        raise self._wrong(name)

    def texts(self, name: str) -> list[str]:
        """Give an array of strings."""
        found = self.texts_or_none(name)
        if found is None:
            raise self._wrong(name)
        return found

    def texts_or_none(self, name: str) -> list[str] | None:
        """Give an array of strings, or None."""
        if self._fields.get(name) is None:
            return None
        items = self.sequence(name)
        found = [item for item in items if isinstance(item, str)]
        if len(found) != len(items):
            raise self._wrong(name)
        return found

    def record(self, name: str) -> Fields:
        """Give a record."""
        return Fields(self.mapping(name))

    def record_or_none(self, name: str) -> Fields | None:
        """Give a record, or None."""
        return None if self._fields.get(name) is None else Fields(self.mapping(name))

    def records(self, name: str) -> list[Fields]:
        """Give an array of records."""
        items = self.sequence(name)
        found = [Fields(item) for item in items if isinstance(item, dict)]
        if len(found) != len(items):
            raise self._wrong(name)
        return found

    def has_only(self, names: frozenset[str]) -> None:
        """Refuse fields that this client does not know: it would show half of the truth."""
        unknown = self._fields.keys() - names - {"kind"}
        if unknown:
            raise RemoteProtocolError(BAD_MESSAGE, f"{self.kind} has no field {min(unknown)!r}")

    def _wrong(self, name: str) -> RemoteProtocolError:
        kind = self._fields.get("kind")
        return RemoteProtocolError(BAD_MESSAGE, f"{kind}.{name}: unexpected {type(self._fields.get(name)).__name__}")


class Entry:
    """One line of the queue, as the daemon tells it: the fields of `expproto.replies.EntryRecord`."""

    __slots__ = (
        "attempt",
        "baseline_rev",
        "command",
        "earlier_outcome",
        "ended_at",
        "engine",
        "exit_code",
        "experiment_rev",
        "group",
        "host",
        "id",
        "log",
        "mode",
        "name",
        "not_before",
        "outcome",
        "params",
        "priority",
        "progress",
        "repository",
        "retries_left",
        "stage",
        "started_at",
        "stash_rev",
        "state",
        "submission",
        "submitted_at",
        "waits_for",
    )  # fmt: skip

    def __init__(self, record: Fields) -> None:
        record.has_only(_ENTRY_FIELDS)
        self.id = record.integer("id")
        self.submission = record.integer("submission")
        self.name = record.text("name")
        self.state = record.text("state")
        self.outcome = record.record_or_none("outcome")
        self.repository = record.text("repository")
        self.baseline_rev = record.text("baseline_rev")
        self.stash_rev = record.text("stash_rev")
        self.params = record.mapping("params")
        self.command = record.texts_or_none("command")
        self.experiment_rev = record.text_or_none("experiment_rev")
        self.submitted_at = record.seconds("submitted_at")
        self.started_at = record.seconds_or_none("started_at")
        self.ended_at = record.seconds_or_none("ended_at")
        self.exit_code = record.integer_or_none("exit_code")
        self.log = record.text_or_none("log")
        self.waits_for = record.text_or_none("waits_for")
        self.stage = record.text_or_none("stage")
        self.progress = record.record_or_none("progress")
        self.mode = record.text("mode")
        self.attempt = record.integer("attempt")
        self.retries_left = record.integer("retries_left")
        self.priority = record.integer("priority")
        self.group = record.text("group")
        self.not_before = record.seconds_or_none("not_before")
        self.engine = record.text("engine")
        self.host = record.text_or_none("host")
        self.earlier_outcome = record.record_or_none("earlier_outcome")


_ENTRY_FIELDS = frozenset(Entry.__slots__)


class Experiment:
    """One row of the experiments, as the daemon tells it: the fields of `expproto.records.ExperimentRecord`."""

    __slots__ = ("baseline_rev", "created_at", "entry", "error", "metrics", "name", "outcome", "params", "rev")

    def __init__(self, record: Fields) -> None:
        record.has_only(_EXPERIMENT_FIELDS)
        self.name = record.text("name")
        self.rev = record.text_or_none("rev")
        self.baseline_rev = record.text("baseline_rev")
        self.created_at = record.seconds("created_at")
        self.params = record.mapping("params")
        self.metrics = record.mapping("metrics")
        self.entry = record.integer_or_none("entry")
        self.error = record.text_or_none("error")
        self.outcome = record.record_or_none("outcome")


_EXPERIMENT_FIELDS = frozenset(Experiment.__slots__)


def experiments_of(pages: Sequence[Mapping[str, object]]) -> list[Experiment]:
    """Give the experiments of some ExperimentPages, in the order in which they came."""
    return [Experiment(record) for page in pages for record in Fields(page).records("experiments")]


def entries_of(pages: Sequence[Mapping[str, object]]) -> list[Entry]:
    """Give the entries of some EntryPages, each once, in the order in which they came, as last told."""
    latest: dict[int, Entry] = {}
    for page in pages:
        for record in Fields(page).records("entries"):
            entry = Entry(record)
            latest[entry.id] = entry
    return list(latest.values())
