"""Runs the real command line of DVC, many commands in one process of its own: importing DVC takes longer than most of them.

Reads from stdin, as JSON, a list of steps `{"directory", "write", "argv"}`; prints a list of `{"code", "output"}`.
Started as a script, never imported: DVC's state must not live in the process of the tests.
"""

import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Go through the steps. What DVC and its children print goes to a file, not among the answers."""
    dvc: Callable[[list[str]], int] = importlib.import_module("dvc.cli").main
    steps = json.load(sys.stdin)
    answers = os.dup(1)
    results = []
    for step in steps:
        with tempfile.TemporaryFile() as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            code = take(step, dvc)
            sys.stdout.flush()
            sys.stderr.flush()
            said.seek(0)
            results.append({"code": code, "output": said.read().decode("utf-8", "replace")})
    os.write(answers, b"\n")
    with os.fdopen(answers, "w") as stream:
        json.dump(results, stream)


def take(step: dict[str, object], dvc: Callable[[list[str]], int]) -> int:
    """Write the files of a step, in its directory, and run its command there."""
    os.chdir(str(step["directory"]))
    files, argv = step["write"], step["argv"]
    if isinstance(files, dict):
        write_files(Path(), files)
    return dvc([str(word) for word in argv]) if isinstance(argv, list) and argv else 0


def write_files(directory: Path, files: dict[str, str | None]) -> None:
    """Write each file; None takes one away. A name that ends in `!` becomes executable, `a -> b` a symbolic link."""
    for name, text in files.items():
        path = directory / name.removesuffix("!").partition(" -> ")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.exists():
            path.unlink()
        if " -> " in name:
            path.symlink_to(name.partition(" -> ")[2])
        elif text is not None:
            path.write_text(text, "utf-8")
            path.chmod(0o755 if name.endswith("!") else 0o644)


if __name__ == "__main__":
    main()
