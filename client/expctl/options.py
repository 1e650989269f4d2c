"""Every verb with its arguments, as one table; `quick` and `parser` read by it."""

from __future__ import annotations

from expctl.arguments import (
    Option,
    Positional,
    Verb,
    change_of_jobs,
    count,
    duration,
    duration_or_none,
    moment,
    number_of_bytes,
    number_of_cpus,
    number_of_jobs,
    number_of_seconds,
    signal_number,
    whole_number,
)

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENTRIES_HELP = "an entry's id, its experiment's name or a revision; a sweep's name, or s and its submission's number"


def _entries(default: str) -> Positional:
    return Positional("entries", count="*", metavar="ID", help=f"{ENTRIES_HELP}; {default}")


def _declarations() -> Iterator[Option]:
    """What makes a command a stage, in the words of `dvc stage add`; -p and -m mean other things to `dvc exp run`."""
    yield Option(
        "-d",
        "--deps",
        metavar="PATH",
        is_list=True,
        help="the command reads this file or directory: equal dependencies and parameters are not run twice",
    )
    yield Option("-o", "--outs", metavar="PATH", is_list=True, help="the command makes this; it goes to the cache")
    yield Option("-O", "--outs-no-cache", metavar="PATH", is_list=True, help="the command makes this; it goes to Git")
    yield Option(
        "-M",
        "--metrics-no-cache",
        "--metrics",
        metavar="PATH",
        is_list=True,
        help="the command writes these metrics, which `show` lists; they go to Git",
    )
    yield Option("--plots", metavar="PATH", is_list=True, help="the command writes this plot; it goes to the cache")
    yield Option("--plots-no-cache", metavar="PATH", is_list=True, help="the command writes this plot; it goes to Git")
    yield Option(
        "--params",
        metavar="[FILE:]KEYS",
        is_list=True,
        help="the command reads these parameters, parted by commas; all of params.yaml if not given",
    )


SHARED = (
    Option("--json", help="one JSON document, as docs/json.md describes it"),
    Option("-q", "--quiet", help="ids only"),
    Option("-h", "--help", help="show this and exit"),
)
"""Options of every verb."""

STAGE_OPTIONS = (
    Option("-s", "--single-item", help="only the stages named, not what they need"),
    Option("-p", "--pipeline", help="the whole pipelines that the stages named belong to"),
    Option("-P", "--all-pipelines", help="all pipelines of the project"),
    Option("-R", "--recursive", help="every stage below the directories named"),
    Option("--downstream", help="the stages named and everything that needs them"),
    Option("--force-downstream", help="when a stage ran, run what reads from it as well"),
    Option("-k", "--keep-going", help="when a stage fails, skip what needs it and go on with the others"),
    Option("--ignore-errors", help="when a stage fails, go on with everything, and commit what was made"),
    Option("--pull", help="bring missing data from the DVC remote, by the dvc of this environment"),
    Option("--allow-missing", help="missing data counts as unchanged"),
    Option(
        "--stage-jobs", metavar="N", read=number_of_jobs, help="run up to N stages that don't need each other at once"
    ),
    Option("--dry", help="refused: there is no dry run"),
)
"""How a run goes through a pipeline, as `dvc exp run` has it, and --stage-jobs; `expctl.stage_options` reads them."""

LIMITS = (
    Option(
        "--time-limit", metavar="DURATION", read=duration, help="end the run after so long: 90s, 10m, 2h or 1d"
    ),
    Option(
        "--stall-limit", metavar="DURATION", read=duration,
        help="end the run when its commands wrote nothing and used no processor for so long",
    ),
    Option("--mem", metavar="SIZE", read=number_of_bytes, help="end the run when it needs more memory than this: 512M, 4G"),
    Option("--cpus", metavar="N", read=number_of_cpus, help="so much time of processors, however many there are: 2, 0.5"),
)  # fmt: skip
"""What a run may use up; `expctl.limits` reads them."""

RETRIES = (
    Option("--retries", metavar="N", read=count, help="run it again, up to N times, when it does not succeed"),
    Option(
        "--retry-on", metavar="CAUSES",
        help="after these ends only, parted by commas: lost, oom, signal, timeout, stall, exit, exit:CODE (default all; "
        "`none` keeps also a lost run from running again)",
    ),
    Option(
        "--backoff", metavar="DURATION", read=duration_or_none,
        help="wait so long before the first retry, and twice as long before each further (default 10s, at most 1h)",
    ),
)  # fmt: skip
"""When a run is followed by another; `expctl.retries` reads them."""

_GROUP = Option("-g", "--group", metavar="GROUP", help="take the slots of this group (`expctl group add`)")
PLACE = (
    Option(
        "--priority", metavar="N", read=whole_number, help="the higher goes first, among equals the older (default 0)"
    ),
    _GROUP,
    Option("--at", metavar="TIME", read=moment, help="not before: 2h from now, 22:30, 2026-12-24 18:00, or now"),
)
"""Where an entry stands in the queue; `expctl.place` reads them."""

