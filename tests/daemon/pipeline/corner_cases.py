"""Projects for corners beside corners: odd values, odd paths, files of other systems, settings that change between two runs."""

from daemon.pipeline.case import Case, Round

_VALUES = """\
plain: [1, 1.0, 1e3, 1e22, -0.0, 0x1F, 0o14, 010, 1_000, .5, 5., +1, 12345678901234567890]
special: [.inf, -.inf, ~, null, true, True, 'true', yes, 'yes', on, 'no', '~', 'null', '1', '1e3', '0.1', '']
text: [' lead', 'trail ', 'a: b', '- x', '#c', 'a #c', '*s', '&a', '!t', '@x', '%y', '`z', '{', '[', ',', "it's", '"q"', 'a\\tb', '?', '? x', '|', '>', '-', '=', '<<']
lines: "one\\ntwo\\n"
indented: " one\\n  two"
odd: ["\\a", "\\x85", "\\u2028", "\\xa0", "\\U0001F600", "é", "e\\u0301", "\\ufeff"]
long: "a word and another one, and then some more of them, until the line is much longer than eighty columns are wide, which is folded"
unbroken: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
empty: {list: [], map: {}, deep: [[], {}, [[1]]]}
"quoted key": 1
"a.b": dotted
"""

CORNER_CASES: tuple[Case, ...] = (
    Case(
        "values",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > o; echo 1 >> n\n    params: [values.yaml: ]\n    outs: [o]\n"
            "  b:\n    cmd: echo 1 > p\n    params: [values.yaml: [plain, special, text, lines, odd, long, empty, 'quoted key']]\n    outs: [p]\n",
            "values.yaml": _VALUES,
        },
        (Round(), Round(), Round({"values.yaml": _VALUES.replace("1.0,", "1,", 1)})),
        is_current_after=False,  # DVC itself reads some of the odd letters otherwise than it wrote them
    ),
    Case(
        "toml_values",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > o\n    params: [p.toml: [a, t.x, arr, t.inner]]\n    outs: [o]\n"
            "  b:\n    cmd: echo 1 > q\n    params: [p.toml: ]\n    outs: [q]\n",
            "p.toml": "a = 1_000\n[t]\nx = 0x1f\ninner = {k = 'v', f = 1e3}\n[[arr]]\nn = 1\n[[arr]]\nn = 2.0\n[w]\ns = '''\nmulti\nline'''\n",
        },
        (
            Round(),
            Round(),
            Round({"p.toml": "a = 1000\narr = [{n = 1}, {n = 2}]\n[t]\nx = 31\ninner = {k = 'v', f = 1000.0}\n"}),
        ),
    ),
    Case(
        "json_values",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > o\n    params: [p.json: [a, b.0.c, n]]\n    outs: [o]\n",
            "p.json": '{"a": 1e3, "b": [{"c": null}], "n": {"z": 1, "y": [true, "t"]}}',
        },
        (Round(), Round(), Round({"p.json": '{"a": 1000, "b": [{"c": null}], "n": {"y": [true, "t"], "z": 1}}'})),
    ),
    Case(
        "param_not_there",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > o\n    params: [x, y]\n    outs: [o]\n",
            "params.yaml": "x: 1\n",
        },
        (
            Round(fails=True),
            Round({"params.yaml": "x: 1\ny: null\n"}),
            Round({"params.yaml": "x: 1\n"}, fails=True, kept=("o",)),
        ),
        is_current_after=False,
    ),
    Case(
        "empty_params",
        {"dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > o\n    params: [p.yaml: ]\n    outs: [o]\n", "p.yaml": ""},
        (Round(), Round({"p.yaml": "a: 1\n"}), Round({"p.yaml": "# nothing\n"})),
    ),
    Case(
        "commands_written_oddly",
        {
            "dvc.yaml": """\
stages:
  block:
    cmd: |
      # a comment
      echo one > o

        echo two >> o
      echo 'a
    outs: [o]
  folded:
    cmd: >
      echo one
      two > q
    outs: [q]
  kept:
    cmd: |+
      echo x > r

    outs: [r]
  long:
    cmd: echo aaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbb cccccccccccccccccccccc ddddddddddddddddd 'e f' "#g" > s
    outs: [s]
  listed:
    cmd:
    - echo 'a b' > t
    - |
      echo c >> t
      echo d >> t
    outs: [t]
""".replace("      echo 'a\n    outs: [o]", "    outs: [o]"),
        },
        (Round(), Round()),
    ),
    Case(
        "shell_state",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: |\n      X=1; cd sub\n      echo \"x$X\" > o; pwd | sed 's/.*project/project/' >> o\n    outs: [o]\n  b:\n    cmd: [X=1; false || true, 'echo \"x$X\" > p']\n    outs: [p]\n",
            "sub/x": "",
        },
    ),
    Case(
        "windows_files",
        {
            "dvc.yaml": "stages:\r\n  a:\r\n    cmd: cp src o\r\n    deps: [src]\r\n    params: [x]\r\n    outs: [o]\r\n",
            "src": "a\r\nb\r\n",
            "params.yaml": "x: one\r\n",
            ".gitignore": "/other\r\n",
        },
        (Round(), Round()),
    ),
    Case(
        "paths_written_oddly",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: mkdir -p out/deep && cp src/x out/deep/x && cp src/x f\n    deps: [./src/]\n    outs: [out/, sub/../f]\n"
            "  b:\n    cmd: cp out/deep/x g\n    deps: [out/deep/../deep/x]\n    outs: [./g]\n",
            "src/x": "x\n",
            "sub/y": "",
        },
        (Round(), Round({"src/x": "y\n"}), Round(remove=("out", "f", "g"))),
    ),
    Case(
        "ignore_rules",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: mkdir -p out/k out/tmp && cp -r src/. out && echo 7 > out/tmp/r && echo 1 >> n\n    deps: [src]\n    outs: [out]\n".replace(
                "7", "7"
            ),
            ".dvcignore": "*.log\n!keep.log\n/src/top\n**/cache/\ntmp/\n# no\n\\#hash\n",
            "src/a": "a\n",
            "src/b.log": "b\n",
            "src/keep.log": "k\n",
            "src/top": "t\n",
            "src/deep/top": "t\n",
            "src/deep/cache/c": "c\n",
            "src/#hash": "h\n",
        },
        (
            Round(),
            Round(
                {
                    "src/b.log": "changed\n",
                    "src/top": "changed\n",
                    "src/deep/cache/c": "changed\n",
                    "src/#hash": "changed\n",
                }
            ),
            Round({".dvcignore": "*.log\n"}),
            Round({"src/keep.log": "changed\n"}),
        ),
        is_current_after=False,
    ),
    Case(
        "ignore_file_below",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cat sub/in/a > o\n    deps: [sub/in]\n    outs: [o]\n",
            "sub/.dvcignore": "in/b\n/in/c\n",
            "sub/in/a": "a\n",
            "sub/in/b": "b\n",
            "sub/in/c": "c\n",
        },
        (Round(), Round({"sub/in/b": "B\n", "sub/in/c": "C\n"}), Round({"sub/.dvcignore": "in/b\n"})),
    ),
    Case(
        "links_inside",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: mkdir out && ln -s ../src/x out/l && ln -s ../src out/d && mkdir out/empty && cp src/x out/x && true > out/zero\n    deps: [src]\n    outs: [out]\n",
            "src/x": "x\n",
        },
        (Round(), Round({"src/x": "y\n"}), Round(remove=("out",))),
        is_current_after=False,
    ),
    Case(
        "broken_link_inside",
        {"dvc.yaml": "stages:\n  a:\n    cmd: mkdir out && ln -s nowhere out/l\n    outs: [out]\n"},
        (Round(fails=True),),
    ),
    Case(
        "output_is_a_link",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cp src real; ln -sf real o\n    deps: [src]\n    outs: [o]\n",
            "src": "s\n",
        },
        (Round(), Round({"src": "t\n"})),
        is_current_after=False,
    ),
    Case(
        "nothing_in_it",
        {"dvc.yaml": "stages:\n  a:\n    cmd: mkdir e; true > z\n    outs: [e, z]\n"},
        (Round(), Round(), Round(remove=("e", "z"))),
    ),
    Case(
        "gitignore_forms",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: mkdir -p sub/deep && echo 1 > sub/deep/o && echo 2 > p && echo 3 > 'q[1]' && echo 4 > '!r' && echo 5 > '#s' && echo 6 > 't '\n    outs: [sub/deep/o, p, 'q[1]', '!r', '#s', 't ']\n",
            ".gitignore": "*.log\np\n!p",
        },
        (Round(), Round()),
    ),
    Case(
        "directories_between",
        {
            "dvc.yaml": "stages:\n  one:\n    cmd: mkdir -p d && cp src d/one\n    deps: [src]\n    outs: [d/one]\n  two:\n    cmd: mkdir -p d && cp src d/two\n    deps: [src]\n    outs: [d/two]\n"
            "  all:\n    cmd: cat d/one d/two > all\n    deps: [d]\n    outs: [all]\n  whole:\n    cmd: mkdir w && cp all w/a && cp all w/b\n    deps: [all]\n    outs: [w]\n  part:\n    cmd: cp w/a part\n    deps: [w/a]\n    outs: [part]\n",
            "src": "s\n",
        },
        (Round(), Round({"src": "t\n"}), Round({}, (), remove=("w",)), Round(remove=("d/one",))),
    ),
    Case(
        "same_names_in_two_files",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cp src o\n    deps: [src]\n    outs: [o]\n",
            "sub/dvc.yaml": "stages:\n  a:\n    cmd: cp ../o o\n    deps: [../o]\n    outs: [o]\n  b@1:\n    cmd: cp o p\n    deps: [o]\n    outs: [p]\n".replace(
                "b@1", "b_1"
            ),
            "sub/deep/dvc.yaml": 'stages:\n  each:\n    foreach: [x, y]\n    do:\n      cmd: cp ../p ${item}\n      deps: [../p]\n      outs: ["${item}"]\n',
            "src": "s\n",
        },
        (
            Round({}, ("sub/deep/dvc.yaml:each",), any_order=True),
            Round({"src": "t\n"}, ("dvc.yaml:a",), "sub"),
            Round({}, ("-R", "."), any_order=True),
            Round({"src": "u\n"}, ("each@x",), "sub/deep"),
            Round({}, ("-R", "deep"), "sub", any_order=True),
            Round({}, ("sub/dvc.yaml",)),
            Round({}, ("-P",), any_order=True),
        ),
    ),
    Case(
        "wdir_forms",
        {
            "vars.yaml": "where: sub\n",
            "dvc.yaml": "vars: [vars.yaml]\nstages:\n  a:\n    wdir: ${where}/../sub\n    cmd: cp in ../o; cp in p\n    deps: [in]\n    params: [x, local.yaml: [y]]\n    outs: [../o, p]\n"
            "  b:\n    wdir: .\n    cmd: cp o q\n    deps: [o]\n    outs: [q]\n",
            "sub/in": "i\n",
            "sub/params.yaml": "x: 1\n",
            "sub/local.yaml": "y: 2\n",
            "params.yaml": "x: 9\n",
        },
        (Round(), Round({"sub/params.yaml": "x: 2\n"}), Round({"params.yaml": "x: 10\n"})),
    ),
    Case(
        "frozen_and_back",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cp src o\n    deps: [src]\n    outs: [o]\n  b:\n    cmd: cp o p\n    deps: [o]\n    outs: [p]\n",
            "src": "s\n",
        },
        (
            Round(),
            Round(
                {
                    "dvc.yaml": "stages:\n  a:\n    frozen: true\n    cmd: cp src o\n    deps: [src]\n    outs: [o]\n  b:\n    cmd: cp o p\n    deps: [o]\n    outs: [p]\n",
                    "src": "t\n",
                }
            ),
            Round({"o": "by hand\n"}),
            Round({}, ("-f",)),
            Round(
                {
                    "dvc.yaml": "stages:\n  a:\n    cmd: cp src o\n    deps: [src]\n    outs: [o]\n  b:\n    cmd: cp o p\n    deps: [o]\n    outs: [p]\n"
                }
            ),
        ),
    ),
    Case(
        "always_with_inputs",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cp src o; echo 1 >> n\n    deps: [src]\n    outs: [o]\n    always_changed: true\n  b:\n    cmd: cp o p; echo 1 >> m\n    deps: [o]\n    outs: [p]\n",
            "src": "s\n",
        },
        (Round(), Round(), Round({"src": "t\n"}), Round({"src": "s\n"})),
        is_current_after=False,
    ),
    Case(
        "top_level_forms",
        {
            "dvc.yaml": """\
params: [other.yaml, 'deep/p.json']
metrics:
- m.json
plots:
- plain.csv
- dir/
- styled.csv:
    x: a
    y: [b, c]
    template: simple
- id with spaces:
    x: a
    y:
      plain.csv: [b]
      styled.csv: c
    title: T
artifacts:
  model-1:
    path: o
    type: model
    desc: text
    labels: [a]
    meta: {k: v}
stages:
  a:
    cmd: echo 1 > o
    outs: [o]
""",
            "other.yaml": "a: 1\n",
            "deep/p.json": "{}",
            "m.json": "{}",
        },
    ),
    Case(
        "settings_change",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: mkdir -p o && cp src o/x && true > o/empty && cp src s\n    deps: [src]\n    outs: [o, s]\n",
            "src": "s\n",
        },
        (
            Round(),
            Round({".dvc/config.local": "[cache]\n    type = hardlink,symlink\n", "src": "t\n"}),
            Round({".dvc/config.local": "[cache]\n    type = symlink\n"}, remove=("o", "s")),
            Round({".dvc/config.local": "[cache]\n    type = copy\n", "src": "u\n"}),
            Round({".dvc/config.local": "[cache]\n    dir = ../elsewhere/c2\n", "src": "s\n"}),
        ),
    ),
    Case(
        "mode_and_time",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: ./tool > o\n    deps: [tool]\n    outs: [o]\n",
            "tool!": "#!/bin/sh\necho x\n",
        },
        (Round(), Round({"tool!": "#!/bin/sh\necho x\n"}), Round({"tool": "#!/bin/sh\necho x\n"}, remove=("tool",))),
    ),
    Case(
        "matrix_values",
        {
            "dvc.yaml": """\
stages:
  mx:
    matrix:
      a: ${axis.a}
      b: ["${one}", "x-${one}", 1.50, 1e3, yes, ~]
    wdir: ${item.a}
    cmd: echo '${item.b}' > '${key}'
    outs: ["${key}"]
""",
            "params.yaml": "axis: {a: [d1, d2]}\none: 1\n",
            "d1/x": "",
            "d2/x": "",
        },
        (Round(), Round({"params.yaml": "axis: {a: [d2]}\none: 2\n"})),
    ),
    *(
        Case(name, {"dvc.yaml": text, "src": "s\n"}, (Round(fails=fails),), is_current_after=False)
        for name, text, fails in (
            ("matrix_empty", "stages:\n  a:\n    matrix: {}\n    cmd: echo 1 > o\n    outs: [o]\n", True),
            ("empty_file", "", False),
            ("stages_null", "stages:\n", True),
            ("key_twice", "stages:\n  a: {cmd: echo}\n  a: {cmd: echo}\n", True),
            ("name_with_letters", "stages:\n  é深: {cmd: echo 1 > o, outs: [o]}\n", False),
            ("output_is_dvcyaml", "stages:\n  a: {cmd: echo, outs: [dvc.yaml]}\n", True),
            ("output_in_git", "stages:\n  a: {cmd: echo, outs: [.git/x]}\n", True),
            ("output_in_dvc", "stages:\n  a: {cmd: 'echo 1 > .dvc/x', outs: [.dvc/x]}\n", True),
            ("dependency_is_dvcyaml", "stages:\n  a: {cmd: echo 1 > o, deps: [dvc.yaml], outs: [o]}\n", True),
            ("artifact_outside", "stages: {}\nartifacts:\n  a: {path: ../o}\n", False),
            ("two_documents", "stages: {}\n---\nstages: {}\n", True),
            ("flags_null", "stages:\n  a: {cmd: echo 1 > o, outs: [o: ]}\n", True),
            (
                "foreach_and_matrix",
                "stages:\n  a:\n    foreach: [1]\n    matrix: {x: [1]}\n    do: {cmd: echo}\n",
                True,
            ),
            ("matrix_no_values", "stages:\n  a:\n    matrix: {x: []}\n    cmd: echo 1 > o\n    outs: [o]\n", False),
            (
                "yaml_12_octal",
                "vars: [{n: 010, o: 0o10, y: yes, f: 1e3, s: 1:30}]\nstages:\n  a: {cmd: 'echo ${n} ${o} ${y} ${f} ${s} > o', outs: [o]}\n",
                False,
            ),
        )
    ),
)
