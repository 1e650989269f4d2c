"""config.toml → Settings: what a person may choose, checked where it is read, with the reason for each default."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path

import tomli

from expproto import address
from expproto.limits import LOG_BYTES_MAX
from expproto.stage_options import STAGE_JOBS_MAX

_COUNT_MAX = 2**31 - 1
"""No reason but that everything below can store and compare it."""
HOOK_SCHEMES = ("http", "https")
BROKER_SCHEMES = ("redis", "rediss", "amqp", "amqps")
_LEASE_SECONDS_MIN = 3.0
"""A third of it is between two signs of life."""
_BYTES_MAX = 2**53
"""Beyond any file system, and exact in every number format."""
_LOG_BYTES_MIN = 2**16
"""A few screens of text at the beginning and at the end."""


class BadSettings(Exception):
    """config.toml can't be used: the message names the file, the key and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The table `[retention]`: what is kept how long. Experiments are no part of it: no rule ever removes a result."""

    done_days: float = 180.0
    """Entries that are done, with their logs and what was captured: half a year, in which most work is written up."""
    done_max: int = 10_000
    """Entries that are done: lists and searches stay quick, and a sweep of the largest size fits."""
    log_days: float = 90.0
    """Logs of runs that have ended: whoever did not look in three months will not."""
    logs_bytes_max: int = 10 * 2**30
    """All logs of runs that have ended: on most disks nobody misses it; the oldest go first."""
    kept_worktree_days: float = 14.0
    """Worktrees of failed runs: a failure is looked into within days, and retried from what was captured anyway."""
    kept_worktrees_bytes_max: int = 50 * 2**30
    """All of them in one repository: outputs that are no links into the cache may be large."""
    restored_days: float = 90.0
    """What `restore --force` put aside: as long as Git keeps what a reflog alone holds."""
    environment_days: float = 30.0
    """Environments of what did not succeed, which may hold secrets: a later retry takes that of its own shell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """What is told of an event: a command, by its arguments, or an address. That may hold a token, and is in no representation."""

    command: tuple[str, ...] = ()
    url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """The table `[hooks]`: who is told of what happens, with a JSON document. Nobody by default."""

    done: Hook | None = None
    """Each entry that has ended, in whatever way."""
    failed: Hook | None = None
    """Each that ended neither with success nor because somebody wanted it to."""
    held: Hook | None = None
    """Each that was held, and nobody asked for it: it got lost three times."""
    sweep_done: Hook | None = None
    """The last point of a sweep has ended."""
    idle: Hook | None = None
    """Nothing runs, and nothing is queued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CelerySettings:
    """[engines.celery]: where other hosts are found. Addresses may hold passwords, and are in no representation."""

    broker: str = field(repr=False)
    """redis://, rediss://, amqp:// or amqps://, with user and password where the broker asks for them."""
    hub: str = field(repr=False)
    """The Git repository that all hosts reach: ssh://, https://, file:// or an absolute path."""
    env: tuple[str, ...] = ()
    """Patterns of variables that travel with a submission. None by default: what a shell holds is nobody else's business."""
    lease_seconds: float = 60.0
    """A run of which nothing is heard for so long is lost: a pause of a network is shorter, a person's patience longer."""
    ca_file: str | None = None
    """Certificates that a broker's is checked with; those of the system if not given."""
    cert_file: str | None = None
    """Our own certificate, for a broker that asks for one."""
    key_file: str | None = None
    """The key of that certificate, without a passphrase, unless it is in the same file."""
    dvc_config: str | None = None
    """On a worker: a file that its runs have as .dvc/config.local, with what this host needs for the DVC remotes."""
    visibility_seconds: int = 3600
    """After which Redis hands a task that was taken and not finished to another worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """[engines]: each table is one."""

    celery: CelerySettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; durations in seconds."""

    jobs: int = 1
    """Runs at once on a new installation: an experiment usually wants the whole machine. `expctl jobs N` changes it."""
    stage_jobs: int = 1
    """Stages of one run at once, where it does not say itself: commands that share more than they declare are common."""
    grace_seconds: float = 10.0
    """Between SIGINT and SIGTERM, and again before SIGKILL: time to write a checkpoint."""
    sweep_points_max: int = 10_000
    """Points of one submission: more is nearly always a mistyped range, and each point is a commit."""
    kept_worktrees_max: int = 20
    """Worktrees of failed runs that are kept for a look; the oldest go first."""
    log_bytes_max: int = LOG_BYTES_MAX
    """Of the log of one run: more is a loop that prints; nobody reads it, and the disk is everybody's."""
    new_file_bytes_max: int = 50 * 2**20
    """One new file of a capture: source is far smaller, a forgotten checkpoint larger, and Git keeps it for good."""
    new_files_bytes_max: int = 500 * 2**20
    """All new files of a capture: about ten seconds of hashing and compressing, which is the most a person waits for."""
    new_files_max: int = 10_000
    """New files of a capture: more is a dataset or an environment that .gitignore forgot."""
    state_free_bytes_min: int = 32 * 2**20
    """Free on the disk of the state directory, or nothing is started: the store's log, run logs and outcomes go there."""
    run_free_bytes_min: int = 128 * 2**20
    """Free on the disks of the repository and of the cache, or its entries wait: with less, Git and DVC stop half-way."""
    retention: Retention = field(default_factory=Retention)
    env_deny: tuple[str, ...] = ()
    """Patterns of variables that no run gets, whoever submits them. None by default: what the shell has is what runs."""
    engines: EngineSettings = EngineSettings()
    """[engines]: other hosts; without it there is this one alone."""
    hooks: Hooks = Hooks()
    """[hooks]: who is told of what happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key as it is: `origin` is "default", "file", or the variable of the environment that says it."""

    key: str
    value: object
    default: object
    origin: str


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the user's config.toml, and variables that say otherwise; without either, the defaults. Raises BadSettings."""
    path = Path(address.settings_path(environ))
    table = _read_table(path)
    settings = _settings_from(table, path)
    overrides = _overrides(environ)
    if not overrides:
        return settings
    merged = {**table, **{key: value for key, _variable, value in overrides if "." not in key}}
    retention = {key.partition(".")[2]: value for key, _variable, value in overrides if "." in key}
    if retention:
        merged["retention"] = {**asdict(settings.retention), **retention}
    return _settings_from(merged, ", ".join(variable for _key, variable, _value in overrides))


