"""The man pages expctl(1) and expd(1) in roff, made of the table of verbs (man(7))."""

from expctl.arguments import Option, Positional, Verb
from expctl.options import SHARED, VERBS
from expproto import VERSION

EXPCTL, EXPD = "expctl.1", "expd.1"


def man_pages() -> dict[str, str]:
    """Give each page by its file name."""
    return {EXPCTL: _expctl(), EXPD: _expd()}


def _expctl() -> str:
    verbs = "".join(_verb(name, verb) for name, verb in VERBS.items())
    shared = "".join(map(_option, SHARED))
    return f"""\
.TH EXPCTL 1 "" "expd {VERSION}" "User Commands"
.SH NAME
expctl \\- submit, follow and compare machine\\-learning experiments
.SH SYNOPSIS
.B expctl
.I COMMAND
.RI [ OPTION \\|.\\|.\\|.]
.RI [ ARGUMENT \\|.\\|.\\|.]
.SH DESCRIPTION
Runs machine\\-learning experiments with Git's and DVC's own files: submit what the workspace holds, go on working, find each
result as a DVC experiment.
A daemon,
.BR expd (1),
is started where none answers.
.SH COMMANDS
{verbs}.SS Everywhere
{shared}.SH EXIT STATUS
0: done, and the experiments waited for succeeded.
1: another failure.
2: wrong usage.
3: no daemon.
4: no such entry.
5: refused by how things are.
6: the workspace can't be captured.
7: client and daemon are of different versions.
8: an internal error.
124: a time was up.
130: interrupted.
.B follow
and
.B wait
pass on the exit code of the one experiment that they were given.
.SH ENVIRONMENT
.TP
.B EXPD_RUNTIME_DIR
Directory of the socket.
.TP
.B EXPD_STATE_DIR
Directory of the queue, the logs and the journal.
.TP
.B EXPD_CONFIG
The settings file.
.TP
.B EXPD_AUTOSTART
0: no daemon is ever started.
.TP
.B NO_COLOR
Anything: no colours.
.SH SEE ALSO
.BR expd (1),
.BR git (1),
.BR systemctl (1)
"""


def _verb(name: str, verb: Verb) -> str:
    heading = _text(name + "".join(f" {_positional_words(positional)}" for positional in verb.positionals))
    arguments = "".join(_tagged(f".I {_text(each.metavar or each.name)}", _told(each)) for each in verb.positionals)
    return f".SS {heading}\n{_line(verb.summary)}.\n{arguments}{''.join(map(_option, verb.options))}"


def _positional_words(positional: Positional) -> str:
    word = positional.metavar or positional.name.upper()
    return {"*": f"[{word}…]", "+": f"{word}…", "?": f"[{word}]"}.get(positional.count or "", word)


def _told(positional: Positional) -> str:
    return f"{', '.join(positional.choices)}: {positional.help}" if positional.choices else positional.help


def _option(option: Option) -> str:
    value = "" if option.metavar is None else f" \\fI{_text(option.metavar)}\\fR"
    flags = ", ".join(f"\\fB{_text(flag)}\\fR" for flag in option.flags)
    return _tagged(flags + value, option.help)


def _tagged(tag: str, text: str) -> str:
    return f".TP\n{tag}\n{_line(text)}\n"


def _line(text: str) -> str:
    """Write text so that it begins no request of roff."""
    escaped = _text(text)
    return f"\\&{escaped}" if escaped[:1] in {".", "'"} else escaped


def _text(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("…", "\\|.\\|.\\|.")


def _expd() -> str:
    return f"""\
.TH EXPD 1 "" "expd {VERSION}" "User Commands"
.SH NAME
expd \\- run machine\\-learning experiments: keep the queue, run its entries, collect the results
.SH SYNOPSIS
.B expd
.RB [ \\-v ]
.RB [ \\-\\-settings ]
.SH DESCRIPTION
One daemon serves all repositories of one user. It is started by
.BR expctl (1)
where none answers, or by systemd after
.BR "expctl service install" ,
and rarely by hand. It listens at
.IR $XDG_RUNTIME_DIR/expd/expd.sock .
.SH OPTIONS
.TP
.BR \\-v ", " \\-\\-verbose
Log what is happening in detail.
.TP
.B \\-\\-settings
Print the settings as they would be used, as JSON, and exit.
.TP
.B \\-\\-version
Print the version and exit.
.SH SIGNALS
.TP
.B SIGTERM
End at once; what runs goes on under its worker, and the next daemon takes it over.
.TP
.B SIGINT
End when what runs has ended; a second one cancels it.
.TP
.B SIGHUP
Read the settings again.
.SH FILES
.TP
.I ~/.config/expd/config.toml
The settings; none are needed.
.TP
.I ~/.local/state/expd
The queue, the logs of runs, the daemon's own log where it is no service.
.SH EXIT STATUS
0: it was told to end. 1: it could not start. 73: another daemon works with the same state. 75: another daemon serves the socket. 78: the settings can't be used.
.SH SEE ALSO
.BR expctl (1)
"""
