"""Small text files: read as they are, replaced as a whole."""

import os
import secrets
from pathlib import Path

from expd.pipeline.model import PipelineError


def read_text(file: Path) -> str:
    """The text of the file, or nothing if there is none."""
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise PipelineError(path=str(file), expected="text in UTF-8", hint=str(error)) from error


def read_exactly(file: Path) -> str:
    """The same with the line ends that are there, for a file that is written again."""
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise PipelineError(path=str(file), expected="text in UTF-8", hint=str(error)) from error


def replace_text(file: Path, text: str) -> None:
    """Replace the file as a whole: a reader sees the old text or the new, and so does the disk after a crash."""
    partial = file.with_name(f".{file.name}.{secrets.token_hex(8)}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if file.exists():
            partial.chmod(file.stat().st_mode & 0o777)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
