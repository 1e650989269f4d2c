"""`expctl submit`: frozen, queued, acknowledged; refused with a reason, and nothing changed."""

import subprocess
from pathlib import Path

import pytest

from helpers.daemons import BIN, RunningDaemon, rows
from helpers.repositories import everything_of, git, write_files


def test_submit_prints_id_name_and_state(daemon: RunningDaemon, repository: Path) -> None:
    """A submission is answered with one line an entry: id, name, state."""
    printed = daemon.expctl(repository, "submit", "-S", "train.lr=0.2", "-n", "tuned")

    assert printed.split("\t")[:3] == ["1", "tuned", "queued"]


def test_sweep_makes_an_entry_a_point(daemon: RunningDaemon, repository: Path) -> None:
    """A comma list is one submission of as many entries, named and overridden each."""
    document = daemon.expctl_json(repository, "submit", "-S", "train.lr=0.1,0.2,0.4", "-n", "lr")

    entries = rows(document, "entries")
    assert [(entry["name"], entry["params"]) for entry in entries] == [
        ("lr-1", {"train.lr": 0.1}),
        ("lr-2", {"train.lr": 0.2}),
        ("lr-3", {"train.lr": 0.4}),
    ]


def test_submit_leaves_workspace_and_git_untouched(daemon: RunningDaemon, repository: Path) -> None:
    """Not a byte, mode, mtime or inode of the workspace, the index, HEAD, a reflog or the stash changes."""
    write_files(repository, {"train.sh": "echo edited\n", "new.txt": "new\n", "staged.txt": "staged\n"})
    git(repository, "add", "staged.txt")
    (repository / ".gitignore").unlink()
    before = everything_of(repository)

    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "submit", "-S", "train.lr=0.3,0.4")

    assert everything_of(repository) == before


def test_stash_commit_applies_in_a_clean_clone(daemon: RunningDaemon, repository: Path, tmp_path: Path) -> None:
    """What was captured is an ordinary stash: `git stash apply` brings edits, new files and deletions back."""
    write_files(repository, {"train.sh": "echo edited\n", "sub/new.txt": "new\n", "staged.txt": "staged\n"})
    git(repository, "add", "staged.txt")
    write_files(repository, {"staged.txt": "staged, then edited\n"})
    (repository / ".dvc" / "config").unlink()
    (repository / "train.sh").chmod(0o755)
    daemon.expctl(repository, "pause")
    entry = rows(daemon.expctl_json(repository, "submit", "-S", "train.lr=0.3"), "entries")[0]

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    git(clone, "fetch", "--quiet", "origin", "refs/expd/entries/*:refs/fetched/*")
    git(clone, "stash", "apply", str(entry["stash_rev"]))

    assert (clone / "train.sh").read_text() == "echo edited\n"
    assert (clone / "train.sh").stat().st_mode & 0o111
    assert (clone / "sub" / "new.txt").read_text() == "new\n"
    assert (clone / "staged.txt").read_text() == "staged, then edited\n"
    assert not (clone / ".dvc" / "config").exists()
    assert "  lr: 0.3   # learning rate" in (clone / "params.yaml").read_text()


def test_garbage_collection_does_not_take_what_is_queued(daemon: RunningDaemon, repository: Path) -> None:
    """A queued entry survives `git gc --prune=now` with every reflog expired, and runs."""
    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "submit", "-S", "train.lr=0.3,0.4", "-n", "kept")

    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "--quiet", "--prune=now")
    daemon.expctl(repository, "resume")

    daemon.expctl(repository, "wait")


def test_override_changes_one_line_of_the_parameter_file(daemon: RunningDaemon, repository: Path) -> None:
    """Comments, quotes and the other lines of params.yaml stay as they are."""
    daemon.expctl(repository, "pause")
    entry = rows(daemon.expctl_json(repository, "submit", "-S", "train.lr=0.25"), "entries")[0]

    diff = git(repository, "diff", "--unified=0", "HEAD", str(entry["stash_rev"]), "--", "params.yaml")

    changed = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
    assert changed == ["-  lr: 0.1   # learning rate", "+  lr: 0.25   # learning rate"]


def test_the_submitted_state_runs_not_the_present_one(daemon: RunningDaemon, repository: Path) -> None:
    """Edits made after the submission do not reach the run."""
    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "submit", "-n", "before")
    write_files(repository, {"train.sh": "exit 9\n"})
    daemon.expctl(repository, "resume")

    assert b"training with 0.1" in daemon.run_expctl(repository, "follow", "before").stdout


