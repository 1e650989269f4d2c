"""A repository without dvc.yaml: a command that says what it reads and makes is a stage in all but name."""

from pathlib import Path

import pytest

from helpers.daemons import Json, RunningDaemon, a_daemon, rows
from helpers.repositories import a_repository, everything_of, git, write_files

TRAIN = """\
lr=$(sed -n 's/^lr: //p' params.yaml)
echo ran >> "$1"
echo "weights $lr" > model.bin
echo "{\\"acc\\": $lr}" > metrics.json
echo forgotten > extra.txt
"""
DECLARED = ("-d", "train.sh", "-o", "model.bin", "-M", "metrics.json")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Give a repository that has never seen DVC, with an earlier try's output lying about."""
    repository = a_repository(tmp_path / "plain", {"params.yaml": "lr: 0.1\n", "train.sh": TRAIN})
    write_files(repository, {"model.bin": "x" * 2000})
    return repository


def _submit(daemon: RunningDaemon, repository: Path, name: str, *options: str) -> Json:
    """Run the training to its end, and give its entry; `ran` beside the repository grows by a line each time it runs."""
    counter = str(repository.parent / "ran")
    daemon.expctl(repository, "submit", "-n", name, *options, "--", "sh", "train.sh", counter)
    daemon.expctl(repository, "wait", "--all")
    return daemon.entries(repository, name)[0]


def _rev(entry: Json) -> str:
    return str(entry["experiment_rev"])


def test_a_declared_command_is_a_pipeline_of_one_stage(plain: Path) -> None:
    """Outputs are cached and recorded, metrics are in the table and in Git; nothing of the workspace changes."""
    with a_daemon(config="new_file_bytes_max = 1000\n") as daemon:
        daemon.expctl(plain, "pause")
        before = everything_of(plain)
        daemon.expctl(plain, "submit", *DECLARED, "--hold", "--", "true")
        unchanged = everything_of(plain) == before
        daemon.expctl(plain, "resume")
        daemon.expctl(plain, "cancel", "1")
        entry = _submit(daemon, plain, "one", *DECLARED)
        (shown,) = rows(daemon.expctl_json(plain, "show"), "experiments")
        daemon.expctl(plain, "get", "one", "model.bin", "-o", str(plain.parent / "got"))
        log = daemon.expctl(plain, "follow", "one")

    assert unchanged
    assert entry["command"] == ["sh", "train.sh", str(plain.parent / "ran")]
    assert shown["metrics"] == {"acc": 0.1}
    assert (plain.parent / "got" / "model.bin").read_text() == "weights 0.1\n"
    listed = set(git(plain, "ls-tree", "-r", "--name-only", _rev(entry)).split())
    assert listed == {"dvc.lock", "dvc.yaml", "metrics.json", "params.yaml", "train.sh"}
    assert "path: model.bin" in git(plain, "show", f"{_rev(entry)}:dvc.lock")
    assert "expd: new, not declared, and not in the result: extra.txt" in log


def test_the_same_command_again_is_restored(daemon: RunningDaemon, plain: Path) -> None:
    """Equal dependencies and parameters take the earlier result; a changed one, another parameter or --force runs."""
    first = _submit(daemon, plain, "first", *DECLARED)
    again = _submit(daemon, plain, "again", *DECLARED)
    _submit(daemon, plain, "other", *DECLARED, "-S", "lr=0.2")
    _submit(daemon, plain, "forced", *DECLARED, "--force")
    write_files(plain, {"train.sh": f"{TRAIN}# edited\n"})
    _submit(daemon, plain, "edited", *DECLARED)
    again_log = daemon.expctl(plain, "follow", "again")

    assert (plain.parent / "ran").read_text().count("ran") == 4
    assert "cached (run cache)" in again_log
    assert git(plain, "rev-parse", f"{_rev(first)}^{{tree}}") == git(plain, "rev-parse", f"{_rev(again)}^{{tree}}")


def test_a_command_without_dependencies_always_runs(daemon: RunningDaemon, plain: Path) -> None:
    """Who does not say what is read can't be told that nothing changed."""
    _submit(daemon, plain, "first", "-o", "model.bin")
    _submit(daemon, plain, "again", "-o", "model.bin")

    assert (plain.parent / "ran").read_text().count("ran") == 2


def test_without_outputs_everything_new_is_the_result(daemon: RunningDaemon, plain: Path) -> None:
    """-d alone only checks that the dependency is there: what such a command makes is kept as ever."""
    entry = _submit(daemon, plain, "one", "-d", "train.sh")

    listed = set(git(plain, "ls-tree", "-r", "--name-only", _rev(entry)).split())
    assert listed == {"extra.txt", "metrics.json", "model.bin", "params.yaml", "train.sh"}


@pytest.mark.parametrize(
    ("options", "command", "words"),
    [
        (("-d", "nope.py"), ("true",), b"nope.py of stage command in what was captured; it does not exist"),
        (("-d", "nope.py", "-o", "x"), ("true",), b"nope.py of stage command"),
        (("-o", "a", "-o", "a/b"), ("true",), b"'a', which command writes"),
        (("-o", "../x"), ("true",), b"../x: it is outside the repository"),
        (("-o", "x"), None, b"describe a command"),
    ],
)
def test_what_cannot_be_declared_is_refused(
    daemon: RunningDaemon, plain: Path, options: tuple[str, ...], command: tuple[str, ...] | None, words: bytes
) -> None:
    """A dependency that is not there, overlapping outputs, an output elsewhere, no command: said at submit."""
    refused = daemon.run_expctl(plain, "submit", *options, *(("--", *command) if command else ()))

    assert refused.returncode != 0
    assert words in refused.stderr
    assert daemon.entries(plain) == []


def test_a_stage_of_the_pipeline_can_be_read(daemon: RunningDaemon, repository: Path) -> None:
    """Beside a dvc.yaml the command is one stage more: what it depends on is made first, or restored."""
    daemon.expctl(
        repository,
        "submit",
        "-n",
        "count",
        "-d",
        "model.bin",
        "-O",
        "n.txt",
        "--",
        "sh",
        "-c",
        "wc -c < model.bin > n.txt",
    )
    daemon.expctl(repository, "wait", "--all")
    rev = _rev(daemon.entries(repository, "count")[0])

    assert git(repository, "show", f"{rev}:n.txt") == "12"
    assert "  train:\n    cmd: sh train.sh\n" in git(repository, "show", f"{rev}:dvc.yaml")


def test_a_command_below_the_root_has_its_pipeline_there(daemon: RunningDaemon, plain: Path) -> None:
    """Paths are those that were typed: dvc.yaml lies where the command was submitted."""
    write_files(plain, {"sub/in.txt": "data\n"})
    daemon.expctl(
        plain / "sub", "submit", "-n", "one", "-d", "in.txt", "-o", "out.txt", "--", "cp", "in.txt", "out.txt"
    )
    daemon.expctl(plain, "wait", "--all")
    rev = _rev(daemon.entries(plain, "one")[0])
    daemon.expctl(plain, "get", "one", "sub/out.txt", "-o", str(plain.parent / "got"))

    assert "path: out.txt" in git(plain, "show", f"{rev}:sub/dvc.lock")
    assert (plain.parent / "got" / "sub" / "out.txt").read_text() == "data\n"
