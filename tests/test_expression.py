from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oomguard.expression import compile_bounded
from oomguard.names import LONGEST

COSTLY = [
    "(a+)+b",
    "(a*)*b",
    "(?:a+)*b",
    "(a|a)*b",
    "(a|ab)*c",
    "(ab?)*c",
    "(?:a|aa)+b",
    "(?:a|aa){40}b",
    "(a?){24}b",
    "a?" * 40 + "b",
    "(?:a{1,30}){1,30}b",
    "((a{0,9}){0,9}){0,9}b",
    "(?i)(?:ab|Ab|aB|AB){30}c",
    ".*.*.*",
    ".*x.*y.*",
    "a{0,4000}a{0,4000}a{0,4000}b",
    "a{17,}a{17,}a{17,}b",
    ".*.*[ab]{64}c",
    ".*.*" + "[ab]" * 30 + "c",
    "(a)*(a)*(a)*b",
    ".*?.*?.*?b",
    "(?=(a+)+b).*",
    "(?!.*.*.*b).*",
    "(?:(?=.*a)a)*(?:(?=.*a)a)*b",
    "(?:(a+)+)?+b",
    "(?>(a+)+)b",
    "(?:" * 9 + "a?" + "){0,4000}" * 9,
    "(?:a*+b?)*c",
]

ALLOWED = [
    "/usr/bin/python3(\\.[0-9]+)?",
    "/usr/(s?bin|lib)/[a-z0-9_-]+",
    ".*/(postgres|mysqld|mariadbd)( .*)?",
    "/docker/[0-9a-f]{64}",
    "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "(?i)chrom(e|ium)(-[a-z]+)?",
    "(a|b|c)*",
    "(?:ab|cd)*",
    "(?:ab|cd|ef)*.*",
    ".*foo.*bar",
    "(?!/usr/).*",
    "(?=.*a)(?=.*b).*",
    "(?>a+)b",
    "a++b",
    r"\bfoo\b.*",
    "[^/]*/[^/]*",
]

NEARLY_TOO_COSTLY = [
    ".*.*[xy]",
    "[ab]*a[ab]*[cd]",
    "(?i)[a-z]*[a-z]*!",
    ".*.*aaaaaaaaab",
    ".*?.*?[xy]",
    "(?:aa)*(?:aa)*b",
    "(?=.*.*[xy]).*.*[xy]",
    "(?:a|aa){1,20}c",
    "(?:a?a?){11}c",
    "(a)*.*[xy]",
    ".{0,4000}.{0,4000}[xy]",
    "(?:(?=.*a)a)*.*b",
]


@pytest.mark.parametrize("text", COSTLY)
def test_what_may_take_too_long_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"can take too long on a hostile name: use .*; or write a glob"):
        compile_bounded(text)


@pytest.mark.parametrize("text", ALLOWED)
def test_what_people_write_is_allowed(text: str) -> None:
    assert compile_bounded(text) == re.compile(text, re.DOTALL)


@pytest.mark.parametrize("text", NEARLY_TOO_COSTLY)
def test_the_costliest_that_are_allowed_cost_little_more_than_two_repeats(text: str) -> None:
    hostile = ["a" * LONGEST, "ab" * (LONGEST // 2), "aab" * (LONGEST // 3), "/a " * (LONGEST // 3)]
    yardstick = _quickest(".*.*[xy]", "a" * LONGEST)
    assert max(_quickest(text, name) for name in hostile) < 5 * yardstick


def _quickest(text: str, name: str) -> float:
    """Of three tries: on a busy machine any one of them may take several times as long."""
    return min(_seconds(text, name) for _ in range(3))


def _seconds(text: str, name: str) -> float:
    regex = compile_bounded(text)
    began = time.process_time()
    regex.fullmatch(name, 0, LONGEST)
    return time.process_time() - began


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: f"(?:{'|'.join(some)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2,9}", "{3}", "*?", "*+"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        inner.map(lambda text: f"(?={text})"),
    )


SHORT = 1024
SMALL = st.recursive(st.sampled_from(["a", "b", ".", "[ab]", "ab"]), _grown, max_leaves=10)


@pytest.fixture(scope="module")
def yardstick() -> float:
    return _quickest(".*.*[xy]", "a" * SHORT)


@settings(max_examples=200, deadline=None)
@given(text=SMALL)
def test_nothing_that_is_allowed_runs_away(yardstick: float, text: str) -> None:
    try:
        compile_bounded(text + "!")
    except ValueError:
        return
    for name in ("a" * SHORT, "ab" * (SHORT // 2)):
        assert _quickest(text + "!", name) < 8 * yardstick
