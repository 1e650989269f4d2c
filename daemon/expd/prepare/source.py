"""A commit instead of the workspace: what `submit --from` runs. Nothing of the workspace is read.

A stash commit (ours, DVC's, or one of `git stash`) stands for its tree on top of its first parent, an experiment for
its tree on top of its baseline, any other commit for itself. What DVC keeps to itself is not taken over: a stash commit
of its queue holds a pickle, which is code of whoever made it.
"""

from collections.abc import Mapping
from pathlib import Path

from expd.gitio.errors import GitFailed, ObjectMissing
from expd.gitio.locate import locate
from expd.gitio.refs import experiments_of
from expd.gitio.repository import SUBMODULE, Repository, TreeFile
from expd.gitio.submodules import submodules_of
from expd.pipeline.config import cache_directory
from expd.pipeline.locations import is_private_to_dvc
from expd.pipeline.model import PIPELINE_FILES, PROJECT_FILE
from expd.pipeline.projectfile import holds_pipeline
from expd.prepare.capture import Capture, CapturedSubmodule
from expd.prepare.project import NothingToRun, Project
from expproto.vocabulary import Rev


class UnusableSource(Exception):
    """What `--from` names can't be run: `source`, `what`, and what to do (`hint`)."""

    def __init__(self, source: str, what: str, hint: str = "") -> None:
        super().__init__(source, what)
        self.source = source
        self.what = what
        self.hint = hint


def capture_commit(repository: Repository, rev: Rev) -> Capture:
    """Take a commit for a capture; raises UnusableSource where objects of it are missing."""
    try:
        baseline, index_tree = _shape_of(repository, rev)
        baseline_files = repository.files_of(repository.tree_of(baseline))
        tree = _without_private(repository, repository.tree_of(rev), baseline_files)
        index_tree = _without_private(repository, index_tree, baseline_files)
        files = repository.files_of(tree)
        submodules = _submodules_of(repository, tree)
    except (ObjectMissing, GitFailed) as error:
        raise _incomplete(rev, error.what) from error
    missing = [path for path, file in files.items() if file.mode != SUBMODULE and not repository.has_object(file.rev)]
    if missing:
        raise _incomplete(rev, f"{missing[0]} and {len(missing) - 1} more files are missing")
    return Capture(
        baseline_rev=baseline, index_tree=index_tree, workspace_tree=tree, files_tree=tree, submodules=submodules
    )


def _submodules_of(repository: Repository, tree: Rev) -> tuple[CapturedSubmodule, ...]:
    """Find the submodules that are here; their commits are held for the run like captured ones."""
    workspace = None if repository.handle.is_bare else Path(repository.handle.workdir)
    found = list(submodules_of(repository, tree, workspace))
    return tuple(
        CapturedSubmodule(path=each.path, git_directory=each.git_directory, head_rev=each.rev, rev=each.rev)
        for each in reversed(found)
    )


def _incomplete(rev: Rev, what: str) -> UnusableSource:
    hint = "fetch it whole, with the commit it starts from: git fetch REMOTE REV, or git push from where it is"
    return UnusableSource(rev, f"this repository does not hold all of it: {what}", hint)


def _shape_of(repository: Repository, rev: Rev) -> tuple[Rev, Rev]:
    """Give the baseline that a commit stands on, and the tree of its index."""
    parents = repository.parents_of(rev)
    if repository.is_stash_commit(rev):
        return parents[0], repository.tree_of(parents[1])
    if parents and rev in experiments_of(repository, parents[0]).values():
        return parents[0], repository.tree_of(parents[0])
    return rev, repository.tree_of(rev)


def _without_private(repository: Repository, tree: Rev, baseline_files: Mapping[str, TreeFile]) -> Rev:
    private = [path for path in repository.files_of(tree) if is_private_to_dvc(path) and path not in baseline_files]
    return repository.edit_tree(tree, dict.fromkeys(private)) if private else tree


def find_project_in(
    cwd: Path, rev: Rev, *, command: tuple[str, ...] | None, is_pipeline_named: bool = False
) -> Project:
    """Find the project of a directory as `find_project` does, but in the tree of a commit.

    The cache is that of the clone: its settings are not part of what is run.
    """
    location = locate(cwd)
    repository = Repository(location.git_directory)
    here = cwd.resolve().relative_to(location.workspace)
    above = [here, *here.parents]
    try:
        tree = repository.tree_of(rev)
        root = next((place for place in above if repository.has_path(tree, (place / ".dvc").as_posix())), Path())
        is_here = command is not None or is_pipeline_named
        directory = here if is_here else _pipeline_directory(repository, tree, above, root)
        if not repository.has_path(tree, directory.as_posix()):
            raise UnusableSource(rev, f"it has no directory {directory}", "go to one that it has, and repeat it")
    except GitFailed as error:
        raise _incomplete(rev, error.what) from error
    at_disk = location.workspace / root
    return Project(
        location=location,
        root=root.as_posix(),
        directory=directory.as_posix(),
        cache=cache_directory(at_disk) if (at_disk / ".dvc").is_dir() else location.private_directory / "cache",
    )


def _pipeline_directory(repository: Repository, tree: Rev, above: list[Path], root: Path) -> Path:
    for place in above:
        if place.is_relative_to(root) and any(
            _holds_pipeline(repository, tree, place / name) for name in PIPELINE_FILES
        ):
            return place
    raise NothingToRun(f"{above[0].as_posix()} of this commit")


def _holds_pipeline(repository: Repository, tree: Rev, file: Path) -> bool:
    content = repository.read_file(tree, file.as_posix())
    if content is None:
        return False
    return file.name == PROJECT_FILE or holds_pipeline(content.decode("utf-8", "replace"), file.name)
