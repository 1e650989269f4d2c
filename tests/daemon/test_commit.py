"""What a run left becomes a commit by Git's rules: `git add -u` for a pipeline, every new file for a plain command."""

import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.worktrees import check_out
from expd.collect.commit import GIT_FILE_BYTES_MAX, CommitOrder, Harvest, command_message, commit_experiment
from expd.execute.manifest import Manifest
from expd.execute.worktree import make_slot, new_files, tracked_changes
from expd.gitio.repository import Repository
from expd.gitio.slot import Slot, lay_git_directory
from expd.pipeline.cache import Cache
from expproto.vocabulary import Rev
from helpers.daemons import BIN
from helpers.repositories import GIT_ENVIRONMENT, a_repository, git

FILES = {
    ".gitattributes": "*.crlf text eol=crlf\n",
    ".gitignore": "*.tmp\n/out/\n",
    ".dvc/config": "",
    "text.crlf": "a\nb\n",
    "run.sh": "#!/bin/sh\n",
    "sub/file": "file\n",
    "sub/other": "other\n",
}


@dataclass(frozen=True)
class Scene:
    """A project, and a worktree in which HEAD is checked out."""

    project: Path
    worktree: Path
    manifest: Manifest
    head: Rev

    def job(self, script: str) -> None:
        """Do what a run does."""
        subprocess.run(["sh", "-ec", script], cwd=self.worktree, check=True)

    def commit(self, made: list[str] | None = None, *, by_size: bool = False, stash: Rev | None = None) -> Rev:
        """Commit what is there: with `made`, or with every new file."""
        slot = Slot(self.worktree, Repository(self.project / ".git"))
        changes = tracked_changes(self.worktree, self.manifest)
        if made is None:
            made = new_files(self.worktree, self.manifest, slot.is_ignored)
        return commit_experiment(
            self.worktree,
            Repository(self.project / ".git"),
            Harvest(touched=changes.touched, deleted=changes.deleted, made=made, cached_by_size=by_size),
            CommitOrder(
                baseline_rev=self.head,
                stash_tree=Repository(self.project / ".git").tree_of(stash or self.head),
                message="tried",
                at=1_000_000_000.0,
            ),
            Cache(self.project / ".dvc" / "cache"),
        )

    def files(self, rev: Rev) -> set[str]:
        """List the files of a commit."""
        return set(git(self.project, "ls-tree", "-r", "--name-only", rev).splitlines())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Give a project and a worktree of it."""
    project = a_repository(tmp_path / "project", FILES)
    (project / "link").symlink_to("run.sh")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "link")
    return _laid(project, tmp_path / "slot")


def _laid(project: Path, worktree: Path) -> Scene:
    repository = Repository(project / ".git")
    head = repository.head_rev()
    assert head is not None
    make_slot(worktree)
    lay_git_directory(worktree, Repository(project / ".git"), head)
    slot = Slot(worktree, Repository(project / ".git"))
    tree = repository.tree_of(head)
    manifest = check_out(worktree, repository.files_of(tree), lambda file, path: slot.content_of(file, path, head))
    slot.write_index(tree)
    return Scene(project, worktree, manifest, head)


JOBS = {
    "nothing": "true",
    "edits": "echo changed > sub/file; printf 'c\\r\\nd\\r\\n' > text.crlf",
    "a touched file": "touch sub/file text.crlf",
    "deletions": "rm run.sh; rm -r sub",
    "modes": "chmod +x run.sh sub/file",
    "a link that leads elsewhere": "ln -sfn sub/file link",
    "a link for a file": "rm run.sh; ln -s sub/file run.sh",
    "a file for a link": "rm link; echo file > link",
    "a directory for a file": "rm run.sh; mkdir run.sh; echo inside > run.sh/inside",
    "a file for a directory": "rm -r sub; echo file > sub",
    "a link for a directory": "mv sub $(mktemp -u -d -p ..); ln -s .. sub",
    "new files": "mkdir -p new/deep; echo a > new/deep/a; echo b > b; ln -s b link-to-b; echo '#!/bin/sh' > c; chmod +x c",
    "ignored files": "echo a > a.tmp; mkdir out new; echo b > out/b; echo c > new/c.tmp; echo d > new/d",
    "its own rules": "echo '*.log' >> .gitignore; echo a > a.log; mkdir own; echo '*' > own/.gitignore; echo a > own/a",
    "new text with line endings": "printf 'x\\r\\ny\\r\\n' > new.crlf",
    "its own attributes": "echo '*.txt text eol=lf' >> .gitattributes; printf 'x\\r\\ny\\r\\n' > new.txt",
    "sizes around the one up to which a file is read whole": "for n in 0 1 1048576 1048577; do head -c $n /dev/zero > $n; done",
    "an empty directory": "mkdir empty",
    "a pipe and a socket": "mkfifo pipe",
}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("option", ["--update", "--all"])
def test_a_commit_has_the_tree_that_git_add_makes(scene: Scene, tmp_path: Path, job: str, option: str) -> None:
    """A pipeline's tracked files are those of `git add -u`, a command's result is that of `git add -A`, byte for byte."""
    git(tmp_path, "clone", "--quiet", str(scene.project), "clone")
    subprocess.run(["sh", "-ec", JOBS[job]], cwd=tmp_path / "clone", check=True)
    git(tmp_path / "clone", "add", option)
    git(tmp_path / "clone", "commit", "--quiet", "--allow-empty", "--message", "theirs")

    scene.job(JOBS[job])
    rev = scene.commit([] if option == "--update" else None)

    assert git(scene.project, "ls-tree", "-r", rev) == git(tmp_path / "clone", "ls-tree", "-r", "HEAD")


def test_what_is_there_already_is_not_written_again(scene: Scene) -> None:
    """A file that was only touched is the blob it was: of such a run nothing is new but its commit."""
    before = _objects(scene.project)
    scene.job("touch sub/file run.sh")

    rev = scene.commit(["sub/file"])

    assert _objects(scene.project) - before == {rev}


def test_small_results_and_their_commit_are_written_together(scene: Scene) -> None:
    """Many small files are one pack with the trees and the commit, and not a file with two waits for the disk each."""
    scene.job("for n in $(seq 20); do echo $n > made$n; done")

    rev = scene.commit()

    assert len(list((scene.project / ".git/objects/pack").glob("*.pack"))) == 1
    assert rev not in _loose(scene.project)
    assert git(scene.project, "show", f"{rev}:made7") == "7"


def _loose(project: Path) -> set[str]:
    return {f"{file.parent.name}{file.name}" for file in (project / ".git/objects").glob("??/*")}


def _objects(project: Path) -> set[str]:
    """List every object, whatever refers to it."""
    return set(git(project, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split())


def test_what_a_stage_declares_is_committed_though_it_is_new(scene: Scene) -> None:
    """Declared files and directories are in the commit, also an ignored file that is named itself; others are not."""
    scene.job(
        "mkdir -p metrics/deep out; echo 1 > metrics/a.json; echo 2 > metrics/deep/b.json; echo 3 > metrics/c.tmp"
    )
    scene.job("echo 4 > out/plot.csv; echo 5 > other; ln -s nowhere dangling")

    rev = scene.commit(["metrics", "out/plot.csv", "nonexistent", "dangling", "metrics"])

    assert scene.files(rev) - scene.files(scene.head) == {
        "metrics/a.json",
        "metrics/deep/b.json",
        "out/plot.csv",
        "dangling",
    }


def test_what_the_submission_changed_is_in_the_commit(scene: Scene) -> None:
    """The commit stands on the stash commit's tree: what was captured, and no stage touched, is part of the experiment."""
    (scene.project / "captured").write_text("captured\n")
    git(scene.project, "add", "captured")
    git(scene.project, "commit", "--quiet", "--message", "stash")
    stash = Rev(git(scene.project, "rev-parse", "HEAD"))
    git(scene.project, "reset", "--quiet", "--hard", "HEAD~1")

    rev = scene.commit([], stash=stash)

    assert git(scene.project, "show", f"{rev}:captured") == "captured"
    assert git(scene.project, "log", "-1", "--format=%P", rev) == scene.head


