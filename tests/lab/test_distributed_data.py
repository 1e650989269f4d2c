"""Data on its way to another host and back, through a DVC remote and the real dvc."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.engine_contract import Place
from helpers.daemons import BIN
from helpers.distributed import WorkerProgram, needs_broker, other_hosts
from helpers.repositories import git

pytestmark = [pytest.mark.lab, pytest.mark.interop, needs_broker]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give a daemon that sends entries to a worker program."""
    with other_hosts(tmp_path_factory.mktemp("data")) as (daemon, _redis, _hub):
        worker = WorkerProgram(daemon)
        try:
            yield Place(daemon, "--on", "celery")
        finally:
            worker.kill()
            print(worker.log.read_text())  # noqa: T201 - pytest shows it with a failure


def _dvc(repository: Path, *words: str) -> str:
    done = subprocess.run([BIN / "dvc", *words], cwd=repository, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def tracked(repository: Path) -> Path:
    """Give a project with data that DVC tracks, which a stage reads, and no remote."""
    (repository / "data.txt").write_text("as committed\n")
    _dvc(repository, "add", "--quiet", "data.txt")
    (repository / "dvc.yaml").write_text(
        "stages:\n  train:\n    cmd: cp data.txt model.bin\n    deps: [data.txt]\n    outs: [model.bin]\n"
    )
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "data")
    return repository


def test_data_without_a_way_is_refused_with_its_list(place: Place, tracked: Path) -> None:
    """Nothing is queued that could not run, and what is in the way is named."""
    refused = place.daemon.run_expctl(tracked, "submit", "--on", "celery")

    assert refused.returncode == 5
    assert "data.txt.dvc" in refused.stderr.decode()
    assert place.daemon.entries(tracked) == []


def test_edited_data_arrives_and_outputs_come_back(place: Place, tracked: Path, tmp_path: Path) -> None:
    """What the workspace holds runs, although nobody pushed it; the output is in the remote, and stock dvc gets it."""
    _dvc(tracked, "remote", "add", "--quiet", "--default", "storage", str(tmp_path / "storage"))
    (tracked / "data.txt").write_text("edited since\n")

    entry = place.submit(tracked, "-n", "there")
    place.daemon.expctl(tracked, "wait", entry)

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(tracked), str(clone))
    head = git(tracked, "rev-parse", "HEAD")
    git(clone, "fetch", "--quiet", str(tracked), f"refs/exps/{head[:2]}/{head[2:]}/there")
    git(clone, "checkout", "--quiet", "FETCH_HEAD")
    _dvc(clone, "remote", "add", "--quiet", "--force", "--default", "storage", str(tmp_path / "storage"))
    _dvc(clone, "pull", "--quiet")
    assert (clone / "model.bin").read_text() == "edited since\n"
