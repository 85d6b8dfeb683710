"""Names that processes give themselves: kept whole for matching, made harmless for showing.

comm, command lines, executables and cgroups belong to whoever started the process. They may hold
newlines, quotes, terminal escapes and bytes that are not UTF-8.
"""

from __future__ import annotations

DIGITS = frozenset("0123456789")
LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
"""Of ASCII. What the configuration has of names is compared with sets: a guard without a pattern in its rules
does not load `re`, which takes 0.4 MiB."""
LONGEST = 4096
"""A name is matched up to this many characters."""


def decode(raw: bytes) -> str:
    """`raw` as text that keeps each byte: what is not UTF-8 becomes a lone surrogate (PEP 383)."""
    return raw.decode("utf-8", "surrogateescape")


def printable(name: str) -> str:
    r"""`name` in one line without control characters: they, quotes and backslashes become escapes.

    Invalid UTF-8 shows as \xNN, so that the bytes can be told from the text.
    """
    return "".join(map(_shown, name))


def quoted(text: str) -> str:
    """`text` as a message quotes it: printable, in double quotes, and cut where it is long."""
    return f'"{printable(text[:80])}{"..." if len(text) > 80 else ""}"'


def _shown(char: str) -> str:
    code = ord(char)
    if char in "\\\"'":
        return "\\" + char
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if char.isprintable():
        return char
    return char.encode("unicode_escape").decode("ascii")
