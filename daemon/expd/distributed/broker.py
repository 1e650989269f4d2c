"""Celery and its broker: the only file that imports celery and kombu, which come with the extra `expd[celery]`.

Everything here blocks. JSON only, in and out; a message is acknowledged after its work, one at a time for each slot.
Errors are told without the broker's password.
"""

import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from celery import Celery
from celery.exceptions import Reject
from celery.worker.control import Panel
from celery.worker.state import reserved_requests
from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError

from expd.distributed.messages import BrokerAddress, BrokerAway, replies_of

_journal = logging.getLogger("expd.distributed")

TASK = "expd.run"
CANCEL, STATE = "expd_cancel", "expd_state"
"""Control commands: end a run; say what runs here."""
WAITING_MAX = 20_000
"""Words that may wait for a daemon that is away: some hundred megabytes at worst. Workers say no more until it is back."""
_WAITING_SECONDS = 14 * 24 * 3600
"""After which a broker that knows how forgets what nobody has fetched: results are on the hub, and stay there."""
_VISIBILITY_SECONDS = 3600
"""After which Redis gives a message to another worker, unless its own has renewed it."""
_RENEWALS = 3
"""In that time: two may fail."""
_SOCKET_SECONDS = 15.0
_LISTEN_SECONDS = 5.0


def open_app(address: BrokerAddress, visibility_seconds: int = _VISIBILITY_SECONDS) -> Celery:
    """Give the Celery application of a broker; nothing is connected yet."""
    app = Celery("expd", broker=address.url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=30,
        broker_use_ssl=_tls(address),
        broker_transport_options=_transport_options(address.url, visibility_seconds),
    )
    return app


def _transport_options(url: str, visibility_seconds: int) -> dict[str, object]:
    if not url.startswith("redis"):
        return {"connect_timeout": _SOCKET_SECONDS}
    return {
        "visibility_timeout": visibility_seconds,
        "socket_connect_timeout": _SOCKET_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry_on_timeout": True,
    }


def _tls(address: BrokerAddress) -> dict[str, object] | None:
    """Give what is asked of a broker over TLS: a certificate for its name that somebody we trust has signed."""
    files = {"ca_certs": address.ca_file, "certfile": address.cert_file, "keyfile": address.key_file}
    given = {name: path for name, path in files.items() if path is not None}
    if address.url.startswith("rediss:"):
        prefixed = {f"ssl_{name}": path for name, path in given.items()}
        return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, **prefixed}
    if address.url.startswith("amqps:"):
        host = urlsplit(address.url).hostname
        return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": host, **given}
    return None


_ENDED_AT_ONCE = ("eof", "reset by peer", "broken pipe", "closed")
"""Words of an end of the conversation; with TLS 1.3 whoever is refused has often spoken before it hears that."""


def _words_of(address: BrokerAddress, error: BaseException) -> str:
    """Say what is wrong with the broker, and what it may be where it said nothing itself."""
    parts = urlsplit(address.url)
    text = str(error) or repr(error)
    for secret in {parts.password, unquote(parts.password or "")} - {None, ""}:
        text = text.replace(str(secret), "***")
    is_silent = "certificate" not in text.lower() and any(word in text.lower() for word in _ENDED_AT_ONCE)
    if is_silent and _tls(address) is not None:
        what = "ask for a certificate of ours" if address.cert_file is None else "not take our certificate"
        text = f"{text} (it may {what}: see cert_file and key_file)"
    return f"{parts.scheme}://{parts.hostname or ''}: {text}"


def _reply_queue(store: str) -> Queue:
    name = replies_of(store)
    arguments = {"x-expires": _WAITING_SECONDS * 1000, "x-max-length": 2 * WAITING_MAX}
    return Queue(name, exchange=Exchange(""), routing_key=name, durable=True, queue_arguments=arguments)


