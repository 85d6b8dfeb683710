from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.errors import Malformed
from oomguard.swapspace import EXPECTED_COST, SwapArea, cost, parse_swaps
from oomguard.units import KIB, Bytes
from tests.builders import mib

HEAD = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


@pytest.mark.parametrize(
    ("line", "size", "used", "in_memory"),
    [
        (b"/dev/zram0                              partition\t409596\t\t1024\t\t100", 409596, 1024, True),
        (b"/dev/zram12 partition\t4096\t\t0\t\t-2", 4096, 0, True),
        (b"/dev/vda2                               partition\t999420\t\t0\t\t-2", 999420, 0, False),
        (b"/home/zram0 file\t4096\t\t0\t\t-2", 4096, 0, False),
        (b"/dev/zram-backup partition\t4096\t\t0\t\t-2", 4096, 0, False),
        (rb"/swap\040file\040(deleted) file" + b"\t4096\t\t8\t\t-2", 4096, 8, False),
        (b"/\xff\xfe file\t4096\t\t8\t\t-2", 4096, 8, False),
        (b"none\t\t\t\t\tvirtual\t\t1048576\t0\t0", 1048576, 0, False),
    ],
)
def test_parse(line: bytes, size: int, used: int, in_memory: bool) -> None:
    area = SwapArea(size=Bytes(size * KIB), used=Bytes(used * KIB), in_memory=in_memory)
    assert parse_swaps(HEAD + line + b"\n") == (area,)
    assert parse_swaps(HEAD + line + b"\n" + line + b"\n") == (area, area)


@pytest.mark.parametrize(
    "text", [HEAD[:-1], HEAD + b"/dev/vda2 partition 5 x 1\n", HEAD + b"/dev/vda2\n", b""]
)
def test_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        parse_swaps(text)


def test_no_swap() -> None:
    assert parse_swaps(HEAD) == ()


def zram(size: float, used: float) -> SwapArea:
    return SwapArea(size=mib(size), used=mib(used), in_memory=True)


def disk(size: float, used: float) -> SwapArea:
    return SwapArea(size=mib(size), used=mib(used), in_memory=False)


@pytest.mark.parametrize(
    ("areas", "compressed", "expected"),
    [
        pytest.param((), 0, 0, id="none"),
        pytest.param((disk(500, 100),), 0, 0, id="a disk"),
        pytest.param((zram(500, 0),), 0, EXPECTED_COST, id="nothing is stored yet"),
        pytest.param((zram(500, 15.9),), 15.9, EXPECTED_COST, id="next to nothing"),
        pytest.param((zram(500, 100),), 35, 0.35, id="as well as it compresses so far"),
        pytest.param((zram(500, 100),), 101, 1, id="not at all"),
        pytest.param((zram(500, 100), zram(500, 300)), 100, 0.25, id="two of them"),
        pytest.param((zram(300, 100), disk(600, 0)), 50, 0.125, id="a disk behind it"),
        pytest.param((zram(300, 300), disk(600, 0)), 150, 0, id="only the disk is left"),
        pytest.param((zram(300, 300),), 150, 0, id="full"),
    ],
)
def test_cost(areas: tuple[SwapArea, ...], compressed: float, expected: float) -> None:
    assert cost(areas, mib(compressed)) == pytest.approx(expected)


AREAS = st.builds(
    lambda size, share, in_memory: SwapArea(
        size=Bytes(size), used=Bytes(size * share // 8), in_memory=in_memory
    ),
    st.integers(0, 1 << 40),
    st.integers(0, 8),
    st.booleans(),
)


@given(st.lists(AREAS, max_size=4), st.integers(0, 1 << 40))
def test_no_byte_takes_more_than_a_byte(areas: list[SwapArea], compressed: int) -> None:
    found = cost(areas, Bytes(compressed))
    assert 0 <= found <= 1
    assert any(area.in_memory for area in areas) or found == 0
