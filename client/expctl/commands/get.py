"""`expctl get`: the files of an experiment, written beside the workspace and never into it."""

import os

from expctl.arguments import Arguments
from expctl.inspecting import inspect
from expctl.output import Output
from expctl.render.lines import lines
from expctl.transport import ask
from expctl.trouble import NO_DIRECTORY, Trouble
from expproto.messages import message_from_map, message_to_map
from expproto.replies import Fetched
from expproto.requests import Get


def run(arguments: Arguments, output: Output) -> int:
    """Fetch, and show what was written."""
    cwd = os.getcwd()  # noqa: PTH109 - as everywhere in the client
    directory = arguments.output or _own_directory(cwd, arguments.experiment)
    request = Get(
        cwd=cwd,
        experiment=arguments.experiment,
        paths=tuple(arguments.paths),
        directory=os.path.normpath(os.path.join(cwd, directory)),  # noqa: PTH118 - as above
        force=arguments.force,
    )
    fetched = message_from_map(ask(message_to_map(request))[1])
    assert isinstance(fetched, Fetched)
    paths = [f"{fetched.directory}/{path}" for path in fetched.files]
    output.show(
        document=lambda: {"directory": fetched.directory, "files": list(fetched.files)},
        names=lambda: lines([path] for path in paths),
        lines=lambda: lines([path] for path in paths),
        table=lambda: lines([os.path.relpath(path, cwd)] for path in paths),
    )
    return 0


def _own_directory(cwd: str, experiment: str) -> str:
    """Name a directory after the experiment: its files never land among those of the workspace unasked."""
    name = inspect(cwd, experiment).name
    if "/" in name or name in {"", ".", ".."}:
        raise Trouble(NO_DIRECTORY, {"name": name})
    return name
