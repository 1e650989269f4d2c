"""Real Git repositories for tests: made, changed and looked at through the git program."""

import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

GIT_ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_NOSYSTEM": "1",
}

SHELL_PIPELINE = """\
stages:
  train:
    cmd: sh train.sh
    deps: [train.sh]
    params: [train.lr]
    outs: [model.bin]
    metrics:
      - metrics.json: {cache: false}
"""
SHELL_PARAMS = """\
# what may be changed
train:
  lr: 0.1   # learning rate
  name: "quoted"
"""
SHELL_TRAIN = """\
lr=$(sed -n 's/^  lr: \\([0-9.e-]*\\).*/\\1/p' params.yaml)
echo "training with $lr"
echo "weights $lr" > model.bin
echo "{\\"acc\\": $lr}" > metrics.json
"""
SHELL_PROJECT = {
    "dvc.yaml": SHELL_PIPELINE,
    "params.yaml": SHELL_PARAMS,
    "train.sh": SHELL_TRAIN,
    ".gitignore": "/model.bin\n",
    ".dvc/config": "",
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
}
"""A DVC project whose one stage is a few lines of shell: an experiment of it costs milliseconds."""


def git(repository: Path, *arguments: str) -> str:
    """Run git in a repository and give what it printed; a failure raises with its words."""
    result = subprocess.run(
        ["git", *arguments],
        cwd=repository,
        env={**os.environ, **GIT_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"git {' '.join(arguments)}: {result.stderr}"
    return result.stdout.strip()


def a_repository(path: Path, files: Mapping[str, str] | None = None) -> Path:
    """Make a repository with one commit that holds these files."""
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "config", "user.name", "Ada")
    git(path, "config", "user.email", "ada@example.org")
    write_files(path, files if files is not None else SHELL_PROJECT)
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--allow-empty", "--message", "start")
    return path


def add_submodule(path: Path, source: Path, name: str) -> Path:
    """Add a clone of a repository as a submodule, and commit that; gives its directory."""
    git(path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(source), name)
    git(path / name, "config", "user.name", "Ada")
    git(path / name, "config", "user.email", "ada@example.org")
    git(path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--recursive", name)
    git(path, "commit", "--quiet", "--message", f"submodule {name}")
    return path / name


def a_project_with_submodules(directory: Path) -> Path:
    """Make `project`, with a submodule `lib` that has the submodule `lib/inner`; their origins lie beside it."""
    inner = a_repository(directory / "of-inner", {"i.txt": "i\n"})
    library = a_repository(directory / "of-lib", {"s.txt": "s\n", "d/t.txt": "t\n", ".gitignore": "*.log\n"})
    add_submodule(library, inner, "inner")
    project = a_repository(directory / "project", {**SHELL_PROJECT, "a.txt": "a\n"})
    add_submodule(project, library, "lib")
    return project


def write_files(path: Path, files: Mapping[str, str]) -> None:
    """Write text files below a directory."""
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")


def everything_of(repository: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Take a picture of all that capture must not touch: name → mode, mtime, inode, bytes.

    The workspace whole, and Git directories (those of submodules too) outside `objects/`, `expd/` and `refs/expd/`.
    """
    picture = {}
    for directory, subdirectories, names in os.walk(repository):
        if "HEAD" in names and {"objects", "refs"} <= {*subdirectories}:
            subdirectories[:] = [name for name in subdirectories if name not in {"objects", "expd", "lfs"}]
        if Path(directory).name == "refs" and Path(directory, "..", "HEAD").exists():
            subdirectories[:] = [name for name in subdirectories if name != "expd"]
        for name in names:
            file = Path(directory, name)
            status = file.lstat()
            content = os.fsencode(file.readlink()) if stat.S_ISLNK(status.st_mode) else b""
            if stat.S_ISREG(status.st_mode):
                content = file.read_bytes()
            key = file.relative_to(repository).as_posix()
            picture[key] = (status.st_mode, status.st_mtime_ns, status.st_ino, content)
    return picture
