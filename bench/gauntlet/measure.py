"""What the recorder saw, made into figures. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.gauntlet.scenario import Expect, Scenario

LOW = 0.05
"""The machine is unwell where less of its memory than this is available, and less of its swap free..."""
STALLED = 0.2
"""...or where everybody waited for more than this share of the last second."""
QUIET = 2.0
"""It is well again where it was well for so long, at the end."""
KIB_PER_MIB = 1024
MICRO = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One reading, twenty a second."""

    at: float
    """Seconds since the hogs were started."""
    available: int
    """KiB, as is swap_free."""
    swap_free: int
    some: float
    """Seconds of stall since boot, as is full."""
    full: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How an innocent process fared that touches its memory every 20 ms; in seconds."""

    longest: float
    """The longest gap between two touches."""
    late: float
    """What all noticeable gaps came to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One run, in figures."""

    seconds: float
    full: float
    """Stall while the run lasted, in seconds; as is `some`."""
    some: float
    probes: Mapping[str, Probe]
    unwell: float | None
    """From when the machine was first unwell to when it last was; None: it still was at the end."""
    least_available: int
    """MiB."""
    first_death: float | None
    """When the first hog was ended; None: none was."""
    hogs_ended: int
    innocents_dead: tuple[str, ...]
    """Their names, in the order of their deaths; a newcomer is a service that came back to be ended again."""
    kernel_kills: int
    guard_rss: int
    """KiB, of all its processes."""
    guard_cpu: float
    """Seconds."""
    guard_faults: int
    """Major ones."""
    recorder_gap: float
    """The longest time between two samples: how far the other figures can be trusted."""
    full_before: float | None = None
    """Of `full`, what came before the first hog's end; None: there was none, or this was not kept yet."""
    told_stall: float | None = None
    """For how long the bystanders had waited when the first signal was sent, as oomguard says; in seconds.
    None: no signal, or another guard, or a run from before this was kept."""


def measure(results: Iterable[Mapping[str, Any]], scenario: Scenario) -> Figures:
    """The figures of a run from the recorder's lines; ValueError where they are not all there."""
    lines = [(kind, value) for result in results for kind, value in result.items()]
    singles = dict(lines)
    if missing := {"recorder", "guard", "sample"} - singles.keys():
        raise ValueError(f"the recorder did not get to tell: {', '.join(sorted(missing))}")
    samples = [_sample(value) for kind, value in lines if kind == "sample"]
    deaths = [value for kind, value in lines if kind == "death"]
    probes = [value for kind, value in lines if kind == "probe"]
    hogs = [death for death in deaths if death["hog"]]
    recorder, guard = singles["recorder"], singles["guard"]
    first_death = min((death["at"] for death in hogs), default=None)
    return Figures(
        seconds=recorder["seconds"],
        full=round(samples[-1].full - samples[0].full, 2),
        some=round(samples[-1].some - samples[0].some, 2),
        probes={each["name"]: Probe(longest=each["longest"], late=each["late"]) for each in probes},
        unwell=unwell(samples, memory=scenario.memory, swap=scenario.swap),
        least_available=min(sample.available for sample in samples) // KIB_PER_MIB,
        first_death=first_death,
        hogs_ended=len(hogs),
        innocents_dead=tuple(_name(death) for death in deaths if not death["hog"]),
        kernel_kills=recorder["kernel_kills"],
        guard_rss=guard["rss_kib"],
        guard_cpu=guard["cpu_us"] * MICRO,
        guard_faults=guard["faults"],
        recorder_gap=recorder["gap"],
        full_before=None if first_death is None else _full_before(samples, first_death),
    )


def _full_before(samples: Sequence[Sample], at: float) -> float:
    """The full stall until `at`; a death may be older than the first sample."""
    stalls = (sample.full - samples[0].full for sample in samples if sample.at <= at)
    return round(max(stalls, default=0.0), 2)


def told_stall(output: str) -> float | None:
    """What the document of `oomguard status --json` within `output` says with the first signal."""
    start = output.find("\n{\n")
    if start < 0:
        return None
    document, _ = json.JSONDecoder().raw_decode(output, start + 1)
    stalls = [event["figures"]["stall"] for event in document["events"] if event["kind"] == "killing"]
    return round(stalls[0], 2) if stalls else None


def unwell(samples: Sequence[Sample], memory: int, swap: int) -> float | None:
    """How long it was from the first bad moment to the last, in seconds; None: the end was bad as well."""
    stalled = set[float]()
    second_ago = 0
    for index, sample in enumerate(samples):
        while sample.at - samples[second_ago].at > 1:
            second_ago += 1
        start = samples[second_ago]
        if index > second_ago and sample.full - start.full > STALLED:
            stalled.add(sample.at)
    low, low_swap = LOW * memory * KIB_PER_MIB, LOW * swap * KIB_PER_MIB
    bad = [
        sample.at
        for sample in samples
        if sample.at in stalled or (sample.available < low and sample.swap_free <= low_swap)
    ]
    if not bad:
        return 0.0
    if samples[-1].at - bad[-1] < QUIET:
        return None
    return round(bad[-1] - bad[0], 2)


def right(figures: Figures, expect: Expect) -> bool:
    """Whether those died who should have, and nobody else."""
    if figures.innocents_dead:
        return False
    match expect:
        case Expect.ENDS:
            return figures.hogs_ended > 0 and figures.unwell is not None
        case Expect.SPARES:
            return figures.hogs_ended == 0
        case Expect.MAY_END:
            return True
        case Expect.LEAVES_IT:
            return figures.hogs_ended == figures.kernel_kills


def _sample(value: Sequence[float]) -> Sample:
    at, available, swap_free, some, full = value
    return Sample(
        at=at, available=int(available), swap_free=int(swap_free), some=some * MICRO, full=full * MICRO
    )


def _name(death: Mapping[str, Any]) -> str:
    """What people know a dead process by: its service, or its own name."""
    group: str = death["cgroup"].rpartition("/")[2]
    name: str = group.removesuffix(".service") if group.endswith(".service") else death["comm"]
    return name
