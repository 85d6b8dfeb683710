from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.holders import ELSEWHERE, WITH_PROCESSES, Held, Holder, holders, is_elsewhere, swapped
from oomguard.meminfo import Holdings
from oomguard.units import Bytes
from tests.builders import mib, pages, process, using

NONE = Bytes(0)
IDLE = Holdings(**{field.name: NONE for field in fields(Holdings)})
HOST = replace(IDLE, total=mib(1000), free=mib(40), reclaimable=mib(60), anon=mib(200))
"""Of 900 MiB in use, 700 are nobody's."""

AMOUNTS = st.integers(0, 1 << 50).map(Bytes)
HOLDINGS = st.builds(Holdings, **{field.name: AMOUNTS for field in fields(Holdings)})


def in_mib(held: Held) -> dict[str, float]:
    return {holder: amount / mib(1) for holder, amount in held}


@pytest.mark.parametrize(
    ("changes", "private_swap", "held"),
    [
        ({}, 0, {"other": 700, "processes": 200}),
        ({"shmem": mib(700)}, 0, {"shared_memory": 700, "processes": 200}),
        # More is counted than there is: who is known best comes first.
        ({"shmem": mib(690), "sockets": mib(30)}, 0, {"shared_memory": 690, "processes": 200, "sockets": 10}),
        (
            {
                "locked_files": mib(1),
                "slab_unreclaimable": mib(2),
                "hugetlb": mib(3),
                "kernel_stacks": mib(4),
                "page_tables": mib(5),
                "percpu": mib(6),
                "sockets": mib(7),
            },
            0,
            {
                "other": 672,
                "processes": 200,
                "sockets": 7,
                "percpu": 6,
                "page_tables": 5,
                "kernel_stacks": 4,
                "hugepages": 3,
                "slab": 2,
                "locked_files": 1,
            },
        ),
        # A tmpfs, most of it swapped out.
        (
            {"shmem": mib(400), "swap_used": mib(300)},
            50,
            {"shared_memory": 650, "other": 300, "processes": 250},
        ),
        # What siblings share in swap is counted for each of them.
        ({"swap_used": mib(300)}, 900, {"other": 700, "processes": 500}),
        ({"zswap": mib(90), "swap_used": mib(300)}, 300, {"other": 610, "processes": 590}),
        ({"free": mib(1200)}, 0, {}),
    ],
)
def test_holders(changes: dict[str, Bytes], private_swap: float, held: dict[str, float]) -> None:
    found = in_mib(holders(replace(HOST, **changes), mib(private_swap)))
    assert list(found.items()) == list(held.items())


@pytest.mark.parametrize(
    ("changes", "private_swap", "elsewhere"),
    [
        ({}, 0, False),
        ({"shmem": mib(200)}, 0, False),
        ({"shmem": mib(201)}, 0, True),
        ({"shmem": mib(300), "swap_used": mib(150)}, 150, False),
        ({"shmem": mib(300), "swap_used": mib(150)}, 40, True),
        ({"shmem": mib(201), "page_tables": mib(1)}, 0, False),
        ({"shmem": mib(201), "kernel_stacks": mib(1)}, 0, False),
        ({"slab_unreclaimable": mib(201)}, 0, True),
        ({"locked_files": mib(201)}, 0, True),
        ({"sockets": mib(201)}, 0, True),
        ({"percpu": mib(201)}, 0, True),
        ({"slab_unreclaimable": mib(101), "sockets": mib(100)}, 0, True),
        ({"hugetlb": mib(650)}, 0, False),
    ],
)
def test_is_elsewhere(changes: dict[str, Bytes], private_swap: float, elsewhere: bool) -> None:
    held = holders(replace(HOST, **changes), mib(private_swap))
    assert is_elsewhere(held) is elsewhere


def test_each_holder_stays_or_goes_or_is_left_open() -> None:
    assert not WITH_PROCESSES & ELSEWHERE
    assert set(Holder) - WITH_PROCESSES - ELSEWHERE == {Holder.HUGEPAGES, Holder.OTHER}


def test_swapped() -> None:
    zombie = replace(process(3), memory=None)
    everybody = (process(1, memory=using(5, swap=7)), process(2, memory=using(1, swap=2)), zombie)
    assert swapped(everybody) == pages(9)
    assert swapped(()) == 0


@given(HOLDINGS, AMOUNTS)
def test_nobody_holds_more_than_there_is(holdings: Holdings, private_swap: Bytes) -> None:
    held = holders(holdings, private_swap)
    amounts = [amount for _, amount in held]
    in_use = holdings.total + holdings.swap_used - holdings.free - holdings.reclaimable
    assert sum(amounts) == max(0, in_use)
    assert all(amount > 0 for amount in amounts)
    assert amounts == sorted(amounts, reverse=True)
    assert len({holder for holder, _ in held}) == len(held)


@given(HOLDINGS, AMOUNTS, AMOUNTS)
def test_more_shared_memory_is_no_reason_to_kill(
    holdings: Holdings, private_swap: Bytes, more: Bytes
) -> None:
    if is_elsewhere(holders(holdings, private_swap)):
        fuller = replace(holdings, shmem=Bytes(holdings.shmem + more))
        assert is_elsewhere(holders(fuller, private_swap))


@given(HOLDINGS, AMOUNTS, AMOUNTS)
def test_more_private_memory_is_no_reason_to_spare(
    holdings: Holdings, private_swap: Bytes, more: Bytes
) -> None:
    if not is_elsewhere(holders(holdings, private_swap)):
        fuller = replace(holdings, anon=Bytes(holdings.anon + more))
        assert not is_elsewhere(holders(fuller, private_swap))
