"""Data that only a remote has, brought by the `dvc` of the submitter's environment (--pull).

DVC alone knows its remotes and their credentials. It runs in the worktree, whose cache is the user's, and fetches into
that; putting things in place stays our own business. What can't be brought is missing, and dealt with as such.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import trio

from expd.execute.commands import run_command
from expd.execute.freezing import Freezer
from expd.execute.runlog import RunLog
from expd.execute.turns import Turns
from expd.pipeline.changes import Changed, Restorable, Unchanged, Verdict
from expd.pipeline.model import DATA_FILE_SUFFIX, MissingDependencyError, Stage
from expd.pipeline.project import Project
from expd.pipeline.remotes import RUN_CACHE_ARGUMENTS, data_file_text, fetch_arguments, find_dvc


class Puller:
    """Pulls for one run."""

    def __init__(
        self, project: Project, turns: Turns, environment: Mapping[str, str], log: RunLog, freezer: Freezer
    ) -> None:
        self._project = project
        self._turns = turns
        self._alone = trio.Lock()  # dvc locks its repository, and gives up after three seconds
        self._asked = set[str]()
        self._log = log
        self._freezer = freezer
        self._environment = {
            **environment,
            "DVC_NO_ANALYTICS": "1",  # it would leave a process behind
            "PWD": project.root,
        }
        self._dvc = find_dvc(environment.get("PATH", ""))

    async def pull_ahead(self, order: Sequence[Stage], *, allow_missing: bool, is_forced: bool) -> None:
        """Bring in one go what can be known to be needed before anything has run, and what the remote knows of runs."""
        if not is_forced:
            self._log.note("Pulling the run cache")
            await self._call_dvc(RUN_CACHE_ARGUMENTS)
        if allow_missing:
            return
        targets = await self._turns.take(self._project.lacking, order)
        if not is_forced:
            targets += await self._turns.take(self._project.lacking_only_data, order)
        await self._fetch(targets)

    async def examine(self, stage: Stage, examine: Callable[[], Verdict]) -> Verdict:
        """Examine a stage; if all it lacks is data, or it can't run for want of data, bring that and look again."""
        async with self._alone:
            return await self._examine(stage, examine)

    async def _examine(self, stage: Stage, examine: Callable[[], Verdict]) -> Verdict:
        verdict = await self._turns.take(_verdict_or_lack, examine)
        if isinstance(verdict, MissingDependencyError):
            await self._pull_inputs(stage, verdict)
            verdict = await self._turns.take(examine)
        if isinstance(verdict, Unchanged | Restorable):
            return verdict
        targets = await self._turns.take(self._project.lacking_only_data, [stage])
        if targets:
            await self._fetch(targets)
        elif not isinstance(verdict, Changed) or not await self._fetch_known_run(stage):
            return verdict
        return await self._turns.take(examine)

    async def _fetch_known_run(self, stage: Stage) -> bool:
        """Bring the outputs of an earlier run with the same inputs, if there was one; they stand in no dvc.lock here."""
        if stage.address in self._asked:
            return False
        lacking = await self._turns.take(self._project.lacking_of_known_run, stage)
        if not lacking:
            return False
        self._asked.add(stage.address)
        name = f"expd-pull-{secrets.token_hex(8)}"
        file = Path(self._project.root, name + DATA_FILE_SUFFIX)
        self._log.note(f"Pulling what '{self._project.address(stage)}' made with the same inputs")
        with _written(file, data_file_text(lacking, name)):
            await self._call_dvc(fetch_arguments([file.name]))
        return True

    async def _pull_inputs(self, stage: Stage, missing: MissingDependencyError) -> None:
        lacking = await self._turns.take(self._project.lacking, [stage])
        if not lacking:
            raise missing
        await self._fetch(lacking)
        await self._turns.take(lambda: self._project.link_data_sources([stage], allow_missing=True))

    async def _fetch(self, targets: Sequence[str]) -> None:
        if not targets:
            return
        self._log.note(f"Pulling {', '.join(targets)}")
        await self._call_dvc(fetch_arguments(targets))

    async def _call_dvc(self, arguments: Sequence[str]) -> None:
        argv = [self._dvc, *arguments]
        code = await run_command(argv, Path(self._project.root), self._environment, self._log.descriptor, self._freezer)
        if code != 0:
            self._log.note(f"expd: `dvc fetch` ended with {code}; going on with what is there")


@contextmanager
def _written(file: Path, text: str) -> Iterator[None]:
    """Let a file be there while inside."""
    try:
        file.write_text(text, "utf-8")
        yield
    finally:
        file.unlink(missing_ok=True)


def _verdict_or_lack(examine: Callable[[], Verdict]) -> Verdict | MissingDependencyError:
    try:
        return examine()
    except MissingDependencyError as error:
        return error
