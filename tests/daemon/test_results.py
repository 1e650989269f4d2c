"""An experiment is read from its commit: parameters, metrics and files; what is broken in it is its own error."""

import hashlib
import json
from pathlib import Path

import pytest

from expd.collect.results import METRICS_BYTES_MAX, ResultReader, Results, changed_facts, pointed_at, shown
from expd.gitio.repository import Repository
from expd.pipeline.cache import Cache
from expproto.codec import decode, encode
from expproto.vocabulary import Rev
from helpers.daemons import RunningDaemon, rows
from helpers.repositories import SHELL_PROJECT, a_repository, git, write_files

MD5 = hashlib.md5(b"weights\n", usedforsecurity=False).hexdigest()


def commit(project: Path, files: dict[str, str]) -> Rev:
    """Commit files on top of HEAD."""
    write_files(project, files)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--allow-empty", "--message", "experiment")
    return Rev(git(project, "rev-parse", "HEAD"))


def read(project: Path, rev: Rev, baseline: Rev | None = None, root: str = ".") -> Results:
    """Read an experiment."""
    return ResultReader(Repository(project / ".git"), root, Cache(project / ".dvc" / "cache")).read(rev, baseline)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give an empty repository."""
    return a_repository(tmp_path / "project", {"README": "\n"})


def test_nested_keys_are_dotted(project: Path) -> None:
    """Maps become dotted keys, lists and scalars are values, empty maps are nothing."""
    rev = commit(project, {"params.yaml": "a: {b: {c: 1, d: [1, {e: 2}]}, f: null}\ng: text\nh: {}\n"})

    assert shown(read(project, rev).params) == {"a.b.c": 1, "a.b.d": [1, {"e": 2}], "a.f": None, "g": "text"}


def test_a_key_of_two_files_has_its_files_name(project: Path) -> None:
    """A key that two files have is prefixed by each file; a key of one file stays short."""
    pipeline = "metrics: [a.json, sub/b.json]\n"
    rev = commit(project, {"dvc.yaml": pipeline, "a.json": '{"acc": 1, "only": 2}', "sub/b.json": '{"acc": 3}'})

    assert shown(read(project, rev).metrics) == {"a.json:acc": 1, "sub/b.json:acc": 3, "only": 2}


def test_what_dvc_yaml_declares_is_read(project: Path) -> None:
    """Metrics in YAML and TOML, and parameter files with the keys that are listed, come from where dvc.yaml says."""
    pipeline = (
        "stages:\n  train:\n    cmd: x\n    params:\n      - other.toml: [model.depth]\n"
        "    metrics:\n      - m.yaml: {cache: false}\n      - m.toml: {cache: false}\n"
    )
    files = {
        "dvc.yaml": pipeline,
        "m.yaml": "f1: 0.5\n",
        "m.toml": "[t]\nloss = 1\n",
        "other.toml": "[model]\ndepth = 3\nwidth = 4\n",
    }

    results = read(project, commit(project, files))

    assert (shown(results.metrics), shown(results.params)) == ({"f1": 0.5, "t.loss": 1}, {"model.depth": 3})


def test_a_plain_commands_metrics_are_the_conventional_ones(project: Path) -> None:
    """Where nothing is declared, metrics.json and DVCLive's file are read."""
    rev = commit(
        project, {"metrics.json": '{"acc": 1}', "dvclive/metrics.json": '{"loss": 2}', "other.json": '{"x": 3}'}
    )

    assert shown(read(project, rev).metrics) == {"acc": 1, "loss": 2}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("dvc.yaml", "stages: ["),
        ("dvc.yaml", "stages: [a list]\n"),
        ("dvc.yaml", "stages: {train: {cmd: x, outs: [{a: {unknown: 1}}]}}\n"),
        ("dvc.lock", "no lock\n"),
        ("metrics.json", '{"acc": '),
        ("metrics.json", "not json"),
        ("params.yaml", "a: [1\n"),
        ("params.yaml", "&a [*a]\n"),
        ("params.yaml", "a: " + "[" * 3000 + "]" * 3000 + "\n"),
    ],
)
def test_what_is_broken_is_named_and_hurts_no_other(project: Path, path: str, text: str) -> None:
    """A file that makes no sense is this experiment's error, with the file's name; the next one is read as ever."""
    whole = {**SHELL_PROJECT, "metrics.json": '{"acc": 1}'}
    good = commit(project, whole)
    broken = commit(project, {path: text})

    results = read(project, broken, good)

    assert results.error is not None
    assert path in results.error
    assert read(project, good).error is None


