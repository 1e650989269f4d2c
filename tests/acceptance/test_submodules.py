"""Submodules from the shell: what was in them runs, what a run does in them is kept, and the user's are left alone."""

from pathlib import Path

import pytest

from helpers.daemons import RunningDaemon, rows
from helpers.repositories import a_project_with_submodules, everything_of, git, write_files

LOOK = (
    "cat lib/s.txt lib/d/t.txt lib/inner/i.txt lib/new.txt; ls -A lib; "
    "git -C lib rev-parse HEAD; git -C lib status --porcelain; git status --porcelain; git -C lib log --format=%s -1 HEAD~1"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project with a nested submodule, with edits everywhere."""
    path = a_project_with_submodules(tmp_path)
    write_files(path, {"lib/s.txt": "edited\n", "lib/new.txt": "new\n", "lib/inner/i.txt": "edited inside\n"})
    return path


def _experiment(daemon: RunningDaemon, project: Path, name: str) -> str:
    return str(daemon.entries(project, name)[0]["experiment_rev"])


def test_what_submodules_held_is_what_runs(daemon: RunningDaemon, project: Path) -> None:
    """A run finds the files of nested submodules as they were submitted, and Git in them tells the truth."""
    before = everything_of(project)

    daemon.expctl(project, "pause")
    daemon.expctl(project, "submit", "-n", "look", "--", "sh", "-c", LOOK)
    unchanged = everything_of(project) == before
    write_files(project, {"lib/s.txt": "edited since\n", "lib/inner/i.txt": "edited since\n"})
    daemon.expctl(project, "resume")
    followed = daemon.run_expctl(project, "follow", "look")

    assert unchanged
    gitlink = git(project, "rev-parse", f"{_experiment(daemon, project, 'look')}:lib")
    assert followed.stdout.decode().splitlines() == [
        *("edited", "t", "edited inside", "new"),
        *(".git", ".gitignore", ".gitmodules", "d", "inner", "new.txt", "s.txt"),
        gitlink,
        "M  lib",
        "submodule inner",
    ]


def test_what_a_run_does_in_submodules_is_in_its_result(daemon: RunningDaemon, project: Path) -> None:
    """Edits and new files are commits in the submodules' own repositories, which no collection takes; `git status` is as before."""
    script = "echo run > lib/inner/i.txt; echo made > lib/made.txt; echo ignored > lib/x.log; rm lib/d/t.txt"
    head = git(project / "lib", "rev-parse", "HEAD")

    daemon.expctl(project, "submit", "-n", "edits", "--", "sh", "-c", script)
    daemon.expctl(project, "wait", "edits")

    for place in (project / "lib", project / "lib" / "inner"):
        for ref in git(place, "for-each-ref", "--format=%(refname)", "refs/expd/entries").splitlines():
            git(place, "update-ref", "-d", ref)
        git(place, "reflog", "expire", "--expire=now", "--all")
        git(place, "gc", "--quiet", "--prune=now")
    lib = git(project, "rev-parse", f"{_experiment(daemon, project, 'edits')}:lib")
    inner = git(project / "lib", "rev-parse", f"{lib}:inner")
    assert git(project / "lib", "ls-tree", "-r", "--name-only", lib).splitlines() == [
        *(".gitignore", ".gitmodules", "inner", "made.txt", "new.txt", "s.txt")
    ]
    assert git(project / "lib" / "inner", "show", f"{inner}:i.txt") == "run"
    assert git(project / "lib", "rev-parse", f"{lib}~2") == head
    assert (project / "lib" / "s.txt").read_text() == "edited\n"


def test_a_used_worktree_has_submodules_as_fresh(daemon: RunningDaemon, project: Path) -> None:
    """After a run that put a link outside where a submodule was, the next one finds the submodule, and outside nothing new."""
    outside = project.parent / "outside"
    write_files(outside, {"s.txt": "precious\n"})
    script = f"rm -rf lib; ln -s {outside} lib"

    daemon.expctl(project, "submit", "-n", "vandal", "--", "sh", "-c", script)
    daemon.expctl(project, "submit", "-n", "look", "--", "sh", "-c", LOOK)
    followed = daemon.run_expctl(project, "follow", "look")

    assert followed.stdout.decode().splitlines()[:4] == ["edited", "t", "edited inside", "new"]
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"s.txt": "precious\n"}
    listed = git(project, "ls-tree", _experiment(daemon, project, "vandal"), "lib").split()
    assert listed[0] == "120000"


