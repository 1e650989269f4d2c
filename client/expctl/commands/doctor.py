"""`expctl doctor`: look through the daemon's state and this repository, and say what is wrong, why, and what to do."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from expctl.arguments import Arguments
from expctl.failures import describe
from expctl.output import Output
from expctl.render import findings as render
from expctl.render.lines import lines
from expctl.transport import address, ask
from expctl.trouble import Trouble
from expproto.address import state_directory
from expproto.messages import message_from_map, message_to_map
from expproto.records import FindingRecord
from expproto.replies import Examined
from expproto.requests import Doctor

EXIT_FOUND = 10
"""Something is wrong and was not mended."""


def run(arguments: Arguments, output: Output) -> int:
    """Examine and tell; where no daemon answers, tell what can be told without one."""
    cwd = os.getcwd()  # noqa: PTH109 - as everywhere in the client
    try:
        found = message_from_map(ask(message_to_map(Doctor(cwd=cwd, fix=arguments.fix)))[1])
    except Trouble as trouble:
        failure = describe(trouble)
        about = {"code": failure.code, "message": failure.message, "hint": failure.hint}
        _show([_told("no_daemon", "daemon", address(), about), *_store_files()], None, output)
        return failure.exit_code
    assert isinstance(found, Examined)
    _show(list(found.findings), found.repository, output)
    wrong = sum(1 for each in found.findings if each.is_problem and not each.mended)
    _conclude(found, wrong, output, is_fixed=arguments.fix)
    return EXIT_FOUND if wrong else 0


def _show(findings: list[FindingRecord], repository: str | None, output: Output) -> None:
    output.show(
        document=lambda: render.document(findings, repository),
        names=lambda: "".join(f"{each.subject}\n" for each in findings if each.is_problem and not each.mended),
        lines=lambda: lines(render.rows(findings)),
        table=lambda: render.page(findings),
    )


def _conclude(found: Examined, wrong: int, output: Output, *, is_fixed: bool) -> None:
    mended = sum(1 for each in found.findings if each.mended)
    if mended:
        output.words(f"expctl: mended {mended}")
    if found.count > len(found.findings):
        output.words(f"expctl: {found.count - len(found.findings)} more are not shown")
    if not wrong:
        output.words("expctl: nothing is wrong")
    elif not is_fixed and any(each.mendable for each in found.findings):
        output.words(f"expctl: {wrong} wrong; expctl doctor --fix mends what is safe to")


def _store_files() -> list[FindingRecord]:
    """Name the files of the store: what there is to go back to."""
    found = []
    for path in sorted(Path(state_directory(os.environ)).glob("queue.db*")):
        status = path.lstat()
        written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.st_mtime))
        found.append(
            _told("store_file", "store", str(path), {"size": status.st_size, "written": written}, is_problem=False)
        )
    return found


def _told(
    code: str, section: str, subject: str, data: Mapping[str, object], *, is_problem: bool = True
) -> FindingRecord:
    return FindingRecord(code=code, section=section, subject=subject, is_problem=is_problem, data=data)