def explain_settings(environ: Mapping[str, str]) -> list[Setting]:
    """Give every key with where its value comes from; raises BadSettings."""
    table, settings, defaults = _read_table(Path(address.settings_path(environ))), read_settings(environ), Settings()
    variables = {key: variable for key, variable, _value in _overrides(environ)}
    retention = table.get("retention", {})
    in_file = {*table, *(f"retention.{key}" for key in (retention if isinstance(retention, Mapping) else {}))}
    return [
        Setting(
            key=key,
            value=_value_of(settings, key),
            default=_value_of(defaults, key),
            origin=variables.get(key) or ("file" if key in in_file else "default"),
        )
        for key in _keys()
    ] + [*_explain_engines(table, settings), *_explain_hooks(settings)]


def _explain_hooks(settings: Settings) -> list[Setting]:
    """Give the hooks that are there; an address is only said to be set."""
    found = [(each.name, hook) for each in fields(Hooks) if (hook := getattr(settings.hooks, each.name)) is not None]
    return [
        Setting(
            key=f"hooks.{name}", value=list(hook.command) if hook.url is None else "(set)", default=None, origin="file"
        )
        for name, hook in found
    ]


def _explain_engines(table: Mapping[str, object], settings: Settings) -> list[Setting]:
    """Give the keys of the engines that are there; what may hold a password is only said to be set."""
    celery = settings.engines.celery
    engines = table.get("engines")
    given = engines.get("celery") if isinstance(engines, Mapping) else None
    if celery is None or not isinstance(given, Mapping):
        return []
    found = []
    for each in fields(CelerySettings):
        value: object = getattr(celery, each.name) if each.repr else "(set)"
        default = None if each.default is MISSING else each.default
        found.append(
            Setting(
                key=f"engines.celery.{each.name}",
                value=list(value) if isinstance(value, tuple) else value,
                default=list(default) if isinstance(default, tuple) else default,
                origin="file" if each.name in given else "default",
            )
        )
    return found


