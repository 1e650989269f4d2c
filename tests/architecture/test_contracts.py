"""What holds for the source as a whole: who imports whom, how long things are, where everything may be caught."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PACKAGES = (TOP / "daemon" / "expd", TOP / "client" / "expctl", TOP / "protocol" / "expproto")
FILE_LINES_MAX, FUNCTION_LINES_MAX = 450, 60

CATCHES_EVERYTHING = {
    "daemon/expd/serve/session.py": "around a connection, and around a request",
    "daemon/expd/execute/run.py": "around a run",
    "daemon/expd/execute/progress.py": "around what is told of a run, which goes on without",
    "daemon/expd/queueing/database.py": "around a piece, whose caller waits in another thread",
    "protocol/expproto/codec.py": "around msgpack, which raises eight kinds of exception for one thing",
    "client/expctl/cli.py": "around a command: every end gets its words",
}
CLEANS_UP_AFTER_EVERYTHING = {
    "daemon/expd/app.py",
    "daemon/expd/distributed/workers.py",
    "daemon/expd/linux/durable.py",
    "daemon/expd/queueing/database.py",
    "daemon/expd/wire.py",
    "client/expctl/start.py",
    "client/expctl/transport.py",
}


def _sources() -> list[Path]:
    return sorted(file for package in PACKAGES for file in package.rglob("*.py"))


def _name(file: Path) -> str:
    return file.relative_to(TOP).as_posix()


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _imports(file: Path) -> Iterator[str]:
    """Give the full name of everything a file imports, anywhere in it."""
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _importers(module: str) -> set[str]:
    return {
        _name(file)
        for file in _sources()
        if any(name == module or name.startswith(f"{module}.") for name in _imports(file))
    }


def _handlers_of(file: Path, caught: str) -> list[ast.ExceptHandler]:
    """Give the handlers that catch a name, alone or among others; one without a name catches everything."""
    return [
        node
        for node in ast.walk(_tree(file))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or any(isinstance(n, ast.Name) and n.id == caught for n in ast.walk(node.type)))
    ]


def test_import_contracts_hold() -> None:
    """The layers of the daemon, the thin client and the protocol alone, as pyproject.toml draws them."""
    lint = Path(sys.executable).with_name("lint-imports")

    result = subprocess.run([lint, "--no-cache"], cwd=TOP, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_sqlite_is_imported_in_one_file() -> None:
    """One gateway: one connection, in one thread."""
    assert _importers("sqlite3") == {"daemon/expd/queueing/database.py"}


def test_libgit2_is_imported_in_one_room() -> None:
    """What blocks, and what syncs nothing by itself, is in one place."""
    assert {str(Path(name).parent) for name in _importers("pygit2")} == {"daemon/expd/gitio"}


@pytest.mark.parametrize("room", ["execute", "collect", "pipeline", "gitio", "linux"])
def test_what_runs_on_other_hosts_knows_no_daemon(room: str) -> None:
    """A worker and all that stands below it import nothing of serve, queueing, dispatch or prepare."""
    forbidden = ("expd.serve", "expd.queueing", "expd.dispatch", "expd.prepare", "expd.app")
    files = (TOP / "daemon" / "expd" / room).rglob("*.py")

    found = [(_name(file), name) for file in files for name in _imports(file) if name.startswith(forbidden)]

    assert found == []


def test_the_client_is_light_to_start() -> None:
    """It imports neither an event loop nor libgit2, in no branch."""
    client = {module: _importers(module) for module in ("trio", "pygit2", "psutil", "expd")}

    assert [name for names in client.values() for name in names if name.startswith("client/")] == []


def test_everything_is_caught_only_where_it_is_said() -> None:
    """`except Exception` is a boundary with a reason; anywhere else it would hide a bug."""
    found = {_name(file) for file in _sources() if _handlers_of(file, "Exception")}

    assert found == set(CATCHES_EVERYTHING)


@pytest.mark.parametrize("name", CATCHES_EVERYTHING)
def test_a_boundary_says_why_it_is_one(name: str) -> None:
    """The reason stands on the line that catches."""
    lines = (TOP / name).read_text(encoding="utf-8").splitlines()

    uncommented = [node.lineno for node in _handlers_of(TOP / name, "Exception") if "#" not in lines[node.lineno - 1]]

    assert uncommented == []


def test_cancellation_is_never_swallowed() -> None:
    """What catches even cancellation and the end of the program cleans up and passes it on."""
    handlers = {_name(file): _handlers_of(file, "BaseException") for file in _sources()}
    catching = {name: nodes for name, nodes in handlers.items() if nodes}

    assert set(catching) == CLEANS_UP_AFTER_EVERYTHING
    for nodes in catching.values():
        assert all(isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None for node in nodes)


def test_files_fit_a_reading() -> None:
    """None has 450 lines."""
    long = {_name(file): len(file.read_text(encoding="utf-8").splitlines()) for file in _sources()}

    assert {name: lines for name, lines in long.items() if lines >= FILE_LINES_MAX} == {}


def test_functions_fit_a_screen() -> None:
    """None has more than 60 lines, its docstring among them."""
    found = {
        f"{_name(file)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for file in _sources()
        for node in ast.walk(_tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert {name: lines for name, lines in found.items() if lines > FUNCTION_LINES_MAX} == {}


def test_nothing_is_any() -> None:
    """`Any` turns the checker off; what is not known yet is `object`, and is looked at before it is used."""
    assert _importers("typing.Any") == set()
    assert [_name(file) for file in _sources() for node in ast.walk(_tree(file)) if _is_any(node)] == []


def _is_any(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id == "Any") or (isinstance(node, ast.Attribute) and node.attr == "Any")


@pytest.mark.parametrize("module", ["pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"])
def test_nothing_is_unpickled(module: str) -> None:
    """What can run code while it is read is read nowhere."""
    assert _importers(module) == set()


def test_no_socket_is_abstract() -> None:
    """A name that begins with NUL has no permissions: anybody may connect. No address of ours is made of one."""
    found = []
    for file in _sources():
        for node in ast.walk(_tree(file)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"bind", "connect"}
            ):
                texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
                found += [_name(file) for text in texts if isinstance(text, str | bytes) and text[:1] in {"\0", b"\0"}]

    assert found == []
