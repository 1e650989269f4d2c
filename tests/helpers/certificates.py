"""Certificates of an authority of a test's own, made by openssl."""

import subprocess
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


def _openssl(directory: Path, *words: str) -> None:
    done = subprocess.run(["openssl", *words], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
