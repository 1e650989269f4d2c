"""Documents for programs: one line of ASCII, `schema` first."""

import base64
import json
import math
from collections.abc import Mapping

SCHEMA = 1
"""Raised when a field is removed or means something else; fields may be added."""


def to_json(value: Mapping[str, object]) -> str:
    """Give a document on a line of its own. Pure ASCII: no byte of it can steer a terminal."""
    document = {"schema": SCHEMA, **value}
    try:
        return json.dumps(document, allow_nan=False) + "\n"
    except (
        TypeError,
        ValueError,
    ):  # something that JSON does not know; looking for it first costs more than most documents
        return json.dumps(_plain_map(document), allow_nan=False) + "\n"


def _plain_map(value: Mapping[str, object]) -> dict[str, object]:
    return {str(key): _plain(item) for key, item in value.items()}


def _plain(value: object) -> object:
    """JSON knows neither bytes nor what is not a finite number; `nan` as text is still what the experiment said."""
    if isinstance(value, Mapping):
        return _plain_map(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
