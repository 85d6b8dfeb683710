"""Bytes that were once well formed, damaged as chance and malice would."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

WORDS = "- -1 0 18446744073709551616 1e999 nan inf 0x _ kB : = . ' [ { ] } {} *a &a true null /.."
JUNK = (
    *(word.encode() for word in WORDS.split()),
    *(b"\0", b"\n", b"\r\n", b" ", b"\t", b'"', b'"""', b"\\", b"(", b") Z 1 ", b"!!bool "),
    *(b"!!int ", b"<<: ", b" (deleted)", b"9" * 5000, b"[" * 2000, b"x" * 5000),
    *(b"\x1b[2J", b"\xff\xfe", b"\xc3", "\u2028".encode(), "\u202e".encode()),
)  # fmt: skip
"""What parsers stumble over."""

Edit = Callable[[bytes], bytes]


@st.composite
def _edits(draw: st.DrawFn) -> Edit:
    """One change, at a place that is a share of the whole, so that it shrinks well."""
    at, length = draw(st.integers(0, 999)), draw(st.integers(0, 40))
    piece = draw(st.sampled_from(JUNK) | st.binary(max_size=8))
    kind = draw(st.sampled_from(("insert", "replace", "delete", "repeat", "cut", "move")))

    def edit(data: bytes) -> bytes:
        start = len(data) * at // 1000
        before, inside, after = data[:start], data[start : start + length], data[start + length :]
        match kind:
            case "insert":
                return before + piece + inside + after
            case "replace":
                return before + piece + after
            case "delete":
                return before + after
            case "repeat":
                return before + inside * 3 + after
            case "move":
                return after + inside + before
            case _:
                return before

    return edit


def damaged(*whole: bytes) -> st.SearchStrategy[bytes]:
    """One of `whole` after some changes; or bytes that never were any of them."""

    def changed(data: bytes, edits: list[Edit]) -> bytes:
        for edit in edits:
            data = edit(data)
        return data

    return st.builds(changed, st.sampled_from(whole), st.lists(_edits(), max_size=5)) | st.binary(
        max_size=200
    )
