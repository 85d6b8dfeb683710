from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from oomguard import roster
from oomguard.plan import RUNNERS_UP
from oomguard.units import Points
from tests.telling import HOSTILE, killing, person


def test_the_ranking_is_a_table() -> None:
    event = replace(
        killing(person(rules=("a", "b"))),
        runners_up=(replace(person("ld", None), points=Points(7)),),
        kernel_choice=person("mysqld", "mysql.service"),
    )
    assert roster.ranking(event) == (
        "  place   points   pid  uid      rss     swap  adj  standing  process",
        '  victim    4321  1234  998  812 MiB  512 KiB  -17  prefer    "java", tomcat.service, rules a b',
        '  2            7  1234  998  812 MiB  512 KiB  -17  prefer    "ld"',
        '  kernel    4321  1234  998  812 MiB  512 KiB  -17  prefer    "mysqld", mysql.service',
    )


def test_without_a_choice_of_the_kernel_there_is_no_line_for_it() -> None:
    event = replace(killing(person()), runners_up=(), kernel_choice=None)
    assert len(roster.ranking(event)) == 2


@given(
    st.text(st.characters(codec=None), max_size=300) | st.just(HOSTILE),
    st.lists(st.text(st.characters(codec=None), max_size=100), max_size=64),
)
def test_no_name_leaves_its_line_and_the_table_is_bounded(name: str, rules: list[str]) -> None:
    someone = person(comm=name[:15], unit=name, rules=tuple(rules))
    rows = roster.ranking(replace(killing(someone), runners_up=(someone,) * RUNNERS_UP))
    assert len(rows) == RUNNERS_UP + 3
    assert all(row.isprintable() for row in rows)
    assert sum(map(len, rows)) < 32 * 1024
