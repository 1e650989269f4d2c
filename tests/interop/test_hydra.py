"""Parameters composed by Hydra: the same bytes as DVC writes, from the captured files, with refusals in Hydra's words."""

import os
import subprocess
from pathlib import Path

import pytest

from helpers.daemons import BIN, Json, RunningDaemon, rows
from helpers.repositories import GIT_ENVIRONMENT, SHELL_PROJECT, a_repository, git, write_files

pytestmark = pytest.mark.interop

PROJECT = {
    **SHELL_PROJECT,
    ".dvc/config": "[core]\n    analytics = false\n[hydra]\n    enabled = true\n",
    "other.yaml": "depth: 3  # levels\n",
    "conf/config.yaml": (
        "defaults:\n  - db: mysql\n  - _self_\n"
        "train:\n  lr: 0.1   # rate\n  name: 'quoted'\n  twice: ${train.lr}\n  who: ${oc.env:WHO,nobody}\n"
    ),
    "conf/db/mysql.yaml": "driver: mysql\nuser: root\nports: [1, 2]\n",
    "conf/db/postgresql.yaml": "driver: postgresql\nuser: ${oc.env:WHO,nobody}\n",
}


@pytest.fixture
def composed(tmp_path: Path) -> Path:
    """Give a project whose parameters are composed."""
    return a_repository(tmp_path / "composed", PROJECT)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["db=postgresql", "train.lr=1e-3"],
        ["+db@backup=postgresql", "other.yaml:depth=5"],
        ["~db", "+extra={a: 1, b: [x, 'y z']}", "++train.lr=null"],
    ],
)
def test_composed_parameters_are_those_of_dvc(
    daemon: RunningDaemon, composed: Path, tmp_path: Path, overrides: list[str]
) -> None:
    """Groups, packages, additions, deletions and interpolations give, byte for byte, what `dvc exp run` queues."""
    daemon.environ["WHO"] = "ada"
    theirs = tmp_path / "theirs"
    git(tmp_path, "clone", "--quiet", str(composed), str(theirs))
    arguments = [word for override in overrides for word in ("-S", override)]
    daemon.expctl(composed, "pause")

    subprocess.run(
        [BIN / "dvc", "exp", "run", "--queue", "-q", *(arguments or ["-S", "train.lr=0.1"])],
        cwd=theirs,
        env={**os.environ, **GIT_ENVIRONMENT, "WHO": "ada", "DVC_NO_ANALYTICS": "1"},
        check=True,
        capture_output=True,
    )
    entry = rows(daemon.expctl_json(composed, "submit", *arguments), "entries")[0]

    for file in ("params.yaml", "other.yaml"):
        expected = git(theirs, "show", f"refs/exps/celery/stash:{file}")
        assert git(composed, "show", f"{entry['stash_rev']}:{file}") == expected


def test_a_sweep_goes_over_groups_and_values(daemon: RunningDaemon, composed: Path) -> None:
    """Each combination of groups and values is composed for itself, in DVC's order."""
    daemon.expctl(composed, "pause")

    document = daemon.expctl_json(
        composed, "submit", "-n", "hs", "-S", "db=mysql,postgresql", "-S", "train.lr=range(1,3)"
    )

    entries = rows(document, "entries")
    assert [entry["params"] for entry in entries] == [
        {"db": group, "train.lr": rate} for group in ("mysql", "postgresql") for rate in (1, 2)
    ]
    for entry in entries:
        params = _params(composed, entry)
        assert isinstance(entry["params"], dict)
        assert f"driver: {entry['params']['db']}" in params
        assert f"lr: {entry['params']['train.lr']}\n" in params


def test_what_was_captured_is_composed(daemon: RunningDaemon, composed: Path) -> None:
    """Edits and new files of the configuration count as they are in the workspace, links too; the user's file stays."""
    write_files(composed, {"conf/db/sqlite.yaml": "driver: sqlite\n"})
    (composed / "conf" / "db" / "alias.yaml").symlink_to("sqlite.yaml")
    before = (composed / "params.yaml").read_text()
    daemon.expctl(composed, "pause")

    entry = rows(daemon.expctl_json(composed, "submit", "-S", "db=alias"), "entries")[0]

    assert "driver: sqlite" in _params(composed, entry)
    assert (composed / "params.yaml").read_text() == before


def test_without_hydra_the_file_is_edited_in_place(daemon: RunningDaemon, composed: Path) -> None:
    """--no-hydra, and a plain command, leave params.yaml as it is but for the override."""
    daemon.expctl(composed, "pause")

    edited = rows(daemon.expctl_json(composed, "submit", "--no-hydra", "-S", "train.lr=0.5"), "entries")[0]
    daemon.expctl(composed, "submit", "-n", "plain", "-S", "train.lr=0.5", "--", "true")

    for entry in (edited, daemon.entries(composed, "plain")[0]):
        assert "  lr: 0.5   # learning rate" in _params(composed, entry)


@pytest.mark.parametrize(
    ("words", "config", "said"),
    [
        (["-S", "db=nope"], "", "Could not find 'db/nope'"),
        (["-S", "train.nope=1"], "", "Could not override 'train.nope'"),
        (["-S", "train.twice=${gone.key}"], "", "Interpolation key 'gone.key' not found"),
        ([], "    config_dir = elsewhere\n", "no configuration in elsewhere/"),
        ([], "    config_module = my.conf\n", "code of the project"),
        ([], "    plugins_path = plugins\n", "code of the project"),
    ],
)
def test_what_can_not_be_composed_is_refused(
    daemon: RunningDaemon, composed: Path, words: list[str], config: str, said: str
) -> None:
    """The first line of what Hydra says is the reason, and nothing is queued."""
    with (composed / ".dvc" / "config").open("a") as stream:
        stream.write(config)

    refused = daemon.run_expctl(composed, "submit", *words)

    assert refused.returncode == 2
    assert said in refused.stderr.decode()
    assert daemon.entries(composed) == []


def test_configuration_that_is_no_yaml_is_refused(daemon: RunningDaemon, composed: Path) -> None:
    """What ends the composition is told too, and ends nothing else."""
    write_files(composed, {"conf/config.yaml": "train: [1\nlr: }\n"})

    refused = daemon.run_expctl(composed, "submit")

    assert refused.returncode == 2
    assert b"config.yaml" in refused.stderr
    assert daemon.entries(composed) == []


def _params(repository: Path, entry: Json) -> str:
    return git(repository, "show", f"{entry['stash_rev']}:params.yaml")


def test_what_was_composed_is_not_composed_anew_with_half_of_its_overrides(
    daemon: RunningDaemon, composed: Path
) -> None:
    """Other parameters for an entry are refused, since those it was composed with would silently be gone."""
    daemon.expctl(composed, "pause")
    daemon.expctl(composed, "submit", "-n", "x", "-S", "db=postgresql", "-S", "train.lr=0.5")

    edited = daemon.run_expctl(composed, "edit", "x", "-S", "train.name=other")
    daemon.expctl(composed, "cancel", "x")
    retried = daemon.run_expctl(composed, "retry", "x", "-S", "train.name=other")

    assert [(result.returncode, b"composed by Hydra" in result.stderr) for result in (edited, retried)] == [
        (2, True)
    ] * 2
    assert len(daemon.entries(composed)) == 1
