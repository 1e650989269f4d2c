"""The queue on disk: what is accepted, claimed, ended and cancelled."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from daemon.queues import BASELINE, RESULT, SECRET, Queue, a_claim, a_new_entry, a_submission, ids, run_of
from expd.queueing.database import Cursor, Database
from expd.queueing.entry import Entry
from expd.queueing.schedule import PoolState
from expd.queueing.store import Store
from expd.queueing.writing import NameTaken, WrongState
from expproto.vocabulary import (
    Cancelled,
    EntryId,
    EntryState,
    Failed,
    Rev,
    RunId,
    Succeeded,
)

FAILED = Failed(stage="train", exit_code=3)


async def test_what_was_submitted_is_read_back_whole(queue: Queue) -> None:
    """Every field comes back as it went in, except the environment, which only a claim gives, or a question of its own."""
    command = ("sh", "-c", "echo 'é \n'")
    submission = a_submission("request0", command=command, force=True, message=None)

    accepted = await queue.accept(submission, [a_new_entry("x")])

    read = await queue.entry(EntryId(1))
    assert read is not None
    assert accepted == [read]
    assert read.submission == a_submission("request0", command=command, force=True, message=None)
    assert read.submission.environment == b""
    assert (read.id, read.name, read.state, read.run, read.outcome) == (1, "x", EntryState.QUEUED, None, None)
    assert read.params == {"lr": 0.1, "layers": [1, 2]}
    assert await queue.environment(read.submission_id) == SECRET
    assert (await queue.take()).submission.environment == SECRET


async def test_the_same_request_is_accepted_once(queue: Queue) -> None:
    """Asked again with the same id, whatever else was asked, the entries of the first time are the answer."""
    first = await queue.accept(a_submission("request0"), [a_new_entry("x"), a_new_entry("y")])

    again = await queue.accept(a_submission("request0", message="other"), [a_new_entry("z")])

    assert again == first
    assert await queue.accepted_before("request0") == first
    assert await queue.accepted_before("request9") == []
    assert ids(await queue.page(0, 100)) == [1, 2]


async def test_twenty_at_once_with_one_request_id_get_one_answer(queue: Queue) -> None:
    """A client that asks impatiently and in parallel still has one submission."""
    answers = list[list[int]]()

    async def ask() -> None:
        answers.append(ids(await queue.accept(a_submission("request0"), [a_new_entry("x"), a_new_entry("y")])))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)

    assert answers == [[1, 2]] * 20
    assert ids(await queue.page(0, 100)) == [1, 2]


async def test_a_living_name_is_refused_and_nothing_of_the_submission_stays(queue: Queue) -> None:
    """The refusal names the holder; the other points of the submission, and its environment, are not there either."""
    await queue.submit("taken")

    with pytest.raises(NameTaken) as refused:
        await queue.submit("free", "taken")

    assert (refused.value.name, refused.value.entry) == ("taken", 1)
    assert ids(await queue.page(0, 100)) == [1]
    assert await queue.accepted_before("request2") == []


async def test_a_name_is_free_elsewhere_and_afterwards(queue: Queue) -> None:
    """Another baseline, another repository and an ended entry are no hindrance."""
    await queue.submit("x")
    await queue.submit("x", baseline_rev=Rev("c" * 40))
    await queue.submit("x", git_directory="/other/.git")
    await queue.cancel([EntryId(1)], "enough", 2.0)

    await queue.submit("x")

    assert ids(await queue.page(0, 100)) == [1, 2, 3, 4]


async def test_force_replaces_an_entry_that_waits(queue: Queue) -> None:
    """The queued one is cancelled, with the reason, in the transaction that queues the new one."""
    await queue.submit("x")

    (new,) = await queue.submit("x", force=True, submitted_at=3.0)

    old = await queue.entry(EntryId(1))
    assert old is not None
    assert old.outcome == Cancelled(reason="replaced by a newer submission of this name", at=3.0)
    assert (old.ended_at, new.id, new.state) == (3.0, 2, EntryState.QUEUED)


@pytest.mark.parametrize("force", [False, True])
async def test_a_name_in_another_case_is_the_same_name(queue: Queue, force: bool) -> None:
    """Where a file system knows no case the refs of both would be one file; also by force neither takes the other's place."""
    await queue.submit("Tuned")

    with pytest.raises(NameTaken) as refused:
        await queue.submit("tuned", force=force)

    assert (refused.value.name, refused.value.as_held, refused.value.entry) == ("tuned", "Tuned", 1)
    await queue.submit("tuned-2")
    with pytest.raises(NameTaken):
        await queue.rename(EntryId(2), "TUNED")
    await queue.rename(EntryId(1), "tuned")
    assert ids(await queue.named("tuned", None)) == [1]


