"""DVC's configuration, as far as a pipeline needs it (dvc/config.py, config_schema.py).

Promise: system, global, `.dvc/config` and `.dvc/config.local` are read in this order, a later one wins, key by key; a
relative cache directory is relative to the file that names it. Unknown sections and keys are no business of ours.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from expd.pipeline.links import DEFAULT_LINK_TYPES, LINK_TYPES, LinkType
from expd.pipeline.model import PipelineError

_SECTION = re.compile(r"\[\s*(?P<name>[^\]]+?)\s*\]\s*(?:#.*)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsingSettings:
    """How a dictionary becomes command-line arguments: `[parsing]` bool and list."""

    booleans: str = "store_true"
    lists: str = "nargs"


@dataclass(frozen=True, slots=True, kw_only=True)
class HydraSettings:
    """`[hydra]`: whether experiments compose their parameters, and from where."""

    enabled: bool = False
    config_dir: str = "conf"
    config_module: str | None = None
    config_name: str = "config"
    plugins_path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DvcConfig:
    """The settings in force. `cache_directory` is absolute; None means `.dvc/cache`, which not every project has."""

    cache_directory: Path | None = None
    cache_types: tuple[LinkType, ...] = DEFAULT_LINK_TYPES
    cache_shared: bool = False
    autostage: bool = False
    hardlink_lock: bool = False
    interactive: bool = False
    exp_auto_push: bool = False
    exp_git_remote: str | None = None
    default_remote: str | None = None
    """`core.remote`: where `dvc push` and `dvc pull` go if nothing else is said."""
    parsing: ParsingSettings = ParsingSettings()
    hydra: HydraSettings = HydraSettings()


@dataclass(frozen=True, slots=True)
class _Setting:
    """A value and the file it came from."""

    value: str
    file: Path


def parse_ini(text: str) -> Iterator[tuple[str, str, str]]:
    """The (section, key, value) of a file as configobj writes it: indented keys, quoted sections, optional quotes."""
    section = ""
    for raw in text.splitlines():
        line = raw.strip()
        header = _SECTION.match(line)
        if header:
            section = _unquote(header["name"])
        elif "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            yield section, _unquote(key.strip()).lower(), _value(value.strip())


def _value(text: str) -> str:
    """A value without its quotes, or, if it has none, without a comment behind it."""
    if text[:1] in {'"', "'"} and text.find(text[0], 1) > 0:
        return text[1 : text.index(text[0], 1)]
    return re.split(r"\s+#", text, maxsplit=1)[0]


def _unquote(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in {'"', "'"} else text


def config_files(root: Path, environ: Mapping[str, str]) -> list[Path]:
    """The files that may exist, weakest first. `environ` decides where the user's and the system's are."""
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".config")
    system = environ.get("XDG_CONFIG_DIRS", "").split(os.pathsep)[0] or "/etc/xdg"
    return [
        Path(environ.get("DVC_SYSTEM_CONFIG_DIR") or f"{system}/dvc", "config"),
        Path(environ.get("DVC_GLOBAL_CONFIG_DIR") or f"{home}/dvc", "config"),
        root / ".dvc" / "config",
        root / ".dvc" / "config.local",
    ]


def read_config(root: Path, environ: Mapping[str, str] | None = None) -> DvcConfig:
    """The settings in force for the project at `root`; a value that DVC would refuse is a PipelineError."""
    settings: dict[tuple[str, str], _Setting] = {}
    for file in config_files(root, os.environ if environ is None else environ):
        if file.is_file():
            for section, key, value in parse_ini(file.read_text("utf-8")):
                settings[section, key] = _Setting(value, file)
    return DvcConfig(
        cache_directory=_directory(settings.get(("cache", "dir"))),
        cache_types=_link_types(settings.get(("cache", "type"))),
        cache_shared=_choice(settings.get(("cache", "shared")), ("group",), "") == "group",
        autostage=_flag(settings.get(("core", "autostage"))),
        hardlink_lock=_flag(settings.get(("core", "hardlink_lock"))),
        interactive=_flag(settings.get(("core", "interactive"))),
        exp_auto_push=_flag(settings.get(("exp", "auto_push"))),
        default_remote=_text(settings.get(("core", "remote"))),
        exp_git_remote=_text(settings.get(("exp", "git_remote"))),
        parsing=ParsingSettings(
            booleans=_choice(settings.get(("parsing", "bool")), ("store_true", "boolean_optional"), "store_true"),
            lists=_choice(settings.get(("parsing", "list")), ("nargs", "append"), "nargs"),
        ),
        hydra=HydraSettings(
            enabled=_flag(settings.get(("hydra", "enabled"))),
            config_dir=_text(settings.get(("hydra", "config_dir"))) or "conf",
            config_module=_text(settings.get(("hydra", "config_module"))),
            config_name=_text(settings.get(("hydra", "config_name"))) or "config",
            plugins_path=_text(settings.get(("hydra", "plugins_path"))),
        ),
    )


def cache_directory(project_root: Path, environ: Mapping[str, str] | None = None) -> Path:
    """Where the project's cache is: `cache.dir`, or `.dvc/cache`."""
    return read_config(project_root, environ).cache_directory or project_root / ".dvc" / "cache"


def _directory(setting: _Setting | None) -> Path | None:
    if setting is None:
        return None
    return Path(os.path.normpath(setting.file.parent.resolve() / Path(setting.value).expanduser()))


def _text(setting: _Setting | None) -> str | None:
    return setting.value if setting else None


def _flag(setting: _Setting | None) -> bool:
    return _choice(setting, ("true", "false"), "false") == "true"


def _choice(setting: _Setting | None, choices: tuple[str, ...], default: str) -> str:
    if setting is None:
        return default
    value = setting.value.lower()
    if value not in choices:
        raise PipelineError(path=str(setting.file), expected=f"one of {', '.join(choices)}, not '{setting.value}'")
    return value


def _link_types(setting: _Setting | None) -> tuple[LinkType, ...]:
    if setting is None:
        return DEFAULT_LINK_TYPES
    names = [name.strip() for name in setting.value.split(",")]
    known = {kind: kind for kind in LINK_TYPES}
    if not names or any(name not in known for name in names):
        raise PipelineError(path=str(setting.file), expected=f"link types out of {', '.join(LINK_TYPES)}")
    return tuple(kind for name in names for kind in LINK_TYPES if kind == name)
