"""`expctl gc`: what the rules of retention give up is removed now; experiments never."""

from collections.abc import Sequence

from expctl.arguments import Arguments
from expctl.output import Output
from expctl.render.lines import lines
from expctl.render.sizes import size_words
from expctl.render.terminal import visible
from expctl.transport import ask
from expproto.messages import message_from_map, message_to_map
from expproto.records import GarbageRecord
from expproto.replies import GarbageCollected
from expproto.requests import Gc


def run(arguments: Arguments, output: Output) -> int:
    """Collect, and say what went and how much room that made."""
    done = message_from_map(ask(message_to_map(Gc(dry_run=arguments.dry_run)))[1])
    assert isinstance(done, GarbageCollected)
    output.show(
        document=lambda: {
            "dry_run": arguments.dry_run,
            "count": done.count,
            "size": done.size,
            "garbage": [_plain(each) for each in done.garbage],
            "problems": list(done.problems),
        },
        names=lambda: "".join(f"{each.subject}\n" for each in done.garbage),
        lines=lambda: lines([(each.what, each.subject, str(each.size), each.rule) for each in done.garbage]),
        table=lambda: _table(done.garbage),
    )
    for problem in done.problems:
        output.words(f"expctl: {visible(problem)}")
    verb = "would be removed" if arguments.dry_run else "removed"
    output.words(f"expctl: {done.count} {verb}, {size_words(done.size)}; experiments stay")
    return 1 if done.problems else 0


def _plain(garbage: GarbageRecord) -> dict[str, object]:
    return {
        "what": garbage.what,
        "subject": garbage.subject,
        "repository": garbage.repository,
        "size": garbage.size,
        "rule": garbage.rule,
    }


def _table(garbage: Sequence[GarbageRecord]) -> str:
    return "".join(
        f"{each.what:<11} {size_words(each.size):>10}  {each.rule:<6} {visible(each.subject)}\n" for each in garbage
    )
