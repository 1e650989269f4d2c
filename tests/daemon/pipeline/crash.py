"""Records a stage and dies at the Nth thing it asks of the system: `crash.py <root> <n>`; exit code 9 if it died, 0 if done.

Started as a script: an audit hook can't be taken off again. What it counts is what changes or creates files.
"""

import os
import sys
from pathlib import Path

from daemon.pipeline.driver import a_project

EVENTS = frozenset({"os.rename", "os.remove", "os.mkdir", "os.chmod", "os.link", "os.symlink", "shutil.rmtree"})


def main(root: Path, deadline: int) -> None:
    """Record the only stage of the project, up to the deadline."""
    project = a_project(root)
    (stage,) = project.order()
    count = 0

    def die(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        is_write = event in EVENTS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT)
        count += bool(is_write)
        if count == deadline:
            os._exit(9)

    sys.addaudithook(die)
    project.record(stage)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