def test_a_broken_experiment_is_one_row_of_the_table(daemon: RunningDaemon, repository: Path) -> None:
    """In `show` a broken experiment has its error, and the others their numbers."""
    script = "echo '{\"acc\": 1}' > metrics.json"
    daemon.expctl(repository, "submit", "-n", "good", "--", "sh", "-c", script)
    daemon.expctl(repository, "submit", "-n", "broken", "--", "sh", "-c", "echo 'stages: [' > dvc.yaml")
    daemon.run_expctl(repository, "wait")

    found = {str(row["name"]): row for row in rows(daemon.expctl_json(repository, "show"), "experiments")}

    assert (found["good"]["metrics"], found["good"].get("error")) == ({"acc": 1}, None)
    assert "dvc.yaml" in str(found["broken"]["error"])


def test_what_changed_is_said_with_what_is_gone(project: Path) -> None:
    """Only what differs from the baseline is a change, and what the experiment lacks is None."""
    old = read(project, commit(project, {"params.yaml": "same: 1\nother: 1\ngone: 1\n"})).params
    new = read(project, commit(project, {"params.yaml": "same: 1\nother: 2\nnew: 3\n"})).params

    assert shown(changed_facts(new, old)) == {"other": 2, "new": 3, "gone": None}


def test_every_value_can_be_sent(project: Path) -> None:
    """Dates, huge integers, not-a-numbers and keys that are no text are shown as what the wire can hold."""
    text = "date: 2026-01-02\nhuge: 123456789012345678901234567890\nnan: .nan\n1: one\nlist: [2026-01-02]\n"
    facts = shown(read(project, commit(project, {"params.yaml": text})).params)

    sent = decode(encode({"facts": facts}))["facts"]

    assert isinstance(sent, dict)
    assert (sent["date"], sent["huge"], sent["list"]) == (
        "2026-01-02",
        "123456789012345678901234567890",
        ["2026-01-02"],
    )
    assert json.dumps(sorted(sent))


def test_an_output_is_listed_with_its_home(project: Path) -> None:
    """Outputs of the lock are in the cache, changed files in Git; each has its role, its stage and its size."""
    baseline = Rev(git(project, "rev-parse", "HEAD"))
    lock = (
        "schema: '2.0'\nstages:\n  train:\n    cmd: sh train.sh\n    outs:\n"
        f"    - path: model.bin\n      hash: md5\n      md5: {MD5}\n      size: 8\n"
        f"    - path: metrics.json\n      hash: md5\n      md5: {'b' * 32}\n      size: 10\n"
    )
    rev = commit(project, {**SHELL_PROJECT, "dvc.lock": lock, "metrics.json": '{"acc": 1}', "notes/new.txt": "new\n"})

    found = {path.path: path for path in read(project, rev, baseline).paths}

    model, metrics, notes, params = (
        found[path] for path in ("model.bin", "metrics.json", "notes/new.txt", "params.yaml")
    )
    assert model.fingerprint is not None
    assert (model.fingerprint.md5, model.role, model.stage, model.size) == (MD5, "out", "train", 8)
    assert (metrics.fingerprint, metrics.role, metrics.stage, metrics.size) == (None, "metric", "train", 10)
    assert (notes.role, notes.stage, notes.size, params.role) == ("file", None, 4, "param")


