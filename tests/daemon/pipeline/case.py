"""A small project, for one trait of DVC: its files, how it is set up, and what happens to it round by round."""

from dataclasses import dataclass, field

Files = dict[str, str | None]


@dataclass(frozen=True)
class Round:
    """Files are changed, then the project is reproduced with these arguments, in this directory."""

    write: Files = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    directory: str = "."
    remove: tuple[str, ...] = ()
    fails: bool = False
    any_order: bool = False  # DVC walks a set of targets that is less than half of the graph
    kept: tuple[str, ...] = ()  # DVC has removed these outputs when it finds that an input is missing; we have not


@dataclass(frozen=True)
class Case:
    """A project: `setup` are commands of DVC that run before the start is copied."""

    name: str
    files: Files
    rounds: tuple[Round, ...] = (Round(),)
    config: str = ""
    setup: tuple[tuple[str, ...], ...] = ()
    is_current_after: bool = True
