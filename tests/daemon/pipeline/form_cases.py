"""Projects for the forms in which links, hashes and lists of files may be written, and for keys that hardly anybody uses."""

import hashlib

from daemon.pipeline.case import Case, Round


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _listed(indent: str, **files: str) -> str:
    """The files of a directory, listed in place instead of its hash; `_` stands for the slash of a name."""
    return "".join(
        f"{indent}- relpath: {name.replace('_', '/')}\n{indent}  md5: {_md5(text)}\n{indent}  size: {len(text)}\n"
        for name, text in sorted(files.items())
    )


_COPY = "stages:\n  make:\n    cmd: mkdir o && cp src.txt o/a && cp src.txt single && cp src.txt x && chmod 755 x\n    deps: [src.txt]\n    outs: [o, single, x]\n"
_REWRITTEN = (Round(), Round({"src.txt": "t\n"}), Round({"src.txt": "s\n"}), Round(remove=("o", "single", "x")))

FORM_CASES: tuple[Case, ...] = (
    Case(
        "reflink_or_copy",
        {"dvc.yaml": _COPY, "src.txt": "s\n"},
        _REWRITTEN,
        config="[cache]\n    type = reflink,copy\n",
    ),
    Case(
        "reflink_or_hardlink",
        {"dvc.yaml": _COPY, "src.txt": "s\n"},
        _REWRITTEN,
        config="[cache]\n    type = reflink,hardlink,copy\n",
    ),
    Case(
        "group_symlinks",
        {"dvc.yaml": _COPY, "src.txt": "s\n"},
        _REWRITTEN,
        config="[cache]\n    shared = group\n    type = symlink\n",
    ),
    Case(
        "listed_dependency",
        {
            "dvc.yaml": "stages:\n  a:\n    cmd: cat src/a src/b/c > o\n    deps: [src]\n    outs: [o: {cache: false}]\n",
            "src/a": "a\n",
            "src/b/c": "c\n",
            "o": "a\nc\n",
            "dvc.lock": "schema: '2.0'\nstages:\n  a:\n    cmd: cat src/a src/b/c > o\n    deps:\n    - path: src\n      hash: md5\n      files:\n"
            + _listed("      ", a="a\n", b_c="c\n")
            + f"    outs:\n    - path: o\n      hash: md5\n      md5: {_md5('a' + chr(10) + 'c' + chr(10))}\n      size: 4\n",
        },
        (Round(), Round({"src/b/c": "d\n"})),
    ),
    Case(
        "listed_data",
        {
            "dvc.yaml": "stages:\n  use:\n    cmd: cat data/a data/b/c > o\n    deps: [data]\n    outs: [o]\n",
            "data.dvc": "outs:\n- path: data\n  hash: md5\n  files:\n" + _listed("  ", a="a\n", b_c="c\n"),
            "data/a": "a\n",
            "data/b/c": "c\n",
            "same/a": "a\n",
            "same/b/c": "c\n",
            ".gitignore": "/data\n",
        },
        (Round(), Round(remove=("o",))),
        setup=(("add", "-q", "same"),),
    ),
    Case(
        "executable_data",
        {
            "dvc.yaml": "stages:\n  use:\n    cmd: ./tool.sh > o\n    deps: [tool.sh]\n    outs: [o]\n",
            "tool.sh!": "#!/bin/sh\necho hi\n",
        },
        (Round(), Round(remove=("o",))),
        setup=(("add", "-q", "tool.sh"),),
    ),
    Case(
        "rare_keys",
        {
            "dvc.yaml": """\
stages:
  a:
    cmd: cp src.txt o && cp src.txt p.csv
    deps: [src.txt]
    outs:
    - o: {checkpoint: false, desc: d, type: model, labels: [x, y], meta: {any: [1]}, push: true}
    plots:
    - p.csv: {x: a, y: b, x_label: A, y_label: B, title: T, header: false, template: linear}
datasets: []
""",
            "src.txt": "s\n",
        },
        (Round(), Round({"src.txt": "t\n"})),
    ),
    Case(
        "escapes",
        {
            "dvc.yaml": """\
vars: [{word: value}]
stages:
  a:
    cmd: 'HOME=/h; echo \\${HOME} ${word} "\\${word}" > o'
    desc: ${word}
    deps: [src.txt]
    outs: [o]
""",
            "src.txt": "s\n",
        },
    ),
)
