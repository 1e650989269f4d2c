"""A program of its own: configurations composed by Hydra, one for each point, as `dvc exp run` composes params.yaml.

Hydra keeps the state of a composition in globals of the process, and `${oc.env:NAME}` reads the process's environment.
So it runs apart from the daemon, with the submitter's variables. A request as JSON on stdin, the answer on stdout.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

_FAULTS = (
    HydraException,
    OmegaConfBaseException,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a configuration provokes in the libraries; whatever else there is ends this program, and its last line is told."""


def answer(request: Mapping[str, object]) -> list[dict[str, str]]:
    """Compose every point: its YAML as `text`, or as `error` the first line of what Hydra says."""
    environment, points = request["environment"], request["points"]
    assert isinstance(environment, dict)
    assert isinstance(points, list)
    os.environ.clear()
    os.environ.update(environment)
    return [_composed(str(request["config_dir"]), str(request["config_name"]), point) for point in points]


def _composed(config_dir: str, config_name: str, overrides: Sequence[str]) -> dict[str, str]:
    try:
        with initialize_config_dir(config_dir, version_base=None):
            config = compose(config_name=config_name, overrides=list(overrides))
        OmegaConf.resolve(config)
        return {"text": OmegaConf.to_yaml(config)}
    except _FAULTS as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return {"error": lines[0].strip() if lines else type(error).__name__}


def main() -> None:
    """Answer one request; whatever the libraries print is no part of the answer."""
    descriptor = os.dup(1)
    os.dup2(2, 1)
    request: Mapping[str, object] = json.load(sys.stdin)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(answer(request), stream)


if __name__ == "__main__":
    main()
