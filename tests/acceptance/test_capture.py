"""What a submission takes along: limits, secrets, copies, the environment; what it leaves out is told."""

import os
import subprocess
from pathlib import Path

import pytest

from helpers.daemons import BIN, RunningDaemon, a_daemon, rows
from helpers.repositories import a_repository, everything_of, git, write_files


@pytest.mark.parametrize(
    ("config", "files", "limit"),
    [
        ("new_file_bytes_max = 1000\n", {"big.bin": "x" * 1001, "small": "x"}, b"new_file_bytes_max is 1000"),
        ("new_files_bytes_max = 1000\n", {"big.bin": "x" * 600, "b": "x" * 500}, b"new_files_bytes_max is 1000"),
        ("new_files_max = 1\n", {"big.bin": "x" * 2, "b": "x"}, b"new_files_max is 1"),
    ],
)
def test_too_much_that_is_new_is_refused(repository: Path, config: str, files: dict[str, str], limit: bytes) -> None:
    """New files beyond a limit are named with their sizes and read by nobody; ignored ones don't count."""
    with a_daemon(config=config) as daemon:
        write_files(repository, files)
        before = everything_of(repository)
        objects = git(repository, "count-objects", "-v")
        refused = daemon.run_expctl(repository, "submit")
        unchanged = (everything_of(repository), git(repository, "count-objects", "-v")) == (before, objects)
        write_files(repository, {".gitignore": "/model.bin\n/big.bin\n"})
        accepted = daemon.run_expctl(repository, "submit")

    assert (refused.returncode, accepted.returncode) == (6, 0)
    assert limit in refused.stderr
    assert b"big.bin" in refused.stderr
    assert b".gitignore" in refused.stderr
    assert unchanged


def test_new_files_that_look_like_secrets_stay_at_home(daemon: RunningDaemon, repository: Path) -> None:
    """A new `.env` is left out and named, unless --include names it; one that Git tracks is captured as it is."""
    write_files(repository, {"tracked.pem": "known\n"})
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "a key")
    write_files(repository, {".env": "TOKEN=1\n", "conf/id_rsa": "key\n", "conf/note.txt": "note\n"})
    daemon.expctl(repository, "pause")

    plain = daemon.run_expctl(repository, "submit", "-n", "plain")
    named = daemon.run_expctl(repository / "conf", "submit", "-n", "named", "--include", "id_rsa")
    document = daemon.expctl_json(repository, "submit", "--include", "conf")
    refused = daemon.run_expctl(repository, "submit", "--include", "nope")

    trees = {
        str(entry["name"]): set(git(repository, "ls-tree", "-r", "--name-only", str(entry["stash_rev"])).split())
        for entry in daemon.entries(repository)
    }
    assert {"tracked.pem", "conf/note.txt"} <= trees["plain"]
    assert not {".env", "conf/id_rsa"} & trees["plain"]
    assert trees["named"] == trees["plain"] | {"conf/id_rsa"}
    assert plain.stderr.splitlines() == [
        b"left out: .env (looks like a secret; --include takes it)",
        b"left out: conf/id_rsa (looks like a secret; --include takes it)",
    ]
    assert b"conf/id_rsa" not in named.stderr
    assert document["left_out"] == [{"path": ".env", "reason": "secret"}]
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (
        2,
        b"expctl: nope: it is not there, or Git ignores it",
    )


def test_a_nested_repository_is_left_out_and_named(daemon: RunningDaemon, repository: Path) -> None:
    """What has a history of its own can't be captured, and whoever submits is told so."""
    a_repository(repository / "vendor" / "lib", {"x.py": ""})

    submitted = daemon.run_expctl(repository, "submit")

    assert submitted.returncode == 0
    assert submitted.stderr == b"left out: vendor/lib/ (a repository of its own)\n"


