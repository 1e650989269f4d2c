"""Projects for the cache, the run cache, links, dvc.lock and .gitignore."""

from daemon.pipeline.case import Case, Round

CACHE_CASES: tuple[Case, ...] = (
    Case(
        "persist",
        {
            "dvc.yaml": """\
stages:
  grow:
    cmd: cat src.txt >> log.txt; mkdir -p keep; cp src.txt keep/$(cat src.txt)
    deps: [src.txt]
    outs:
    - log.txt: {persist: true}
    - keep: {persist: true}
    - fresh.txt: {cache: false, persist: true}
  touch:
    cmd: touch fresh.txt
""".replace("    - fresh.txt: {cache: false, persist: true}\n", "").replace("  touch:\n    cmd: touch fresh.txt\n", ""),
            "src.txt": "one\n",
        },
        (Round(), Round({"src.txt": "two\n"}), Round({"src.txt": "one\n"})),
    ),
    Case(
        "persist_linked",
        {
            "dvc.yaml": "stages:\n  grow:\n    cmd: cat src.txt >> log.txt; mkdir -p keep; cp src.txt keep/$(cat src.txt)\n"
            "    deps: [src.txt]\n    outs:\n    - log.txt: {persist: true}\n    - keep: {persist: true}\n",
            "src.txt": "one\n",
        },
        (Round(), Round({"src.txt": "two\n"})),
        config="[cache]\n    type = hardlink\n",
    ),
    Case(
        "executable",
        {
            "dvc.yaml": """\
stages:
  tool:
    cmd: cp src.sh tool.sh && chmod 755 tool.sh && cp src.sh secret && chmod 600 secret
    deps: [src.sh]
    outs: [tool.sh, secret]
  use:
    cmd: ./tool.sh > said
    deps: [tool.sh]
    outs: [said]
""",
            "src.sh!": "#!/bin/sh\necho hi\n",
        },
        (Round(), Round(remove=("tool.sh", "secret", "said")), Round({"src.sh!": "#!/bin/sh\necho ho\n"})),
    ),
    Case(
        "hardlinks",
        {
            "dvc.yaml": """\
stages:
  make:
    cmd: mkdir -p out && cp src.txt out/a && cp src.txt out/same && touch out/empty && cp src.txt o && cp src.txt x && chmod 755 x && touch e && echo 1 > m
    deps: [src.txt]
    outs: [out, o, x, e]
    metrics: [m: {cache: false}]
  next:
    cmd: cat o > n
    deps: [o, out]
    outs: [n]
""".replace(" && cp src.txt x && chmod 755 x", "").replace(", x,", ","),
            "src.txt": "s\n",
        },
        (Round(), Round({"src.txt": "t\n"}), Round({"src.txt": "s\n"}), Round(remove=("o", "out"))),
        config="[cache]\n    type = hardlink,symlink\n",
    ),
    Case(
        "symlinks",
        {
            "dvc.yaml": """\
stages:
  make:
    cmd: mkdir -p out && cp src.txt out/a && touch out/empty && cp src.txt o && touch e && echo 1 > m
    deps: [src.txt]
    outs: [out, o, e]
    metrics: [m: {cache: false}]
  next:
    cmd: cat o > n
    deps: [o, out]
    outs: [n]
""",
            "src.txt": "s\n",
        },
        (Round(), Round({"src.txt": "t\n"}), Round({"src.txt": "s\n"}), Round(remove=("o", "out"))),
        config="[cache]\n    type = symlink\n",
    ),
    Case(
        "copies",
        {
            "dvc.yaml": "stages:\n  make:\n    cmd: cp src.txt o && ln o p && ln -s o q\n    deps: [src.txt]\n    outs: [o, p, q]\n",
            "src.txt": "s\n",
        },
        (Round(), Round({"src.txt": "t\n"}), Round(remove=("o",))),
        config="[cache]\n    type = copy\n",
    ),
    Case(
        "group_cache",
        {
            "dvc.yaml": "stages:\n  make:\n    cmd: mkdir o && cp src.txt o/a\n    deps: [src.txt]\n    outs: [o]\n",
            "src.txt": "s\n",
        },
        (Round(), Round({"src.txt": "t\n"})),
        config="[cache]\n    shared = group\n    dir = ../common\n",
    ),
    Case(
        "quoted_config",
        {
            "dvc.yaml": "stages:\n  make:\n    cmd: cp src.txt o\n    deps: [src.txt]\n    outs: [o]\n",
            "src.txt": "s\n",
        },
        config='# a comment\n[\'remote "r"\']\n    url = /nowhere\n[cache]\n    dir = "my cache"\n    type = "reflink,copy"\n[core]\n    remote = r\n',
    ),
    Case(
        "run_cache",
        {
            "dvc.yaml": """\
stages:
  train:
    cmd: "echo ${lr} > model; echo '{}' > m.json; mkdir -p d; echo ${lr} > d/x; echo 1 >> count.log"
    params: [lr, other]
    deps: [src.txt]
    outs: [model, d]
    metrics: [m.json: {cache: false}]
""",
            "params.yaml": "lr: 1\nother: {size: 3, k: [{nfiles: 1}]}\n",
            "src.txt": "s\n",
        },
        (
            Round(),
            Round({"params.yaml": "lr: 2\nother: {size: 3, k: [{nfiles: 1}]}\n"}),
            Round({"params.yaml": "lr: 1\nother: {size: 3, k: [{nfiles: 1}]}\n"}),
            Round({"params.yaml": "lr: 2\nother: {size: 4, k: [{nfiles: 1}]}\n"}),
            Round({"dvc.lock": None}),
            Round(remove=("model", "m.json", "d")),
            Round({"params.yaml": "lr: 1\nother: {size: 3, k: [{nfiles: 1}]}\n"}, ("-f",)),
        ),
    ),
    Case(
        "lost_objects",
        {
            "dvc.yaml": "stages:\n  make:\n    cmd: mkdir -p o && cp src.txt o/a && cp src.txt p && echo 1 >> count.log\n    deps: [src.txt]\n    outs: [o, p]\n",
            "src.txt": "s\n",
        },
        (
            Round(),
            Round(remove=(".dvc/cache/files",)),
            Round(remove=("p",)),
            Round({"p": "edited\n"}),
            Round(remove=(".dvc/cache/files", "o")),
            Round(remove=(".dvc/cache/runs",)),
        ),
    ),
    Case(
        "odd_outputs",
        {
            "dvc.yaml": """\
stages:
  odd:
    cmd: touch empty; mkdir -p hollow/in; ln -s src.txt linked; head -c 3000000 /dev/zero > big; mkdir -p linkdir; ln -s ../src.txt linkdir/l
    deps: [src.txt]
    outs: [empty, hollow, linked, big, linkdir]
  'quoted: name':
    cmd: echo 1 > q
    outs: [q]
  'yes':
    cmd: echo 1 > y
    outs: [y]
  été:
    cmd: echo 1 > "très long nom de fichier avec beaucoup de mots pour dépasser les quatre-vingts colonnes.txt"
    outs: ["très long nom de fichier avec beaucoup de mots pour dépasser les quatre-vingts colonnes.txt"]
""",
            "src.txt": "s\n",
        },
        (Round(), Round(remove=("hollow", "linked", "big"))),
    ),
    Case(
        "gitignored",
        {
            ".gitignore": "/already\n*.log\nbuild/\n!build/keep\n# end",
            "sub/.gitignore": "/x\n",
            "dvc.yaml": """\
stages:
  a:
    cmd: >-
      echo 1 > already; echo 2 > a.log; mkdir -p build; echo 3 > build/b; echo 4 > '[x] #!*?.txt'; echo 5 > sub/x;
      echo 6 > sub/y; echo 7 > ' sp ace'
    outs: [already, a.log, build/b, '[x] #!*?.txt', sub/x, sub/y, ' sp ace']
  dir:
    cmd: mkdir -p dist/inner; echo 1 > dist/inner/f
    outs: [dist/inner/]
""",
        },
        (Round(), Round({}, ("-f",))),
    ),
    Case(
        "hand_made_lock",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cat src.txt > a\n    deps: [src.txt]\n    outs: [a]\n  b:\n    cmd: cat a > b\n    deps: [a]\n    outs: [b]\n",
            "src.txt": "s\n",
            "dvc.lock": "# kept comment\nschema: '2.0'\nstages:\n  gone:   # inline\n    cmd: 'echo'\n    params: {p.yaml: {a: 1,   b: [1,2]}}\n"
            "  a:\n    cmd: other\n    # lost comment\n    deps:\n    - {path: src.txt, md5: abc, hash: md5}\n  z:\n    cmd: [a, b]\n",
        },
        (Round(), Round({"src.txt": "t\n"})),
    ),
    Case(
        "json_lock",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cat src.txt > a\n    deps: [src.txt]\n    outs: [a: {cache: false}]\n  b:\n    cmd: cat a > b\n    deps: [a]\n    outs: [b: {cache: false}]\n",
            "src.txt": "s\n",
            "a": "s\n",
            "dvc.lock": '{"schema": "2.0", "stages": {"a": {"cmd": "cat src.txt > a", "deps": [{"path": "src.txt", "hash": "md5", "md5": "f4d5d0c0671be202bc241807c243e80b"}],'
            ' "outs": [{"path": "a", "hash": "md5", "md5": "f4d5d0c0671be202bc241807c243e80b"}]}}}',
        },
        (Round(), Round({"src.txt": "t\n"})),
    ),
    Case(
        "legacy",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cat src.txt crlf.txt > a\n    deps: [src.txt, crlf.txt]\n    outs: [a: {cache: false}]\n",
            "src.txt": "s\n",
            "crlf.txt": "one\r\ntwo\r\n",
            "a": "s\none\r\ntwo\r\n",
            "dvc.lock": "schema: '2.0'\nstages:\n  a:\n    cmd: cat src.txt crlf.txt > a\n    deps:\n    - path: crlf.txt\n      md5: 2094b601daac3d68f5aed51d3c20f7cd\n      size: 10\n"
            "    - path: src.txt\n      md5: f4d5d0c0671be202bc241807c243e80b\n      size: 2\n    outs:\n    - path: a\n      md5: bc96cbc4a1288611f1effa41c6df733e\n",
        },
        (Round(), Round({"src.txt": "t\n"})),
    ),
)
