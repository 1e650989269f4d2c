"""The daemon's side of the gateway: a process that is kept alive, asked for things, and heard.

Nothing is lost with it: what it was asked for and did not do raises BrokerAway, and what it heard and did not tell is on
the hub.
"""

import importlib.util
import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import trio

from expd.distributed.messages import BrokerAddress, BrokerAway
from expd.settings import CelerySettings

_journal = logging.getLogger("expd.distributed")

_AGAIN_SECONDS = 1.0
"""Between two gateways: one that can't start must not spin."""
_ANSWER_SECONDS = 60.0
"""For one request; a gateway that takes longer hangs, and is ended."""
_RECEIVE_BYTES = 64 * 1024


def address_of(settings: CelerySettings) -> BrokerAddress:
    """Give the broker that settings name."""
    return BrokerAddress(
        url=settings.broker, ca_file=settings.ca_file, cert_file=settings.cert_file, key_file=settings.key_file
    )


class Link:
    """`run` keeps a gateway and passes on what it tells: `hear` gets workers' words, `changed` that it came or went."""

    def __init__(self, settings: CelerySettings, store: str, log: Path) -> None:
        self._address = address_of(settings)
        self._store = store
        self._log = log
        self._why: str | None = "the broker was not asked yet"
        self._process: trio.Process | None = None
        self._number = 0
        self._sending = trio.Lock()
        self._answers: dict[int, trio.MemorySendChannel[Mapping[str, object]]] = {}
        self.up_since = math.inf
        """When the broker answered that answers now, by trio's clock."""

    @property
    def trouble(self) -> str | None:
        """Say why the broker can't be reached; None while it can."""
        return self._why

    async def run(self, hear: Callable[[object], Awaitable[None]], changed: Callable[[], None]) -> None:
        """Keep a gateway until cancelled."""
        while True:
            if importlib.util.find_spec("celery") is None:
                self._note_down(
                    "Celery is not installed beside expd: pip install 'expd[celery]', and start it again", changed
                )
                await trio.sleep_forever()
            try:
                await self._keep_one(hear, changed)
            except OSError as error:
                self._note_down(f"the gateway to the broker can't be started: {error}", changed)
            await trio.sleep(_AGAIN_SECONDS)

    async def request(self, **fields: object) -> object:
        """Ask for something and give the answer; raises BrokerAway."""
        self._number += 1
        number = self._number
        sending, receiving = trio.open_memory_channel[Mapping[str, object]](1)
        self._answers[number] = sending
        try:
            with trio.fail_after(_ANSWER_SECONDS):
                await self._send({"id": number, **fields})
                answer = await receiving.receive()
        except (trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError):
            self._kill()  # it does not read any more, whether it has ended or not
            answer = {"away": self._why or "the gateway to the broker has ended"}
        except trio.TooSlowError:
            self._kill()
            answer = {"away": f"the broker did not take it within {_ANSWER_SECONDS:g} s"}
        finally:
            self._answers.pop(number, None)
        if "away" in answer:
            raise BrokerAway(str(answer["away"]))
        return answer.get("answer")

    def _kill(self) -> None:
        """End the gateway; the next one comes by itself."""
        if self._process is not None:
            self._process.kill()

    async def _send(self, line: Mapping[str, object]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise trio.ClosedResourceError
        async with self._sending:
            await process.stdin.send_all(json.dumps(line).encode() + b"\n")

    async def _keep_one(self, hear: Callable[[object], Awaitable[None]], changed: Callable[[], None]) -> None:
        descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "expd.distributed.gateway"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=descriptor,
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        self._process = process
        try:
            await self._send({"address": asdict(self._address), "store": self._store})
            await self._hear_all(process, hear, changed)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            _journal.debug("the gateway is gone: %r", error)
        finally:
            self._process = None
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()
            for waiting in self._answers.values():
                waiting.close()
        self._note_down(f"the gateway to the broker ended with code {process.returncode}; see {self._log}", changed)

    async def _hear_all(
        self, process: trio.Process, hear: Callable[[object], Awaitable[None]], changed: Callable[[], None]
    ) -> None:
        assert process.stdout is not None
        buffer = bytearray()
        while data := await process.stdout.receive_some(_RECEIVE_BYTES):
            buffer += data
            *lines, rest = bytes(buffer).split(b"\n")
            buffer = bytearray(rest)
            for line in lines:
                await self._take(json.loads(line), hear, changed)

    async def _take(
        self, line: Mapping[str, object], hear: Callable[[object], Awaitable[None]], changed: Callable[[], None]
    ) -> None:
        if "told" in line:
            await hear(line["told"])
        elif line.get("up") is True:
            self._why, self.up_since = None, trio.current_time()
            changed()
        elif "up" in line:
            self._note_down(str(line.get("why")), changed)
        else:
            number = line.get("id")
            waiting = self._answers.get(number) if isinstance(number, int) else None
            if waiting is not None:
                waiting.send_nowait(line)

    def _note_down(self, why: str, changed: Callable[[], None]) -> None:
        if why != self._why:
            _journal.warning("the broker is away: %s", why)
        self._why, self.up_since = f"the broker is away: {why}", math.inf
        changed()
