"""Completions and man pages: made of the table of verbs, read by the real shells and by groff."""

import os
import pty
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from client.conftest import Expctl
from expctl.options import SHARED, VERBS
from expctl.render.completions import SHELLS, completion
from expctl.render.manual import man_pages
from helpers.daemons import BIN, RunningDaemon

CHECKS = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}
BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_expctl
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSHRC = """
fpath=($ZDOTDIR $fpath)
autoload -Uz compinit; compinit -u -D
bindkey '^I' complete-word
compadd() {
    if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then
        local -a offered
        builtin compadd -A offered "$@"
        print -rl -- $offered >> $ZDOTDIR/offered
    fi
    builtin compadd "$@"
}
leave() { exit }
comppostfuncs=(leave)
"""
"""A shell that writes down what it offers at the first tab, and ends."""


def _by_bash(directory: Path, words: Sequence[str], environ: Mapping[str, str]) -> str:
    script = directory / ".expctl.bash"
    script.write_text(completion("bash"))
    argv = ["bash", "--norc", "-c", BASH, "bash", str(script), "expctl", *words]
    ended = subprocess.run(argv, cwd=directory, env=environ, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    return ended.stdout


def _by_fish(directory: Path, words: Sequence[str], environ: Mapping[str, str]) -> str:
    script = directory / ".expctl.fish"
    script.write_text(completion("fish"))
    argv = [
        "fish",
        "--no-config",
        "-c",
        "source $argv[1]; complete -C $argv[2]",
        str(script),
        " ".join(["expctl", *words]),
    ]
    ended = subprocess.run(argv, cwd=directory, env=environ, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    return "".join(f"{line.partition(chr(9))[0]}\n" for line in ended.stdout.splitlines())


def _by_zsh(directory: Path, words: Sequence[str], environ: Mapping[str, str]) -> str:
    """Type the words and a tab into a real one, which sits at a terminal."""
    dots = directory / ".zsh"
    dots.mkdir(exist_ok=True)
    (dots / "_expctl").write_text(completion("zsh"))
    (dots / ".zshrc").write_text(ZSHRC)
    (dots / "offered").write_text("")
    ours, its = pty.openpty()
    environ = {**environ, "ZDOTDIR": str(dots), "TERM": "dumb"}
    with subprocess.Popen(
        ["zsh", "-d", "-i"], stdin=its, stdout=its, stderr=its, cwd=directory, env=environ, start_new_session=True
    ):
        os.close(its)
        os.write(ours, " ".join(["expctl", *words]).encode() + b"\t")
        with suppress(OSError):  # EIO: it has ended
            while os.read(ours, 1024):
                pass
    os.close(ours)
    return (dots / "offered").read_text()


BY_SHELL = {"bash": _by_bash, "zsh": _by_zsh, "fish": _by_fish}


def _completed(shell: str, directory: Path, *words: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Give what a shell offers for the last of these words."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed (Debian's package {shell})")
    return sorted(set(BY_SHELL[shell](directory, words, environ).split()))


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_can_read_its_completions(tmp_path: Path, shell: str) -> None:
    """The script has no error of syntax, whatever stands in the help of an option."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed (Debian's package {shell})")
    (tmp_path / "script").write_text(completion(shell))

    ended = subprocess.run([*CHECKS[shell], tmp_path / "script"], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_every_verb_and_option_can_be_completed(shell: str) -> None:
    """What the table of verbs holds is in the completions, without a list of their own."""
    script = completion(shell)
    flags = {flag for verb in VERBS.values() for option in (*verb.options, *SHARED) for flag in option.flags}
    forms = {flag: f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in flags}

    assert [name for name in VERBS if name not in script] == []
    assert [flag for flag in flags if (forms[flag] if shell == "fish" else flag) not in script] == []


OFFERED: list[tuple[list[str], list[str]]] = [
    (["--json", "daemon", "sta"], ["start", "status"]),
    (["submit", "--max"], ["--max-failures"]),
    (["get", "-o", "a"], ["a.txt"]),
    (["submit", "--", "a"], ["a.txt"]),
    (["ret"], ["retry"]),
    (["daemon", "re"], ["reload", "restart"]),
    (["submit", "-m", "a"], []),
    (["completion", ""], ["bash", "fish", "zsh"]),
]
"""Words, and what can stand in place of the last; the first four are tried in every shell, of which some take long to start."""


@pytest.mark.parametrize(
    ("shell", "words", "offered"),
    [("bash", *case) for case in OFFERED] + [(shell, *case) for shell in ("zsh", "fish") for case in OFFERED[:4]],
)
def test_each_shell_offers_what_can_stand_there(
    tmp_path: Path, shell: str, words: list[str], offered: list[str]
) -> None:
    """A verb, an action, an option, a file where a file is meant, and nothing where anything may stand."""
    (tmp_path / "a.txt").touch()

    assert _completed(shell, tmp_path, *words) == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_ids_and_names_are_those_of_the_queue(
    daemon: RunningDaemon, repository: Path, tmp_path: Path, shell: str
) -> None:
    """Where an entry is to be named, those that exist are offered, by id and by name; it is the queue of this moment."""
    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "submit", "-n", "tuned", "--", "true")
    first = _completed(shell, tmp_path, "follow", "", environ=daemon.environ)
    daemon.expctl(repository, "submit", "-n", "turned", "--", "true")

    assert first == ["1", "tuned"]
    assert _completed(shell, tmp_path, "cancel", "tu", environ=daemon.environ) == ["tuned", "turned"]


@pytest.mark.parametrize("shell", SHELLS)
def test_completing_starts_no_daemon(tmp_path: Path, shell: str) -> None:
    """A key pressed by accident leaves nothing behind."""
    environ = {**os.environ, "EXPD_RUNTIME_DIR": str(tmp_path / "run"), "EXPD_STATE_DIR": str(tmp_path / "state")}
    environ["PATH"] = f"{BIN}:{environ['PATH']}"

    assert _completed(shell, tmp_path, "follow", "", environ=environ) == []
    assert not (tmp_path / "run").exists()


def test_completions_and_man_pages_are_installed_where_programs_look(
    expctl: Expctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--install` writes below the home directory, once."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for shell in SHELLS:
        expctl("completion", shell, "--install")
    expctl("man", "--install")

    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        ".config/fish/completions/expctl.fish",
        ".local/share/bash-completion/completions/expctl",
        ".local/share/man/man1/expctl.1",
        ".local/share/man/man1/expd.1",
        ".local/share/zsh/site-functions/_expctl",
    ]
    assert expctl("completion", "bash", "--install", "--json").document["changed"] is False
    assert expctl("completion", "fish").out == (tmp_path / ".config/fish/completions/expctl.fish").read_text()


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
@pytest.mark.parametrize("name", sorted(man_pages()))
def test_groff_has_nothing_to_say_about_the_man_pages(name: str) -> None:
    """Every request is known and every character can be set: a warning is an error here."""
    ended = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-Kutf8"], input=man_pages()[name], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_manual_has_every_verb_and_option(expctl: Expctl) -> None:
    """Printed where nobody sits before it; a flag that is in the table is in the page."""
    page = expctl("man").out.replace("\\-", "-")
    flags = {flag for verb in VERBS.values() for option in verb.options for flag in option.flags}

    assert [name for name in VERBS if f".SS {name}" not in page] == []
    assert [flag for flag in flags if f"\\fB{flag}\\fR" not in page] == []
    assert expctl("man", "expd").out.startswith(".TH EXPD 1")
