"""What a run in the workspace left there without succeeding: a commit that no ref holds, named beside the run log."""

from pathlib import Path

from expproto.vocabulary import Rev

_REV_CHARS = 40


def left_path(log: Path) -> Path:
    """Give the file that names the commit."""
    return log.with_suffix(".left")


def left_rev(log: Path) -> Rev | None:
    """Read the commit's rev; None if the run left nothing, or it is not known."""
    try:
        text = left_path(log).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Rev(text) if len(text) == _REV_CHARS and text.isalnum() else None
