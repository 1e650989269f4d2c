"""Repositories that make capturing hard, each a function that makes one in a directory and gives its workspace."""

import os
import shutil
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path

from helpers.repositories import a_repository, add_submodule, git, write_files

FILES = {
    "a.txt": "a\n",
    "tool.sh": "#!/bin/sh\n",
    "d/b.txt": "b\n",
    "d/deep/c.txt": "c\n",
    "e/x": "x\n",
    ".gitignore": "*.log\n/out/\n",
}


def _project(directory: Path, files: dict[str, str] | None = None) -> Path:
    return a_repository(directory / "project", {**FILES, **(files or {})})


def _edit(path: Path) -> Path:
    """Do a bit of everything."""
    write_files(path, {"a.txt": "staged\n"})
    git(path, "add", "a.txt")
    write_files(path, {"a.txt": "edited\n", "new/n.txt": "new\n", "x.log": "ignored\n"})
    (path / "tool.sh").chmod(0o755)
    (path / "d" / "b.txt").rename(path / "e" / "moved.txt")
    return path


def edited(directory: Path) -> Path:
    """Staged and unstaged edits, new and ignored files, a move, a mode."""
    return _edit(_project(directory))


def types_changed(directory: Path) -> Path:
    """Files, directories and links in each other's places."""
    path = _project(directory)
    for name, target in {"link": "a.txt", "to-directory": "d", "dangling": "../gone"}.items():
        (path / name).symlink_to(target)
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "links")
    (path / "link").unlink()
    write_files(path, {"link": "a file now\n"})
    (path / "a.txt").unlink()
    write_files(path, {"a.txt/inside": "inside\n"})
    shutil.rmtree(path / "d")
    (path / "d").symlink_to("/etc")
    shutil.rmtree(path / "e")
    write_files(path, {"e": "a file now\n"})
    return path


def names(directory: Path) -> Path:
    """Twins in case and in Unicode's forms, control characters, whatever Git allows."""
    twins = {unicodedata.normalize(form, "na\u00efve-\u00e9.txt"): f"{form}\n" for form in ("NFC", "NFD")}
    odd = {
        "README": "upper\n",
        "readme": "lower\n",
        "x ": "1",
        "y\nz": "2",
        "back\\s": "3",
        "[x]*": "4",
        "-o": "5",
        "\t": "6",
    }
    path = _project(directory, {**twins, **odd})
    write_files(path, dict.fromkeys([*twins, "readme", "y\nz"], "edited\n"))
    write_files(path, {"Readme": "new\n", unicodedata.normalize("NFD", "\u00fc"): "new\n", ":(glob)*": "new\n"})
    return path


def names_of_bytes(directory: Path) -> Path:
    """Names that are no UTF-8: tracked, edited, deleted, new, ignored, in directories with such names, and links."""
    path = _project(directory)
    caf, gone, below = (os.fsdecode(name) for name in (b"caf\xe9.txt", b"gone\xff", b"dir\xe8/x"))
    write_files(path, {caf: "caf\n", gone: "gone\n", below: "x\n", ".gitattributes": "*.txt text\n"})
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "bytes")
    (path / ".gitignore").write_bytes(b"*.log\nsecr\xe9t*\n")
    (path / gone).unlink()
    write_files(
        path, {caf: "edited\n", os.fsdecode(b"dir\xe8/new\xe9"): "new\n", os.fsdecode(b"secr\xe9t1"): "ignored\n"}
    )
    (path / "link").symlink_to(caf)
    return path


def moved_in_case(directory: Path) -> Path:
    """A rename that changes the case alone, where Git is told that case does not matter."""
    path = _project(directory)
    git(path, "mv", "a.txt", "A.txt")
    (path / "d").rename(path / "D")
    return path


def case_ignored(directory: Path) -> Path:
    """core.ignoreCase and core.precomposeUnicode on a file system that has both."""
    path = _edit(_project(directory))
    git(path, "config", "core.ignoreCase", "true")
    git(path, "config", "core.precomposeUnicode", "true")
    return path


def long_paths(directory: Path) -> Path:
    """A path near what Linux allows, and a name as long as one can be."""
    deep = "/".join(["n" * 200] * 12)
    path = _project(directory, {f"{deep}/file": "deep\n"})
    write_files(path, {f"{deep}/file": "edited\n", f"{deep}/new": "new\n", "m" * 255: "long\n"})
    return path