class Desk:
    """A connection to the broker for saying things; one thread at a time, and again after an error."""

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        self._app = open_app(address)
        if address.url.startswith("redis"):  # what listens waits in the socket on purpose; what asks must not
            self._app.conf.broker_transport_options["socket_timeout"] = _SOCKET_SECONDS
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def send_task(self, task: Mapping[str, object], queue: str) -> None:
        """Put a task into a queue of workers; raises BrokerAway."""
        self._with_connection(
            lambda connection: self._app.send_task(TASK, args=[task], queue=queue, connection=connection, retry=False)
        )

    def count_waiting(self, queue: str) -> int:
        """Count the tasks that no worker has taken from a queue; raises BrokerAway."""

        def count(connection: Connection) -> int:
            with connection.channel() as channel:
                found = Queue(queue, exchange=Exchange(queue, type="direct"), routing_key=queue)(
                    channel
                ).queue_declare()
            return 0 if found is None else int(found[1])

        counted = self._with_connection(count)
        assert isinstance(counted, int)
        return counted

    def tell(self, store: str, word: Mapping[str, object]) -> bool:
        """Tell a daemon something; False if too much waits for it already. Raises BrokerAway."""

        def tell(connection: Connection) -> bool:
            queue = _reply_queue(store)
            with connection.channel() as channel:
                waiting = queue(channel).queue_declare()
                if waiting is not None and waiting[1] >= WAITING_MAX:
                    return False
                with connection.Producer(channel, serializer="json") as producer:
                    producer.publish(dict(word), exchange="", routing_key=queue.name, delivery_mode=2, retry=False)
            return True

        return bool(self._with_connection(tell))

    def cancel(self, token: str, reason: str, at: float | None) -> None:
        """Tell all workers that the end of an attempt is wanted; raises BrokerAway."""
        arguments = {"token": token, "reason": reason, "at": at}
        self._with_connection(
            lambda connection: self._app.control.broadcast(CANCEL, arguments=arguments, connection=connection)
        )

    def ask_workers(self, seconds: float) -> list[dict[str, object]]:
        """Ask all workers what runs there, and wait so long for answers; raises BrokerAway."""
        answers = self._with_connection(
            lambda connection: self._app.control.broadcast(STATE, reply=True, timeout=seconds, connection=connection)
        )
        found = answers if isinstance(answers, list) else []
        return [dict(state) for answer in found for state in answer.values() if isinstance(state, dict)]

    def _with_connection(self, work: Callable[[Connection], object]) -> object:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._app.connection_for_write()
                    self._connection.ensure_connection(max_retries=0, timeout=_SOCKET_SECONDS)
                return work(self._connection)
            except _errors(self._connection) as error:
                self._forget()
                raise BrokerAway(_words_of(self._address, error)) from None

    def _forget(self) -> None:
        if self._connection is not None:
            try:
                self._connection.release()
            except _errors(self._connection) as error:
                _journal.debug("a connection broke: %r", error)
            self._connection = None


def _errors(connection: Connection | None) -> tuple[type[BaseException], ...]:
    """Give all that a broken connection may raise."""
    known: tuple[type[BaseException], ...] = (OperationalError, OSError, ssl.SSLError)
    if connection is None:
        return known
    return (*known, *connection.connection_errors, *connection.channel_errors)


def listen(address: BrokerAddress, store: str, hear: Callable[[object], None], is_up: Callable[[], None]) -> None:
    """Hear what workers tell a daemon, until the connection breaks: BrokerAway. Heard twice is possible."""
    connection = open_app(address).connection_for_read()
    try:
        connection.ensure_connection(max_retries=0, timeout=_SOCKET_SECONDS)

        def take(body: object, message: "_Message") -> None:
            hear(body)
            message.ack()

        with connection.Consumer([_reply_queue(store)], callbacks=[take], accept=["json"], prefetch_count=50):
            is_up()
            while True:
                try:
                    connection.drain_events(timeout=_LISTEN_SECONDS)
                except TimeoutError:
                    connection.heartbeat_check()
    except _errors(connection) as error:
        raise BrokerAway(_words_of(address, error)) from None
    finally:
        connection.release()


class _Message:
    """What kombu hands over beside the body, as far as it is used here."""

    def ack(self) -> None:
        """Take it off the queue."""


def _renew_always(app: Celery, address: BrokerAddress, visibility_seconds: int) -> None:
    """Keep what this worker has taken its own, while it lives: to Redis it was taken a moment ago, again and again.

    Whoever is connected hands on what is too old, by its own measure: a daemon's is the default.
    """
    while True:
        time.sleep(min(visibility_seconds, _VISIBILITY_SECONDS) / _RENEWALS)
        tags = [str(request.message.delivery_tag) for request in list(reserved_requests)]
        try:
            if tags:
                _renew(app, tags)
        except _errors(None) as error:
            _journal.warning("tasks may be delivered once more: %s", _words_of(address, error))


def _renew(app: Celery, tags: Sequence[str]) -> None:
    with (
        app.connection_for_write() as connection,
        connection.channel() as channel,
        channel.conn_or_acquire() as client,
    ):
        client.zadd(channel.unacked_index_key, dict.fromkeys(tags, time.time()), xx=True)


class TryLater(Exception):
    """A task can't be carried out now: it goes back to its queue."""


def work(
    address: BrokerAddress,
    visibility_seconds: int,
    *,
    name: str,
    queues: Sequence[str],
    slots: int,
    run: Callable[[object], None],
    cancel: Callable[[str, str, float | None], bool],
    state: Callable[[], dict[str, object]],
) -> int:
    """Be a Celery worker until told to leave: `run` is called in a thread a slot, the others in the worker's own."""
    app = open_app(address, visibility_seconds)

    def task(task_map: object) -> None:
        try:
            run(task_map)
        except TryLater as later:
            raise Reject(str(later), requeue=True) from None

    app.task(task, name=TASK)

    def heed_cancel(_state: object, token: object = None, reason: object = None, at: object = None) -> dict[str, bool]:
        moment = float(at) if isinstance(at, int | float) else None
        return {"ok": cancel(str(token), str(reason), moment)}

    def tell_state(_state: object) -> dict[str, object]:
        return state()

    Panel.register(type="control", name=CANCEL)(heed_cancel)
    Panel.register(type="inspect", name=STATE)(tell_state)
    worker = app.Worker(
        hostname=name,
        pool="threads",
        concurrency=slots,
        queues=list(queues),
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    if address.url.startswith("redis"):
        threading.Thread(target=_renew_always, args=(app, address, visibility_seconds), daemon=True).start()
    worker.start()
    return int(worker.exitcode or 0)
