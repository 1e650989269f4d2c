"""An entry → the order that a worker gets."""

from dataclasses import replace
from pathlib import Path

from expd.queueing.entry import Entry, Run
from expd.settings import Settings
from expproto import VERSION
from expproto.codec import decode, encode
from expproto.vocabulary import Mode
from expproto.work import Execute

Environment = tuple[tuple[bytes, bytes], ...]


def execute_order(entry: Entry, run: Run, environment: bytes | None, settings: Settings) -> Execute:
    """Say everything a worker must know to run an entry."""
    submission = entry.submission
    options = submission.stage_options
    return Execute(
        run=run.id,
        run_token=run.token,
        entry=entry.id,
        name=entry.name,
        message=submission.message,
        git_directory=submission.git_directory,
        worktree=run.worktree,
        baseline_rev=submission.baseline_rev,
        stash_rev=entry.stash_rev,
        root=submission.root,
        directory=submission.directory,
        origin_root=str(Path(submission.workspace, submission.root)),
        cache=submission.cache,
        command=submission.command,
        targets=submission.targets,
        force=submission.force,
        environment=() if environment is None else unpack_environment(environment),
        umask=submission.umask,
        log=run.log,
        record=run.record,
        grace_seconds=settings.grace_seconds,
        kept_worktrees_max=settings.kept_worktrees_max,
        copies=submission.copies,
        as_stage=submission.as_stage,
        captured_tree=submission.captured_tree if submission.mode is Mode.WORKSPACE else None,
        captured_at=submission.submitted_at,
        attempt=run.attempt,
        overrides=entry.params,
        daemon_version=VERSION,
        stage_options=replace(options, stage_jobs=options.stage_jobs or settings.stage_jobs),
        limits=submission.limits,
        resumes=entry.resumes,
        log_bytes_max=settings.log_bytes_max,
    )


def pack_environment(environment: Environment) -> bytes:
    """Give the bytes under which the store keeps an environment."""
    return encode({"variables": [list(variable) for variable in environment]})


def unpack_environment(packed: bytes) -> Environment:
    """Read what `pack_environment` wrote."""
    variables = decode(packed)["variables"]
    assert isinstance(variables, list)
    return tuple((name, value) for name, value in variables)
