from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard import wording
from oomguard.entry import Entry, MessageId, Priority, entry, lost, not_stopped, with_tmpfs
from oomguard.episode import Outcome, Sent
from oomguard.event import Event, KernelKilled, Lifecycle, Mode
from oomguard.pressure import Reason
from oomguard.storm import Obstacle, Response
from oomguard.units import Bytes, Pid
from tests.builders import enclosed
from tests.telling import HOSTILE, ended, holding, killing, lifecycle, one_of_each, person, storming

WALL = 1700000000.25


def of(event: Event) -> Entry:
    return entry(event, WALL)


@pytest.mark.parametrize(
    ("event", "priority"),
    [
        (killing(person()), Priority.ERROR),
        (killing(person(), mode=Mode.DRY_RUN), Priority.WARNING),
        (ended(person(), Outcome.RECOVERED), Priority.NOTICE),
        (ended(person(), Outcome.NOT_ENOUGH), Priority.WARNING),
        (ended(person(), Outcome.HUNG), Priority.ERROR),
        (holding(person()), Priority.WARNING),
        (storming(), Priority.ERROR),
        (storming(mode=Mode.DRY_RUN), Priority.WARNING),
        (KernelKilled(kills=1), Priority.ERROR),
        (lifecycle(Lifecycle.STARTED), Priority.INFO),
        (lifecycle(Lifecycle.RELOAD_REFUSED), Priority.ERROR),
    ],
)
def test_priority(event: Event, priority: Priority) -> None:
    assert of(event).priority is priority


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_has_an_entry(outcome: Outcome) -> None:
    assert ("OOMGUARD_OUTCOME", outcome) in of(ended(person(), outcome)).fields


def test_each_kind_of_event_has_its_own_message_id() -> None:
    ids = [of(event).message_id for event in one_of_each("x")]
    ids += [lost(1).message_id, not_stopped("a.service", "x").message_id]
    assert sorted(ids) == sorted(MessageId)
    assert {UUID(value).version for value in MessageId} == {4}


def test_the_message_is_the_sentence() -> None:
    for event in one_of_each("x"):
        assert of(event).message == wording.sentence(event)


def test_a_kill_has_all_its_figures() -> None:
    event = killing(
        person(rules=("one", "two")), sent=Sent.KILL, reasons=(Reason.LOW_MEMORY, Reason.STALL), members=3
    )
    who = wording.who(person())
    assert of(event).fields == (
        ("OOMGUARD_TIME", "1700000000.250000"),
        ("OOMGUARD_MODE", "enforce"),
        ("OOMGUARD_SENT", "kill"),
        ("OOMGUARD_LEVEL", "term"),
        ("OOMGUARD_REASON", "low_memory"),
        ("OOMGUARD_REASON", "stall"),
        ("OOMGUARD_POLICY", "kernel"),
        ("OOMGUARD_SCOPE", "cgroup"),
        ("OOMGUARD_MEMBERS", "3"),
        ("OOMGUARD_VICTIM_PID", "1234"),
        ("OOMGUARD_VICTIM_STARTTIME", "99"),
        ("OOMGUARD_VICTIM_COMM", "java"),
        ("OOMGUARD_VICTIM_UID", "998"),
        ("OOMGUARD_VICTIM_RSS_BYTES", "851443712"),
        ("OOMGUARD_VICTIM_SWAP_BYTES", "524288"),
        ("OOMGUARD_VICTIM_POINTS", "4321"),
        ("OOMGUARD_VICTIM_OOM_SCORE_ADJ", "-17"),
        ("OOMGUARD_VICTIM_STANDING", "prefer"),
        ("OOMGUARD_VICTIM_RULE", "one"),
        ("OOMGUARD_VICTIM_RULE", "two"),
        ("OOMGUARD_VICTIM_UNIT", "tomcat.service"),
        ("OBJECT_SYSTEMD_UNIT", "tomcat.service"),
        ("OOMGUARD_RUNNER_UP", who),
        ("OOMGUARD_KERNEL_CHOICE", who),
        ("OOMGUARD_REACTION_SECONDS", "0.002500"),
        ("OOMGUARD_AVAILABLE_BYTES", "94371840"),
        ("OOMGUARD_AVAILABLE_LIMIT_BYTES", "104857600"),
        ("OOMGUARD_SWAP_FREE_BYTES", "5242880"),
        ("OOMGUARD_SWAP_LIMIT_BYTES", "52428800"),
        ("OOMGUARD_STALL_SECONDS", "2.500"),
        ("OOMGUARD_STALL_OF", "bystanders"),
        ("OOMGUARD_STALL_BUDGET_SECONDS", "2.000"),
        ("OOMGUARD_EXHAUSTED_IN_SECONDS", "1.500"),
        ("OOMGUARD_BACKLOG_SECONDS", "0.500"),
        ("OOMGUARD_COMMITTED_BYTES", "734003200"),
        ("OOMGUARD_COMMIT_LIMIT_BYTES", "838860800"),
    )


