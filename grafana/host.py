"""One host: is it well, what did the guard do and why, what did it not do and why, and is it well itself."""

from __future__ import annotations

from grafana.board import (
    Board,
    Colour,
    Events,
    Moments,
    Panel,
    Query,
    Row,
    Unit,
    Word,
    from_one,
    good_above,
    good_below,
)
from grafana.forms import CROSSED, NAMED, bars, lines, number, spread, state, timeline, word
from grafana.promql import events, pace, pick, steps, within_range
from grafana.variables import INSTANCE, JOB

HERE = 'job="$job", instance="$instance"'
RUNS = {0: Word("down", Colour.BAD), 1: Word("runs", Colour.WELL)}
TAKEN = {0: Word("refused", Colour.BAD), 1: Word("in force", Colour.WELL)}
THERE = {0: Word("no", Colour.WELL), 1: Word("yes", Colour.NOTE)}
SIGNALS = "{{reason}}, {{signal}}"


def here(metric: str) -> str:
    """The series of `metric` of this host."""
    return pick(metric, HERE)


def _limit(limit: str, action: str) -> str:
    return pick("oomguard_limit_bytes", HERE, f'limit="{limit}"', f'action="{action}"')


def _since(metric: str) -> str:
    return f"{here(metric)} * 1000"


def _word(title: str, description: str, section: str, metric: str, label: str) -> Panel:
    return word(title, description, section, 3, Query(f"{here(metric)} == 1", f"{{{{{label}}}}}"))


WELL = Row(
    "Is it well?",
    (
        state(
            "Guard", "Whether a guard runs and looks at memory.", "oomguarddown", 3, RUNS, here("oomguard_up")
        ),
        _word("Mode", "In dry run nobody is signalled.", "dry-run", "oomguard_mode", "mode"),
        _word("Phase", "Where the guard's loop is.", "what-it-does-when", "oomguard_phase", "phase"),
        number(
            "Above the limit",
            "Available memory above the limit at which a victim is asked to end.",
            Unit.BYTES,
            "oomguardnearlimit",
            3,
            good_above(256 << 20, 0),
            here("oomguard_memory_available_bytes")
            + f" - ignoring (limit, action) {_limit('available', 'term')}",
        ),
        number(
            "Stall budget left",
            "Of the stall that a window may hold, how much is not spent yet.",
            Unit.SHARE,
            "oomguardnearbudget",
            3,
            good_above(0.5, 0.01),
            f"{here('oomguard_stall_budget_left_seconds')} / {here('oomguard_stall_budget_seconds')}",
        ),
        number(
            "Signals sent",
            "Within the time shown; a victim that ignores the first gets a second.",
            Unit.COUNT,
            "oomguardkilled",
            3,
            from_one(Colour.WARN),
            within_range(here("oomguard_kills_total")),
        ),
        number(
            "Held back",
            "Times that a limit was crossed and nobody was killed, within the time shown.",
            Unit.COUNT,
            "why-nobody-was-killed",
            3,
            from_one(Colour.WARN),
            within_range(here("oomguard_holds_total")),
        ),
        number(
            "Kernel kills",
            "By its own killer within the time shown, those in control groups at their limit too.",
            Unit.COUNT,
            "oomguardkernelkilledfirst",
            3,
            from_one(Colour.BAD),
            within_range(here("oomguard_kernel_kills_total")),
        ),
    ),
)

MEMORY = Row(
    "Memory, and where the guard acts",
    (
        lines(
            "Available memory",
            "It acts where this falls below a limit and free swap, if there is any, below its own.",
            Unit.BYTES,
            "low_memory",
            12,
            Query(here("oomguard_memory_available_bytes"), "available"),
            Query(_limit("available", "term"), "limit: ask to end"),
            Query(_limit("available", "kill"), "limit: kill"),
            Query(here("oomguard_memory_total_bytes"), "total"),
        ),
        lines(
            "Free swap",
            "All 0 where there is no swap: then available memory decides alone.",
            Unit.BYTES,
            "low_memory",
            12,
            Query(here("oomguard_swap_free_bytes"), "free"),
            Query(_limit("swap_free", "term"), "limit: ask to end"),
            Query(_limit("swap_free", "kill"), "limit: kill"),
            Query(here("oomguard_swap_total_bytes"), "total"),
        ),
        lines(
            "Stall",
            "How long others waited for memory within the window, and how long they may.",
            Unit.SECONDS,
            "stall",
            8,
            Query(here("oomguard_stall_seconds"), "stall"),
            Query(here("oomguard_stall_budget_seconds"), "budget"),
        ),
        lines(
            "Pressure",
            "The share of time in which somebody waited for memory, and in which nobody could run.",
            Unit.SHARE,
            "stall",
            8,
            Query(pace(here("oomguard_pressure_memory_waiting_seconds_total")), "somebody waits"),
            Query(pace(here("oomguard_pressure_memory_stalled_seconds_total")), "nobody runs"),
        ),
        lines(
            "Promised memory",
            "Counts only under vm.overcommit_memory = 2; elsewhere the limit is 0.",
            Unit.BYTES,
            "commit_limit",
            8,
            Query(here("oomguard_memory_committed_bytes"), "promised"),
            Query(here("oomguard_memory_commit_limit_bytes"), "may be promised"),
            Query(_limit("committed", "term"), "limit"),
        ),
        lines(
            "Time left",
            "Until memory and swap are gone at their present pace, and until the disk has written what was "
            "swapped out. Nothing of the former where they do not fall.",
            Unit.SECONDS,
            "exhaustion_forecast",
            12,
            Query(f"{here('oomguard_memory_exhausted_in_seconds')} < +Inf", "memory is gone"),
            Query(here("oomguard_swap_backlog_seconds"), "the disk has written"),
        ),
        lines(
            "Control groups watched on their own",
            "How many each [[cgroup]] matches, and how many of these have crossed a limit of their own. "
            "Empty where the configuration has none.",
            Unit.COUNT,
            "cgroup_limit",
            12,
            Query(here("oomguard_cgroups_watched"), "{{entry}}"),
            Query(here("oomguard_cgroups_crossed"), "{{entry}}, crossed"),
        ),
    ),
)

