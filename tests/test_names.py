import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.names import decode, printable, quoted


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"postgres", "postgres"),
        ("größe".encode(), "größe"),
        (b"a\nb", r"a\nb"),
        (b"\x1b[2J", r"\x1b[2J"),
        (b"\xff\xc3", r"\xff\xc3"),
        (b"\"'\\", r"\"\'\\"),
        ("\u2028".encode(), r"\u2028"),
        ("\u202e".encode(), r"\u202e"),
        (b"\0", r"\x00"),
        (b"", ""),
    ],
)
def test_printable(raw: bytes, shown: str) -> None:
    assert printable(decode(raw)) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\n", r'"a\n"'), ("", '""'), ("x" * 80, f'"{"x" * 80}"'), ("x" * 81, f'"{"x" * 80}..."')],
)
def test_quoted(text: str, shown: str) -> None:
    assert quoted(text) == shown


@given(st.binary())
def test_decode_keeps_every_byte(raw: bytes) -> None:
    assert decode(raw).encode("utf-8", "surrogateescape") == raw


@given(st.binary())
def test_printable_is_one_line_of_text(raw: bytes) -> None:
    shown = printable(decode(raw))
    assert shown.isprintable()
    assert shown.encode("utf-8").count(b"\n") == 0


@given(st.binary(), st.binary())
def test_printable_keeps_names_apart(one: bytes, other: bytes) -> None:
    assert (printable(decode(one)) == printable(decode(other))) == (one == other)
