"""A pipeline in expd.toml, in a repository that has never seen DVC, runs as the same one in dvc.yaml would."""

from pathlib import Path

from helpers.daemons import RunningDaemon, rows
from helpers.repositories import a_repository, git, write_files

YAML = """\
stages:
  prepare:
    cmd: sort raw.txt > data.txt
    deps: [raw.txt]
    outs: [data.txt]
  train:
    foreach: [s, m]
    do:
      cmd: cat data.txt > model-${item} && echo ${lr} >> model-${item}
      deps: [data.txt]
      params: [lr]
      outs: ['model-${item}']
  test:
    cmd: 'echo "{\\"acc\\": ${lr}}" > metrics.json'
    deps: [model-s, model-m]
    metrics: [metrics.json: {cache: false}]
"""
TOML = """\
[pipeline.stages.prepare]
cmd = "sort raw.txt > data.txt"
deps = ["raw.txt"]
outs = ["data.txt"]

[pipeline.stages.train]
foreach = ["s", "m"]
do.cmd = "cat data.txt > model-${item} && echo ${lr} >> model-${item}"
do.deps = ["data.txt"]
do.params = ["lr"]
do.outs = ["model-${item}"]

[pipeline.stages.test]
cmd = 'echo "{\\"acc\\": ${lr}}" > metrics.json'
deps = ["model-s", "model-m"]
metrics = [{ "metrics.json" = { cache = false } }]
"""
FILES = {"params.yaml": "lr: 0.1\n", "raw.txt": "b\na\n"}


def _run(daemon: RunningDaemon, repository: Path, name: str, *options: str) -> str:
    """Run an experiment to its end, and give its rev."""
    daemon.expctl(repository, "submit", "-n", name, *options)
    daemon.expctl(repository, "wait", "--all")
    (entry,) = daemon.entries(repository, name)
    assert entry["outcome"] == "succeeded", daemon.expctl(repository, "follow", name)
    return str(entry["experiment_rev"])


def test_a_pipeline_in_expd_toml_runs_like_one_in_dvc_yaml(daemon: RunningDaemon, tmp_path: Path) -> None:
    """The same dvc.lock, byte for byte; metrics in the table, outputs out of the cache, nothing twice."""
    toml = a_repository(tmp_path / "toml", {**FILES, "expd.toml": TOML, "sub/x": ""})
    yaml = a_repository(tmp_path / "yaml", {**FILES, "dvc.yaml": YAML})
    one, other = _run(daemon, toml, "one", "-S", "lr=0.2"), _run(daemon, yaml, "other", "-S", "lr=0.2")
    _run(daemon, toml, "again", "-S", "lr=0.2")
    below = _run(daemon, toml / "sub", "below", "--force")
    _run(daemon, toml, "single", "prepare")
    (shown,) = [row for row in rows(daemon.expctl_json(toml, "show"), "experiments") if row["name"] == "one"]
    daemon.expctl(toml, "get", "one", "model-s", "data.txt", "-o", str(tmp_path / "got"))

    assert git(toml, "show", f"{one}:dvc.lock") == git(yaml, "show", f"{other}:dvc.lock")
    assert git(toml, "ls-tree", "-r", "--name-only", one).split() == [
        "dvc.lock",
        "expd.toml",
        "metrics.json",
        "params.yaml",
        "raw.txt",
        "sub/x",
    ]
    assert shown["metrics"] == {"acc": 0.2}
    assert (tmp_path / "got" / "model-s").read_text() == "a\nb\n0.2\n"
    assert "Running" not in daemon.expctl(toml, "follow", "again")
    assert "Running stage 'train@m'" in daemon.expctl(toml, "follow", "below")
    assert "train" not in daemon.expctl(toml, "follow", "single")
    assert "lr: 0.1" in git(toml, "show", f"{below}:dvc.lock")


def test_faults_of_expd_toml_are_told_at_submit(daemon: RunningDaemon, tmp_path: Path) -> None:
    """The line of the fault, two pipelines in one directory, and a declared command beside a table: each is refused."""
    repository = a_repository(tmp_path / "toml", {**FILES, "expd.toml": f"{TOML}dep = 3\n"})
    faulty = daemon.run_expctl(repository, "submit")
    write_files(repository, {"expd.toml": TOML})
    declared = daemon.run_expctl(repository, "submit", "-o", "x", "--", "true")
    plain = daemon.run_expctl(repository, "submit", "--", "true")
    write_files(repository, {"dvc.yaml": YAML})
    both = daemon.run_expctl(repository, "submit")

    assert [result.returncode for result in (faulty, declared, plain, both)] == [6, 6, 0, 6]
    assert b"expd.toml:17: expected no such key at 'pipeline.stages.test.dep'" in faulty.stderr
    assert b"expd.toml: expected no [pipeline] beside a command's outputs" in declared.stderr
    assert b"expd.toml: expected one pipeline in a directory" in both.stderr
