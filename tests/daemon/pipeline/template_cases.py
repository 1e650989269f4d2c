"""Projects for interpolation, `foreach` and `matrix`."""

from daemon.pipeline.case import Case, Round

TEMPLATE_CASES: tuple[Case, ...] = (
    Case(
        "templated",
        {
            "dvc.yaml": r"""
vars:
- vars.yaml
- vars.json:one,two
- inline: {a: 1, list: [x, y]}
  word: w
stages:
  plain:
    cmd: echo ${lr} ${flag} ${nothing} ${nest.list[1]} ${nest.list.0} \${HOME} ${word} ${ inline.a } ${one}${two} > ${files.out}
    deps: ["${files.in}"]
    params: ["nest.${which}", "vars.yaml": ["${which2}"]]
    outs:
    - ${files.out}:
        cache: true
        desc: made of ${lr}
  scoped:
    vars:
    - local: 5
      inline: {b: 2}
    - sub/local.yaml:deep
    wdir: ${files.dir}
    cmd: echo ${local} ${inline.a} ${inline.b} ${deep.x} > f
    outs: [f]
  lines:
    cmd:
    - echo ${lr} > l
    - echo ${flag} >> l
    outs: [l]
    desc: ${word}
metrics: ["${files.m}"]
params: ["vars.yaml"]
artifacts:
  ${word}:
    path: ${files.out}
    labels: ["${word}"]
""",
            "params.yaml": "lr: 0.001\nflag: true\nnothing: null\nnest: {list: [1, 2.50], key: v}\nwhich: key\n",
            "vars.yaml": "files: {out: made.txt, in: src.txt, dir: sub, m: m.json}\nwhich2: files.out\n",
            "vars.json": '{"one": "1", "two": 2, "three": 3}',
            "sub/sub/local.yaml": "deep: {x: 7}\nlr: 9\n",
            "src.txt": "s\n",
            "m.json": "{}",
        },
        (
            Round(),
            Round(
                {"params.yaml": "lr: 1e-5\nflag: true\nnothing: null\nnest: {list: [1, 2.50], key: v}\nwhich: key\n"}
            ),
            Round({"params.yaml": "lr: 1\nflag: true\nnest: {list: [1]}\nwhich: key\n"}, fails=True),
        ),
        is_current_after=False,
    ),
    Case(
        "arguments",
        {
            "dvc.yaml": """\
stages:
  args:
    cmd: echo ${train} > args.txt
    outs: [args.txt]
  pair:
    cmd: ["echo ${train.opt} >> pair.txt", "echo ${lst} > l.txt"]
    outs: [pair.txt]
""".replace(', "echo ${lst} > l.txt"', ""),
            "params.yaml": "train: {lr: 1e-3, on: true, off: false, name: it's a b, none: null, lst: [1, a b, true], opt: {x: {y: z}, e: ''}}\n"
            "lst: [1]\n",
        },
    ),
    Case(
        "arguments_configured",
        {
            "dvc.yaml": "stages:\n  args:\n    cmd: echo ${train} > args.txt\n    outs: [args.txt]\n",
            "params.yaml": "train: {on: true, off: false, lst: [1, a b, x]}\n",
        },
        config="[parsing]\n    bool = boolean_optional\n    list = append\n",
    ),
    Case(
        "foreach",
        {
            "dvc.yaml": """\
stages:
  words:
    foreach: [a, b-c, 1, 0.5, true]
    do:
      cmd: echo ${item} > words-${item}
      outs: ["words-${item}"]
  models:
    foreach:
    - {name: x, n: 1}
    - {name: y, n: 2}
    do:
      cmd: echo ${item.n} > ${item.name}.m
      deps: [words-a]
      outs: ["${item.name}.m"]
  keyed:
    foreach: {us: {t: 1}, eu: {t: "2"}}
    do:
      cmd: echo ${key} ${item.t} > ${key}.k
      outs: ["${key}.k"]
  shared:
    foreach: ${things}
    do:
      cmd: echo ${item} > thing-${item}
      params: ["${named}"]
      outs: ["thing-${item}"]
  mapped:
    foreach: ${map}
    do:
      wdir: ${item.dir}
      cmd: echo ${key} > o
      outs: [o]
  partly:
    foreach: [p, "${things[0]}"]
    do:
      cmd: echo ${item} > partly-${item}
      outs: ["partly-${item}"]
  none:
    foreach: []
    do:
      cmd: echo ${item}
""",
            "params.yaml": "things: [t1, true, 2.0]\nmap: {m: {dir: d1}, n: {dir: d2}}\nnamed: lr\nlr: 3\n",
            "d1/x": "",
            "d2/x": "",
        },
        (
            Round(),
            Round({"params.yaml": "things: [t1]\nmap: {m: {dir: d1}}\nnamed: lr\nlr: 4\n"}),
            Round({}, ("-f", "words"), any_order=True),
            Round({}, ("-f", "models@1")),
            Round({}, ("nothing@1",), fails=True),
        ),
        is_current_after=True,
    ),
    Case(
        "matrix",
        {
            "dvc.yaml": """\
stages:
  mx:
    matrix:
      model: [cnn, "r n"]
      lr: ${lrs}
      opt: [{k: 1}, [1, 2], true, null]
    cmd: echo '${item.model} ${item.lr} ${key}' > 'o-${key}'
    deps: [src.txt]
    outs: ["o-${key}"]
  one:
    matrix:
      flag: ${flags}
    cmd: echo ${item.flag} > 'f-${item.flag}'
    outs: ["f-${item.flag}"]
""",
            "params.yaml": "lrs: [0.1, {deep: 1}]\nflags: [true, false]\n",
            "src.txt": "s\n",
        },
        (
            Round(),
            Round({"params.yaml": "lrs: [0.1, 1e-3]\nflags: [true, false]\n"}),
            Round({}, ("one",), any_order=True),
        ),
    ),
    Case(
        "reserved_and_nested",
        {
            "dvc.yaml": r"""
vars: [params.yaml, more.yaml, {nested: {deep: {er: [{x: 1}, {x: 2}]}}, 5: dropped}]
stages:
  inner:
    foreach: ${nested.deep.er}
    do:
      vars: [{local: here}, extra.yaml]
      cmd: echo ${item.x} ${local} ${extra} ${nested.deep.er[1].x} > i${item.x}
      outs: ["i${item.x}"]
  hidden:
    foreach: {2: a, true: b, "c d": null}
    do:
      cmd: echo ${key}-${item} > 'h-${key}'
      outs:
      - h-${key}:
          desc: of ${key}
  shapes:
    cmd: >-
      echo ${small} ${big} ${tiny} ${neg} ${exp} ${date} ${empty} '${quoted}' \${small} $${small} {${small}} ${
      small} > shapes
    plots:
    - ${plot.file}:
        x: ${plot.x}
        cache: false
    metrics: ["${plot.metric}"]
    params:
    - ${file}:
      - ${which}
    outs: [shapes]
  doubled:
    matrix:
      a: [x, x]
      b: ["${small}"]
    cmd: echo ${item.a} ${item.b} > d-${item.a}-${item.b}
    outs: ["d-${item.a}-${item.b}"]
""".replace(" ${\n      small} > shapes", " > shapes; touch p.csv m.json"),
            "params.yaml": "small: 0.1\nbig: 12345678901234567890\ntiny: 1e-7\nneg: -0.0\nexp: 1e22\ndate: '2020-01-01'\nempty: ''\n"
            "quoted: a b\nplot: {file: p.csv, x: col, metric: m.json}\nfile: more.yaml\nwhich: m.n\nitem: shadowed\nkey: shadowed\n",
            "more.yaml": "m: {n: [1]}\n",
            "extra.yaml": "extra: e\n",
        },
        (Round(), Round()),
    ),
    Case(
        "argument_shapes",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd:\n    - echo ${all} > a\n    - echo x ${all.sub} y ${void} z >> a\n    outs: [a]\n",
            "params.yaml": "all: {e: '', l: [], d: {}, n: null, f: 1.0, s: '$HOME; `x`', sub: {t: true, f: false, deep: {er: [1, 'q q', null, 1e-5]}}}\nvoid: {}\n",
        },
    ),
    *(
        Case(
            name,
            {"dvc.yaml": text, "params.yaml": "a: 1\nm: {b: [{c: 1}]}\nl: [1]\n", "o.yaml": "o: 1\np: 2\n"},
            (Round(fails=fails),),
            is_current_after=False,  # no outputs: such a stage always runs
        )
        for name, text, fails in (
            ("partly_after_whole", "vars: ['params.yaml:a']\nstages:\n  s: {cmd: echo}\n", True),
            (
                "whole_twice",
                "vars: [params.yaml, o.yaml, ./o.yaml]\nstages:\n  s:\n    vars: [o.yaml]\n    cmd: echo ${o}\n    outs: []\n",
                False,
            ),
            ("whole_after_partly", "vars: ['o.yaml:o', 'o.yaml']\nstages:\n  s: {cmd: echo}\n", True),
            ("distinct_keys", "vars: ['o.yaml:o', 'o.yaml:p']\nstages:\n  s: {cmd: 'echo ${o}${p}'}\n", False),
            ("vars_in_vars", "vars: [{x: '${a}'}]\nstages:\n  s: {cmd: echo}\n", True),
            (
                "item_redefined",
                "stages:\n  s:\n    foreach: [1]\n    do:\n      vars: [{item: 1}]\n      cmd: echo\n",
                True,
            ),
            ("foreach_a_number", "stages:\n  s:\n    foreach: ${a}\n    do: {cmd: echo}\n", True),
            ("mapping_as_path", "stages:\n  s:\n    cmd: echo\n    deps: ['${m}']\n", True),
            ("nested_list_as_argument", "stages:\n  s:\n    cmd: echo ${m}\n", True),
            ("list_in_command", "stages:\n  s:\n    cmd: echo ${l}\n", True),
            ("not_there", "stages:\n  s:\n    cmd: echo ${m.b[1].c}\n", True),
            ("negative_index", "stages:\n  s:\n    cmd: echo ${m.b[-1].c}\n", False),
            ("index_by_name", "stages:\n  s:\n    cmd: echo ${l.x}\n", True),
            ("step_into_number", "stages:\n  s:\n    cmd: echo ${a.x}\n", True),
            ("unclosed", "stages:\n  s:\n    cmd: echo '${a'\n", False),
            ("empty_expression", "stages:\n  s:\n    cmd: echo ${}\n", True),
            ("faulty_but_not_asked_for", "stages:\n  s: {cmd: echo}\n  t: {cmd: 'echo ${nope}'}\n", True),
        )
    ),
)