def test_new_unignored_files_are_part_of_the_run(daemon: RunningDaemon, repository: Path) -> None:
    """A file Git does not track yet, but would not ignore, is there when the stage runs, and in the result."""
    write_files(
        repository,
        {
            "helper.sh": "echo from the helper\n",
            "train.sh": "sh helper.sh; echo 1 > model.bin; echo '{}' > metrics.json\n",
        },
    )

    daemon.expctl(repository, "submit", "-n", "with-helper")

    assert b"from the helper" in daemon.run_expctl(repository, "follow", "with-helper").stdout
    assert git(repository, "show", f"{_rev(daemon, repository)}:helper.sh") == "echo from the helper"


def test_environment_of_the_submitter_reaches_the_run(daemon: RunningDaemon, repository: Path) -> None:
    """A run has the submitter's variables, the four of DVC, and no buffering."""
    names = "MY_TOKEN DVC_ROOT DVC_STAGE DVC_EXP_NAME DVC_EXP_BASELINE_REV PYTHONUNBUFFERED"
    daemon.environ["MY_TOKEN"] = "from the shell"

    daemon.expctl(
        repository, "submit", "-n", "seen", "--", "sh", "-c", f"for n in {names}; do eval echo $n=\\$$n; done"
    )
    printed = daemon.run_expctl(repository, "follow", "seen").stdout.decode().splitlines()

    assert printed == [
        "MY_TOKEN=from the shell",
        f"DVC_ROOT={repository}",
        "DVC_STAGE=command",
        "DVC_EXP_NAME=seen",
        f"DVC_EXP_BASELINE_REV={git(repository, 'rev-parse', 'HEAD')}",
        "PYTHONUNBUFFERED=1",
    ]


def test_a_command_runs_without_a_pipeline(daemon: RunningDaemon, repository: Path) -> None:
    """After `--` a command is the pipeline of one stage: its new files and metrics are the result."""
    (repository / "dvc.yaml").unlink()
    script = "echo made > made.txt; echo '{\"acc\": 0.5}' > metrics.json; echo ignored > model.bin"

    daemon.expctl(repository, "submit", "-n", "plain", "--", "sh", "-c", script)
    daemon.expctl(repository, "wait", "plain")

    shown = daemon.expctl_json(repository, "show", "plain")
    assert shown["metrics"] == {"acc": 0.5}
    assert {str(output["path"]) for output in rows(shown, "outputs")} >= {"made.txt", "metrics.json"}
    assert "model.bin" not in git(repository, "ls-tree", "-r", "--name-only", str(shown["rev"]))


def test_names_are_reserved_at_submit(daemon: RunningDaemon, repository: Path) -> None:
    """A name that a queued entry or an experiment of the baseline has is refused; another baseline's is free."""
    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "submit", "-n", "mine")
    queued = daemon.run_expctl(repository, "submit", "-n", "mine")
    daemon.expctl(repository, "resume")
    daemon.expctl(repository, "wait")
    finished = daemon.run_expctl(repository, "submit", "-n", "mine")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "next")
    elsewhere = daemon.run_expctl(repository, "submit", "-n", "mine")

    assert (queued.returncode, finished.returncode, elsewhere.returncode) == (5, 5, 0)
    assert len(git(repository, "for-each-ref", "refs/expd/entries").splitlines()) == 2
    assert b"mine" in queued.stderr
    assert b"--force" in finished.stderr


def test_force_replaces_an_experiment_of_that_name(daemon: RunningDaemon, repository: Path) -> None:
    """With --force the new result takes the name."""
    daemon.expctl(repository, "submit", "-n", "mine")
    daemon.expctl(repository, "wait")

    daemon.expctl(repository, "submit", "-S", "train.lr=0.7", "-n", "mine", "--force")
    daemon.expctl(repository, "wait")

    assert rows(daemon.expctl_json(repository, "show"), "experiments")[0]["metrics"] == {"acc": 0.7}


@pytest.mark.parametrize(
    ("arguments", "said", "exit_code"),
    [
        (["-S", "train.nope=1"], b"train.nope", 2),
        (["-S", "nope.yaml:a=1"], b"nope.yaml", 2),
        (["-S", "=1"], b"=1", 2),
        (["-n", "../evil"], b"../evil", 2),
        (["--name=-x"], b"-x", 2),
        (["-n", "a/b"], b"a/b", 2),
    ],
)
def test_bad_input_is_refused_and_nothing_is_queued(
    daemon: RunningDaemon, repository: Path, arguments: list[str], said: bytes, exit_code: int
) -> None:
    """An override or name that can't be used is named in the error, and the queue stays empty."""
    result = daemon.run_expctl(repository, "submit", *arguments)

    assert result.returncode == exit_code
    assert said in result.stderr
    assert daemon.entries(repository) == []


def test_submit_outside_a_repository_is_refused(daemon: RunningDaemon, tmp_path: Path) -> None:
    """Without a Git repository there is nothing to freeze, and the error says so."""
    result = daemon.run_expctl(tmp_path, "submit")

    assert result.returncode != 0
    assert b"Git repository" in result.stderr


