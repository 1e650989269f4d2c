"""Projects for stages, dependencies, parameters, order and targets."""

from daemon.pipeline.case import Case, Round

LONG = " ".join(f"word{index}" for index in range(40))

PLAIN_CASES: tuple[Case, ...] = (
    Case(
        "chain",
        {
            "dvc.yaml": """\
stages:
  last:
    cmd: cat two one > three
    deps: [two, one]
    outs: [three]
  first:
    cmd: cat src.txt > one
    deps: [src.txt]
    params: [first.a]
    outs: [one]
  second:
    cmd: cat one > two && echo '{"acc":0.5}' > metrics.json
    deps: [one]
    params: [lr]
    outs: [two]
    metrics:
    - metrics.json:
        cache: false
metrics: [metrics.json]
params: [params.yaml]
""",
            "src.txt": "source\n",
            "params.yaml": "lr: 0.1\nfirst: {a: 1, b: 2}\n",
        },
        (
            Round(),
            Round(),
            Round({"params.yaml": "lr: 0.2\nfirst: {a: 1, b: 3}\n"}),
            Round({"src.txt": "another\n"}),
            Round({"params.yaml": "lr: 0.1\nfirst: {a: 1.0, b: 3}\n", "src.txt": "source\n"}),
        ),
    ),
    Case(
        "directories",
        {
            "dvc.yaml": """\
stages:
  make:
    cmd: |
      mkdir -p out/sub/deep out/empty && cp src/* out/ && cp src/run.sh out/sub/ && touch "out/sub/deep/z é.txt" out/none
      ln -s ../src/a.txt out/link && ln -s sub out/dirlink
    deps: [src/]
    outs: [./out/]
  use:
    cmd: ls -A out > listing
    deps: [out/sub]
    outs: [listing]
""",
            "src/a.txt": "a\n",
            "src/ünï.txt": "u\n",
            "src/run.sh!": "#!/bin/sh\n",
        },
        (Round(), Round({"src/a.txt": "b\n"}), Round({"src/new.txt": "n\n", "src/a.txt": None}, fails=True)),
    ),
    Case(
        "commands",
        {
            "dvc.yaml": f"""\
stages:
  lines:
    cmd: |
      X=1
      echo "x=$X" > lines.txt

      echo two >> lines.txt
    outs: [lines.txt]
    deps: [dvc.yaml.in]
  list:
    cmd: ['echo "a: b" > list.txt', "printf 'é\\\\t#\\n' >> list.txt"]
    outs: [list.txt]
  long:
    cmd: echo {LONG} > long.txt
    outs: [long.txt]
  folded:
    cmd: >-
      echo {LONG}
      '{LONG}'
      > folded.txt
    outs: [folded.txt]
  quoted:
    cmd: "echo 'it''s' \\"$DVC_STAGE\\" > quoted.txt # done: yes"
    outs: [quoted.txt]
  sticky:
    cmd: "[ -n x ] && echo {{a}} > sticky.txt"
    outs: [sticky.txt]
""",
            "dvc.yaml.in": "x\n",
        },
        (Round(), Round({"dvc.yaml.in": "y\n"})),
    ),
    Case(
        "wdir",
        {
            "dvc.yaml": """\
stages:
  inner:
    cmd: cat in.txt ../top.txt > out.txt && echo 1 > ../beside.txt
    wdir: work
    deps: [in.txt, ../top.txt]
    params: [a, ../params.yaml: [b], ../other.yaml: [c.d]]
    outs: [out.txt, ../beside.txt]
""",
            "work/in.txt": "in\n",
            "work/params.yaml": "a: 1\n",
            "params.yaml": "b: 2\n",
            "other.yaml": "c: {d: [1, {e: f}]}\n",
            "top.txt": "top\n",
        },
        (Round(), Round({"other.yaml": "c: {d: [1, {e: g}]}\n"}), Round({}, ("work/dvc.yaml",), fails=True)),
    ),
    Case(
        "params",
        {
            "dvc.yaml": """\
stages:
  all:
    cmd: echo 1 > o
    params:
    - z
    - lst.0
    - deep.er.key
    - strings
    - numbers
    - conf.toml: [table.x, list]
    - conf.json:
    - conf.py: [LR, Net.layers, Net.width, TUP, NEG, flag]
    - whole.yaml:
    - b.yaml: [k]
    - a.yaml: [k, j, k]
    outs: [o]
""",
            "params.yaml": f"""\
z: true
lst: [1, two, null]
deep: {{er: {{key: yes}}}}
strings: ['0.1', 'yes', 'true', '1e3', 'null', '', ' lead', "multi\\nline", 'a: b', '# x', "{LONG}", 'é', '- x', '~', '0x10', '2020-01-01', "tab\\t"]
numbers: [0.1, 1e-10, 1e3, .inf, 12345678901234567890, 0x10, 010, 1_000, -0.0, 5.0, 1.5e+20]
""",
            "conf.toml": 'list = [1, 2.5, "x"]\n[table]\nx = "y"\n[table.z]\nw = false\n',
            "conf.json": '{"b": {"d": 1, "c": [true, null, 1.0]}, "a": "é"}',
            "conf.py": "LR = 1e-3\nTUP = (1, 'a')\nNEG = -1\nflag: bool = True\n"
            "class Net:\n    layers = [1, 2]\n    def __init__(self):\n        self.width = {'a': 1}\n",
            "whole.yaml": "q: 1\na: [x]\nm: {z: 1, b: {}}\nn: []\n",
            "a.yaml": "k: 1\nj: 2\n",
            "b.yaml": "k: 1\n",
        },
        (
            Round(),
            Round(),
            Round({"whole.yaml": "q: 1\na: [x]\nm: {z: 1, b: {}}\nn: []\nextra: 1\n"}),
            Round({"params.yaml": "z: false\n"}, fails=True, kept=("o",)),
            Round({"params.yaml": None}, fails=True, kept=("o",)),
        ),
        is_current_after=False,
    ),
    Case(
        "always",
        {
            "dvc.yaml": """\
stages:
  callback:
    cmd: echo x >> ran.log
  always:
    cmd: echo y > y
    deps: [src.txt]
    outs: [y]
    always_changed: true
  after:
    cmd: cat y > z
    deps: [y]
    outs: [z]
""",
            "src.txt": "s\n",
        },
        (Round(), Round()),
        is_current_after=False,
    ),
    Case(
        "frozen",
        {
            "dvc.yaml": """\
stages:
  a:
    cmd: cat src.txt > a
    deps: [src.txt]
    outs: [a]
  b:
    cmd: cat a > b
    deps: [a]
    outs: [b]
""",
            "src.txt": "s\n",
        },
        (
            Round(),
            Round(
                {
                    "dvc.yaml": "stages:\n  a:\n    cmd: cat src.txt > a\n    deps: [src.txt]\n    outs: [a]\n    frozen: true\n"
                    "  b:\n    cmd: cat a > b\n    deps: [a]\n    outs: [b]\n",
                    "src.txt": "t\n",
                }
            ),
            Round({"a": "edited\n"}),
            Round({}, ("-f",)),
        ),
    ),
    Case(
        "uncached",
        {
            "dvc.yaml": """\
stages:
  plain:
    cmd: cat src.txt > plain.txt && cat src.txt > cached.txt
    deps: [src.txt]
    outs:
    - plain.txt: {cache: false}
    - cached.txt
  drawn:
    cmd: printf 'x,y\\n1,2\\n' > p.csv && mkdir -p plots && cp p.csv plots/ && echo '{}' > m.json && echo 1 > c.json
    deps: [src.txt]
    plots:
    - p.csv: {cache: false, x: x, y: y, title: T, template: linear, header: true}
    - plots: {x: x}
    metrics:
    - m.json: {cache: false, desc: metrics, labels: [a], type: t, meta: {k: v}}
    - c.json
  pushed:
    cmd: cat src.txt > pushed.txt
    deps: [src.txt]
    outs:
    - pushed.txt: {push: false, remote: r, desc: d}
plots:
- p.csv
- both: {x: {p.csv: x}, y: {p.csv: [y]}}
""",
            "src.txt": "s\n",
        },
        (
            Round(),
            Round({"src.txt": "t\n"}),
            Round({"src.txt": "s\n"}),
            Round(remove=("m.json", "c.json", "plain.txt", "plots")),
        ),
    ),
    Case(
        "several",
        {
            "dvc.yaml": """\
stages:
  top:
    cmd: cat sub/made sub/deep/made > top
    deps: [sub/made, sub/deep/made]
    outs: [top]
""",
            "sub/dvc.yaml": "stages:\n  make:\n    cmd: cat in > made && echo $DVC_STAGE > stage\n    deps: [in]\n    params: [p]\n    outs: [made]\n",
            "sub/in": "i\n",
            "sub/params.yaml": "p: 1\n",
            "sub/deep/dvc.yaml": "vars: [../params.yaml]\nstages:\n  make:\n    cmd: echo ${p} > made\n    outs: [made]\n  other:\n    cmd: echo o > o\n    outs: [o]\n",
        },
        (
            Round(),
            Round({"sub/in": "j\n"}, ("dvc.yaml:make",), "sub"),
            Round({}, ("sub/deep/dvc.yaml",)),
            Round({}, ("top",)),
            Round({"sub/in": "k\n"}, ("-P",)),
            Round({}, ("-f", "-s", "sub/dvc.yaml:make")),
            Round({}, ("-f", "-R", "sub/deep")),
            Round({}, ("../sub/dvc.yaml:nope",), "sub", fails=True),
            Round({}, (), "elsewhere", fails=True),
        ),
    ),
    Case(
        "targets",
        {
            "dvc.yaml": "stages:\n"
            + "".join(
                f"  {name}:\n    cmd: cat {' '.join(deps)} > {name}.o\n    deps: [{', '.join(deps)}]\n    outs: [{name}.o]\n"
                for name, deps in {
                    "e": ["d.o", "b.o"],
                    "d": ["c.o"],
                    "c": ["a.o", "b.o"],
                    "b": ["src.txt"],
                    "a": ["src.txt"],
                }.items()
            )
            + "  lone:\n    cmd: echo 1 > lone.o\n    outs: [lone.o]\n",
            "src.txt": "s\n",
        },
        (
            Round({}, ("d",)),
            Round({}, ("e",)),
            Round({}, ("-f", "--downstream", "c")),
            Round({}, ("-f", "-s", "d", "a")),
            Round({}, ("-f", "-p", "a")),
            Round({}, ("-f",)),
        ),
    ),
    Case(
        "removed_stage",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: echo a > a\n    outs: [a]\n  b:\n    cmd: echo b > b\n    outs: [b]\n",
        },
        (
            Round(),
            Round(
                {
                    "dvc.yaml": "stages:\n  c:\n    cmd: echo c > c\n    outs: [c]\n  a:\n    cmd: echo a2 > a\n    outs: [a]\n"
                }
            ),
        ),
    ),
    Case(
        "edits_its_input",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: echo more >> src.txt && cat src.txt > a\n    deps: [src.txt]\n    outs: [a]\n",
            "src.txt": "s\n",
        },
        (Round(), Round()),
    ),
    Case(
        "outside",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cat ../outer.txt > a && cat ../outer.txt > ../made.txt\n    deps: [../outer.txt]\n    outs: [a, ../made.txt: {cache: false}]\n",
            "../outer.txt": "o\n",
        },
        (Round(), Round({"../outer.txt": "p\n"}), Round({"../outer.txt": "o\n"})),
    ),
    Case(
        "data",
        {
            "dvc.yaml": """\
stages:
  use:
    cmd: cat raw.txt data/x.txt nested/here/y > o && ls > names
    deps: [raw.txt, data/x.txt, nested]
    outs: [o]
""".replace(" && ls > names", ""),
            "raw.txt": "raw\n",
            "data/x.txt": "x\n",
            "data/sub/z.bin": "z\n",
            "nested/here/y": "y\n",
            "nested/plain": "p\n",
        },
        (Round(), Round({"nested/plain": "q\n"})),
        setup=(("add", "-q", "raw.txt", "data", "nested/here/y"),),
    ),
    Case(
        "ignored",
        {
            ".dvcignore": "*.tmp\n/out/skip/\n!keep.tmp\n# comment\nsrc/**/cache\n",
            "lib/.dvcignore": "local.txt\n",
            "dvc.yaml": """\
stages:
  make:
    cmd: mkdir -p out/skip out/in/skip && touch out/a.tmp out/keep.tmp out/skip/x out/in/skip/y && cp -r src out/
    deps: [src, lib/code]
    outs: [out]
""",
            "src/a.txt": "a\n",
            "src/b.tmp": "ignored\n",
            "src/x/cache/c": "ignored\n",
            "src/vendored/.dvc/config": "",
            "src/vendored/f": "ignored\n",
            "src/.git/x": "",
            "lib/code/local.txt": "ignored\n",
            "lib/code/other.txt": "o\n",
        },
        (Round(), Round({"src/b.tmp": "changed\n", "lib/code/local.txt": "changed\n"}), Round({"src/a.txt": "b\n"})),
    ),
    Case(
        "aliases",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cp src.txt a\n    deps: [src.txt]\n    params: [nest, nest.b, x, y]\n    outs: [a]\n"
            "  b:\n    cmd: cp a b\n    deps: [a]\n    params: [nest.b, y]\n    outs: [b]\n"
            "  c:\n    cmd: cp b c\n    deps: [b]\n    params: [nest, nest.b]\n    outs: [c]\n",
            "src.txt": "s\n",
            "params.yaml": "nest: {b: [1, 2], c: 1e-7}\nx: &anchor {k: [v]}\ny: *anchor\n",
        },
        (Round(), Round({"src.txt": "t\n"}), Round({"params.yaml": "nest: {b: [1], c: 2}\nx: 1\ny: [2]\n"})),
    ),
    Case(
        "many",
        {
            "dvc.yaml": "stages:\n"
            + "".join(
                f"  s{index}:\n    cmd: cat {'src.txt' if index == 0 else f's{index - 1}.o'} > s{index}.o\n"
                f"    deps: [{'src.txt' if index == 0 else f's{index - 1}.o'}]\n    params: [p{index}]\n    outs: [s{index}.o]\n"
                for index in range(12)
            ),
            "src.txt": "s\n",
            "params.yaml": "".join(
                f"p{index}: {value}\n"
                for index, value in enumerate(
                    [
                        "1e-05",
                        "1.0e+3",
                        "0x1F",
                        "1_000",
                        ".nan",
                        "'# no'",
                        "|\n  two\n  lines",
                        "2020-13-01x",
                        "{}",
                        "~",
                        "[a, [b]]",
                        "-.5",
                    ]
                )
            ),
        },
        (Round(), Round({"src.txt": "t\n"})),
        is_current_after=False,
    ),
)
