"""In what a run takes place, looked up before it: the machine and the interpreter, remembered by the warm worker.

Never a value of an environment variable: where one that looks like a secret was written into a command or an override,
it is hidden. Whatever goes wrong here costs the context, never the run.
"""

import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from expd.execute.environment import run_environment
from expd.execute.interpreter import Interpreters
from expd.execute.timings import Timings
from expd.linux.machine import survey_machine
from expproto import VERSION
from expproto.codec import encode
from expproto.context import CONTEXT_BYTES_MAX, CONTEXT_VERSION, Context, Interpreter, Machine, StageContext
from expproto.fields import to_map
from expproto.work import Execute

_journal = logging.getLogger("expd.execute")

_VARIABLES_MAX = 2000
"""Names of variables that are kept: an environment of 2 MiB could have a hundred thousand."""
_NAME_CHARACTERS_MAX = 200
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH(?!OR)|PRIVATE|COOKIE|_PAT$|DSN$", re.IGNORECASE)
_SECRET_CHARACTERS_MIN = 6
"""A shorter value would hide `1` or `true` wherever it stands."""
HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What was found before the run."""

    machine: Machine
    interpreter: Interpreter | None
    environment: Mapping[str, str] = field(repr=False)
    """What every command of the run gets."""


class Surveyor:
    """Looks at machine and interpreter, and remembers: one a worker, used by one thread at a time."""

    def __init__(self) -> None:
        self._machine: Machine | None = None
        self._interpreters = Interpreters()

    def survey(self, order: Execute) -> Surveyed | None:
        """Look; None if that failed. Some stat(2) for an interpreter that was seen before. Blocks."""
        try:
            environment = run_environment(order)
            if self._machine is None:
                self._machine = survey_machine(environment.get("PATH", os.defpath))
            return Surveyed(self._machine, self._interpreters.look(environment), environment)
        except (OSError, ValueError, LookupError) as error:
            _journal.warning("the context of run %s can't be told: %r", order.run, error)
            return None


def context_of(order: Execute, found: Surveyed | None, timings: Timings) -> Context | None:
    """Put together the context of a run that has ended."""
    if found is None:
        return None
    environment = found.environment
    secrets = secrets_of(environment)
    overrides = hide(order.overrides, secrets)
    assert isinstance(overrides, Mapping)
    context = Context(
        version=CONTEXT_VERSION,
        name=order.name,
        attempt=order.attempt,
        baseline_rev=order.baseline_rev,
        stash_rev=order.stash_rev,
        command=None if order.command is None else tuple(_hide_text(word, secrets) for word in order.command),
        targets=order.targets,
        overrides=overrides,
        worker_version=VERSION,
        daemon_version=order.daemon_version,
        interpreter=found.interpreter,
        machine=found.machine,
        environment=_names(environment),
        started_at=timings.started_at,
        ended_at=time.time(),
        seconds=timings.seconds,
        usage=timings.usage(),
        stages=tuple(_without_secrets(stage, secrets) for stage in timings.stages()),
    )
    return context if len(encode(to_map(context))) <= CONTEXT_BYTES_MAX else _shortened(context)


def secrets_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Give the values that look like secrets by the names of their variables, the longest first."""
    found = {
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _SECRET_CHARACTERS_MIN
    }
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def hide(value: object, secrets: Iterable[str]) -> object:
    """Give plain data with secrets hidden in its texts."""
    secrets = tuple(secrets)
    if isinstance(value, Mapping):
        return {_hide_text(str(key), secrets): hide(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [hide(item, secrets) for item in value]
    return _hide_text(value, secrets) if isinstance(value, str) else value


def _without_secrets(stage: StageContext, secrets: Iterable[str]) -> StageContext:
    return stage if stage.command is None else replace(stage, command=_hide_text(stage.command, secrets))


def _hide_text(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def _names(environment: Mapping[str, str]) -> tuple[str, ...]:
    names = sorted(os.fsencode(name).decode("utf-8", "backslashreplace") for name in environment)
    return tuple(name[:_NAME_CHARACTERS_MAX] for name in names[:_VARIABLES_MAX])


def _shortened(context: Context) -> Context:
    """Give up what can be large without bound, and is in the commit anyway; the hash of the packages stays."""
    interpreter = None if context.interpreter is None else replace(context.interpreter, packages=())
    return replace(context, command=None, targets=(), overrides={}, environment=(), interpreter=interpreter)
