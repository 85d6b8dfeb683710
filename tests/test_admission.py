from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.admission import Admission, party


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::1", "127.0.0.1", False),
    ],
)
def test_a_party_is_who_can_make_up_the_address(one: str, other: str, same: bool) -> None:
    assert (party(one) == party(other)) is same


def test_whoever_has_most_gives_up_its_oldest() -> None:
    admission = Admission[str](3)
    assert [admission.admit(guest, "scraper") for guest in ("s1",)] == [None]
    assert [admission.admit(guest, "stranger") for guest in ("x1", "x2", "x3", "x4")] == [
        None,
        None,
        "x1",
        "x2",
    ]
    assert len(admission) == 3


def test_where_all_are_one_party_a_newcomer_still_gets_in() -> None:
    admission = Admission[int](2)
    assert [admission.admit(guest, "here") for guest in range(4)] == [None, None, 0, 1]


def test_who_has_left_makes_room() -> None:
    admission = Admission[int](1)
    admission.admit(1, "here")
    admission.leave(1)
    admission.leave(1)
    assert admission.admit(2, "there") is None
    assert len(admission) == 1


@given(st.integers(1, 5), st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=60))
def test_no_party_loses_while_another_has_more(most: int, steps: list[tuple[bool, str]]) -> None:
    admission = Admission[int](most)
    inside: dict[int, str] = {}
    for guest, (comes, home) in enumerate(steps):
        if not comes:
            for leaver in [known for known, where in inside.items() if where == home][:1]:
                admission.leave(leaver)
                del inside[leaver]
            continue
        evicted = admission.admit(guest, home)
        inside[guest] = home
        sizes = Counter(inside.values())
        if evicted is None:
            assert len(inside) <= most
        else:
            assert len(inside) == most + 1
            assert sizes[inside[evicted]] == max(sizes.values())
            assert evicted == min(known for known, where in inside.items() if where == inside[evicted])
            del inside[evicted]
        assert len(admission) == len(inside)
