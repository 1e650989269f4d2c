"""Projects for corners: what is written twice, changes its kind, has an odd name, or was made by hand."""

from daemon.pipeline.case import Case, Round

COPY = "stages:\n  copy:\n    cmd: cp -r src out\n    deps: [src]\n    outs: [out]\n"

ODD_CASES: tuple[Case, ...] = (
    Case(
        "repeated",
        {
            "dvc.yaml": """\
stages:
  a:
    cmd: cp src/x out; cp src/x m
    deps: [src, src/x, ./src/x]
    params: [p, p, params.yaml: [q, p], params.yaml: [q]]
    outs: [out: {push: false}, out: {desc: d}]
    metrics: [m, m: {cache: false}]
""".replace(", params.yaml: [q]]", "]"),
            "src/x": "x\n",
            "params.yaml": "p: 1\nq: 2\n",
        },
        (Round(), Round({"params.yaml": "p: 1\nq: 3\n"})),
    ),
    Case(
        "anchors",
        {
            "dvc.yaml": """\
stages:
  a: &base
    cmd: &c cat src.txt > a
    deps: &d [src.txt]
    outs: [a]
  b:
    <<: *base
    cmd: cat src.txt > b
    outs: [b]
  c:
    cmd: cat src.txt > c
    deps: *d
    outs: [c]
""",
            "src.txt": "s\n",
        },
        (Round(), Round({"src.txt": "t\n"})),
    ),
    Case(
        "kind_changes",
        {"dvc.yaml": COPY, "src": "file\n"},
        (
            Round(),
            Round({"src/x": "now a directory\n"}, remove=("src",)),
            Round({"src": "a file again\n"}, remove=("src",)),
            Round({"out/x": "edited into a directory\n"}, remove=("out",)),
        ),
    ),
    Case(
        "form_of_command",
        {"dvc.yaml": "stages:\n  a:\n    cmd: echo x > a; echo 1 >> n\n    outs: [a]\n"},
        (
            Round(),
            Round({"dvc.yaml": "stages:\n  a:\n    cmd: ['echo x > a; echo 1 >> n']\n    outs: [a]\n"}),
            Round(
                {"dvc.yaml": "stages:\n  a:\n    cmd: ['echo x > a; echo 1 >> n']\n    outs: [a]\n    desc: changed\n"}
            ),
        ),
    ),
    Case(
        "incomplete_lock",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cp src o; cp src p; echo 1 >> n\n    deps: [src]\n    params: [x]\n    outs: [o, p]\n",
            "src": "s\n",
            "params.yaml": "x: 1\n",
        },
        (
            Round(),
            Round(
                {
                    "dvc.lock": "schema: '2.0'\nstages:\n  a:\n    cmd: cp src o; cp src p; echo 1 >> n\n    deps:\n    - path: src\n      hash: md5\n"
                    "      md5: dd14dd5ad8ad7d1dbe3fb4fb1b0e0f4d\n    outs:\n    - path: o\n      hash: md5\n      md5: dd14dd5ad8ad7d1dbe3fb4fb1b0e0f4d\n"
                }
            ),
            Round({"dvc.lock": "schema: '2.0'\n"}),
            Round({"dvc.lock": "schema: '2.0'\nstages: {}\n"}),
        ),
    ),
    Case(
        "odd_names",
        {
            "dvc.yaml": """\
stages:
  "a b":
    cmd: mkdir -p out && cp src.txt "out/$(printf 'a\\tb')" && cp src.txt 'out/"quoted"' && cp src.txt 'out/back\\slash'
    deps: [src.txt]
    outs: [out]
  1e3:
    cmd: echo 1 > '1e3'
    outs: ['1e3']
  -x-:
    cmd: echo 1 > ./-x
    outs: [-x]
  "null":
    cmd: echo 1 > 'true'
    outs: ['true']
  a.b/c:
    cmd: echo 1 > 'it''s'
    outs: ["it's"]
""".replace("  1e3:\n    cmd: echo 1 > '1e3'\n    outs: ['1e3']\n", "").replace("'it''s'", '"it\'s"'),
            "src.txt": "s\n",
        },
        (Round(), Round({"src.txt": "t\n"})),
    ),
    Case(
        "uncached_persist",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cat src >> o; echo 1 > m\n    deps: [src]\n    outs: [o: {cache: false, persist: true}]\n"
            "    metrics: [m: {cache: false, persist: true}]\n",
            "src": "s\n",
        },
        (Round(), Round({"src": "t\n"})),
    ),
    Case(
        "data_elsewhere",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cat sub/raw sub/dir/x > o\n    deps: [sub/raw, sub/dir]\n    outs: [o]\n",
            "sub/raw": "r\n",
            "sub/dir/x": "x\n",
            "outer.txt": "o\n",
        },
        (Round(), Round({}, (), "sub", fails=True), Round({}, ("../dvc.yaml",), "sub"), Round({}, ("sub/raw.dvc",))),
        setup=(("add", "-q", "sub/raw", "sub/dir"), ("import-url", "-q", "outer.txt", "imported.txt")),
    ),
    Case(
        "damaged_objects",
        {"dvc.yaml": "stages:\n  a:\n    cmd: cp src o; echo 1 >> n\n    deps: [src]\n    outs: [o]\n", "src": "s\n"},
        (
            Round(),
            Round({".dvc/cache/files/md5/f4/d5d0c0671be202bc241807c243e80b": "damaged\n"}),
            Round({".dvc/cache/files/md5/f4/d5d0c0671be202bc241807c243e80b": "damaged\n"}, remove=("o",)),
        ),
    ),
    Case(
        "byte_order_mark",
        {"dvc.yaml": "\ufeffstages:\n  a:\n    cmd: echo é > é\n    outs: [é]\n", "params.yaml": "\ufeffp: 1\n"},
    ),
    Case(
        "made_params",
        {
            "dvc.yaml": "stages:\n  make:\n    cmd: 'echo \"k: 2\" > made.yaml'\n    outs: [made.yaml: {cache: false}]\n"
            "  use:\n    cmd: cp made.yaml o\n    params: [made.yaml: [k]]\n    outs: [o]\n",
        },
        (Round(), Round()),
    ),
    Case(
        "python_values",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > o\n    params: [p.py: [T, D, N.x, S]]\n    outs: [o]\n",
            "p.py": "T = (1, 2)\nD = {'b': 1, 'a': (1,)}\nclass N:\n    x = None\nS = 'text'\n",
        },
        (
            Round(),
            Round(),
            Round({"p.py": "T = (1, 3)\nD = {'b': 1, 'a': (1,)}\nclass N:\n    x = None\nS = 'text'\n"}),
        ),
        is_current_after=False,
    ),
    Case(
        "allowed_to_be_missing",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cp src o\n    deps: [src]\n    outs: [o]\n  b:\n    cmd: cp o p\n    deps: [o]\n    params: [x]\n    outs: [p]\n",
            "src": "s\n",
            "params.yaml": "x: 1\n",
        },
        (
            Round(),
            Round({}, ("--allow-missing",), remove=("o", "p")),
            Round({}, ("--allow-missing",), remove=(".dvc/cache", "src")),
            Round({"params.yaml": "x: 2\n"}, ("--allow-missing",), fails=True),
            Round({"src": "t\n", "params.yaml": "x: 1\n"}, ("--allow-missing",)),
            Round({"params.yaml": None}, ("--allow-missing",), remove=(".dvc/cache",)),
        ),
        is_current_after=False,
    ),
)
