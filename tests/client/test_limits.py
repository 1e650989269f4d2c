"""The limits of a run, as typed: each arrives in seconds, and what is no duration is refused."""

from pathlib import Path

import pytest

from client.conftest import Expctl
from client.scripted import Step, a_page, an_entry, serving
from expproto.limits import RunLimits, senseless_limit
from expproto.records import UnkeptLimit
from expproto.replies import Submitted
from expproto.requests import Submit

ONE: list[Step] = [a_page(an_entry()), Submitted(submission=1, count=1)]


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("10m", 600.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("0.5", 0.5),
        ("1.5h", 5400.0),
        ("2 h", 7200.0),
    ],
)
def test_a_duration_arrives_in_seconds(sock: Path, expctl: Expctl, typed: str, seconds: float) -> None:
    """A number with a unit, or of seconds without one."""
    with serving(sock, [ONE]) as daemon:
        expctl("submit", "--time-limit", typed, "--stall-limit", typed)

    (request,) = daemon.requests
    assert isinstance(request, Submit)
    assert request.limits == RunLimits(time_seconds=seconds, stall_seconds=seconds)


@pytest.mark.parametrize("typed", ["", "0", "0m", "-1", "m", "1w", "nan", "inf", "1h30"])
def test_what_is_no_duration_is_refused(sock: Path, expctl: Expctl, typed: str) -> None:
    """The sentence shows the forms there are, and nobody is asked."""
    ran = expctl("submit", f"--time-limit={typed}")

    assert ran.code == 2
    assert "90, 90s, 10m, 2h or 1d" in ran.err
    assert not sock.exists()


@pytest.mark.parametrize(
    ("typed", "size"),
    [
        ("4G", 4 * 2**30),
        ("4GB", 4 * 2**30),
        ("4gib", 4 * 2**30),
        ("1.5G", 3 * 2**29),
        ("512M", 2**29),
        ("65536K", 2**26),
        ("67108864", 2**26),
        ("1T", 2**40),
    ],
)
def test_an_amount_of_memory_arrives_in_bytes(sock: Path, expctl: Expctl, typed: str, size: int) -> None:
    """A number with a unit of 1024 of the last, or of bytes without one; processors are a number."""
    with serving(sock, [ONE]) as daemon:
        expctl("submit", "--mem", typed, "--cpus", "0.5")

    (request,) = daemon.requests
    assert isinstance(request, Submit)
    assert request.limits == RunLimits(memory_bytes=size, cpus=0.5)


@pytest.mark.parametrize("typed", ["", "G", "4X", "-4G", "4Gi4", "many", "nan"])
def test_what_is_no_amount_of_memory_is_refused(sock: Path, expctl: Expctl, typed: str) -> None:
    """The sentence shows the forms there are, and nobody is asked."""
    ran = expctl("submit", f"--mem={typed}")

    assert ran.code == 2
    assert "512M or 4G" in ran.err
    assert not sock.exists()


def test_limits_that_the_kernel_does_not_keep_are_named(sock: Path, expctl: Expctl) -> None:
    """Whoever submits learns that a limit is only looked at, or not kept, and why; ids on stdout stay alone."""
    unkept = (UnkeptLimit(limit="mem", why="version_1"), UnkeptLimit(limit="cpus", why="no_manager"))
    with serving(sock, [[a_page(an_entry()), Submitted(submission=1, count=1, unkept=unkept)]]):
        ran = expctl("submit", "--mem", "4G", "--cpus", "2")

    assert "--mem is looked at once a second: control groups are of version 1" in ran.err
    assert "--cpus is not kept: no systemd manages" in ran.err
    assert "version" not in ran.out


@pytest.mark.parametrize(
    ("limits", "is_senseless"),
    [
        (RunLimits(), False),
        (RunLimits(time_seconds=0.001), False),
        (RunLimits(time_seconds=0.0), True),
        (RunLimits(stall_seconds=-1.0), True),
        (RunLimits(stall_seconds=float("nan")), True),
        (RunLimits(time_seconds=1e12), True),
        (RunLimits(memory_bytes=2**25, cpus=0.01), False),
        (RunLimits(memory_bytes=2**20), True),
        (RunLimits(memory_bytes=2**60), True),
        (RunLimits(cpus=0.0), True),
        (RunLimits(cpus=float("nan")), True),
    ],
)
def test_limits_that_make_no_sense_are_known(limits: RunLimits, is_senseless: bool) -> None:
    """Also a client that is not ours is told that a limit of nothing, or of centuries, is none."""
    assert (senseless_limit(limits) is not None) == is_senseless
