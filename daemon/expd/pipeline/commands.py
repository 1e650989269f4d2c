"""How the commands of a stage become processes (dvc/stage/run.py).

Promise: pure. Each line, or each item of a list, gets a shell of its own, so nothing one sets is seen by the next.
"""

import posixpath
from collections.abc import Mapping

from expd.pipeline.model import Stage

DEFAULT_SHELL = "/bin/sh"
# What keeps a shell from reading the user's start-up files.
_QUIET_START = {"zsh": ["--no-rcs"], "bash": ["--noprofile", "--norc"], "fish": ["--no-config"]}


def shell_commands(stage: Stage, environ: Mapping[str, str]) -> list[list[str]]:
    """The argument vectors to run one after the other, in `stage.wdir`, until one fails; the shell is `$SHELL`."""
    shell = environ.get("SHELL") or DEFAULT_SHELL
    options = _QUIET_START.get(posixpath.basename(shell).lower(), [])
    lines = stage.commands.splitlines() if isinstance(stage.commands, str) else stage.commands
    return [[shell, *options, "-c", line] for line in lines]
