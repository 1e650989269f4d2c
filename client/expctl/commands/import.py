"""`expctl import`: the entries that `expctl export` wrote, queued in this clone."""  # noqa: N999 - the verb is its name, and nobody imports it by statement

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.status import show_entries
from expctl.output import Output
from expctl.submitting import accepted, submit


def run(arguments: Arguments, output: Output) -> int:
    """Import, and show the entries that came of it; they run with the environment of this shell."""
    cwd = os.getcwd()  # noqa: PTH109 - pathlib costs 10 ms
    request = requests.import_entries(
        cwd,
        os.path.join(cwd, arguments.file),  # noqa: PTH118 - as above
        on_hold=arguments.hold,
        environment=requests.submitted_environment(os.environb, arguments.env, is_bare=arguments.no_env),
        umask=requests.current_umask(),
    )
    pages, submitted = submit(request, output)
    show_entries(accepted(pages, submitted, output), output)
    return 0
