"""What a worker is told of an entry: where the submission leaves something open, the settings say it."""

import pytest

from daemon.queues import a_new_entry, a_submission
from expd.dispatch.orders import execute_order
from expd.queueing.entry import Entry, Run
from expd.settings import Settings
from expproto.stage_options import StageOptions
from expproto.vocabulary import EntryId, EntryState, RunId


@pytest.mark.parametrize(("asked", "told"), [(None, 3), (2, 2), (1, 1)])
def test_settings_say_how_many_stages_where_nobody_else_does(asked: int | None, told: int) -> None:
    """What was typed is told; else what config.toml has; the other options stay as they were."""
    run = Run(
        id=RunId(1),
        attempt=1,
        token="t",
        worker="w",
        pid=1,
        start_ticks=1,
        boot_id="b",
        log="/l",
        record="/r",
        worktree="/w",
        cancel_reason=None,
        cancel_at=None,
        started_at=None,
        ended_at=None,
    )
    point = a_new_entry("tried")
    entry = Entry(
        id=EntryId(1),
        submission_id=1,
        name=point.name,
        stash_rev=point.stash_rev,
        params=point.params,
        attempt=1,
        state=EntryState.RUNNING,
        outcome=None,
        ended_at=None,
        submission=a_submission("a", stage_options=StageOptions(pull=True, stage_jobs=asked)),
        run=run,
    )

    order = execute_order(entry, run, None, Settings(stage_jobs=3))

    assert order.stage_options == StageOptions(pull=True, stage_jobs=told)
