"""One Submit prepared: names, points, parameters; every refusal leaves nothing behind."""

import json
import os
import random
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from expd.gitio.refs import RefChange, change_ref, experiment_ref
from expd.gitio.repository import Repository
from expd.prepare.capture import NoCommit, UnfinishedMerge
from expd.prepare.names import UnusableName, random_name
from expd.prepare.newfiles import NewFileLimits
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.project import find_project
from expd.prepare.submission import Circumstances, ExperimentExists, Prepared, prepare
from expproto.requests import Submit
from expproto.vocabulary import Rev
from helpers.repositories import a_repository, everything_of, git, write_files

if TYPE_CHECKING:
    from _typeshed import SupportsLenAndGetItem

T = TypeVar("T")
PARAMS = "lr: 0.1  # rate\nlayers: [1, 2]\nname: base\ntrain:\n  steps: 5\n"
ROOMY = NewFileLimits(file_bytes_max=10**6, bytes_max=10**6, count_max=100)
REF = "refs/expd/entries/request1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a repository with parameter files at two depths."""
    return a_repository(tmp_path / "project", {"params.yaml": PARAMS, "sub/other.json": '{"a": 1}\n', "sub/x": ""})


def _submit(path: Path, *overrides: str, **changed: object) -> Prepared:
    """Prepare a submission of a command typed at the root, or at `cwd` below it."""
    cwd = path / str(changed.pop("cwd", "."))
    living, rng = changed.pop("living", ()), changed.pop("rng", random.Random(7))
    assert isinstance(living, Collection)
    assert isinstance(rng, random.Random)
    circumstances = Circumstances(
        at=time.time(), rng=rng, points_max=20, new_files=ROOMY, living_names=living, held_as="request1"
    )
    fields: dict[str, object] = {"request_id": "request1", "cwd": str(cwd), "command": ("sh",), "overrides": overrides}
    request = Submit(**(fields | changed))  # type: ignore[arg-type]  # the names are its fields
    return prepare(request, find_project(cwd, command=request.command), circumstances)


def _names(prepared: Prepared) -> list[str]:
    return [point.name for point in prepared.points]


def _file(path: Path, prepared: Prepared, name: str = "params.yaml") -> list[str]:
    return [git(path, "show", f"{point.stash_rev}:{name}") + "\n" for point in prepared.points]


def _an_experiment(path: Path, name: str) -> None:
    head = Rev(git(path, "rev-parse", "HEAD"))
    change_ref(Repository(path / ".git"), RefChange(ref=experiment_ref(head, name), new=head))


def test_one_point_has_the_name_asked_for(path: Path) -> None:
    """One point, its baseline, its parameters."""
    prepared = _submit(path, "lr=0.2", name="tuned")

    assert prepared.baseline_rev == git(path, "rev-parse", "HEAD")
    assert [(point.name, point.params) for point in prepared.points] == [("tuned", {"lr": 0.2})]


def test_points_of_a_sweep_are_numbered(path: Path) -> None:
    """X-1 to X-N in the order of the sweep, each with its own values in its own file."""
    prepared = _submit(path, "lr=1,2", "name=a,b", name="x")

    assert _names(prepared) == ["x-1", "x-2", "x-3", "x-4"]
    assert [(point.params["lr"], point.params["name"]) for point in prepared.points] == [
        (1, "a"),
        (1, "b"),
        (2, "a"),
        (2, "b"),
    ]
    assert [text.splitlines()[0] for text in _file(path, prepared)] == ["lr: 1  # rate"] * 2 + ["lr: 2  # rate"] * 2


def test_a_template_names_points_by_their_values(path: Path) -> None:
    """The fields of the name are keys of the overrides, and their number."""
    assert _names(_submit(path, "lr=0.1,0.2", name="lr{lr}-{n}")) == ["lr0.1-1", "lr0.2-2"]


