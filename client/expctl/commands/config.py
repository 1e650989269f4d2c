"""`expctl config`: every setting with its value and where it comes from, or whether they can be used. Needs no daemon."""

from expctl.arguments import Arguments
from expctl.output import Output
from expctl.render.lines import lines, value_text
from expctl.settings import Setting, read_settings

HEADING = ("key", "value", "default", "from")


def run(arguments: Arguments, output: Output) -> int:
    """Read them, which is the check; show them if that was asked for."""
    path, settings = read_settings()
    if arguments.action == "check":
        output.words(f"{path}: can be used")
        if output.as_json:
            output.document({"path": path, "usable": True})
        return 0
    rows = [(each.key, value_text(each.value), value_text(each.default), each.origin) for each in settings]
    output.show(
        document=lambda: {"path": path, "settings": [_document(each) for each in settings]},
        names=lambda: "".join(f"{each.key}\n" for each in settings),
        lines=lambda: lines(rows),
        table=lambda: _table(rows),
    )
    output.words(f"{path}: the daemon reads it when it starts, and at `expctl daemon reload`")
    return 0


def _document(setting: Setting) -> dict[str, object]:
    return {"key": setting.key, "value": setting.value, "default": setting.default, "from": setting.origin}


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    from expctl.render.table import table  # noqa: PLC0415 - rich is for terminals alone

    return table(HEADING, rows, numbers=frozenset({"value", "default"}))