def test_copied_paths_are_in_the_run_and_not_in_its_result(daemon: RunningDaemon, repository: Path) -> None:
    """What -C names is there as it was at submit, is the run's own to change, and is committed nowhere."""
    write_files(
        repository, {".gitignore": "/model.bin\n/big\n", "big/deep/a.txt": "as submitted\n", "new.txt": "new\n"}
    )
    write_files(repository, {".env": "TOKEN=1\n", "sub/x": ""})
    (repository / "big" / "tool").write_text("#!/bin/sh\necho the tool runs\n")
    (repository / "big" / "tool").chmod(0o755)
    (repository / "big" / "link").symlink_to("deep/a.txt")
    before = everything_of(repository)
    script = "cat big/link .env new.txt && big/tool && echo changed > big/deep/a.txt && echo made > made.txt"
    arguments = ["-C", "../big", "-C", "../.env", "--copy-paths", "../new.txt", "--", "sh", "-c", f"cd .. && {script}"]

    daemon.expctl(repository, "pause")
    submitted = daemon.run_expctl(repository / "sub", "submit", "-n", "one", *arguments)
    unchanged = everything_of(repository) == before
    daemon.run_expctl(repository / "sub", "submit", "-n", "two", *arguments)
    write_files(repository, {"big/deep/a.txt": "edited since\n"})
    daemon.expctl(repository, "resume")

    assert unchanged
    assert (submitted.returncode, submitted.stderr) == (0, b"")
    for name in ("one", "two"):
        followed = daemon.run_expctl(repository, "follow", name)
        assert (followed.returncode, followed.stdout) == (0, b"as submitted\nTOKEN=1\nnew\nthe tool runs\n")
        revs = daemon.entries(repository, name)[0]
        for rev in (revs["stash_rev"], revs["experiment_rev"]):
            held = git(repository, "ls-tree", "-r", "--name-only", str(rev)).split()
            assert not {"new.txt", ".env", "big/deep/a.txt", "big/tool", "big/link"} & set(held)
    assert "made.txt" in git(repository, "ls-tree", "-r", "--name-only", _rev(daemon, repository)).split()


def test_copied_path_satisfies_a_dependency(daemon: RunningDaemon, repository: Path) -> None:
    """A stage may depend on an ignored file if it is copied along."""
    write_files(repository, {"data.csv": "1\n", ".gitignore": "/model.bin\n/data.csv\n"})
    write_files(repository, {"dvc.yaml": "stages:\n  train:\n    cmd: cat data.csv\n    deps: [data.csv]\n"})

    daemon.expctl(repository, "submit", "-n", "copied", "-C", "data.csv")
    daemon.expctl(repository, "wait", "copied")

    assert "data.csv" not in git(repository, "ls-tree", "-r", "--name-only", _rev(daemon, repository)).split()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nope", b"nope: it can't be copied: No such file"),
        ("..", b"..: it is outside the repository"),
        (".", b".: the workspace and its Git directory"),
        (".git/config", b".git/config: the workspace and its Git directory"),
        ("link/x", b"link/x: it lies behind the link link"),
        ("pipe", b"pipe: it is neither a file nor a directory"),
    ],
)
def test_path_that_can_not_be_copied_is_refused(
    daemon: RunningDaemon, repository: Path, path: str, said: bytes
) -> None:
    """A path that is not there, not inside, or no file at all is named before anything is queued."""
    (repository / "link").symlink_to("/tmp")
    os.mkfifo(repository / "pipe")

    refused = daemon.run_expctl(repository, "submit", "-C", path)

    assert refused.returncode == 2
    assert refused.stderr.startswith(b"expctl: " + said)
    assert daemon.entries(repository) == []