def no_modes(directory: Path) -> Path:
    """core.fileMode=false: modes of the file system mean nothing."""
    path = _project(directory)
    git(path, "update-index", "--chmod=+x", "tool.sh")
    git(path, "commit", "--quiet", "--message", "executable")
    git(path, "config", "core.fileMode", "false")
    for name in ("a.txt", "d/b.txt"):
        (path / name).chmod(0o755)
    write_files(path, {"tool.sh": "#!/bin/sh\necho edited\n"})
    return path


def no_links(directory: Path) -> Path:
    """core.symlinks=false: links are files that hold where they lead."""
    path = _project(directory)
    (path / "link").symlink_to("a.txt")
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "link")
    git(path, "config", "core.symlinks", "false")
    (path / "link").unlink()
    git(path, "checkout", "--quiet", "--", "link")
    return _edit(path)


def no_files(directory: Path) -> Path:
    """A socket and a pipe among the files."""
    path = _edit(_project(directory))
    os.mkfifo(path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(path)
        listening.bind("socket")
        os.chdir(here)
    return path


def line_endings(directory: Path) -> Path:
    """Line endings by attribute and by setting."""
    path = _project(directory, {".gitattributes": "*.crlf text eol=crlf\n*.lf text eol=lf\n*.raw -text\n"})
    git(path, "config", "core.autocrlf", "true")
    for name in ("w.crlf", "u.lf", "r.raw", "t.txt"):
        (path / name).write_bytes(b"one\ntwo\n" if name == "u.lf" else b"one\r\ntwo\r\n")
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "endings")
    for name in git(path, "ls-files").splitlines():
        (path / name).unlink()
    git(path, "checkout", "--quiet", "--", ".")
    (path / "w.crlf").write_bytes(b"edited\r\n")
    (path / "t.txt").write_bytes(b"edited\r\n")
    return path


def detached(directory: Path) -> Path:
    """HEAD is a commit, not a branch."""
    path = _project(directory)
    git(path, "checkout", "--quiet", "--detach")
    return _edit(path)


def packed(directory: Path) -> Path:
    """Everything is packed, refs too."""
    path = _project(directory)
    git(path, "gc", "--quiet")
    git(path, "pack-refs", "--all")
    return _edit(path)


def shallow(directory: Path) -> Path:
    """History ends after one commit."""
    origin = _project(directory / "of")
    git(origin, "commit", "--quiet", "--allow-empty", "--message", "second")
    git(directory, "clone", "--quiet", "--depth=1", f"file://{origin}", "project")
    return _edit(directory / "project")


def borrowed(directory: Path) -> Path:
    """The objects are somebody else's."""
    origin = _project(directory / "of")
    git(directory, "clone", "--quiet", "--shared", str(origin), "project")
    return _edit(directory / "project")


def linked(directory: Path) -> Path:
    """A work tree beside the main one, with settings of its own."""
    main = _project(directory / "of")
    git(main, "config", "extensions.worktreeConfig", "true")
    git(main, "worktree", "add", "--quiet", str(directory / "project"))
    git(directory / "project", "config", "--worktree", "core.autocrlf", "input")
    return _edit(directory / "project")


def elsewhere(directory: Path) -> Path:
    """The Git directory lies somewhere else."""
    path = _project(directory)
    git(path, "init", "--quiet", "--separate-git-dir", str(directory / "elsewhere"))
    return _edit(path)


def sparse_cone(directory: Path) -> Path:
    """Only a few directories are checked out."""
    path = _project(directory)
    git(path, "sparse-checkout", "set", "d")
    write_files(path, {"d/b.txt": "edited\n", "d/new": "new\n"})
    return path


def sparse_patterns(directory: Path) -> Path:
    """Only a few files are checked out, and the index is sparse as well."""
    path = _project(directory)
    git(path, "sparse-checkout", "set", "--no-cone", "/a.txt", "/d/deep/")
    write_files(path, {"a.txt": "edited\n"})
    return path


