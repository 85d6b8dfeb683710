import pytest

from oomguard.errors import Malformed
from oomguard.fields import number, whole


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"\nkey:   12 kB\n", 12), (b"\nother: 3 kB\nkey: 4 kB\n", 4), (b"\nkey: 0 kB\nkey: 9 kB\n", 0)],
)
def test_finds_the_first(text: bytes, value: int) -> None:
    assert number(text, b"\nkey:", b" kB\n") == value


def test_default_only_where_the_key_is_missing() -> None:
    assert number(b"\nother: 1\n", b"\nkey:", b"\n", 7) == 7
    assert number(b"\nkey: 1\n", b"\nkey:", b"\n", 7) == 1


@pytest.mark.parametrize("text", [b"", b"\nkey: 12", b"\nkey: x\n", b"\nkey:\n", b" key: 1\n"])
def test_malformed(text: bytes) -> None:
    with pytest.raises(Malformed, match="key"):
        number(text, b"\nkey:", b"\n")


@pytest.mark.parametrize("text", [b"", b"some", b"some\nmore"])
def test_cut_off(text: bytes) -> None:
    with pytest.raises(Malformed, match="cut off"):
        whole(text)
