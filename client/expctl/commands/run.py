"""`expctl run`: in the workspace or a private worktree, now, watched to its end; or everything that waits."""

import os
import signal
from types import FrameType

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.follow import Following, view_of
from expctl.fields import Entry, Fields, entries_of
from expctl.output import Output
from expctl.render.terminal import visible
from expctl.submitting import accepted, submission, submit
from expctl.transport import ask
from expctl.trouble import Trouble
from expproto.errors import USAGE


def run(arguments: Arguments, output: Output) -> int:
    """Run, show the output as it comes, and give the experiment's exit code."""
    if arguments.queue:
        raise Trouble(USAGE, {"what": "what is queued is submitted, with the same options: expctl submit"})
    if arguments.run_all:
        return _run_all(arguments, output)
    if arguments.jobs is not None:
        raise Trouble(USAGE, {"what": "--jobs goes with --run-all: one experiment is one job"})
    pages, submitted = submit(submission(arguments, "temp" if arguments.temp else "workspace"), output)
    (entry,) = accepted(pages, submitted, output)
    place = "a private worktree" if arguments.temp else "the workspace"
    output.words(f"expctl: {entry.id} {visible(entry.name)} runs in {place}")
    code = watch([entry], output, is_raw=arguments.raw, attention=_Attention(entry, output))
    if code == 0 and not arguments.temp:
        output.words(f"expctl: the results are in the workspace, and kept as experiment {visible(entry.name)}")
    return code


def _run_all(arguments: Arguments, output: Output) -> int:
    """Let everything of this workspace run that waits, and follow it; an interrupt ends the watching only."""
    given = [arguments.targets, arguments.set_param, arguments.name, arguments.command, arguments.temp]
    if any(given):
        raise Trouble(USAGE, {"what": "--run-all runs what is queued already; it takes -j and nothing else"})
    if arguments.jobs is not None:
        assert not isinstance(arguments.jobs, str)
        ask(requests.set_jobs(arguments.jobs))
    cwd = os.path.realpath(os.getcwd())  # noqa: PTH109 - as everywhere in the client
    here = [entry for entry in entries_of(ask(requests.status(cwd, ()))[0]) if _is_below(cwd, entry.repository)]
    held = [str(entry.id) for entry in here if entry.state == "held"]
    if held:
        ask(requests.release(cwd, held))
    waiting = [entry for entry in here if entry.state != "done"]
    if not waiting:
        output.words("expctl: nothing of this repository is held, queued or running")
        return 0
    _, pool = ask(requests.resume())
    output.words(f"expctl: {len(waiting)} to run, {Fields(pool).integer('jobs')} at once")
    return watch(waiting, output, is_raw=arguments.raw)


def watch(entries: list[Entry], output: Output, *, is_raw: bool, attention: "_Attention | None" = None) -> int:
    """Follow entries to their end, and give the exit code of that; an interrupt leaves them to themselves."""
    cwd = os.getcwd()  # noqa: PTH109 - as everywhere in the client
    view = view_of(entries, output, is_raw=is_raw)
    before = signal.getsignal(signal.SIGINT)
    if attention is not None and before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, attention.interrupted)
    try:
        return Following(cwd, {entry.id: str(entry.id) for entry in entries}, None, view, output).run()
    except KeyboardInterrupt:
        output.words("expctl: detached; everything goes on")
        raise
    finally:
        signal.signal(signal.SIGINT, before)
        view.close()


class _Attention:
    """Ctrl-C asks once, then cancels, then leaves. Not a byte of output is lost to it: the conversation goes on."""

    def __init__(self, entry: Entry, output: Output) -> None:
        self._entry = entry
        self._output = output
        self._times = 0

    def interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        """Take one Ctrl-C."""
        self._times += 1
        if self._times == 1:
            self._output.words("expctl: Ctrl-C once more cancels the experiment; it goes on otherwise")
        elif self._times == 2:
            self._output.words("expctl: cancelling; Ctrl-C once more leaves without waiting for the end")
            ask(requests.cancel("/", [str(self._entry.id)]))
        else:
            raise KeyboardInterrupt


def _is_below(cwd: str, workspace: str) -> bool:
    return cwd == workspace or cwd.startswith(workspace.rstrip("/") + "/")