async def test_force_does_not_touch_an_entry_that_runs(queue: Queue) -> None:
    """What has a run keeps its name: it would be a result lost."""
    await queue.submit("x")
    running = await queue.take()

    with pytest.raises(NameTaken):
        await queue.submit("x", force=True)

    assert await queue.entry(EntryId(1)) == running


async def test_followers_of_a_replaced_entry_are_told(queue: Queue) -> None:
    """The bell of the entry that force has ended rings: whoever waits for its end hears of it."""
    await queue.submit("x")
    bell = queue.changes.of(EntryId(1))
    heard = bell.next_ring

    await queue.submit("x", force=True)

    assert heard.is_set()


async def test_ids_are_never_used_again(queue: Queue) -> None:
    """Not even the highest one, after its rows were deleted: an id in a shell's history means one entry for ever."""
    await queue.submit("x", "y")

    def forget(cursor: Cursor) -> None:
        for table in ("transitions", "entries", "environments", "submissions"):
            cursor.execute(f"DELETE FROM {table}")

    await queue.database.run(forget)
    (entry,) = await queue.submit("z")

    assert (entry.id, entry.submission_id) == (3, 2)


async def test_entries_are_claimed_in_the_order_of_their_ids(queue: Queue) -> None:
    """First in, first out, over submissions and repositories; then there is nothing."""
    await queue.submit("a", "b")
    await queue.submit("c", git_directory="/other/.git")

    taken = [await queue.take() for _ in range(3)]

    assert [entry.name for entry in taken] == ["a", "b", "c"]
    assert await queue.claim(a_claim("none")) is None


async def test_a_claim_makes_a_run_with_files_of_its_own(queue: Queue, tmp_path: Path) -> None:
    """The run knows its worker, its token, its attempt, and where its log and its outcome will be."""
    await queue.submit("x")

    entry = await queue.claim(a_claim("secret"))

    assert entry is not None
    assert entry.run is not None
    run = entry.run
    assert (run.worker, run.pid, run.start_ticks, run.boot_id, run.token) == ("w1", 100, 200, "boot", "secret")
    assert (run.attempt, run.started_at, run.ended_at, run.cancel_reason) == (1, None, None, None)
    assert run.log == str(tmp_path / "runs" / f"{run.id}.log")
    assert run.record == str(tmp_path / "runs" / f"{run.id}.outcome")
    assert entry.state is EntryState.PREPARING


async def test_concurrent_claims_never_give_one_entry_twice(queue: Queue) -> None:
    """Ten workers that ask at once for four entries get four different ones."""
    await queue.submit("a", "b", "c", "d")
    taken = list[Entry | None]()

    async def claim(number: int) -> None:
        taken.append(await queue.claim(a_claim(f"token{number}")))

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(claim, number)

    assert sorted(entry.id for entry in taken if entry is not None) == [1, 2, 3, 4]