def test_explain_tells_every_fate_and_queues_nothing(daemon: RunningDaemon, repository: Path) -> None:
    """What is changed, new, deleted, copied or left out is listed with its size; no ref is written, nothing is touched."""
    write_files(repository, {"gone.txt": "gone\n", "data.txt": "one\n"})
    subprocess.run([BIN / "dvc", "add", "-q", "data.txt"], cwd=repository, env=daemon.environ, check=True)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "data")
    write_files(repository, {"data.txt": "edited\n", "train.sh": "exit 0\n", "new/file.txt": "new\n", ".env": "T=1\n"})
    write_files(repository, {"model.bin": "ignored\n", "big/a": "12345", "big/b": "67"})
    (repository / "gone.txt").unlink()
    a_repository(repository / "vendor", {"x.py": ""})
    before = {name: value for name, value in everything_of(repository).items() if not name.startswith(".dvc/")}

    printed = daemon.expctl(repository, "submit", "--explain", "-C", "big")
    document = daemon.expctl_json(repository, "submit", "--explain", "--include", ".env")
    refused = daemon.run_expctl(repository, "submit", "--explain", "-C", "nope")

    after = {name: value for name, value in everything_of(repository).items() if not name.startswith(".dvc/")}
    size = (repository / "data.txt.dvc").stat().st_size
    lines = printed.splitlines()
    assert lines[:8] == [
        f"data\tdata.txt.dvc\t{size}",
        "deleted\tgone.txt\t",
        "new\tnew/file.txt\t4",
        "changed\ttrain.sh\t7",
        "copied\tbig\t7",
        "secret\t.env\t4",
        "repository\tvendor/\t",
        "ignored\t.dvc/cache/\t",
    ]
    assert "ignored\tmodel.bin\t8" in lines
    assert {"path": ".env", "fate": "new", "taken": True, "size": 4} in rows(document, "files")
    assert {"path": "model.bin", "fate": "ignored", "taken": False, "size": 8} in rows(document, "files")
    assert refused.returncode == 2
    assert after == before
    assert daemon.entries(repository) == []
    assert git(repository, "for-each-ref", "refs/expd") == ""


def test_environment_is_what_was_asked_for(repository: Path) -> None:
    """--env adds, --no-env leaves the rest of the shell at home, and what the settings deny reaches no run."""
    show = ["--", "sh", "-c", "env | grep -E '^(PATH|HOME|LANG|MY_|NEW)' | cut -d= -f1 | sort; echo $NEW $MY_SEEN"]
    with a_daemon(config='env_deny = ["MY_SECRET*"]\n') as daemon:
        daemon.environ.update({"MY_SECRET_KEY": "1", "MY_SEEN": "seen", "LANG": "C.UTF-8", "HOME": "/"})
        daemon.expctl(repository, "submit", "-n", "all", "--env", "NEW=a b=c", "--env", "MY_SECRET=x", *show)
        daemon.expctl(repository, "submit", "-n", "bare", "--no-env", "--env", "MY_SEEN", "--env", "NEW=", *show)
        refused = daemon.run_expctl(repository, "submit", "--env", "NOT_SET_ANYWHERE")
        everything = daemon.run_expctl(repository, "follow", "all").stdout.decode().split("\n")
        bare = daemon.run_expctl(repository, "follow", "bare").stdout.decode().split("\n")

    assert everything == ["HOME", "LANG", "MY_SEEN", "NEW", "PATH", "a b=c seen", ""]
    assert bare == ["HOME", "LANG", "MY_SEEN", "NEW", "PATH", "seen", ""]
    assert refused.returncode == 2
    assert b"NOT_SET_ANYWHERE" in refused.stderr


def test_a_dependency_the_run_would_lack_is_refused(daemon: RunningDaemon, repository: Path) -> None:
    """What a planned stage reads and the capture does not hold is named at submit, with how to get it in."""
    write_files(repository, {"data.csv": "1\n", ".gitignore": "/model.bin\n/data.csv\n"})
    write_files(repository, {"dvc.yaml": "stages:\n  train:\n    cmd: cat data.csv\n    deps: [data.csv]\n"})

    ignored = daemon.run_expctl(repository, "submit")
    tracked = "outs:\n- {md5: 0123456789abcdef0123456789abcdef, size: 2, hash: md5, path: data.csv}\n"
    write_files(repository, {"data.csv.dvc": tracked})
    (repository / "data.csv").unlink()
    lost = daemon.run_expctl(repository, "submit")

    assert (ignored.returncode, lost.returncode) == (6, 6)
    assert b"data.csv of stage train" in ignored.stderr
    assert b"Git ignores it" in ignored.stderr
    assert b"dvc pull data.csv.dvc" in lost.stderr
    assert daemon.entries(repository) == []


