from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard import wording
from oomguard.episode import Outcome, Sent
from oomguard.event import Degraded, Event, Failed, KernelKilled, Lifecycle, Mode
from oomguard.holders import Holder
from oomguard.plan import HoldReason
from oomguard.pressure import Figures, Phase, Reason, StallOf
from oomguard.state import State
from oomguard.storm import Obstacle, Response
from oomguard.units import Bytes, Pid, Seconds
from tests.builders import enclosed
from tests.telling import (
    HOSTILE,
    ended,
    figures,
    holding,
    killing,
    lifecycle,
    one_of_each,
    person,
    phase_changed,
    state,
    storming,
)

JAVA = '"java" (pid 1234, tomcat.service, uid 998, 812 MiB and 512 KiB of swap)'
LOW = "memory is low (90 MiB available, limit 100 MiB, 5 MiB of swap free, limit 50 MiB)"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (killing(person()), f"Asked to end: {JAVA}, as {LOW}."),
        (killing(person(), sent=Sent.KILL), f"Killed: {JAVA}, as {LOW}."),
        (killing(person(), mode=Mode.DRY_RUN), f"Would have asked to end: {JAVA}, as {LOW}."),
        (killing(person(), mode=Mode.DRY_RUN, sent=Sent.KILL), f"Would have killed: {JAVA}, as {LOW}."),
        (killing(person(), members=4), f"Asked to end: {JAVA} and 3 more of its cgroup, as {LOW}."),
        (
            killing(person(), reasons=(Reason.STALL, Reason.COMMIT_LIMIT)),
            f"Asked to end: {JAVA}, as bystanders waited 2.5 s for memory (budget 2.0 s) and nearly "
            "all memory that may be promised is promised (700 MiB of 800 MiB).",
        ),
        (
            replace(killing(person(unit=None)), victim=replace(person(unit=None), swap=Bytes(0))),
            f'Asked to end: "java" (pid 1234, uid 998, 812 MiB), as {LOW}.',
        ),
        (
            ended(person(), Outcome.RECOVERED),
            f"{JAVA} ended, and no limit is crossed any more; 300 MiB more available after 0.8 s.",
        ),
        (
            ended(person(), Outcome.HUNG, -3 << 20),
            f"{JAVA} did not end in time and is passed over; 3 MiB less available after 0.8 s.",
        ),
        (
            replace(ended(person(), Outcome.RECOVERED), mode=Mode.DRY_RUN),
            f"In dry run: {JAVA} ended, and no limit is crossed any more; "
            "300 MiB more available after 0.8 s.",
        ),
        (
            holding(person()),
            "Nobody is killed though bystanders waited 2.5 s for memory (budget 2.0 s): everybody "
            f"is protected, by the kernel's law or by the rules. The biggest of the spared is {JAVA}.",
        ),
        (
            replace(holding(person(), HoldReason.FUTILE), reasons=(Reason.LOW_MEMORY,), biggest=()),
            f"Nobody is killed though {LOW}: killing does not help; memory is held by tmpfs and shared "
            "memory (640 MiB), the kernel's slab (25 MiB).",
        ),
        (
            replace(holding(person(), HoldReason.NOTHING_TO_GAIN), reasons=(Reason.LOW_MEMORY,), held=()),
            f"Nobody is killed though {LOW}: nobody who is left holds enough memory for it to help. "
            f"The biggest of the spared is {JAVA}.",
        ),
        (
            storming(),
            "Restart storm: processes of cache.service were ended 3 times within 10 min; "
            'it is left alone (storm.action = "alert").',
        ),
        (
            storming(action=Response.STOP_UNIT),
            "Restart storm: processes of cache.service were ended 3 times within 10 min; "
            'the unit is being stopped (storm.action = "stop-unit").',
        ),
        (
            storming(action=Response.STOP_UNIT, mode=Mode.DRY_RUN),
            "Restart storm in dry run: processes of cache.service would have been ended 3 times within "
            '10 min; the unit would be stopped (storm.action = "stop-unit").',
        ),
        (
            replace(storming(obstacle=Obstacle.PROTECTED), within=Seconds(45.0)),
            "Restart storm: processes of cache.service were ended 3 times within 45 s; "
            "it is left alone, as somebody in it may not die.",
        ),
        (
            storming(None, obstacle=Obstacle.NO_UNIT, cgroup='/a"\n'),
            r'Restart storm: processes of the control group "/a\"\n" were ended 3 times within 10 min; '
            "it is left alone, as it has no unit that may be stopped.",
        ),
        (
            storming(None, parent=Pid(812)),
            'Restart storm: children of pid 812 such as "java" (uid 998) were ended 3 times within 10 min; '
            'it is left alone (storm.action = "alert").',
        ),
        (
            storming(None),
            'Restart storm: orphans such as "java" (uid 998) were ended 3 times within 10 min; '
            'it is left alone (storm.action = "alert").',
        ),
        (
            phase_changed(Phase.ARMED, Reason.EXHAUSTION_FORECAST),
            "Watching closely as memory lasts 1.5 s more at this pace (90 MiB available); 90 MiB available.",
        ),
        (phase_changed(Phase.CALM), "Calm; 90 MiB available."),
        (
            KernelKilled(kills=2),
            "The kernel itself killed for want of memory; kills since this was last told: 2.",
        ),
        (lifecycle(Lifecycle.STARTED), "Started."),
        (
            lifecycle(Lifecycle.RELOAD_REFUSED, 'a.toml: mode: not "x"'),
            'The new configuration is refused, the old one stays in force: a.toml: mode: not "x"',
        ),
        (Degraded(text="no PSI"), "Missing on this host: no PSI"),
        (Failed(text="ValueError"), "An error of oomguard's own, please report it: ValueError"),
    ],
)
def test_sentence(event: Event, words: str) -> None:
    assert wording.sentence(event) == words


