"""`expctl submit`: what is sent, what is shown, and that asking twice submits once."""

import json
import os
from pathlib import Path

import pytest

from client.conftest import Expctl
from client.scripted import BASELINE, HANG_UP, STASH, Step, a_page, an_entry, serving
from expproto.records import LeftOutFile
from expproto.replies import Refusal, Submitted
from expproto.requests import Submit

ONE: list[Step] = [a_page(an_entry()), Submitted(submission=1, count=1)]


def test_submit_prints_id_name_state_and_params(sock: Path, expctl: Expctl) -> None:
    """Off a terminal an entry is one line of tab-separated fields."""
    with serving(sock, [ONE]):
        ran = expctl("submit", "-S", "train.lr=0.2", "-n", "tuned")

    assert (ran.code, ran.out, ran.err) == (0, "1\ttuned\tqueued\ttrain.lr=0.2\n", "")


def test_submit_sends_what_was_asked(
    sock: Path, expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every flag arrives in its field, with the directory, the umask and a fresh request id."""
    monkeypatch.chdir(tmp_path)
    with serving(sock, [ONE]) as daemon:
        expctl(
            "submit",
            "train",
            "-S",
            "a=1,2",
            "--set-param",
            "b.yaml:c=3",
            "-n",
            "x",
            "-m",
            "why",
            "-f",
            "eval",
            "--include",
            ".env",
            "-C",
            "big",
        )

    (request,) = daemon.requests
    assert isinstance(request, Submit)
    assert request.cwd == str(tmp_path)
    assert request.overrides == ("a=1,2", "b.yaml:c=3")
    assert (request.name, request.message, request.force) == ("x", "why", True)
    assert (request.targets, request.command) == (("train", "eval"), None)
    assert len(bytes.fromhex(request.request_id)) == 16
    assert (request.include, request.copy_paths) == ((".env",), ("big",))
    assert request.umask == _umask()


def test_submit_takes_a_command_after_dashes_untouched(sock: Path, expctl: Expctl) -> None:
    """What follows `--` is the command, also where it looks like our own options."""
    with serving(sock, [ONE]) as daemon:
        expctl("submit", "-n", "x", "--", "python", "train.py", "--lr", "0.2", "--json", "--", "-n")

    (request,) = daemon.requests
    assert isinstance(request, Submit)
    assert request.command == ("python", "train.py", "--lr", "0.2", "--json", "--", "-n")
    assert request.name == "x"


def test_submit_keeps_this_process_private_variables(
    sock: Path, expctl: Expctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment goes along as bytes, without what belongs to the shell, to systemd or to Git's own processes."""
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "GIT_DIR", "SHLVL", "_", "EXPD_READY_FD"):
        monkeypatch.setenv(name, "private")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ada")
    monkeypatch.setitem(os.environb, b"RAW", b"\xff")
    with serving(sock, [ONE]) as daemon:
        expctl("submit")

    (request,) = daemon.requests
    assert isinstance(request, Submit)
    environment = dict(request.environment)
    assert environment[b"GIT_AUTHOR_NAME"] == b"Ada"
    assert environment[b"RAW"] == b"\xff"
    assert b"private" not in environment.values()


