from __future__ import annotations

import errno
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.taskstats import TStatsBase  # type: ignore[import-untyped]

from oomguard.errors import Gone, Malformed
from oomguard.taskstats import VERSIONS, Delays, parse_delays

FIELDS = {"cpu_delay_total": 24, "swapin_delay_total": 56, "cpu_run_real_total": 64}
"""Of struct taskstats, in front of what differs by version, as pyroute2 has them."""
BEHIND = {"freepages_delay_total": 320, "thrashing_delay_total": 336, "wpcopy_count": 400}
SECOND = 10**9


def reply(version: int = 16, comm: bytes = b"", **values: int) -> bytes:
    """What the kernel answers, with each of these fields as given and all others 0."""
    stats = bytearray(560)
    struct.pack_into("=H", stats, 0, version)
    stats[80 : 80 + len(comm)] = comm
    for name, value in values.items():
        struct.pack_into("=Q", stats, (FIELDS | BEHIND)[name], value)
    body = struct.pack("=HHI", 8, 2, 7) + struct.pack("=HH", 4 + len(stats), 3) + stats
    return struct.pack("=IHHIIBBHHH", 24 + len(body), 31, 0, 0, 0, 2, 1, 0, 4 + len(body), 5) + body


def refusal(code: int) -> bytes:
    return struct.pack("=IHHIIi", 36, 2, 0, 0, 0, -code) + bytes(16)


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_what_is_told(version: int) -> None:
    told = reply(
        version, cpu_delay_total=3 * SECOND, swapin_delay_total=SECOND, cpu_run_real_total=10 * SECOND,
        freepages_delay_total=5 * SECOND, thrashing_delay_total=2 * SECOND, wpcopy_count=1,
        comm=b'\n"\xff\x1b[31m{}) R',
    )  # fmt: skip
    assert parse_delays(told) == Delays(waited=pytest.approx(7), wanted=pytest.approx(20))  # type: ignore[arg-type]


def test_what_is_swapped_in_is_not_counted_twice() -> None:
    told = parse_delays(reply(swapin_delay_total=3 * SECOND, thrashing_delay_total=SECOND, wpcopy_count=1))
    assert told is not None
    assert told.waited == pytest.approx(3)


def test_who_started_before_anybody_counted_is_not_known() -> None:
    """It seems to run and never to wait."""
    assert parse_delays(reply(cpu_run_real_total=SECOND, cpu_delay_total=SECOND)) is None


def test_a_process_that_has_gone() -> None:
    with pytest.raises(Gone):
        parse_delays(refusal(errno.ESRCH))


def test_a_refusal_says_why() -> None:
    with pytest.raises(PermissionError):
        parse_delays(refusal(errno.EPERM))


@pytest.mark.parametrize("version", [0, 12, 15, 17])
def test_fields_that_may_be_elsewhere_are_not_read(version: int) -> None:
    with pytest.raises(Malformed, match=f"version {version} "):
        parse_delays(reply(version, wpcopy_count=1))


@given(st.binary(max_size=600))
def test_no_reply_is_a_surprise(told: bytes) -> None:
    with suppress(Gone, OSError, Malformed):
        parse_delays(told)


def test_pyroute2_has_the_same_fields_where_it_knows_them() -> None:
    names = [name for name, _ in TStatsBase.tstats_vB.fields]
    layout = "".join(kind for _, kind in TStatsBase.tstats_vB.fields[: names.index("ac_comm")])
    offsets = {
        name: struct.calcsize("@" + layout[:index] + "0" + layout[index])
        for index, name in enumerate(names[: len(layout)])
    }
    assert {name: offsets[name] for name in FIELDS} == FIELDS
