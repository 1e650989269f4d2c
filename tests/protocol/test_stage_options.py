"""What options of a run mean together."""

import pytest

from expproto.stage_options import OnFailure, Reach, StageOptions, contradiction, names_pipelines


@pytest.mark.parametrize(
    ("options", "targets", "command", "said"),
    [
        (StageOptions(), (), None, None),
        (StageOptions(), (), ("true",), None),
        (StageOptions(on_failure=OnFailure.IGNORE), (), ("true",), "a command has no stages"),
        (StageOptions(stage_jobs=256), (), None, None),
        (StageOptions(stage_jobs=0), (), None, "a number from 1 to 256, not 0"),
        (StageOptions(stage_jobs=257), (), None, "a number from 1 to 256, not 257"),
        (StageOptions(reach=Reach.EVERYTHING), (), None, None),
        (StageOptions(reach=Reach.EVERYTHING), ("train",), None, "takes no targets"),
        (StageOptions(reach=Reach.EVERYTHING, recursive=True), (), None, "takes no targets"),
        (StageOptions(recursive=True), (), None, "needs a directory"),
        (StageOptions(recursive=True), ("models",), None, None),
        (StageOptions(reach=Reach.SINGLE, force_downstream=True), ("train",), None, "exclude each other"),
    ],
)
def test_contradictions_are_told(
    options: StageOptions, targets: tuple[str, ...], command: tuple[str, ...] | None, said: str | None
) -> None:
    """What makes no sense together has a sentence that says so; the rest has none."""
    found = contradiction(options, targets, command)

    assert found is None if said is None else said in (found or "")


@pytest.mark.parametrize(
    ("options", "targets", "named"),
    [
        (StageOptions(), (), False),
        (StageOptions(), ("train",), False),
        (StageOptions(), ("sub/dvc.yaml:train", "raw.csv.dvc"), True),
        (StageOptions(), ("sub/dvc.yaml", "train"), False),
        (StageOptions(reach=Reach.EVERYTHING), (), True),
        (StageOptions(recursive=True), ("models",), True),
    ],
)
def test_some_options_name_their_pipelines(options: StageOptions, targets: tuple[str, ...], *, named: bool) -> None:
    """Only a bare stage name, or nothing, means the dvc.yaml where it was typed."""
    assert names_pipelines(options, targets) is named
