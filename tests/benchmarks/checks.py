"""What must be true after a round: a side that does not do the work must not look fast."""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.arena import Arena, BenchmarkFailed

RESULTS = "refs/exps"
_REFS_OF_ENGINES = ("exec", "stash", "celery", "apply")
"""What DVC keeps below refs/exps beside results: its queue and its own marks."""


def result_files(project: Path) -> list[Path]:
    """Give the refs of results as loose files, cheaply: for waiting. `result_refs` is what decides."""
    results = project / ".git" / RESULTS
    parts = results.glob("[0-9a-f][0-9a-f]/*/*")
    return [path for path in parts if not path.name.endswith(".lock")]


def result_refs(arena: Arena, project: Path) -> list[str]:
    """Give the refs of results, as Git sees them."""
    names = arena.ask(["git", "for-each-ref", "--format=%(refname)", RESULTS], project).split()
    return [name for name in names if name.split("/")[2] not in _REFS_OF_ENGINES]


def check_points(arena: Arena, project: Path, points: Iterable[int]) -> None:
    """Raise BenchmarkFailed unless each of these values of x, and nothing else, is the metric of exactly one result."""
    refs = "".join(f"{ref}:metrics.yaml\n" for ref in result_refs(arena, project))
    (arena.directory / "wanted").write_text(refs, encoding="utf-8")
    script = f"git cat-file --batch='%(objecttype)' < {arena.directory}/wanted"
    said = [line for line in arena.ask(["sh", "-c", script], project).splitlines() if line]
    seen = sorted(line for line in said if line != "blob")
    expected = sorted(f"x: {point}" for point in points)
    if seen != expected:
        wrong = sorted(set(seen) ^ set(expected))[:20]
        raise BenchmarkFailed(f"{project.name}: {len(seen)} results, not {len(expected)}; not in both: {wrong}")


def check_count(what: str, seen: int, expected: int) -> None:
    """Raise BenchmarkFailed unless there are as many as there must be."""
    if seen != expected:
        raise BenchmarkFailed(f"{what}: {expected} were expected, not {seen}")
