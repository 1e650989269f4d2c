"""The text of dvc.lock, byte for byte as DVC writes it (dvc/dvcfile.py, dvc/utils/serialize/_yaml.py).

DVC reads the whole file with comments and styles, sets one stage, and writes the whole file: for a thousand stages that
is a second for each. Promise: the same bytes. Where the file consists of plain blocks, one a stage, each of which
survives being read and written unchanged, only the block of the stage that is set is written anew; any other file
takes DVC's way.
"""

import io
import re
from functools import lru_cache

from ruamel.yaml import YAML

from expd.pipeline.documents import parse_yaml
from expd.pipeline.lockentry import LockEntry
from expd.pipeline.model import PipelineError
from expd.pipeline.plainblock import plain_block, plain_entry
from expd.pipeline.plainyaml import parse_plain

SCHEMA = "2.0"
HEADER = f"schema: '{SCHEMA}'\nstages:\n"
BLOCKS_REMEMBERED = 1 << 14  # of about 500 bytes each: several pipelines of a thousand stages
_START = re.compile(r"  [^ \-#?&*!|>%@`].*\Z")
_PLAIN_NAME = re.compile(r"  (?!(?:null|true|false):)([A-Za-z_][A-Za-z0-9_@-]*):\n\Z", re.IGNORECASE)
"""What needs no YAML parser to be seen for a text."""
_ANCHOR = re.compile(r"[:-] [&*]id\d", re.MULTILINE)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.default_flow_style = False
    return yaml


def dumped(yaml: YAML, data: object) -> str:
    """The text of a document."""
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def split_blocks(text: str) -> dict[str, str] | None:
    """The blocks of the stages by name, or None for a file that is not made of plain blocks."""
    if not text.startswith(HEADER) or not text.endswith("\n"):
        return None
    blocks: list[list[str]] = []
    for line in text[len(HEADER) :].splitlines(keepends=True):
        bare = line.rstrip("\n")
        if _START.match(bare):
            blocks.append([line])
        elif blocks and (not bare or bare.startswith("    ")) and not bare.lstrip().startswith("#"):
            blocks[-1].append(line)
        else:
            return None
    joined = ["".join(lines) for lines in blocks]
    names = [_name_of(lines[0]) for lines in blocks]
    named = {name: block for name, block in zip(names, joined, strict=True) if name is not None}
    return named if len(named) == len(joined) else None


def _name_of(line: str) -> str | None:
    """The key of a block's first line, or None if there is more on it than a key."""
    plain = _PLAIN_NAME.match(line)
    if plain is not None:
        return plain[1]
    try:
        value = parse_yaml(line, "")
    except PipelineError:
        return None
    if isinstance(value, dict) and len(value) == 1 and list(value.values()) == [None]:
        key = next(iter(value))
        return key if isinstance(key, str) else None
    return None


@lru_cache(maxsize=BLOCKS_REMEMBERED)
def is_stable(block: str) -> bool:
    """Whether DVC, rewriting the file for another stage, would leave this block as it is."""
    if _is_written_plainly(block):
        return True
    text = f"stages:\n{block}"
    yaml = _yaml()
    return not _ANCHOR.search(block) and dumped(yaml, yaml.load(text)) == text


def _is_written_plainly(block: str) -> bool:
    """Whether a block reads as what it would be written for: the quick way to find that it is stable, of most blocks."""
    for name, entry in (parse_plain(block) or {}).items():
        return isinstance(entry, dict) and plain_block(name, entry) == block
    return False


def block_text(name: str, entry: LockEntry) -> str:
    """The block of one stage."""
    data = entry.to_data()
    plain = plain_block(name, data)
    return dumped(_yaml(), {"stages": {name: data}}).removeprefix("stages:\n") if plain is None else plain


def whole_text(text: str, name: str, entry: LockEntry) -> str:
    """The text with the entry of one stage set, made in DVC's way; `text` is empty where there is no file yet."""
    yaml = _yaml()
    loaded: object = yaml.load(text) if text.strip() else None
    data: dict[str, object] = loaded if isinstance(loaded, dict) and loaded else {"schema": SCHEMA}
    stages = data.get("stages")
    if not isinstance(stages, dict):
        stages = {}
        data["stages"] = stages
    stages[name] = entry.to_data()
    return dumped(yaml, data)


def dump_entry(entry: LockEntry) -> str:
    """An entry alone, as a file of the run cache holds it."""
    data = entry.to_data()
    plain = plain_entry(data)
    return dumped(_yaml(), data) if plain is None else plain


class LockText:
    """The text of one dvc.lock, in memory."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._blocks = split_blocks(text or HEADER)
        self._unstable: set[str] | None = None

    @property
    def text(self) -> str:
        """The whole text."""
        return self._text

    @property
    def blocks(self) -> dict[str, str] | None:
        """The blocks of the stages by name, if the file is made of such."""
        return self._blocks

    def set(self, name: str, entry: LockEntry) -> None:
        """Set the entry of one stage."""
        block = block_text(name, entry)
        blocks = self._blocks
        if blocks is None or _ANCHOR.search(block) or not self._others_are_stable(name, blocks):
            self._text = whole_text(self._text, name, entry)
            self._blocks = split_blocks(self._text)
            self._unstable = None
            return
        blocks[name] = block
        if self._unstable is not None and not is_stable(block):
            self._unstable.add(name)
        self._text = HEADER + "".join(blocks.values())

    def _others_are_stable(self, name: str, blocks: dict[str, str]) -> bool:
        """Asked of each block once: for every stage that is set, it would be asked a thousand times."""
        if self._unstable is None:
            self._unstable = {other for other, block in blocks.items() if not is_stable(block)}
        self._unstable.discard(name)
        return not self._unstable
