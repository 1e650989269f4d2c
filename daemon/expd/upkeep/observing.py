"""A repository as it is, beside what the store says of it: the facts that `queueing.recovery` decides on. Blocks."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal

from expd.gitio.errors import GitFailed, ObjectMissing
from expd.gitio.refs import ENTRIES, read_ref
from expd.gitio.repository import Repository
from expd.prepare.capture import is_held_meanwhile
from expd.queueing.keeping import KeptEntry
from expd.queueing.recovery import EntryFacts, SubmissionFacts
from expproto.vocabulary import Rev


def observe(git_directory: Path, kept: Sequence[KeptEntry], *, deep: bool) -> list[SubmissionFacts]:
    """Look for the refs and the stash commits of entries of one repository.

    With `deep` also for each object that a stash commit adds to its baseline, which takes a millisecond an entry.
    """
    repository = _open(git_directory)
    by_submission = groupby(sorted(kept, key=lambda each: each.held_as), key=lambda each: each.held_as)
    return [_observe_submission(git_directory, repository, list(each), deep=deep) for _held_as, each in by_submission]


def _open(git_directory: Path) -> Repository | None:
    """Open a repository; None if it is not there, as when its disk is not mounted."""
    if not (git_directory / "HEAD").exists():
        return None
    try:
        return Repository(git_directory)
    except GitFailed:
        return None


def _observe_submission(
    git_directory: Path, repository: Repository | None, kept: list[KeptEntry], *, deep: bool
) -> SubmissionFacts:
    entries = tuple(_observe_entry(repository, each, deep=deep) for each in kept)
    return SubmissionFacts(
        held_as=kept[0].held_as,
        git_directory=str(git_directory),
        captured_tree=kept[0].captured_tree,
        is_there=repository is not None,
        ref_state=None if repository is None else _ref_state(repository, kept, entries),
        entries=entries,
    )


def _observe_entry(repository: Repository | None, kept: KeptEntry, *, deep: bool) -> EntryFacts:
    has_snapshot, missing = (None, "") if repository is None else _snapshot(repository, kept.stash_rev, deep=deep)
    return EntryFacts(
        entry=kept.entry,
        state=kept.state,
        stash_rev=kept.stash_rev,
        has_snapshot=has_snapshot,
        missing=missing,
        has_environment=kept.has_environment,
    )


def _snapshot(repository: Repository, stash_rev: Rev, *, deep: bool) -> tuple[bool | None, str]:
    """Tell whether a stash commit can be read; None if that can't be told now."""
    try:
        tree = repository.tree_of(stash_rev)
        if not repository.has_object(tree):
            return False, f"tree {tree}"
        if deep:
            repository.check_present(repository.parents_of(stash_rev)[0], [stash_rev])
    except ObjectMissing as missing:
        return False, missing.what
    except GitFailed as failed:
        if repository.is_empty_file(stash_rev) or "is empty" in failed.what:
            return False, failed.what
        return None, failed.what
    return True, ""


def _ref_state(
    repository: Repository, kept: Sequence[KeptEntry], entries: Sequence[EntryFacts]
) -> Literal["whole", "wide", "absent", "damaged"] | None:
    """Read a submission's ref by its name: it holds each stash commit, as itself or as a parent."""
    ref = f"{ENTRIES}{kept[0].held_as}"
    try:
        keeper = read_ref(repository, ref)
    except GitFailed:
        return "damaged"
    if keeper is None:
        return "absent"
    try:
        held = {keeper, *repository.parents_of(keeper)}
    except GitFailed:
        return "damaged"
    wanted = {each.stash_rev for each in entries if each.has_snapshot}
    if not wanted <= held:
        return "damaged"
    return "wide" if is_held_meanwhile(repository, keeper) else "whole"
