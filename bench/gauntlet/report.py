"""docs/gauntlet.md and its pictures, made from the rows. Pure but for `write`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.gauntlet import chart
from bench.gauntlet.chart import Group
from bench.gauntlet.guards import GUARDS, Guard
from bench.gauntlet.measure import Figures, right
from bench.gauntlet.rows import Row, latest
from bench.gauntlet.scenario import Expect, Scenario, scenarios
from bench.gauntlet.spread import Spread, spell, spread

Cells = Mapping[tuple[str, str], Sequence[Row]]
"""The runs of a scenario under a guard."""
NOT_RUN = ""
MIB = 1024
EXPECTED = {
    Expect.ENDS: "who eats the memory is ended, nobody else, and the machine is well again",
    Expect.SPARES: "nobody is ended",
    Expect.MAY_END: "nobody but who fills the memory is ended",
    Expect.LEAVES_IT: "the kernel ends the service at its limit, and the guard nobody",
}
Column = tuple[str, Callable[[Sequence[Figures]], str]]


def _of(
    figure: Callable[[Figures], float | None], never: str = "never"
) -> Callable[[Sequence[Figures]], str]:
    return lambda runs: spell(spread(map(figure, runs)), never)


def _dead(runs: Sequence[Figures]) -> str:
    names = Counter(name for run in runs for name in run.innocents_dead)
    return ", ".join(name if times == 1 else f"{name} ({times} times)" for name, times in names.most_common())


COLUMNS: tuple[Column, ...] = (
    ("full stall, s", _of(lambda run: run.full)),
    ("of it before the first hog's end, s", _of(lambda run: run.full_before, "")),
    ("some stall, s", _of(lambda run: run.some)),
    ("interactive: longest gap, s", _of(lambda run: run.probes["interactive"].longest)),
    ("interactive: late, s", _of(lambda run: run.probes["interactive"].late)),
    ("locked: longest gap, s", _of(lambda run: run.probes["locked"].longest)),
    ("locked: late, s", _of(lambda run: run.probes["locked"].late)),
    ("unwell for, s", _of(lambda run: run.unwell, "not over")),
    ("first hog ended after, s", _of(lambda run: run.first_death)),
    ("innocents dead", _dead),
    ("kernel kills", _of(lambda run: run.kernel_kills)),
    ("guard: RSS, MiB", _of(lambda run: run.guard_rss / MIB)),
    ("guard: CPU, s", _of(lambda run: run.guard_cpu)),
    ("guard: major faults", _of(lambda run: run.guard_faults)),
    ("bystanders had waited at its first signal, s", _of(lambda run: run.told_stall, "")),
)
PEERS, OURS = ("earlyoom", "nohang", "systemd-oomd"), ("oomguard", "oomguard-half")
COMPARED: tuple[tuple[str, Callable[[Figures], float]], ...] = (
    ("full stall", lambda run: run.full),
    ("longest gap", lambda run: run.probes["interactive"].longest),
)
NOTICEABLE = 0.5
"""Seconds: where the best peer has less, there is nothing to compare."""
PICTURES: tuple[tuple[str, str, Callable[[Figures], float | None]], ...] = (
    ("stall", "Full memory stall, in seconds (less is better)", lambda run: run.full),
    (
        "gap",
        "The interactive process's longest gap, in seconds (less is better)",
        lambda run: run.probes["interactive"].longest,
    ),
    ("innocents", "Innocent processes dead (none is best)", lambda run: len(run.innocents_dead)),
)


def write(rows: Sequence[Row], folder: Path) -> None:
    """Writes the page and its pictures into `folder`."""
    for name, text in made_from(rows, scenarios()).items():
        (folder / name).write_text(text)


def made_from(rows: Sequence[Row], every: Sequence[Scenario]) -> Mapping[str, str]:
    """The files of the report, by their names."""
    cells = {(runs[0].key.scenario, runs[0].key.guard): runs for runs in latest(rows)}
    files = {"gauntlet.md": page(cells, every)}
    if cells:
        pictures = {name: picture(title, figure, cells, every) for name, title, figure in PICTURES}
        files |= {f"gauntlet-{name}.svg": text for name, text in pictures.items()}
    return files


def picture(
    title: str, figure: Callable[[Figures], float | None], cells: Cells, every: Sequence[Scenario]
) -> str:
    """One figure of all cells that were run, as SVG."""

    def bar(scenario: Scenario, guard: Guard) -> Spread | None:
        runs = cells.get((scenario.name, guard.name))
        return spread(figure(run.figures) for run in runs) if runs else None

    groups = (Group(title=each.title, bars=tuple(bar(each, guard) for guard in GUARDS)) for each in every)
    measured = [group for group in groups if any(group.bars)]
    return chart.bars(title, [guard.title for guard in GUARDS], measured)


def page(cells: Cells, every: Sequence[Scenario]) -> str:
    """The page, in Markdown."""
    parts = [_INTRODUCTION, _overview(cells, every), _COMPARED, _comparison(cells, every), _MISSED]
    parts += [_PICTURES if cells else _NO_ROWS, _SETUP]
    parts += (f"- **{guard.title}**: {guard.about} {_versions(cells, guard)}" for guard in GUARDS)
    parts.append(
        "\n## Scenario by scenario\n\nMedian (least to most) of the runs; an empty line was not run.\n"
    )
    parts += (_section(scenario, cells) for scenario in every)
    return "\n".join(parts)


def _overview(cells: Cells, every: Sequence[Scenario]) -> str:
    header = f"| scenario | {' | '.join(guard.title for guard in GUARDS)} |\n|---|{'---|' * len(GUARDS)}"
    lines = [header]
    for scenario in every:
        found = (_verdict(cells.get((scenario.name, guard.name), ()), scenario) for guard in GUARDS)
        lines.append(f"| [{scenario.title}](#{_anchor(scenario)}) | {' | '.join(found)} |")
    return "\n".join(lines) + "\n"


def _verdict(runs: Sequence[Row], scenario: Scenario) -> str:
    """How often it was right, and how long everybody stood still."""
    if not runs:
        return NOT_RUN
    good = sum(right(run.figures, scenario.expect) for run in runs)
    stall = spell(spread(run.figures.full for run in runs), "never")
    return f"{good} of {len(runs)}; {stall}"


def _comparison(cells: Cells, every: Sequence[Scenario]) -> str:
    titles = [guard.title for guard in GUARDS if guard.name in OURS]
    heads = (cell for name, _ in COMPARED for cell in (f"best peer's {name}, s", *titles))
    lines = [f"| scenario | {' | '.join(heads)} |\n|---|{'---|' * len(COMPARED) * (1 + len(OURS))}"]
    for each in every:
        beside = (word for _, figure in COMPARED for word in _beside(each, figure, cells))
        lines.append(f"| {each.title} | {' | '.join(beside)} |")
    return "\n".join(lines) + "\n"


def _beside(scenario: Scenario, figure: Callable[[Figures], float], cells: Cells) -> Iterator[str]:
    """The best peer's median, and ours as shares of it."""

    def middle(guard: str) -> float | None:
        runs = cells.get((scenario.name, guard))
        return spread(figure(run.figures) for run in runs).middle if runs else None

    best = min((found for found in map(middle, PEERS) if found is not None), default=None)
    yield NOT_RUN if best is None else f"{best:.1f}"
    for found in map(middle, OURS):
        yield NOT_RUN if found is None or best is None or best < NOTICEABLE else f"{found / best:.2f}"