async def test_living_runs_have_worktrees_of_their_own(queue: Queue) -> None:
    """The lowest free slot of the repository is taken, and is free again when its run has ended."""
    await queue.submit("a", "b", "c", "d")
    await queue.submit("other", git_directory="/other/.git")
    first, second = await queue.take(), await queue.take()
    await queue.finish(run_of(first), FAILED, 6.0)
    others = [await queue.take() for _ in range(3)]

    slots = [entry.run.worktree for entry in (first, second, *others) if entry.run is not None]

    own = "/r/.git/expd/worktrees"
    assert slots == [f"{own}/0", f"{own}/1", f"{own}/0", f"{own}/2", "/other/.git/expd/worktrees/0"]


async def test_a_run_passes_through_its_states(queue: Queue) -> None:
    """Preparing, running, collecting, done: each is what the entry says, and each is written down with its time."""
    await queue.submit("x")
    run = run_of(await queue.take())

    started = await queue.start(run, 6.0)
    later_stage = await queue.start(run, 7.0)
    collecting = await queue.collect(run, 8.0)
    done = await queue.finish(run, Succeeded(rev=RESULT), 9.0)

    states = [entry.state for entry in (started, later_stage, collecting, done)]
    assert states == [EntryState.RUNNING, EntryState.RUNNING, EntryState.COLLECTING, EntryState.DONE]
    assert (done.outcome, done.experiment_rev, done.ended_at) == (Succeeded(rev=RESULT), RESULT, 9.0)
    assert done.run is not None
    assert (done.run.started_at, done.run.ended_at) == (6.0, 9.0)
    assert await _transitions(queue, done.id) == [
        (1.0, None, "queued"),
        (5.0, "queued", "preparing"),
        (6.0, "preparing", "running"),
        (8.0, "running", "collecting"),
        (9.0, "collecting", "done"),
    ]


async def _transitions(queue: Queue, entry: EntryId) -> list[tuple[float, str | None, str]]:
    sql = "SELECT at, state_before, state_after FROM transitions WHERE entry = ? ORDER BY id"
    return await queue.database.run(
        lambda cursor: [(row["at"], row["state_before"], row["state_after"]) for row in cursor.execute(sql, (entry,))]
    )


async def test_an_up_to_date_pipeline_is_collected_without_running(queue: Queue) -> None:
    """From preparing straight to collecting; the run has a start all the same."""
    await queue.submit("x")

    entry = await queue.collect(run_of(await queue.take()), 8.0)

    assert entry.run is not None
    assert (entry.state, entry.run.started_at) == (EntryState.COLLECTING, 8.0)


@pytest.mark.parametrize("states", [0, 1, 2], ids=["preparing", "running", "collecting"])
async def test_a_run_may_end_in_any_active_state(queue: Queue, states: int) -> None:
    """A failure, a kill or a loss can come at any moment."""
    await queue.submit("x")
    run = run_of(await queue.take())
    for pass_on in (queue.start, queue.collect)[:states]:
        await pass_on(run, 6.0)

    entry = await queue.finish(run, FAILED, 9.0)

    assert (entry.state, entry.outcome) == (EntryState.DONE, FAILED)
    assert entry.experiment_rev is None


Step = Callable[[Queue, RunId], Awaitable[object]]
TOO_LATE: dict[str, Step] = {
    "ended again": lambda queue, run: queue.finish(run, Succeeded(rev=RESULT), 99.0),
    "collected": lambda queue, run: queue.collect(run, 99.0),
}


@pytest.mark.parametrize("step", TOO_LATE.values(), ids=TOO_LATE)
async def test_an_ended_run_stays_as_it_ended(queue: Queue, step: Step) -> None:
    """A report that comes after the end is refused and changes nothing: not the outcome, not a time."""
    await queue.submit("x")
    ended = await queue.run(FAILED)

    with pytest.raises(WrongState) as refused:
        await step(queue, run_of(ended))

    assert (refused.value.entry, refused.value.state) == (1, "done")
    assert await queue.entry(EntryId(1)) == ended


