"""Projects and their fate, drawn from a seed: what nobody thought of writing down. A seed gives the same project for ever."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from daemon.pipeline.case import Case, Files, Round

KEYS = ("a", "b", "c.d", "l.0")
LINKS = ("reflink,copy", "copy", "hardlink", "symlink", "hardlink,copy")


@dataclass
class Draft:
    """A stage being drawn."""

    name: str
    deps: list[str]
    keys: list[str]
    files: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    marker: str = ""
    always: bool = False

    def to_yaml(self) -> str:
        """The stage as dvc.yaml has it; its commands write every output from every dependency."""
        read = f"cat /dev/null $(find {' '.join(self.deps)} -type f | sort)" if self.deps else "echo nothing"
        writes = [f"{read} > {path}" for path in (*self.files, *self.metrics)]
        writes += [
            f"mkdir -p {path}/in && {read} > {path}/a && echo {self.name} > {path}/in/b" for path in self.directories
        ]
        lines = [f"  {self.name}:", f"    cmd: {' && '.join(writes)}{self.marker}"]
        lines += [f"    deps: [{', '.join(self.deps)}]"] if self.deps else []
        lines += [f"    params: [{', '.join(self.keys)}]"] if self.keys else []
        lines += (
            [f"    outs: [{', '.join([*self.files, *self.directories])}]"] if self.files or self.directories else []
        )
        lines += (
            [f"    metrics: [{', '.join(f'{path}: {{cache: false}}' for path in self.metrics)}]"]
            if self.metrics
            else []
        )
        lines += ["    always_changed: true"] if self.always else []
        return "\n".join(lines)


def draw_case(seed: int) -> Case:
    """The project of a seed, and five rounds of it."""
    dice = random.Random(seed)
    stages = draw_stages(dice)
    files: Files = {
        "dvc.yaml": to_text(stages, dice),
        "params.yaml": draw_params(dice),
        "src.txt": "0\n",
        "srcs/x": "0\n",
        "srcs/y": "y\n",
    }
    rounds = [Round(), *(draw_round(dice, stages) for _ in range(4))]
    return Case(
        f"seed {seed}",
        files,
        tuple(rounds),
        config=f"[cache]\n    type = {dice.choice(LINKS)}\n",
        is_current_after=False,
    )


def draw_stages(dice: random.Random) -> list[Draft]:
    """A few stages, of which each reads sources and outputs of those before it."""
    stages: list[Draft] = []
    readable = ["src.txt", "srcs", "srcs/x"]
    for number in range(dice.randint(2, 6)):
        deps = dice.sample(readable, dice.randint(0, min(3, len(readable))))
        deps = [dep for dep in deps if not any(dep.startswith(f"{other}/") for other in deps)]
        stage = Draft(f"s{number}", deps, dice.sample(KEYS, dice.choice((0, 0, 1, 2))))
        kind = dice.choice(("file", "file", "directory", "both", "metric"))
        stage.files += [f"f{number}"] if kind in {"file", "both", "metric"} else []
        stage.directories += [f"d{number}"] if kind in {"directory", "both"} else []
        stage.metrics += [f"m{number}"] if kind == "metric" else []
        stage.always = dice.random() < 0.1
        readable += [*stage.files, *stage.directories, *(f"{path}/a" for path in stage.directories)]
        stages.append(stage)
    return stages


def to_text(stages: Sequence[Draft], dice: random.Random) -> str:
    """The dvc.yaml, its stages in any order."""
    return "stages:\n" + "\n".join(stage.to_yaml() for stage in dice.sample(stages, len(stages))) + "\n"


def draw_params(dice: random.Random) -> str:
    """A params.yaml; few values, so that earlier ones come back."""
    value = dice.choice(("1", "1.0", "'1'", "true", "null", "[1, x]"))
    return f"a: {value}\nb: {dice.randint(0, 1)}\nc: {{d: {dice.choice(('x', '0.5', '{e: 1}'))}}}\nl: [{dice.randint(0, 1)}]\nunused: {dice.random()}\n"


def draw_round(dice: random.Random, stages: Sequence[Draft]) -> Round:
    """One to three things that happen, and how the project is reproduced then."""
    write: Files = {}
    remove: list[str] = []
    outs = [path for stage in stages for path in (*stage.files, *stage.directories, *stage.metrics)]
    for _ in range(dice.randint(1, 3)):
        match dice.choice(
            ("source", "source", "params", "params", "lost", "edited", "cache", "runs", "command", "lock")
        ):
            case "source":
                write[dice.choice(("src.txt", "srcs/x", "srcs/z"))] = f"{dice.randint(0, 1)}\n"
            case "params":
                write["params.yaml"] = draw_params(dice)
            case "lost":
                remove.append(dice.choice(outs))
            case "edited":
                files = [path for stage in stages for path in stage.files]
                write |= {dice.choice(files): "edited\n"} if files else {}
            case "cache":
                remove.append(".dvc/cache/files/md5")
            case "runs":
                remove.append(".dvc/cache/runs")
            case "command":
                dice.choice(stages).marker = f" # {dice.randint(0, 1)}"
                write["dvc.yaml"] = to_text(stages, dice)
            case _:
                write["dvc.lock"] = None
    arguments = dice.choice(((), (), (), ("-f",), (dice.choice(stages).name,)))
    return Round(write, arguments, remove=tuple(remove), any_order=True)
