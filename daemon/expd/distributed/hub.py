"""The hub: a Git repository that all hosts reach. Entries are pushed to it, attempts claimed in it, results found in it.

    refs/expd/entries/<store>/<request>                     the stash commits of a submission
    refs/expd/cargo/<store>/<request>                       submodules and copies (-C) that go with it, if there are any
    refs/expd/claims/<store>/<request>/<token>              who executes an attempt: made once, by whoever comes first
    refs/expd/attempts/<store>/<request>/<token>/result     its result: outcome, log and marks, on top of the experiment's commit
    refs/expd/attempts/<store>/<request>/<token>/modules/N  what it left in a submodule

`<store>/<request>` is what a submission is held as. An attempt is claimed only while its submission is there, and has a
result only while its claim is there: once the submission is over all of it goes, and whoever comes late changes nothing.

Spoken by the git program, which knows every transport and its credentials. No hook, no terminal, no transport but those
that are listed, and nothing that comes from elsewhere can be taken for an option.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import trio

from expproto.vocabulary import Rev

SCHEMES = ("ssh", "https", "file")
"""Those that say who is there and can't be read on the way, and files."""
_SECONDS_MAX = 600.0
"""For one conversation; beyond that it has stopped."""
_QUIET = (
    "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "push.gpgSign=false",
    "-c", "fetch.fsckObjects=true", "-c", "core.logAllRefUpdates=false", "-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60",
)  # fmt: skip
_SSH = "ssh -oBatchMode=yes -oConnectTimeout=20 -oServerAliveInterval=15 -oServerAliveCountMax=4"
"""Asks nobody, and notices that the other side has gone."""
_REFS_MAX = 1000
"""Refs in one push: they are words of a command."""
_LACKS = "couldn't find remote ref"


class BadHub(ValueError):
    """A hub's address can't be used."""


class HubFailed(Exception):
    """The hub could not be reached, or would not do it: `what` are Git's words, without any password."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class HubLacks(HubFailed):
    """There is no such ref on the hub."""


def check_hub(url: str) -> str:
    """Give the address if it is one that may be used; raises BadHub."""
    if not url.isprintable() or url.startswith("-") or not url:
        raise BadHub("a hub is an absolute path, or an address that begins with ssh://, https:// or file://")
    if url.startswith("/"):
        return url
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or (parts.hostname or "").startswith("-") or "::" in url.partition("//")[0]:
        raise BadHub(
            f"{shown(url)}: a hub is an absolute path, or an address that begins with ssh://, https:// or file://"
        )
    return url


def shown(url: str) -> str:
    """Give an address without its password."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if not separator or not at or ":" not in user:
        return url
    return f"{scheme}://{user.partition(':')[0]}:***@{host}{slash}{path}"


def cargo_ref(held_as: str) -> str:
    """Give the ref of what goes along with a submission."""
    return f"refs/expd/cargo/{held_as}"


def claim_ref(held_as: str, token: str) -> str:
    """Give the ref whose existence says that an attempt is somebody's."""
    return f"refs/expd/claims/{held_as}/{token}"


def result_ref(held_as: str, token: str) -> str:
    """Give the ref of an attempt's result."""
    return f"refs/expd/attempts/{held_as}/{token}/result"


def module_ref(held_as: str, token: str, number: int) -> str:
    """Give the ref of what an attempt left in a submodule; they are numbered as its result lists them."""
    return f"refs/expd/attempts/{held_as}/{token}/modules/{number}"


def refs_of(store: str, held_as: str | None = None) -> str:
    """Give the pattern of all refs of a store, or of one of its submissions."""
    return f"refs/expd/*/{store if held_as is None else held_as}*"


def held_as_of(ref: str) -> str:
    """Give the submission that a ref belongs to."""
    return "/".join(ref.split("/")[3:5])


def _specifications(revs: Mapping[str, Rev]) -> list[str]:
    return [f"{rev}:{ref}" for ref, rev in revs.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """One hub, as seen from a repository on this host."""

    url: str
    git_directory: Path

    async def push(self, revs: Mapping[str, Rev]) -> None:
        """Put commits at refs, whatever is there; raises HubFailed."""
        if not await self._push(*(f"+{specification}" for specification in _specifications(revs))):
            raise HubFailed(f"the hub does not take {' or '.join(revs)}")

    async def push_new(self, revs: Mapping[str, Rev], *, while_there: Mapping[str, Rev]) -> bool:
        """Put commits at refs that must not be there yet, all of them while others are there as said, or none.

        False for none: whoever asks again after an answer was lost is told as the first time. Raises HubFailed.
        """
        leases = [f"--force-with-lease={ref}:" for ref in revs]
        leases += [f"--force-with-lease={ref}:{rev}" for ref, rev in while_there.items()]
        return await self._push("--atomic", *leases, *_specifications({**revs, **while_there}))

    async def delete(self, refs: Sequence[str]) -> None:
        """Remove refs, those that are there; raises HubFailed."""
        for start in range(0, len(refs), _REFS_MAX):
            await self._push(*(f":{ref}" for ref in refs[start : start + _REFS_MAX]))

    async def fetch(self, specifications: Sequence[str]) -> None:
        """Bring refs and what they hold, each object checked; raises HubLacks or HubFailed."""
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--no-auto-maintenance")
        done = await self._git("fetch", *options, "--end-of-options", self.url, *specifications)
        if done.returncode != 0:
            words = self._words_of(done)
            raise (HubLacks if _LACKS in done.stderr.decode("utf-8", "replace") else HubFailed)(words)

    async def list_refs(self, patterns: Sequence[str]) -> dict[str, Rev]:
        """Look which refs are there; raises HubFailed."""
        done = await self._git("ls-remote", "--quiet", "--refs", "--end-of-options", self.url, *patterns)
        if done.returncode != 0:
            raise HubFailed(self._words_of(done))
        lines = (line.split("\t", 1) for line in done.stdout.decode("utf-8", "replace").splitlines())
        return {ref: Rev(rev) for rev, ref in lines}

    async def _push(self, *words: str) -> bool:
        """Push; False if the hub refused a ref."""
        options = [word for word in words if word.startswith("--")]
        specifications = [word for word in words if word not in options]
        fixed = ("--quiet", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no")
        done = await self._git("push", *fixed, *options, "--end-of-options", self.url, *specifications)
        if done.returncode == 0:
            return True
        if any(line.startswith(b"!") for line in done.stdout.splitlines()):
            return False
        raise HubFailed(self._words_of(done))

    async def _git(self, *words: str) -> "subprocess.CompletedProcess[bytes]":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or "SSH" in name}
        environ = {
            "GIT_SSH_COMMAND": _SSH,
            **inherited,
            "GIT_DIR": str(self.git_directory),
            "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES),
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        }
        try:
            with trio.fail_after(_SECONDS_MAX):
                return await trio.run_process(
                    ["git", *_QUIET, *words],
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    capture_stdout=True,
                    capture_stderr=True,
                    check=False,
                )
        except (OSError, trio.TooSlowError) as error:
            raise HubFailed(f"git can't be run, or the hub does not answer: {error!r}") from error

    def _words_of(self, done: "subprocess.CompletedProcess[bytes]") -> str:
        text = done.stderr.decode("utf-8", "replace").replace(self.url, shown(self.url)).strip()
        lines = [line for line in text.splitlines() if line.startswith(("fatal:", "error:", "remote:"))]
        chosen = lines or text.splitlines() or [f"git ended with {done.returncode}"]
        return f"{shown(self.url)}: {chosen[0]}"
