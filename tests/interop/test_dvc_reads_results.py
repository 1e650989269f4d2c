"""What expd leaves is DVC's: the real `dvc` lists, shows, compares, applies, pushes and reproduces it, and the other way."""

import hashlib
import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.daemons import BIN, DEADLINE_SECONDS, Json, RunningDaemon, a_daemon, rows
from helpers.repositories import GIT_ENVIRONMENT, a_repository, git

pytestmark = pytest.mark.interop

PIPELINE = """\
stages:
  prepare:
    cmd: sh prepare.sh
    deps: [prepare.sh, data/raw.txt]
    outs: [data/prepared]
  train:
    cmd: sh train.sh
    deps: [train.sh, data/prepared]
    params: [train.lr]
    outs: [model.bin]
    metrics:
      - metrics.json: {cache: false}
    plots:
      - curve.csv: {x: step, y: loss}
"""
PREPARE = """\
mkdir -p data/prepared/deep
sort data/raw.txt > data/prepared/sorted.txt
wc -l < data/raw.txt > data/prepared/deep/count.txt
"""
TRAIN = """\
lr=$(sed -n 's/^  lr: *\\([0-9.]*\\).*/\\1/p' params.yaml)
cat data/prepared/sorted.txt > model.bin
echo "weights $lr" >> model.bin
printf 'step,loss\\n1,%s\\n2,0\\n' "$lr" > curve.csv
echo "{\\"train\\": {\\"acc\\": $lr}}" > metrics.json
"""
PROJECT = {
    "dvc.yaml": PIPELINE,
    "prepare.sh": PREPARE,
    "train.sh": TRAIN,
    "params.yaml": "train:\n  lr: 0.1  # learning rate\n  seed: 7\n",
    ".gitignore": "/model.bin\n/curve.csv\n/data/prepared\n",
}
EXPERIMENT_REF = re.compile(r"refs/exps/([0-9a-f]{2}/[0-9a-f]{38}/[^/]+|(exec|apply)/[A-Z_]+)")
"""DVC's layout; the second form is what `dvc exp apply` and `dvc exp run` note for themselves."""
UP_TO_DATE = "Data and pipelines are up to date."


