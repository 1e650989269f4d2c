"""DVC's configuration files are merged in its order, with relative directories seen from the file that names them."""

from pathlib import Path

import pytest

from expd.pipeline.config import DvcConfig, HydraSettings, ParsingSettings, cache_directory, read_config
from expd.pipeline.model import PipelineError


def a_root(tmp_path: Path, **files: str) -> tuple[Path, dict[str, str]]:
    """A project with configuration: `system`, `user`, `shared` and `local`; and the environment that finds them."""
    places = {
        "system": tmp_path / "system" / "config",
        "user": tmp_path / "user" / "config",
        "shared": tmp_path / "root" / ".dvc" / "config",
        "local": tmp_path / "root" / ".dvc" / "config.local",
    }
    for name, text in files.items():
        places[name].parent.mkdir(parents=True, exist_ok=True)
        places[name].write_text(text)
    return tmp_path / "root", {
        "DVC_SYSTEM_CONFIG_DIR": str(tmp_path / "system"),
        "DVC_GLOBAL_CONFIG_DIR": str(tmp_path / "user"),
    }


def test_without_files_everything_has_its_default(tmp_path: Path) -> None:
    """No configuration means reflinks or copies, and the cache in .dvc/cache."""
    root, environ = a_root(tmp_path)
    assert read_config(root, environ) == DvcConfig()
    assert cache_directory(root, environ) == root / ".dvc" / "cache"


def test_a_later_file_wins_key_by_key(tmp_path: Path) -> None:
    """System, user, project and local settings add up, the nearer ones stronger."""
    root, environ = a_root(
        tmp_path,
        system="[cache]\n    type = copy\n    shared = group\n    dir = there\n",
        user="[CACHE]\n    Type = symlink\n[core]\n    autostage = True\n",
        shared="['remote \"a b\"']\n    url = ../x\n[cache]\n    dir = ../../elsewhere # a comment\n[exp]\n    auto_push = false\n",
        local='[cache]\n    type = "hardlink, copy"\n[hydra]\n    enabled = true\n    config_name = c\n[parsing]\n    bool = boolean_optional\n',
    )
    assert read_config(root, environ) == DvcConfig(
        cache_directory=tmp_path / "elsewhere",
        cache_types=("hardlink", "copy"),
        cache_shared=True,
        autostage=True,
        parsing=ParsingSettings(booleans="boolean_optional"),
        hydra=HydraSettings(enabled=True, config_name="c"),
    )


def test_an_absolute_or_home_directory_is_taken_as_it_is(tmp_path: Path) -> None:
    """An absolute cache.dir stays, and a tilde is the home directory."""
    root, environ = a_root(tmp_path, shared="[cache]\n    dir = /data/cache\n")
    assert cache_directory(root, environ) == Path("/data/cache")
    root, environ = a_root(tmp_path, shared="[cache]\n    dir = ~/cache\n")
    assert cache_directory(root, environ) == Path("~/cache").expanduser()


@pytest.mark.parametrize("text", ["[cache]\ntype = magic\n", "[cache]\nshared = all\n", "[core]\nautostage = maybe\n"])
def test_a_value_that_dvc_refuses_is_refused(tmp_path: Path, text: str) -> None:
    """The error names the file the value stands in."""
    root, environ = a_root(tmp_path, shared=text)
    with pytest.raises(PipelineError) as caught:
        read_config(root, environ)
    assert caught.value.path == str(root / ".dvc" / "config")