def test_submit_without_a_commit_is_refused(daemon: RunningDaemon, tmp_path: Path) -> None:
    """A repository without a commit has no baseline; the error says what to do."""
    git(tmp_path, "init", "--quiet", "unborn")
    write_files(tmp_path / "unborn", {"dvc.yaml": "stages: {}\n"})

    result = daemon.run_expctl(tmp_path / "unborn", "submit")

    assert result.returncode == 6
    assert b"commit" in result.stderr


def test_submit_amid_a_merge_is_refused(daemon: RunningDaemon, repository: Path) -> None:
    """In the middle of a merge with conflicts nothing is captured, and the error names the merge."""
    git(repository, "checkout", "--quiet", "-b", "other")
    write_files(repository, {"train.sh": "other\n"})
    git(repository, "commit", "--quiet", "--all", "--message", "other")
    git(repository, "checkout", "--quiet", "main")
    write_files(repository, {"train.sh": "ours\n"})
    git(repository, "commit", "--quiet", "--all", "--message", "ours")
    with pytest.raises(AssertionError):
        git(repository, "merge", "other")

    result = daemon.run_expctl(repository, "submit")

    assert result.returncode == 6
    assert b"merge" in result.stderr


def test_submit_without_pipeline_or_command_is_refused(daemon: RunningDaemon, repository: Path) -> None:
    """Without dvc.yaml and command there is nothing to run; the error offers both."""
    (repository / "dvc.yaml").unlink()

    result = daemon.run_expctl(repository, "submit")

    assert result.returncode != 0
    assert b"dvc.yaml" in result.stderr


def test_a_broken_pipeline_is_refused_at_submit(daemon: RunningDaemon, repository: Path) -> None:
    """A fault in dvc.yaml is told with its file and line when it is submitted, not when it runs."""
    write_files(repository, {"dvc.yaml": "stages:\n  train:\n    cmd: true\n    dpes: [train.sh]\n"})

    result = daemon.run_expctl(repository, "submit")

    assert result.returncode != 0
    assert b"dvc.yaml" in result.stderr
    assert b"dpes" in result.stderr
    assert daemon.entries(repository) == []


def test_a_linked_parameter_file_is_read_where_it_leads(daemon: RunningDaemon, repository: Path) -> None:
    """A params.yaml that is a link within the repository is checked and overridden as the file behind it."""
    (repository / "params.yaml").rename(repository / "real.yaml")
    (repository / "params.yaml").symlink_to("real.yaml")

    daemon.expctl(repository, "submit", "-S", "train.lr=0.6", "-n", "linked")

    assert b"training with 0.6" in daemon.run_expctl(repository, "follow", "linked").stdout


def test_only_the_named_stage_and_its_producers_run(daemon: RunningDaemon, repository: Path) -> None:
    """A stage named at submit is the target; one that does not exist is refused with those that do."""
    stages = "stages:\n  a: {cmd: echo a > a.txt, outs: [a.txt]}\n  b: {cmd: echo b > b.txt, outs: [b.txt]}\n"
    write_files(repository, {"dvc.yaml": stages})

    daemon.expctl(repository, "submit", "-n", "only-a", "a")
    printed = daemon.run_expctl(repository, "follow", "only-a").stdout
    refused = daemon.run_expctl(repository, "submit", "nope")

    assert b"stage 'a'" in printed
    assert b"stage 'b'" not in printed
    assert refused.returncode != 0
    assert b"nope" in refused.stderr


def _rev(daemon: RunningDaemon, repository: Path) -> str:
    return str(daemon.entries(repository)[0]["experiment_rev"])


def test_edited_tracked_data_is_what_runs(daemon: RunningDaemon, repository: Path) -> None:
    """Data under a .dvc file that was edited runs as it is in the workspace, whose own .dvc file stays as it was."""
    write_files(
        repository, {"data.txt": "one\n", "train.sh": "cat data.txt; echo 1 > model.bin; echo '{}' > metrics.json\n"}
    )
    subprocess.run([BIN / "dvc", "add", "-q", "data.txt"], cwd=repository, env=daemon.environ, check=True)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "data")
    write_files(repository, {"data.txt": "two, and longer\n"})
    before = everything_of(repository)

    daemon.expctl(repository, "submit", "-n", "edited")
    printed = daemon.run_expctl(repository, "follow", "edited").stdout
    after = everything_of(repository)

    cached = [name for name in after if name.startswith(".dvc/cache") and name not in before]
    assert b"two, and longer\n" in printed
    assert {name: after[name] for name in before if not name.startswith(".git/")} == {
        name: value for name, value in before.items() if not name.startswith(".git/")
    }
    assert len(cached) >= 2
    assert git(repository, "diff", "--name-only", "HEAD", _rev(daemon, repository)).splitlines() == [
        "data.txt.dvc",
        "dvc.lock",
        "metrics.json",
    ]
