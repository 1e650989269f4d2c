"""Every exception a request may meet → the Refusal a client gets; the only such place. None means: a bug."""

from collections.abc import Sequence
from pathlib import Path

from expd.collect.fetching import AlreadyThere, NoSuchResult
from expd.gitio.errors import CannotCapture, GitFailed, NotARepository, RefLocked, RefMoved
from expd.linux.exhaustion import MAY_PASS, OF_THE_DISK
from expd.linux.holders import holder_of
from expd.linux.threads import no_thread
from expd.pipeline.model import PipelineError
from expd.prepare.capture import NoCommit, UnfinishedMerge
from expd.prepare.manifest import UnusableExport
from expd.prepare.names import UnusableName
from expd.prepare.newfiles import NewFilesTooLarge
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.paths import UnusablePath
from expd.prepare.project import NothingToRun
from expd.prepare.restore import CannotRestore, NewerEdits
from expd.prepare.source import UnusableSource
from expd.prepare.submission import ExperimentExists, SweepOutsideQueue
from expd.queueing.database import StoreFailed
from expd.queueing.groups import GroupInUse, NoSuchGroup
from expd.queueing.writing import NameTaken, WorkspaceBusy, WrongState
from expproto import errors
from expproto.replies import RESTORED_MAX, Refusal


class Refused(Exception):
    """A handler refuses: `code` of expproto.errors, and its data."""

    def __init__(self, code: str, **data: object) -> None:
        super().__init__(code)
        self.code = code
        self.data = data


def refusal_for(error: Exception) -> Refusal | None:
    """Give the refusal for an exception that a request may meet, None for one it may not."""
    return _of_the_request(error) or _of_the_repository(error) or _of_the_queue(error) or _of_the_machine(error)


def _of_the_request(error: Exception) -> Refusal | None:
    """Refuse what was asked for as it was asked."""
    match error:
        case Refused():
            return Refusal(code=error.code, data=error.data)
        case OverrideError():
            data = {"override": error.text, "what": error.problem, "hint": error.hint}
            return Refusal(code=errors.BAD_OVERRIDE, data=data)
        case UnusableName():
            return Refusal(code=errors.BAD_NAME, data={"name": error.name, "what": error.problem, "hint": error.hint})
        case UnusableExport():
            return Refusal(code=errors.BAD_EXPORT, data={"what": error.what, "hint": error.hint})
        case UnusableSource():
            data = {"source": error.source, "what": error.what, "hint": error.hint}
            return Refusal(code=errors.BAD_SOURCE, data=data)
        case UnusablePath():
            data = {"what": f"{error.path}: {error.problem}", "hint": error.hint}
            return Refusal(code=errors.USAGE, data=data)
        case SweepOutsideQueue():
            what = f"a sweep of {error.count} points can't run here: each point needs a place of its own"
            return Refusal(code=errors.USAGE, data={"what": what, "hint": "queue it with `expctl submit`"})
        case NothingToRun():
            return Refusal(code=errors.NOTHING_TO_RUN, data={"directory": error.directory})
        case PipelineError():
            what = f"expected {error.expected}" + (f"; {error.hint}" if error.hint else "")
            return Refusal(code=errors.BAD_PIPELINE, data={"what": what, "path": error.path, "line": error.line})
        case _:
            return None


def _of_the_repository(error: Exception) -> Refusal | None:
    """Refuse what the repository does not allow now, or can not be captured."""
    match error:
        case NotARepository():
            return Refusal(code=errors.NOT_A_REPOSITORY, data={"cwd": error.cwd, "what": error.what})
        case NoCommit():
            return Refusal(code=errors.NO_COMMIT, data={})
        case UnfinishedMerge():
            return Refusal(code=errors.UNFINISHED_MERGE, data={"operation": error.operation})
        case CannotCapture():
            return Refusal(code=errors.CANNOT_CAPTURE, data=_at_path(error))
        case NewFilesTooLarge():
            largest = [list(item) for item in error.largest]
            limit = {"setting": error.setting, "limit": error.limit, "found": error.found, "largest": largest}
            return Refusal(code=errors.TOO_LARGE, data=limit)
        case ExperimentExists():
            data = {
                "name": error.name,
                "holder": "experiment",
                "baseline_rev": error.baseline_rev,
                "as_held": error.as_held,
            }
            return Refusal(code=errors.NAME_TAKEN, data=data)
        case RefLocked():
            holder = holder_of(Path(error.path))
            return Refusal(
                code=errors.REF_LOCKED,
                data={"path": error.path, "what": error.what, "holder": None if holder is None else str(holder)},
            )
        case RefMoved():
            return Refusal(code=errors.REF_LOCKED, data={"path": error.ref, "what": str(error)})
        case GitFailed():
            return _of_git(error)
        case _:
            return None


