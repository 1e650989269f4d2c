"""The experiments of one project, as a handler reads them: opened in a thread, remembered by commit."""

from collections.abc import Callable, Mapping
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


@dataclass(slots=True)
class OpenProject:
    """One project of a repository, opened for reading; belongs to the thread that opened it."""

    project: Project
    repository: Repository
    memory: ResultMemory
    _reader: ResultReader | None = None

    def facts_of(self, commit: Rev) -> Results:
        """Read one experiment but for its files, or remember it."""
        key = (str(self.project.location.common_directory), self.project.root, commit)
        found = self.memory.get(key)
        if found is None:
            if len(self.memory) >= _REMEMBERED_MAX:
                self.memory.pop(next(iter(self.memory)))
            found = self._read(lambda reader: reader.facts(commit))
            if found.error is None:
                self.memory[key] = found
        return found

    def results_of(self, commit: Rev, baseline: Rev | None) -> Results:
        """Read one experiment whole."""
        return self._read(lambda reader: reader.read(commit, baseline))

    def _read(self, read: Callable[[ResultReader], Results]) -> Results:
        """Read with the reader of the last time, or with a new one if somebody else's Git disturbed that."""

        def attempt() -> Results:
            reader, self._reader = self._reader or self._new_reader(), None
            found = read(reader)
            self._reader = reader
            return found

        try:
            return again_if_disturbed(attempt)
        except GitDisturbed as error:
            return Results(error=error.what)

    def _new_reader(self) -> ResultReader:
        return ResultReader(Repository(self.project.location.git_directory), self.project.root, self.cache())

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
