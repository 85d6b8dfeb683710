"""All hosts: from what the recording rules keep, so that ten thousand cost little more than ten."""

from __future__ import annotations

from grafana.board import Board, Colour, Events, Panel, Query, Row, Unit, from_one, good_below
from grafana.forms import NAMED, bars, lines, number, spread, table
from grafana.promql import pick, total
from grafana.variables import CLUSTERS, JOBS

THERE = 'cluster=~"$cluster", job=~"$job"'
FEW = 20
"""Hosts in a table."""


def there(metric: str, *more: str) -> str:
    """The series of `metric` of the hosts that were chosen."""
    return pick(metric, THERE, *more)


def _each_minute(rates: str, *by: str) -> str:
    return f"60 * {total(there(rates), *by)}"


def _within_range(rates: str) -> str:
    return f"sum(avg_over_time({there(rates)}[$__range])) * $__range_s"


def _paces(title: str, description: str, rates: str, label: str, section: str) -> Panel:
    query = Query(_each_minute(rates, label), f"{{{{{label}}}}}")
    return bars(title, description, Unit.EACH_MINUTE, section, 8, query)


def _durations(title: str, description: str, buckets: str, section: str) -> Panel:
    return lines(title, description, Unit.SECONDS, section, 8, *spread(total(there(buckets), "le")))


UP, ALL = there("cluster_job:oomguard_up:sum"), there("cluster_job:oomguard_up:count")

WELL = Row(
    "Are they well?",
    (
        number("Guards", "That run.", Unit.COUNT, "oomguarddown", 3, NAMED, total(UP)),
        number(
            "Without a guard",
            "Hosts whose exporter answers, and says that no guard runs.",
            Unit.COUNT,
            "oomguarddown",
            3,
            from_one(Colour.BAD),
            f"{total(ALL)} - {total(UP)}",
        ),
        number(
            "In dry run",
            "Hosts on which nobody is signalled.",
            Unit.COUNT,
            "dry-run",
            3,
            NAMED,
            total(there("cluster_job_mode:oomguard_mode:sum", 'mode="dry-run"')),
        ),
        number(
            "Limits crossed now",
            "Over all hosts: two on one host count twice.",
            Unit.COUNT,
            "oomguardshortagelasts",
            3,
            from_one(Colour.BAD),
            total(there("cluster_job_reason:oomguard_limit_crossed:sum")),
        ),
        number(
            "Signals sent",
            "Within the time shown, estimated from recorded rates.",
            Unit.COUNT,
            "oomguardkilled",
            3,
            from_one(Colour.WARN),
            _within_range("cluster_job_reason:oomguard_kills:rate5m"),
        ),
        number(
            "Held back",
            "Limits crossed and nobody killed, within the time shown, estimated from recorded rates.",
            Unit.COUNT,
            "why-nobody-was-killed",
            3,
            from_one(Colour.WARN),
            _within_range("cluster_job_reason:oomguard_holds:rate5m"),
        ),
        number(
            "Kernel kills",
            "Within the time shown, estimated from recorded rates; in control groups too.",
            Unit.COUNT,
            "oomguardkernelkilledfirst",
            3,
            from_one(Colour.BAD),
            _within_range("cluster_job:oomguard_kernel_kills:rate5m"),
        ),
        number(
            "Refused configurations",
            "Hosts on which an older configuration is still in force.",
            Unit.COUNT,
            "oomguardconfigrefused",
            3,
            from_one(Colour.WARN),
            f"count({there('oomguard_config_last_reload_successful')} == 0) or vector(0)",
        ),
    ),
)

DONE = Row(
    "What did they do, and why?",
    (
        _paces(
            "Signals sent, by reason",
            "To victims, by the first reason.",
            "cluster_job_reason:oomguard_kills:rate5m",
            "reason",
            "why-it-acts",
        ),
        _paces(
            "Signals sent, by cluster",
            "One cluster alone: look at what was rolled out there.",
            "cluster_job_reason:oomguard_kills:rate5m",
            "cluster",
            "oomguardkilled",
        ),
        _paces(
            "How it ended for the victims",
            "Recovered and receded are well; hung and refused need somebody to look.",
            "cluster_job_outcome:oomguard_outcomes:rate5m",
            "outcome",
            "how-it-ends-for-a-victim",
        ),
        _durations(
            "From the limit to the signal",
            "How long the guards took. Empty where nobody was signalled.",
            "cluster_job_le:oomguard_reaction_seconds_bucket:rate5m",
            "oomguardslow",
        ),
        _durations(
            "From the signal to the exit",
            "How long victims took to end. Empty where nobody ended.",
            "cluster_job_le:oomguard_exit_seconds_bucket:rate5m",
            "hung",
        ),
        lines(
            "Memory that came back",
            "Between the signals to victims and their ends.",
            Unit.BYTES_A_SECOND,
            "not_enough",
            8,
            Query(total(there("cluster_job:oomguard_memory_freed_bytes:rate5m")), "came back"),
        ),
    ),
)

