"""Export and import: an entry travels to another clone as one file, and a file that is not whole queues nothing."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.daemons import RunningDaemon, rows
from helpers.repositories import a_repository, git, write_files

Members = dict[str, bytes]


@pytest.fixture
def clone(repository: Path) -> Path:
    """Give another clone with the baseline."""
    git(repository.parent, "clone", "--quiet", str(repository), "clone")
    return repository.parent / "clone"


@pytest.fixture
def file(daemon: RunningDaemon, repository: Path) -> Path:
    """Give the export of a sweep that waits, with edits and a new file, and a secret in its environment."""
    write_files(repository, {"train.sh": (repository / "train.sh").read_text() + "cat new.txt\n", "new.txt": "sent\n"})
    daemon.environ["TOKEN_OF_MINE"] = "canary"
    daemon.expctl(repository, "submit", "-S", "train.lr=1,2", "-n", "lr", "-m", "why", "--hold", "--time-limit", "1h")
    file = repository.parent / "lr.expd"
    daemon.expctl(repository, "export", "lr", str(file))
    return file


def _unpacked(file: Path) -> Members:
    with tarfile.open(file) as tar:
        return {member.name: _content(tar, member) for member in tar}


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = tar.extractfile(member)
    assert content is not None
    return content.read()


def _pack(file: Path, members: Members) -> None:
    with tarfile.open(file, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_a_sweep_travels_as_one_file(daemon: RunningDaemon, clone: Path, file: Path) -> None:
    """It runs in the other clone with its names, parameters, message and files, and the environment of who imports it."""
    daemon.environ["TOKEN_OF_MINE"] = "theirs"

    imported = rows(daemon.expctl_json(clone, "import", str(file)), "entries")
    daemon.expctl(clone, "wait", *(str(entry["id"]) for entry in imported))

    assert [(entry["name"], entry["params"]) for entry in imported] == [
        ("lr-1", {"train.lr": 1}),
        ("lr-2", {"train.lr": 2}),
    ]
    entries = daemon.entries(clone, *(str(entry["id"]) for entry in imported))
    shown = [git(clone, "show", f"{entry['experiment_rev']}:metrics.json") for entry in entries]
    assert shown == ['{"acc": 1}', '{"acc": 2}']
    assert "sent\n" in daemon.expctl(clone, "follow", str(entries[0]["id"]))
    assert git(clone, "show", "--no-patch", "--format=%s", str(entries[0]["experiment_rev"])) == "why"
    assert git(clone, "status", "--porcelain") == ""


def test_no_environment_is_in_the_file(file: Path) -> None:
    """Not a value, and not a name, of the submitting shell."""
    manifest = json.loads(_unpacked(file)["manifest.json"])

    assert manifest["limits"]["time_seconds"] == 3600
    assert "canary" not in file.read_bytes().decode("latin-1")
    assert "environment" not in manifest


def test_what_is_imported_on_hold_waits(daemon: RunningDaemon, clone: Path, file: Path) -> None:
    """`--hold` lets somebody look before anything of another's runs."""
    imported = rows(daemon.expctl_json(clone, "import", "--hold", str(file)), "entries")

    assert {entry["state"] for entry in imported} == {"held"}
    daemon.expctl(clone, "restore", str(imported[0]["id"]))
    assert (clone / "new.txt").read_text() == "sent\n"


def test_a_clone_without_the_baseline_is_told_what_to_fetch(daemon: RunningDaemon, repository: Path) -> None:
    """The commit is named; with --since an older one that it has will do."""
    other = a_repository(repository.parent / "other", {"x": "x"})
    git(other, "fetch", "--quiet", str(repository), "main:refs/heads/theirs")
    write_files(repository, {"later.txt": "later\n"})
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "later")
    daemon.expctl(repository, "submit", "-n", "late", "--hold", "--", "true")
    for name, more in (("thin", []), ("thick", ["--since", "HEAD~1"])):
        daemon.expctl(repository, "export", "late", str(repository.parent / name), *more)

    refused = daemon.run_expctl(other, "import", str(repository.parent / "thin"))
    daemon.expctl(other, "import", str(repository.parent / "thick"))

    assert refused.returncode == 6
    assert git(repository, "rev-parse", "HEAD").encode() in refused.stderr


