"""`expctl verify`: an experiment runs again from what was captured, and what came of it is compared."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.exit_codes import outcome_exit_code
from expctl.fields import Fields, entries_of
from expctl.output import Output
from expctl.render.lines import lines
from expctl.render.outcomes import outcome_words
from expctl.render.terminal import visible
from expctl.transport import Message, ask

EXIT_DIFFERENT = 9
"""It ran, and what came of it is not the same."""


def run(arguments: Arguments, output: Output) -> int:
    """Verify, and say whether it is the same, or what differs."""
    request = requests.verify(
        os.getcwd(),  # noqa: PTH109 - as everywhere in the client
        arguments.experiment,
        environment=requests.submitted_environment(os.environb, arguments.env, is_bare=arguments.no_env),
        umask=requests.current_umask(),
    )
    try:
        verified = Fields(_ask(request, output))
    except KeyboardInterrupt:
        output.words("expctl: no longer waiting; the run goes on as an entry of the queue")
        raise
    differences, outcome = verified.records("differences"), verified.record("outcome")
    code = outcome_exit_code(outcome)
    rows = [
        (
            each.text("what"),
            each.text("subject"),
            each.text_or_none("expected") or "-",
            each.text_or_none("found") or "-",
        )
        for each in differences
    ]
    output.show(
        document=lambda: {
            **{name: verified.plain[name] for name in ("entry", "name", "experiment_rev", "count")},
            "outcome": outcome.kind,
            "equal": code == 0 and not differences,
            "differences": [{key: value for key, value in each.plain.items() if key != "kind"} for each in differences],
        },
        names=lambda: "",
        lines=lambda: lines(rows),
        table=lambda: "".join(
            f"{what:<7} {visible(subject)}: {visible(was)} → {visible(now)}\n" for what, subject, was, now in rows
        ),
    )
    return _conclude(verified, outcome, code, output)


def _conclude(verified: Fields, outcome: Fields, code: int, output: Output) -> int:
    name, count = visible(verified.text("name")), verified.integer("count")
    if code != 0:
        output.words(
            f"expctl: {name} could not be repeated: {visible(outcome_words(outcome))}; expctl why {verified.integer('entry')}"
        )
        return code
    if count:
        output.words(f"expctl: {name} was repeated, and came out differently: {count}")
        return EXIT_DIFFERENT
    output.words(f"expctl: {name} was repeated: every output, metric and file is the same")
    return 0


def _ask(request: Message, output: Output) -> Message:
    """Ask, and say which entry the repetition is as soon as that is known."""
    told = set[int]()

    def tell(message: Message) -> None:
        for entry in entries_of([message]) if message["kind"] == "entry_page" else ():
            if entry.id not in told:
                told.add(entry.id)
                output.words(f"expctl: runs again as {entry.id}; `expctl follow {entry.id}` shows it")

    return ask(request, hear=tell)[1]