def test_without_a_swap_limit_swap_is_not_mentioned() -> None:
    words = wording.because((Reason.LOW_MEMORY,), replace(figures(), swap_limit=Bytes(0)))
    assert words == "memory is low (90 MiB available, limit 100 MiB)"


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_words(reason: Reason) -> None:
    others = {wording.because((other,), figures()) for other in Reason if other is not reason}
    assert wording.because((reason,), figures()) not in others


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (wording.OUTCOMES, Outcome),
        (wording.HOLDS, HoldReason),
        (wording.HOLDERS, Holder),
        (wording.OBSTACLES, Obstacle),
        (wording.PHASES, Phase),
        (wording.LIFECYCLE, Lifecycle),
    ],
)
def test_each_value_has_words(words: dict[str, str], values: type[str]) -> None:
    assert set(words) == set(values)  # type: ignore[call-overload]  # an enumeration's class is iterable
    assert len(set(words.values())) == len(words)


def test_a_unit_that_could_not_be_stopped() -> None:
    assert wording.not_stopped("a\n.service", "it\nis not there") == (
        r"a\n.service could not be stopped: it\nis not there."
    )


def test_mounts() -> None:
    found = (("/dev/shm", Bytes(600 << 20)), ('/a" (1 MiB), \n', Bytes(512)))
    assert wording.mounts(found) == ('"/dev/shm" (600 MiB)', '"/a\\" (1 MiB), \\n" (0 KiB)')


@given(st.text(st.characters(codec=None), max_size=20) | st.just(HOSTILE))
def test_no_name_leaves_its_line_or_its_quotes(name: str) -> None:
    for event in one_of_each(name):
        words = wording.sentence(event)
        assert words.isprintable()
        words.encode()
    words = wording.sentence(killing(person(comm=name)))
    assert re.match(r'Asked to end: "([^"\\]|\\.)*" \(pid 1234, ', words)


@pytest.mark.parametrize(
    ("given_state", "words"),
    [
        (
            state(),
            "Calm; 90 MiB available (limit 100 MiB), stalled 0.0 s (budget 2.0 s); 17 candidates.",
        ),
        (
            replace(state(mode=Mode.DRY_RUN, phase=Phase.ACTING), psi=False, config_ok=False),
            "Dry run. Acting; 90 MiB available (limit 100 MiB), stalls unknown; 17 candidates. "
            "The last configuration was refused.",
        ),
    ],
)
def test_status(given_state: State, words: str) -> None:
    assert wording.status(given_state) == words


def test_whose_stall_it_was() -> None:
    event = killing(person(), reasons=(Reason.STALL,))
    told = wording.sentence(replace(event, figures=replace(event.figures, stall_of=StallOf.ANYONE)))
    assert "as the whole host waited 2.5 s for memory (budget 2.0 s)" in told


PENS = enclosed('/pens/"\n', used=95, limit=100).figures


@pytest.mark.parametrize(
    ("reason", "figures", "words"),
    [
        (Reason.CGROUP_LIMIT, figures(), "a control group is at its memory limit"),
        (Reason.CGROUP_STALL, figures(), "a control group waits for memory"),
        (
            Reason.CGROUP_LIMIT,
            PENS,
            r'the control group "/pens/\"\n" is at its memory limit (95 MiB used of 100 MiB)',
        ),
        (
            Reason.CGROUP_STALL,
            PENS,
            r'the control group "/pens/\"\n" waited 1.5 s for memory (budget 1.0 s)',
        ),
    ],
)
def test_control_groups(reason: Reason, figures: Figures, words: str) -> None:
    assert wording.because((reason,), figures) == words


def test_the_swap_of_a_control_group() -> None:
    assert PENS.group is not None
    group = replace(PENS.group, path="/a", swap_used=Bytes(7 << 20), swap_limit=Bytes(9 << 20))
    words = wording.because((Reason.CGROUP_LIMIT,), replace(PENS, group=group))
    assert words.endswith("(95 MiB used of 100 MiB, and 7 MiB of 9 MiB of swap)")
