"""The light forms of messages are the typed ones: the same bytes out, the same fields in."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.scripted import RESULT, an_entry
from expctl import requests, transport
from expctl.fields import Entry, Experiment, Fields, entries_of, experiments_of
from expctl.limits import run_limits
from expctl.parser import thorough
from expctl.place import ANYWHERE as PLACE_ANYWHERE
from expctl.place import queue_place
from expctl.retries import retry_policy
from expctl.stage_options import stage_options
from expproto import PROTOCOL_VERSION, VERSION
from expproto.codec import decode, encode
from expproto.errors import RemoteProtocolError
from expproto.fields import from_map, to_map
from expproto.limits import RunLimits
from expproto.messages import Hello, Message, message_to_map
from expproto.place import ANYWHERE, QueuePlace
from expproto.records import EntryRecord, ExperimentRecord
from expproto.replies import EntryPage, Event, ExperimentPage, Reply
from expproto.requests import (
    AskDaemon,
    Cancel,
    Declared,
    Export,
    Import,
    Release,
    Remove,
    Rename,
    Request,
    Restore,
    ResumeRuns,
    Retry,
    Show,
    Status,
    Stop,
    Submit,
    Verify,
    Wait,
)
from expproto.retries import NO_RETRIES, RetryPolicy
from expproto.stage_options import OnFailure, Reach, StageOptions
from expproto.steering import AddGroup, EditEntries, Hold, Move, Pause, RemoveGroup, Resume, RunNow, SetJobs
from expproto.vocabulary import Ending, EntryId, EntryState, Mode, Succeeded
from protocol.samples import fixed_samples

SUBMIT = requests.submit(
    cwd="/w",
    overrides=["a=1"],
    name="n",
    message=None,
    force=True,
    command=["c"],
    targets=["t"],
    environment=[(b"A", b"\xff")],
    umask=0o27,
    stages=stage_options(
        thorough("submit", ["-s", "--force-downstream", "-k", "--pull", "--allow-missing", "--stage-jobs", "3"])
    ),
    limits=run_limits(
        thorough("submit", ["--time-limit", "2h", "--stall-limit", "90", "--mem", "4G", "--cpus", "1.5"])
    ),
    retries=retry_policy(thorough("submit", ["--retries", "2", "--retry-on", "oom,exit:75", "--backoff", "1m"])),
    place=queue_place(thorough("submit", ["--priority", "-3", "-g", "gpu"])),
    max_failures=3,
    include=["i"],
    copy_paths=["p"],
    no_hydra=True,
    declared={**dict.fromkeys(requests.DECLARED, ()), "outs": ["o"], "deps": ["d", "e"]},
    mode="temp",
    source="r",
)

IMPORT = requests.import_entries("/w", "/f", on_hold=True, environment=[(b"A", b"1")], umask=0o27)

NO_LIMITS = run_limits(thorough("submit", []))

RETRY = requests.retry(
    "/w", ["1"], failed=False, force=False, environment=[], limits=NO_LIMITS, overrides=["a=1"], name="n"
)

VERIFY = requests.verify("/w", "e", environment=[(b"A", b"1")], umask=0o27)


@pytest.mark.parametrize(
    ("light", "typed"),
    [
        (requests.hello(), Hello(protocol=PROTOCOL_VERSION, version=VERSION, role="client")),
        (
            SUBMIT,
            Submit(
                request_id=str(SUBMIT["request_id"]),
                cwd="/w",
                overrides=("a=1",),
                name="n",
                message=None,
                force=True,
                command=("c",),
                targets=("t",),
                environment=((b"A", b"\xff"),),
                umask=0o27,
                stage_options=StageOptions(
                    reach=Reach.SINGLE,
                    force_downstream=True,
                    on_failure=OnFailure.KEEP_GOING,
                    pull=True,
                    allow_missing=True,
                    stage_jobs=3,
                ),
                limits=RunLimits(time_seconds=7200.0, stall_seconds=90.0, memory_bytes=2**32, cpus=1.5),
                retries=RetryPolicy(retries=2, causes=("oom", "exit:75"), backoff_seconds=60.0),
                place=QueuePlace(priority=-3, group="gpu"),
                max_failures=3,
                include=("i",),
                copy_paths=("p",),
                no_hydra=True,
                declared=Declared(outs=("o",), deps=("d", "e")),
                mode=Mode.TEMP,
                source="r",
            ),
        ),
        (requests.status("/w", ["1", "b"]), Status(cwd="/w", entries=("1", "b"))),
        (requests.status("/w", [], 50), Status(cwd="/w", most=50)),
        (requests.wait("/w", []), Wait(cwd="/w")),
        (requests.wait_until_idle("/w"), Wait(cwd="/w", until_idle=True)),
        (requests.cancel("/w", ["1"]), Cancel(cwd="/w", entries=("1",))),
        (requests.cancel("/w", ["1"], 15), Cancel(cwd="/w", entries=("1",), signal=15)),
        (requests.release("/w", ["1"]), Release(cwd="/w", entries=("1",))),
        (
            requests.resume_runs("/w", ["1"], force=True, environment=[(b"A", b"1")]),
            ResumeRuns(cwd="/w", entries=("1",), force=True, environment=((b"A", b"1"),)),
        ),
        (
            RETRY,
            Retry(
                cwd="/w",
                entries=("1",),
                overrides=("a=1",),
                name="n",
                request_id=str(RETRY["request_id"]),
            ),
        ),
        (
            VERIFY,
            Verify(
                request_id=str(VERIFY["request_id"]),
                cwd="/w",
                experiment="e",
                environment=((b"A", b"1"),),
                umask=0o27,
            ),
        ),
        (
            requests.remove("/w", ["1"], done=True),
            Remove(cwd="/w", entries=("1",), done=True),
        ),
        (requests.export("/w", "1", "/f", "r"), Export(cwd="/w", entry="1", file="/f", since="r")),
        (
            IMPORT,
            Import(
                request_id=str(IMPORT["request_id"]),
                cwd="/w",
                file="/f",
                on_hold=True,
                environment=((b"A", b"1"),),
                umask=0o27,
            ),
        ),
        (
            requests.retry(
                "/w",
                ["1"],
                failed=True,
                force=True,
                environment=[(b"A", b"1")],
                limits=run_limits(thorough("retry", ["--mem", "8G", "1"])),
            ),
            Retry(
                cwd="/w",
                entries=("1",),
                failed=True,
                force=True,
                environment=((b"A", b"1"),),
                limits=RunLimits(memory_bytes=2**33),
            ),
        ),
        (requests.rename("/w", "1", "b"), Rename(cwd="/w", entry="1", name="b")),
        (requests.restore("/w", "1", force=True, umask=0o27), Restore(cwd="/w", entry="1", force=True, umask=0o27)),
        (requests.pause(), Pause()),
        (requests.resume(), Resume()),
        (requests.set_jobs(3), SetJobs(jobs=3)),
        (requests.set_jobs(None, -1, "gpu"), SetJobs(change=-1, group="gpu")),
        (requests.pause("gpu"), Pause(group="gpu")),
        (requests.pause(freeze=True), Pause(freeze=True)),
        (requests.resume("gpu"), Resume(group="gpu")),
        (requests.add_group("gpu", 2), AddGroup(name="gpu", jobs=2)),
        (requests.remove_group("gpu"), RemoveGroup(name="gpu")),
        (requests.hold("/w", ["1"]), Hold(cwd="/w", entries=("1",))),
        (requests.run_now("/w", ["1"]), RunNow(cwd="/w", entries=("1",))),
        (requests.move("/w", ["1"], "2"), Move(cwd="/w", entries=("1",), before="2")),
        (
            requests.edit("/w", ["1"], {"priority": 3, "not_before": 1.5, "after": ["2:any"], "causes": ["lost"]}),
            EditEntries(cwd="/w", entries=("1",), priority=3, not_before=1.5, after=("2:any",), causes=("lost",)),
        ),
        (requests.show("/w"), Show(cwd="/w")),
        (requests.ask_daemon(), AskDaemon()),
        (requests.stop("now"), Stop(ending=Ending.NOW)),
    ],
)
def test_light_request_gives_the_bytes_of_the_typed_one(light: dict[str, object], typed: Message) -> None:
    """A map built by hand and a typed message are the same on the wire."""
    assert encode(light) == encode(message_to_map(typed))


def test_entry_has_the_fields_of_its_record() -> None:
    """What the daemon tells of an entry, all of it and nothing else, is read by the light form."""
    record = an_entry(state=EntryState.DONE, outcome=Succeeded(rev=RESULT), started_at=1.0, ended_at=2.0, exit_code=0)
    page = decode(encode(message_to_map(EntryPage(entries=(record,)))))
    (entry,) = entries_of([page])

    assert set(Entry.__slots__) == {field.name for field in dataclasses.fields(EntryRecord)}
    for name in set(Entry.__slots__) - {"outcome", "command"}:
        assert getattr(entry, name) == getattr(record, name)
    assert entry.outcome is not None
    assert entry.outcome.plain == {"kind": "succeeded", "rev": RESULT}


@given(
    field=st.sampled_from(sorted(set(Entry.__slots__) - {"state", "mode"})),
    value=st.sampled_from([True, "text", b"bytes", [1], {"a": 1}, 1, 0.5, None]),
)
def test_entry_is_refused_where_its_record_is(field: str, value: object) -> None:
    """The light form and the typed one agree on what an entry is, but for the words of state and mode: they are only shown."""
    changed = {**to_map(an_entry()), field: value}
    try:
        from_map(EntryRecord, changed)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            Entry(Fields(changed))
    else:
        Entry(Fields(changed))


EXPERIMENT = ExperimentRecord(
    name="n", rev=RESULT, baseline_rev=RESULT, created_at=1.5, params={"a": 1}, metrics={}, entry=None
)


def test_experiment_has_the_fields_of_its_record() -> None:
    """What the daemon tells of an experiment, all of it and nothing else, is read by the light form."""
    records = (EXPERIMENT, dataclasses.replace(EXPERIMENT, rev=None, outcome=Succeeded(rev=RESULT), entry=EntryId(1)))
    page = decode(encode(message_to_map(ExperimentPage(experiments=records))))
    first, second = experiments_of([page])

    assert set(Experiment.__slots__) == {field.name for field in dataclasses.fields(ExperimentRecord)}
    for name in Experiment.__slots__:
        assert getattr(first, name) == getattr(EXPERIMENT, name)
    assert second.outcome is not None
    assert second.outcome.plain == {"kind": "succeeded", "rev": RESULT}


@given(
    field=st.sampled_from(sorted(Experiment.__slots__)),
    value=st.sampled_from([True, "text", b"bytes", [1], {"a": 1}, 1, 0.5, None]),
)
def test_experiment_is_refused_where_its_record_is(field: str, value: object) -> None:
    """The light form and the typed one agree on what a row is."""
    changed = {**to_map(EXPERIMENT), field: value}
    try:
        from_map(ExperimentRecord, changed)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            Experiment(Fields(changed))
    else:
        Experiment(Fields(changed))


@pytest.mark.parametrize("page", [{"kind": "entry_page"}, {"kind": "entry_page", "entries": [1]}, {"entries": []}])
def test_page_that_is_none_is_refused(page: dict[str, object]) -> None:
    """A page has a kind and records."""
    with pytest.raises(RemoteProtocolError):
        entries_of([page])


def test_field_that_is_unknown_is_refused() -> None:
    """A field of a newer daemon is not dropped in silence."""
    with pytest.raises(RemoteProtocolError, match="'surplus'"):
        Entry(Fields({**to_map(an_entry()), "surplus": 1}))


def test_every_request_has_its_answers() -> None:
    """The transport knows for each request which events and which reply belong to it."""
    samples = fixed_samples()
    requested = {kind for kind, message in samples.items() if isinstance(message, Request)}

    assert set(transport.ANSWERS) == requested
    for events, replies in transport.ANSWERS.values():
        assert all(isinstance(samples[event], Event) for event in events)
        assert all(isinstance(samples[reply], Reply) for reply in replies)


def test_what_is_not_said_of_retries_is_said_as_the_protocol_has_it() -> None:
    """The client's own copy of the defaults is that of the message, and `none` is no cause at all."""
    assert from_map(RetryPolicy, retry_policy(thorough("submit", []))) == NO_RETRIES
    assert retry_policy(thorough("submit", ["--retry-on", "none"]))["causes"] == []


def test_the_place_of_what_names_none_is_that_of_the_protocol() -> None:
    """The client's own copy of the defaults is that of the message."""
    assert from_map(QueuePlace, queue_place(thorough("submit", []))) == ANYWHERE
    assert from_map(QueuePlace, PLACE_ANYWHERE) == ANYWHERE
