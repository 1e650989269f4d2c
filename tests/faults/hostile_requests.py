"""Requests that are well-formed and make no sense."""

from collections.abc import Iterator
from dataclasses import replace

from expproto.requests import (
    Export,
    Follow,
    FollowTarget,
    Get,
    Import,
    Inspect,
    Remove,
    Request,
    Restore,
    Retry,
    Show,
    Status,
    Submit,
    Verify,
    Why,
)
from expproto.steering import SetJobs

HOSTILE_TEXT = (
    "",
    "\0",
    "/\0",
    "-n",
    "../..",
    "9" * 5000,
    "HEAD@{999}",
    ":/x",
    "^",
    "a..b",
    "\u202e",
    "x" * 70_000,
    "\n<3>fake",
)


def hostile_requests(cwd: str) -> Iterator[Request]:
    """Give requests of every verb that must be refused."""
    for text in HOSTILE_TEXT:
        yield Status(cwd=cwd, entries=(text,))
        yield Status(cwd=text, entries=("1",))
        yield Show(cwd=text)
        yield Inspect(cwd=cwd, experiment=text)
        yield Inspect(cwd=text, experiment="HEAD")
        yield Get(cwd=cwd, experiment=text, paths=(), directory="/nonexistent")
        yield Get(cwd=cwd, experiment="HEAD", paths=(text,), directory="/proc/nonexistent")
        yield Get(cwd=cwd, experiment="HEAD", paths=("train.sh",), directory=text)
        yield Why(cwd=cwd, entry=text)
        yield Restore(cwd=cwd, entry=text)
        yield Restore(cwd=text, entry="HEAD", umask=-1)
        yield Retry(cwd=cwd, entries=(text,), environment=((b"A=B", b"\0"),))
        yield Remove(cwd=cwd, entries=(text,))
        yield Remove(cwd=text, done=True)
        yield Export(cwd=cwd, entry=text, file="/nonexistent/file")
        yield Import(request_id="hostile-" + "i" * 8, cwd=cwd, file=text)
        yield Import(request_id="hostileimport", cwd=text, file="/proc/self/mem")
        yield Verify(request_id="hostileverify", cwd=cwd, experiment=text)
    yield SetJobs(jobs=-1)
    yield SetJobs(jobs=2**62)
    yield Follow(cwd=cwd, targets=(FollowTarget(entry="nobody"),))


def hostile_submissions(cwd: str) -> Iterator[Submit]:
    """Give submissions that must be refused; their request ids are the caller's."""
    good = Submit(request_id="", cwd=cwd, command=("true",))
    for text in HOSTILE_TEXT:
        yield replace(good, cwd=text)
        yield replace(good, name=text or "/")
        yield replace(good, overrides=(f"=a{text}",))
        yield replace(good, command=None, targets=(f"{text}?",))
    yield replace(good, command=())
    yield replace(good, command=("echo", "\0"))
    yield replace(good, environment=((b"A=B", b"c"),))
    yield replace(good, environment=((b"A", b"\0"),))
    yield replace(good, environment=((b"", b"c"),))
    yield replace(good, umask=-1)
    yield replace(good, umask=2**40)
    yield replace(good, message="\0")
