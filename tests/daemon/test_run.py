"""One run in a real worker: every end has an outcome, and every failure its reason in the log."""

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.scripted import ScriptedDaemon, a_scripted_daemon, an_order, record_of, told_of
from expproto.stage_options import OnFailure, StageOptions
from expproto.vocabulary import Failed, Killed, Refused, Rev, RunId, Succeeded
from expproto.work import RunEnded
from helpers.repositories import SHELL_PIPELINE, a_repository, git, write_files


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[ScriptedDaemon]:
    """Give a daemon that the test plays."""
    with a_scripted_daemon(tmp_path) as daemon:
        yield daemon


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("exit 3", Failed(stage="command", exit_code=3)),
        ("kill -KILL $$", Killed(stage="command", signal=9)),
        ("nonexistent-program", Failed(stage="command", exit_code=127)),
    ],
)
def test_a_command_that_fails_is_named_with_its_end(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path, script: str, outcome: Failed | Killed
) -> None:
    """The outcome has the command's exit code or signal."""
    assert scripted.run(an_order(tmp_path, repository, ("sh", "-c", script))) == outcome


def test_a_stage_that_fails_is_named(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """The outcome names the stage; the stages behind it do not run."""
    write_files(
        repository,
        {"train.sh": "exit 7\n", "dvc.yaml": SHELL_PIPELINE + "  last: {cmd: echo last, deps: [model.bin]}\n"},
    )
    git(repository, "commit", "--quiet", "--all", "--message", "broken")

    order = an_order(tmp_path, repository)

    assert scripted.run(order) == Failed(stage="train", exit_code=7)
    assert "last" not in told_of(order)


BRANCHES = """\
stages:
  bad: {cmd: echo half > bad.txt; exit 3, outs: [bad.txt]}
  after: {cmd: echo after, deps: [bad.txt]}
  behind: {cmd: echo behind, deps: [bad.txt]}
  good: {cmd: echo good > good.txt, outs: [good.txt]}
"""


def test_a_failed_branch_leaves_the_others_going(scripted: ScriptedDaemon, tmp_path: Path) -> None:
    """With --keep-going the outcome is the first failure's, after all that does not need it; the log says what was not."""
    repository = a_repository(tmp_path / "branches", {"dvc.yaml": BRANCHES, ".gitignore": "/*.txt\n"})
    order = an_order(tmp_path, repository, stage_options=StageOptions(on_failure=OnFailure.KEEP_GOING))

    outcome = scripted.run(order)

    said = told_of(order)
    assert outcome == Failed(stage="bad", exit_code=3)
    assert "Stage 'bad' failed: a command of stage 'bad' exited with 3\n" in said
    assert "Stage 'after' is skipped, because 'bad' failed\n" in said
    assert "Stage 'behind' is skipped, because 'bad' failed\n" in said
    assert "> echo good > good.txt\n" in said


def test_ignored_errors_give_an_experiment(scripted: ScriptedDaemon, tmp_path: Path) -> None:
    """With --ignore-errors what was made is committed, and dvc.lock knows nothing of what failed."""
    repository = a_repository(tmp_path / "branches", {"dvc.yaml": BRANCHES, ".gitignore": "/*.txt\n"})
    order = an_order(tmp_path, repository, stage_options=StageOptions(on_failure=OnFailure.IGNORE))

    outcome = scripted.run(order)

    assert isinstance(outcome, Succeeded)
    locked = git(repository, "show", f"{outcome.rev}:dvc.lock")
    names = [line.strip() for line in locked.splitlines() if line.startswith("  ") and line[2] != " "]
    assert names == ["after:", "behind:", "good:"]


def test_pulling_without_dvc_is_a_reason(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """Where the submitter has no dvc, --pull is refused, and the reason names what is missing where."""
    order = an_order(
        tmp_path, repository, stage_options=StageOptions(pull=True), environment=((b"PATH", b"/nonexistent"),)
    )

    outcome = scripted.run(order)

    assert isinstance(outcome, Refused)
    assert "the program dvc on the PATH of the submitting shell" in outcome.reason


def test_a_stash_commit_that_is_gone_is_a_reason(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """Without its stash commit a run is refused, and says which commit it misses."""
    order = an_order(tmp_path, repository, ("true",), stash_rev=Rev("0123456789" * 4))

    outcome = scripted.run(order)

    assert isinstance(outcome, Refused)
    assert order.stash_rev in outcome.reason
    assert outcome.reason in told_of(order)


def test_a_repository_that_is_gone_is_a_reason(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """When the repository was moved away before the run, the run is refused, names it, and the worker goes on."""
    order = an_order(tmp_path, repository, ("true",))
    (repository / ".git").rename(tmp_path / "moved")
    conversation, _register = scripted.meet()
    conversation.order(order)
    outcome = conversation.hear_end().outcome
    (tmp_path / "moved").rename(repository / ".git")
    conversation.order(an_order(tmp_path, repository, ("true",), run=RunId(2)))

    assert isinstance(outcome, Refused)
    assert str(repository / ".git") in outcome.reason
    assert outcome.reason in told_of(order)
    assert isinstance(conversation.hear_end().outcome, Succeeded)


def test_a_repository_that_goes_during_a_run_is_a_reason(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path
) -> None:
    """A run whose repository vanishes under it can't be collected: an outcome with a reason, in the record as well."""
    order = an_order(
        tmp_path, repository, ("sh", "-c", f"echo made > made.txt; mv '{repository}/.git' '{tmp_path}/gone'")
    )

    outcome = scripted.run(order)

    assert isinstance(outcome, Refused)
    assert outcome.reason in told_of(order)
    record = record_of(order)
    assert isinstance(record, RunEnded)
    assert record.outcome == outcome


def test_a_broken_pipeline_is_a_reason(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """A dvc.yaml that makes no sense refuses the run, and the log names the file."""
    write_files(repository, {"dvc.yaml": "stages: [not, a, map]\n"})
    git(repository, "commit", "--quiet", "--all", "--message", "broken")
    order = an_order(tmp_path, repository)

    outcome = scripted.run(order)

    assert isinstance(outcome, Refused)
    assert "dvc.yaml" in outcome.reason
    assert outcome.reason in told_of(order)


def test_an_output_that_was_not_made_is_a_reason(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """A stage that ends well without its output is refused, with the output's name."""
    write_files(repository, {"train.sh": "echo '{}' > metrics.json\n"})
    git(repository, "commit", "--quiet", "--all", "--message", "forgetful")

    outcome = scripted.run(an_order(tmp_path, repository))

    assert isinstance(outcome, Refused)
    assert "model.bin" in outcome.reason


def test_a_log_that_cannot_be_opened_is_an_outcome(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """Without a log nothing runs, and the reason is in the outcome."""
    (tmp_path / "file").write_text("")

    outcome = scripted.run(an_order(tmp_path, repository, ("true",), log=str(tmp_path / "file" / "1.log")))

    assert isinstance(outcome, Refused)
    assert "log" in outcome.reason


def test_failed_worktrees_are_kept_up_to_their_number(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path
) -> None:
    """What failed runs left stays for a look, the oldest goes first; what succeeded is not kept."""
    conversation, _register = scripted.meet()
    for number, script in enumerate(("exit 1", "exit 1", "true", "echo partial > partial.txt; exit 1"), start=9):
        order = an_order(tmp_path, repository, ("sh", "-c", script), run=RunId(number), kept_worktrees_max=2)
        conversation.order(order)
        conversation.hear_end()

    kept = repository / ".git" / "expd" / "kept"
    assert sorted(path.name for path in kept.iterdir()) == ["10", "10.manifest", "12", "12.manifest"]
    assert (kept / "12" / "partial.txt").read_text() == "partial\n"


def test_files_are_made_with_the_submitters_umask(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """A run checks out and makes files as the submitter's shell would have."""
    order = an_order(tmp_path, repository, ("sh", "-c", "umask; stat -c %a params.yaml"), umask=0o027)

    scripted.run(order)

    assert Path(order.log).read_text().splitlines()[:2] == ["0027", "640"]


def test_an_experiment_has_its_baseline_and_its_author(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path
) -> None:
    """The commit's one parent is the baseline, its author the repository's user, its message the submitter's."""
    order = an_order(tmp_path, repository, ("true",), message="tried with more care")

    outcome = scripted.run(order)

    assert isinstance(outcome, Succeeded)
    said = git(repository, "log", "-1", "--format=%P|%an <%ae>|%cn|%B", outcome.rev)
    assert said == f"{order.baseline_rev}|Ada <ada@example.org>|Ada|tried with more care"
    assert git(repository, "for-each-ref", "refs/exps") == ""


def test_a_run_in_a_subdirectory_is_there(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """A command runs where it was submitted, with PWD saying so."""
    write_files(repository, {"sub/file": "x\n"})
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "sub")
    order = an_order(tmp_path, repository, ("sh", "-c", "ls; basename $PWD; basename $(pwd -P)"), directory="sub")

    scripted.run(order)

    assert Path(order.log).read_text().split() == ["file", "sub", "sub"]


def test_the_local_settings_of_dvc_are_private(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """A run finds the user's cache in .dvc/config.local, which nobody else can read, and which is no result."""
    local = repository / ".dvc" / "config.local"
    local.write_text("['remote \"store\"']\n    password = secret\n")
    (repository / ".dvc" / ".gitignore").unlink()
    git(repository, "commit", "--quiet", "--all", "--message", "nothing is ignored")
    order = an_order(tmp_path, repository, ("sh", "-c", "cat .dvc/config.local; stat -c %a .dvc/config.local"))

    outcome = scripted.run(order)

    seen = Path(order.log).read_text()
    assert isinstance(outcome, Succeeded)
    assert "password = secret" in seen
    assert f"dir = {repository}/.dvc/cache" in seen
    assert seen.rstrip().endswith("600")
    assert "config.local" not in git(repository, "ls-tree", "-r", "--name-only", outcome.rev)


def test_a_run_writes_nothing_into_the_workspace(scripted: ScriptedDaemon, tmp_path: Path) -> None:
    """Whatever a run makes, the user's files and index are as before."""
    repository = a_repository(tmp_path / "elsewhere")
    before = subprocess.run(
        ["git", "status", "--porcelain=v2", "--ignored"], cwd=repository, capture_output=True, check=True
    )

    outcome = scripted.run(an_order(tmp_path, repository, ("sh", "-c", "echo 1 > new.txt; rm params.yaml; git add -A")))

    after = subprocess.run(
        ["git", "status", "--porcelain=v2", "--ignored"], cwd=repository, capture_output=True, check=True
    )
    assert isinstance(outcome, Succeeded)
    assert after.stdout == before.stdout
    assert stat.S_IMODE((repository / ".git" / "expd" / "worktrees" / "slot").stat().st_mode) == 0o700
    assert (repository / "params.yaml").exists()