def test_points_that_would_share_a_name_are_refused(path: Path) -> None:
    """A template that does not tell points apart is no name for a sweep; nothing is held for it."""
    with pytest.raises(UnusableName) as refused:
        _submit(path, "lr=1,2", "name=a,b", name="lr{lr}")

    assert refused.value.hint == "add {n} to it"
    assert git(path, "for-each-ref", "refs/expd") == ""


def test_unnamed_points_get_names_that_nobody_has(path: Path) -> None:
    """Neither an experiment of the baseline, nor a living entry, nor another point has the name that chance gives."""
    drawn = random.Random(7)
    experiment, living = random_name(drawn), random_name(drawn)
    _an_experiment(path, experiment)

    names = _names(_submit(path, "lr=1,2,3,4,5", living=[living]))

    assert len(set(names)) == 5
    assert not {experiment, living} & set(names)


class _OneTrackMind(random.Random):
    """Chance that always gives the first of what there is."""

    def choice(self, seq: "SupportsLenAndGetItem[T]") -> T:
        """Give the first."""
        return seq[0]


def test_points_do_not_get_one_name_by_chance(path: Path) -> None:
    """Where chance repeats itself names are numbered: no point takes another one's."""
    names = _names(_submit(path, "lr=1,2,3", rng=_OneTrackMind()))

    assert names == [names[0], f"{names[0]}-2", f"{names[0]}-3"]


def test_an_experiments_name_is_kept_for_it(path: Path) -> None:
    """Only force takes it; under another baseline it is free."""
    _an_experiment(path, "x-2")

    with pytest.raises(ExperimentExists) as refused:
        _submit(path, "lr=1,2", name="x")
    forced = _submit(path, "lr=1,2", name="x", force=True)
    git(path, "commit", "--quiet", "--allow-empty", "--message", "next")
    elsewhere = _submit(path, "lr=1,2", name="x")

    assert (refused.value.name, refused.value.baseline_rev) == ("x-2", forced.baseline_rev)
    assert _names(forced) == _names(elsewhere) == ["x-1", "x-2"]


@pytest.mark.parametrize("name", ["-x", "a/b", "a b", "..", "x.lock", "é", "x" * 65, "--upload-pack=x", "{nowhere}"])
def test_names_that_are_no_ref_are_refused(path: Path, name: str) -> None:
    """What Git, ssh or a file system would take for something else is never tried."""
    with pytest.raises(UnusableName):
        _submit(path, name=name)

    assert git(path, "for-each-ref", "refs/expd") == ""


def test_values_that_json_can_not_hold_are_spelled(path: Path) -> None:
    """Infinities, not-a-number and huge integers are in the file as numbers, and in the queue as words."""
    (point,) = _submit(path, "lr=inf", "layers=[nan,-inf,1]", f"train.steps={2**70}", "+deep={a: {b: nan}}").points

    assert point.params == {
        "lr": "inf",
        "layers": ["nan", "-inf", 1],
        "train.steps": str(2**70),
        "deep": {"a": {"b": "nan"}},
    }
    assert json.loads(json.dumps(point.params, allow_nan=False)) == point.params


def test_a_file_is_named_from_where_the_command_was_typed(path: Path) -> None:
    """In a subdirectory its own files are meant, and `..` leads to those above."""
    prepared = _submit(path, "other.json:a=2", "../params.yaml:lr=0.5", cwd="sub")

    assert json.loads(_file(path, prepared, "sub/other.json")[0]) == {"a": 2}
    assert _file(path, prepared)[0].startswith("lr: 0.5 ")


SPELLINGS = ["params.yaml", "./params.yaml", "sub/../params.yaml", "alias.yaml", "links/up/params.yaml"]


@pytest.mark.parametrize("other", SPELLINGS)
def test_a_file_with_two_spellings_is_one_file(path: Path, other: str) -> None:
    """Overrides that name it differently, also through links, are all in what runs; the links stay links."""
    (path / "alias.yaml").symlink_to("params.yaml")
    (path / "links").mkdir()
    (path / "links" / "up").symlink_to("../")

    prepared = _submit(path, "lr=0.7", f"{other}:name=both", "sub/other.json:a=3", "train.steps=9")

    assert _file(path, prepared) == ["lr: 0.7  # rate\nlayers: [1, 2]\nname: both\ntrain:\n  steps: 9\n"]
    assert git(path, "ls-tree", str(prepared.points[0].stash_rev), "alias.yaml").startswith("120000 ")


