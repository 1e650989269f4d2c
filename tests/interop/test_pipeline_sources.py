"""Edited data is captured with the texts that `dvc commit` would write, and nothing of the user's changes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.pipeline.driver import a_cache
from daemon.pipeline.oracle import write_files
from expd.pipeline.hashing import hash_legacy_file
from expd.pipeline.sources import capture_sources

pytestmark = pytest.mark.interop


def dvc(root: Path, *words: str) -> None:
    """Run a command of DVC."""
    home = str(root.parent / "home")
    environ = dict.fromkeys(("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"), home)
    command = [str(Path(sys.executable).with_name("dvc")), *words]
    done = subprocess.run(
        command,
        cwd=root,
        env={**environ, "DVC_NO_ANALYTICS": "1", "PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same project with edited data twice; in the first DVC has committed the edits."""
    base = tmp_path_factory.mktemp("sources")
    theirs, ours = base / "theirs", base / "ours"
    write_files(
        theirs,
        {
            ".dvc/config": "[core]\n    analytics = false\n",
            "same": "same\n",
            "edited": "before\n",
            "tool": "#!\n",
            "data/x": "x\n",
            "data/y": "y\n",
            "sub/deep/raw": "raw\n",
            "becomes/directory": "d\n",
            "lost": "lost\n",
        },
    )
    subprocess.run(["git", "init", "-q", str(theirs)], check=True)
    dvc(theirs, "add", "-q", "same", "edited", "tool", "data", "sub/deep/raw", "becomes", "lost")
    (theirs / "lost").unlink()
    edited = theirs / "edited.dvc"
    edited.write_text("# about\ndesc: kept # inline\n" + edited.read_text() + "  desc: d\nmeta: {a: 1,   b: [x]}\n")
    legacy = {"old": b"o\r\nl\r\nd\r\n", "older": b"older\r\n"}
    for name, content in legacy.items():
        (theirs / name).write_bytes(content)
        md5 = hash_legacy_file(str(theirs / name))
        (theirs / f"{name}.dvc").write_text(f"outs:\n- md5: {md5}\n  size: {len(content)}\n  path: {name}\n")
        folded = theirs / ".dvc" / "cache" / md5[:2] / md5[2:]
        folded.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(theirs / name, folded)
    shutil.rmtree(theirs / "becomes")
    write_files(
        theirs,
        {
            "edited": "after\n",
            "tool!": "#! new\n",
            "data/z": "z\n",
            "sub/deep/raw": "cooked\n",
            "older": "changed\n",
            "becomes": "f\n",
        },
    )
    shutil.copytree(theirs, ours, symlinks=True)
    (ours / ".dvc" / "config").write_text("[cache]\n    type = hardlink\n")
    for name in ("same", "edited", "tool", "data", "sub/deep/raw", "becomes", "old", "older"):
        dvc(theirs, "commit", "-f", "-q", f"{name}.dvc")
    return theirs, ours


def test_captured_texts_are_those_that_dvc_writes(twins: tuple[Path, Path]) -> None:
    """Every .dvc file that `dvc commit` changes is captured with its bytes, and no other; its objects are in the cache."""
    theirs, ours = twins
    captured = capture_sources(ours, cache=a_cache(ours))
    assert sorted(captured) == ["becomes.dvc", "data.dvc", "edited.dvc", "older.dvc", "sub/deep/raw.dvc", "tool.dvc"]
    for path, text in captured.items():
        assert text == (theirs / path).read_text()
    for path in ("same.dvc", "old.dvc", "lost.dvc"):
        assert (ours / path).read_text() == (theirs / path).read_text()
    objects = {
        str(file.relative_to(theirs)) for file in (theirs / ".dvc" / "cache" / "files").rglob("*") if file.is_file()
    }
    assert {
        str(file.relative_to(ours)) for file in (ours / ".dvc" / "cache" / "files").rglob("*") if file.is_file()
    } == objects


def test_a_capture_changes_nothing_of_the_workspace(twins: tuple[Path, Path]) -> None:
    """Files keep inode, mode and times, whatever kind of link the cache makes."""
    _, ours = twins
    files = [file for file in ours.rglob("*") if file.is_file() and ".dvc/cache" not in str(file)]
    before = {file: file.stat() for file in files}
    capture_sources(ours, cache=a_cache(ours))
    for file, status in before.items():
        now = file.stat()
        assert (now.st_ino, now.st_mode, now.st_mtime_ns, now.st_ctime_ns, now.st_nlink) == (
            status.st_ino,
            status.st_mode,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_nlink,
        )
