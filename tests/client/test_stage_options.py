"""The options of a run through a pipeline, as typed: each arrives, and what contradicts itself is refused."""

from pathlib import Path

import pytest

from client.conftest import Expctl
from client.scripted import Step, a_page, an_entry, serving
from expctl.options import STAGE_OPTIONS
from expproto.replies import Submitted
from expproto.requests import Submit
from expproto.stage_options import OnFailure, Reach, StageOptions

ONE: list[Step] = [a_page(an_entry()), Submitted(submission=1, count=1)]


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ([], StageOptions()),
        (["-s", "train"], StageOptions(reach=Reach.SINGLE)),
        (["-p"], StageOptions(reach=Reach.PIPELINE)),
        (["-P"], StageOptions(reach=Reach.EVERYTHING)),
        (["--downstream", "train"], StageOptions(reach=Reach.DOWNSTREAM)),
        (["-R", "models"], StageOptions(recursive=True)),
        (["--force-downstream"], StageOptions(force_downstream=True)),
        (["-k"], StageOptions(on_failure=OnFailure.KEEP_GOING)),
        (["--ignore-errors"], StageOptions(on_failure=OnFailure.IGNORE)),
        (["--pull", "--allow-missing"], StageOptions(pull=True, allow_missing=True)),
        (["--stage-jobs", "4"], StageOptions(stage_jobs=4)),
        (["-kp", "train"], StageOptions(reach=Reach.PIPELINE, on_failure=OnFailure.KEEP_GOING)),
    ],
)
def test_options_arrive_as_one_value(sock: Path, expctl: Expctl, typed: list[str], sent: StageOptions) -> None:
    """What is typed, in long or short form or run together, is in the request."""
    with serving(sock, [ONE]) as daemon:
        expctl("submit", *typed)

    (request,) = daemon.requests
    assert isinstance(request, Submit)
    assert request.stage_options == sent


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["-s", "-p"], "--single-item and --pipeline exclude each other"),
        (["-P", "--downstream"], "--all-pipelines and --downstream exclude each other"),
        (["-k", "--ignore-errors"], "--keep-going and --ignore-errors exclude each other"),
        (["--dry"], "--dry is not there: what a stage would do depends on what those before it make"),
    ],
)
def test_contradictions_are_refused_before_anything_is_asked(expctl: Expctl, typed: list[str], said: str) -> None:
    """DVC lets one option win in silence; here both are named, and nothing is sent."""
    ran = expctl("submit", *typed)

    assert ran.code == 2
    assert said in ran.err


def test_every_stage_option_is_one_of_dvc() -> None:
    """Nobody has to learn new words: names and letters are those of `dvc exp run`, which has nothing like --stage-jobs."""
    assert {flag for option in STAGE_OPTIONS for flag in option.flags} - {"--stage-jobs"} == {
        *("-s", "--single-item", "-p", "--pipeline", "-P", "--all-pipelines", "-R", "--recursive", "--downstream"),
        *("--force-downstream", "-k", "--keep-going", "--ignore-errors", "--pull", "--allow-missing", "--dry"),
    }