def test_metrics_in_the_cache_are_read_there(project: Path) -> None:
    """A cached metric comes from its object; without the object, or if it is no metric but data, it has no numbers."""
    pipeline = "stages: {train: {cmd: x, metrics: [m.json, gone.json, large.json]}}\n"
    text = '{"acc": 7}'
    md5 = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    outs = "".join(
        f"    - path: {path}\n      hash: md5\n      md5: {known}\n      size: {size}\n"
        for path, known, size in (
            ("m.json", md5, 10),
            ("gone.json", "b" * 32, 2),
            ("large.json", md5, METRICS_BYTES_MAX + 1),
        )
    )
    lock = f"schema: '2.0'\nstages:\n  train:\n    cmd: x\n    outs:\n{outs}"
    write_files(project, {f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}": text, ".git/info/exclude": "/.dvc/cache\n"})

    results = read(project, commit(project, {"dvc.yaml": pipeline, "dvc.lock": lock}))

    assert (results.error, dict(results.metrics)) == (None, {("m.json", "acc"): 7})


def test_a_project_in_a_subdirectory_is_read_alone(project: Path) -> None:
    """Paths are the project's own, and what other directories of the repository hold is not read."""
    rev = commit(
        project, {"part/params.yaml": "a: 1\n", "part/metrics.json": '{"acc": 1}', "params.yaml": "b: [broken\n"}
    )

    results = read(project, rev, root="part")

    assert (results.error, shown(results.params), shown(results.metrics)) == (None, {"a": 1}, {"acc": 1})
    assert {path.path for path in results.paths} == {"params.yaml", "metrics.json"}


OUT = f"- md5: {MD5}\n  size: 8\n  hash: md5\n  path: data.bin\n"
POINTERS = {
    "added": f"outs:\n{OUT}",
    "imported": f"md5: {'a' * 32}\nfrozen: true\ndeps:\n- path: x\n  repo:\n    url: https://example.org\n    rev_lock: {'c' * 40}\nouts:\n{OUT}",
    "imported from a URL": f"frozen: true\ndeps:\n- etag: '\"x\"'\n  size: 8\n  hash: etag\n  path: https://example.org/x\nouts:\n{OUT}",
    "annotated": f"desc: words\nmeta: {{a: 1}}\nouts:\n{OUT}  desc: more\n  labels: [a]\n  type: data\n  remote: store\n  push: false\n",
    "an old stage": f"cmd: make\nmd5: {'a' * 32}\nouts:\n{OUT}",
    "a document of its own": f"---\nouts:\n{OUT}",
}


@pytest.mark.parametrize("form", POINTERS)
def test_every_form_of_pointer_is_read(project: Path, form: str) -> None:
    """Whatever DVC writes into a .dvc file, its output is listed in place of the file."""
    baseline = Rev(git(project, "rev-parse", "HEAD"))
    rev = commit(project, {"sub/data.bin.dvc": POINTERS[form]})

    results = read(project, rev, baseline)

    assert results.error is None
    assert [(path.path, path.fingerprint and path.fingerprint.md5) for path in results.paths] == [("sub/data.bin", MD5)]


@pytest.mark.parametrize("text", ["not yaml: [", "- a list\n", "unknown: 1\n", "\0"])
def test_a_file_that_only_looks_like_a_pointer_is_a_file(project: Path, text: str) -> None:
    """A .dvc file that is none is listed as itself, and no error of the experiment."""
    baseline = Rev(git(project, "rev-parse", "HEAD"))

    results = read(project, commit(project, {"odd.dvc": text}), baseline)

    assert (results.error, [path.path for path in results.paths]) == (None, ["odd.dvc"])


def test_a_working_directory_moves_what_is_pointed_at() -> None:
    """`wdir` is where a pointer's paths begin; what it reaches outside the project keeps its dots."""
    assert list(pointed_at(f"wdir: ..\nouts:\n{OUT}", "a/b/x.dvc")) == ["a/data.bin"]
    assert list(pointed_at(f"wdir: ../..\nouts:\n{OUT}", "a/x.dvc")) == ["../data.bin"]


def test_one_reader_reads_each_experiment_as_if_it_were_the_only_one(project: Path) -> None:
    """What is remembered of one (pipelines, directories, texts) is never told of another that differs in it."""
    pipeline = "stages:\n  t:\n    cmd: x\n    metrics:\n    - {name}:\n        cache: false\n"
    plain, filled = pipeline.format(name="m.json"), pipeline.format(name="${file}")
    revs = [
        commit(project, {"dvc.yaml": plain, "m.json": '{"x": 1}', "params.yaml": "file: n.json\n"}),
        commit(project, {"n.json": '{"x": 2}', "sub/dvc.yaml": plain, "sub/m.json": '{"y": 3}'}),
        commit(project, {"dvc.yaml": filled}),
        commit(project, {"params.yaml": "file: m.json\n"}),
    ]
    reader = ResultReader(Repository(project / ".git"), ".", Cache(project / ".dvc" / "cache"))

    found = [reader.facts(rev) for rev in (*revs, *revs)]

    assert [shown(one.metrics) for one in found[:4]] == [{"x": 1}, {"x": 1, "y": 3}, {"x": 2, "y": 3}, {"x": 1, "y": 3}]
    alone = [read(project, rev) for rev in revs]
    assert [(one.params, one.metrics) for one in found] == [(one.params, one.metrics) for one in alone] * 2
    assert {one.committed_at for one in found} != {0.0}
