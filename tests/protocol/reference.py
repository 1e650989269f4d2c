"""The list of messages in docs/protocol.md, made from the annotations. Run as a program it writes the list anew."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from expproto.context import Context, Gpu, Interpreter, Machine, StageContext, Usage
from expproto.limits import RunLimits
from expproto.messages import MESSAGES, Hello
from expproto.progress import RunProgress, StageProgress
from expproto.records import (
    AttemptRecord,
    CaptureRecord,
    DifferenceRecord,
    EntryRecord,
    ExperimentRecord,
    LeftOutFile,
    OutputFile,
    UnkeptLimit,
)
from expproto.replies import Event, Reply
from expproto.requests import Declared, FollowTarget, Request
from expproto.retries import RetryPolicy
from expproto.stage_options import StageOptions
from expproto.vocabulary import OUTCOMES
from expproto.work import Order, Report

PATH = Path(__file__).parents[2] / "docs" / "protocol.md"
BEGIN, END = "<!-- messages: begin -->\n", "<!-- messages: end -->\n"

HINT = "The messages changed: write their list anew with PYTHONPATH=tests python tests/protocol/reference.py"

_SECTIONS: tuple[tuple[str, tuple[type[object], ...]], ...] = (
    ("The greeting", (Hello,)),
    ("Requests", typing.get_args(Request)),
    ("Events", typing.get_args(Event)),
    ("Replies", typing.get_args(Reply)),
    ("Outcomes", OUTCOMES),
    (
        "Records",
        (
            EntryRecord,
            ExperimentRecord,
            OutputFile,
            LeftOutFile,
            UnkeptLimit,
            CaptureRecord,
            DifferenceRecord,
            FollowTarget,
            RunProgress,
            StageProgress,
            Declared,
            StageOptions,
            RunLimits,
            RetryPolicy,
            AttemptRecord,
        ),
    ),
    ("The execution context", (Context, Interpreter, Machine, Gpu, StageContext, Usage)),
    ("Orders, to workers", typing.get_args(Order)),
    ("Reports, from workers", typing.get_args(Report)),
)
_WORDS = {
    type(None): "nil",
    bool: "boolean",
    int: "integer",
    float: "float",
    str: "text",
    bytes: "bytes",
    object: "anything",
}


def reference_text() -> str:
    """Give every message with its fields; those of a union are its alternatives."""
    listed = [message for _, messages in _SECTIONS for message in messages]
    assert set(MESSAGES.values()) <= set(listed)
    return "".join(f"### {title}\n\n" + "".join(map(_message_text, messages)) for title, messages in _SECTIONS)


def _message_text(message: type[object]) -> str:
    assert dataclasses.is_dataclass(message)
    kind: object = getattr(message, "kind", None)
    summary = " ".join((message.__doc__ or "").split())
    hints = typing.get_type_hints(message)
    rows = [
        f"- `{field.name}`: {_type_text(hints[field.name])}"
        + ("" if field.default is dataclasses.MISSING else f", {_default_text(field.default)} if absent")
        for field in dataclasses.fields(message)
    ]
    return f"**`{kind}`** {summary}\n\n" + ("\n".join(rows) + "\n\n" if rows else "")


def _default_text(value: object) -> str:
    if isinstance(value, StrEnum):
        return f"`{value}`"
    if isinstance(value, tuple):
        return "empty"
    if dataclasses.is_dataclass(value):
        return "its defaults"
    return {None: "nil", False: "false"}.get(value, repr(value)) if isinstance(value, bool | None) else f"`{value!r}`"


def _type_text(hint: object) -> str:
    if isinstance(hint, typing.NewType):
        return _type_text(hint.__supertype__)
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return _union_text(arguments)
    if typing.get_origin(hint) is tuple and arguments[-1] is Ellipsis:
        return f"array of {_type_text(arguments[0])}"
    if typing.get_origin(hint) is tuple:
        return f"array [{', '.join(map(_type_text, arguments))}]"
    if typing.get_origin(hint) is Mapping:
        return f"map from text to {_type_text(arguments[1])}"
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return " or ".join(f"`{word}`" for word in hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return f"`{getattr(hint, 'kind', None)}`"
    assert isinstance(hint, type)
    return _WORDS[hint]


def _union_text(options: tuple[object, ...]) -> str:
    if set(OUTCOMES) <= set(options):
        rest = [_type_text(option) for option in options if option not in OUTCOMES]
        return " or ".join(["an outcome", *rest])
    return " or ".join(map(_type_text, options))


if __name__ == "__main__":
    before, _, rest = PATH.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PATH.write_text(before + BEGIN + "\n" + reference_text() + END + after, encoding="utf-8")
