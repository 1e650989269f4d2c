"""The experiments of one project, as a handler reads them: opened in a thread, remembered by commit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from expd.collect.results import ResultReader, Results
from expd.gitio.errors import GitDisturbed
from expd.gitio.refs import experiments_of
from expd.gitio.repository import Repository, again_if_disturbed
from expd.pipeline.cache import Cache
from expd.prepare.project import Project, find_project
from expproto.vocabulary import Rev

_REMEMBERED_MAX = 20_000
"""Experiments whose results are remembered: a few kilobytes each."""

ResultMemory = dict[tuple[str, str, Rev], Results]


@dataclass(frozen=True, slots=True)
class OpenProject:
    """One project of a repository, opened for reading; belongs to the thread that opened it."""

    project: Project
    repository: Repository
    memory: ResultMemory

    def results_of(self, commit: Rev, baseline: Rev | None) -> Results:
        """Read one experiment, or remember it."""
        key = (str(self.project.location.common_directory), self.project.root, commit)
        found = self.memory.get(key)
        if found is None:
            if len(self.memory) >= _REMEMBERED_MAX:
                self.memory.pop(next(iter(self.memory)))
            found = self._read(commit, baseline)
            if found.error is None:
                self.memory[key] = found
        return found

    def _read(self, commit: Rev, baseline: Rev | None) -> Results:
        git_directory = self.project.location.git_directory

        def read() -> Results:
            return ResultReader(Repository(git_directory), self.project.root, self.cache()).read(commit, baseline)

        try:
            return again_if_disturbed(read)
        except GitDisturbed as error:
            return Results(error=error.what)

    def experiments(self, baseline: Rev) -> Mapping[str, Rev]:
        """List the experiments of a baseline by name."""
        return experiments_of(self.repository, baseline)

    def cache(self) -> Cache:
        """Open the project's cache for reading."""
        return Cache(self.project.cache)


def open_project_at(cwd: str, memory: ResultMemory) -> OpenProject:
    """Open the project of a directory; raises NotARepository. It needs no pipeline to be looked at."""
    project = find_project(Path(cwd), command=())
    return OpenProject(project, Repository(project.location.git_directory), memory)
