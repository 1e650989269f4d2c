"""Runs the real command line of DVC, many commands in one process of its own: importing DVC takes longer than most of them.

Reads from stdin, a line of JSON at a time, lists of steps `{"directory", "write", "argv"}`; prints for each a line with a
list of `{"code", "output"}`. A step may also be a command of git. Started as a script, never imported: DVC's state must not live in the process of the tests.
"""

import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Go through the steps, until there are no more."""
    dvc: Callable[[list[str]], int] = importlib.import_module("dvc.cli").main
    gc.freeze()  # what DVC consists of is not looked through again and again
    with os.fdopen(os.dup(1), "w") as answers:
        for line in sys.stdin:
            print(json.dumps(take_all(json.loads(line), dvc)), file=answers, flush=True)


def take_all(steps: list[dict[str, object]], dvc: Callable[[list[str]], int]) -> list[dict[str, object]]:
    """Take some steps. What DVC and its children print goes to a file, not among the answers."""
    results: list[dict[str, object]] = []
    for step in steps:
        with tempfile.TemporaryFile() as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            code = take(step, dvc)
            sys.stdout.flush()
            sys.stderr.flush()
            said.seek(0)
            results.append({"code": code, "output": said.read().decode("utf-8", "replace")})
    return results


def take(step: dict[str, object], dvc: Callable[[list[str]], int]) -> int:
    """Write the files of a step, in its directory, and run its command there."""
    os.chdir(str(step["directory"]))
    files, argv = step["write"], step["argv"]
    if isinstance(files, dict):
        write_files(Path(), files)
    if not isinstance(argv, list) or not argv:
        return 0
    return subprocess.run(argv, check=False).returncode if argv[0] == "git" else dvc([str(word) for word in argv])


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
