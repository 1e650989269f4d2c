"""[hooks]: somebody is told of what happened, by a command of theirs or a request to an address of theirs; each piece once.

Whatever becomes of it concerns no experiment: what fails or hangs is a line in the journal.
"""

import json
import logging
import os
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import partial

import trio

from expd.bell import Bell, wait_first
from expd.dispatch.settling import insist
from expd.linux.systemd import VARIABLES
from expd.queueing.news import Event, News
from expd.queueing.store import Store
from expd.settings import Hook, Hooks
from expproto.fields import to_map

_journal = logging.getLogger("expd.hooks")

_AT_ONCE = 4
"""Hooks under way: one that hangs holds up no other, and a thousand ends start no thousand programs."""
_SECONDS_MAX = 30.0
_OUTPUT_BYTES_MAX = 500
"""Of what a command that failed said, for the journal."""
_VERSION = 1


class Herald:
    """Tells what happens to whom the settings name; `run` does so until cancelled."""

    def __init__(self, store: Store, hooks: Hooks) -> None:
        self._store = store
        self._hooks = hooks
        self._chosen = Bell()
        self._told = Bell()
        self._free = trio.Semaphore(_AT_ONCE)
        self._under_way = 0
        self._is_behind = False
        self._looked_through = 0

    def use(self, hooks: Hooks) -> None:
        """Go on with other hooks."""
        self._hooks = hooks
        self._chosen.ring()

    async def run(self) -> None:
        """Tell each piece as it happens, in the order in which they happened, some side by side."""
        async with trio.open_nursery() as nursery:
            while True:
                changed, chosen = self._store.changes.turn.next_ring, self._chosen.next_ring
                if self._hooks == Hooks():
                    await insist(self._store.end_news)
                    await chosen.wait()
                    continue
                await insist(self._store.begin_news)
                await self._tell_all(nursery)
                await wait_first(changed, chosen)

    async def finish(self, seconds: float) -> None:
        """Give what is still to be told so long; what nobody began to tell is told after the next start."""
        with trio.move_on_after(seconds):
            while self._is_behind or self._under_way:
                await self._told.next_ring.wait()

    async def _tell_all(self, nursery: trio.Nursery) -> None:
        self._is_behind = True
        while True:
            await self._free.acquire()
            news, self._looked_through = await insist(partial(self._store.next_news, self._looked_through))
            if news is None:
                self._free.release()
                break
            self._under_way += 1
            nursery.start_soon(self._tell, news, self._hooks)
        self._is_behind = False
        self._told.ring()

    async def _tell(self, news: News, hooks: Hooks) -> None:
        try:
            for event in news.events:
                hook: Hook | None = getattr(hooks, event)
                if hook is not None:
                    await _tell_one(hook, event, news)
        finally:
            self._under_way -= 1
            self._free.release()
            self._told.ring()


def document_of(event: Event, news: News, host: str) -> Mapping[str, object]:
    """Give what a hook is told, as docs/json.md describes it."""
    entry, submission = news.entry, news.entry.submission
    ended = "held" if entry.outcome is None else entry.outcome.kind
    return {
        "version": _VERSION,
        "event": str(event),
        "text": "nothing runs, and nothing is queued" if event is Event.IDLE else f"{entry.name}: {ended}",
        "at": news.at,
        "host": host,
        "entry": {
            "id": entry.id,
            "name": entry.name,
            "attempt": entry.attempt,
            "sweep": submission.name,
            "submission": entry.submission_id,
            "repository": submission.workspace,
            "params": dict(entry.params),
            "rev": entry.experiment_rev,
            "outcome": None if entry.outcome is None else to_map(entry.outcome),
            "hold_reason": entry.hold_reason,
            "submitted_at": submission.submitted_at,
            "started_at": None if entry.run is None else entry.run.started_at,
            "ended_at": entry.ended_at,
        },
    }


async def _tell_one(hook: Hook, event: Event, news: News) -> None:
    document = json.dumps(document_of(event, news, socket.gethostname())).encode()
    try:
        with trio.fail_after(_SECONDS_MAX):
            if hook.url is None:
                await _run(hook.command, document, _variables(event, news))
            else:
                await trio.to_thread.run_sync(_post, hook.url, document, abandon_on_cancel=True)
    except trio.TooSlowError:
        _journal.warning("the hook for %s of entry %s took more than %g s", event, news.entry.id, _SECONDS_MAX)
    except _Failed as error:
        _journal.warning("the hook for %s of entry %s: %s", event, news.entry.id, error)


class _Failed(Exception):
    """A hook did not work; the message says how, without the address, which may hold a token."""


def _variables(event: Event, news: News) -> Mapping[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    entry = news.entry
    outcome = "" if entry.outcome is None else entry.outcome.kind
    told = {"EXPD_EVENT": str(event), "EXPD_ENTRY": str(entry.id), "EXPD_NAME": entry.name, "EXPD_OUTCOME": outcome}
    return {**own, **told}


async def _run(command: tuple[str, ...], document: bytes, environ: Mapping[str, str]) -> None:
    """Run a program with the document as its input; raises _Failed."""
    said = b""
    start = partial(
        trio.run_process, command, stdin=document, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        env=environ, cwd="/",
    )  # fmt: skip
    try:
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(start)
            assert process.stdout is not None
            async for piece in process.stdout:
                said = (said + piece)[-_OUTPUT_BYTES_MAX:]
    except* (OSError, ValueError) as errors:
        raise _Failed(f"{command[0]} can't be started: {errors.exceptions[0]}") from None
    if process.returncode:
        raise _Failed(f"{command[0]} ended with {process.returncode}: {said.decode('utf-8', 'replace')}")


def _post(url: str, document: bytes) -> None:
    """POST the document; raises _Failed."""
    request = urllib.request.Request(url, document, {"Content-Type": "application/json"})  # noqa: S310 - settings allow http and https
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS_MAX):  # noqa: S310 - likewise
            pass
    except urllib.error.HTTPError as error:
        raise _Failed(f"the address answered {error.code}") from None
    except (OSError, ValueError) as error:
        raise _Failed(f"the address can't be reached: {error}") from None