_TARGETS = Positional(
    "targets", count="*", metavar="STAGE", help="run only up to these stages of dvc.yaml or expd.toml"
)
PREPARATION = (
    Option(
        "-S", "--set-param", metavar="[FILE:]KEY=VALUE", is_list=True,
        help="run with this parameter; with submit several values make a sweep (can be repeated)",
    ),
    Option("-n", "--name", metavar="NAME", help="name of the experiment; made up if not given"),
    Option("-m", "--message", metavar="MESSAGE", help="message of the experiment's commit"),
    Option("-f", "--force", help="run also what didn't change, replace a name taken"),
    Option(
        "-C", "--copy-paths", metavar="PATH", is_list=True,
        help="copy this ignored or new file or directory along, without committing it (can be repeated)",
    ),
    Option(
        "--env", metavar="NAME=VALUE", is_list=True,
        help="run with this variable; NAME alone takes the value it has here (can be repeated)",
    ),
    Option("--no-env", help="run with PATH, HOME, LANG and what --env gives, and nothing else of this shell"),
    Option("--no-hydra", help="edit params.yaml in place where DVC's hydra.enabled would compose it"),
    Option(
        "--include", metavar="PATH", is_list=True,
        help="capture this new file although it looks like a secret (can be repeated)",
    ),
    *_declarations(),
    *STAGE_OPTIONS,
    *LIMITS,
    *RETRIES,
)  # fmt: skip
"""Options of what is prepared: the same in every mode."""

