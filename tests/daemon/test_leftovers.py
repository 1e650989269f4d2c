"""What lies about in the state directory, and who still needs it."""

from pathlib import Path

from expd.upkeep.leftovers import files_of_state, left_in_state
from expproto.vocabulary import RunId


def test_an_outcome_goes_once_the_store_has_it(tmp_path: Path) -> None:
    """A crash between a run's end in the store and the removal of its outcome leaves a file: it goes, others stay."""
    runs = tmp_path / "runs"
    runs.mkdir()
    for name in ("1.outcome", "1.log", "2.outcome", "2.log", "3.outcome"):
        (runs / name).touch()

    left = left_in_state(files_of_state(runs), {RunId(1): True, RunId(2): False})

    assert sorted(leftover.path.name for leftover in left) == ["1.outcome", "3.outcome"]