def test_the_same_harvest_is_the_same_commit(scene: Scene) -> None:
    """Committed again, as after a disturbance, what a run left is the very same commit."""
    scene.job("echo new > new")

    assert scene.commit() == scene.commit()


@pytest.mark.parametrize(
    "place", [".dvc/cache/files/md5/ab/cdef", ".dvc/tmp/lock", ".dvc/config.local", "sub/.dvc/cache/x"]
)
def test_what_is_private_to_dvc_is_no_result(scene: Scene, place: str) -> None:
    """Without a .dvc/.gitignore too, the cache, the temporary files and the local settings stay out."""
    scene.job(f"mkdir -p $(dirname {place}); echo secret > {place}; echo new > .dvc/plots.json")

    rev = scene.commit(None, by_size=True)

    assert scene.files(rev) - scene.files(scene.head) == {".dvc/plots.json"}


def test_what_was_captured_of_dvcs_private_files_is_no_result(scene: Scene) -> None:
    """What the capture took in because nothing ignored it, is not in the experiment; what the baseline tracks stays."""
    for path in (".dvc/cache/ab/cd", ".dvc/config.local"):
        (scene.project / path).parent.mkdir(parents=True, exist_ok=True)
        (scene.project / path).write_text("secret\n")
    git(scene.project, "add", "--all")
    git(scene.project, "commit", "--quiet", "--message", "stash")
    stash = Rev(git(scene.project, "rev-parse", "HEAD"))

    assert scene.files(scene.commit([], stash=stash)) == scene.files(scene.head)


