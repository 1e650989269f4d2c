"""What a command line is made of: options, positionals and how their texts are read; and what came of one."""

from __future__ import annotations

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Arguments:
    """The arguments of one command line; those its verb doesn't take are not there."""

    action: str
    at: float | None
    attempt: int | None
    before: str | None
    after: list[str]
    all: bool
    all_pipelines: bool
    allow_missing: bool
    backoff: float | None
    command: list[str] | None
    copy_paths: list[str]
    cpus: float | None
    csv: bool
    data: str | None
    deps: list[str]
    done: bool
    downstream: bool
    drain: bool
    dry: bool
    dry_run: bool
    entries: list[str]
    entry: str
    env: list[str]
    experiment: str
    failed: bool
    follow: bool
    group: str | None
    file: str
    fix: bool
    explain: bool
    force: bool
    force_downstream: bool
    freeze: bool
    help: bool
    hold: bool
    ignore_errors: bool
    include: list[str]
    install: bool
    jobs: int | str | None
    json: bool
    keep_going: bool
    lines: int | None
    mem: int | None
    max_failures: int | None
    message: str | None
    metrics: list[str]
    name: str | None
    new_name: str
    no_env: bool
    no_hydra: bool
    now: bool
    on: str | None
    output: str | None
    outs: list[str]
    outs_no_cache: list[str]
    page: str | None
    params: list[str]
    paths: list[str]
    plots: list[str]
    priority: int | None
    plots_no_cache: list[str]
    pipeline: bool
    points: str | None
    preview: bool
    print_units: bool
    pull: bool
    queue: bool
    quiet: bool
    raw: bool
    recursive: bool
    retries: int | None
    retry_on: str | None
    run_all: bool
    sample: int | None
    seed: int | None
    set_param: list[str]
    shell: str
    since: str | None
    signal: int | None
    single_item: bool
    stage_jobs: int | None
    stall_limit: float | None
    source: str | None
    targets: list[str]
    temp: bool
    time_limit: float | None
    top: bool
    timeout: float | None
    wait: bool


class Option:
    """An option: a flag without `metavar`, else with a value; read by `read` if it is no text, collected if `is_list`."""

    __slots__ = ("flags", "help", "is_list", "metavar", "name", "read")

    def __init__(
        self,
        *flags: str,
        help: str,  # noqa: A002 - argparse's word for it
        metavar: str | None = None,
        read: Callable[[str], object] | None = None,
        is_list: bool = False,
        name: str | None = None,
    ) -> None:
        self.flags = flags
        self.name = name or flags[-1].removeprefix("--").replace("-", "_")
        self.help = help
        self.metavar = metavar
        self.read = read
        self.is_list = is_list


class Positional:
    """A positional argument; `count` as argparse has it, None for exactly one."""

    __slots__ = ("choices", "count", "help", "metavar", "name", "read")

    def __init__(
        self,
        name: str,
        *,
        help: str,  # noqa: A002 - argparse's word for it
        count: str | None = None,
        metavar: str | None = None,
        choices: Sequence[str] | None = None,
        read: Callable[[str], object] | None = None,
    ) -> None:
        self.name = name
        self.help = help
        self.count = count
        self.metavar = metavar
        self.choices = choices
        self.read = read


class Verb:
    """A command: what it does, and its arguments. `expctl.commands.<verb>` carries it out."""

    __slots__ = ("options", "positionals", "summary", "usage")

    def __init__(self, summary: str, *arguments: Option | Positional, usage: str | None = None) -> None:
        self.summary = summary
        self.usage = usage
        self.positionals = [argument for argument in arguments if isinstance(argument, Positional)]
        self.options = [argument for argument in arguments if isinstance(argument, Option)]


def count(text: str) -> int:
    """Read how many, which may be none."""
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def number_of_jobs(text: str) -> int:
    """Read how many at once; nought at once is what pause is for."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def number_of_seconds(text: str) -> float:
    """Read a duration."""
    seconds = float(text)
    if not 0 <= seconds < 1e9:
        raise ValueError
    return seconds


def duration(text: str) -> float:
    """Read a duration in seconds: `90`, `90s`, `10m`, `2h`, `1d`; it is longer than nothing."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNIT_SECONDS else (text, "s")
    seconds = number_of_seconds(number) * _UNIT_SECONDS[unit]
    if seconds == 0:
        raise ValueError
    return seconds


def number_of_bytes(text: str) -> int:
    """Read how much memory: `4G`, `512M`, `1.5G`; of 1024 bytes each, `KiB` and `KB` are the same."""
    unit = text.lstrip("0123456789.").upper().removesuffix("B").removesuffix("I")
    return int(
        number_of_seconds(text[: len(text.rstrip("bBiIkKmMgGtT"))]) * 1024 ** ("", "K", "M", "G", "T").index(unit)
    )


def number_of_cpus(text: str) -> float:
    """Read how many processors, or what part of one."""
    return number_of_seconds(text)


def whole_number(text: str) -> int:
    """Read a number that may be below nought."""
    return int(text)


def change_of_jobs(text: str) -> int | str:
    """Read how many at once: `4`, or `+1` and `-1` for so many more and less, which stay texts."""
    return text if text[:1] in {"+", "-"} and int(text) else number_of_jobs(text)


def signal_number(text: str) -> int:
    """Read a signal: `TERM`, `SIGTERM` or `15`."""
    import signal  # noqa: PLC0415 - for the few that name one

    if text.isdigit():
        return int(signal.Signals(int(text)))
    name = text.upper().removeprefix("SIG")
    found = getattr(signal.Signals, f"SIG{name}", None)
    if found is None:
        raise ValueError
    return int(found)


def moment(text: str) -> float:
    """Read a time: `now`, `2h` from now, `22:30` the next time it is, `2026-12-24 18:00` here; in seconds since the epoch."""
    import time  # noqa: PLC0415 - for the few that are to wait

    if text == "now":
        return 0.0
    try:
        return time.time() + duration(text)
    except ValueError:
        import datetime as dt  # noqa: PLC0415 - 3 ms, likewise

    today = dt.datetime.now().astimezone()
    if len(text) > _CLOCK_LENGTH:
        return dt.datetime.fromisoformat(text).astimezone().timestamp()
    clock = dt.time.fromisoformat(text)
    then = dt.datetime.combine(today.date(), clock).astimezone()
    if then <= today:
        then = dt.datetime.combine(today.date() + dt.timedelta(days=1), clock).astimezone()
    return then.timestamp()


_CLOCK_LENGTH = len("22:30:00")


def duration_or_none(text: str) -> float:
    """Read a duration that may be nothing."""
    return 0.0 if text in {"0", "0s"} else duration(text)


_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

count.__name__, number_of_jobs.__name__, number_of_seconds.__name__ = "count", "number of jobs", "number of seconds"
whole_number.__name__, change_of_jobs.__name__ = "number", "number of jobs"
signal_number.__name__ = "signal"
number_of_bytes.__name__, number_of_cpus.__name__ = (
    "amount of memory, as in 512M or 4G",
    "number of processors, as in 2 or 0.5",
)
moment.__name__ = "time, as in 2h, 22:30, 2026-12-24 18:00 or now"
duration.__name__ = duration_or_none.__name__ = "duration, as in 90, 90s, 10m, 2h or 1d"
"""As argparse names them in its sentences."""
