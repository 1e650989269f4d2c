"""Parts of the worker's work as a process of their own, to be measured beside DVC's; prints what it found as JSON.

alone.py store PATH CACHE    hash a file or directory, store it in a new cache, link it back
alone.py run ROOT            go through all stages of a project and record each, `cp` being their only command
alone.py check ROOT          read a project and examine every stage
"""

import json
import resource
import shutil
import sys
from collections import Counter
from pathlib import Path

from expd.pipeline.cache import Cache
from expd.pipeline.config import cache_directory
from expd.pipeline.hashing import Hasher
from expd.pipeline.memo import HashMemo
from expd.pipeline.project import Project, open_project


def _peak_bytes() -> int:
    """Give the most memory this process has had, in bytes (Linux counts in kilobytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def store(path: Path, directory: Path) -> dict[str, object]:
    """Do what is done with an output when its stage has ended."""
    before = _peak_bytes()
    content = Hasher(memo=HashMemo()).content(str(path))
    assert content is not None
    cache = Cache(directory)
    directory.mkdir()
    cache.store_content(content, path)
    cache.relink(content, path)
    return {"md5": content.fingerprint.md5, "peak_bytes": _peak_bytes(), "peak_bytes_before": before}


def run(root: Path) -> dict[str, object]:
    """Bring every stage up to date; each copies its dependency."""
    project = _open(root)
    for stage in project.order():
        shutil.copy(stage.deps[0].location, stage.outs[0].location)
        project.record(stage)
    return {}


def check(root: Path) -> dict[str, object]:
    """Examine every stage, with nothing remembered from before."""
    project = _open(root)
    verdicts = Counter(type(project.examine(stage)).__name__ for stage in project.order())
    return {"verdicts": dict(verdicts), "peak_bytes": _peak_bytes()}


def _open(root: Path) -> Project:
    return open_project(root, root, cache=Cache(cache_directory(root)), memo=HashMemo())


def main(words: list[str]) -> None:
    """Do one of the three."""
    name, *paths = words
    found = (
        store(Path(paths[0]), Path(paths[1])) if name == "store" else {"run": run, "check": check}[name](Path(paths[0]))
    )
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