@pytest.mark.interop
def test_a_large_file_of_a_command_goes_to_the_cache(tmp_path: Path) -> None:
    """One byte above the limit, a file is a .dvc file as `dvc add` writes it, and `dvc checkout` brings it back."""
    project = a_repository(tmp_path / "project", FILES)
    scene = _laid(project, tmp_path / "slot")
    scene.job(
        f'head -c {GIT_FILE_BYTES_MAX} /dev/zero > at-limit; mkdir data; cp at-limit "data/it\'s big"; chmod +x data/*'
    )
    with (scene.worktree / "data" / "it's big").open("ab") as file:
        file.write(b"x")

    rev = scene.commit(None, by_size=True)

    git(project, "checkout", "--quiet", rev)
    _dvc(project, "checkout")
    restored = (project / "data" / "it's big").stat()
    ours = (project / "data" / "it's big.dvc").read_text()
    _dvc(project, "add", "data/it's big")
    (stored,) = [path for path in (project / ".dvc" / "cache").rglob("*") if path.is_file()]
    assert scene.files(rev) - scene.files(scene.head) == {"at-limit", "data/it's big.dvc"}
    assert (restored.st_size, restored.st_mode & 0o100) == (GIT_FILE_BYTES_MAX + 1, 0o100)
    assert _parsed(ours) == _parsed((project / "data" / "it's big.dvc").read_text())
    assert stat.S_IMODE(stored.stat().st_mode) == 0o444


def _dvc(project: Path, *arguments: str) -> None:
    environ = {
        **os.environ,
        **GIT_ENVIRONMENT,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(project.parent / "site"),
    }
    done = subprocess.run([BIN / "dvc", *arguments], cwd=project, env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def _parsed(text: str) -> list[str]:
    """Give the lines of a .dvc file without their quotes, which YAML leaves to its writer."""
    return sorted(line.replace("''", "'").replace(": '", ": ").removesuffix("'") for line in text.splitlines())


def test_the_message_of_a_command_can_be_typed_again() -> None:
    """The default message quotes the command as a shell would need it."""
    assert command_message(["sh", "-c", "echo a b", ""]) == "expd: sh -c 'echo a b' ''"