def test_submit_takes_the_environment_it_is_told_to(
    sock: Path, expctl: Expctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --no-env little goes along; --env adds, the last one counts, and a name alone takes the shell's value."""
    monkeypatch.setenv("LANG", "C")
    monkeypatch.setenv("SEEN", "here")
    monkeypatch.setenv("UNSEEN", "here")
    with serving(sock, [ONE]) as daemon:
        expctl("submit", "--no-env", "--env", "A=1", "--env", "A=2=3", "--env", "SEEN", "--env", "LANG=de")

    (request,) = daemon.requests
    assert isinstance(request, Submit)
    environment = dict(request.environment)
    assert {b"PATH", b"HOME"} >= environment.keys() - {b"LANG", b"A", b"SEEN"}
    assert (environment[b"A"], environment[b"SEEN"], environment[b"LANG"]) == (b"2=3", b"here", b"de")


@pytest.mark.parametrize("text", ["=1", "NOT_SET_ANYWHERE"])
def test_submit_refuses_a_variable_without_name_or_value(sock: Path, expctl: Expctl, text: str) -> None:
    """A slip in --env is told, and nothing is sent."""
    ran = expctl("submit", "--env", text)

    assert ran.code == 2
    assert text in ran.err
    assert not sock.exists()


def test_submit_json_has_the_documented_fields(sock: Path, expctl: Expctl) -> None:
    """The document is what docs/json.md promises, and nothing else is on stdout."""
    with serving(sock, [ONE]):
        ran = expctl("submit", "--json")

    entry = {
        "id": 1,
        "name": "tuned",
        "state": "queued",
        "baseline_rev": BASELINE,
        "stash_rev": STASH,
        "params": {"train.lr": 0.2},
    }
    assert ran.document == {"schema": 1, "entries": [entry], "left_out": [], "left_out_count": 0, "unkept": []}
    assert ran.err == ""


def test_submit_names_what_was_left_out(sock: Path, expctl: Expctl) -> None:
    """Each file that was not captured is a line on stderr with its reason, and their number if there are more."""
    left_out = (LeftOutFile(path=".env", reason="secret"), LeftOutFile(path="lib\x1b/", reason="repository"))
    with serving(sock, [[a_page(an_entry()), Submitted(submission=1, count=1, left_out=left_out, left_out_count=5)]]):
        ran = expctl("submit")

    assert ran.err.splitlines() == [
        "left out: .env (looks like a secret; --include takes it)",
        "left out: lib\\x1b/ (a repository of its own)",
        "left out: 3 more",
    ]
    assert ran.out == "1\ttuned\tqueued\ttrain.lr=0.2\n"


def test_submit_quiet_prints_ids_of_all_pages(sock: Path, expctl: Expctl) -> None:
    """With -q a sweep is one id a line, however many pages it came in."""
    pages: list[Step] = [a_page(an_entry(7), an_entry(8)), a_page(an_entry(9)), Submitted(submission=1, count=3)]
    with serving(sock, [pages]):
        ran = expctl("submit", "-q", "-S", "a=1,2,3")

    assert ran.out == "7\n8\n9\n"


def test_submit_asks_again_with_the_same_id_when_the_reply_is_lost(sock: Path, expctl: Expctl) -> None:
    """A connection that breaks before the reply, even between its events, makes no second submission."""
    with serving(sock, [[HANG_UP]], [[a_page(an_entry()), HANG_UP]], [ONE]) as daemon:  # fmt: skip
        ran = expctl("submit")

    assert ran.out == "1\ttuned\tqueued\ttrain.lr=0.2\n"
    assert len(daemon.requests) == 3
    assert daemon.requests[0] == daemon.requests[1] == daemon.requests[2]


def test_submit_gives_up_on_a_daemon_that_dies_of_it(sock: Path, expctl: Expctl) -> None:
    """A request that ends every connection is not repeated for ever."""
    with serving(sock, *[[[HANG_UP]]] * 6) as daemon:
        ran = expctl("submit")

    assert ran.code == 3
    assert len(daemon.requests) == 6
    assert "broke 6 times" in ran.err


def test_submit_with_empty_command_is_a_usage_error(sock: Path, expctl: Expctl) -> None:
    """A `--` with nothing after it is a slip, not an experiment."""
    ran = expctl("submit", "--")

    assert ran.code == 2
    assert not sock.exists()


def test_submit_that_is_refused_says_why_and_what_next(sock: Path, expctl: Expctl) -> None:
    """A refusal's code and data become a sentence, a hint and an exit code."""
    data = {"name": "tuned", "holder": "entry", "baseline_rev": BASELINE, "entry": 4}
    with serving(sock, [[Refusal(code="name_taken", data=data)]]):
        ran = expctl("submit", "-n", "tuned")

    assert (ran.code, ran.out) == (5, "")
    assert ran.err.splitlines() == [
        "expctl: the name tuned belongs to entry 4 of baseline bbbbbbb; nothing was queued",
        "  choose another name, leave -n away, or replace it with --force",
    ]


def test_submit_with_too_much_that_is_new_names_the_largest(sock: Path, expctl: Expctl) -> None:
    """A refusal for size says which setting, and lists files with their bytes."""
    data = {"setting": "new_file_bytes_max", "limit": 10, "found": 2000, "largest": [["a\x1b.bin", 2000], ["b", 11]]}
    with serving(sock, [[Refusal(code="too_large", data=data)]]):
        ran = expctl("submit")

    assert (ran.code, ran.out) == (6, "")
    first, *rest = ran.err.splitlines()
    assert first.startswith(
        "expctl: too large: a new file that Git does not ignore (new_file_bytes_max is 10, this is 2000)"
    )
    assert rest == [
        "          2000  a\\x1b.bin",
        "            11  b",
        "  let .gitignore name it (-C copies it if the run needs it), track it with `dvc add`, or raise new_file_bytes_max in config.toml",
    ]


def test_submit_that_is_refused_says_so_in_json(sock: Path, expctl: Expctl) -> None:
    """With --json an error is a document on stdout, with the same exit code."""
    with serving(sock, [[Refusal(code="no_commit", data={"repository": "/r"})]]):
        ran = expctl("submit", "--json")

    assert (ran.code, ran.err) == (6, "")
    assert json.loads(ran.out) == {
        "schema": 1,
        "error": {
            "code": "no_commit",
            "message": "the repository /r has no commit to compare experiments with",
            "hint": "commit once: git add . && git commit",
        },
    }


def test_submit_beyond_the_frame_limit_is_refused_here(
    sock: Path, expctl: Expctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request beyond the limit is refused here, before a byte is sent."""
    monkeypatch.setenv("HUGE", "x" * 100_000)
    for number in range(45):
        monkeypatch.setenv(f"HUGE{number}", "x" * 100_000)
    with serving(sock, [ONE]) as daemon:
        ran = expctl("submit")

    assert ran.code == 6
    assert "too large" in ran.err
    assert daemon.requests == []


@pytest.mark.parametrize("count", [0, 2])
def test_submit_whose_entries_and_count_differ_is_an_error(sock: Path, expctl: Expctl, count: int) -> None:
    """A page that is missing is never shown as if all were there."""
    with serving(sock, [[a_page(an_entry()), Submitted(submission=1, count=count)]]):
        assert expctl("submit").code == 8


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
