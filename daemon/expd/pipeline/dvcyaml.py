"""dvc.yaml, or the table of expd.toml: text → Pipeline.

Promise: pure except for the files that interpolation names, which are asked for through `read`; every fault names file
and line.
"""

from collections.abc import Callable
from functools import lru_cache

from expd.pipeline.config import ParsingSettings
from expd.pipeline.documents import MismatchError, View, located
from expd.pipeline.generation import GENERATED, Generator
from expd.pipeline.model import Pipeline, Plot, Stage
from expd.pipeline.projectfile import read_document
from expd.pipeline.schema import check_document
from expd.pipeline.stages import StageFile
from expd.pipeline.variables import Files

_OF_VALUES = ("${", "vars", "foreach", "matrix")
"""Without any of these words a text means the same whatever other files hold."""
_REMEMBERED_MAX = 64
"""A project has one or a few, which the experiments of a worker share."""


def parse_pipeline(
    text: str, file: StageFile, parsing: ParsingSettings, read: Callable[[str], str | None]
) -> Pipeline | None:
    """The pipeline a dvc.yaml or expd.toml describes, None if it describes none; `read` gives the text at a location.

    What takes no values from other files is parsed once for all who have the same text at the same place.
    """
    files = Files(root=file.root, read=read)
    try:
        if any(word in text for word in _OF_VALUES):
            return _parse(text, file, parsing, files)
        pipeline = _parse_alone(text, file, parsing)
        if pipeline is not None:
            Generator(file, files, parsing, None)  # refuses a params.yaml from which no value could be taken
    except MismatchError as mismatch:
        raise located(mismatch, text, file.path) from mismatch
    return pipeline


@lru_cache(maxsize=_REMEMBERED_MAX)
def _parse_alone(text: str, file: StageFile, parsing: ParsingSettings) -> Pipeline | None:
    return _parse(text, file, parsing, Files(root=file.root, read=lambda _location: None))


def _parse(text: str, file: StageFile, parsing: ParsingSettings, files: Files) -> Pipeline | None:
    document = read_document(text, file.path)
    if document is None:
        return None
    top = check_document(document)
    return _resolve(top, Generator(file, files, parsing, top.get("vars")), file.path)


def _resolve(top: dict[str, View], generator: Generator, path: str) -> Pipeline:
    resolved = {
        key: generator.resolve_top(top[key]) for key in ("params", "metrics", "plots", "artifacts") if key in top
    }
    definitions = dict(top["stages"].entries()) if "stages" in top else {}
    made = {name: tuple(generator.stages(name, definition)) for name, definition in definitions.items()}
    return Pipeline(
        dvcyaml=path,
        stages=tuple(stage for stages in made.values() for stage in stages),
        params=_texts(resolved.get("params")),
        metrics=_texts(resolved.get("metrics")),
        plots=_plots(resolved.get("plots")),
        artifacts=_plain(resolved.get("artifacts")),
        groups=_groups(made),
    )


def _groups(made: dict[str, tuple[Stage, ...]]) -> dict[str, tuple[str, ...]]:
    """The stages that each group generated, none for an empty one."""
    names = {name: tuple(stage.name for stage in stages) for name, stages in made.items()}
    return {name: stages for name, stages in names.items() if all(GENERATED in stage for stage in stages)}


def _texts(view: View | None) -> tuple[str, ...]:
    return () if view is None else view.texts()


def _plain(view: View | None) -> dict[str, object]:
    return {} if view is None else {key: value.value for key, value in view.entries()}


def _plots(view: View | None) -> tuple[Plot, ...]:
    plots = []
    for item in view.items() if view is not None else ():
        if item.is_text():
            plots.append(Plot(id=item.text()))
            continue
        for name, properties in item.entries():
            known = None if properties.value is None else dict(properties.mapping())
            plots.append(Plot(id=name, properties=None if known is None else {str(key): known[key] for key in known}))
    return tuple(plots)
