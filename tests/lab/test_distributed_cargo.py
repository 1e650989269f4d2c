"""Submodules and copied files on their way to another host and back, and whose the results are."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.engine_contract import Place
from helpers.distributed import WorkerProgram, needs_broker, other_hosts
from helpers.repositories import a_project_with_submodules, git, write_files
from helpers.waiting import eventually

pytestmark = [pytest.mark.lab, needs_broker]

LOOK = "cat lib/s.txt lib/d/t.txt lib/inner/i.txt lib/new.txt; git -C lib rev-parse HEAD; git -C lib status --porcelain; git status --porcelain"


class Far(Place):
    """A daemon that sends entries to a worker program, and the hub between them."""

    hub: Path

    def rev(self, repository: Path, entry: str) -> str:
        """Wait for an entry, and give its experiment."""
        self.daemon.expctl(repository, "wait", entry)
        return str(self.entry(repository, entry)["experiment_rev"])


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    """Give a daemon with one other host."""
    with other_hosts(tmp_path_factory.mktemp("cargo")) as (daemon, _redis, hub):
        worker = WorkerProgram(daemon)
        found = Far(daemon, "--on", "celery")
        found.hub = hub
        try:
            yield found
        finally:
            worker.kill()
            print(worker.log.read_text())  # noqa: T201 - pytest shows it with a failure


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project with a nested submodule, with edits everywhere."""
    path = a_project_with_submodules(tmp_path / "with")
    write_files(path, {"lib/s.txt": "edited\n", "lib/new.txt": "new\n", "lib/inner/i.txt": "edited inside\n"})
    return path


def test_what_submodules_held_is_what_runs(far: Far, project: Path) -> None:
    """The run finds files of nested submodules, and Git in them, as one on this host does."""
    here = far.daemon.expctl(project, "submit", "--quiet", "--", "sh", "-c", LOOK).strip()
    there = far.submit(project, "--", "sh", "-c", LOOK)
    for entry in (here, there):
        far.daemon.expctl(project, "wait", entry)

    assert far.log(project, there) == far.log(project, here)
    assert "edited inside" in far.log(project, there)


def test_what_a_run_does_in_submodules_is_in_its_result(far: Far, project: Path) -> None:
    """Edits and new files are commits in the submodules' own repositories here, which no collection takes."""
    script = "echo run > lib/inner/i.txt; echo made > lib/made.txt; rm lib/d/t.txt"
    head = git(project / "lib", "rev-parse", "HEAD")
    experiment = far.rev(project, far.submit(project, "--", "sh", "-c", script))

    for place in (project / "lib", project / "lib" / "inner"):
        for ref in git(place, "for-each-ref", "--format=%(refname)", "refs/expd/entries").splitlines():
            git(place, "update-ref", "-d", ref)
        git(place, "reflog", "expire", "--expire=now", "--all")
        git(place, "gc", "--quiet", "--prune=now")
    lib = git(project, "rev-parse", f"{experiment}:lib")
    inner = git(project / "lib", "rev-parse", f"{lib}:inner")
    assert git(project / "lib" / "inner", "show", f"{inner}:i.txt") == "run"
    assert git(project / "lib", "show", f"{lib}:made.txt") == "made"
    assert git(project / "lib", "rev-parse", f"{lib}~2") == head
    assert (project / "lib" / "s.txt").read_text() == "edited\n"


def test_copied_paths_are_in_the_run_and_not_in_its_result(far: Far, repository: Path) -> None:
    """What Git ignores and -C names travels, mode and all, and is in no commit."""
    write_files(repository, {".gitignore": "/venv\n", "venv/tool": "#!/bin/sh\necho from the tool\n"})
    (repository / "venv" / "tool").chmod(0o755)
    entry = far.submit(repository, "-C", "venv", "--", "sh", "-c", "venv/tool | tee said.txt")
    experiment = far.rev(repository, entry)

    assert git(repository, "show", f"{experiment}:said.txt") == "from the tool"
    assert "venv" not in git(repository, "ls-tree", "--name-only", experiment).splitlines()


