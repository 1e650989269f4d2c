"""Bare repositories that keep what is written into them, and read everything else from others.

Written by hand, as the Git directories of worktrees are: no process, no lock, and what is in them goes with them.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from expd.gitio.locate import common_directory_of
from expd.gitio.slot import quoted


def lay_borrower(directory: Path, lenders: Sequence[Path], author: tuple[str, str] | None = None) -> None:
    """Write a bare repository into a directory that may be there, and empty; blocks. Raises OSError.

    `lenders` are the Git directories whose objects it reads; `author` is name and address of whoever commits in it.
    """
    objects = directory / "objects"
    (objects / "info").mkdir(parents=True)
    (directory / "refs" / "heads").mkdir(parents=True)
    alternates = [os.fsencode(common_directory_of(lender) / "objects") for lender in lenders]
    (objects / "info" / "alternates").write_bytes(b"".join(each + b"\n" for each in dict.fromkeys(alternates)))
    _write_rest(directory, author)


def lay_module(directory: Path, of: Path, author: tuple[str, str] | None = None) -> None:
    """Write the repository of a submodule below that of its superproject, `of`, with which it shares its objects."""
    (directory / "refs" / "heads").mkdir(parents=True)
    (directory / "objects").symlink_to(of / "objects", target_is_directory=True)
    _write_rest(directory, author)


def _write_rest(directory: Path, author: tuple[str, str] | None) -> None:
    lines = ["[core]", "\trepositoryformatversion = 0", "\tbare = true", "\tlogallrefupdates = false"]
    if author is not None:
        lines += ["[user]", f"\tname = {quoted(author[0])}", f"\temail = {quoted(author[1])}"]
    (directory / "config").write_bytes(os.fsencode("\n".join(lines) + "\n"))
    (directory / "HEAD").write_text("ref: refs/heads/main\n", encoding="ascii")
