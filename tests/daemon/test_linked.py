"""Data that stays linked in a slot is what a fresh run would link, or it is gone."""

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.pictures import picture_of
from daemon.scripted import a_scripted_daemon, an_order, told_of
from daemon.test_worktree import Vandal
from daemon.worktrees import a_file, content_of
from expd.execute.linked import linked_path, load_linked, note
from expd.execute.worktree import check_out
from expd.gitio.repository import TreeFile
from expd.gitio.slots import Wanted
from expd.pipeline.cache import Cache
from expd.pipeline.hashing import Hasher
from expd.pipeline.model import Fingerprint
from expproto.vocabulary import RunId, Succeeded
from helpers.repositories import a_repository, git, write_files

FILES = {"data.dvc": a_file("the data"), "src": a_file("one\n"), ".gitignore": a_file("/data\n")}
COUNT = 120


class Scene:
    """A slot with a directory of links, and a cache that they lead to."""

    def __init__(self, top: Path) -> None:
        self.top, self.slot = top, top / "slot"
        for number in range(COUNT):
            file = top / "source" / f"{number % 3}" / f"{number}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{number}\n")
        self.cache = Cache(top / "cache", types=("symlink",))
        self.cache.directory.mkdir()
        content = Hasher().content(str(top / "source"))
        assert content is not None
        self.cache.store_content(content, top / "source")
        self.fingerprint: Fingerprint = content.fingerprint

    def use(self, files: dict[str, TreeFile] | None = None, terms: str | None = "terms") -> bool:
        """Use the slot as a run does, up to its first command; tells whether the data was still there."""
        files = FILES if files is None else files
        wanted = Wanted(files=lambda: files, reader=lambda _has_attributes: content_of)
        check_out(self.slot, wanted, data_terms=lambda: terms)
        is_there = os.path.lexists(self.data)
        if not is_there and "data" not in files:
            self.cache.check_out(self.fingerprint, self.data)
        if terms is not None:
            note(self.slot, ["data"], files, terms)
        return is_there

    @property
    def data(self) -> Path:
        """The directory of links."""
        return self.slot / "data"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Give a slot whose data has been linked by a run that did nothing."""
    scene = Scene(tmp_path)
    assert not scene.use()
    return scene


def test_untouched_links_stay(scene: Scene) -> None:
    """The next run has the same links, and so has the one after it; another file of the commit changes nothing of it."""
    made = {path: path.lstat().st_ctime_ns for path in scene.data.rglob("*")}

    found = [scene.use(), scene.use({**FILES, "src": a_file("two\n")})]

    assert found == [True, True]
    assert {path: path.lstat().st_ctime_ns for path in scene.data.rglob("*")} == made


def _tamper_with_object(scene: Scene) -> None:
    target = (scene.data / "1" / "1").readlink()
    target.chmod(0o644)


DAMAGE: dict[str, Callable[[Scene], object]] = {
    "a link removed": lambda scene: (scene.data / "1" / "1").unlink(),
    "a file added": lambda scene: (scene.data / "1" / "made").write_text("made\n"),
    "an empty directory added": lambda scene: (scene.data / "made").mkdir(),
    "a directory removed": lambda scene: subprocess.run(["rm", "-r", scene.data / "1"], check=True),
    "a file for a link": lambda scene: subprocess.run(["sed", "-i", "s/1/2/", scene.data / "1" / "1"], check=True),
    "a link for a link": lambda scene: subprocess.run(
        ["ln", "-sfn", (scene.data / "1" / "1").readlink(), scene.data / "1" / "4"], check=True
    ),
    "links exchanged": lambda scene: subprocess.run(
        ["sh", "-c", "mv 1/1 x; mv 1/4 1/1; mv x 1/4"], cwd=scene.data, check=True
    ),
    "a directory closed": lambda scene: (scene.data / "1").chmod(0o500),
    "a directory behind a link": lambda scene: subprocess.run(
        ["sh", "-c", "mv 1 ../elsewhere; ln -s ../elsewhere 1"], cwd=scene.data, check=True
    ),
    "all of it behind a link": lambda scene: subprocess.run(
        ["sh", "-c", "mv data ../elsewhere; ln -s ../elsewhere data"], cwd=scene.slot, check=True
    ),
    "an object gone": lambda scene: (scene.data / "1" / "1").readlink().unlink(),
    "an object that can be written": _tamper_with_object,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_data_is_gone(scene: Scene, damage: str) -> None:
    """Whatever a run did to one of its links, none of them is there for the next; what they led to is not touched."""
    DAMAGE[damage](scene)
    before = picture_of(scene.cache.directory)
    wanted = Wanted(files=lambda: FILES, reader=lambda _has_attributes: content_of)

    check_out(scene.slot, wanted, data_terms=lambda: "terms")

    assert not os.path.lexists(scene.data)
    assert load_linked(scene.slot) == {}
    assert picture_of(scene.cache.directory) == before


OTHERS: dict[str, tuple[dict[str, TreeFile], str | None]] = {
    "another .dvc file": ({**FILES, "data.dvc": a_file("other data")}, "terms"),
    "no .dvc file": ({path: file for path, file in FILES.items() if path != "data.dvc"}, "terms"),
    "another .gitignore": ({**FILES, ".gitignore": a_file("/data\n*.dvc\n")}, "terms"),
    "a .dvcignore": ({**FILES, "sub/.dvcignore": a_file("*\n")}, "terms"),
    "other settings of DVC": ({**FILES, ".dvc/config": a_file("[cache]\n")}, "terms"),
    "a file that Git has in its place": ({**FILES, "data": a_file("one\n")}, "terms"),
    "other terms": (FILES, "other"),
    "no terms": (FILES, None),
}


@pytest.mark.parametrize("other", OTHERS)
def test_data_of_another_commit_is_gone(scene: Scene, other: str) -> None:
    """What a fresh run would perhaps not have, or have otherwise, does not stay; nor does it come back with the old commit."""
    found = scene.use(*OTHERS[other])

    assert found == (other == "a file that Git has in its place")
    assert not scene.data.is_symlink()
    assert not any(path.is_dir() for path in [scene.data] if other == "a file that Git has in its place")


def test_links_as_young_as_what_is_written_down_are_not_believed(scene: Scene) -> None:
    """A link that is made in the place of another in the same instant could have the same times and number."""
    inodes = {path: path.lstat().st_ino for path in scene.data.rglob("*") if path.is_symlink()}
    youngest = max(path.lstat().st_ctime_ns for path in inodes)

    assert load_linked(scene.slot)["data"].noted_ns - 20_000_000 > youngest


@pytest.mark.parametrize("damage", [b"", b"not msgpack", b"\x92\x01\x91\x90", b"\x92\x63\x90", b"\xc0", b"cut"])
def test_without_what_is_written_down_nothing_stays(scene: Scene, damage: bytes) -> None:
    """Where it makes no sense, everything is linked again."""
    written = linked_path(scene.slot)
    written.write_bytes(written.read_bytes()[:-1] if damage == b"cut" else damage)

    assert not scene.use()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chance=st.randoms(use_true_random=False), rounds=st.integers(0, 3))
def test_after_any_damage_the_links_are_those_of_a_fresh_slot(scene: Scene, chance: random.Random, rounds: int) -> None:
    """They stay or are made anew: names, kinds, targets and modes are the same."""
    outside = scene.top / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "precious").write_text("precious\n")
    (outside / "a").write_text("outside\n")
    scene.use()
    expected = picture_of(scene.data)
    Vandal(scene.data, outside, chance).run(rounds)

    scene.use()

    assert picture_of(scene.data) == expected


def test_links_and_copies_of_the_same_files_are_told_apart(scene: Scene) -> None:
    """Only links are left: of a copy it can't be known so cheaply what a run did to it."""
    scene.cache.types = ("copy",)
    scene.cache.check_out(scene.fingerprint, scene.data)
    linked_path(scene.slot).unlink()
    note(scene.slot, ["data"], FILES, "terms")

    assert load_linked(scene.slot) == {}