def test_explain_names_submodules_and_their_edits(daemon: RunningDaemon, project: Path) -> None:
    """Each submodule that is taken is listed, and what was edited in it by its path from the top."""
    files = rows(daemon.expctl_json(project, "submit", "--explain"), "files")

    assert {str(file["path"]): file["fate"] for file in files if str(file["path"]).startswith("lib")} == {
        "lib": "submodule",
        "lib/inner": "submodule",
        "lib/inner/i.txt": "changed",
        "lib/new.txt": "new",
        "lib/s.txt": "changed",
    }


def test_a_stage_may_read_what_a_submodule_holds(daemon: RunningDaemon, project: Path) -> None:
    """A dependency in a submodule is found at submit and at run time; parameters there can't be overridden, and are refused."""
    stages = "stages:\n  train:\n    cmd: cat lib/inner/i.txt > model.bin\n    deps: [lib/inner/i.txt, lib/d]\n    outs: [model.bin]\n"
    write_files(project, {"dvc.yaml": stages, "lib/params.yaml": "lr: 1\n"})

    daemon.expctl(project, "submit", "-n", "train")
    daemon.expctl(project, "wait", "train")
    refused = daemon.run_expctl(project, "submit", "-S", "lib/params.yaml:lr=2")

    assert refused.returncode == 2
    assert b"lib/params.yaml lies in the submodule lib" in refused.stderr


def test_a_run_in_the_workspace_has_its_submodules(daemon: RunningDaemon, project: Path) -> None:
    """What is there runs, what the run does there stays, and both are in the result; the submodules' HEAD and index stay."""
    before = [git(place, "rev-parse", "HEAD") for place in (project / "lib", project / "lib" / "inner")]
    staged = git(project / "lib", "ls-files", "--stage")

    ran = daemon.run_expctl(project, "run", "-n", "here", "--", "sh", "-c", "cat lib/s.txt; echo run > lib/inner/i.txt")

    assert (ran.returncode, ran.stdout) == (0, b"edited\n"), ran.stderr
    assert [git(place, "rev-parse", "HEAD") for place in (project / "lib", project / "lib" / "inner")] == before
    assert git(project / "lib", "ls-files", "--stage") == staged
    assert (project / "lib" / "inner" / "i.txt").read_text() == "run\n"
    lib = git(project, "rev-parse", f"{_experiment(daemon, project, 'here')}:lib")
    assert git(project / "lib", "show", f"{lib}:s.txt") == "edited"
    inner = git(project / "lib", "rev-parse", f"{lib}:inner")
    assert git(project / "lib" / "inner", "show", f"{inner}:i.txt") == "run"


def test_a_commit_that_is_run_has_its_submodules(daemon: RunningDaemon, project: Path) -> None:
    """`--from` a stash commit finds what the submodules held then, in checks, held refs and the run, whatever they hold now."""
    stages = "stages:\n  train:\n    cmd: cat lib/inner/i.txt > model.bin\n    deps: [lib/inner/i.txt]\n    outs: [model.bin]\n"
    write_files(project, {"dvc.yaml": stages})
    daemon.expctl(project, "submit", "-n", "first", "--hold")
    (first,) = daemon.entries(project, "first")
    write_files(project, {"lib/inner/i.txt": "edited since\n"})

    daemon.expctl(project, "submit", "-n", "second", "--from", str(first["stash_rev"]))
    daemon.expctl(project, "wait", "second")

    held = git(project / "lib" / "inner", "for-each-ref", "refs/expd/entries").splitlines()
    assert len(held) == 2
    daemon.expctl(project, "get", "second", "model.bin", "-o", str(project.parent / "got"))
    assert (project.parent / "got" / "model.bin").read_text() == "edited inside\n"
