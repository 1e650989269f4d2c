"""config.toml: every key, and every mistake told with the file and the key."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expd.settings import BadSettings, CelerySettings, EngineSettings, Retention, Settings, read_settings


def _read(path: Path, text: str) -> Settings:
    path.write_text(text, encoding="utf-8")
    return read_settings({"EXPD_CONFIG": str(path)})


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    """Nothing has to be written before the first start."""
    assert read_settings({"EXPD_CONFIG": str(tmp_path / "config.toml")}) == Settings()
    assert _read(tmp_path / "config.toml", "") == Settings()


def test_every_key_is_read(tmp_path: Path) -> None:
    """Each field of the settings is a key of the file, and what is not named keeps its default."""
    text = (
        "jobs = 4\nstage_jobs = 3\ngrace_seconds = 2.5\nsweep_points_max = 100\nkept_worktrees_max = 0\nlog_bytes_max = 100000\n"
        "new_file_bytes_max = 5000000000\nnew_files_bytes_max = 0\nnew_files_max = 3\n"
        "state_free_bytes_min = 0\nrun_free_bytes_min = 7\n"
        "env_deny = ['AWS_*']\n"
        "engines = { celery = { broker = 'redis://h', hub = '/hub', env = ['W_*'], lease_seconds = 9, "
        "ca_file = '/ca', dvc_config = '/dvc', visibility_seconds = 60 } }\n"
        "[retention]\ndone_days = 1\ndone_max = 2\nlog_days = 3.5\nlogs_bytes_max = 4\nkept_worktree_days = 5\n"
        "kept_worktrees_bytes_max = 6\nrestored_days = 7\nenvironment_days = 0\n"
    )

    read = _read(tmp_path / "config.toml", text)

    assert read == Settings(
        jobs=4,
        stage_jobs=3,
        grace_seconds=2.5,
        sweep_points_max=100,
        kept_worktrees_max=0,
        log_bytes_max=100_000,
        new_file_bytes_max=5_000_000_000,
        new_files_bytes_max=0,
        new_files_max=3,
        state_free_bytes_min=0,
        run_free_bytes_min=7,
        env_deny=("AWS_*",),
        retention=Retention(
            done_days=1.0,
            done_max=2,
            log_days=3.5,
            logs_bytes_max=4,
            kept_worktree_days=5.0,
            kept_worktrees_bytes_max=6,
            restored_days=7.0,
            environment_days=0.0,
        ),
        engines=EngineSettings(
            celery=CelerySettings(
                broker="redis://h",
                hub="/hub",
                env=("W_*",),
                lease_seconds=9.0,
                ca_file="/ca",
                dvc_config="/dvc",
                visibility_seconds=60,
            )
        ),
    )
    keys = {line.split(" ")[0].strip("[]") for line in text.splitlines()}
    assert keys == {*Settings.__slots__, *Retention.__slots__}
    assert _read(tmp_path / "config.toml", "jobs = 4") == Settings(jobs=4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("retention = 3", "retention must be a table"),
        ("[retention]\ndone_day = 3", "unknown key 'done_day' in [retention]; known are done_days, "),
        ("[retention]\nlog_days = -1", "log_days must be a number of days, 0 or more"),
        ("[retention]\ndone_max = 0.5", "done_max must be a whole number"),
    ],
)
def test_a_mistake_in_retention_is_named(tmp_path: Path, text: str, said: str) -> None:
    """Its keys are checked like the others: a typing error keeps nothing for ever, and deletes nothing."""
    with pytest.raises(BadSettings) as refused:
        _read(tmp_path / "config.toml", text)

    assert said in str(refused.value)


def test_whole_seconds_are_seconds(tmp_path: Path) -> None:
    """A duration may be written without its fraction."""
    assert _read(tmp_path / "config.toml", "grace_seconds = 3").grace_seconds == 3.0


def test_an_unknown_key_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    """A typing error is not silently a default."""
    path = tmp_path / "config.toml"

    with pytest.raises(BadSettings) as refused:
        _read(path, "job = 2")

    assert str(refused.value) == (f"{path}: unknown key 'job'; known are {', '.join(sorted(Settings.__slots__))}")


WRONG_VALUES = {
    "jobs": [
        "0",
        "-1",
        "1.5",
        "2.0",
        "nan",
        "inf",
        "true",
        '"2"',
        "[2]",
        "{n = 2}",
        "2020-01-01",
        "99999999999999999999",
    ],
    "grace_seconds": ["-0.1", "nan", "inf", "-inf", "false", '"1"', "[]"],
    "sweep_points_max": ["0", "1e4", "nan", "true"],
    "new_file_bytes_max": ["-1", "'1 MB'", "true", "9007199254740993"],
    "new_files_max": ["-1", "0.5"],
    "log_bytes_max": ["0", "65535", "'1 GiB'"],
    "env_deny": ["'AWS_*'", "['A', 1]", "['']", "true"],
    "kept_worktrees_max": ["-1", "0.5", "inf", '"all"'],
}
MISTAKES = [(key, value) for key, values in WRONG_VALUES.items() for value in values]


@pytest.mark.parametrize(("key", "value"), MISTAKES, ids=[f"{key}={value}" for key, value in MISTAKES])
def test_a_wrong_value_is_named_with_its_file_and_key(tmp_path: Path, key: str, value: str) -> None:
    """Not a number, not whole, not finite or out of its range: said before anything starts."""
    path = tmp_path / "config.toml"

    with pytest.raises(BadSettings) as refused:
        _read(path, f"{key} = {value}")

    assert str(refused.value).startswith(f"{path}: {key} must be a ")


def test_what_is_not_toml_is_told_with_its_line(tmp_path: Path) -> None:
    """The message names the file and where in it."""
    path = tmp_path / "config.toml"

    with pytest.raises(BadSettings, match=r"not TOML: .*line 2") as refused:
        _read(path, "jobs = 2\njobs: 3\n")

    assert str(refused.value).startswith(f"{path}: ")


def test_what_can_not_be_read_is_told(tmp_path: Path) -> None:
    """A directory in its place, or bytes that are no UTF-8, name the file too."""
    path = tmp_path / "config.toml"
    path.write_bytes(b"jobs = 2 # \xff\n")
    with pytest.raises(BadSettings) as no_text:
        read_settings({"EXPD_CONFIG": str(path)})
    path.unlink()
    path.mkdir()
    with pytest.raises(BadSettings) as no_file:
        read_settings({"EXPD_CONFIG": str(path)})

    assert str(no_text.value).startswith(f"{path}: can't be read")
    assert str(no_file.value).startswith(f"{path}: can't be read")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_settings_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """There is no text that ends the start with a traceback."""
    path = tmp_path_factory.getbasetemp() / "any.toml"

    try:
        settings = _read(path, text)
    except BadSettings as refused:
        said = str(refused)
    else:
        said = f"{path} gives {settings}"

    assert said.startswith(f"{path}")
