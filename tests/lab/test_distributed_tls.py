"""A broker that is spoken to under TLS, with an authority of its own, and whose password is told to nobody."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.engine_contract import Place
from helpers.certificates import Certificates, a_server_that_hangs_up, make_certificates
from helpers.daemons import RunningDaemon
from helpers.distributed import PASSWORD, Redis, WorkerProgram, a_hub, celery_config, needs_broker
from helpers.waiting import eventually

pytestmark = [pytest.mark.lab, needs_broker]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make certificates once."""
    return make_certificates(tmp_path_factory.mktemp("certificates") / "ours")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Redis]:
    """Give a Redis that speaks TLS alone, and asks for certificates itself."""
    redis = Redis(tmp_path_factory.mktemp("tls") / "redis", tls=certificates)
    yield redis
    redis.stop()


def _daemon(redis: Redis, directory: Path, **files: Path) -> RunningDaemon:
    config = celery_config(redis.url, a_hub(directory / "hub.git"))
    return RunningDaemon("jobs = 1\n" + config + "".join(f"{name} = '{path}'\n" for name, path in files.items()))


def _reason_to_wait(daemon: RunningDaemon, repository: Path) -> str:
    """Submit to a broker that can't be spoken to, and give what the entry waits for."""
    try:
        place = Place(daemon, "--on", "celery")
        entry = place.submit(repository, "--", "true")
        eventually(lambda: "redis" in str(place.entry(repository, entry)["waits_for"]), "the reason")
        return str(place.entry(repository, entry)["waits_for"])
    finally:
        daemon.stop()
        daemon.remove()


def _words_of_processes() -> bytes:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            found.append((place / "cmdline").read_bytes())
        except OSError:
            continue
    return b"\n".join(found)


def test_an_entry_goes_over_tls_and_the_password_nowhere(
    redis: Redis, certificates: Certificates, repository: Path, tmp_path: Path
) -> None:
    """With the authority and a certificate of ours it runs; logs, answers, settings and command lines have no password."""
    certificate, key = certificates.signed("client")
    daemon = _daemon(redis, tmp_path, ca_file=certificates.authority, cert_file=certificate, key_file=key)
    worker = WorkerProgram(daemon)
    try:
        place = Place(daemon, "--on", "celery")
        entry = place.submit(repository, "--", "sh", "-c", "tr '\\0' '\\n' < /proc/$PPID/environ; env")
        daemon.expctl(repository, "wait", entry)
        commands = _words_of_processes()
        told = [
            daemon.expctl(repository, *words)
            for words in (["config", "show"], ["engines"], ["why", entry], ["inspect", entry], ["status", "--json"])
        ]
        told += [place.log(repository, entry), worker.log.read_text()]
        redis.stop()
        waits = place.submit(repository, "--", "true")
        eventually(lambda: "away" in str(place.entry(repository, waits)["waits_for"]), "the reason")
        told += [json.dumps(place.entry(repository, waits), default=str), worker.log.read_text(), daemon.journal()]
    finally:
        redis.start()
        worker.kill()
        daemon.stop()
        daemon.remove()

    quoted = redis.url.split("@")[0].rpartition(":")[2]
    assert b"expd.distributed.gateway" in commands
    own = commands.replace(b"--requirepass\0" + PASSWORD.encode(), b"")  # the broker of this test has it from there
    assert PASSWORD.encode() not in own
    assert quoted.encode() not in own
    for text in told:
        assert PASSWORD not in text
        assert quoted not in text


@pytest.mark.parametrize("wrong", ["no authority", "another authority", "no certificate of ours"])
def test_without_the_right_certificates_nothing_is_said(
    redis: Redis, certificates: Certificates, repository: Path, tmp_path: Path, wrong: str
) -> None:
    """An authority that nobody named is trusted by nobody; a broker that asks for a certificate gets none: entries wait."""
    files: dict[str, Path] = {} if wrong == "no authority" else {"ca_file": certificates.authority}
    if wrong == "another authority":
        files = {"ca_file": make_certificates(tmp_path / "other").authority}
    reason = _reason_to_wait(_daemon(redis, tmp_path, **files), repository)

    assert "certificate" in reason.lower()
    assert PASSWORD not in reason


def test_a_certificate_for_another_name_is_not_taken(repository: Path, tmp_path: Path) -> None:
    """Signed by the right authority is not enough: it has to be the broker's that was asked for."""
    theirs = make_certificates(tmp_path / "theirs", address="127.0.0.9")
    redis = Redis(tmp_path / "redis", tls=theirs)
    certificate, key = theirs.signed("client")
    try:
        reason = _reason_to_wait(
            _daemon(redis, tmp_path, ca_file=theirs.authority, cert_file=certificate, key_file=key), repository
        )
    finally:
        redis.stop()

    assert "not valid for '127.0.0.1'" in reason


@pytest.mark.parametrize(
    ("has_certificate", "words"),
    [(False, "it may ask for a certificate of ours"), (True, "it may not take our certificate")],
)
def test_a_broker_that_hangs_up_without_a_word_may_want_a_certificate(
    certificates: Certificates, repository: Path, tmp_path: Path, has_certificate: bool, words: str
) -> None:
    """Whom a broker refuses, under TLS 1.3, may see only the end of the conversation: the reason says what it may be."""
    files = {"ca_file": certificates.authority}
    if has_certificate:
        files["cert_file"], files["key_file"] = certificates.signed("client")
    with a_server_that_hangs_up(certificates) as port:
        config = celery_config(f"rediss://127.0.0.1:{port}/0", a_hub(tmp_path / "hub.git"))
        lines = "".join(f"{name} = '{path}'\n" for name, path in files.items())
        reason = _reason_to_wait(RunningDaemon("jobs = 1\n" + config + lines), repository)

    assert words in reason
