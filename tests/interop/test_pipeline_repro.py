"""Every project of the table is reproduced twice from the same start, by DVC and by us, and must come out the same."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from daemon.pipeline import oracle
from daemon.pipeline.cache_cases import CACHE_CASES
from daemon.pipeline.case import Case, Round
from daemon.pipeline.corner_cases import CORNER_CASES
from daemon.pipeline.driver import Reproduction, reproduce
from daemon.pipeline.fault_cases import FAULT_CASES
from daemon.pipeline.form_cases import FORM_CASES
from daemon.pipeline.odd_cases import ODD_CASES
from daemon.pipeline.oracle import write_files
from daemon.pipeline.plain_cases import PLAIN_CASES
from daemon.pipeline.random_cases import draw_case
from daemon.pipeline.template_cases import TEMPLATE_CASES

pytestmark = pytest.mark.interop

_SAID = (
    (re.compile(r"^Running stage '(.+)':$"), "ran"),
    (re.compile(r"^Stage '(.+)' didn't change, skipping$"), "unchanged"),
    (re.compile(r"^Stage '(.+)' is cached - skipping run, checking out outputs$"), "restored"),
    (re.compile(r"^Verifying outputs in frozen stage: '(.+)'$"), "frozen"),
)
# A few of the hundreds that were tried; each costs about a second and a half.
SEEDS = range(5)
CASES = (
    *PLAIN_CASES,
    *TEMPLATE_CASES,
    *CACHE_CASES,
    *FORM_CASES,
    *ODD_CASES,
    *CORNER_CASES,
    *FAULT_CASES,
    *map(draw_case, SEEDS),
)
_BY_NAME = {case.name: case for case in CASES}


@dataclass
class Seen:
    """What is left on disk after a round, and what happened in it: (word, stage) in order."""

    steps: list[tuple[str, str]]
    failed: bool
    files: dict[str, str]


@dataclass
class Twins:
    """The two copies of each project, what was seen after each round, and what `dvc status` says of ours in the end."""

    by_dvc: dict[str, list[Seen]]
    by_us: dict[str, list[Seen]]
    status: dict[str, str]
    said: dict[str, list[str]]


Step: TypeAlias = dict[str, object]


@contextmanager
def dvc_process(home: Path) -> Iterator[Callable[[Sequence[Step]], list[tuple[int, str]]]]:
    """Give what takes steps to one process with DVC in it, which sees no configuration but the projects' own."""
    environ = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(home / "site"),
        "DVC_GLOBAL_CONFIG_DIR": str(home / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "system"),
    }
    argv = [sys.executable, oracle.__file__]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def ask(steps: Sequence[Step]) -> list[tuple[int, str]]:
            print(json.dumps(steps), file=stdin, flush=True)
            return [(int(answer["code"]), str(answer["output"])) for answer in json.loads(stdout.readline())]

        yield ask


def ask_dvc(steps: Sequence[Step], home: Path) -> list[tuple[int, str]]:
    """Run some steps in one process with DVC in it."""
    with dvc_process(home) as ask:
        return ask(steps)


def start(case: Case, base: Path) -> Path:
    """A Git and DVC project with the files of a case, as `git init` and `dvc init` leave it."""
    root = base / case.name / "project"
    root.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    config = f"[core]\n    analytics = false\n{case.config}" if "[core]" not in case.config else case.config
    write_files(
        root,
        {
            ".dvc/config": config,
            ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
            ".dvcignore": "# nothing\n",
            **case.files,
        },
    )
    (root / "elsewhere").mkdir()
    return root


def change(root: Path, what: Round) -> None:
    """Change the project as the round says."""
    for name in what.remove:
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    write_files(root, what.write)


def look(project: Path) -> dict[str, str]:
    """Everything below and beside a project: kind, mode and content, except what only one side needs."""
    return dict(_look(project.parent))


