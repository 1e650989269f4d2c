"""The name of an experiment, the files it commits and the files its table is made from are those of DVC."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from daemon.pipeline.driver import a_project, reproduce
from daemon.pipeline.oracle import write_files
from expd.pipeline.project import exp_hash
from expd.pipeline.results import PathFact, result_files

pytestmark = pytest.mark.interop

FILES: dict[str, str | None] = {
    ".dvc/config": "[core]\n    analytics = false\n",
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    ".dvcignore": "",
    "dvc.yaml": """\
vars: [vars.toml, {inline: 1}]
stages:
  prepare:
    cmd: cat src.txt > prepared
    deps: [src.txt]
    outs: [prepared]
  train:
    cmd: echo '{"acc":0.5,"loss":{"val":1}}' > metrics.json; echo '{"n":1}' > cached.json; printf 'x,y\\n1,2\\n' > p.csv; echo ${size} ${inline} > model
    deps: [prepared]
    params: [lr, nest.a, conf.json: [k], {sub/whole.yaml: null}]
    outs: [model]
    metrics: [metrics.json: {cache: false}, cached.json]
    plots: [p.csv: {cache: false, x: x}]
metrics: [extra.json]
params: [sub/top.yaml]
plots:
- p.csv
- curve: {x: x, y: {extra.csv: y}}
""",
    "vars.toml": "size = 3\nunused = 4\n",
    "src.txt": "s\n",
    "params.yaml": "lr: 0.1\nnest: {a: [1, 2], b: 2}\nother: x\n",
    "conf.json": '{"k": {"z": 1}, "l": 2}',
    "sub/whole.yaml": "a: 1\nb: {c: 2}\n",
    "sub/top.yaml": "t: 1\n",
    "extra.json": '{"e": 1}',
    "extra.csv": "x,y\n1,2\n",
}


def git(root: Path, *words: str) -> str:
    """What a Git command says."""
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    return subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True, text=True).stdout


def dvc(root: Path, *words: str) -> str:
    """What a command of DVC says."""
    home = root.parent / "home"
    environ = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(home),
        "DVC_GLOBAL_CONFIG_DIR": str(home),
        "DVC_SYSTEM_CONFIG_DIR": str(home),
        "GIT_AUTHOR_NAME": "n",
        "GIT_AUTHOR_EMAIL": "e@example.org",
        "GIT_COMMITTER_NAME": "n",
        "GIT_COMMITTER_EMAIL": "e@example.org",
    }
    command = [str(Path(sys.executable).with_name("dvc")), *words]
    done = subprocess.run(command, cwd=root, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same project twice: in the first DVC has run an experiment, the second is as it was before.

    One stage runs in it; the other was reproduced before, but dvc.lock was taken back, so it is restored.
    """
    base = tmp_path_factory.mktemp("results")
    theirs, ours = base / "theirs", base / "ours"
    write_files(theirs, FILES)
    git(theirs, "init", "-q", ".")
    git(theirs, "config", "user.name", "n")
    git(theirs, "config", "user.email", "e@example.org")
    reproduce(theirs, ("prepare",))
    (theirs / "dvc.lock").unlink()
    git(theirs, "add", ".")
    git(theirs, "commit", "-q", "-m", "start")
    shutil.copytree(theirs, ours, symlinks=True)
    dvc(theirs, "exp", "run", "-n", "named", "-S", "lr=0.2")
    (ours / "params.yaml").write_bytes((theirs / "params.yaml").read_bytes())
    return theirs, ours


def test_an_experiment_has_the_hash_that_dvc_gives_it(twins: tuple[Path, Path]) -> None:
    """The hash is over every stage that was not skipped: those restored from the cache count like those that ran."""
    theirs, ours = twins
    done = reproduce(ours)
    assert [word for word, _ in done.steps] == ["restored", "ran"]
    ref = git(theirs, "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/named").strip()
    message = git(theirs, "log", "-1", "--format=%B", ref).strip()
    assert message == f"dvc: commit experiment {exp_hash(done.records)}"


def test_an_experiment_commits_the_paths_that_dvc_commits(twins: tuple[Path, Path]) -> None:
    """What differs from the baseline in DVC's commit is among the tracked paths of the stages, and has the same bytes."""
    theirs, ours = twins
    done = reproduce(ours, ("-f",))
    ref = git(theirs, "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/named").strip()
    committed = set(git(theirs, "diff", "--name-only", "HEAD", ref).split()) - {".gitignore", ".dvc/tmp/repro.dat"}
    tracked = {path for record in done.records for path in record.tracked_paths}
    assert committed <= tracked
    for path in committed:
        assert (ours / path).read_text() == git(theirs, "show", f"{ref}:{path}")


def test_the_table_is_made_from_the_files_dvc_makes_it_from(twins: tuple[Path, Path]) -> None:
    """Parameters, metrics, interpolated values, dependencies and outputs are those of `dvc exp show`."""
    theirs, ours = twins
    reproduce(ours)
    results = a_project(ours).interesting_files()
    shown = json.loads(dvc(theirs, "exp", "show", "--json"))[0]["data"]
    assert {file.path for file in results.params} | {"params.yaml"} | results.variables.keys() == shown["params"].keys()
    assert results.variables["vars.toml"] == shown["params"]["vars.toml"]["data"]
    assert {file.path for file in results.metrics} == shown["metrics"].keys()
    assert hashes(results.deps) == {path: fact["hash"] for path, fact in shown["deps"].items()}
    outs = [fact for fact in results.outs if fact.kind == "out"]
    assert hashes(outs) == {path: fact["hash"] for path, fact in shown["outs"].items()}
    assert {fact.path: fact.cached for fact in outs} == {
        path: fact["use_cache"] for path, fact in shown["outs"].items()
    }


def hashes(facts: Iterable[PathFact]) -> dict[str, str | None]:
    """The hash of each path."""
    return {fact.path: fact.fingerprint.md5 if fact.fingerprint else None for fact in facts}


def test_the_table_needs_no_worktree(twins: tuple[Path, Path]) -> None:
    """From the two texts alone, and a reader for what they interpolate, the same files come out."""
    _, ours = twins
    reproduce(ours)

    def read(path: str) -> str | None:
        file = ours / path
        return file.read_text() if file.is_file() else None

    found = result_files((ours / "dvc.yaml").read_text(), (ours / "dvc.lock").read_text(), read=read)
    assert found == a_project(ours).interesting_files()
