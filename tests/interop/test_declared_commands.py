"""What a declared command leaves is what `dvc stage add --run` leaves: same dvc.yaml, same dvc.lock, same table."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from helpers.daemons import BIN, DEADLINE_SECONDS, RunningDaemon
from helpers.repositories import GIT_ENVIRONMENT, a_repository, git

pytestmark = pytest.mark.interop

SCRIPT = """\
mkdir -p model && echo weights > model/w && echo '{"acc": 0.5}' > metrics.json
echo 'x,y' > curve.csv && cat data.txt > log.txt
"""
FILES = {
    ".dvc/config": "",
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    "train.sh": SCRIPT,
    "data.txt": "1\n",
    "params.yaml": "lr: 0.1\nseed: 3\n",
    "other.json": '{"depth": 2}\n',
}
SAID = ("-d", "train.sh", "-d", "data.txt", "-o", "model", "-O", "log.txt", "--plots", "curve.csv")


def _dvc(repository: Path, *arguments: str) -> str:
    result = subprocess.run(
        [BIN / "dvc", *arguments],
        cwd=repository,
        env={**os.environ, **GIT_ENVIRONMENT, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": f"{repository}.site"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_declared_command_is_what_dvc_stage_add_makes(daemon: RunningDaemon, tmp_path: Path) -> None:
    """The same declaration in the same words: the same bytes in dvc.yaml and dvc.lock; DVC shows, applies and skips it."""
    theirs, ours = a_repository(tmp_path / "theirs", FILES), a_repository(tmp_path / "ours", FILES)
    said = (*SAID, "-M", "metrics.json")
    _dvc(theirs, "stage", "add", "-q", "-n", "command", *said, "-p", "lr", "-p", "other.json:depth", "sh", "train.sh")
    _dvc(theirs, "repro", "-q")
    daemon.expctl(
        ours, "submit", "-n", "one", *said, "--params", "lr", "--params", "other.json:depth", "--", "sh", "train.sh"
    )
    daemon.expctl(ours, "wait", "--all")
    rev = str(daemon.entries(ours, "one")[0]["experiment_rev"])

    for file in ("dvc.yaml", "dvc.lock"):
        assert git(ours, "show", f"{rev}:{file}") == (theirs / file).read_text().strip()
    table = json.loads(_dvc(ours, "exp", "show", "--json"))
    (experiment,) = table[1]["experiments"]
    assert experiment["revs"][0]["data"]["metrics"] == {"metrics.json": {"data": {"acc": 0.5}}}
    _dvc(ours, "exp", "apply", "one")
    assert (ours / "model" / "w").read_text() == "weights\n"
    assert "didn't change, skipping" in _dvc(ours, "repro")
