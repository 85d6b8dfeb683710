"""Dry run: what the guard would have done, whether that would have been right, and whether to let it."""

from __future__ import annotations

from grafana.board import Board, Colour, Events, Query, Row, Unit, from_one
from grafana.forms import CROSSED, NAMED, bars, lines, number, table, timeline
from grafana.promql import events, pick, steps, total, within_range
from grafana.variables import INSTANCES, JOB

THERE = 'job="$job", instance=~"$instance"'


def there(metric: str, *more: str) -> str:
    """The series of `metric` of the hosts that were chosen."""
    return pick(metric, THERE, *more)


SUMMARY = Row(
    "What would it have done?",
    (
        number(
            "Hosts in dry run",
            "Of those chosen above.",
            Unit.COUNT,
            "dry-run",
            4,
            NAMED,
            total(there("oomguard_mode", 'mode="dry-run"')),
        ),
        number(
            "Would have been signalled",
            "Within the time shown; a victim that is taken to ignore the first signal counts twice.",
            Unit.COUNT,
            "dry-run",
            4,
            from_one(Colour.DRY),
            within_range(there("oomguard_would_kills_total")),
        ),
        number(
            "Episodes",
            "Times of acting, within the time shown: one may take several victims.",
            Unit.COUNT,
            "what-it-does-when",
            4,
            from_one(Colour.DRY),
            within_range(there("oomguard_episodes_total")),
        ),
        number(
            "Would have held back",
            "Limits crossed with nobody who could be killed, within the time shown.",
            Unit.COUNT,
            "why-nobody-was-killed",
            4,
            from_one(Colour.WARN),
            within_range(there("oomguard_holds_total")),
        ),
        number(
            "Kernel kills",
            "What came to the worst within the time shown, as the guard was not allowed to act.",
            Unit.COUNT,
            "oomguardkernelkilledfirst",
            4,
            from_one(Colour.BAD),
            within_range(there("oomguard_kernel_kills_total")),
        ),
        number(
            "Refused configurations",
            "Hosts on which the last change of the rules is not in force.",
            Unit.COUNT,
            "oomguardconfigrefused",
            4,
            from_one(Colour.WARN),
            f"count({there('oomguard_config_last_reload_successful')} == 0) or vector(0)",
        ),
        bars(
            "Would have been signalled, by reason",
            "Nobody was. Whom: journalctl -u oomguard on the host.",
            Unit.COUNT,
            "why-it-acts",
            12,
            Query(steps(there("oomguard_would_kills_total"), "reason", "signal"), "{{reason}}, {{signal}}"),
        ),
        bars(
            "Would have been signalled, by host",
            "A host that stands out has its own culprit, or limits that do not fit.",
            Unit.COUNT,
            "dry-run",
            12,
            Query(steps(there("oomguard_would_kills_total"), "instance"), "{{instance}}"),
        ),
        bars(
            "Would have been tried before, softer than a kill",
            "Signals to caches, reclaim, throttles and freezes. All 0 where none is configured.",
            Unit.COUNT,
            "softer-than-a-kill",
            24,
            Query(steps(there("oomguard_would_reliefs_total"), "action"), "{{action}}"),
        ),
    ),
)

RIGHT = Row(
    "Would that have been right?",
    (
        timeline(
            "Limits crossed",
            "On any of the hosts. Short and seldom: the limits fit. Often, with no harm done: they are high.",
            "why-it-acts",
            12,
            CROSSED,
            Query(f"max by (reason) ({there('oomguard_limit_crossed')})", "{{reason}}"),
        ),
        lines(
            "Memory above the limit",
            "The least of each host, as a share of its memory: below 0 it would have been low.",
            Unit.SHARE,
            "low_memory",
            12,
            Query(
                f"({there('oomguard_memory_available_bytes')} - ignoring (limit, action) "
                + there("oomguard_limit_bytes", 'limit="available"', 'action="term"')
                + f") / {there('oomguard_memory_total_bytes')}",
                "{{instance}}",
            ),
        ),
        lines(
            "Stall budget used",
            "1: all of it. Without a guard that acts, it may go far beyond.",
            Unit.SHARE,
            "stall",
            12,
            Query(
                f"{there('oomguard_stall_seconds')} / {there('oomguard_stall_budget_seconds')}",
                "{{instance}}",
            ),
        ),
        bars(
            "Kernel kills",
            "Just after a would-be kill: the guard would have been in time.",
            Unit.COUNT,
            "oomguardkernelkilledfirst",
            12,
            Query(steps(there("oomguard_kernel_kills_total"), "instance"), "{{instance}}"),
        ),
    ),
)

NOT_DONE = Row(
    "What would it not have done, and why?",
    (
        bars(
            "Would have held back",
            "Limits crossed and nobody killed, once for each change, by the reason.",
            Unit.COUNT,
            "why-nobody-was-killed",
            12,
            Query(steps(there("oomguard_holds_total"), "reason"), "{{reason}}"),
        ),
        lines(
            "Who may die",
            "Few candidates: the rules protect nearly everybody, and there will be nobody to kill.",
            Unit.COUNT,
            "all_protected",
            12,
            Query(total(there("oomguard_processes"), "instance", "standing"), "{{instance}}, {{standing}}"),
        ),
    ),
)

READY = Row(
    "Is the guard ready to be let?",
    (
        lines(
            "How long a look takes",
            "The longest on any host is what a kill waits for.",
            Unit.SECONDS,
            "oomguardslow",
            12,
            Query(there("oomguard_last_poll_duration_seconds"), "{{instance}}"),
        ),
        table(
            "Missing on the hosts",
            "Times since boot that something it uses was found missing: put that right first.",
            Unit.COUNT,
            "oomguarddegraded",
            12,
            from_one(Colour.WARN),
            there("oomguard_degraded_total"),
        ),
    ),
)

BOARD = Board(
    uid="oomguard-audit",
    title="oomguard / dry-run audit",
    description="What the out-of-memory guard would have done where it only watches.",
    span="now-7d",
    variables=(JOB, INSTANCES),
    marks=(
        Events(
            name="Would-be kills",
            expr=events(there("oomguard_would_kills_total"), "instance", "reason", "signal"),
            title="Would have been signalled on {{instance}}: {{reason}}, {{signal}}",
            colour=Colour.DRY,
        ),
        Events(
            name="Kernel kills",
            expr=events(there("oomguard_kernel_kills_total"), "instance"),
            title="The kernel killed for want of memory on {{instance}}",
            colour=Colour.KERNEL,
        ),
    ),
    rows=(SUMMARY, RIGHT, NOT_DONE, READY),
)
