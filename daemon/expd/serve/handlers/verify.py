"""Verify: an experiment is run again from what was captured, and what came of it is compared; no ref is set for it.

The repetition is an entry like any other, so that it is seen, followed and cancelled like any other.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import trio

from expd.collect.comparing import Difference, differences
from expd.dispatch.orders import pack_environment
from expd.gitio.repository import Repository, again_if_disturbed
from expd.prepare.capture import hold_commit
from expd.prepare.environment import allowed
from expd.queueing.entry import Entry, NewEntry
from expd.serve.entries import send_entries
from expd.serve.experiments import NamedExperiment, find_experiment
from expd.serve.handlers.submit import Origin, accept, check_request
from expd.serve.handlers.wait import wait_done
from expd.serve.holding import holding
from expd.serve.projects import ResultMemory, open_project_at
from expd.serve.refusals import Refused, shown_path
from expd.serve.services import Answer, Services
from expproto.errors import NO_RESULT, STOPPING
from expproto.records import DifferenceRecord
from expproto.replies import DIFFERENCES_MAX, Verified
from expproto.requests import Submit, Verify
from expproto.vocabulary import Mode, Rev, Succeeded

_TEXT_MAX = 4000
"""Characters of one value that are sent: a metric may be a list of millions."""


async def handle(request: Verify, services: Services, answer: Answer) -> Verified:
    """Run it again, wait for the end, compare; the same request id again waits for the same run."""
    check_request(request)
    named = await find_experiment(services, request.experiment, request.cwd)
    if named.rev is None:
        raise Refused(NO_RESULT, experiment=named.name, path="", what="it has no result to compare with")
    accepted = await services.store.accepted_before(request.request_id)
    if not accepted:
        if services.is_stopping():
            raise Refused(STOPPING)
        accepted = await _accept(request, named, named.rev, services)
    await send_entries(services, accepted, answer)
    entry = await wait_done(services, accepted[0].id)
    assert entry.outcome is not None
    found: Sequence[Difference] = ()
    if isinstance(entry.outcome, Succeeded):
        found = await trio.to_thread.run_sync(
            _compare, named, named.rev, entry.outcome.rev, services.results, limiter=services.git
        )
    return Verified(
        entry=entry.id,
        name=named.name,
        experiment_rev=named.rev,
        outcome=entry.outcome,
        differences=tuple(_record(difference) for difference in found[:DIFFERENCES_MAX]),
        count=len(found),
    )


async def _accept(request: Verify, named: NamedExperiment, rev: Rev, services: Services) -> list[Entry]:
    environment = allowed(request.environment, services.settings.env_deny)
    if named.entry is not None:
        return await _accept_again(request, named.entry, rev, pack_environment(environment), services)
    submit = Submit(
        request_id=request.request_id,
        cwd=request.cwd,
        source=rev,
        name=f"verify-{rev[:7] if named.name == rev else named.name}",
        force=True,
        environment=environment,
        umask=request.umask,
        mode=Mode.TEMP,
    )
    accepted, _left_out = await accept(submit, services, Origin(verifies=rev))
    return accepted


async def _accept_again(request: Verify, entry: Entry, rev: Rev, environment: bytes, services: Services) -> list[Entry]:
    """Queue what was captured once more, whatever becomes of the first entry meanwhile."""
    git_directory = Path(entry.submission.git_directory)
    name = f"verify-{entry.name}"
    submission = replace(
        entry.submission,
        request_id=request.request_id,
        name=name,
        force=True,
        on_hold=False,
        mode=Mode.TEMP,
        environment=environment,
        submitted_at=time.time(),
        verifies=rev,
    )
    async with holding(request.request_id, git_directory, services) as held:
        await trio.to_thread.run_sync(_hold, git_directory, held.name, entry.stash_rev, limiter=services.git)
        point = NewEntry(name=name, stash_rev=entry.stash_rev, params=entry.params)
        accepted = await services.store.accept(replace(submission, held_as=held.name), [point])
        held.is_accepted = True
    return accepted


def _hold(git_directory: Path, held_as: str, rev: Rev) -> None:
    hold_commit(Repository(git_directory), held_as, rev)


def _compare(named: NamedExperiment, expected: Rev, found: Rev, memory: ResultMemory) -> list[Difference]:
    opened = open_project_at(named.cwd, memory)
    results = [(rev, opened.results_of(rev, None)) for rev in (expected, found)]
    git_directory = opened.project.location.git_directory
    return again_if_disturbed(lambda: differences(Repository(git_directory), results[0], results[1]))


def _record(difference: Difference) -> DifferenceRecord:
    return DifferenceRecord(
        what=difference.kind,
        subject=shown_path(difference.subject[:_TEXT_MAX]),
        expected=None if difference.expected is None else shown_path(difference.expected[:_TEXT_MAX]),
        found=None if difference.found is None else shown_path(difference.found[:_TEXT_MAX]),
    )
