"""What sentences are made of, and those for what goes wrong on this side: no daemon, no service, a wrong word.

Imported with `failures`, only when there is one.
"""

from collections.abc import Callable, Mapping

from expctl import trouble

EXIT_FAILURE, EXIT_USAGE, EXIT_NO_DAEMON, EXIT_NO_ENTRY, EXIT_REFUSED = 1, 2, 3, 4, 5
EXIT_CANNOT_CAPTURE, EXIT_VERSION, EXIT_INTERNAL, EXIT_TIMEOUT = 6, 7, 8, 124
EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 130, 141


class Data:
    """The data of a failure for its sentence: a field that is missing reads as nothing, never as a second failure."""

    def __init__(self, data: Mapping[str, object]) -> None:
        self._data = data

    def __getitem__(self, name: str) -> str:
        value = self._data.get(name)
        return "" if value is None else str(value)

    def short(self, name: str) -> str:
        """Give a rev in seven digits."""
        return self[name][:7]

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """Give a list of pairs as text."""
        value = self._data.get(name)
        items = value if isinstance(value, list | tuple) else ()
        return [(str(item[0]), str(item[1])) for item in items if isinstance(item, list | tuple) and len(item) == 2]

    def texts(self, name: str) -> list[str]:
        """Give a list of texts."""
        value = self._data.get(name)
        return [str(item) for item in value] if isinstance(value, list | tuple) else []

    def listed(self, name: str) -> str:
        """Give a list as `a, b, c`; its items may be records with an id and a name."""
        value = self._data.get(name)
        return ", ".join(map(_item_text, value)) if isinstance(value, list | tuple) else self[name]


Sentence = tuple[int, Callable[[Data], str], Callable[[Data], str]]
"""Exit code, message, hint."""


def _item_text(item: object) -> str:
    if isinstance(item, Mapping):
        return " ".join(str(item[name]) for name in ("id", "name", "state") if item.get(name) is not None)
    return str(item)


def fixed(text: str) -> Callable[[Data], str]:
    """Say the same whatever the data."""
    return lambda _: text


def hint_or(text: str) -> Callable[[Data], str]:
    """Prefer the daemon's hint, which knows the case."""
    return lambda data: data["hint"] or text


def _daemon_failed(data: Data) -> str:
    tail = f"\n{data['tail']}" if data["tail"] else ""
    return f"expd could not be started: it ended with {data['exit_code']} before it listened{tail}"


LOCAL_SENTENCES: Mapping[str, Sentence] = {
    trouble.NO_DAEMON: (
        EXIT_NO_DAEMON,
        lambda data: f"no expd listens at {data['socket']}{': ' + data['why'] if data['why'] else ''}",
        fixed("expctl daemon start"),
    ),
    trouble.DAEMON_FAILED: (EXIT_NO_DAEMON, _daemon_failed, lambda data: f"its log is {data['log']}"),
    trouble.DAEMON_SLOW: (
        EXIT_NO_DAEMON,
        lambda data: f"expd was started or holds its lock, and did not answer within {data['seconds']} s",
        lambda data: f"it may be on its way up or out: repeat the command; its log is {data['log']}",
    ),
    trouble.DAEMON_SILENT: (
        EXIT_NO_DAEMON,
        lambda data: f"expd (process {data['pid']}) accepted the connection and did not greet within {data['seconds']} s",
        lambda data: f"is it stopped? look at it (ps -o stat= -p {data['pid']}), continue or end it",
    ),
    trouble.DAEMON_LOST: (
        EXIT_NO_DAEMON,
        lambda data: f"the connection to expd broke {data['times']} times before it answered",
        fixed("its log, expd.log below its state directory, says why; `expctl status` shows what was accepted"),
    ),
    trouble.UNSAFE_DIRECTORY: (
        EXIT_NO_DAEMON,
        lambda data: f"expd's directory {data['path']} can't be used: {data['what']}; no daemon was started",
        lambda data: f"it must be a directory of yours alone: chmod 700 {data['path']}, or name another by EXPD_RUNTIME_DIR",
    ),
    trouble.SOCKET_DENIED: (
        EXIT_NO_DAEMON,
        lambda data: f"the socket {data['socket']} can't be used: {data['what']}",
        fixed("EXPD_RUNTIME_DIR names another directory for it"),
    ),
    trouble.BAD_SETTINGS: (EXIT_USAGE, lambda data: data["what"] or "the settings can't be used", fixed("docs/configuration.md has every key; then: expctl config check")),
    trouble.SERVICE_REFUSED: (EXIT_REFUSED, lambda data: f"{data['why']}; nothing was changed", hint_or("`expctl service status` shows what is there")),
    trouble.SERVICE_FAILED: (
        EXIT_NO_DAEMON,
        lambda data: f"the service manager refused: {data['what']}{chr(10) + data['tail'] if data['tail'] else ''}",
        fixed("`expctl service logs` tells more; then: systemctl --user reset-failed expd.service expd.socket, and repeat the command"),
    ),
    trouble.NOT_TEXT: (
        EXIT_USAGE,
        lambda data: f"this is not UTF-8 and can't be sent: {data['text']}; nothing was done",
        fixed("rename it"),
    ),
    trouble.NO_SUCH_COMMAND: (
        EXIT_USAGE,
        lambda data: f"there is no command {data['verb']}",
        lambda data: f"did you mean `expctl {data['near']}`?" if data["near"] else "`expctl --help` lists them",
    ),
    trouble.NOTHING_TO_FOLLOW: (
        EXIT_NO_ENTRY,
        lambda data: "several entries run, so name one" if data["candidates"] else "no entry runs",
        lambda data: data.listed("candidates") or "`expctl status` lists the queue; `expctl follow ID` shows also what is over",
    ),
    trouble.TIMEOUT: (
        EXIT_TIMEOUT,
        lambda data: f"not done after {data['seconds']} s; everything goes on",
        fixed("`expctl status` shows how far it is; wait again for the rest"),
    ),
    trouble.NO_DIRECTORY: (
        EXIT_USAGE,
        lambda data: f"{data['name']} can't be the name of a directory; nothing was written",
        fixed("name one: -o DIR"),
    ),
}  # fmt: skip
"""One sentence for every code that arises here."""