DONE = Row(
    "What did it do, and why?",
    (
        number(
            "Last signal",
            "When a victim was last signalled, or would have been in dry run. Empty where nobody was.",
            Unit.SINCE,
            "oomguardkilled",
            6,
            NAMED,
            f"max({here('oomguard_last_kill_timestamp_seconds')} > 0) * 1000",
        ),
        word(
            "Last victim",
            "Why and how, and which rules matched; whom: journalctl -u oomguard. Empty where nobody was.",
            "why-it-acts",
            12,
            Query(here("oomguard_last_victim_info"), "{{mode}}: {{reason}}, {{signal}}, {{scope}} {{rules}}"),
        ),
        word(
            "Whose stall",
            "That of all but the culprit, or of anyone, where the host cannot tell them apart.",
            "stall",
            6,
            Query(f"{here('oomguard_stall_of')} == 1", "{{of}}"),
        ),
        timeline(
            "Limits crossed",
            "Why it acts, or would if it could.",
            "why-it-acts",
            12,
            CROSSED,
            Query(here("oomguard_limit_crossed"), "{{reason}}"),
        ),
        timeline(
            "Phases",
            "Calm, watching closely (armed), acting, letting the figures settle (recovering).",
            "what-it-does-when",
            12,
            THERE,
            Query(here("oomguard_phase"), "{{phase}}"),
        ),
        bars(
            "Signals sent",
            "To victims, by the first reason. Whom: journalctl -u oomguard.",
            Unit.COUNT,
            "why-it-acts",
            8,
            Query(steps(here("oomguard_kills_total"), "reason", "signal"), SIGNALS),
        ),
        bars(
            "How it ended for the victims",
            "Recovered and receded are well; hung and refused need somebody to look.",
            Unit.COUNT,
            "how-it-ends-for-a-victim",
            8,
            Query(steps(here("oomguard_outcomes_total"), "outcome"), "{{outcome}}"),
        ),
        bars(
            "Memory that came back",
            "Between the signals to victims and their ends.",
            Unit.BYTES,
            "not_enough",
            8,
            Query(steps(here("oomguard_memory_freed_bytes_total")), "came back"),
        ),
        lines(
            "From the limit to the signal",
            "From the start of the look that crossed it. Empty where nobody was signalled.",
            Unit.SECONDS,
            "oomguardslow",
            8,
            *spread(pace(here("oomguard_reaction_seconds_bucket"), "le")),
        ),
        lines(
            "From the signal to the exit",
            "How long victims took to end. Empty where nobody ended.",
            Unit.SECONDS,
            "hung",
            8,
            *spread(pace(here("oomguard_exit_seconds_bucket"), "le")),
        ),
        bars(
            "Kernel kills",
            "By the kernel's own killer: the guard was late, or a control group was at its limit.",
            Unit.COUNT,
            "oomguardkernelkilledfirst",
            8,
            Query(steps(here("oomguard_kernel_kills_total")), "kernel"),
        ),
        bars(
            "Softer than a kill",
            "What was tried before anybody had to end, by what came of it. All 0 where none is configured.",
            Unit.COUNT,
            "softer-than-a-kill",
            12,
            Query(steps(here("oomguard_reliefs_total"), "action", "result"), "{{action}}, {{result}}"),
            Query(steps(here("oomguard_would_reliefs_total"), "action"), "{{action}}, in dry run"),
        ),
        bars(
            "Memory that it brought",
            "From each such act to its end; what others did meanwhile is in it.",
            Unit.BYTES,
            "softer-than-a-kill",
            12,
            Query(steps(here("oomguard_relief_gained_bytes_total"), "action"), "{{action}}"),
        ),
    ),
)

