"""The daemon's way to the broker: a process of its own, since everything there blocks, and what hangs can be ended.

The first line on stdin says which broker; each further one asks for something under a number. On stdout: what workers
tell, whether the broker is there, and the answers. All of it JSON, a line each. It ends when stdin does.
"""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType

from expd.distributed.broker import Desk, listen
from expd.distributed.messages import BrokerAddress, BrokerAway
from expd.journal import open_journal

_BACKOFF_SECONDS, _BACKOFF_MAX_SECONDS = 0.5, 10.0
_ANSWER_SECONDS = 1.0
"""How long workers are waited for when they are asked what runs there."""

_writing = threading.Lock()


def main() -> None:
    """Serve one daemon."""
    sys.excepthook = _die
    open_journal(os.environ, verbose=False)
    logging.getLogger("kombu").setLevel(logging.CRITICAL)
    config = json.loads(sys.stdin.readline())
    address = BrokerAddress(**config["address"])
    threading.Thread(target=_listen, args=(address, config["store"]), daemon=True).start()
    desk = Desk(address)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = _carry_out(desk, request)
        except BrokerAway as error:
            _say({"id": request["id"], "away": error.what})
        else:
            _say({"id": request["id"], "answer": answer})


def _die(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say what happened and be gone at once: an orderly end would wait for what hangs, and the daemon for us."""
    sys.__excepthook__(kind, error, trace)
    sys.stderr.flush()
    os._exit(1)


def _carry_out(desk: Desk, request: Mapping[str, object]) -> object:
    match request:
        case {"do": "send", "task": dict(task), "queue": str(queue)}:
            desk.send_task(task, queue)
        case {"do": "cancel", "token": str(token), "reason": str(reason), "at": float() | None as at}:
            desk.cancel(token, reason, at)
        case {"do": "count", "queue": str(queue)}:
            return desk.count_waiting(queue)
        case {"do": "ask"}:
            return desk.ask_workers(_ANSWER_SECONDS)
        case _:
            raise ValueError(f"no such request: {request}")
    return None


def _listen(address: BrokerAddress, store: str) -> None:
    """Listen for ever, connecting again whenever that breaks."""
    backoff = _BACKOFF_SECONDS

    def is_up() -> None:
        nonlocal backoff
        backoff = _BACKOFF_SECONDS
        _say({"up": True})

    while True:
        try:
            listen(address, store, lambda word: _say({"told": word}), is_up)
        except BrokerAway as error:
            _say({"up": False, "why": error.what})
        time.sleep(backoff)
        backoff = min(2 * backoff, _BACKOFF_MAX_SECONDS)


def _say(line: Mapping[str, object]) -> None:
    with _writing:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
    os._exit(0)  # as in `_die`