OUTSIDE = {
    "above the repository": "../x.yaml:lr=1",
    "above through a directory": "sub/../../x.yaml:lr=1",
    "above through a link": "out/x.yaml:lr=1",
    "a link to elsewhere": "elsewhere.yaml:lr=1",
    "from the root": "/etc/x.yaml:lr=1",
    "a link to itself": "loop.yaml:lr=1",
    "not there": "gone.yaml:lr=1",
    "ignored": "ignored.yaml:lr=1",
    "a directory": "sub:lr=1",
}


@pytest.mark.parametrize("override", OUTSIDE.values(), ids=OUTSIDE)
def test_a_file_that_would_not_run_is_no_parameter_file(path: Path, override: str) -> None:
    """Outside the repository, behind a link that leaves it, ignored or absent: refused with the override's text."""
    (path / "out").symlink_to("../")
    (path / "elsewhere.yaml").symlink_to("/etc/hostname")
    (path / "loop.yaml").symlink_to("loop.yaml")
    write_files(path, {".gitignore": "ignored.yaml\n", "ignored.yaml": "lr: 1\n", "../x.yaml": "lr: 1\n"})

    with pytest.raises(OverrideError) as refused:
        _submit(path, override)

    assert refused.value.text == override
    assert git(path, "for-each-ref", "refs/expd") == ""


def test_the_environment_is_the_submitters(path: Path) -> None:
    """An interpolation reads what the client sent, as bytes, and never the daemon's own."""
    environment = ((b"RATE", b"0.9"), (b"ODD", b"\xff"))
    os.environ.pop("RATE", None)

    prepared = _submit(path, "name=${oc.env:RATE}", environment=environment)

    assert "name: '0.9'" in _file(path, prepared)[0].replace('"', "'")


def _no_commit(path: Path) -> None:
    git(path, "checkout", "--quiet", "--orphan", "fresh")


def _merging(path: Path) -> None:
    (path / ".git" / "MERGE_HEAD").write_text(git(path, "rev-parse", "HEAD") + "\n")


def _too_many(_path: Path) -> None:
    """Nothing has to be done: the sweep below has more points than are allowed."""


REFUSALS: dict[str, tuple[Callable[[Path], None], str, type[Exception]]] = {
    "no commit": (_no_commit, "lr=1", NoCommit),
    "a merge": (_merging, "lr=1", UnfinishedMerge),
    "too many points": (_too_many, "lr=range(100)", OverrideError),
}


@pytest.mark.parametrize(("make", "override", "error"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_leaves_nothing(
    path: Path, make: Callable[[Path], None], override: str, error: type[Exception]
) -> None:
    """Neither a ref nor an object of it is there afterwards."""
    make(path)
    before = sorted(path.rglob("*"))

    with pytest.raises(error):
        _submit(path, override)

    assert sorted(path.rglob("*")) == before


def test_preparing_touches_nothing_of_the_users(path: Path) -> None:
    """Objects and one ref are all that is written."""
    write_files(path, {"params.yaml": PARAMS + "new: 1\n", "new.txt": "new\n"})
    git(path, "add", "new.txt")
    before = everything_of(path)

    _submit(path, "lr=1,2,3")

    assert everything_of(path) == before
    assert git(path, "for-each-ref", "--format=%(refname)", "refs/expd") == REF


def test_prepared_twice_is_held_once(path: Path) -> None:
    """The same request again, as after a lost answer, moves its own ref and leaves no other."""
    _submit(path, "lr=1")

    second = _submit(path, "lr=1,2", name="again")

    assert git(path, "for-each-ref", "--format=%(refname)", "refs/expd") == REF
    assert git(path, "rev-list", "--parents", "--max-count=1", REF).split()[1:] == [
        point.stash_rev for point in second.points
    ]
