"""The interpreter of a run is found without being run where its files say enough, and remembered."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from expd.execute.interpreter import Interpreters

FORBIDDEN = "#!/bin/sh\necho ran >> '{asked}'\nexit 1\n"
"""An interpreter that must not be run."""


def a_program(path: Path, text: str) -> Path:
    """Write a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def a_venv(directory: Path, *packages: str, system_site: str = "false") -> Path:
    """Make the files of a virtual environment whose interpreter must not be run; gives its `bin`."""
    a_program(directory / "bin" / "python", FORBIDDEN.format(asked=directory / "asked"))
    (directory / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = {system_site}\nversion = 3.11.9\n"
    )
    site = directory / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    for package in packages:
        (site / package).mkdir()
    return directory / "bin"


def test_a_virtual_environment_is_read_and_not_run(tmp_path: Path) -> None:
    """Version and packages come from its files: names as PyPI has them, sorted, whatever form they are installed in."""
    binaries = a_venv(
        tmp_path / "venv",
        "torch-2.5.0+cu121.dist-info",
        "Ruamel.YAML_clib-0.2.8.dist-info",
        "old_style-1.0-py3.11.egg-info",
        "torch",
        "nonsense.dist-info",
        "__pycache__",
    )

    found = Interpreters().look({"PATH": str(binaries)})

    assert found is not None
    assert (found.path, found.version) == (str(binaries / "python"), "3.11.9")
    assert found.packages == ("old-style==1.0", "ruamel-yaml-clib==0.2.8", "torch==2.5.0+cu121")
    assert not (tmp_path / "venv" / "asked").exists()


def test_the_hash_tells_environments_apart(tmp_path: Path) -> None:
    """Equal packages have equal hashes wherever they lie; one version that differs makes another."""
    first, same, other = (
        Interpreters().look({"PATH": str(a_venv(tmp_path / name, f"a-{version}.dist-info"))})
        for name, version in (("first", 1), ("same", 1), ("other", 2))
    )

    assert first is not None
    assert same is not None
    assert other is not None
    assert first.packages_hash == same.packages_hash != other.packages_hash
    assert first.packages_hash.startswith("sha256:")


def test_a_package_that_was_installed_meanwhile_is_seen(tmp_path: Path) -> None:
    """What is remembered of a directory holds for as long as the directory has not changed."""
    binaries, interpreters = a_venv(tmp_path / "venv", "a-1.dist-info"), Interpreters()
    interpreters.look({"PATH": str(binaries)})

    (tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "b-2.dist-info").mkdir()
    found = interpreters.look({"PATH": str(binaries)})

    assert found is not None
    assert found.packages == ("a==1", "b==2")


def test_any_other_interpreter_is_asked_once(tmp_path: Path) -> None:
    """One that is no virtual environment says itself what it is, the first time; the real one stands behind this."""
    asked = tmp_path / "asked"
    a_program(tmp_path / "bin" / "python", f"#!/bin/sh\necho ran >> '{asked}'\nexec '{sys.executable}' \"$@\"\n")
    interpreters = Interpreters()

    first, second = (interpreters.look({"PATH": f"{tmp_path / 'bin'}:/bin:/usr/bin"}) for _ in range(2))

    assert first == second
    assert first is not None
    assert first.version == ".".join(map(str, sys.version_info[:3]))
    assert any(package.startswith("trio==") for package in first.packages)
    assert asked.read_text() == "ran\n"


def test_an_interpreter_that_was_replaced_is_asked_again(tmp_path: Path) -> None:
    """Another file under the same path is another interpreter."""
    program, interpreters = tmp_path / "bin" / "python", Interpreters()
    answers = []
    for version in ("3.98.0", "3.99.0"):
        a_program(tmp_path / "bin" / "new", f"#!/bin/sh\necho '[\"{version}\", []]'\n").rename(program)
        found = interpreters.look({"PATH": f"{tmp_path / 'bin'}:/bin:/usr/bin"})
        answers.append(None if found is None else found.version)

    assert answers == ["3.98.0", "3.99.0"]


@pytest.mark.parametrize("script", ["exit 3", "echo nonsense", "echo '[]'", "echo '{}'", "echo '[1, 2]'"])
def test_an_interpreter_that_says_nothing_sensible_is_only_named(tmp_path: Path, script: str) -> None:
    """Its path is known, and nothing else; the run goes on."""
    a_program(tmp_path / "bin" / "python", f"#!/bin/sh\n{script}\n")

    found = Interpreters().look({"PATH": f"{tmp_path / 'bin'}:/bin:/usr/bin"})

    assert found is not None
    assert (found.path, found.version, found.packages) == (str(tmp_path / "bin" / "python"), None, ())


def test_no_interpreter_is_no_trouble(tmp_path: Path) -> None:
    """An experiment may be written in anything."""
    assert Interpreters().look({"PATH": str(tmp_path)}) is None


def test_a_venv_is_described_as_the_interpreter_describes_itself(tmp_path: Path) -> None:
    """What is read from the files of a real virtual environment is what its interpreter says."""
    binaries = Path(sys.executable).parent
    code = (
        "import importlib.metadata as m, re; print('\\n'.join(sorted({re.sub('[-_.]+', '-', d.name).lower() + '==' + "
        "d.version for d in m.distributions()})))"
    )
    said = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout.splitlines()

    found = Interpreters().look({"PATH": str(binaries), "HOME": os.environ.get("HOME", "/")})

    assert found is not None
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert set(found.packages) == set(said)
