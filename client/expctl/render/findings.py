"""What an examination found, in words: one table from the code of a finding to what it is, why, and what to do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from expctl.render.sizes import size_words
from expctl.render.terminal import visible
from expproto.limits import HINDRANCES
from expproto.records import FindingRecord

Facts = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """What is so, why it is or what comes of it, and what to do; the last may be empty."""

    what: str
    why: str
    todo: str


def _fixed(what: str, why: str, todo: str = "") -> Callable[[Facts], Sentence]:
    return lambda _facts: Sentence(what=what, why=why, todo=todo)


def _size(facts: Facts, name: str) -> str:
    value = facts.get(name)
    return size_words(value) if isinstance(value, int) else "?"


def _lock(facts: Facts, *, is_left: bool) -> Sentence:
    seconds, holder = facts.get("seconds"), facts.get("holder")
    if is_left:
        return Sentence(
            what=f"a lock is {seconds} s old, and no process that is seen has it",
            why="who made it was probably killed; until it is gone, whoever needs it waits or fails",
            todo="if no git runs in this repository, remove the file; --fix removes those on refs of expd that are older than the daemon",
        )
    return Sentence(
        what=f"a lock is held for {seconds} s" + (f" by {holder}" if holder else ""),
        why="somebody works there",
        todo="",
    )


def _object(facts: Facts) -> Sentence:
    if facts.get("lost"):
        return Sentence(
            what=f"object {facts.get('rev')} was an empty file, which is removed, and is nowhere in the workspace",
            why="a power cut leaves such; what it held is lost here",
            todo="another clone may have it: git fetch; `git fsck` tells what misses it",
        )
    return Sentence(
        what=f"object {facts.get('rev')} is an empty file",
        why="a power cut leaves such, and Git never writes it anew",
        todo="expctl doctor --fix removes it, and writes anew what the workspace holds of it",
    )


SENTENCES: Mapping[str, Callable[[Facts], Sentence]] = {
    "no_daemon": lambda facts: Sentence(
        what=f"no daemon answers: {facts.get('message')}", why="nothing else can be told without it", todo=str(facts.get("hint") or "")
    ),
    "store_file": lambda facts: Sentence(
        what=f"a file of the queue, {_size(facts, 'size')}, last written {facts.get('written')}",
        why="if the store is damaged, what is here is what there is to go back to",
        todo="keep a copy of all of them before you try anything",
    ),
    "store_damaged": lambda facts: Sentence(
        what=f"the store is damaged: {facts.get('what')}",
        why="a disk, a copy made while it was written, or another program did that",
        todo="expctl daemon stop; copy the file away, then put a backup in its place, or move it away: experiments in Git are not concerned",
    ),
    "open_to_others": lambda facts: Sentence(
        what=f"others may read or enter it: its mode is {facts.get('mode')}",
        why="the queue holds environments, and whoever reaches the socket runs commands as you",
        todo="expctl doctor --fix takes their rights away",
    ),
    "file_missing": _fixed("it is not there", "somebody removed it while the daemon runs", "expctl daemon stop; the next command starts it anew"),
    "network_file_system": lambda facts: Sentence(
        what=f"it is on a network file system ({facts.get('type')})",
        why="locks and a database are not safe there: another machine may write at the same time",
        todo="set EXPD_STATE_DIR and EXPD_RUNTIME_DIR to directories of this machine",
    ),
    "disk_full": lambda facts: Sentence(
        what=f"{_size(facts, 'free')} are free of {_size(facts, 'size')} ({facts.get('type')})",
        why=f"below {_size(facts, 'least')} nothing is started",
        todo="expctl gc --dry-run tells what could go; make room, and the queue goes on by itself",
    ),
    "disk_room": lambda facts: Sentence(
        what=f"{_size(facts, 'free')} are free of {_size(facts, 'size')} ({facts.get('type')})", why="", todo=""
    ),
    "file_left": lambda facts: Sentence(
        what=f"a {str(facts.get('kind')).replace('_', ' ')} that nobody needs, {_size(facts, 'size')}",
        why="who wrote it was killed",
        todo="expctl doctor --fix removes it",
    ),
    "ref_broken": lambda facts: Sentence(
        what=f"the ref is {facts.get('was')}",
        why="it keeps what was submitted from Git's garbage collection",
        todo="expctl doctor --fix sets it again, since what it held is there",
    ),
    "ref_orphan": _fixed(
        "no submission owns this ref", "the daemon was killed while a submission was on its way", "expctl doctor --fix removes it"
    ),
    "snapshot_gone": lambda facts: Sentence(
        what=f"this entry waits for what is not there: {facts.get('what')}",
        why="its objects were deleted or damaged; it can't run",
        todo="submit it again; expctl doctor --fix ends it with this reason",
    ),
    "repository_away": lambda facts: Sentence(
        what=f"this entry can't run: {facts.get('what')}",
        why="the repository was moved or deleted, or its disk is not mounted",
        todo="bring it back; expctl doctor --fix holds the entry until `expctl release`",
    ),
    "repository_unreadable": lambda facts: Sentence(
        what=f"the repository can't be read: {facts.get('what')}", why="Git will say more", todo="git fsck"
    ),
    "object_empty": _object,
    "pack_damaged": _fixed(
        "this pack is cut short, or not the one that its index is of",
        "a disk lost or changed it; what it held can't be read, and what needs that fails",
        "bring it back from a backup or a clone (git fetch, git fsck), and restart the daemon",
    ),
    "lock_left": lambda facts: _lock(facts, is_left=True),
    "lock_held": lambda facts: _lock(facts, is_left=False),
    "kept_worktrees": lambda facts: Sentence(
        what=f"worktrees of failed runs that are kept: {facts.get('count')}, {_size(facts, 'size')}",
        why="for a look at what a run left",
        todo="expctl gc removes what the rules of [retention] give up; expctl remove ID takes one away with its entry",
    ),
    "started_by": lambda facts: Sentence(
        what="the daemon is a unit of systemd" if facts.get("unit") else "the daemon was started by a command, not by systemd",
        why="" if facts.get("unit") else "it runs until it is stopped, and is not started again by itself before the next command",
        todo="",
    ),
    "control_groups": _fixed(
        "each run has a control group of its own", "systemd delegated one to the service: a run is ended as a whole"
    ),
    "process_tree": _fixed(
        "the processes of a run are known by their tree and their environment",
        "no control group was delegated to the daemon: it is no systemd service, or not that of `expctl service install`",
    ),
    "limit_kept": _fixed("the kernel keeps this limit", "systemd makes a scope for a run that has one"),
    "limit_not_kept": lambda facts: Sentence(
        what=f"the kernel does not keep this limit: {HINDRANCES.get(str(facts.get('why')), facts.get('why'))}",
        why="", todo="the memory of a run is looked at once a second instead; processors are not limited",
    ),
    "linger": _fixed("what runs outlives a logout", "lingering is enabled for this user"),
    "no_linger": _fixed(
        "what runs may end with your last login", "lingering is not enabled for this user", "loginctl enable-linger"
    ),
}  # fmt: skip
"""Code → its sentence."""


def sentence_of(finding: FindingRecord) -> Sentence:
    """Give the words for a finding; one of a newer daemon is told by its code and data."""
    known = SENTENCES.get(finding.code)
    if known is None:
        return Sentence(what=f"{finding.code}: {dict(finding.data)}", why="", todo="")
    return known(finding.data)


def document(findings: Sequence[FindingRecord], repository: str | None) -> dict[str, object]:
    """Give the findings as docs/json.md has them."""
    return {
        "repository": repository,
        "problems": sum(1 for each in findings if each.is_problem and not each.mended),
        "findings": [_plain(each) for each in findings],
    }


def _plain(finding: FindingRecord) -> dict[str, object]:
    words = sentence_of(finding)
    return {
        "code": finding.code,
        "section": finding.section,
        "subject": finding.subject,
        "is_problem": finding.is_problem,
        "mendable": finding.mendable,
        "mended": finding.mended,
        "what": words.what,
        "why": words.why,
        "todo": words.todo,
        "detail": dict(finding.data),
    }


def rows(findings: Sequence[FindingRecord]) -> list[tuple[str, ...]]:
    """Give a record a finding: fate, section, code, subject, what."""
    return [(fate_of(each), each.section, each.code, each.subject, sentence_of(each).what) for each in findings]


def page(findings: Sequence[FindingRecord]) -> str:
    """Give the findings for a person: what and of what, and below it why and what to do, unless it is mended."""
    text = ""
    for each in findings:
        words = sentence_of(each)
        text += f"{fate_of(each):<7} {visible(each.subject)}: {visible(words.what)}\n"
        if each.is_problem and not each.mended:
            text += "".join(f"        {visible(line)}\n" for line in (words.why, words.todo) if line)
        elif words.todo and not each.mended:
            text += f"        {visible(words.todo)}\n"
    return text


def fate_of(finding: FindingRecord) -> str:
    """Say in a word what becomes of a finding."""
    if finding.mended:
        return "mended"
    return "wrong" if finding.is_problem else "fine"