NOT_DONE = Row(
    "What did it not do, and why?",
    (
        bars(
            "Held back",
            "A limit was crossed and nobody was killed, once for each change, by the reason.",
            Unit.COUNT,
            "why-nobody-was-killed",
            8,
            Query(steps(here("oomguard_holds_total"), "reason"), "{{reason}}"),
        ),
        bars(
            "Signals that a dry run would have sent",
            "Nobody was signalled. All 0 in mode enforce.",
            Unit.COUNT,
            "dry-run",
            8,
            Query(steps(here("oomguard_would_kills_total"), "reason", "signal"), SIGNALS),
        ),
        bars(
            "Restart storms",
            "A unit was killed again and again, by what was done about it.",
            Unit.COUNT,
            "oomguardrestartstorm",
            8,
            Query(steps(here("oomguard_storms_total"), "action"), "{{action}}"),
        ),
        lines(
            "Who may die",
            "Processes that may be chosen, and those that the kernel's law or the rules spare.",
            Unit.COUNT,
            "all_protected",
            24,
            Query(here("oomguard_processes"), "{{standing}}"),
        ),
    ),
)

ITSELF = Row(
    "Is the guard well?",
    (
        number(
            "Record age",
            "Since the last look at memory on record.",
            Unit.SECONDS,
            "oomguardrecordstale",
            3,
            good_below(10, 60),
            here("oomguard_record_age_seconds"),
        ),
        state(
            "New configuration",
            "Whether the last one was taken. Where it was refused, the old one is in force.",
            "oomguardconfigrefused",
            3,
            TAKEN,
            here("oomguard_config_last_reload_successful"),
        ),
        number(
            "Configured",
            "When the configuration in force was loaded.",
            Unit.SINCE,
            "oomguardconfigrefused",
            3,
            NAMED,
            _since("oomguard_config_last_reload_success_timestamp_seconds"),
        ),
        number(
            "Started",
            "When the guard did.",
            Unit.SINCE,
            "oomguarddown",
            3,
            NAMED,
            _since("oomguard_start_time_seconds"),
        ),
        _word("Version", "Of the exporter.", "oomguardfailed", "oomguard_build_info", "version"),
        number(
            "Events not told",
            "That the journal did not get, within the time shown.",
            Unit.COUNT,
            "oomguardeventsdropped",
            3,
            from_one(Colour.BAD),
            within_range(here("oomguard_events_dropped_total")),
        ),
        number(
            "Missing here",
            "Times since boot that something the guard uses was found missing.",
            Unit.COUNT,
            "oomguarddegraded",
            3,
            from_one(Colour.WARN),
            here("oomguard_degraded_total"),
        ),
        number(
            "Errors of its own",
            "Bugs to report, within the time shown.",
            Unit.COUNT,
            "oomguardfailed",
            3,
            from_one(Colour.BAD),
            within_range(here("oomguard_failures_total")),
        ),
        lines(
            "Looks at memory",
            "How often, how many took longer than the pause before them, and how often decisions failed.",
            Unit.EACH_SECOND,
            "oomguardslow",
            12,
            Query(pace(here("oomguard_polls_total")), "looks"),
            Query(pace(here("oomguard_poll_overruns_total")), "too late"),
            Query(pace(here("oomguard_fallbacks_total")), "fell back"),
        ),
        lines(
            "How long a look takes",
            "And the longest time to the next: it shrinks as memory does.",
            Unit.SECONDS,
            "oomguardslow",
            12,
            Query(here("oomguard_last_poll_duration_seconds"), "look"),
            Query(here("oomguard_poll_pause_seconds"), "pause"),
            Query(here("oomguard_worst_poll_lateness_seconds"), "latest ever after it"),
        ),
    ),
)

BOARD = Board(
    uid="oomguard-host",
    title="oomguard / one host",
    description="What the out-of-memory guard of one host sees, does, and leaves undone.",
    span="now-6h",
    variables=(JOB, INSTANCE),
    marks=(
        Events(
            name="Kills",
            expr=events(here("oomguard_kills_total"), "reason", "signal"),
            title="Signal sent: {{reason}}, {{signal}}",
            colour=Colour.BAD,
        ),
        Events(
            name="Would-be kills of a dry run",
            expr=events(here("oomguard_would_kills_total"), "reason", "signal"),
            title="Would have been signalled: {{reason}}, {{signal}}",
            colour=Colour.DRY,
        ),
        Events(
            name="Kernel kills",
            expr=events(here("oomguard_kernel_kills_total")),
            title="The kernel killed for want of memory",
            colour=Colour.KERNEL,
        ),
        Moments(
            name="Starts of the guard",
            expr=_since("oomguard_start_time_seconds"),
            title="The guard started",
            colour=Colour.NOTE,
        ),
    ),
    rows=(WELL, MEMORY, DONE, NOT_DONE, ITSELF),
)
