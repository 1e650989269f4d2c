"""Values as text: times, durations, parameters, outcomes, documents."""

import errno
import json

import pytest

from expctl.fields import Fields
from expctl.render.as_json import to_json
from expctl.render.lines import pairs_text, value_text
from expctl.render.outcomes import outcome_words
from expctl.render.times import duration, iso, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000000Z"),
        (0.9999999, "1970-01-01T00:00:01.000000Z"),
        (1_750_000_000.25, "2025-06-15T15:06:40.250000Z"),
        (-0.5, "1969-12-31T23:59:59.500000Z"),
    ],
)
def test_times_are_iso_8601_in_utc(seconds: float | None, text: str | None) -> None:
    """Whatever the zone of the machine, and also where rounding carries into the next second."""
    assert iso(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""), (-3, "0.0s"), (0.44, "0.4s"), (10, "10s"), (59.9, "59s"), (60, "1m00s"), (185, "3m05s"),
        (3599, "59m59s"), (3600, "1h00m"), (7620, "2h07m"), (86_400, "1d00h"), (273_600, "3d04h"),
    ],
)  # fmt: skip
def test_spans_have_their_two_largest_units(seconds: float | None, text: str) -> None:
    """A person reads two units at once, no more."""
    assert span(seconds) == text


def test_duration_runs_until_the_end() -> None:
    """What has not begun has none; what runs has one until now; a clock set back makes none negative."""
    assert duration(None, None, 5) is None
    assert duration(1, None, 5) == 4
    assert duration(1, 3, 5) == 2
    assert duration(9, None, 5) == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (False, "false"), (1, "1"), (0.1, "0.1"), (1e-07, "1e-07"), ("a b", "a b"),
        ([1, [None, "x"]], "[1, [null, x]]"), ({"a": {"b": True}}, "{a: {b: true}}"), (b"\xff", "\\xff"),
        (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_values_are_written_as_yaml_has_them(value: object, text: str) -> None:
    """Parameters look as in the file they come from, with all their digits."""
    assert value_text(value) == text
    assert pairs_text({"key": value}) == f"key={text}"


def not_started(number: int, path: str, *, is_directory: bool = False) -> dict[str, object]:
    """Give the outcome of a command that could not be started."""
    return {"kind": "not_started", "stage": "command", "errno": number, "path": path, "is_directory": is_directory}


def timed_out(limit: str, seconds: float) -> dict[str, object]:
    """Give the outcome of a run that reached a limit."""
    return {"kind": "timed_out", "limit": limit, "limit_seconds": seconds, "stage": "train", "seconds": 61.5}


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ({"kind": "succeeded", "rev": "a"}, "succeeded"),
        ({"kind": "failed", "stage": "train", "exit_code": 3}, "failed: train exited with 3"),
        ({"kind": "killed", "stage": "train", "signal": 9}, "killed: train by SIGKILL"),
        ({"kind": "killed", "stage": "train", "signal": 99}, "killed: train by signal 99"),
        (
            {"kind": "out_of_memory", "stage": "train", "evidence": "cgroup"},
            "out of memory: train was ended by the kernel",
        ),
        (
            {"kind": "out_of_memory", "stage": "t", "evidence": "cgroup", "limit_bytes": 2**32, "peak_bytes": 2**31},
            "out of memory: t reached the limit of 4.0 GiB (--mem), 2.0 GiB at most",
        ),
        (
            {"kind": "out_of_memory", "stage": "t", "evidence": "cgroup", "limit_bytes": 2**32, "peak_bytes": None},
            "out of memory: t reached the limit of 4.0 GiB (--mem)",
        ),
        (not_started(errno.ENOENT, "tarin"), "not started: command: command not found: tarin"),
        (not_started(errno.EACCES, "./t"), "not started: command: not executable: ./t"),
        (not_started(errno.E2BIG, "t"), "not started: command: arguments and environment are too long: t"),
        (not_started(errno.EIO, "t"), "not started: command: Input/output error: t"),
        (not_started(errno.ENOENT, "/gone", is_directory=True), "not started: command: its directory is gone: /gone"),
        (timed_out("time", 7200.0), "timed out: train took longer than 7200 s (--time-limit)"),
        (timed_out("stall", 60.0), "timed out: train did nothing for 60 s (--stall-limit), 61.5 s after the start"),
        ({"kind": "cancelled", "reason": "by hand"}, "cancelled: by hand"),
        ({"kind": "cancelled", "reason": "cancelled by the user"}, "cancelled by the user"),
        ({"kind": "refused", "reason": "no stage x"}, "refused: no stage x"),
        ({"kind": "lost", "reason": "its worker vanished"}, "lost: its worker vanished"),
    ],
)
def test_outcomes_are_phrases(outcome: dict[str, object], words: str) -> None:
    """How it ended, of what, and why, in one phrase."""
    assert outcome_words(Fields(outcome)) == words
    assert outcome_words(None) == ""


def test_documents_are_ascii_json_on_one_line() -> None:
    """Any JSON reader takes them, and no terminal is steered by them."""
    text = to_json({"text": "é\x1b\n\u202e", "odd": [float("nan"), float("-inf"), b"\xff"], "plain": (1, None, True)})

    assert text.isascii()
    assert text.count("\n") == 1
    assert json.loads(text, parse_constant=pytest.fail) == {
        "schema": 1,
        "text": "é\x1b\n\u202e",
        "odd": ["nan", "-inf", "/w=="],
        "plain": [1, None, True],
    }