def _of_the_queue(error: Exception) -> Refusal | None:
    """Refuse what the state of entries, results and the workspace does not allow."""
    match error:
        case NameTaken():
            data = {"name": error.name, "holder": "entry", "entry": error.entry, "as_held": error.as_held}
            return Refusal(code=errors.NAME_TAKEN, data=data)
        case CannotRestore():
            return Refusal(code=errors.CANNOT_RESTORE, data=_at_path(error))
        case NewerEdits():
            return Refusal(code=errors.NEWER_EDITS, data=_newer(error.paths))
        case WorkspaceBusy():
            holder = {"workspace": error.workspace, "entry": error.entry, "name": error.name}
            return Refusal(code=errors.WORKSPACE_BUSY, data=holder)
        case NoSuchGroup():
            return Refusal(code=errors.NO_GROUP, data={"group": error.name, "known": error.known})
        case GroupInUse():
            return Refusal(code=errors.GROUP_IN_USE, data={"group": error.name, "count": error.count})
        case WrongState():
            return Refusal(code=errors.WRONG_STATE, data={"entry": error.entry, "state": error.state})
        case NoSuchResult():
            return Refusal(code=errors.NO_RESULT, data={"path": error.path, "what": error.what})
        case AlreadyThere():
            return Refusal(code=errors.FILE_EXISTS, data={"path": error.path})
        case _:
            return None


def _of_the_machine(error: Exception) -> Refusal | None:
    """Refuse what disk, memory and kernel refuse."""
    match error:
        case StoreFailed():
            return Refusal(code=errors.STORE_FAILED, data={"what": error.what})
        case OSError():
            return _of_the_system(error.errno, str(error.filename or ""), str(error.strerror))
        case MemoryError():
            return Refusal(code=errors.EXHAUSTED, data={"what": "there is no memory left"})
        case RuntimeError() if (missing := no_thread(error)) is not None:
            return Refusal(code=errors.EXHAUSTED, data={"what": missing.strerror})
        case _:
            return None


def _of_git(error: GitFailed) -> Refusal:
    """Tell what the system refused from what the repository does not allow."""
    if error.errno is not None:
        return _of_the_system(error.errno, "", error.what)
    hint = "`expctl doctor` and `git fsck` look for what is damaged"
    return Refusal(code=errors.CANNOT_CAPTURE, data={"what": error.what, "path": "", "hint": hint})


def _of_the_system(number: int | None, path: str, what: str) -> Refusal:
    """Tell a want of descriptors, memory or processes from what is wrong with a disk."""
    if number in MAY_PASS - OF_THE_DISK:
        return Refusal(code=errors.EXHAUSTED, data={"what": what})
    return Refusal(code=errors.DISK_FAILED, data={"path": path, "what": what})


def _at_path(error: CannotCapture | CannotRestore) -> dict[str, object]:
    return {"what": error.what, "path": shown_path(error.path), "hint": error.hint}


def _newer(paths: Sequence[str]) -> dict[str, object]:
    return {"paths": list(shown_paths(paths)), "count": len(paths)}


def shown_paths(paths: Sequence[str]) -> tuple[str, ...]:
    """Give as many paths as an answer names, in a form that can be sent: they are only shown."""
    return tuple(map(shown_path, paths[:RESTORED_MAX]))


def shown_path(path: str) -> str:
    """Give a path that is not UTF-8 in a form that can be sent: it is only shown."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
