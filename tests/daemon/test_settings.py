"""config.toml: every key, and every mistake told with the file and the key."""

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expd.settings import (
    BadSettings,
    CelerySettings,
    EngineSettings,
    Hook,
    Hooks,
    Retention,
    Settings,
    explain_settings,
    read_settings,
)


def _read(path: Path, text: str) -> Settings:
    path.write_text(text, encoding="utf-8")
    return read_settings({"EXPD_CONFIG": str(path)})


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    """Nothing has to be written before the first start."""
    assert read_settings({"EXPD_CONFIG": str(tmp_path / "config.toml")}) == Settings()
    assert _read(tmp_path / "config.toml", "") == Settings()


EVERY_KEY = (
    "jobs = 4\nstage_jobs = 3\ngrace_seconds = 2.5\nsweep_points_max = 100\nkept_worktrees_max = 0\nlog_bytes_max = 100000\n"
    "new_file_bytes_max = 5000000000\nnew_files_bytes_max = 0\nnew_files_max = 3\n"
    "state_free_bytes_min = 0\nrun_free_bytes_min = 7\n"
    "env_deny = ['AWS_*']\n"
    "engines = { celery = { broker = 'redis://h', hub = '/hub', env = ['W_*'], lease_seconds = 9, "
    "ca_file = '/ca', cert_file = '/cert', key_file = '/key', dvc_config = '/dvc', visibility_seconds = 60 } }\n"
    "[retention]\ndone_days = 1\ndone_max = 2\nlog_days = 3.5\nlogs_bytes_max = 4\nkept_worktree_days = 5\n"
    "kept_worktrees_bytes_max = 6\nrestored_days = 7\nenvironment_days = 0\n"
    "[hooks]\ndone = ['a', 'b']\nfailed = 'http://h/x'\nheld = ['c']\nsweep_done = ['d']\nidle = 'https://h/y'\n"
)


def test_every_key_is_read(tmp_path: Path) -> None:
    """Each field of the settings is a key of the file, and what is not named keeps its default."""
    read = _read(tmp_path / "config.toml", EVERY_KEY)

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
        hooks=Hooks(
            done=Hook(command=("a", "b")),
            failed=Hook(url="http://h/x"),
            held=Hook(command=("c",)),
            sweep_done=Hook(command=("d",)),
            idle=Hook(url="https://h/y"),
        ),
        engines=EngineSettings(
            celery=CelerySettings(
                broker="redis://h",
                hub="/hub",
                env=("W_*",),
                lease_seconds=9.0,
                ca_file="/ca",
                cert_file="/cert",
                key_file="/key",
                dvc_config="/dvc",
                visibility_seconds=60,
            )
        ),
    )
    keys = {line.split(" ")[0].strip("[]") for line in EVERY_KEY.splitlines()}
    assert keys == {*Settings.__slots__, *Retention.__slots__, *Hooks.__slots__}
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


def test_a_variable_of_the_environment_says_otherwise(tmp_path: Path) -> None:
    """EXPD_ and a key in capitals goes before the file, with a value as the file would have it; an empty one is none."""
    (tmp_path / "config.toml").write_text("jobs = 4\n[retention]\nlog_days = 3\ndone_max = 5\n")
    environ = {
        "EXPD_CONFIG": str(tmp_path / "config.toml"),
        "EXPD_JOBS": "2",
        "EXPD_ENV_DENY": '["AWS_*"]',
        "EXPD_RETENTION_LOG_DAYS": "1.5",
        "EXPD_STAGE_JOBS": "",
    }

    assert read_settings(environ) == Settings(
        jobs=2, env_deny=("AWS_*",), retention=Retention(log_days=1.5, done_max=5)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("many", "EXPD_JOBS: 'many' is no value as config.toml has it"),
        ("0", "EXPD_JOBS: jobs must be a whole number from 1"),
    ],
)
def test_a_mistake_in_a_variable_is_told_with_its_name(tmp_path: Path, text: str, said: str) -> None:
    """What keeps the daemon from starting is not looked for in a file that is right."""
    with pytest.raises(BadSettings) as refused:
        read_settings({"EXPD_CONFIG": str(tmp_path / "none"), "EXPD_JOBS": text})

    assert str(refused.value).startswith(said)


def test_each_setting_tells_where_it_comes_from(tmp_path: Path) -> None:
    """Of every key it is said what it is, what it would be, and who says so."""
    (tmp_path / "config.toml").write_text("stage_jobs = 4\n[retention]\nlog_days = 3\n")
    environ = {"EXPD_CONFIG": str(tmp_path / "config.toml"), "EXPD_JOBS": "2"}

    explained = {setting.key: (setting.value, setting.origin) for setting in explain_settings(environ)}

    assert explained["jobs"] == (2, "EXPD_JOBS")
    assert explained["stage_jobs"] == (4, "file")
    assert explained["retention.log_days"] == (3.0, "file")
    assert explained["retention.done_days"] == (180.0, "default")
    assert explained["env_deny"] == ([], "default")
    assert len(explained) == len(Settings.__slots__) - 3 + len(Retention.__slots__)


def test_every_key_is_documented_with_its_default_and_unit() -> None:
    """docs/configuration.md has a row for each key: its default, its unit, and what it is for."""
    text = (Path(__file__).parent.parent.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    documented = {key: default for key, default, _unit, _reason in rows}
    defaults = {
        setting.key.removeprefix("retention."): setting.default
        for setting in explain_settings({"EXPD_CONFIG": "/nowhere"})
    } | {each.name: None if each.default is MISSING else each.default for each in fields(CelerySettings)}

    assert documented == {key: _in_words(default) for key, default in defaults.items()}


def _in_words(default: object) -> str:
    if default is None or default in ([], ()):
        return "none"
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_addresses_of_engines_are_not_shown(tmp_path: Path) -> None:
    """They may hold passwords: that they are set is all that is told."""
    text = "[engines.celery]\nbroker = 'redis://:secret@host/0'\nhub = 'ssh://host/hub.git'\n"
    (tmp_path / "config.toml").write_text(text)

    explained = {each.key: each.value for each in explain_settings({"EXPD_CONFIG": str(tmp_path / "config.toml")})}

    assert (explained["engines.celery.broker"], explained["engines.celery.hub"]) == ("(set)", "(set)")
    assert explained["engines.celery.lease_seconds"] == 60.0


@pytest.mark.parametrize("value", ["'notify-send'", "'ftp://h'", "[]", "['']", "[1]", "7", '"https://h\\n"'])
def test_a_hook_is_an_address_or_a_program_with_its_arguments(tmp_path: Path, value: str) -> None:
    """What no shell would take apart is refused, without being shown: it may hold a token."""
    with pytest.raises(BadSettings) as refused:
        _read(tmp_path / "config.toml", f"[hooks]\ndone = {value}\n")

    assert "done in [hooks] must be an address (https://…), or a list of a program and its arguments" in str(
        refused.value
    )


def test_addresses_of_hooks_are_not_shown(tmp_path: Path) -> None:
    """They often hold a token; which program is called is shown."""
    text = "[hooks]\ndone = 'https://host/secret'\nidle = ['beep']\n"
    settings = _read(tmp_path / "config.toml", text)
    explained = {
        each.key: each.value
        for each in explain_settings({"EXPD_CONFIG": str(tmp_path / "config.toml")})
        if each.key.startswith("hooks.")
    }

    assert "secret" not in repr(settings)
    assert explained == {"hooks.done": "(set)", "hooks.idle": ["beep"]}
