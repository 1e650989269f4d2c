"""Failures: every code has a sentence, an exit code and, where there is one, a next step."""

import re

import pytest

from client.conftest import Expctl
from client.scripted import BASELINE
from expctl import failures, trouble
from expctl.failures import SENTENCES, describe, report
from expctl.output import Output
from expctl.sentences import Data
from expctl.trouble import DisconnectedError, Trouble
from expproto import errors
from expproto.errors import RemoteProtocolError

DATA: dict[str, object] = {
    "what": "something odd",
    "path": "a/b",
    "line": 3,
    "entry": 7,
    "state": "running",
    "selector": "tunde",
    "candidates": [{"id": 1, "name": "tuned", "state": "done"}],
    "name": "tuned",
    "baseline_rev": BASELINE,
    "holder": "experiment",
    "limit": 5,
    "found": 6,
    "seconds": 3,
    "pid": 42,
    "incident": "ab12",
    "tail": "last words",
}
"""Enough for any sentence; each picks what it needs."""


@pytest.mark.parametrize("code", sorted(errors.ALL_CODES | trouble.LOCAL_CODES))
@pytest.mark.parametrize("data", [DATA, {}, {"hint": "do this"}], ids=["full", "empty", "hint"])
def test_every_code_has_a_sentence(code: str, data: dict[str, object]) -> None:
    """Whatever the data holds, a person reads a sentence and never a code, a brace or None."""
    failure = describe(Trouble(code, data))

    assert code in SENTENCES
    assert failure.code == code
    assert failure.message
    assert 0 < failure.exit_code < 126
    assert not re.search(r"[{}]|None|\['", failure.message + failure.hint)
    assert not failure.message.startswith(f"{code}:")


def test_sentences_are_of_known_codes_alone() -> None:
    """No sentence outlives its code."""
    assert set(SENTENCES) == errors.ALL_CODES | trouble.LOCAL_CODES


@pytest.mark.parametrize("code", sorted(errors.ALL_CODES - {errors.USAGE, errors.TOO_LARGE}))
def test_refusals_say_what_to_do_next(code: str) -> None:
    """A refusal ends with a step that a person can take."""
    assert describe(Trouble(code, DATA)).hint


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("usage", 2), ("bad_override", 2), ("bad_name", 2), ("nothing_to_run", 2), ("no_such_command", 2),
        ("no_daemon", 3), ("daemon_failed", 3), ("daemon_lost", 3), ("unsafe_directory", 3),
        ("unknown_entry", 4), ("ambiguous_entry", 4), ("nothing_to_follow", 4),
        ("name_taken", 5), ("wrong_state", 5), ("file_exists", 5), ("newer_edits", 5), ("stopping", 5), ("cannot_travel", 5),
        ("not_a_repository", 6), ("no_commit", 6), ("unfinished_merge", 6), ("cannot_capture", 6), ("cannot_restore", 6), ("bad_source", 6), ("bad_export", 6), ("bad_pipeline", 6),
        ("version_mismatch", 7), ("internal", 8), ("bad_frame", 8), ("out_of_turn", 8),
        ("ref_locked", 1), ("store_failed", 1), ("disk_failed", 1), ("exhausted", 1), ("no_result", 1), ("timeout", 124),
    ],
)  # fmt: skip
def test_code_has_its_exit_code(code: str, exit_code: int) -> None:
    """docs/exit-codes.md is a promise to scripts."""
    assert describe(Trouble(code, DATA)).exit_code == exit_code


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (RemoteProtocolError("bad_message", "x"), "bad_message", 8),
        (DisconnectedError(), "daemon_lost", 3),
        (TimeoutError(), "timeout", 124),
        (FileNotFoundError(2, "No such file or directory"), "no_directory_here", 1),
        (PermissionError(13, "Permission denied", "/x"), "eacces", 1),
        (OSError("odd"), "error", 1),
        (KeyError("x"), "internal", 8),
    ],
)
def test_every_exception_has_words(error: Exception, code: str, exit_code: int) -> None:
    """No exception reaches a person as a traceback."""
    failure = describe(error)

    assert (failure.code, failure.exit_code) == (code, exit_code)
    assert failure.message


@pytest.mark.parametrize(
    ("error", "code"),
    [(BrokenPipeError(), 141), (KeyboardInterrupt(), 130), (SystemExit(2), 2), (SystemExit("text"), 1)],
)
def test_ends_that_are_no_failures_are_silent(
    error: BaseException, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """A reader that leaves, an interrupt and an exit have their code and no words."""
    assert report(error, Output(as_json=False, quiet=False)) == code
    assert capfd.readouterr() == ("", "")


def test_failure_that_cannot_be_told_keeps_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nobody left to read stderr the exit code still says what happened."""

    def refuse(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(failures, "write_all", refuse)

    assert report(Trouble("no_commit", {}), Output(as_json=False, quiet=False)) == 6


def test_data_reads_missing_fields_as_nothing() -> None:
    """A sentence about a failure is no place for a second one."""
    data = Data({"rev": BASELINE, "several": ["a", {"id": 1, "name": None}], "one": "x"})

    assert (data["missing"], data.short("rev")) == ("", "bbbbbbb")
    assert (data.listed("several"), data.listed("one")) == ("a, 1", "x")


def test_unknown_command_is_answered_with_the_nearest(expctl: Expctl) -> None:
    """A slip of the finger is recognised; anything else is sent to the help."""
    near, far = expctl("sumbit"), expctl("frobnicate")

    assert (near.code, far.code) == (2, 2)
    assert near.err == "expctl: there is no command sumbit\n  did you mean `expctl submit`?\n"
    assert "`expctl --help` lists them" in far.err


def test_usage_error_is_told_as_json_too(expctl: Expctl) -> None:
    """Also what goes wrong before anybody is asked is a document."""
    ran = expctl("jobs", "many", "--json")

    assert ran.code == 2
    error = ran.document["error"]
    assert isinstance(error, dict)
    assert error["code"] == "usage"
    assert "invalid number of jobs value: 'many'" in error["message"]