def _section(scenario: Scenario, cells: Cells) -> str:
    titles = ("guard", "runs", "right", *(title for title, _ in COLUMNS))
    lines = [
        f"### {scenario.title}\n",
        f"{scenario.about} The machine has {scenario.hardware}. Right: {EXPECTED[scenario.expect]}.\n",
        f"| {' | '.join(titles)} |",
        f"|{'---|' * len(titles)}",
    ]
    for guard in GUARDS:
        runs = cells.get((scenario.name, guard.name), ())
        lines.append(f"| {' | '.join((guard.title, *_values(runs, scenario)))} |")
    return "\n".join(lines) + "\n"


def _values(runs: Sequence[Row], scenario: Scenario) -> list[str]:
    if not runs:
        return [NOT_RUN] * (len(COLUMNS) + 2)
    figures = [run.figures for run in runs]
    good = sum(right(each, scenario.expect) for each in figures)
    return [str(len(runs)), str(good), *(show(figures) for _, show in COLUMNS)]


def _versions(cells: Cells, guard: Guard) -> str:
    versions = {
        run.key.version: run.day for runs in cells.values() for run in runs if run.key.guard == guard.name
    }
    if not versions:
        return "Not run."
    return f"Version {', '.join(f'{version} ({day})' for version, day in versions.items())}."


def _anchor(scenario: Scenario) -> str:
    """What Markdown makes of a heading."""
    kept = (char for char in scenario.title.lower().replace(" ", "-") if char.isalnum() or char in "-_")
    return "".join(kept)