def with_submodules(directory: Path) -> Path:
    """A submodule and one in it, with edits in both."""
    inner = a_repository(directory / "of-inner", {"i.txt": "i\n"})
    library = a_repository(directory / "of-lib", {"s.txt": "s\n", ".gitignore": "*.log\n"})
    add_submodule(library, inner, "inner")
    path = _project(directory)
    add_submodule(path, library, "lib")
    write_files(
        path, {"lib/s.txt": "edited\n", "lib/new.txt": "new\n", "lib/x.log": "ignored\n", "lib/inner/i.txt": "edited\n"}
    )
    return _edit(path)


def with_lfs(directory: Path) -> Path:
    """Git LFS, edits not committed; its program need not be there."""
    path = _project(directory, {".gitattributes": "*.bin filter=lfs -text\n"})
    write_files(path, {"w.bin": "weights\n", "d/v.bin": "more weights\n"})
    return path


REPOSITORIES: dict[str, Callable[[Path], Path]] = {
    make.__name__.replace("_", " "): make
    for make in (
        edited, types_changed, names, names_of_bytes, moved_in_case, case_ignored, long_paths, no_modes, no_links, no_files,
        line_endings, detached, packed, shallow, borrowed, linked, elsewhere, sparse_cone, sparse_patterns,
        with_submodules, with_lfs,
    )
}  # fmt: skip


def _bare(directory: Path) -> Path:
    git(directory, "init", "--quiet", "--bare", "project")
    return directory / "project"


def _no_commit(directory: Path) -> Path:
    git(directory, "init", "--quiet", "project")
    write_files(directory / "project", {"a.txt": "a\n"})
    return directory / "project"


def _merging(directory: Path) -> Path:
    path = _project(directory)
    git(path, "branch", "other")
    git(path, "commit", "--quiet", "--allow-empty", "--message", "here")
    git(path, "checkout", "--quiet", "other")
    git(path, "commit", "--quiet", "--allow-empty", "--message", "there")
    git(path, "merge", "--quiet", "--no-commit", "main")
    return path


def _with_sha256(directory: Path) -> Path:
    git(directory, "init", "--quiet", "--object-format=sha256", "project")
    git(directory / "project", "commit", "--quiet", "--allow-empty", "--message", "start")
    return directory / "project"


def _with_reftable(directory: Path) -> Path:
    path = _project(directory)
    git(path, "config", "core.repositoryFormatVersion", "1")
    git(path, "config", "extensions.refStorage", "reftable")
    return path


def _of_somebody_else(directory: Path) -> Path:
    path = _project(directory)
    for place in (path, path / ".git"):
        os.chown(place, 65534, 65534)
    return path


def _partial(directory: Path) -> Path:
    origin = _project(directory / "of")
    git(origin, "config", "uploadpack.allowFilter", "true")
    git(directory, "clone", "--quiet", "--filter=blob:none", "--sparse", f"file://{origin}", "project")
    return directory / "project"


def _submodule_merging(directory: Path) -> Path:
    path = with_submodules(directory)
    (path / "lib" / "s.txt").write_text("s\n")
    git(path / "lib", "checkout", "--quiet", "-b", "other")
    git(path / "lib", "commit", "--quiet", "--allow-empty", "--message", "x")
    git(path / "lib", "checkout", "--quiet", "main")
    git(path / "lib", "merge", "--quiet", "--no-ff", "--no-commit", "other")
    return path


def _with_git_crypt(directory: Path) -> Path:
    path = _project(directory, {".gitattributes": "d/** filter=git-crypt\n"})
    git(path, "config", "filter.git-crypt.smudge", "git-crypt smudge")
    return path


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "bare": (_bare, "the repository is bare"),
    "no commit": (_no_commit, "has no commit"),
    "merging": (_merging, "a merge is in progress"),
    "sha256": (_with_sha256, "unknown object format 'sha256'"),
    "reftable": (_with_reftable, "unsupported extension name extensions.refstorage"),
    "of somebody else": (_of_somebody_else, "git config --global --add safe.directory"),
    "partial and sparse": (_partial, "its content was not fetched into this partial clone"),
    "submodule merging": (_submodule_merging, "lib: a merge is in progress in this submodule"),
    "git-crypt": (_with_git_crypt, ".gitattributes: it asks for the filter git-crypt"),
}
"""Repositories that can't be captured, and what is said of each."""