COUNTING = "find data -type l | wc -l > seen; grep -q 'x: 1' params.yaml && echo spoiled > data/1/new; true"
PIPELINE = f"stages:\n  use:\n    cmd: {COUNTING!r}\n    deps: [data, params.yaml]\n    outs: [seen]\n".replace(
    "'x: 1'", "x..1"
)
DATA_FILE = "outs:\n- md5: {}\n  hash: md5\n  path: data\n"


@pytest.mark.parametrize("command", [None, ("sh", "-c", COUNTING)], ids=["pipeline", "command"])
def test_a_run_never_sees_what_another_did_to_its_data(tmp_path: Path, command: tuple[str, ...] | None) -> None:
    """Of three runs in one slot the second has the links of the first, adds to them, and the third has new ones."""
    linked = {"params.yaml": "x: 0\n", ".dvc/config": "[cache]\n    type = symlink\n"}
    repository, scene = a_repository(tmp_path / "user", linked), Scene(tmp_path)
    (repository / ".dvc" / "cache").symlink_to(scene.cache.directory)
    data_file = DATA_FILE.format(scene.fingerprint.md5)
    write_files(repository, {"data.dvc": data_file, "dvc.yaml": PIPELINE, ".gitignore": "/data\n/seen\n/.dvc/cache\n"})
    seen, made = list[str](), list[int]()
    for number in range(3):
        write_files(repository, {"params.yaml": f"x: {number}\n"})
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "--message", f"{number}")
        base = tmp_path / f"{number}"
        base.mkdir()
        order = an_order(base, repository, command, run=RunId(number + 1))
        slot = Path(order.worktree)

        with a_scripted_daemon(base) as scripted:
            outcome = scripted.run(order)

        assert isinstance(outcome, Succeeded), told_of(order)
        seen.append((slot / "seen").read_text().strip())
        made.append((slot / "data" / "1" / "1").lstat().st_ctime_ns)
        assert (slot / "data" / "1" / "new").exists() == (number == 1)
    assert seen == [str(COUNT)] * 3
    assert made[0] == made[1] < made[2]