async def test_a_stage_that_starts_after_the_end_changes_nothing(queue: Queue) -> None:
    """A late word of a stage is no reason for an error: it says nothing new."""
    await queue.submit("x")
    ended = await queue.run(FAILED)

    assert await queue.start(run_of(ended), 99.0) == ended


async def test_a_new_name_is_taken_if_it_is_free(queue: Queue) -> None:
    """A result whose name was taken meanwhile gets another, and so does its entry."""
    await queue.submit("x")

    await queue.rename(EntryId(1), "x-2")

    assert ids(await queue.named("x-2", None)) == [1]
    assert await queue.named("x", None) == []


async def test_a_new_name_that_is_taken_is_refused_with_its_holder(queue: Queue) -> None:
    """The refusal names the entry that has the name, not the one that wanted it."""
    await queue.submit("x", "y")

    with pytest.raises(NameTaken) as refused:
        await queue.rename(EntryId(2), "x")

    assert (refused.value.name, refused.value.entry) == ("x", 1)
    assert ids(await queue.named("y", None)) == [2]


async def test_entries_are_found_by_name_and_by_rev(queue: Queue) -> None:
    """Newest first; a rev is that of the stash commit or of the experiment, as much of it as was typed."""
    await queue.submit("x")
    await queue.run(Succeeded(rev=RESULT))
    await queue.submit("x")
    await queue.submit("x", git_directory="/other/.git")
    stash = a_new_entry("x").stash_rev

    assert ids(await queue.named("x", "/r/.git")) == [2, 1]
    assert ids(await queue.named("x", None)) == [3, 2, 1]
    assert ids(await queue.by_rev(stash[:39])) == [3, 2, 1]
    assert ids(await queue.by_rev(RESULT[:7])) == [1]
    assert await queue.by_rev("f" * 40) == []
    assert await queue.results_of_baseline("/r/.git", BASELINE) == {RESULT: 1}
    assert await queue.results_of_baseline("/r/.git", RESULT) == {}


async def test_lists_hold_what_they_say(queue: Queue) -> None:
    """Active is what a run has, unfinished what is not done or held, living names what no result has yet."""
    await queue.submit("done", "active", "queued", "held")
    await queue.run(FAILED)
    await queue.take()
    await queue.database.run(lambda cursor: cursor.execute("UPDATE entries SET state = 'held' WHERE id = 4"))

    assert ids(await queue.active()) == [2]
    assert await queue.unfinished_ids() == [2, 3]
    assert await queue.living_names("/r/.git") == {"active", "queued", "held"}
    assert await queue.living_names("/other/.git") == set()
    assert [await queue.is_living("/r/.git", name) for name in ("done", "active", "held", "d")] == [
        False,
        True,
        True,
        False,
    ]
    assert not await queue.is_living("/other/.git", "held")
    assert await queue.ahead_of(EntryId(3)) == 0
    assert ids(await queue.page(1, 2)) == [2, 3]
    assert await queue.entry(EntryId(99)) is None
    assert await queue.entry_of_run(RunId(99)) is None
    assert await queue.environment(99) is None


async def test_the_pool_is_remembered_and_counted(queue: Queue) -> None:
    """Its settings outlive the daemon: what is set on a new store is only a beginning."""
    await queue.submit("a", "b", "c")
    await queue.take()
    await queue.set_jobs(7)
    await queue.pause(None, freezes=False, at=0.0)

    await queue.ensure_pool(1)

    assert await queue.pool() == PoolState(jobs=7, paused=True, running=1, queued=2, active=1)


async def test_the_queue_survives_being_opened_again(queue: Queue, tmp_path: Path) -> None:
    """What was there before the end of one daemon is there at the start of the next."""
    await queue.submit("a", "b")
    running = await queue.take()
    before = await queue.page(0, 100)
    queue.database.close()

    database = Database(tmp_path / "queue.db")
    database.open()
    reopened = Store(database, tmp_path / "runs")
    seen, active = await reopened.page(0, 100), await reopened.active()
    database.close()

    assert (seen, active) == (before, [running])
