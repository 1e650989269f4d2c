"""An entry with other parameters: from its own stash commit, all else as it was submitted. Nothing is checked out."""

from pathlib import Path

from expd.dispatch.orders import unpack_environment
from expd.queueing.entry import Entry
from expd.serve.services import Services
from expproto.requests import Submit
from expproto.vocabulary import EntryId

Environment = tuple[tuple[bytes, bytes], ...]


async def variant_of(
    entry: Entry, overrides: tuple[str, ...], asked: Environment, services: Services, *, request_id: str
) -> Submit:
    """Give the submission that an entry would be with further overrides.

    It has the environment of the entry's own submission, or where that is not kept any more, of who asks.
    """
    submission = entry.submission
    packed = await services.store.environment(entry.submission_id)
    return Submit(
        request_id=request_id,
        cwd=str(Path(submission.workspace, submission.directory)),
        overrides=overrides,
        message=submission.message,
        force=submission.force,
        command=None if submission.as_stage else submission.command,
        targets=submission.targets,
        environment=asked if packed is None else unpack_environment(packed),
        umask=submission.umask,
        stage_options=submission.stage_options,
    )


def request_id_of(request_id: str, entry: EntryId) -> str:
    """Give the request id of one entry's part of a request: the same request again is the same submissions."""
    return f"{request_id}e{entry}"
