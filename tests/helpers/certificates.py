"""Certificates of an authority of a test's own, made by openssl."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_FOR_A_DAY = ("-days", "1", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@dataclass(frozen=True, slots=True)
class Certificates:
    """The authority's certificate, those that it has signed (`NAME.crt`, `NAME.key`), all in one directory."""

    directory: Path

    @property
    def authority(self) -> Path:
        """Give the authority's certificate."""
        return self.directory / "ca.crt"

    def signed(self, name: str) -> tuple[Path, Path]:
        """Give a certificate and its key."""
        return self.directory / f"{name}.crt", self.directory / f"{name}.key"


def make_certificates(directory: Path, address: str = "127.0.0.1") -> Certificates:
    """Make an authority, a certificate `server` for an address, and one `client`."""
    directory.mkdir(parents=True)
    _openssl(directory, "req", "-x509", *_FOR_A_DAY, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")
    signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-x509", *_FOR_A_DAY)
    for name, extension in (("server", f"subjectAltName=IP:{address}"), ("client", "extendedKeyUsage=clientAuth")):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
        _openssl(directory, "req", *signing, "-subj", f"/CN={name}", "-addext", extension, *files)
    return Certificates(directory)


@contextmanager
def a_server_that_hangs_up(certificates: Certificates) -> Iterator[int]:
    """Serve TLS on a port of loopback: whoever comes is greeted and left, without a word of why."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.signed("server"))

    def greet_and_leave() -> None:
        with suppress(OSError):  # the listener is closed at the end
            while True:
                one, _ = listener.accept()
                with suppress(OSError):
                    context.wrap_socket(one, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet_and_leave, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _openssl(directory: Path, *words: str) -> None:
    done = subprocess.run(["openssl", *words], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
