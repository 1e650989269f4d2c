"""dvc.lock: what is read, what is refused, and that the quick way of writing gives the bytes of the slow one."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expd.pipeline.lockentry import LockEntry
from expd.pipeline.lockfile import LockFile, parse_lock
from expd.pipeline.locktext import HEADER, LockText, dump_entry, whole_text
from expd.pipeline.model import Fingerprint, PipelineError

HEX = "0123456789abcdef0123456789abcdef"
TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            "x",
            "true",
            "1",
            "0.1",
            "null",
            "a: b",
            "# x",
            "- a",
            "é",
            "multi\nline",
            "trailing ",
            "it's",
            '"',
            "a" * 100,
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
PATHS = st.sampled_from(["a", "b c", "sub/d", "é", "x: y", "../z"])
FINGERPRINTS = st.builds(
    Fingerprint,
    md5=st.sampled_from([HEX, f"{HEX}.dir", "1e10aaaaaaaaaaaaaaaaaaaaaaaaaaaa"]),
    size=st.none() | st.integers(0, 10**12),
    nfiles=st.none() | st.integers(0, 9),
    isexec=st.booleans(),
)
ENTRIES = st.builds(
    LockEntry,
    commands=st.one_of(TEXTS, st.lists(TEXTS, min_size=1, max_size=3).map(tuple)),
    deps=st.dictionaries(PATHS, FINGERPRINTS, max_size=2),
    params=st.dictionaries(PATHS, st.dictionaries(TEXTS, VALUES, max_size=2), max_size=2),
    outs=st.dictionaries(PATHS, FINGERPRINTS, max_size=2),
)
NAMES = st.sampled_from(["train", "prep@1", "a-b_c", "true", "1", "x: y", "é", "- z", "long" * 40, "m@cnn-0.1"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAMES, ENTRIES), min_size=1, max_size=4))
def test_setting_one_block_gives_the_bytes_of_rewriting_all(entries: list[tuple[str, LockEntry]]) -> None:
    """However stages are recorded one after the other, the text is what rewriting the whole file each time gives."""
    lock = LockText("")
    whole = ""
    for name, entry in entries:
        lock.set(name, entry)
        whole = whole_text(whole, name, entry)
        assert lock.text == whole


@settings(max_examples=150, deadline=None)
@given(NAMES, ENTRIES)
def test_what_is_written_is_read_back(name: str, entry: LockEntry) -> None:
    """An entry survives being written and read."""
    lock = LockText("")
    lock.set(name, entry)
    assert parse_lock(lock.text, "dvc.lock") == {name: entry}


def test_an_untouched_file_keeps_its_form(tmp_path: Path) -> None:
    """Recording what is recorded already does not write the file."""
    file = tmp_path / "dvc.lock"
    lock = LockFile(str(file))
    lock.record("a", LockEntry(commands="x"))
    before = file.stat()
    LockFile(str(file)).record("a", LockEntry(commands="x"))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_comments_of_other_stages_stay(tmp_path: Path) -> None:
    """A file with comments is rewritten in DVC's way, and they are kept."""
    file = tmp_path / "dvc.lock"
    file.write_text(f"# top\n{HEADER}  # about b\n  b:\n    cmd: y # inline\n")
    LockFile(str(file)).record("a", LockEntry(commands="x"))
    assert file.read_text() == f"# top\n{HEADER}  # about b\n  b:\n    cmd: y # inline\n  a:\n    cmd: x\n"


def test_no_file_is_no_entry(tmp_path: Path) -> None:
    """Before anything was recorded nothing is known of any stage."""
    assert LockFile(str(tmp_path / "dvc.lock")).entry("a") is None


def test_tolerated_forms_are_read() -> None:
    """JSON, entries without size or hash name, files listed in place, and stages without anything are all read."""
    out = f'{{"path": "o", "hash": "md5", "files": [{{"relpath": "f", "md5": "{HEX}", "size": 3}}]}}'
    entry = f'{{"cmd": ["x"], "deps": [{{"path": "d", "md5": "ABC0"}}], "outs": [{out}, {{"path": "never", "hash": "md5"}}]}}'
    text = f'{{"schema": "2.0", "stages": {{"a": {entry}}}, "datasets": []}}'
    assert parse_lock(text, "dvc.lock") == {
        "a": LockEntry(
            commands=("x",),
            deps={"d": Fingerprint(md5="abc0", legacy=True)},
            outs={"o": Fingerprint(md5="9c96c0ec5fffb4e162fd48d8c1bb2362.dir", size=3, nfiles=1)},
        )
    }


REFUSED = {
    "schema": ("schema: '1.0'\nstages:\n  a:\n    cmd: x\n", 1, "the schema '2.0'"),
    "no schema": ("stages: {}\n", None, "a value for 'schema'"),
    "unknown key": (f"{HEADER}  a:\n    cmd: x\n    md5: y\n", 5, "no such key at 'stages.a.md5'"),
    "no command": (f"{HEADER}  a:\n    deps: []\n", 3, "a value for 'cmd' at 'stages.a'"),
    "no path": (f"{HEADER}  a:\n    cmd: x\n    outs:\n    - md5: y\n", 6, "a value for 'path' at 'stages.a.outs.0'"),
    "conflict": (f"{HEADER}<<<<<<< HEAD\n  a:\n    cmd: x\n", None, "valid YAML"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_faulty_lock_names_its_line(name: str) -> None:
    """What DVC's schema refuses is refused, with file, line and what was expected."""
    text, line, expected = REFUSED[name]
    with pytest.raises(PipelineError) as caught:
        parse_lock(text, "dvc.lock")
    assert caught.value.path == "dvc.lock"
    assert line is None or caught.value.line == line
    assert expected in caught.value.expected


def test_an_entry_of_the_run_cache_has_no_name() -> None:
    """The run cache holds the mapping below a stage's name."""
    assert dump_entry(LockEntry(commands=("a", "b"))) == "cmd:\n- a\n- b\n"