VERBS: Mapping[str, Verb] = {
    "run": Verb(
        "Run in the workspace, now, and watch it",
        _TARGETS,
        *PREPARATION,
        Option("--temp", help="run in a private worktree instead of the workspace"),
        Option("--run-all", help="run everything that is held or queued here, and watch it to the end"),
        Option("--queue", help="refused: that is `expctl submit`"),
        Option("-j", "--jobs", metavar="N", read=number_of_jobs, help="with --run-all: so many at once, from now on"),
        Option("--raw", help="only what the commands wrote, control characters and all"),
        usage="expctl run [OPTION…] [STAGE…] [-- COMMAND…]\n       expctl run --run-all [-j N]",
    ),
    "submit": Verb(
        "Freeze the workspace and queue it as one or more experiments",
        _TARGETS,
        *PREPARATION,
        Option("--on", metavar="ENGINE[:QUEUE]", help="run on other hosts: celery, or celery:gpu for those that serve a queue of that name"),
        Option("--data", metavar="push|none", help="with --on: whether outputs go to the DVC remote (default: if there is one)"),
        Option("--points", metavar="FILE", help="one run a row: CSV with [FILE:]KEY as heading, or JSON lines"),
        Option("--sample", metavar="N", read=count, help="only so many points of the sweep, chosen by --seed"),
        Option("--seed", metavar="N", read=count, help="which sample; the same seed gives the same one (default 0)"),
        Option(
            "--from", name="source", metavar="REV",
            help="run this commit instead of the workspace: a stash commit, an experiment's or entry's name or id, or any other",
        ),
        Option(
            "--max-failures", metavar="N", read=number_of_jobs, help="cancel the points that still wait once so many have failed"
        ),
        *PLACE,
        Option(
            "--after", metavar="ID[:ok|any|failed]", is_list=True,
            help="run when this entry or sweep has ended, well if nothing else is said; skipped if it ended otherwise (can be repeated)",
        ),
        Option("--preview", help="show the points, queue nothing"),
        Option("--hold", help="queue without running, until `expctl release`"),
        Option("--explain", help="only show what would be taken along and what not; queue nothing"),
        Option("--wait", help="stay until it has ended, with its exit code; of a sweep 1 if one did not succeed"),
        Option("--follow", help="stay and watch the output until it has ended, with its exit code"),
        usage="expctl submit [OPTION…] [STAGE…] [-- COMMAND…]",
    ),
    "follow": Verb(
        "Watch the output of entries until they end",
        _entries("the one that runs if none is named; ID@1 is its first attempt"),
        Option("-n", "--lines", metavar="LINES", read=count, help="begin so many lines before the end"),
        Option("--attempt", metavar="N", read=number_of_jobs, help="only this attempt at the entry named"),
        Option("--raw", help="only what the commands wrote, control characters and all"),
    ),
    "status": Verb(
        "Show the queue",
        _entries("all if none is named"),
        Option("--all", help="however many there are; without it a person is shown the nearest: what runs, what is next, what has just ended"),
    ),
    "show": Verb(
        "Show the experiments of HEAD, or all of one",
        Positional("experiment", count="?", metavar="ID", help=f"{ENTRIES_HELP}; all of HEAD if not given"),
        Option("--csv", help="comma-separated values with a heading"),
    ),
    "inspect": Verb(
        "Show all of one experiment, and in what it took place",
        Positional("experiment", metavar="ID", help=ENTRIES_HELP),
    ),
    "why": Verb(
        "Tell how an entry came to be as it is, and what to try",
        Positional("entry", metavar="ID", help=ENTRIES_HELP),
        Option("--attempt", metavar="N", read=number_of_jobs, help="how this attempt went, and not the newest"),
    ),
    "get": Verb(
        "Fetch the files of an experiment, beside the workspace",
        Positional("experiment", metavar="ID", help=ENTRIES_HELP),
        Positional("paths", count="*", metavar="PATH", help="files or directories of it; all it made if not given"),
        Option("-o", "--output", metavar="DIR", help="where to; a new directory of the experiment's name if not given"),
        Option("-f", "--force", help="replace files that are there"),
    ),
    "wait": Verb(
        "Wait until entries are done",
        _entries("all if none is named"),
        Option("--all", help="wait until nothing is queued and nothing runs"),
        Option("--timeout", metavar="SECONDS", read=number_of_seconds, help="give up after so long, with exit code 124"),
    ),
    "cancel": Verb(
        "End entries, running or not",
        Positional("entries", count="+", metavar="ID", help=ENTRIES_HELP),
        Option(
            "--signal", metavar="SIGNAL", read=signal_number,
            help="send this one, as in USR1, TERM or KILL, instead of INT and TERM; after the grace KILL follows in any case",
        ),
    ),
    "release": Verb(
        "Let entries run that were submitted with --hold",
        Positional("entries", count="+", metavar="ID", help=ENTRIES_HELP),
    ),
    "retry": Verb(
        "Run entries that are done once more, as they were submitted",
        _entries("of a sweep those that did not succeed"),
        Option("--failed", help="all of this repository that did not succeed"),
        Option("-f", "--force", help="also what succeeded; its result is replaced by the new one"),
        Option(
            "-S", "--set-param", metavar="[FILE:]KEY=VALUE", is_list=True,
            help="queue a new entry instead, from the same state with this parameter (can be repeated)",
        ),
        Option("-n", "--name", metavar="NAME", help="with -S: name of the new one; made up if not given"),
        *LIMITS,
    ),
    "verify": Verb(
        "Run an experiment again from what was captured, and compare every output, metric and file",
        Positional("experiment", metavar="ID", help=ENTRIES_HELP),
        Option(
            "--env", metavar="NAME=VALUE", is_list=True,
            help="run with this variable; NAME alone takes the value it has here (can be repeated)",
        ),
        Option("--no-env", help="run with PATH, HOME, LANG and what --env gives, and nothing else of this shell"),
    ),
    "remove": Verb(
        "Take entries that are done off the queue, logs and all; experiments stay",
        Positional("entries", count="*", metavar="ID", help=ENTRIES_HELP),
        Option("--done", help="all of this repository that are done"),
    ),
    "rename": Verb(
        "Give an entry, and its experiment, another name",
        Positional("entry", metavar="ID", help=ENTRIES_HELP),
        Positional("new_name", metavar="NAME", help="the new name"),
    ),
    "restore": Verb(
        "Bring the workspace back to what was captured",
        Positional("entry", metavar="ID", help=f"{ENTRIES_HELP}, also that of a stash commit"),
        Option("-f", "--force", help="overwrite edits that are newer, after keeping them in a stash commit"),
    ),
    "export": Verb(
        "Write an entry or a sweep to a file that another clone imports",
        Positional("entry", metavar="ID", help=ENTRIES_HELP),
        Positional("file", metavar="FILE", help="a new file: a tar of a manifest and a Git bundle, without the environment"),
        Option("--since", metavar="REV", help="for a clone that has this older commit, and not the entry's baseline"),
    ),
    "import": Verb(
        "Queue what `expctl export` wrote",
        Positional("file", metavar="FILE", help="the file; its entries run with the environment of this shell"),
        Option("--hold", help="queue without running, until `expctl release`"),
        Option(
            "--env", metavar="NAME=VALUE", is_list=True,
            help="run with this variable; NAME alone takes the value it has here (can be repeated)",
        ),
        Option("--no-env", help="run with PATH, HOME, LANG and what --env gives, and nothing else of this shell"),
    ),
    "doctor": Verb(
        "Look for what is wrong with the daemon's state and this repository",
        Option("--fix", help="mend what is safe to mend"),
    ),
    "gc": Verb(
        "Remove what the rules of [retention] give up; experiments stay",
        Option("--dry-run", help="only tell what would go, and how much that is"),
    ),
    "engines": Verb("List who executes entries: this host and others, their slots, and what runs where"),
    "hold": Verb(
        "Let entries that are queued wait until `expctl release`",
        Positional("entries", count="+", metavar="ID", help=f"{ENTRIES_HELP}; group:NAME is all of a group"),
    ),
    "edit": Verb(
        "Change entries that wait: parameters, priority, group, time, limits, retries",
        Positional("entries", count="+", metavar="ID", help=f"{ENTRIES_HELP}; group:NAME is all of a group"),
        Option(
            "-S", "--set-param", metavar="[FILE:]KEY=VALUE", is_list=True,
            help="run with this parameter, from what was captured (can be repeated)",
        ),
        *PLACE,
        Option(
            "--after", metavar="ID[:ok|any|failed]|none", is_list=True,
            help="run when this entry or sweep has ended, in place of what they wait for now (can be repeated)",
        ),
        Option("--time-limit", metavar="DURATION", read=duration_or_none, help="end the run after so long; 0 is no limit"),
        Option(
            "--stall-limit", metavar="DURATION", read=duration_or_none,
            help="end the run when its commands wrote nothing and used no processor for so long; 0 is no limit",
        ),
        Option("--mem", metavar="SIZE", read=number_of_bytes, help="end the run when it needs more memory than this; 0 is no limit"),
        Option("--cpus", metavar="N", read=number_of_cpus, help="so much time of processors; 0 is no limit"),
        *RETRIES,
    ),
    "move": Verb(
        "Let entries that wait run next, or right before another one",
        Positional("entries", count="+", metavar="ID", help=ENTRIES_HELP),
        Option("--top", help="before all others of their group"),
        Option("--before", metavar="ID", help="before this one, in its group and with its priority"),
    ),
    "run-now": Verb(
        "Run entries that wait at once, beyond the slots there are",
        Positional("entries", count="+", metavar="ID", help=ENTRIES_HELP),
    ),
    "group": Verb(
        "Groups of entries with slots of their own: add, list, remove",
        Positional("action", choices=("add", "list", "remove"), help="what to do"),
        Positional("name", count="?", metavar="NAME", help="the group"),
        Option("-j", "--jobs", metavar="N", read=number_of_jobs, help="add: so many of it at once (default 1)"),
    ),
    "pause": Verb(
        "Start nothing more; what runs goes on, or with --freeze stands still until `expctl resume`",
        Option("--freeze", help="stop the processes of what runs where they are; memory and GPUs stay taken"),
        Option("-g", "--group", metavar="GROUP", help="of this group alone"),
    ),
    "drain": Verb("Start nothing more, and wait until nothing runs"),
    "resume": Verb(
        "Go on: with the queue, or with entries that did not succeed, in what their last run left",
        _entries("the queue if none is named"),
        Option("-f", "--force", help="also in what somebody has changed since the run"),
        Option("-g", "--group", metavar="GROUP", help="with this group of the queue alone"),
    ),
    "jobs": Verb(
        "Show or set how many experiments run at once",
        Positional("jobs", count="?", metavar="N", read=change_of_jobs, help="so many at once, +N more or -N less; shows the number if not given"),
        Option("-g", "--group", metavar="GROUP", help="of this group (default: of what is in none)"),
    ),
    "completion": Verb(
        "Print or install the completions of a shell",
        Positional("shell", choices=("bash", "zsh", "fish"), help="for which shell"),
        Option("--install", help="put them into your home directory, where the shell looks"),
    ),
    "man": Verb(
        "Show or install the manual",
        Positional("page", count="?", choices=("expctl", "expd"), help="which page; that of expctl if not given"),
        Option("--install", help="put the pages into your home directory, where man looks"),
    ),
    "config": Verb(
        "Show or check the settings",
        Positional("action", choices=("show", "check"), help="every key with its value and where it comes from; or only whether they can be used"),
    ),
    "service": Verb(
        "Install, look at or remove the systemd user service",
        Positional("action", choices=("install", "status", "uninstall", "logs"), help="what to do; without it expctl starts the daemon by itself"),
        Option("--print", name="print_units", help="install: only print the units"),
        Option("--dry-run", help="install, uninstall: only say what would be done"),
        Option("-n", "--lines", metavar="LINES", read=count, help="logs: so many of the last lines (default 100)"),
        Option("-f", "--follow", help="logs: go on as they come"),
    ),
    "daemon": Verb(
        "Look at, start, stop or restart the daemon, or have it read its settings",
        Positional("action", choices=("status", "start", "stop", "restart", "reload"), help="what to do; what runs goes on through all of it"),
        Option("--drain", help="stop: wait for what runs, and begin nothing more"),
        Option("--now", help="stop: cancel what runs"),
    ),
}  # fmt: skip