NOT_DONE = Row(
    "What did they not do, and why?",
    (
        _paces(
            "Held back",
            "Limits crossed and nobody killed, once for each change, by the reason.",
            "cluster_job_reason:oomguard_holds:rate5m",
            "reason",
            "why-nobody-was-killed",
        ),
        _paces(
            "Signals that dry runs would have sent",
            "Nobody was signalled. The audit dashboard has more.",
            "cluster_job_reason:oomguard_would_kills:rate5m",
            "reason",
            "dry-run",
        ),
        _paces(
            "Restart storms",
            "Units that were killed again and again, by what was done about it.",
            "cluster_job_action:oomguard_storms:rate5m",
            "action",
            "oomguardrestartstorm",
        ),
    ),
)

KILLS = there("instance:oomguard_kills:rate5m")

WHICH = Row(
    "Which hosts?",
    (
        table(
            "Most signals sent",
            "Within the time shown, estimated from recorded rates. Empty where nobody was signalled.",
            Unit.COUNT,
            "oomguardkilled",
            12,
            (),
            f"topk({FEW}, avg_over_time({KILLS}[$__range]) > 0) * $__range_s",
        ),
        table(
            "Nearest to their limit",
            "Available memory above the limit, as a share of all memory: below 0, it is crossed.",
            Unit.SHARE,
            "oomguardnearlimit",
            12,
            (),
            f"bottomk({FEW}, {there('instance:oomguard_memory_headroom:ratio')})",
        ),
        table(
            "Most of the stall budget used",
            "The most within the time shown.",
            Unit.SHARE,
            "oomguardnearbudget",
            12,
            good_below(0.5, 1),
            f"topk({FEW}, max_over_time({there('instance:oomguard_stall_budget_used:ratio')}[$__range]))",
        ),
        table(
            "Without a guard",
            "Now: 0 for each. Empty where all guards run.",
            Unit.STATE,
            "oomguarddown",
            12,
            (),
            f"{there('oomguard_up')} == 0",
        ),
    ),
)

POLLS = total(there("cluster_job:oomguard_polls:rate5m"))

ITSELF = Row(
    "Are the guards well?",
    (
        lines(
            "Versions",
            "Hosts by the version of their exporter.",
            Unit.COUNT,
            "oomguardfailed",
            8,
            Query(f"count by (version) ({there('oomguard_build_info')})", "{{version}}"),
        ),
        lines(
            "Looks that were late",
            "The share that took longer than the pause that was planned before them.",
            Unit.SHARE,
            "oomguardslow",
            8,
            Query(f"{total(there('cluster_job:oomguard_poll_overruns:rate5m'))} / {POLLS}", "late"),
        ),
        bars(
            "Events not told, errors",
            "Events that the journal did not get, and errors of the guards' own, which are bugs.",
            Unit.EACH_MINUTE,
            "oomguardeventsdropped",
            8,
            Query(_each_minute("cluster_job:oomguard_events_dropped:rate5m"), "not told"),
            Query(_each_minute("cluster_job:oomguard_failures:rate5m"), "errors"),
        ),
    ),
)

BOARD = Board(
    uid="oomguard-fleet",
    title="oomguard / fleet",
    description="The out-of-memory guards of many hosts. Takes the recording rules of prometheus/rules.",
    span="now-24h",
    variables=(JOBS, CLUSTERS),
    marks=(
        Events(
            name="Kernel kills",
            expr=f"{total(there('cluster_job:oomguard_kernel_kills:rate5m'), 'cluster')} > 0",
            title="The kernel killed for want of memory: {{cluster}}",
            colour=Colour.KERNEL,
        ),
    ),
    rows=(WELL, DONE, NOT_DONE, WHICH, ITSELF),
)
