"""Two experiments, one a repetition of the other → what differs: outputs by their hashes, metrics by value, files by blob."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from expd.collect.results import Facts, Results
from expd.gitio.repository import Repository
from expd.pipeline.model import LOCK_FILE
from expproto.vocabulary import Rev


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not equal: an `output` or a `file` with its hash, a `metric` with its value; None if it is absent."""

    kind: str
    subject: str
    expected: str | None
    found: str | None


def differences(repository: Repository, expected: tuple[Rev, Results], found: tuple[Rev, Results]) -> list[Difference]:
    """Compare two experiment commits and what was read of them; dvc.lock only follows from what it records."""
    (expected_rev, expected_results), (found_rev, found_results) = expected, found
    listed = [
        *_unequal("output", _outputs(expected_results), _outputs(found_results)),
        *_unequal("metric", _values(expected_results.metrics), _values(found_results.metrics)),
        *_files(repository, expected_rev, found_rev),
    ]
    if expected_results.error != found_results.error:
        listed += _unequal("error", _error(expected_results), _error(found_results))
    return listed


def _unequal(kind: str, expected: Mapping[str, str], found: Mapping[str, str]) -> Iterable[Difference]:
    for subject in sorted(expected.keys() | found.keys()):
        if expected.get(subject) != found.get(subject):
            yield Difference(kind=kind, subject=subject, expected=expected.get(subject), found=found.get(subject))


def _outputs(results: Results) -> Mapping[str, str]:
    return {path.path: f"md5:{path.fingerprint.md5}" for path in results.paths if path.fingerprint is not None}


def _values(facts: Facts) -> Mapping[str, str]:
    return {f"{path}:{key}": repr(value) for (path, key), value in facts.items()}


def _files(repository: Repository, expected: Rev, found: Rev) -> Iterable[Difference]:
    trees = [repository.tree_of(rev) for rev in (expected, found)]
    for path in repository.changed_paths(*trees):
        if PurePosixPath(path).name != LOCK_FILE:
            blobs = [repository.file_at(tree, path) for tree in trees]
            texts = [None if blob is None else f"git:{blob.rev} {blob.mode:o}" for blob in blobs]
            yield Difference(kind="file", subject=path, expected=texts[0], found=texts[1])


def _error(results: Results) -> Mapping[str, str]:
    return {} if results.error is None else {"": results.error}