_INTRODUCTION = """# The gauntlet

The same shortages of memory under each guard, in the same machine, measured from inside it. This page is \
made by `python -m bench.gauntlet report` from the rows of `bench/gauntlet/results.jsonl`; do not edit it.

    python -m bench.gauntlet run --runs 3                       # make the runs that are missing
    python -m bench.gauntlet run --cell 'flat-out/*' --runs 5   # of these cells only
    python -m bench.gauntlet report

The machine is that of [testing-vm.md](testing-vm.md): two emulated CPUs (about ten times slower than real \
ones), Debian 12, its own services, and three bystanders: a database that uses its memory at random, \
an interactive process that touches some of its 32 MiB every 20 ms, and one that does the same with its \
memory locked. Everyone who was there before the hogs is innocent. A run is counted only where the machine's \
two CPUs together waited for those of the host for at most 0.15 s a second. `run` boots the machine \
each time; a part of the rows of 2026-11-23 and all of 2026-11-24 began in one that had booted once, and \
was saved before its bystanders and its guard were started.

- **full, some stall**: how long all, or some, of the tasks that wanted to run waited for memory (PSI).
- **guard**: all processes of its service, and what they took while the run lasted. Of oomguard's two, one \
guards and is locked in memory; the other tells, and may have to be fetched from the disk.
- **longest gap, late**: what the 20 ms became at worst, and the sum of all that was beyond them, where it \
was noticeable (gaps over 60 ms).
- **unwell**: from the first to the last moment at which less than 5 % of memory and of swap was there, or \
at which everybody had stood still for more than a fifth of the last second.
- **bystanders had waited**: what oomguard itself compares with its budget, within its window of ten seconds.
- **right**: who should have died has, nobody else has, and the machine is well again.

## At a glance

How many of the runs were right; and the full stall, in seconds.
"""
_COMPARED = """## Beside the best peer

The least median of earlyoom, nohang and systemd-oomd, whether or not it was right; and oomguard's as \
a share of it, where there is anything to compare (0.5 s).
"""
_MISSED = """## What is missed, and why

Wanted was, with a budget of B seconds and wherever somebody is to be ended, a full stall of B + 0.5 at \
the most, and no gap beyond B + 1. With one second the medians are within both, but for the full stall of \
the many small processes, 1.8 s; three of the other 29 runs stood still for 1.6 to 1.8 s. With half a \
second a tenth of the best peer's full stall was wanted where that is over 5 s: the medians are 0.00 to \
0.07 of it. What oomguard compares with its budget, how long the bystanders had waited at its first \
signal, is the last column of each table below.

- After the signal (*of it before the first hog's end* tells the two apart): 150 small processes take two \
seconds to go on these CPUs. Meanwhile the kernel evicts still, and then the others fetch their pages from \
a slow disk. Nobody is sent to swap for a moment once a victim's memory is there ([relief.md](relief.md)); \
here that is late. Their whole control group is killed before any of them is looked at, which took the \
median from 2.1 to 1.8 s, and the longest gap from 3.0 to 1.9.
- Before it, a control group's pressure counts less than it waits: not for a page that was not in active \
use when it was evicted. In a leak beside an unprotected database she was late for 9 and 15 s in all \
before the signal, while her group told less than one within any ten, and the machine stood still for 4 to \
7 s. The pressure of her disks has that wait, and all others, so it counts while everybody stands still \
for memory, and memory is low ([deciding.md](deciding.md), whose stall).
- The burst into slow swap is ended, as its bystanders wait for longer than the budget.
- One spike of ten was ended after 0.3 s: its bystanders had waited for no longer, but the disk had \
seconds of swapping to write, and they stood still. The other benign runs, 39 of 40, were let be.

The unkillable leak stops at what is available less 60 MiB; one run of the kernel's came to lie just below \
what counts as well.

Tried: half a second of budget (last column), which ends stalls sooner, and what would have fitted too; \
not to wait for a disk that drains while the culprit itself waits for memory; a quarter of the budget for \
a second victim; a quarter of the host's full stall in place of what groups do not tell, which let 2.4 to \
5 s pass where the medians of a leak and of the hog that grows flat out are 0.8 to 1.1 now. On paper, on \
figures of 13 runs taken by hand: to reckon with the host's pace, not the bystanders', while the disk \
writes what it has to; it would have acted 0.07 s sooner in one of them.
"""
_PICTURES = """
![Full memory stall](gauntlet-stall.svg)

![The interactive process's longest gap](gauntlet-gap.svg)

![Innocent processes dead](gauntlet-innocents.svg)
"""
_NO_ROWS = "\nNothing has been counted yet.\n"
_SETUP = """## How the guards are set up
"""
