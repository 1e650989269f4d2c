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
)