def _keys() -> list[str]:
    own = [each.name for each in fields(Settings) if each.name not in {"retention", "engines", "hooks"}]
    return own + [f"retention.{each.name}" for each in fields(Retention)]


def _value_of(settings: Settings, key: str) -> object:
    table, _, name = key.rpartition(".")
    value: object = getattr(settings.retention if table else settings, name)
    return list(value) if isinstance(value, tuple) else value


def _overrides(environ: Mapping[str, str]) -> list[tuple[str, str, object]]:
    """Give key, variable and value of what the environment says: EXPD_ and the key in capitals, with a TOML value."""
    found: list[tuple[str, str, object]] = []
    for key in _keys():
        variable = "EXPD_" + key.replace(".", "_").upper()
        if environ.get(variable):
            try:
                value: object = tomli.loads(f"value = {environ[variable]}")["value"]
            except tomli.TOMLDecodeError:
                raise BadSettings(f"{variable}: {environ[variable]!r} is no value as config.toml has it") from None
            found.append((key, variable, value))
    return found


def _read_table(path: Path) -> Mapping[str, object]:
    try:
        table: Mapping[str, object] = tomli.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomli.TOMLDecodeError as error:
        raise BadSettings(f"{path}: not TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: can't be read: {error}") from None
    return table


def _settings_from(table: Mapping[str, object], path: Path | str) -> Settings:
    known = {field.name for field in fields(Settings)}
    for key in table:
        if key not in known:
            raise BadSettings(f"{path}: unknown key {key!r}; known are {', '.join(sorted(known))}")
    defaults = Settings()
    return Settings(
        jobs=_count(table, "jobs", defaults.jobs, path, least=1),
        stage_jobs=_count(table, "stage_jobs", defaults.stage_jobs, path, least=1, most=STAGE_JOBS_MAX),
        grace_seconds=_seconds(table, "grace_seconds", defaults.grace_seconds, path),
        sweep_points_max=_count(table, "sweep_points_max", defaults.sweep_points_max, path, least=1),
        kept_worktrees_max=_count(table, "kept_worktrees_max", defaults.kept_worktrees_max, path, least=0),
        log_bytes_max=_count(
            table, "log_bytes_max", defaults.log_bytes_max, path, least=_LOG_BYTES_MIN, most=_BYTES_MAX
        ),
        new_file_bytes_max=_bytes(table, "new_file_bytes_max", defaults.new_file_bytes_max, path),
        new_files_bytes_max=_bytes(table, "new_files_bytes_max", defaults.new_files_bytes_max, path),
        new_files_max=_count(table, "new_files_max", defaults.new_files_max, path, least=0),
        state_free_bytes_min=_bytes(table, "state_free_bytes_min", defaults.state_free_bytes_min, path),
        run_free_bytes_min=_bytes(table, "run_free_bytes_min", defaults.run_free_bytes_min, path),
        retention=_retention(table, path),
        env_deny=_patterns(table, "env_deny", path),
        engines=EngineSettings(celery=_celery(_table(table, "engines", ("celery",), path), path)),
        hooks=_hooks(table, path),
    )


def _retention(table: Mapping[str, object], path: Path | str) -> Retention:
    value = table.get("retention", {})
    if not isinstance(value, Mapping):
        raise BadSettings(f"{path}: retention must be a table: [retention], and its keys below it")
    own, known = {str(key): each for key, each in value.items()}, {each.name for each in fields(Retention)}
    for key in own:
        if key not in known:
            raise BadSettings(f"{path}: unknown key {key!r} in [retention]; known are {', '.join(sorted(known))}")
    defaults = Retention()
    return Retention(
        done_days=_seconds(own, "done_days", defaults.done_days, path, "days"),
        done_max=_count(own, "done_max", defaults.done_max, path, least=0),
        log_days=_seconds(own, "log_days", defaults.log_days, path, "days"),
        logs_bytes_max=_bytes(own, "logs_bytes_max", defaults.logs_bytes_max, path),
        kept_worktree_days=_seconds(own, "kept_worktree_days", defaults.kept_worktree_days, path, "days"),
        kept_worktrees_bytes_max=_bytes(own, "kept_worktrees_bytes_max", defaults.kept_worktrees_bytes_max, path),
        restored_days=_seconds(own, "restored_days", defaults.restored_days, path, "days"),
        environment_days=_seconds(own, "environment_days", defaults.environment_days, path, "days"),
    )


