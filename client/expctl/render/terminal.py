"""Untrusted text made safe for a terminal.

What an experiment prints, and what it is called, may hold sequences that retitle the window, write the clipboard,
make the terminal answer as if typed, or draw over what stands there. Text and colours pass; everything else that a
terminal would act upon, and what would be invisible or reorder its neighbours, is shown as an escape such as \\x1b.
"""

import codecs

RESET = "\x1b[0m"

SGR_CHARACTERS_MAX = 64
"""Four true-colour attributes fit; a longer sequence is no colour but an attempt to make us keep it."""

_SPACES = frozenset("\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")
"""Spaces of other scripts: str.isprintable knows only the ASCII one."""
_SGR_PARAMETERS = frozenset("0123456789;:")


def visible(text: str) -> str:
    """Give text for one line: control characters, line breaks, tabs, bidi and zero-width marks as escapes."""
    return text if text.isprintable() else "".join(map(_visible_character, text))


def visible_lines(text: str) -> str:
    """Give text for several lines, each of which is made visible."""
    return "\n".join(map(visible, text.split("\n")))


def _visible_character(character: str) -> str:
    if character.isprintable() or character in _SPACES:
        return character
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that was no UTF-8, as surrogateescape carries it
        number -= 0xDC00
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


class Sanitizer:
    """The bytes of a log in, in pieces of any size; text safe for a terminal out. Keeps a few characters at most."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._held = ""
        """A carriage return, or the beginning of what may become a colour."""
        self._is_coloured = False

    def feed(self, data: bytes) -> str:
        """Give what can be shown of some bytes."""
        text = self._decoder.decode(data)
        if not self._held and text.replace("\n", "").replace("\t", "").isprintable():
            return text
        return "".join(map(self._take, text))

    def finish(self) -> str:
        """Give what was still held, and take back colours that were left on."""
        rest = "".join(map(self._take, self._decoder.decode(b"", final=True)))
        held, self._held = self._held, ""
        rest += "\n" if held == "\r" else _visible_held(held)
        was_coloured, self._is_coloured = self._is_coloured, False
        return rest + RESET if was_coloured else rest

    def _take(self, character: str) -> str:
        if not self._held:
            return self._take_fresh(character)
        if self._held == "\r":
            self._held = ""
            return "\n" if character == "\n" else "\n" + self._take_fresh(character)
        return self._take_escape(character)

    def _take_fresh(self, character: str) -> str:
        if character in {"\r", "\x1b"}:
            self._held = character
            return ""
        return character if character in {"\n", "\t"} else _visible_character(character)

    def _take_escape(self, character: str) -> str:
        """Continue `ESC [ digits m`; at the first character that can't, show what was held as it is."""
        held = self._held
        if held == "\x1b":
            continues = character == "["
        else:
            continues = character in _SGR_PARAMETERS and len(held) < SGR_CHARACTERS_MAX
        if continues:
            self._held += character
            return ""
        self._held = ""
        if character == "m" and held != "\x1b":
            self._is_coloured = True
            return f"{held}m"
        return _visible_held(held) + self._take_fresh(character)


def _visible_held(held: str) -> str:
    return "".join(map(_visible_character, held))
