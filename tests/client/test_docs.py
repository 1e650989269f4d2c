"""What the documents promise is what the client does."""

import json
import re
from pathlib import Path

import pytest

from client.conftest import Expctl
from client.scripted import Step, a_page, an_entry, serving
from client.test_daemon import SHOWN as DAEMON
from client.test_results import LIST, ONE
from expctl.failures import SENTENCES, describe
from expctl.options import VERBS
from expctl.trouble import Trouble
from expproto.records import CaptureRecord, EngineRecord, FindingRecord, GarbageRecord, HostRecord, RunOnHost
from expproto.replies import (
    CapturePage,
    EnginesShown,
    Examined,
    Explained,
    GarbageCollected,
    Listed,
    PoolShown,
    Submitted,
)

FINDING = FindingRecord(
    code="lock_left", section="locks", subject="/r/.git/index.lock", is_problem=True, data={"seconds": 90.0}
)
EXAMINED = Examined(findings=(FINDING,), count=1, repository="/r")
GARBAGE = GarbageRecord(what="log", subject="/s/runs/1.log", repository=None, size=4096, rule="age")
COLLECTED = GarbageCollected(garbage=(GARBAGE,), count=1, size=4096)
DOCS = Path(__file__).parents[2] / "docs"
ENGINES = EnginesShown(
    engines=(
        EngineRecord(
            name="celery",
            queued=2,
            hosts=(HostRecord(host="far", slots=1, queues=("expd",), runs=(RunOnHost(entry=None, name="a"),)),),
            trouble=None,
        ),
    )
)
STATUS: list[Step] = [a_page(an_entry()), Listed(count=1, paused=False)]


def a_page_of_files() -> CapturePage:
    """Give a page with one file."""
    return CapturePage(files=(CaptureRecord(path="a", fate="new", size=1),))


def test_exit_codes_of_every_error_are_documented() -> None:
    """Each code stands in the row of its exit code."""
    rows = re.findall(r"^\| (\d+) \|(.*)$", (DOCS / "exit-codes.md").read_text(encoding="utf-8"), re.MULTILINE)
    documented = {code: int(number) for number, row in rows for code in re.findall(r"`([a-z_]+)`", row.split("|")[-2])}

    assert documented == {code: describe(Trouble(code)).exit_code for code in SENTENCES}


@pytest.mark.parametrize(
    ("argv", "answer"),
    [
        (["submit"], [a_page(an_entry()), Submitted(submission=1, count=1)]),
        (["submit", "--explain"], [a_page_of_files(), Explained(count=1)]),
        (["status"], STATUS),
        (["show"], LIST),
        (["show", "1"], [ONE]),
        (["jobs"], [PoolShown(jobs=1, paused=False, running=0, queued=0)]),
        (["daemon", "start"], [DAEMON]),
        (["engines"], [ENGINES]),
        (["doctor"], [EXAMINED]),
        (["gc"], [COLLECTED]),
    ],
)
def test_fields_of_every_document_are_documented(
    sock: Path, expctl: Expctl, argv: list[str], answer: list[Step]
) -> None:
    """No field is given that docs/json.md does not name."""
    with serving(sock, [answer]):
        document = expctl(*argv, "--json").document

    text = (DOCS / "json.md").read_text(encoding="utf-8")
    assert {name for name in _names(document) if f"`{name}`" not in text} == set()


def test_every_command_is_documented() -> None:
    """The JSON of every verb has a section."""
    headings = re.findall(r"^## (.*)$", (DOCS / "json.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert {word.split()[0] for heading in headings for word in heading.split(", ")} >= set(VERBS)


def test_examples_are_json() -> None:
    """What a reader copies can be read."""
    blocks = re.findall(r"```json\n(.*?)```", (DOCS / "json.md").read_text(encoding="utf-8"), re.DOTALL)

    documents = [json.loads(line) for block in blocks for line in block.splitlines()]
    assert all(document["schema"] == 1 for document in documents)


def _names(value: object) -> set[str]:
    """Give the names of all fields; what stands below params and metrics is the user's."""
    if isinstance(value, list):
        return set().union(*map(_names, value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(
        *(_names(item) for name, item in value.items() if name not in {"params", "metrics", "changed", "detail"})
    )