@dataclass(frozen=True)
class Scene:
    """A project with remotes of both kinds, a daemon, and experiments that it has run."""

    base: Path
    project: Path
    daemon: RunningDaemon
    environ: dict[str, str]

    def dvc(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run dvc, which must succeed, and give what it printed."""
        result = subprocess.run(
            [BIN / "dvc", *arguments],
            cwd=cwd or self.project,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
        )
        assert result.returncode == 0, f"dvc {' '.join(arguments)}: {result.stdout}{result.stderr}"
        return result.stdout

    def names(self, *arguments: str) -> list[str]:
        """Give the names that `dvc exp list` lists."""
        return self.dvc("exp", "list", "--name-only", *arguments).split()

    def rev(self, name: str) -> str:
        """Give the commit of an experiment of HEAD."""
        head = git(self.project, "rev-parse", "HEAD")
        return git(self.project, "rev-parse", f"refs/exps/{head[:2]}/{head[2:]}/{name}")

    def tidy(self) -> None:
        """Put the workspace back to HEAD after an apply."""
        git(self.project, "reset", "--quiet", "--hard")
        git(self.project, "clean", "--quiet", "-d", "--force")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Give the scene after a sweep of two points and three single experiments; the dvc commands of all tests share it."""
    base = tmp_path_factory.mktemp("scene")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "EXPD_"))},
        **GIT_ENVIRONMENT,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(base / "site"),
        "DVC_GLOBAL_CONFIG_DIR": str(base / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(base / "system"),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    project = a_repository(base / "project", PROJECT)
    with a_daemon(jobs=2) as daemon:
        scene = Scene(base, project, daemon, environ)
        scene.dvc("init", "--quiet")
        (project / "data").mkdir()
        (project / "data" / "raw.txt").write_text("pear\napple\n")
        scene.dvc("add", "--quiet", "data/raw.txt")
        scene.dvc("remote", "add", "--quiet", "-d", "store", str(base / "store"))
        git(project, "add", "--all")
        git(project, "commit", "--quiet", "--message", "project")
        git(base, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
        git(project, "remote", "add", "origin", str(base / "origin.git"))
        git(project, "push", "--quiet", "origin", "main")
        daemon.expctl(project, "submit", "-S", "train.lr=0.2,0.4", "-n", "lr")
        for name in ("to-rename", "to-remove", "to-push"):
            daemon.expctl(project, "submit", "-S", "train.lr=0.3", "-n", name)
        daemon.expctl(project, "wait")
        yield scene


def test_dvc_lists_what_expd_ran(scene: Scene) -> None:
    """Every experiment of the sweep is in `dvc exp list` under its name."""
    assert {"lr-1", "lr-2"} <= set(scene.names())


def test_dvc_shows_parameters_metrics_and_hashes(scene: Scene) -> None:
    """`dvc exp show --json` has the parameters and metrics of the point, and the md5 of what the run really made."""
    document = json.loads(scene.dvc("exp", "show", "--json"))
    head = next(row for row in document if row["rev"] != "workspace")
    data = {row["name"]: row["revs"][0]["data"] for row in head["experiments"]}["lr-2"]
    model = b"apple\npear\nweights 0.4\n"

    assert data["params"]["params.yaml"]["data"] == {"train": {"lr": 0.4, "seed": 7}}
    assert data["metrics"]["metrics.json"]["data"] == {"train": {"acc": 0.4}}
    assert (data["outs"]["model.bin"]["hash"], data["outs"]["model.bin"]["size"]) == (_md5(model), len(model))
    assert data["outs"]["data/prepared"]["hash"] == _directory_md5(
        {"deep/count.txt": b"2\n", "sorted.txt": b"apple\npear\n"}
    )
    assert data["outs"]["data/prepared"]["nfiles"] == 2
    assert data["deps"]["data/raw.txt"]["hash"] == _md5(b"pear\napple\n")


def test_dvc_compares_an_experiment_with_its_baseline(scene: Scene) -> None:
    """`dvc exp diff HEAD NAME` finds the parameter that changed and the metric that is new."""
    difference = json.loads(scene.dvc("exp", "diff", "HEAD", "lr-1", "--json"))

    assert difference["params"]["params.yaml"]["train.lr"] == {"old": 0.1, "new": 0.2, "diff": 0.1}
    assert difference["metrics"]["metrics.json"]["train.acc"]["new"] == 0.2


def test_an_applied_experiment_is_up_to_date(scene: Scene) -> None:
    """After `dvc exp apply` the outputs are there, `dvc status` has nothing to say, and `dvc repro` runs nothing."""
    try:
        scene.dvc("exp", "apply", "lr-1")
        status = scene.dvc("status")
        reproduced = scene.dvc("repro")
        model = (scene.project / "model.bin").read_text()
        curve = (scene.project / "curve.csv").read_text()
    finally:
        scene.tidy()

    assert UP_TO_DATE in status
    assert "Running stage" not in reproduced
    assert model == "apple\npear\nweights 0.2\n"
    assert curve == "step,loss\n1,0.2\n2,0\n"


def test_dvc_makes_a_branch_of_an_experiment(scene: Scene) -> None:
    """`dvc exp branch` gives a branch at the very commit."""
    scene.dvc("exp", "branch", "lr-1", "from-lr-1")

    assert git(scene.project, "rev-parse", "from-lr-1") == scene.rev("lr-1")


def test_an_experiment_travels_through_both_remotes(scene: Scene) -> None:
    """Pushed, and pulled into a fresh clone, an experiment has its commit and its data there: applied, it is up to date."""
    said = scene.dvc("exp", "push", "origin", "to-push")
    uploaded = list((scene.base / "store" / "files" / "md5").glob("*/*"))
    pushed = git(scene.base / "origin.git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps")
    clone = scene.base / "clone"
    git(scene.base, "clone", "--quiet", str(scene.base / "origin.git"), str(clone))

    scene.dvc("exp", "pull", "origin", "to-push", cwd=clone)
    scene.dvc("exp", "apply", "to-push", cwd=clone)

    assert "to-push" in said
    assert len(uploaded) >= 6  # raw.txt, the directory's list and its two files, the model, the curve
    assert pushed.split("/")[0] == f"{scene.rev('to-push')} refs"
    assert pushed.endswith("/to-push")
    assert UP_TO_DATE in scene.dvc("status", cwd=clone)
    assert (clone / "data" / "prepared" / "deep" / "count.txt").read_text() == "2\n"


def test_dvc_renames_an_experiment(scene: Scene) -> None:
    """After `dvc exp rename` DVC and expctl both know the new name, and only that."""
    scene.dvc("exp", "rename", "to-rename", "renamed")

    ours = {str(row["name"]) for row in rows(scene.daemon.expctl_json(scene.project, "show"), "experiments")}
    assert {"renamed"} <= set(scene.names()) & ours
    assert "to-rename" not in ours | set(scene.names())


def test_dvc_removes_an_experiment(scene: Scene) -> None:
    """After `dvc exp remove` neither DVC nor expctl lists it, and its name is free again."""
    scene.dvc("exp", "remove", "to-remove")
    ours = {str(row["name"]) for row in rows(scene.daemon.expctl_json(scene.project, "show"), "experiments")}
    again = scene.daemon.run_expctl(scene.project, "submit", "-S", "train.lr=0.3", "-n", "to-remove")
    scene.daemon.expctl(scene.project, "wait")

    assert "to-remove" not in ours
    assert again.returncode == 0


def test_dvc_runs_the_same_experiment_to_the_same_tree(scene: Scene) -> None:
    """DVC's own run of the same parameters commits the very same tree; expctl lists it and fetches its outputs."""
    scene.dvc("exp", "run", "--quiet", "--force", "--temp", "-S", "train.lr=0.4", "-n", "by-dvc")
    theirs, ours = (git(scene.project, "ls-tree", "-r", scene.rev(name)) for name in ("by-dvc", "lr-2"))
    shown = {str(row["name"]): row for row in rows(scene.daemon.expctl_json(scene.project, "show"), "experiments")}
    scene.daemon.expctl(scene.project, "get", "by-dvc", "-o", str(scene.base / "fetched"))

    assert theirs == ours
    assert (shown["by-dvc"]["params"], shown["by-dvc"]["metrics"]) == ({"train.lr": 0.4}, {"train.acc": 0.4})
    assert (scene.base / "fetched" / "model.bin").read_text() == "apple\npear\nweights 0.4\n"
    assert (scene.base / "fetched" / "data" / "prepared" / "sorted.txt").read_text() == "apple\npear\n"


def test_dvc_takes_what_expd_computed_from_the_run_cache(scene: Scene) -> None:
    """A `dvc repro` of parameters that expd has run restores the stages instead of running them."""
    try:
        (scene.project / "params.yaml").write_text(PROJECT["params.yaml"].replace("0.1", "0.2"))
        said = scene.dvc("repro")
    finally:
        scene.tidy()

    assert "Running stage" not in said
    assert said.count("is cached - skipping run") == 2


def test_queued_entries_are_in_nobodys_way(scene: Scene) -> None:
    """While entries wait, refs/exps holds DVC's layout only, and DVC's commands over all experiments work."""
    scene.daemon.expctl(scene.project, "pause")
    try:
        scene.daemon.expctl(scene.project, "submit", "-S", "train.lr=0.5,0.6", "-n", "waiting")
        refs = git(scene.project, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
        listed = scene.names("-A")
        shown = json.loads(scene.dvc("exp", "show", "-A", "--json"))
    finally:
        scene.daemon.expctl(scene.project, "cancel", "waiting-1", "waiting-2")
        scene.daemon.expctl(scene.project, "resume")

    assert [ref for ref in refs if not EXPERIMENT_REF.fullmatch(ref)] == []
    assert {"lr-1", "lr-2"} <= set(listed)
    assert "waiting-1" not in listed
    assert all(not row.get("error") for row in shown)


def test_git_finds_nothing_wrong(scene: Scene) -> None:
    """`git fsck` is content with every object and ref."""
    assert git(scene.project, "fsck", "--no-dangling", "--strict") == ""


def test_every_object_of_the_cache_is_read_only(scene: Scene) -> None:
    """Each object has mode 0444 and holds what its name says, so that DVC trusts it without reading it again."""
    objects = [path for path in (scene.project / ".dvc" / "cache" / "files" / "md5").rglob("*") if path.is_file()]

    modes = {stat.S_IMODE(path.lstat().st_mode) for path in objects}
    wrong = [path for path in objects if _md5(path.read_bytes()) != (path.parent.name + path.name).removesuffix(".dir")]
    assert len(objects) >= 10
    assert (modes, wrong) == ({0o444}, [])


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _directory_md5(files: dict[str, bytes]) -> str:
    """Hash a directory as DVC does: the JSON list of its files."""
    entries: list[Json] = [{"md5": _md5(data), "relpath": path} for path, data in sorted(files.items())]
    return _md5(json.dumps(entries, sort_keys=True).encode()) + ".dir"