def test_without_a_choice_of_the_kernel_there_is_no_field_for_it() -> None:
    names = {name for name, _ in of(replace(killing(person()), kernel_choice=None)).fields}
    assert "OOMGUARD_KERNEL_CHOICE" not in names


@pytest.mark.parametrize(
    ("unit", "fields"),
    [
        (None, {}),
        ("dev-sda\\x2d1.mount", {"OBJECT_SYSTEMD_UNIT": "dev-sda\\x2d1.mount"}),
        ("a b.service", {}),
        (HOSTILE, {}),
    ],
)
def test_only_what_can_be_a_unit_is_filed_under_the_unit(unit: str | None, fields: dict[str, str]) -> None:
    found = dict(of(killing(person(unit=unit))).fields)
    assert {name: value for name, value in found.items() if name.startswith("OBJECT")} == fields
    assert ("OOMGUARD_VICTIM_UNIT" in found) == (unit is not None)


@given(st.text(st.characters(codec=None), max_size=20) | st.just(HOSTILE))
def test_no_name_forges_a_line_or_a_field(name: str) -> None:
    for event in one_of_each(name):
        for field, value in of(event).fields:
            assert re.fullmatch(r"(OOMGUARD|OBJECT)_[A-Z_]+", field)
            assert value.isprintable()
            value.encode()


def test_a_storm_has_all_its_figures() -> None:
    assert of(storming(action=Response.STOP_UNIT)).fields == (
        ("OOMGUARD_TIME", "1700000000.250000"),
        ("OOMGUARD_MODE", "enforce"),
        ("OOMGUARD_STORM_ACTION", "stop-unit"),
        ("OOMGUARD_STORM_KILLS", "3"),
        ("OOMGUARD_STORM_WITHIN_SECONDS", "600.000"),
        ("OOMGUARD_VICTIM_COMM", "java"),
        ("OOMGUARD_VICTIM_UID", "998"),
        ("OOMGUARD_VICTIM_UNIT", "cache.service"),
        ("OBJECT_SYSTEMD_UNIT", "cache.service"),
    )


def test_a_storm_without_a_unit_says_where_it_comes_from() -> None:
    found = dict(of(storming(None, obstacle=Obstacle.NO_UNIT, cgroup="/a\n", parent=Pid(812))).fields)
    assert found["OOMGUARD_STORM_OBSTACLE"] == "no_unit"
    assert (found["OOMGUARD_VICTIM_CGROUP"], found["OOMGUARD_VICTIM_PARENT"]) == (r"/a\n", "812")


def test_a_unit_that_could_not_be_stopped() -> None:
    item = not_stopped("cache.service", "there is no systemctl")
    assert item.priority is Priority.ERROR
    assert item.message == "cache.service could not be stopped: there is no systemctl."
    assert ("OBJECT_SYSTEMD_UNIT", "cache.service") in item.fields


def test_a_hold_says_who_holds_the_memory() -> None:
    held = [value for name, value in of(holding(person())).fields if name == "OOMGUARD_HELD"]
    assert held == ["shared_memory=671088640", "slab=26214400"]


def test_a_hold_says_where_the_files_are() -> None:
    item = of(holding(person()))
    told = with_tmpfs(item, (("/dev/shm", Bytes(600 << 20)), (HOSTILE, Bytes(12 << 20))))
    first, second = (value for name, value in told.fields if name == "OOMGUARD_TMPFS")
    assert first == '"/dev/shm" (600 MiB)'
    assert second.isprintable()
    assert told.message == f"{item.message} The biggest tmpfs: {first}, {second}."
    assert told.fields[: len(item.fields)] == item.fields
    assert with_tmpfs(item, ()) == item


def test_the_documentation_has_every_message_id_and_field() -> None:
    page = (Path(__file__).parents[1] / "docs/telling.md").read_text()
    fields = {name for event in one_of_each("x") for name, _ in of(event).fields}
    fields |= {"OOMGUARD_LOST", "OOMGUARD_TMPFS"}
    assert [value for value in MessageId if value not in page] == []
    shown = {name: re.sub("^OOMGUARD(_VICTIM)?", "", name) for name in fields}
    assert [name for name, short in shown.items() if name not in page and f"`{short}`" not in page] == []


def test_the_figures_of_a_control_group_come_with_its_name() -> None:
    event = replace(killing(person()), figures=enclosed(f"/{HOSTILE}", used=95, limit=100).figures)
    fields = dict(of(event).fields)
    assert fields["OOMGUARD_CGROUP"].isprintable()
    assert (fields["OOMGUARD_CGROUP_ENTRY"], fields["OOMGUARD_CGROUP_LIMIT_BYTES"]) == ("pens", "104857600")
    assert "OOMGUARD_CGROUP" not in dict(of(killing(person())).fields)
