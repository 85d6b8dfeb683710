"""The results: one line of JSON for each run, added to and never changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.gauntlet.measure import Figures, Probe

RESULTS = Path(__file__).parent / "results.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a run is a run of. Rows of another version or setup stay, but are not this cell's."""

    scenario: str
    guard: str
    version: str
    """Of the guard."""
    setup: str
    """A digest of the scenario, the guard's configuration and the way of measuring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run of a cell."""

    key: Key
    run: int
    """From 1."""
    day: str
    waited: float
    """Seconds that the machine's CPUs waited for one of the host's, per second."""
    figures: Figures


def read(path: Path) -> tuple[Row, ...]:
    """All rows of a file, in its order; none where there is no file."""
    if not path.exists():
        return ()
    return tuple(_row(json.loads(line)) for line in path.read_text().splitlines())


def add(path: Path, row: Row) -> None:
    """Adds a row to a file."""
    with path.open("a") as file:
        file.write(json.dumps(asdict(row)) + "\n")


def runs(rows: Iterable[Row], key: Key) -> tuple[Row, ...]:
    """The runs of a cell."""
    return tuple(row for row in rows if row.key == key)


def latest(rows: Sequence[Row]) -> Iterator[tuple[Row, ...]]:
    """The runs of each cell of the report: those of the version and setup that were measured last."""
    newest = {(row.key.scenario, row.key.guard): row.key for row in rows}
    return (runs(rows, key) for key in newest.values())


def _row(value: dict[str, Any]) -> Row:
    figures = value.pop("figures")
    probes = {name: Probe(**probe) for name, probe in figures.pop("probes").items()}
    dead = tuple(figures.pop("innocents_dead"))
    return Row(
        **{**value, "key": Key(**value["key"])},
        figures=Figures(**figures, probes=probes, innocents_dead=dead),
    )
