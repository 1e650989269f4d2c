"""One more stage in a dvc.yaml, as `dvc stage add` writes it (dvc/stage/serialize.py, dvc/dvcfile.py).

Promise: pure. The rest of the text keeps its bytes, or, where the stage can't be appended, its comments and its order; nothing
in the new stage is a template.
"""

import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from ruamel.yaml import YAML

from expd.pipeline.documents import MismatchError, View, located, parse_yaml
from expd.pipeline.locktext import dumped
from expd.pipeline.model import DEFAULT_PARAMS_FILE, Commands, PipelineError
from expd.pipeline.schema import check_document

_STAGE = re.compile(r"  [^ #]")
"""The first line of a stage, indented as DVC does it; in a file with another indentation the stage is not appended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A stage to be: its command, and paths as they will be written.

    `params` is file → keys, none of which means the whole file; of the outputs, `cached` and `cached_plots` go to the
    cache. One that reads nothing it could be known by `always_runs`.
    """

    commands: Commands
    deps: Sequence[str] = ()
    params: Mapping[str, Sequence[str]]
    cached: Sequence[str] = ()
    uncached: Sequence[str] = ()
    metrics: Sequence[str] = ()
    cached_plots: Sequence[str] = ()
    uncached_plots: Sequence[str] = ()
    always_runs: bool = False

    def definition(self) -> dict[str, object]:
        """What stands below the stage's name, each list by path, as DVC sorts them."""
        commands = self.commands
        lists: dict[str, list[object]] = {
            "deps": [_literal(path) for path in sorted(self.deps)],
            "params": _params(self.params),
            "outs": _outputs(self.cached, self.uncached),
            "metrics": _outputs((), self.metrics),
            "plots": _outputs(self.cached_plots, self.uncached_plots),
        }
        found: dict[str, object] = {
            "cmd": _literal(commands) if isinstance(commands, str) else [_literal(command) for command in commands]
        }
        found |= {key: items for key, items in lists.items() if items}
        return found | ({"always_changed": True} if self.always_runs else {})


def _literal(text: str) -> str:
    """The text with nothing in it that interpolation would see."""
    return text.replace("${", "\\${")


def _outputs(cached: Sequence[str], uncached: Sequence[str]) -> list[object]:
    kept = set(cached)
    return [
        _literal(path) if path in kept else {_literal(path): {"cache": False}} for path in sorted((*cached, *uncached))
    ]


def _params(params: Mapping[str, Sequence[str]]) -> list[object]:
    """The form of DVC: keys of params.yaml by themselves, those of other files below the file."""
    found: list[object] = []
    for file, keys in sorted(params.items()):
        if not keys:
            found.append({_literal(file): None})
        elif file == DEFAULT_PARAMS_FILE:
            found[:0] = [_literal(key) for key in keys]
        else:
            found.append({_literal(file): [_literal(key) for key in keys]})
    return found


def with_stage(text: str, path: str, name: str, addition: Addition) -> str:
    """The text of the dvc.yaml at `path` (empty for none) with the stage added, or in place of one of that name.

    PipelineError for a text that is no dvc.yaml.
    """
    try:
        check_document(View(parse_yaml(text, path)))
    except MismatchError as mismatch:
        raise located(mismatch, text, path) from mismatch
    appended = _appended(text, name, addition)
    if appended is not None:
        return appended
    yaml = _yaml()
    data: object = yaml.load(text)
    if not isinstance(data, MutableMapping):
        return dumped(yaml, {"stages": {name: addition.definition()}})
    stages = data.setdefault("stages", {})
    stages[name] = addition.definition()
    return dumped(yaml, data)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.default_flow_style = False
    return yaml


def _appended(text: str, name: str, addition: Addition) -> str | None:
    """The text with the stage at its end, every other byte as it was; None where that is not what it would say.

    DVC writes the whole file anew, with its own indentation; whoever wrote it may have had another.
    """
    lines = text.splitlines(keepends=True)
    tops = [index for index, line in enumerate(lines) if line[:1] not in {" ", "#", "\n", "-", ""}]
    if not tops or lines[tops[-1]].rstrip() != "stages:" or not text.endswith("\n"):
        return None
    keys = [index for index in range(tops[-1] + 1, len(lines)) if _STAGE.match(lines[index])]
    if keys and lines[keys[-1]].strip() == f"{name}:":
        lines = lines[: keys[-1]]
    block = dumped(_yaml(), {"stages": {name: addition.definition()}}).removeprefix("stages:\n")
    appended = "".join(lines) + block
    try:
        wanted, found = parse_yaml(text, ""), parse_yaml(appended, "")
    except PipelineError:
        return None
    assert isinstance(wanted, dict)
    expected = {**wanted, "stages": {**(wanted["stages"] or {}), name: addition.definition()}}
    return appended if found == expected else None
