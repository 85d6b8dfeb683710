"""The runbook has a section for all that can be asked of it."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest

from oomguard.episode import Outcome
from oomguard.event import Mode
from oomguard.plan import HoldReason
from oomguard.pressure import Phase, Reason
from tests.shipped import REPOSITORY, RULES, RUNBOOK, rules, sections

ALERTS = [alert.name for alert in rules(RULES / "alerts.yml", "alert")]
BLOCKS = {
    block.partition("\n")[0]: block
    for block in re.split(r"^#+ ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
}
WORDS = [*Reason, *HoldReason, *Outcome]


@pytest.mark.parametrize("title", [*ALERTS, *WORDS])
def test_a_section_says_what_it_means_and_what_to_do(title: str) -> None:
    block = BLOCKS[title]
    assert "- **Means** " in block
    assert re.search(r"- \*\*Look\*\* (.+\n)+- \*\*Do\*\* |- \*\*Look\*\* and \*\*Do\*\* ", block)


@pytest.mark.parametrize("words", [Phase, Mode], ids=lambda words: words.__name__)
def test_states_are_explained(words: type[StrEnum]) -> None:
    told = BLOCKS["What it does when"] + BLOCKS["Dry run"]
    assert {word.value for word in words if word.value not in told} == set()


def test_there_is_no_section_of_what_is_gone() -> None:
    titles = set(re.findall(r"^### (.+)$", RUNBOOK.read_text(), flags=re.MULTILINE))
    assert titles == {*ALERTS, *WORDS}


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", RUNBOOK.read_text()):
        file, _, section = target.partition("#")
        assert not file or (REPOSITORY / "docs" / file).exists(), target
        assert not section or section in sections(), target


@pytest.mark.parametrize(
    "note",
    [
        "cannot lock the guard in memory",
        "the kernel may kill the guard itself",
        "the guard has to wait its turn for the CPU",
        "no alarm for stalls",
        "nobody can be signalled",
        "only this guard's own helpers can read its record",
        "the exporter cannot be started",
    ],
)
def test_what_may_be_missing_is_in_the_words_of_the_guard(note: str) -> None:
    modules = (REPOSITORY / f"oomguard/{module}.py" for module in ("resident", "start", "companion"))
    assert any(note in module.read_text() for module in modules)
    assert f"| {note}" in BLOCKS["What is missing"]
