"""The settings as the daemon would read them here: asked of its program, which alone knows what they mean."""

import json
import subprocess
from dataclasses import dataclass

from expctl.installation import daemon_command
from expctl.trouble import BAD_SETTINGS, Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key: its value, its default, and where the value comes from ("default", "file" or a variable's name)."""

    key: str
    value: object
    default: object
    origin: str


def read_settings() -> tuple[str, list[Setting]]:
    """Give the path of config.toml and every key, as `expd --settings` prints them; raises Trouble with what is wrong."""
    ended = subprocess.run([*daemon_command(), "--settings"], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise Trouble(BAD_SETTINGS, {"what": ended.stderr.strip() or f"expd ended with {ended.returncode}"})
    document = json.loads(ended.stdout)
    return document["path"], [Setting(**setting) for setting in document["settings"]]
