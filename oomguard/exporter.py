"""The exporter: serves what the record says to Prometheus. It can read the record and do nothing else.

A record that is missing, unreadable or stale shows as `oomguard_up 0`, without the values of a guard that
no longer runs; each scrape opens the record anew, so a restarted guard is seen at once.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import accumulate, chain
from pathlib import Path
from socketserver import TCPServer
from threading import Thread
from typing import Any, assert_never
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import CollectorRegistry, make_wsgi_app, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from oomguard import __version__, metrics
from oomguard.config import Address
from oomguard.counters import Distribution
from oomguard.errors import OomguardError, RecordError
from oomguard.record import Reader
from oomguard.state import State, age, current
from oomguard.units import Seconds

Source = Callable[[], Reader]
"""Opens the record; called for each scrape."""

PREFIX = "oomguard_"
NOBODY = 65534


class RecordCollector(Collector):
    """Turns the record into metrics. What keeps it from doing so is said once on standard error."""

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._problem: str | None = None

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
        except RecordError as error:
            return str(error), families
        return None, families


class Server(ThreadingWSGIServer):
    """Serves the metrics on any path. Nothing that a client does or leaves undone is worth a traceback."""

    def server_bind(self) -> None:
        """Bind, without the look-up of the host's name that could wait for DNS."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]  # str or bytes
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are slow or gone."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(WSGIRequestHandler):
    timeout = 10
    """Seconds without a byte before a client is let go."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the base class's
        """Log no requests."""


def serve(source: Source, address: Address) -> None:
    """Serve until interrupted. Raises `OomguardError` where `address` cannot be listened on."""
    _serve(listen(source, address))


def serve_for_parent(source: Source, address: Address, parent: int) -> None:
    """Serve until `parent`, a pipe that the parent holds the other end of, comes to its end."""
    server = listen(source, address)
    Thread(target=_end_with, args=(parent, server), daemon=True).start()
    _serve(server)


def write_textfile(source: Source, path: Path) -> None:
    """Write the metrics to `path` at once, for node_exporter's textfile collector; it must end in .prom."""
    if path.suffix != ".prom":
        raise OomguardError(f"{path}: node_exporter reads only files whose names end in .prom")
    try:
        write_to_textfile(str(path), _registry(source))
    except OSError as error:
        raise OomguardError(f"{path}: cannot write the metrics: {error.strerror}") from error


def listen(source: Source, address: Address) -> Server:
    """A server that listens on `address` and answers once it is told to `serve_forever`."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        family, _, _, _, where = found[0]
        kind = type("_Server", (Server,), {"address_family": family})
        server: Server = kind(where, _Handler)
    except OSError as error:
        where_asked = f"{address.host} port {address.port}"
        raise OomguardError(f"metrics: cannot listen on {where_asked}: {error.strerror}") from error
    server.set_app(make_wsgi_app(_registry(source)))
    return server


def relinquish() -> None:
    """Become nobody, and as killable as any other process: the exporter needs no rights, it only listens."""
    with suppress(OSError):
        score = Path("/proc/self/oom_score_adj")
        if int(score.read_bytes()) < 0:
            score.write_bytes(b"0")
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def _serve(server: Server) -> None:
    relinquish()
    host, port = server.server_address[:2]
    sys.stderr.write(f"oomguard exporter: metrics on http://{Address(host=str(host), port=port)}/metrics\n")
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()


def _end_with(parent: int, server: Server) -> None:
    while os.read(parent, 512):
        pass
    server.shutdown()


def _registry(source: Source) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(RecordCollector(source))
    return registry


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
