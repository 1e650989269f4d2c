"""Projects that both must refuse, or that fail half-way."""

from daemon.pipeline.case import Case, Round

FAULT_CASES: tuple[Case, ...] = (
    Case(
        "failing",
        {
            "dvc.yaml": """\
stages:
  good:
    cmd: cat src.txt > good
    deps: [src.txt]
    outs: [good: {cache: false}]
  bad:
    cmd: |
      echo started > left.txt
      exit 3
      echo never > never.txt
    deps: [good]
    outs: [bad]
  after:
    cmd: cat bad > after
    deps: [bad]
    outs: [after]
""",
            "src.txt": "s\n",
        },
        (Round(fails=True), Round(fails=True)),
        is_current_after=False,
    ),
    Case(
        "missing_dependency",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cat nope > o\n    deps: [nope]\n    outs: [o]\n",
        },
        (Round(fails=True), Round({"nope": "x\n"}), Round({"nope": None}, fails=True, kept=("o",))),
        is_current_after=False,
    ),
    Case(
        "missing_output",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: echo\n    deps: [src]\n    outs: [o: {cache: false}]\n",
            "src": "",
        },
        (Round(fails=True),),
        is_current_after=False,
    ),
    Case(
        "metric_is_binary",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: printf '\\0\\1' > m\n    deps: [src]\n    metrics: [m: {cache: false}]\n",
            "src": "",
        },
        (Round(fails=True),),
        is_current_after=False,
    ),
    Case(
        "cycle",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: echo\n    deps: [y]\n    outs: [x]\n  b:\n    cmd: echo\n    deps: [x]\n    outs: [y]\n"
        },
        (Round(fails=True),),
    ),
    Case(
        "duplicate",
        {"dvc.yaml": "stages:\n  a:\n    cmd: echo\n    outs: [x]\n  b:\n    cmd: echo\n    outs: [./x]\n"},
        (Round(fails=True),),
    ),
    Case(
        "overlap",
        {"dvc.yaml": "stages:\n  a:\n    cmd: echo\n    outs: [x]\n  b:\n    cmd: echo\n    outs: [x/y]\n"},
        (Round(fails=True),),
    ),
    Case(
        "own_dependency",
        {"dvc.yaml": "stages:\n  a:\n    cmd: echo\n    deps: [x]\n    outs: [x/y]\n", "x/z": ""},
        (Round(fails=True),),
    ),
    Case("unknown_key", {"dvc.yaml": "stages:\n  a:\n    cmd: echo\n    out: [x]\n"}, (Round(fails=True),)),
    Case("no_command", {"dvc.yaml": "stages:\n  a:\n    outs: [x]\n"}, (Round(fails=True),)),
    Case(
        "redefined",
        {"dvc.yaml": "vars: [{a: 1}]\nstages:\n  a:\n    cmd: echo ${a}\n", "params.yaml": "a: 2\n"},
        (Round(fails=True),),
    ),
    Case(
        "list_in_text",
        {"dvc.yaml": "stages:\n  a:\n    cmd: echo ${l}\n", "params.yaml": "l: [1]\n"},
        (Round(fails=True),),
    ),
    Case(
        "bad_expression",
        {"dvc.yaml": "stages:\n  a:\n    cmd: echo ${a..b}\n", "params.yaml": "a: 1\n"},
        (Round(fails=True),),
    ),
)