def test_an_export_writes_over_nothing(daemon: RunningDaemon, repository: Path, file: Path) -> None:
    """A file that is there stays; and what has copies is refused by name."""
    before = file.read_bytes()
    (repository / "model.bin").write_text("weights")
    daemon.expctl(repository, "submit", "-n", "copied", "-C", "model.bin", "--hold", "--", "true")

    codes = [daemon.run_expctl(repository, "export", name, str(file)).returncode for name in ("lr", "copied")]

    assert codes == [5, 2]
    assert file.read_bytes() == before


def _manifest(change: Callable[[dict[str, object]], object]) -> Callable[[Members], Members]:
    def changed(members: Members) -> Members:
        manifest = json.loads(members["manifest.json"])
        change(manifest)
        return {**members, "manifest.json": json.dumps(manifest).encode()}

    return changed


def _entry(**fields: object) -> Callable[[Members], Members]:
    def change(manifest: dict[str, object]) -> None:
        rows(manifest, "entries")[0].update(fields)

    return _manifest(change)


def _bundle(change: Callable[[bytes], bytes]) -> Callable[[Members], Members]:
    return lambda members: {**members, "entry.bundle": change(members["entry.bundle"])}


HOSTILE: dict[str, Callable[[Members], Members]] = {
    "a truncated bundle": _bundle(lambda bundle: bundle[:-30]),
    "a changed object": _bundle(lambda bundle: bundle[:-60] + bytes([bundle[-60] ^ 1]) + bundle[-59:]),
    "no pack": _bundle(lambda bundle: bundle.split(b"PACK")[0]),
    "a third member": lambda members: {**members, "../../evil": b"x"},
    "a member elsewhere": lambda members: {"../manifest.json": members["manifest.json"], **members},
    "no bundle": lambda members: {"manifest.json": members["manifest.json"]},
    "no JSON": lambda members: {**members, "manifest.json": b"{"},
    "another version": _manifest(lambda manifest: manifest.update(version=2)),
    "an unknown field": _manifest(lambda manifest: manifest.update(environment={"A": "b"})),
    "a name that climbs": _entry(name="../../heads/main"),
    "a name that is an option": _entry(name="-x"),
    "a rev that is none": _entry(stash_rev="HEAD"),
    "a rev that is no stash": _manifest(lambda manifest: rows(manifest, "entries")[0].update(stash_rev=manifest["baseline_rev"])),
    "one name twice": _entry(name="lr-2"),
    "a limit that is no number": _manifest(lambda manifest: manifest.update(limits={"kind": "run_limits", "time_seconds": float("nan")})),
    "a root outside": _manifest(lambda manifest: manifest.update(root="../..")),
    "a directory in .git": _manifest(lambda manifest: manifest.update(directory=".git/hooks")),
    "a directory that is not there": _manifest(lambda manifest: manifest.update(directory="nowhere")),
    "another ref": _manifest(lambda manifest: manifest.update(ref="refs/heads/main")),
}  # fmt: skip
"""Damaged bundles first: what a whole one brought is in the repository, and nothing of another is needed then."""


def test_a_file_that_is_not_whole_queues_nothing(daemon: RunningDaemon, clone: Path, file: Path) -> None:
    """Each of these is refused with a reason, no ref stands, nothing is queued, and no temporary file stays."""
    good, codes = _unpacked(file), dict[str, int]()
    for number, (what, change) in enumerate(HOSTILE.items()):
        bad = file.with_name(f"bad-{number}")
        _pack(bad, change(good))
        codes[what] = daemon.run_expctl(clone, "import", str(bad)).returncode
    file.write_bytes(b"not a tar")
    codes["no tar"] = daemon.run_expctl(clone, "import", str(file)).returncode

    assert codes == dict.fromkeys([*HOSTILE, "no tar"], 6)
    assert len(daemon.entries(clone)) == 2
    assert git(clone, "for-each-ref", "refs/expd", "refs/heads/main") == git(clone, "for-each-ref", "refs/heads/main")
    assert list((clone / ".git/expd").glob("*.bundle")) == []


def test_a_name_that_is_taken_here_is_not_overwritten(daemon: RunningDaemon, clone: Path, file: Path) -> None:
    """A living entry keeps its name; of the import nothing stays, not even its ref."""
    daemon.expctl(clone, "submit", "-n", "lr-2", "--hold", "--", "true")
    refs = git(clone, "for-each-ref", "refs/expd")

    result = daemon.run_expctl(clone, "import", str(file))

    assert (result.returncode, b"lr-2" in result.stderr) == (5, True)
    assert git(clone, "for-each-ref", "refs/expd") == refs
