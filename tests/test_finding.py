from __future__ import annotations

import pytest

from oomguard.finding import Severity, Topic, is_well, note, problem, warning, well, worst_first

WELL, NOTE = well(Topic.GUARD, "Well."), note(Topic.SWAP, "Noted.")
WARNING, PROBLEM = warning(Topic.KERNEL, "Hm.", "Do."), problem(Topic.LIMITS, "Oh.", "Do.")


def test_each_says_how_much_it_matters() -> None:
    found = (WELL, NOTE, WARNING, PROBLEM)
    assert tuple(one.severity for one in found) == tuple(Severity)
    assert [one.remedy for one in found] == ["", "", "Do.", "Do."]


def test_the_worst_come_first_and_equals_as_they_came() -> None:
    another = warning(Topic.SWAP, "Hm too.")
    assert worst_first((WELL, WARNING, NOTE, another, PROBLEM)) == (PROBLEM, WARNING, another, NOTE, WELL)


@pytest.mark.parametrize(
    ("found", "is_fine"),
    [((), True), ((WELL, NOTE), True), ((WELL, WARNING), False), ((PROBLEM, NOTE), False)],
)
def test_well_is_what_needs_nobody(found: tuple[object, ...], is_fine: bool) -> None:
    assert is_well(found) is is_fine  # type: ignore[arg-type]
