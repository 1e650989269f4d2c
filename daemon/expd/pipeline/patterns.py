"""Ignore patterns in gitignore's language, as `.gitignore` and `.dvcignore` files hold them.

Promise: pure; the last pattern that matches a path or one of the directories above it decides, and nothing below an
ignored directory comes back. `below=True` is DVC's reading, in which a pattern also speaks for what lies below a
directory of that name; `below=False` is Git's.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

_ESCAPED_SLASH = re.compile(r"(?<!\\)((?:\\\\)*)\\/")
"""A slash behind an odd number of backslashes: to Git it separates like any other."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern: paths are matched relative to `base`, the directory of the file it was read from."""

    base: str
    regex: re.Pattern[str]
    negated: bool
    directories_only: bool

    def matches(self, path: str, *, is_directory: bool) -> bool:
        """Whether it speaks about `path` (relative to the root that `base` is relative to)."""
        if self.directories_only and not is_directory:
            return False
        if self.base and not path.startswith(f"{self.base}/"):
            return False
        return self.regex.match(path[len(self.base) + 1 :] if self.base else path) is not None


def parse_rules(text: str, base: str, *, below: bool) -> list[Rule]:
    """The rules of one ignore file; comments, blank lines and patterns that mean nothing are left out."""
    rules = (parse_rule(line, base, below=below) for line in text.splitlines())
    return [rule for rule in rules if rule is not None]


@lru_cache(maxsize=1 << 14)
def parse_rule(line: str, base: str, *, below: bool) -> Rule | None:
    """One line of an ignore file, or None if it has no meaning.

    Kept, because a .gitignore that grows by a line with every stage is read again with every stage.
    """
    pattern = line if line.endswith("\\ ") else line.rstrip()
    if not pattern or pattern.startswith("#") or pattern == "/":
        return None
    negated = pattern.startswith("!")
    pattern = pattern[negated:]
    directories_only = pattern.endswith("/")
    pattern = pattern.removesuffix("/")
    if not pattern:
        return None
    anchored = "/" in pattern
    pattern = _ESCAPED_SLASH.sub(r"\1/", pattern.removeprefix("/"))
    regex = _translate(pattern.split("/"), anchored=anchored)
    if regex is None:
        return None
    return Rule(base, re.compile(regex + ("(?:/.*)?\\Z" if below else "\\Z"), re.DOTALL), negated, directories_only)


def _translate(segments: Sequence[str], *, anchored: bool) -> str | None:
    """The segments of a pattern as a regular expression without its end, or None for a broken bracket."""
    parts = [] if anchored else ["(?:.*/)?"]
    last = len(segments) - 1
    for index, segment in enumerate(segments):
        if len(segment) > 1 and set(segment) == {"*"}:
            parts.append(".+" if index == last else "(?:.*/)?")
            continue
        glob = _translate_segment(segment)
        if glob is None:
            return None
        parts.append(glob if index == last else glob + "/")
    return "".join(parts)


def _translate_segment(segment: str) -> str | None:
    """One segment between slashes."""
    regex: list[str] = []
    rest = segment
    while rest:
        if rest[0] == "[":
            bracket = _bracket(rest)
            if bracket is None:
                return None
            text, rest = bracket
            regex.append(text)
            continue
        if rest[0] == "\\" and len(rest) > 1:
            rest = rest[1:]
            regex.append(re.escape(rest[0]))
        elif rest[0] == "*":
            regex.append("[^/]*")
        elif rest[0] == "?":
            regex.append("[^/]")
        else:
            regex.append(re.escape(rest[0]))
        rest = rest[1:]
    return "".join(regex) if regex != ["[^/]*"] else "[^/]+"


def _bracket(text: str) -> tuple[str, str] | None:
    """A leading bracket expression as a regular expression, and what follows it; None if it never closes."""
    start = 2 if text[1:2] in {"!", "^"} else 1
    end = text.find("]", start + 1)
    if end < 0:
        return None
    inner = text[start:end].replace("\\", "\\\\").replace("[", "\\[")
    return f"(?!/)[{'^' if start == 2 else ''}{inner}]", text[end + 1 :]


@dataclass(slots=True)
class IgnoreRules:
    """Rules in the order in which they were read, and the verdicts already given on directories."""

    rules: list[Rule] = field(default_factory=list)
    _directories: dict[str, bool] = field(default_factory=dict)

    def extend(self, rules: Iterable[Rule]) -> None:
        """Add rules that are stronger than those already there."""
        self.rules.extend(rules)
        self._directories.clear()

    def ignores(self, path: str, *, is_directory: bool) -> bool:
        """Whether `path`, relative to the root, is ignored, or a directory above it is."""
        parent = path.rpartition("/")[0]
        if parent and self._ignores_directory(parent):
            return True
        return self._last_word(path, is_directory=is_directory)

    def _ignores_directory(self, path: str) -> bool:
        if path not in self._directories:
            self._directories[path] = self.ignores(path, is_directory=True)
        return self._directories[path]

    def _last_word(self, path: str, *, is_directory: bool) -> bool:
        for rule in reversed(self.rules):
            if rule.matches(path, is_directory=is_directory):
                return not rule.negated
        return False
