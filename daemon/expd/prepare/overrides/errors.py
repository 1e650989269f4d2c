"""The one exception of this package: an override that cannot be understood, expanded or carried out.

It carries facts, and no prose for a terminal: whoever shows it to a person decides on the words around them.
"""

from __future__ import annotations


class OverrideError(Exception):
    """An override was refused.

    `text` is the override as it was typed (or the file's name where the file itself is at fault), `problem` says what is
    wrong with it and `hint` what would work instead; `hint` is empty where nothing better is known.
    """

    def __init__(self, *, text: str, problem: str, hint: str = "") -> None:
        super().__init__(text, problem, hint)
        self.text = text
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        said = f"{self.text}: {self.problem}"
        return f"{said} ({self.hint})" if self.hint else said


class FormatFault(Exception):
    """A file's text cannot be read, or a change cannot be written into it; `edit` names the override that this belongs to."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem, hint)
        self.problem = problem
        self.hint = hint
