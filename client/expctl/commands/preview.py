"""`expctl submit --preview`: the points, as entries would have them; nothing was queued."""

from collections.abc import Sequence

from expctl.output import Output
from expctl.render.lines import lines, pairs_text
from expctl.transport import Message
from expproto.messages import message_from_map
from expproto.records import PointRecord
from expproto.replies import PointPage


def show_points(pages: Sequence[Message], output: Output) -> None:
    """Show number, name and parameters of each point."""
    points = [point for page in pages for point in _points_of(page)]
    rows = [(str(number), point.name, pairs_text(point.params)) for number, point in enumerate(points, start=1)]
    output.show(
        document=lambda: {"points": [{"name": point.name, "params": dict(point.params)} for point in points]},
        names=lambda: lines([point.name] for point in points),
        lines=lambda: lines(rows),
        table=lambda: lines(rows),
    )
    output.words(f"{len(points)} points; nothing was queued")


def _points_of(page: Message) -> tuple[PointRecord, ...]:
    message = message_from_map(page)
    assert isinstance(message, PointPage)
    return message.points
