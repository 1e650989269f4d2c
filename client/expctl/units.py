"""The units of the user service, as text: what `systemd/` shows, with the program of this installation in it. No I/O.

`systemd/README.md` has the reason for each line.
"""

from collections.abc import Mapping, Sequence

SERVICE, SOCKET = "expd.service", "expd.socket"
HEADER = "# Written by `expctl service install`; `expctl service uninstall` removes it.\n"
"""By this line a file is known to be ours: one without it is never written over or removed."""

_SERVICE = """\
[Unit]
Description=expd: machine-learning experiments, queued and run
Requires=expd.socket
After=expd.socket
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
{environment}KillMode=process
Delegate=yes
Environment=EXPD_DELEGATED=yes
WatchdogSec=60
Restart=on-failure
RestartSec=1
RestartPreventExitStatus=73 75 78
TimeoutStartSec=5min
TimeoutStopSec=30
RuntimeDirectory=expd
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
OOMPolicy=continue
TasksMax=infinity
UMask=0077

[Install]
WantedBy=default.target
Also=expd.socket
"""

_SOCKET = """\
[Unit]
Description=expd: where expctl connects

[Socket]
ListenStream=%t/expd/expd.sock
SocketMode=0600
DirectoryMode=0700

[Install]
WantedBy=sockets.target
"""

_SPECIAL = {"\\": "\\\\", '"': '\\"', "%": "%%", "$": "$$"}


def unit_files(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Give both units by name; `command` starts the daemon, `environment` is what it gets beside the user manager's."""
    words = " ".join(_quoted(word) for word in command)
    lines = "".join(f"Environment={_quoted(f'{name}={value}', '$')}\n" for name, value in sorted(environment.items()))
    return {SERVICE: HEADER + _SERVICE.format(command=words, environment=lines), SOCKET: HEADER + _SOCKET}


def _quoted(word: str, plain: str = "") -> str:
    """Write a word as systemd reads it back (systemd.syntax(7)); `plain` are signs that mean nothing where it stands."""
    escaped = "".join(char if char in plain else _SPECIAL.get(char, char) for char in word)
    return f'"{escaped}"' if any(char in " \t'\"\\;" for char in word) else escaped
