"""Days of a machine in virtual time, each from a seed: the daemon decides, everything around it dies, stalls or is full.

The daemon is the real one, from the socket to the SQL and to Git's refs; processes and time are made up. What must hold is
said in `helpers.simulation.simulate`, and checked after every commit, at every start and at the end of each day. A seed that
failed goes into REGRESSIONS.
"""

import math
import time

import pytest

from helpers.seeds import a_seed
from helpers.simulation.simulate import Project, a_simulated_project, simulate

DAYS, SECONDS_MAX = 200, 5
"""A tenth of a second each where the machine is quiet; elsewhere there are fewer."""
MANY_DAYS = 3000
REGRESSIONS = {
    41: "an outcome whose run had ended in the store stayed on the disk for good",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give the repository that every day begins with."""
    return a_simulated_project(tmp_path_factory.mktemp("simulated") / "project")


def _live_days(project: Project, days: int, seconds_max: float) -> None:
    first, deadline = a_seed(), time.monotonic() + seconds_max
    seeds = runs = lives = 0
    while seeds < days and (seeds == 0 or time.monotonic() < deadline):
        day = simulate(first + seeds, project)
        seeds, runs, lives = seeds + 1, runs + day.runs, lives + day.lives
    print(f"{seeds} days from seed {first}: {lives} daemons, {runs} runs")  # noqa: T201 - how much was tried


def test_days_of_trouble_lose_nothing(project: Project) -> None:
    """On days drawn from a seed nothing acknowledged is lost, nothing runs twice, and rows, refs and processes agree."""
    _live_days(project, DAYS, SECONDS_MAX)


@pytest.mark.faults
def test_thousands_of_days_lose_nothing(project: Project) -> None:
    """So it is on thousands of days."""
    _live_days(project, MANY_DAYS, math.inf)


@pytest.mark.parametrize("seed", REGRESSIONS, ids=str)
def test_days_that_went_wrong_once_go_well(project: Project, seed: int) -> None:
    """What was found by a simulation stays mended."""
    assert simulate(seed, project).lives > 1


def test_a_day_is_the_same_whenever_it_is_lived(project: Project) -> None:
    """The same seed gives the same story, so that a failure can be looked at again; another seed gives another."""
    told = [_without_names(simulate(seed, project).story) for seed in (7, 7, 8)]

    assert told[0] == told[1]
    assert told[0] != told[2]


def _without_names(story: list[str]) -> list[str]:
    """Leave out what is not the seed's: revs and times depend on the hour, paths on the directory."""
    return [line.split("rev='")[0].split("at=")[0] for line in story if "/" not in line]