def _look(base: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(base.rglob("*")):
        name = str(path.relative_to(base))
        if name.startswith(("project/.git/", "project/.dvc/tmp")) or name == "project/.git":
            continue
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink():
            yield name, f"link to {str(path.readlink()).replace(str(base), 'BASE')}"
        elif path.is_dir():
            yield name, f"directory {mode:o}"
        else:
            shared = "shared " if path.stat().st_nlink > 1 else ""
            content = path.read_bytes()
            yield (
                name,
                f"{shared}{mode:o} {content!r}" if len(content) < 100_000 else f"{shared}{mode:o} {len(content)}",
            )


def steps_said(output: str) -> list[tuple[str, str]]:
    """What DVC says it did with each stage, in order; data sources are no stages."""
    found = []
    for line in output.splitlines():
        for pattern, word in _SAID:
            match = pattern.match(line.strip())
            if match:
                found.append((word, match[1]))
    return found


def seen_of(done: Reproduction, project: Path) -> Seen:
    """What we did, in DVC's terms: it says `Running` before it fails, and nothing of a stage it can't start."""
    return Seen(done.steps, done.error is not None, look(project))


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """All projects, reproduced by both. One process of DVC does every round for every project."""
    base = tmp_path_factory.mktemp("twins")
    theirs = {case.name: start(case, base / "dvc") for case in CASES}
    setup: list[Step] = [
        {"directory": str(theirs[case.name]), "write": {}, "argv": [*words]} for case in CASES for words in case.setup
    ]
    with dvc_process(base) as ask:
        ask(setup)
        shutil.copytree(base / "dvc", base / "ours", symlinks=True)
        ours = {case.name: base / "ours" / case.name / "project" for case in CASES}
        found = Twins({}, {}, {}, {})
        for number in range(max(len(case.rounds) for case in CASES)):
            _do_round(found, number, theirs, ours, ask)
        answers = ask([{"directory": str(ours[case.name]), "write": {}, "argv": ["status"]} for case in CASES])
    found.status = {case.name: output for case, (_, output) in zip(CASES, answers, strict=True)}
    return found


def _do_round(
    found: Twins,
    number: int,
    theirs: dict[str, Path],
    ours: dict[str, Path],
    ask: Callable[[Sequence[Step]], list[tuple[int, str]]],
) -> None:
    cases = [case for case in CASES if number < len(case.rounds)]
    steps: list[Step] = []
    for case in cases:
        what = case.rounds[number]
        change(theirs[case.name], what)
        directory = theirs[case.name] / what.directory
        steps.append({"directory": str(directory), "write": {}, "argv": ["repro", *what.arguments]})
    for case, (code, output) in zip(cases, ask(steps), strict=True):
        seen = Seen(steps_said(output), code != 0, look(theirs[case.name]))
        found.by_dvc.setdefault(case.name, []).append(seen)
        found.said.setdefault(case.name, []).append(output)
    for case in cases:
        what = case.rounds[number]
        root = ours[case.name]
        change(root, what)
        done = reproduce(root, what.arguments, root / what.directory)
        found.by_us.setdefault(case.name, []).append(seen_of(done, root))
        found.said[case.name].append(repr(done.error))


@pytest.mark.parametrize("name", _BY_NAME)
def test_both_leave_the_same_bytes_behind(twins: Twins, name: str) -> None:
    """Worktree, dvc.lock, .gitignore, cache and run cache are equal in name, mode and content after every round."""
    for what, theirs, ours in zip(_BY_NAME[name].rounds, twins.by_dvc[name], twins.by_us[name], strict=True):
        kept = {f"project/{path}" for path in what.kept}
        assert {path: ours.files[path] for path in ours.files.keys() - kept} == theirs.files


@pytest.mark.parametrize("name", _BY_NAME)
def test_both_take_the_same_decisions(twins: Twins, name: str) -> None:
    """The same stages run, are skipped or restored, in the same order, and the same rounds fail."""
    for what, theirs, ours in zip(_BY_NAME[name].rounds, twins.by_dvc[name], twins.by_us[name], strict=True):
        assert theirs.failed == what.fails
        in_order = sorted if what.any_order else list
        assert (in_order(ours.steps), ours.failed) == (in_order(theirs.steps), theirs.failed)


@pytest.mark.parametrize("name", [case.name for case in CASES if case.is_current_after and not case.rounds[-1].fails])
def test_dvc_finds_our_project_up_to_date(twins: Twins, name: str) -> None:
    """What we recorded is current in the eyes of `dvc status`."""
    assert "up to date" in twins.status[name]
