"""The worker processes of a worker host: warm, one a run, talking to a socket of this program as if it were their daemon."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from expd.linux.processes import WORKER_TOKEN_VARIABLE
from expd.wire import Wire
from expproto.errors import ProtocolError
from expproto.work import Register

_CONNECT_SECONDS = 60.0
"""For a worker process to come up."""


class WorkerGone(Exception):
    """A worker process ended without an outcome, or did not come up."""


@dataclass(frozen=True, slots=True, eq=False)
class Worker:
    """A worker process and the conversation with it."""

    process: trio.Process
    wire: Wire
    directory: Path


class Workers:
    """Worker processes, as many as there were runs at once; they end with the program, or when a run goes wrong."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[Worker]:
        """Have a worker for one run while inside; raises WorkerGone. One that is left by an exception is ended."""
        worker = self._idle.pop() if self._idle else await _start()
        if worker.process.poll() is not None:
            await _end(worker)
            worker = await _start()
        try:
            yield worker
        except BaseException:
            with trio.CancelScope(shield=True):
                await _end(worker)
            raise
        self._idle.append(worker)

    async def end(self) -> None:
        """End those that are idle."""
        while self._idle:
            await _end(self._idle.pop())


async def _start() -> Worker:
    directory = Path(tempfile.mkdtemp(prefix="expd-"))  # short: a socket's path has 107 bytes
    token = secrets.token_hex(16)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    listening.bind(str(directory / "expd.sock"))
    listening.listen(1)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
    try:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "expd.execute", str(directory / "expd.sock")],
            stdin=subprocess.DEVNULL,
            cwd="/",
            env={**os.environ, WORKER_TOKEN_VARIABLE: token},
            start_new_session=True,
        )
        wire = await _meet(listener, token)
        if wire is None:
            process.kill()
            raise WorkerGone(f"its worker process did not come up (exit code {await process.wait()})")
    finally:
        with trio.CancelScope(shield=True):
            await listener.aclose()
    return Worker(process=process, wire=wire, directory=directory)


async def _meet(listener: trio.SocketListener, token: str) -> Wire | None:
    """Wait for a worker; None if it does not come, or is another."""
    with trio.move_on_after(_CONNECT_SECONDS):
        wire = Wire(await listener.accept(), "daemon")
        try:
            await wire.greet()
            register = await wire.receive()
        except (ProtocolError, trio.BrokenResourceError, trio.EndOfChannel):
            return None
        return wire if isinstance(register, Register) and register.token == token else None
    return None


async def _end(worker: Worker) -> None:
    await worker.wire.close()
    if worker.process.poll() is None:
        worker.process.kill()
    await worker.process.wait()
    shutil.rmtree(worker.directory, ignore_errors=True)
