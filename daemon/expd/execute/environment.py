"""The environment of a run's commands: what the submitter had, and what says which experiment this is."""

import math
import sys
from collections.abc import Mapping

from expd.execute.stackdumps import FAULTHANDLER_VARIABLE
from expd.linux.processes import TOKEN_VARIABLE
from expproto.work import Execute

_NOT_FOR_RUNS = frozenset(
    {
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_PREFIX",
    }
    | {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "INVOCATION_ID", "JOURNAL_STREAM", "OLDPWD"}
)
"""Variables that point at the submitter's repository or service: in a worktree they would be wrong."""

RESUMING: Mapping[str, str] = {"EXPD_RESUME": "1", "DVCLIVE_RESUME": "1"}
"""Says that the files are as an earlier attempt left them; DVCLive goes on from its last step then."""


def run_environment(order: Execute) -> dict[str, str]:
    """Give the environment of every command; DVC_STAGE and PWD are added for each.

    DVC_ROOT names the user's project, not the worktree, as DVC has it: DVCLive leaves its signals there.
    Libraries that count the processors of the machine are told how many of them the run may use.
    """
    coding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()  # as os.fsdecode, which asks at each
    environment = {name.decode(coding, errors): value.decode(coding, errors) for name, value in order.environment}
    for name in _NOT_FOR_RUNS:
        environment.pop(name, None)
    stacks = {FAULTHANDLER_VARIABLE: "1"} if order.limits.is_timed else {}
    threads = {} if order.limits.cpus is None else {"OMP_NUM_THREADS": str(math.ceil(order.limits.cpus))}
    resuming = {} if order.resumes is None else RESUMING
    return {"PYTHONUNBUFFERED": "1", **stacks, **threads, **environment, **_identity(order), **resuming}


def _identity(order: Execute) -> Mapping[str, str]:
    return {
        "DVC_ROOT": order.origin_root,
        "DVC_EXP_NAME": order.name,
        "DVC_EXP_BASELINE_REV": order.baseline_rev,
        "EXPD_ENTRY": str(order.entry),
        "EXPD_NAME": order.name,
        TOKEN_VARIABLE: order.run_token,
    }
