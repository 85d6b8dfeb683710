"""The record as Prometheus reads it: in both of its text formats, for a scrape, a file or a push.

A record that is missing, unreadable or stale shows as `oomguard_up 0`, without the values of a guard that
no longer runs; each collection opens the record anew, so a restarted guard is seen at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from itertools import accumulate, chain
from pathlib import Path
from typing import assert_never

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client import exposition as classic
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from oomguard import __version__, metrics
from oomguard.counters import Distribution
from oomguard.errors import OomguardError, RecordError
from oomguard.event import Killing, Mode
from oomguard.pages import Exposition
from oomguard.reader import Reader
from oomguard.state import State, age, current
from oomguard.units import Seconds

Source = Callable[[], Reader]
"""Opens the record; called for each collection."""

PREFIX = "oomguard_"


class RecordCollector(Collector):
    """Turns the record into metrics. What keeps it from doing so is said once on standard error."""

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._problem: str | None = None
        self._kills = _Kills()

    def problem(self) -> str | None:
        """Why there is no guard to tell of; None where there is one."""
        problem, _ = self._read()
        return problem

    def collect(self) -> Iterator[Metric]:
        """All metrics, read from one record."""
        problem, families = self._read()
        if problem is not None and problem != self._problem:
            sys.stderr.write(f"oomguard exporter: {problem}\n")
        self._problem = problem
        yield GaugeMetricFamily(
            f"{PREFIX}up", "Whether a guard runs and its record can be read.", problem is None
        )
        build = GaugeMetricFamily(f"{PREFIX}build_info", "The version of the exporter.", labels=("version",))
        build.add_metric((__version__,), 1)
        yield build
        yield from families

    def _read(self) -> tuple[str | None, list[Metric]]:
        families: list[Metric] = []
        try:
            with self._source() as reader:
                state, now = reader.state(), Seconds(self._clock())
                if state is not None:
                    families.append(_record_age(age(state, now)))
                families += _families(current(state, now), reader)
                families += map(_family, metrics.of_last_kills(self._kills.follow(reader)))
        except RecordError as error:
            return str(error), families
        return None, families


class Exporting:
    """The metrics, for the pages that serve them."""

    def __init__(self, source: Source) -> None:
        self._collector = RecordCollector(source)
        self._registry = CollectorRegistry()
        self._registry.register(self._collector)

    def exposition(self, accept: str) -> Exposition:
        """All metrics, in OpenMetrics where an Accept header names it, else in Prometheus's classic text."""
        kinds = {entry.partition(";")[0].strip().lower() for entry in accept.split(",")}
        if "application/openmetrics-text" in kinds:
            return Exposition(content_type=openmetrics.CONTENT_TYPE_LATEST, body=_openmetrics(self._registry))
        return Exposition(
            content_type=classic.CONTENT_TYPE_PLAIN_0_0_4, body=classic.generate_latest(self._registry)
        )

    def problem(self) -> str | None:
        """What keeps the metrics from being those of a guard that runs; None: nothing."""
        return self._collector.problem()


def write_textfile(source: Source, path: Path) -> None:
    """Write the metrics to `path` at once, for node_exporter's textfile collector; it must end in .prom."""
    if path.suffix != ".prom":
        raise OomguardError(f"{path}: node_exporter reads only files whose names end in .prom")
    try:
        write_to_textfile(str(path), _registry(source))
    except OSError as error:
        raise OomguardError(f"{path}: cannot write the metrics: {error.strerror}") from error


def _openmetrics(registry: CollectorRegistry) -> bytes:
    body: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
    return body


def _registry(source: Source) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(RecordCollector(source))
    return registry


class _Kills:
    """The last kill of each mode. Events are read once each: the ring of them is larger than a scrape."""

    def __init__(self) -> None:
        self._read = 0
        self._last: dict[Mode, metrics.Kill] = {}

    def follow(self, reader: Reader) -> dict[Mode, metrics.Kill]:
        """The last kills, those included that were told since the last call."""
        if reader.told < self._read:
            # Another record is in its place.
            self._read, self._last = 0, {}
        _, news = reader.events(self._read)
        for told in news:
            self._read = told.sequence
            if isinstance(told.event, Killing):
                self._last[told.event.mode] = metrics.Kill(wall=told.wall, told=told.event)
        return self._last


def _record_age(seconds: Seconds) -> Metric:
    return _family(metrics.gauge("record_age_seconds", "Since the last poll on record.", seconds))


def _families(state: State, reader: Reader) -> list[Metric]:
    present = chain(
        metrics.of_guard(state),
        metrics.of_memory(state),
        metrics.of_groups(state),
        chain.from_iterable(map(metrics.of_sample, reader.samples(1))),
        metrics.of_counters(reader.counters()),
    )
    return [*map(_family, present), *map(_histogram, reader.histograms())]


def _family(metric: metrics.Metric) -> Metric:
    family: GaugeMetricFamily | CounterMetricFamily
    match metric.kind:
        case metrics.Kind.GAUGE:
            family = GaugeMetricFamily(PREFIX + metric.name, metric.help, labels=metric.labels)
        case metrics.Kind.COUNTER:
            family = CounterMetricFamily(PREFIX + metric.name, metric.help, labels=metric.labels)
        case _:
            assert_never(metric.kind)
    for labels, value in metric.values:
        family.add_metric(labels, value)
    return family


def _histogram(distribution: Distribution) -> Metric:
    histogram = distribution.histogram
    bounds = (*(f"{bound:g}" for bound in histogram.bounds), "+Inf")
    family = HistogramMetricFamily(PREFIX + histogram.name, histogram.help, labels=())
    family.add_metric((), list(zip(bounds, accumulate(distribution.counts), strict=True)), distribution.sum)
    return family
