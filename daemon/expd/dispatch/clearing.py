"""What entries leave behind that are in the queue no more: the submission's ref, logs, kept worktrees.

A crash on the way leaves files and refs that nobody asks for, never a row without them.
"""

import logging
from pathlib import Path

from expd.execute.kept import remove_kept
from expd.gitio.errors import GitFailed, RefLocked, RefMoved
from expd.gitio.repository import Repository
from expd.prepare.capture import let_go
from expd.queueing.removal import Removed

_journal = logging.getLogger("expd.dispatch")


def clear_away(removed: Removed, runs_directory: Path) -> list[str]:
    """Delete it, ref first; blocks. Gives in words what could not be deleted, and stays."""
    problems = []
    git_directory = Path(removed.git_directory)
    try:
        if removed.held_as is not None:
            let_go(Repository(git_directory), removed.held_as)
    except (GitFailed, RefLocked, RefMoved) as error:
        problems.append(f"the captured commits of entry {removed.entry} are kept: {error}")
    try:
        for run in removed.runs:
            for path in runs_directory.glob(f"{run}.*"):
                path.unlink(missing_ok=True)
            remove_kept(git_directory, run)
    except OSError as error:
        problems.append(f"files of entry {removed.entry} are kept: {error}")
    for problem in problems:
        _journal.warning("%s", problem)
    return problems
