"""What dvc.yaml may hold (dvc/schema.py): keys and types, checked before anything is interpolated.

Promise: whatever passes here and needs no interpolation can be built into stages; the first fault raises MismatchError
with its place.
"""

from collections.abc import Callable

from expd.pipeline.documents import View

TOP_KEYS = frozenset({"stages", "vars", "params", "metrics", "plots", "artifacts", "datasets"})
STAGE_KEYS = frozenset(
    {"cmd", "wdir", "deps", "params", "vars", "outs", "metrics", "plots", "frozen", "meta", "desc", "always_changed"}
    | {"matrix"}
)
FOREACH_KEYS = frozenset({"foreach", "do"})
ANNOTATION_KEYS = frozenset({"desc", "type", "labels", "meta"})
OUT_KEYS = ANNOTATION_KEYS | {"cache", "persist", "checkpoint", "remote", "push"}
PLOT_OUT_PROPERTIES = frozenset({"template", "x", "y", "x_label", "y_label", "title", "header"})
PLOT_KEYS = frozenset({"x", "y", "x_label", "y_label", "title", "template"})
ARTIFACT_KEYS = ANNOTATION_KEYS | {"path"}
_FLAGS = frozenset({"cache", "persist", "checkpoint", "push", "header"})


def check_document(view: View) -> dict[str, View]:
    """The top level of a dvc.yaml, every part of it checked."""
    top = view.record(TOP_KEYS)
    for key, check in _TOP_CHECKS.items():
        if key in top:
            check(top[key])
    return top


def _check_stages(view: View) -> None:
    for name, stage in view.entries():
        if "@" in name:
            raise stage.mismatch("a stage name without '@'", "that sign is for generated stages")
        if stage.is_mapping() and FOREACH_KEYS & stage.mapping().keys():
            group = stage.record(FOREACH_KEYS, FOREACH_KEYS)
            _check_either(group["foreach"], "a mapping, a list or a string", dict, list, str)
            check_stage(group["do"], STAGE_KEYS - {"matrix"})
        else:
            check_stage(stage, STAGE_KEYS)


def check_stage(view: View, known: frozenset[str]) -> None:
    """One stage, or the template of generated ones."""
    stage = view.record(known, frozenset({"cmd"}))
    for key, value in stage.items():
        _STAGE_CHECKS[key](value)


def _check_either(view: View, expected: str, *types: type) -> None:
    if not isinstance(view.value, types):
        raise view.mismatch(expected)


def _check_anything(view: View) -> None:
    """Nothing to check: DVC keeps it and never looks at it."""
    del view


def _check_commands(view: View) -> None:
    _check_either(view, "a command or a list of commands", str, list)
    if not view.value:
        raise view.mismatch("a command that is not empty")


def _check_matrix(view: View) -> None:
    if not view.value:
        raise view.mismatch("a mapping that is not empty")
    for _, values in view.entries():
        _check_either(values, "a list or a string", list, str)


def _check_text_or_mapping(view: View) -> None:
    for item in view.items():
        _check_either(item, "a string or a mapping", str, dict)


def _check_params(view: View) -> None:
    for item in view.items():
        if item.is_text():
            continue
        for _, keys in item.entries():
            if keys.value is not None and keys.value != {}:
                keys.texts()


def _check_outs(view: View) -> None:
    _check_out_list(view, OUT_KEYS)


def _check_stage_plots(view: View) -> None:
    _check_out_list(view, OUT_KEYS | PLOT_OUT_PROPERTIES)


def _check_out_list(view: View, known: frozenset[str]) -> None:
    for item in view.items():
        if item.is_text():
            continue
        for _, flags in item.entries():
            for key, value in flags.record(known).items():
                _check_flag_value(key, value)


def _check_flag_value(key: str, value: View) -> None:
    if key in _FLAGS:
        value.flag()
    elif key == "labels":
        value.texts()
    elif key != "meta":
        value.text()


def _check_plots(view: View) -> None:
    for item in view.items():
        if item.is_text():
            continue
        for _, properties in item.entries():
            if properties.value is not None:
                _check_plot(properties)


def _check_plot(view: View) -> None:
    for key, value in view.record(PLOT_KEYS).items():
        if key in {"x", "y"} and value.is_mapping():
            for _, column in value.entries():
                _check_either(column, "a string or a list", *((str, list) if key == "y" else (str,)))
        elif key == "y":
            _check_either(value, "a string, a list or a mapping", str, list)
        else:
            value.text()


def _check_artifacts(view: View) -> None:
    for _, artifact in view.entries():
        for key, value in artifact.record(ARTIFACT_KEYS, frozenset({"path"})).items():
            _check_flag_value(key, value)


def _check_text(view: View) -> None:
    view.text()


def _check_texts(view: View) -> None:
    view.texts()


def _check_flag(view: View) -> None:
    view.flag()


_STAGE_CHECKS: dict[str, Callable[[View], None]] = {
    "cmd": _check_commands,
    "wdir": _check_text,
    "deps": _check_texts,
    "params": _check_params,
    "vars": _check_text_or_mapping,
    "outs": _check_outs,
    "metrics": _check_outs,
    "plots": _check_stage_plots,
    "frozen": _check_flag,
    "always_changed": _check_flag,
    "desc": _check_text,
    "meta": _check_anything,
    "matrix": _check_matrix,
}
_TOP_CHECKS: dict[str, Callable[[View], None]] = {
    "stages": _check_stages,
    "vars": _check_text_or_mapping,
    "params": _check_texts,
    "metrics": _check_texts,
    "plots": _check_plots,
    "artifacts": _check_artifacts,
    "datasets": _check_anything,
}
