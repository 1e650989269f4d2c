"""Files of an experiment into a directory: all or nothing, never over what is there, never outside."""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from expd.collect.fetching import AlreadyThere, Fetch, NoSuchResult, fetch
from expd.collect.results import ResultReader
from expd.gitio.repository import Repository
from expd.pipeline.cache import Cache
from expproto.vocabulary import Rev
from helpers.repositories import a_repository, git, write_files

WEIGHTS = "weights\n"
MD5 = hashlib.md5(WEIGHTS.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Scene:
    """An experiment with a file of each kind, and an empty place to fetch to."""

    project: Path
    baseline: Rev
    experiment: Rev
    place: Path

    def fetch(self, *paths: str, force: bool = False, root: str = ".") -> list[str]:
        """Fetch from the experiment as the handler does."""
        repository, cache = Repository(self.project / ".git"), Cache(self.project / ".dvc" / "cache")
        results = ResultReader(repository, root, cache).read(self.experiment, self.baseline)
        assert results.error is None, results.error
        order = Fetch(commit=self.experiment, root=root, paths=paths, directory=self.place, force=force)
        return fetch(repository, results.paths, cache, order)


def a_scene(tmp_path: Path, files: dict[str, str], links: dict[str, str] | None = None) -> Scene:
    """Make an experiment of files and links on top of a baseline; the object of WEIGHTS is in the cache."""
    project = a_repository(tmp_path / "project", {"base.txt": "base\n"})
    baseline = Rev(git(project, "rev-parse", "HEAD"))
    write_files(project, files)
    for path, target in (links or {}).items():
        (project / path).symlink_to(target)
    stored = project / ".dvc" / "cache" / "files" / "md5" / MD5[:2] / MD5[2:]
    write_files(project, {".git/info/exclude": "/.dvc\n", str(stored.relative_to(project)): WEIGHTS})
    stored.chmod(0o444)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "experiment")
    return Scene(project, baseline, Rev(git(project, "rev-parse", "HEAD")), tmp_path / "place")


POINTER = f"outs:\n- md5: {MD5}\n  size: {len(WEIGHTS)}\n  hash: md5\n  path: model.bin\n"


def test_everything_an_experiment_made_is_fetched(tmp_path: Path) -> None:
    """Without paths, all that differs from the baseline comes: files and links from Git, pointed-at files from the cache."""
    scene = a_scene(tmp_path, {"sub/metrics.json": "{}\n", "model.bin.dvc": POINTER}, {"link": "base.txt"})

    fetched = scene.fetch()

    assert sorted(fetched) == ["link", "model.bin", "sub/metrics.json"]
    assert (scene.place / "model.bin").read_text() == WEIGHTS
    assert (scene.place / "link").readlink() == Path("base.txt")
    assert (scene.place / "sub" / "metrics.json").read_text() == "{}\n"


def test_what_is_fetched_is_the_users_own(tmp_path: Path) -> None:
    """A file from the cache may be edited: it is a copy, and the cache's object stays as it is."""
    scene = a_scene(tmp_path, {"model.bin.dvc": POINTER})
    scene.fetch("model.bin")

    (scene.place / "model.bin").write_text("edited\n")

    stored = scene.project / ".dvc" / "cache" / "files" / "md5" / MD5[:2] / MD5[2:]
    assert (stored.read_text(), stat.S_IMODE(stored.stat().st_mode)) == (WEIGHTS, 0o444)


def test_any_file_of_the_experiment_can_be_named(tmp_path: Path) -> None:
    """A file that the baseline has as well comes when it is asked for, with its executable bit."""
    scene = a_scene(tmp_path, {"run.sh": "#!/bin/sh\n"})
    (scene.project / "run.sh").chmod(0o755)
    git(scene.project, "commit", "--quiet", "--all", "--message", "executable")
    scene = Scene(scene.project, scene.baseline, Rev(git(scene.project, "rev-parse", "HEAD")), scene.place)

    assert scene.fetch("base.txt", "./run.sh") == ["base.txt", "run.sh"]
    assert (scene.place / "run.sh").stat().st_mode & 0o111 == 0o111


def test_nothing_is_overwritten_and_nothing_half_done(tmp_path: Path) -> None:
    """One file that is there already refuses the whole, before the first is written; forced, it is replaced."""
    scene = a_scene(tmp_path, {"a": "a\n", "b": "b\n"})
    write_files(scene.place, {"b": "mine\n"})

    with pytest.raises(AlreadyThere, match=r"/b$"):
        scene.fetch()
    refused = sorted(path.name for path in scene.place.iterdir())
    scene.fetch(force=True)

    assert refused == ["b"]
    assert (scene.place / "b").read_text() == "b\n"


def test_a_dangling_link_is_something_that_is_there(tmp_path: Path) -> None:
    """A link to nowhere in the place of a file is not written through, forced or not."""
    scene = a_scene(tmp_path, {"a": "a\n"})
    scene.place.mkdir()
    (scene.place / "a").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(AlreadyThere):
        scene.fetch()
    scene.fetch(force=True)

    assert not (tmp_path / "elsewhere").exists()
    assert (scene.place / "a").read_text() == "a\n"


def test_an_object_that_is_missing_is_named(tmp_path: Path) -> None:
    """Without its object in the cache a file is refused with its md5 and what may help, and nothing else is written."""
    scene = a_scene(tmp_path, {"model.bin.dvc": POINTER.replace(MD5, "a" * 32), "a": "a\n"})

    with pytest.raises(NoSuchResult, match=rf"model\.bin: the cache has no {'a' * 32}.*dvc pull"):
        scene.fetch()

    assert not scene.place.exists()


@pytest.mark.parametrize("path", ["../outside", "/etc/hostname", "a/../../outside", "nonexistent", "sub", "", "."])
def test_what_the_experiment_does_not_have_is_refused(tmp_path: Path, path: str) -> None:
    """Paths outside the project, directories and files that are not there are refused, and nothing is written."""
    scene = a_scene(tmp_path, {"sub/a": "a\n"})

    with pytest.raises(NoSuchResult):
        scene.fetch(path)

    assert not scene.place.exists()


def test_a_pointer_that_leads_outside_is_refused(tmp_path: Path) -> None:
    """An experiment may say that its output lies elsewhere; it is not written there."""
    scene = a_scene(tmp_path, {"model.bin.dvc": POINTER.replace("model.bin", "../../evil")})

    with pytest.raises(NoSuchResult, match="outside"):
        scene.fetch()

    assert not (tmp_path / "evil").exists()


def test_nothing_is_written_through_a_link_that_came_along(tmp_path: Path) -> None:
    """An experiment with a link to elsewhere, and an output behind it, is refused: elsewhere nothing appears."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    scene = a_scene(tmp_path, {"evil.dvc": POINTER.replace("model.bin", "link/evil")}, {"link": str(elsewhere)})

    with pytest.raises(NoSuchResult, match="link"):
        scene.fetch("link", "link/evil")
    with pytest.raises(NoSuchResult, match="link"):
        scene.fetch("link/evil", force=True)

    assert list(elsewhere.iterdir()) == []


def test_a_project_in_a_subdirectory_has_paths_of_its_own(tmp_path: Path) -> None:
    """Paths are the project's: what lies beside it in the repository is not its result."""
    scene = a_scene(tmp_path, {"part/a": "a\n", "other": "o\n"})

    assert scene.fetch(root="part") == ["a"]
    assert (scene.place / "a").read_text() == "a\n"
