"""Untrusted text at a terminal: what passes, what is shown, and that no split changes it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expctl.render.terminal import RESET, SGR_CHARACTERS_MAX, Sanitizer, visible, visible_lines

VECTORS = {
    "text": (b"loss 0.5\tstep 3\n", "loss 0.5\tstep 3\n"),
    "other scripts": ("Zürich 東京\u3000🙂 e\u0301\n".encode(), "Zürich 東京\u3000🙂 e\u0301\n"),
    "colour": (b"\x1b[1;31mred\x1b[m\x1b[38;5;8mgrey\x1b[0m", "\x1b[1;31mred\x1b[m\x1b[38;5;8mgrey\x1b[0m" + RESET),
    "colour with colons": (b"\x1b[38:2::1:2:3mx", "\x1b[38:2::1:2:3mx" + RESET),
    "colour left on": (b"\x1b[31mred", "\x1b[31mred" + RESET),
    "window title": (b"\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
    "window title, string terminator": (b"\x1b]2;owned\x1b\\", "\\x1b]2;owned\\x1b\\"),
    "clipboard": (b"\x1b]52;c;cm0gLXJmIH4=\x07", "\\x1b]52;c;cm0gLXJmIH4=\\x07"),
    "hyperlink": (b"\x1b]8;;http://x\x07y\x1b]8;;\x07", "\\x1b]8;;http://x\\x07y\\x1b]8;;\\x07"),
    "clear screen": (b"\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"),
    "answer back": (b"\x1b[6n\x1b[c\x05", "\\x1b[6n\\x1b[c\\x05"),
    "device control": (b"\x1bP$q\"p\x1b\\", "\\x1bP$q\"p\\x1b\\"),
    "application program": (b"\x1b_x\x1b\\\x1b^y\x1b\\", "\\x1b_x\\x1b\\\\x1b^y\\x1b\\"),
    "alternate screen": (b"\x1b[?1049h", "\\x1b[?1049h"),
    "modified keys": (b"\x1b[>4;2m", "\\x1b[>4;2m"),
    "private colour": (b"\x1b[?4m", "\\x1b[?4m"),
    "character set": (b"\x1b(0\x0e\x0f", "\\x1b(0\\x0e\\x0f"),
    "reset": (b"\x1bc", "\\x1bc"),
    "raw C1": (b"\x9b2J\x9d0;t\x9c\x90", "\\x9b2J\\x9d0;t\\x9c\\x90"),
    "C1 as UTF-8": ("\u009b2J\u0085\u0080".encode(), "\\x9b2J\\x85\\x80"),
    "escape inside colour": (b"\x1b[3\x1b[31mx", "\\x1b[3\x1b[31mx" + RESET),
    "escape after escape": (b"\x1b\x1b[31mx", "\\x1b\x1b[31mx" + RESET),
    "line break inside colour": (b"\x1b[3\n1m", "\\x1b[3\n1m"),
    "carriage return inside colour": (b"\x1b[3\r1m", "\\x1b[3\n1m"),
    "colour without end": (b"\x1b[31", "\\x1b[31"),
    "lone escape": (b"\x1b", "\\x1b"),
    "overlong colour": (b"\x1b[" + b"1;" * 100 + b"m", "\\x1b[" + "1;" * 100 + "m"),
    "overwriting": (b"safe\rEVIL\n", "safe\nEVIL\n"),
    "progress": (b"\r10%\r20%\r100%\n", "\n10%\n20%\n100%\n"),
    "Windows line ends": (b"a\r\nb\r\n", "a\nb\n"),
    "several returns": (b"a\r\r\nb", "a\n\nb"),
    "return at the end": (b"50%\r", "50%\n"),
    "return before colour": (b"\r\x1b[31mx", "\n\x1b[31mx" + RESET),
    "backspaces": (b"password\x08\x08\x7f\x00\x0b\x0c\x07", "password\\x08\\x08\\x7f\\x00\\x0b\\x0c\\x07"),
    "bidi": ("a\u202eb\u2066c\u200f\u061c".encode(), "a\\u202eb\\u2066c\\u200f\\u061c"),
    "zero width": ("a\u200bb\u2060\ufeff\u00ad".encode(), "a\\u200bb\\u2060\\ufeff\\xad"),
    "tags": ("a\U000e0041".encode(), "a\\U000e0041"),
    "line separators": ("a\u2028b\u2029".encode(), "a\\u2028b\\u2029"),
    "no UTF-8": (b"\xff\xfe \xc3( \xed\xa0\x80 \xf8", "\\xff\\xfe \\xc3( \\xed\\xa0\\x80 \\xf8"),
    "cut character": ("ok €".encode()[:-1], "ok \\xe2\\x82"),
}  # fmt: skip


def shown(*pieces: bytes) -> str:
    """Give what a terminal gets of some pieces."""
    sanitizer = Sanitizer()
    return "".join(map(sanitizer.feed, pieces)) + sanitizer.finish()


@pytest.mark.parametrize(("data", "expected"), VECTORS.values(), ids=VECTORS.keys())
def test_attack_is_shown_at_every_split(data: bytes, expected: str) -> None:
    """Wherever a read ends, the terminal gets the same: text, colours, and everything else as visible escapes."""
    assert shown(data) == expected
    assert shown(*(bytes([byte]) for byte in data)) == expected
    for place in range(len(data)):
        assert shown(data[:place], data[place:]) == expected


@settings(deadline=None, max_examples=200)
@given(
    pieces=st.lists(
        st.binary(max_size=12) | st.sampled_from([b"\x1b[", b"\x1b", b"31", b"m", b"\r", b"\n", b"\x9b", b"\xe2\x80"])
    )
)
def test_terminal_gets_only_text_line_breaks_and_colours(pieces: list[bytes]) -> None:
    """For any bytes in any pieces: what is left without its colours is printable, and the same as of one piece."""
    text = shown(*pieces)
    head, *rest = text.split("\x1b")
    for part in rest:
        parameters, found, tail = part.partition("m")
        assert found
        assert parameters[0] == "["
        assert set(parameters[1:]) <= set("0123456789;:")
        head += tail
    assert all(character.isprintable() or character in "\n\t" or character.isspace() for character in head)
    assert not set(head) & set("\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029")
    assert text == shown(b"".join(pieces))


def test_endless_sequence_is_not_kept() -> None:
    """A megabyte of an operating system command that never ends passes through; a few characters are held at most."""
    sanitizer = Sanitizer()

    assert len(sanitizer.feed(b"\x1b]0;" + b"x" * 1_000_000)) >= 1_000_000
    sanitizer.feed(b"\x1b[" + b"1" * 1_000_000)
    assert len(sanitizer.finish()) <= SGR_CHARACTERS_MAX


def test_names_are_made_visible_on_one_line() -> None:
    """In a name or a cell also line breaks, tabs and colours are escapes."""
    assert visible("a\tb\nc\x1b[31md\u202e é\u3000") == "a\\x09b\\x0ac\\x1b[31md\\u202e é\u3000"
    assert visible_lines("a\nb\x1b") == "a\nb\\x1b"
