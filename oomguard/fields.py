"""Numbers in the kernel's text, found by the key that a line begins with."""

from __future__ import annotations

from oomguard.errors import Malformed


def number(text: bytes, key: bytes, end: bytes, default: int | None = None) -> int:
    r"""The decimal number between the first `key` and the next `end`; a line's key begins with its `\n`.

    Without the key: `default`. Raises `Malformed` where there is no default, or no number.
    """
    at = text.find(key)
    if at < 0:
        if default is None:
            raise Malformed(f"{key!r} is missing")
        return default
    at += len(key)
    stop = text.find(end, at)
    if stop < 0:
        raise Malformed(f"{key!r} has no end")
    try:
        return int(text[at:stop])
    except ValueError as error:
        raise Malformed(f"{key!r} has no number") from error


def parse_int(text: bytes) -> int:
    """The one number of a text; raises `Malformed`."""
    try:
        return int(text)
    except ValueError as error:
        raise Malformed("not a number") from error


def whole(text: bytes) -> bytes:
    """`text`, which the kernel ends with a newline; raises `Malformed` for what was cut off."""
    if not text.endswith(b"\n"):
        raise Malformed("cut off")
    return text
