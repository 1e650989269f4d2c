"""The codes that may appear on the wire, and the two ways a conversation can break.

Errors travel as a code with data; the sentence a person reads is made in the client, so that
tests and scripts match codes while words stay free to improve.
"""

# Codes of a Refusal. Each names what its data holds.
USAGE = "usage"
CANNOT_TRAVEL = "cannot_travel"
"""The request makes no sense as it is: `what`."""
NOT_A_REPOSITORY = "not_a_repository"
"""No Git repository at or above `cwd`."""
NO_COMMIT = "no_commit"
"""The repository at `repository` has no commit to be a baseline."""
UNFINISHED_MERGE = "unfinished_merge"
"""A merge, rebase or the like is in progress in `repository`: `operation`."""
CANNOT_CAPTURE = "cannot_capture"
"""The workspace can't be frozen: `what`, `path`."""
BAD_OVERRIDE = "bad_override"
"""An override can't be applied: `override`, `what`, `hint`."""
BAD_SOURCE = "bad_source"
"""The commit `source` can't be run: `what`, `hint`."""
BAD_EXPORT = "bad_export"
"""An entry can't be exported, or a file not be imported: `what`, `hint`."""
BAD_NAME = "bad_name"
"""`name` can't be an experiment's name: `what`, `hint`."""
NAME_TAKEN = "name_taken"
"""`name` belongs to `holder` (`experiment` or `entry`) under `baseline_rev`; `entry` is its id if it has one, `as_held` its name if that differs by case."""
NOTHING_TO_RUN = "nothing_to_run"
"""Neither a dvc.yaml below `directory` nor a command."""
BAD_PIPELINE = "bad_pipeline"
"""dvc.yaml can't be used: `what`, `path`, `line`."""
UNKNOWN_ENTRY = "unknown_entry"
"""No entry or experiment answers to `selector`; `candidates` are near."""
AMBIGUOUS_ENTRY = "ambiguous_entry"
"""Several answer to `selector`: `candidates`."""
WORKSPACE_BUSY = "workspace_busy"
"""Entry `entry`, named `name`, runs in `workspace`, and two can't."""
WRONG_STATE = "wrong_state"
"""Entry `entry` is `state`, so this can't be done: `what`."""
NO_GROUP = "no_group"
"""There is no group `group`; `known` are those there are."""
GROUP_IN_USE = "group_in_use"
"""The group `group` can't go: `count` entries of it are not done, or it is the default one."""
NO_RESULT = "no_result"
"""The experiment `experiment` has no `path`, or the cache lacks it: `what`."""
FILE_EXISTS = "file_exists"
"""`path` is there already and is not overwritten."""
CANNOT_RESTORE = "cannot_restore"
"""The workspace can't be brought back: `what`, `path`, `hint`."""
NEWER_EDITS = "newer_edits"
"""Files hold what would be lost: the first of `count` are `paths`; nothing was changed."""
REF_LOCKED = "ref_locked"
"""A Git lock outlived the deadline: `path`, and `holder`, the process that has it open, if one is seen."""
STORE_FAILED = "store_failed"
"""The store could not write: `what`; nothing was accepted."""
DISK_FAILED = "disk_failed"
"""The system refused a file operation: `path`, `what`."""
EXHAUSTED = "exhausted"
"""There is no more of something that the request needs, and will be again: `what`; nothing was done."""
STOPPING = "stopping"
"""The daemon is on its way out and takes no new work."""
INTERNAL = "internal"
"""A bug: `what`; the daemon's journal has the details under `incident`."""
TOO_LARGE = "too_large"
"""Something exceeds a limit: `what`, `limit`, `found`; for new files `setting` and `largest`, pairs of path and bytes."""

# Codes of a broken conversation; after one the connection is closed.
BAD_FRAME = "bad_frame"
BAD_MESSAGE = "bad_message"
UNKNOWN_MESSAGE = "unknown_message"
VERSION_MISMATCH = "version_mismatch"
OUT_OF_TURN = "out_of_turn"

ALL_CODES = frozenset(value for name, value in globals().items() if name.isupper() and isinstance(value, str))


class ProtocolError(Exception):
    """The conversation broke: `code` is one of the last five above, `what` says how, for a log or a hint."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(f"{code}: {what}")
        self.code = code
        self.what = what


class LocalProtocolError(ProtocolError):
    """We broke the rules: a bug on this side."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the rules: whatever it sends next is not read."""
