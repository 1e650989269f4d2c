"""The two files that may hold a pipeline: dvc.yaml, and the `[pipeline]` table of expd.toml for projects without DVC.

Promise: both give the same document, so that all that follows knows no difference; errors name the line of either.
"""

import posixpath
from collections.abc import Container
from functools import lru_cache

import tomli

from expd.pipeline.documents import View, parse_yaml
from expd.pipeline.model import PIPELINE_FILES, PROJECT_FILE, TOML_FILE, PipelineError

_TABLE = "pipeline"


def is_pipeline_file(path: str) -> bool:
    """Whether a file may hold a pipeline, by its name."""
    return posixpath.basename(path) in PIPELINE_FILES


def other_file(path: str) -> str:
    """The file beside this one that may hold a pipeline as well, but not at the same time."""
    directory, name = posixpath.split(path)
    return posixpath.join(directory, PROJECT_FILE if name == TOML_FILE else TOML_FILE)


def check_alone(path: str, others: Container[str]) -> None:
    """PipelineError if the other file of the directory is among the pipelines read before."""
    other = other_file(path)
    if other in others:
        raise PipelineError(
            path=path,
            expected=f"one pipeline in a directory, not a second one in {other}",
            hint="move one into the other",
        )


@lru_cache(maxsize=32)
def read_document(text: str, path: str) -> View | None:
    """The document of a pipeline file, or None for an expd.toml that holds none.

    Kept, because most experiments of a project have the same; nothing may change it.
    """
    if posixpath.basename(path) != TOML_FILE:
        return View(parse_yaml(text, path))
    try:
        data: dict[str, object] = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        line: object = getattr(error, "lineno", None)
        what = str(getattr(error, "msg", error))
        raise PipelineError(
            path=path, line=line if isinstance(line, int) else None, expected="valid TOML", hint=what
        ) from error
    return View(data).record(frozenset({_TABLE})).get(_TABLE)


def holds_pipeline(text: str, path: str) -> bool:
    """Whether a file of this name and text is meant to hold a pipeline, were it a faulty one."""
    if posixpath.basename(path) != TOML_FILE:
        return True
    try:
        return _TABLE in tomli.loads(text)
    except tomli.TOMLDecodeError:
        return True
