"""docs/metrics.md, from the metrics themselves.

.venv/bin/python -m bench.metrics_doc > docs/metrics.md
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from prometheus_client.core import Metric

from oomguard.collector import RecordCollector
from oomguard.reader import Reader
from oomguard.record import Writer
from tests.specimens import EVENTS, SAMPLE, STATE

_HEAD = """\
# Metrics

What `oomguard exporter` serves, in OpenMetrics or in Prometheus's classic text, whichever is asked for, and
compressed where that is asked for ([exporter.md](exporter.md) says how). This page is made from the code, by
`make docs`.

Every combination of label values is there from the start, and none of them is a name that a process chose:
they are words of oomguard's, and the names of your rules and of your `[[cgroup]]`s. Where no guard runs, or
its record cannot be read, only `oomguard_up 0`, the build info and (where there is a record) its age are
served: `absent()` and staleness then work as usual.

| Metric | Type | Labels | What it says |
|---|---|---|---|
"""

_FOOT = """
A victim is counted by the first of its reasons. `committed` has only the limit `term`, where the kernel sets
a limit at all. Counters live on over a restart of the guard, and start anew with each boot and each new
version.

Who holds the memory is told where it is the reason for a hold ([telling.md](telling.md)) and by
`oomguard status`; as metrics, node_exporter's `node_memory_*` have it already. Victims by name are in the
journal: a name is the choice of whoever runs the process, and no label.
"""


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(map(_row, _families())) + _FOOT


def _families() -> Iterator[Metric]:
    """Every metric, as of a record in which everything has happened."""
    writer = Writer.anonymous()
    writer.state(STATE)
    writer.sample(SAMPLE)
    for event in EVENTS:
        writer.tell(event)
    collector = RecordCollector(lambda: Reader.from_fd(os.dup(writer.fd)), lambda: STATE.polled_at)
    yield from collector.collect()
    writer.close()


def _row(family: Metric) -> str:
    suffix = "_total" if family.type == "counter" else ""
    return f"| `{family.name}{suffix}` | {family.type} | {_labels(family)} | {family.documentation} |\n"


def _labels(family: Metric) -> str:
    """Each label, with its values where there is a choice."""
    samples = [sample.labels for sample in family.samples if "le" not in sample.labels]
    names = dict.fromkeys(name for labels in samples for name in labels)
    listed = []
    for name in names:
        values = ", ".join(dict.fromkeys(labels[name] for labels in samples))
        is_open = family.name.endswith("_info") or name == "entry"
        listed.append(f"`{name}`" if is_open else f"`{name}`: {values}")
    return "; ".join(listed)


if __name__ == "__main__":
    sys.stdout.write(page())