def test_results_are_the_submitters(far: Far, repository: Path) -> None:
    """Author and committer of an experiment are those of one that ran here, and so is what a run commits itself."""
    git(repository, "config", "user.name", "Ada Lovelace")
    git(repository, "config", "user.email", "ada@analytical.example")
    script = "unset GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL\n"  # the worker's, in tests
    script += "git commit --quiet --allow-empty -m x && git log -1 --format='%an <%ae>'"
    entry = far.submit(repository, "--", "sh", "-c", script)
    experiment = far.rev(repository, entry)

    assert git(repository, "log", "-1", "--format=%an <%ae> %cn <%ce>", experiment) == " ".join(
        2 * ["Ada Lovelace <ada@analytical.example>"]
    )
    assert far.log(repository, entry) == "Ada Lovelace <ada@analytical.example>\n"


def test_a_shallow_clone_is_refused_at_once(far: Far, repository: Path, tmp_path: Path) -> None:
    """A hub would take nothing of it: what to do about it is said when it is submitted, and nothing waits."""
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "another")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", "clone")
    before = far.daemon.entries(repository)

    refused = far.daemon.run_expctl(tmp_path / "clone", "submit", *far.on, "--", "true")

    assert refused.returncode == 5
    assert b"git fetch --unshallow" in refused.stderr
    assert far.daemon.entries(repository) == before


def test_what_is_edited_while_others_of_its_sweep_ran_is_what_runs(far: Far, repository: Path) -> None:
    """The submission is brought to the hub once more; a host that has it as it was before fetches it again."""
    first, second, third = far.submit(repository, "--hold", "-S", "train.lr=0.1,0.2,0.3").split()
    for step in (["release", first], ["wait", first], ["edit", second, "-S", "train.lr=0.9"]):
        far.daemon.expctl(repository, *step)
    for step in (["release", third], ["wait", third], ["release", second], ["wait", second]):
        far.daemon.expctl(repository, *step)

    found = [git(repository, "show", f"{far.rev(repository, entry)}:params.yaml") for entry in (first, second, third)]
    assert [f"lr: {lr}" in text for lr, text in zip(("0.1", "0.9", "0.3"), found, strict=True)] == [True] * 3


def test_a_sweep_of_the_hub_takes_what_is_over_and_ours(far: Far, repository: Path) -> None:
    """What a crash left of a submission that is done goes with `gc`, after it was shown; what waits and what is another's stays."""
    waits = far.daemon.expctl(repository, "submit", "--quiet", "--on", "celery:nobody", "--", "true").strip()
    eventually(lambda: git(far.hub, "for-each-ref", "refs/expd/entries"), "it is on the hub")
    (living,) = git(far.hub, "for-each-ref", "--format=%(refname)").splitlines()
    store, rev = living.split("/")[3], git(far.hub, "rev-parse", living)
    left = [f"refs/expd/{kind}/{store}/gone" for kind in ("entries", "cargo", "claims", "attempts")]
    another = "refs/expd/entries/another/request"
    for ref in (*left, another):
        git(far.hub, "update-ref", ref, rev)

    told = far.daemon.expctl(repository, "gc", "--dry-run")
    before = git(far.hub, "for-each-ref", "--format=%(refname)").splitlines()
    far.daemon.expctl(repository, "gc")
    after = git(far.hub, "for-each-ref", "--format=%(refname)").splitlines()
    far.daemon.expctl(repository, "cancel", waits)
    git(far.hub, "update-ref", "-d", another)

    assert all(ref in told for ref in left)
    assert (set(before), set(after)) == ({living, another, *left}, {living, another})
    eventually(lambda: not git(far.hub, "for-each-ref"), "what was cancelled is cleared away")


def test_of_what_is_over_nothing_is_on_the_hub(far: Far, repository: Path, project: Path) -> None:
    """After a sweep, a run with submodules and copies, a failure and a cancelled one: no ref is left there, nor one of ours here."""
    write_files(repository, {".gitignore": "/extra\n", "extra": "x\n"})
    entries = far.submit(repository, "-C", "extra", "-S", "train.lr=0.1,0.2,0.3").split()
    entries += [far.submit(repository, "--", "false"), far.submit(repository, "--", "sleep", "1000")]
    inside = far.submit(project, "--", "sh", "-c", "echo more > lib/inner/i.txt")
    eventually(lambda: far.entry(repository, entries[-1])["state"] == "running", "the last one runs")
    far.daemon.expctl(repository, "cancel", entries[-1])
    far.daemon.run_expctl(repository, "wait", *entries)
    far.daemon.expctl(project, "wait", inside)

    eventually(lambda: not git(far.hub, "for-each-ref"), "the hub is empty")
    for place in (repository, project, project / "lib"):
        assert "refs/expd/attempts" not in git(place, "for-each-ref")