def _rev(daemon: RunningDaemon, repository: Path) -> str:
    return str(daemon.entries(repository)[0]["experiment_rev"])


def test_what_dvc_keeps_to_itself_is_never_captured(daemon: RunningDaemon, repository: Path) -> None:
    """Without `.dvc/.gitignore` DVC's local settings, which may hold passwords, stay at home all the same."""
    (repository / ".dvc" / ".gitignore").unlink()
    write_files(repository, {".dvc/config.local": "['remote \"r\"']\n    password = canary\n"})

    entry = rows(daemon.expctl_json(repository, "submit", "-n", "kept-home"), "entries")[0]
    daemon.expctl(repository, "wait", "kept-home")

    for rev in (str(entry["stash_rev"]), str(daemon.entries(repository)[0]["experiment_rev"])):
        assert "config.local" not in git(repository, "ls-tree", "-r", "--name-only", rev)


def test_lfs_files_are_real_in_the_run_and_pointers_in_its_result(daemon: RunningDaemon, repository: Path) -> None:
    """A run reads what LFS keeps, also edited and not committed; what it makes of such files is committed as pointers."""
    write_files(
        repository, {".gitattributes": "*.bin filter=lfs -text\n*.dat filter=lfs -text\n", "w.dat": "committed\n"}
    )
    write_files(
        repository, {"gone.dat": f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 7\n"}
    )
    script = (
        "cat w.dat; head -n1 gone.dat; echo made > made.dat; echo changed > w.dat; head -c 20000000 /dev/zero > big.dat"
    )

    submitted = daemon.run_expctl(repository, "submit", "-n", "lfs", "--", "sh", "-c", script)
    followed = daemon.run_expctl(repository, "follow", "lfs")

    rev = _rev(daemon, repository)
    held = {name: git(repository, "show", f"{rev}:{name}") for name in ("w.dat", "made.dat", "big.dat")}
    assert b"left out: gone.dat (a Git LFS pointer" in submitted.stderr
    assert followed.stdout.splitlines()[-2:] == [b"committed", b"version https://git-lfs.github.com/spec/v1"]
    assert b"1 files are Git LFS pointers" in followed.stdout
    assert all(text.startswith("version https://git-lfs.github.com/spec/v1\noid sha256:") for text in held.values())
    assert [text.splitlines()[-1] for text in held.values()] == ["size 8", "size 5", "size 20000000"]


def test_metrics_that_git_ignores_are_in_the_experiment(daemon: RunningDaemon, repository: Path) -> None:
    """What dvc.yaml declares without cache is committed whatever .gitignore says: nothing is lost, so nothing is warned of."""
    write_files(repository, {".gitignore": "/model.bin\n*.json\n/eval/\n"})
    stage = "    metrics:\n      - metrics.json: {cache: false}\n    plots:\n      - eval/plot.csv: {cache: false}\n"
    pipeline = f"stages:\n  train:\n    cmd: mkdir -p eval && echo 1 > eval/plot.csv && sh train.sh\n    params: [train.lr]\n{stage}"
    write_files(repository, {"dvc.yaml": pipeline})

    submitted = daemon.run_expctl(repository, "submit", "-n", "ignored")
    daemon.expctl(repository, "wait", "ignored")

    shown = daemon.expctl(repository, "show", "--json")
    assert submitted.stderr == b""
    held = git(repository, "ls-tree", "-r", "--name-only", _rev(daemon, repository)).split()
    assert {"metrics.json", "eval/plot.csv"} <= set(held)
    assert '"acc": 0.1' in shown
