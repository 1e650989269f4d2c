"""Data that `.dvc` files track and the user has edited: into the cache, and its new hash into the captured `.dvc` file.

The user's own `.dvc` file stays as it is, as with `dvc exp run`; what was captured names what the workspace held. Hashes
are remembered by stat data in a memo of ours beside the repository, so that only what changed is read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expd.gitio.repository import REGULAR, Repository, TreeFile
from expd.pipeline.cache import Cache
from expd.pipeline.config import read_config
from expd.pipeline.memo import HashMemo
from expd.pipeline.model import DATA_FILE_SUFFIX
from expd.pipeline.sources import capture_sources
from expd.prepare.project import Project
from expproto.vocabulary import Rev

_MEMO_NAME = "data-hashes"


def capture_data(repository: Repository, tree: Rev, project: Project) -> Rev:
    """Give the tree with every `.dvc` file saying what the workspace holds now; the data itself is in the cache then."""
    root = Path(project.location.workspace, project.root)
    if not (root / ".dvc").is_dir() or not any(map(_is_data_file, repository.files_of(tree))):
        return tree
    prefix = "" if project.root == "." else f"{project.root}/"
    texts = _capture(root, project)
    changes: dict[str, TreeFile | None] = {
        prefix + path: TreeFile(rev=repository.write_blob(text.encode()), mode=REGULAR)
        for path, text in texts.items()
        if repository.file_at(tree, prefix + path) is not None
    }
    return repository.edit_tree(tree, changes) if changes else tree


def _capture(root: Path, project: Project) -> dict[str, str]:
    """Store what was edited, with the hashes that are known from before."""
    config = read_config(root)
    cache = Cache(project.cache, types=config.cache_types, shared=config.cache_shared)
    with remembered_hashes(project) as memo:
        return capture_sources(root, cache=cache, memo=memo)


@contextmanager
def remembered_hashes(project: Project) -> Iterator[HashMemo]:
    """Give the hashes known from before; those that are learnt are kept for the next submission."""
    memo, file = HashMemo(), project.location.private_directory / _MEMO_NAME
    memo.load(file)
    known = len(memo)
    yield memo
    if len(memo) != known:
        file.parent.mkdir(parents=True, exist_ok=True)
        memo.save(file)


def _is_data_file(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.endswith(DATA_FILE_SUFFIX) and name != DATA_FILE_SUFFIX
