"""The context of a run names what it ran with, and none of it is a secret."""

from pathlib import Path

import pytest

from daemon.scripted import ScriptedDaemon, a_scripted_daemon, an_order
from expd.execute.context import Surveyor, context_of, secrets_of
from expd.execute.timings import Timings
from expproto import VERSION
from expproto.codec import encode
from expproto.context import CONTEXT_BYTES_MAX, CONTEXT_VERSION, Context
from expproto.fields import to_map
from expproto.vocabulary import RunId
from expproto.work import CancelRun, StageStarted
from helpers.repositories import git, write_files
from helpers.waiting import eventually

SECRET = "canary-51a7"


def the_context(base: Path, repository: Path, **changes: object) -> Context:
    """Give the context of a run that took nothing."""
    order = an_order(base, repository, **changes)  # type: ignore[arg-type]
    context = context_of(order, Surveyor().survey(order), Timings())
    assert context is not None
    return context


def context_after(scripted: ScriptedDaemon, order: object) -> Context:
    """Have an order carried out, and give its context."""
    conversation, _register = scripted.meet()
    conversation.order(order)  # type: ignore[arg-type]
    context = conversation.hear_end().context
    assert context is not None
    return context


def test_a_context_says_what_was_ordered(tmp_path: Path, repository: Path) -> None:
    """Attempt, overrides, command, commits and both versions are those of the order."""
    overrides = {"lr": 0.2, "layers": [1, 2]}

    context = the_context(
        tmp_path, repository, command=("true", "x"), attempt=3, overrides=overrides, daemon_version="0.0.9"
    )

    head = git(repository, "rev-parse", "HEAD")
    assert (context.version, context.name, context.attempt) == (CONTEXT_VERSION, "tried", 3)
    assert (context.command, dict(context.overrides)) == (("true", "x"), overrides)
    assert (context.baseline_rev, context.stash_rev) == (head, head)
    assert (context.worker_version, context.daemon_version) == (VERSION, "0.0.9")
    assert context.interpreter is not None
    assert context.interpreter.packages


def test_only_the_names_of_variables_are_told(tmp_path: Path, repository: Path) -> None:
    """A value that looks like a secret is hidden also where it was written into the command or an override."""
    context = the_context(
        tmp_path,
        repository,
        command=("sh", "-c", f"curl -H 'X: {SECRET}' x"),
        environment=((b"PATH", b"/bin"), (b"WANDB_API_KEY", SECRET.encode()), (b"\xff", b"1")),
        overrides={"service": {"key": f"a{SECRET}b"}, "list": [SECRET]},
    )

    assert {"PATH", "WANDB_API_KEY", "\\xff", "DVC_EXP_NAME"} <= set(context.environment)
    assert context.command == ("sh", "-c", "curl -H 'X: ***' x")
    assert context.overrides == {"service": {"key": "a***b"}, "list": ["***"]}
    assert SECRET.encode() not in encode(to_map(context))


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("AWS_SECRET_ACCESS_KEY", "abcdef", True),
        ("github_token", "abcdef", True),
        ("DB_PASSWORD", "abcdef", True),
        ("SENTRY_DSN", "https://abc", True),
        ("GIT_AUTHOR_NAME", "Ada Lovelace", False),
        ("USE_TOKEN", "1", False),
        ("HOME", "/home/ada", False),
    ],
)
def test_secrets_are_known_by_their_names(name: str, value: str, *, is_secret: bool) -> None:
    """A value counts by its variable's name, and if hiding it would not hide half of everything."""
    assert secrets_of({name: value}) == ((value,) if is_secret else ())


def test_a_context_without_bound_is_shortened(tmp_path: Path, repository: Path) -> None:
    """A command of two megabytes is in the commit; the context that shares a frame with the outcome leaves it out."""
    context = the_context(tmp_path, repository, command=("echo", "x" * 2 * CONTEXT_BYTES_MAX))

    assert (context.command, context.environment) == (None, ())
    assert context.interpreter is not None
    assert (context.interpreter.packages, context.interpreter.packages_hash[:7]) == ((), "sha256:")
    assert len(encode(to_map(context))) < CONTEXT_BYTES_MAX


@pytest.fixture
def scripted(tmp_path: Path) -> object:
    """Give a daemon that the test plays."""
    with a_scripted_daemon(tmp_path) as daemon:
        yield daemon


HUNGRY = "python -c 'x = bytearray(300_000_000); sum(range(3_000_000))'"


def test_a_stage_is_told_with_what_it_took(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """Each stage has its fate, exit code, duration and usage; what runs again is skipped and takes nothing."""
    write_files(
        repository,
        {
            "dvc.yaml": f'stages:\n  idle: {{cmd: \'true\', outs: [{{a: {{cache: false}}}}]}}\n  hungry: {{cmd: ["true", "{HUNGRY}"]}}\n'
        },
    )
    write_files(
        repository,
        {"dvc.yaml": f"stages:\n  idle:\n    cmd: 'true'\n  hungry:\n    cmd:\n    - 'true'\n    - {HUNGRY}\n"},
    )
    git(repository, "commit", "--quiet", "--all", "--message", "stages")

    context = context_after(scripted, an_order(tmp_path, repository))

    idle, hungry = context.stages
    assert [(stage.name, stage.fate, stage.exit_code) for stage in context.stages] == [
        ("idle", "ran", 0),
        ("hungry", "ran", 0),
    ]
    assert idle.command_hash != hungry.command_hash
    assert idle.usage is not None
    assert hungry.usage is not None
    assert hungry.usage.rss_bytes_max > 300_000_000 > idle.usage.rss_bytes_max
    assert hungry.usage.user_seconds + hungry.usage.system_seconds > 0.02
    assert context.started_at <= idle.started_at <= hungry.started_at <= context.ended_at
    assert idle.seconds + hungry.seconds <= context.seconds
    assert context.usage.rss_bytes_max == hungry.usage.rss_bytes_max


def test_a_stage_that_did_not_change_is_told_as_skipped(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path
) -> None:
    """What was restored or skipped has its fate, no exit code and no usage."""
    conversation, _register = scripted.meet()
    fates = []
    for number in (1, 2):
        conversation.order(an_order(tmp_path, repository, run=RunId(number)))
        context = conversation.hear_end().context
        assert context is not None
        fates.append([(stage.name, stage.fate, stage.exit_code, stage.usage is None) for stage in context.stages])

    assert fates == [[("train", "ran", 0, False)], [("train", "restored", None, True)]]


def test_a_cancelled_run_is_told_with_what_it_took(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """Its stage has no exit code, but what it had taken when it was ended, and children of its children too."""
    script = "(sh -c 'echo > started; while :; do :; done'); exit"
    order = an_order(tmp_path, repository, ("sh", "-c", script))
    conversation, _register = scripted.meet()
    conversation.order(order)
    conversation.hear(StageStarted)
    eventually((Path(order.worktree) / "started").exists, "the command has begun")
    conversation.order(CancelRun(run=order.run, reason="enough"))

    context = conversation.hear_end().context

    assert context is not None
    (stage,) = context.stages
    assert (stage.name, stage.exit_code, stage.usage is not None) == ("command", None, True)


def test_a_run_that_was_refused_has_a_context(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """Also what failed before its first command says where that was."""
    context = context_after(scripted, an_order(tmp_path, repository, ("/nonexistent/program",)))

    assert [(stage.name, stage.exit_code) for stage in context.stages] == [("command", None)]
    assert context.machine.hostname
