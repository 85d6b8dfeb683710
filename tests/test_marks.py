from __future__ import annotations

import pytest

from oomguard.marks import FREE, UNMARKED, Allegiance, Marks, Preference, allegiance, dies_with, heeding, line
from oomguard.rules import Standing
from tests.builders import verdict

NONE, AVOID, OMIT = Preference
TOGETHER = Marks(preference=NONE, oom_group=True)


def said(**marks: Marks) -> Allegiance:
    """Of who is in /a/b/c, by what is said of its groups."""
    return allegiance("/a/b/c", lambda group: marks.get(group.strip("/").replace("/", "_"), UNMARKED))


def prefers(preference: Preference) -> Marks:
    return Marks(preference=preference, oom_group=False)


@pytest.mark.parametrize(
    ("path", "groups"),
    [("/", []), ("/a", ["/a"]), ("/a/b", ["/a/b", "/a"]), ("//", [])],
)
def test_line(path: str, groups: list[str]) -> None:
    assert list(line(path)) == groups


@pytest.mark.parametrize(
    ("found", "preference"),
    [
        (said(), NONE),
        (said(a_b_c=prefers(AVOID)), AVOID),
        (said(a=prefers(AVOID)), AVOID),
        (said(a_b=prefers(OMIT), a_b_c=prefers(AVOID)), OMIT),
        (said(a=prefers(AVOID), a_b=prefers(OMIT)), OMIT),
        (said(a_x=prefers(OMIT)), NONE),
    ],
)
def test_the_strongest_preference_counts(found: Allegiance, preference: Preference) -> None:
    assert found.preference is preference


def test_groups_that_die_as_one_are_told_from_the_outermost_on() -> None:
    assert said(a_b_c=TOGETHER, a=TOGETHER).oom_groups == ("/a", "/a/b/c")
    assert said() is FREE


@pytest.mark.parametrize(
    ("within", "group"),
    [("/", "/a"), ("/a", "/a"), ("/a/b", "/a/b/c"), ("/a/b/c", "/a/b/c"), ("/a/b/c/d", None), ("/x", None)],
)
def test_the_outermost_that_is_not_above_what_is_short(within: str, group: str | None) -> None:
    assert dies_with(("/a", "/a/b/c"), within) == group
    assert dies_with((), within) is None


@pytest.mark.parametrize(
    ("preference", "before", "after"),
    [
        (NONE, Standing.ORDINARY, Standing.ORDINARY),
        (NONE, Standing.PREFERRED, Standing.PREFERRED),
        (AVOID, Standing.ORDINARY, Standing.LAST),
        (AVOID, Standing.PREFERRED, Standing.LAST),
        (AVOID, Standing.NEVER, Standing.NEVER),
        (OMIT, Standing.ORDINARY, Standing.NEVER),
        (OMIT, Standing.LAST, Standing.NEVER),
    ],
)
def test_a_preference_is_heeded_and_named(preference: Preference, before: Standing, after: Standing) -> None:
    found = heeding(verdict(before), Allegiance(preference=preference, oom_groups=()))
    assert found.standing is after
    assert found.rules == (() if preference is NONE else (f"ManagedOOMPreference={preference}",))


def test_what_was_not_read_yet_leaves_the_verdict_open() -> None:
    assert heeding(verdict(), None).unresolved
    assert not heeding(verdict(), FREE).unresolved