def _hooks(table: Mapping[str, object], path: Path | str) -> Hooks:
    names = tuple(field.name for field in fields(Hooks))
    own = _table(table, "hooks", names, path)
    return Hooks(**{name: _hook(name, value, path) for name, value in own.items()})


def _hook(name: str, value: object, path: Path | str) -> Hook:
    """Give a hook; what is wrong with an address is said without it, since it may hold a token."""
    if isinstance(value, str) and value.isprintable() and value.partition("://")[0] in HOOK_SCHEMES:
        return Hook(url=value)
    command = [item for item in value if isinstance(item, str) and "\0" not in item] if isinstance(value, list) else []
    if not command or not command[0] or not isinstance(value, list) or len(command) != len(value):
        raise BadSettings(
            f"{path}: {name} in [hooks] must be an address (https://…), or a list of a program and its arguments"
        )
    return Hook(command=tuple(command))


def _celery(engines: Mapping[str, object], path: Path | str) -> CelerySettings | None:
    if "celery" not in engines:
        return None
    known = tuple(field.name for field in fields(CelerySettings))
    table = _table(engines, "celery", known, path, prefix="engines.")
    return CelerySettings(
        broker=_address(table, "broker", BROKER_SCHEMES, path),
        hub=_address(table, "hub", (), path),
        env=_patterns(table, "env", path),
        lease_seconds=max(_LEASE_SECONDS_MIN, _seconds(table, "lease_seconds", 60.0, path)),
        ca_file=_file(table, "ca_file", path),
        cert_file=_file(table, "cert_file", path),
        key_file=_file(table, "key_file", path),
        dvc_config=_file(table, "dvc_config", path),
        visibility_seconds=_count(table, "visibility_seconds", 3600, path, least=1),
    )


def _table(
    table: Mapping[str, object], key: str, known: tuple[str, ...], path: Path | str, prefix: str = ""
) -> Mapping[str, object]:
    """Give a table inside another, with none but the keys that are known."""
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise BadSettings(f"{path}: [{prefix}{key}] must be a table")
    for name in value:
        if name not in known:
            raise BadSettings(f"{path}: unknown key {name!r} in [{prefix}{key}]; known are {', '.join(sorted(known))}")
    return value


def _address(table: Mapping[str, object], key: str, schemes: tuple[str, ...], path: Path | str) -> str:
    """Give an address; what is wrong with it is said without it, since it may hold a password."""
    value = table.get(key)
    if not isinstance(value, str) or not value.isprintable() or not value:
        raise BadSettings(f"{path}: {key} in [engines.celery] must be an address")
    if schemes and value.partition("://")[0] not in schemes:
        raise BadSettings(f"{path}: {key} in [engines.celery] must begin with {'://, '.join(schemes)}://")
    return value


def _file(table: Mapping[str, object], key: str, path: Path | str) -> str | None:
    value = table.get(key)
    if value is not None and not (isinstance(value, str) and Path(value).is_absolute()):
        raise BadSettings(f"{path}: {key} in [engines.celery] must be the absolute path of a file, not {value!r}")
    return value


def _count(
    table: Mapping[str, object], key: str, default: int, path: Path | str, *, least: int, most: int = _COUNT_MAX
) -> int:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadSettings(f"{path}: {key} must be a whole number from {least} to {most}, not {value!r}")
    return value


def _bytes(table: Mapping[str, object], key: str, default: int, path: Path | str) -> int:
    return _count(table, key, default, path, least=0, most=_BYTES_MAX)


def _patterns(table: Mapping[str, object], key: str, path: Path | str) -> tuple[str, ...]:
    value = table.get(key, [])
    patterns = [item for item in value if isinstance(item, str) and item] if isinstance(value, list) else None
    if not isinstance(value, list) or patterns is None or len(patterns) != len(value):
        raise BadSettings(f"{path}: {key} must be a list of patterns like 'AWS_*', not {value!r}")
    return tuple(patterns)


def _seconds(table: Mapping[str, object], key: str, default: float, path: Path | str, unit: str = "seconds") -> float:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise BadSettings(f"{path}: {key} must be a number of {unit}, 0 or more, not {value!r}")
    return float(value)
