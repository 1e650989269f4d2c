"""A path in a tree → the file that is opened where the tree is checked out: links are followed, one file has one path."""

import os
from pathlib import PurePosixPath

from expd.gitio.errors import LeavesTree
from expd.gitio.repository import LINK, Repository
from expproto.vocabulary import Rev

_LINKS_MAX = 40
"""Links on the way to one file, as in path_resolution(7)."""


def follow_links(repository: Repository, tree: Rev, asked: PurePosixPath) -> str:
    """Give the path behind all links, whether or not there is a file; raises LeavesTree."""
    ahead, walked, links = list(asked.parts), list[str](), 0
    while ahead:
        part = ahead.pop(0)
        if part == "/" or (part == ".." and not walked):
            raise LeavesTree(str(asked), "is outside the repository, or named from the root")
        if part == "..":
            walked.pop()
            continue
        walked.append(part)
        found = repository.file_at(tree, "/".join(walked))
        if found is not None and found.mode == LINK:
            links += 1
            if links > _LINKS_MAX:
                raise LeavesTree(str(asked), "is a link that leads to itself")
            walked.pop()
            ahead[:0] = PurePosixPath(os.fsdecode(repository.read_blob(found.rev))).parts
    return "/".join(walked)
