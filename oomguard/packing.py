"""What the guard publishes at each poll, its `State` and the `Sample`, as bytes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan, nan
from struct import Struct

from oomguard.event import Mode
from oomguard.meminfo import Memory
from oomguard.pressure import Figures, Level, Phase, Reason, Sample, StallOf
from oomguard.psi import Pressure
from oomguard.state import State, Thresholds, Watched
from oomguard.vmstat import VmStat

_MODES = tuple(Mode)
_PHASES = tuple(Phase)
_LEVELS = tuple(Level)
_REASONS = tuple(Reason)
_WHOSE = tuple(StallOf)
_LARGEST = (1 << 63) - 1

STATE = Struct("=qd3BH4qdB3d2q5qdq6d2?2q")
SAMPLE = Struct("=d12q?2d12q")
WATCHED = Struct("=B2H")
"""Of an entry, as they follow `STATE`: the length of its name, which comes next, and the numbers."""


def pack_state(state: State) -> bytes:
    """`state` as `STATE` lays it out, then an entry for each of `watched`."""
    return _pack_host(state) + b"".join(map(_pack_watched, state.watched))


def _pack_watched(watched: Watched) -> bytes:
    name = watched.entry.encode("ascii")
    return WATCHED.pack(len(name), watched.groups, watched.crossed) + name


def _unpack_watched(data: bytes) -> Iterator[Watched]:
    while data:
        length, groups, crossed = WATCHED.unpack_from(data)
        end = WATCHED.size + length
        yield Watched(entry=data[WATCHED.size : end].decode("ascii"), groups=groups, crossed=crossed)
        data = data[end:]


def _pack_host(state: State) -> bytes:
    figures, thresholds = state.figures, state.thresholds
    return STATE.pack(
        state.pid,
        state.started,
        _MODES.index(state.mode),
        _PHASES.index(state.phase),
        _LEVELS.index(state.level),
        sum(1 << _REASONS.index(reason) for reason in state.reasons),
        figures.available,
        figures.available_limit,
        figures.swap_free,
        figures.swap_limit,
        figures.stall,
        _WHOSE.index(figures.stall_of),
        figures.stall_budget,
        nan if figures.exhausted_in is None else figures.exhausted_in,
        figures.backlog,
        _word(figures.committed),
        _word(figures.commit_limit),
        thresholds.available_term,
        thresholds.available_kill,
        thresholds.swap_term,
        thresholds.swap_kill,
        _word(thresholds.commit_term),
        thresholds.stall_window,
        state.polls,
        state.polled,
        state.polled_at,
        state.poll_took,
        state.pause,
        state.worst_lateness,
        state.configured,
        state.config_ok,
        state.psi,
        state.candidates,
        state.spared,
    )


def unpack_state(data: bytes) -> State:
    """What `pack_state` packed. Raises `ValueError` for a word that no enumeration has."""
    pid, started, mode, phase, level, reasons, *rest = STATE.unpack_from(data)
    available, available_limit, swap_free, swap_limit, stall, whose, budget, exhausted_in, *rest = rest
    backlog, committed, commit_limit, *rest = rest
    available_term, available_kill, swap_term, swap_kill, commit_term, window, *rest = rest
    polls, polled, polled_at, poll_took, pause, worst_lateness, configured, *rest = rest
    config_ok, psi, candidates, spared = rest
    words = ((mode, _MODES), (phase, _PHASES), (level, _LEVELS), (whose, _WHOSE))
    if any(word >= len(known) for word, known in words) or reasons >> len(_REASONS):
        raise ValueError("unknown word")
    return State(
        pid=pid,
        started=started,
        mode=_MODES[mode],
        phase=_PHASES[phase],
        level=_LEVELS[level],
        reasons=tuple(reason for bit, reason in enumerate(_REASONS) if reasons >> bit & 1),
        figures=Figures(
            available=available,
            available_limit=available_limit,
            swap_free=swap_free,
            swap_limit=swap_limit,
            stall=stall,
            stall_of=_WHOSE[whose],
            stall_budget=budget,
            exhausted_in=None if isnan(exhausted_in) else exhausted_in,
            backlog=backlog,
            committed=committed,
            commit_limit=commit_limit,
        ),
        thresholds=Thresholds(
            available_term=available_term,
            available_kill=available_kill,
            swap_term=swap_term,
            swap_kill=swap_kill,
            commit_term=commit_term,
            stall_window=window,
        ),
        polls=polls,
        polled=polled,
        polled_at=polled_at,
        poll_took=poll_took,
        pause=pause,
        worst_lateness=worst_lateness,
        configured=configured,
        config_ok=config_ok,
        psi=psi,
        candidates=candidates,
        spared=spared,
        watched=tuple(_unpack_watched(data[STATE.size :])),
    )


def pack_sample(sample: Sample) -> bytes:
    """`sample` as `SAMPLE` lays it out."""
    memory, pressure, vmstat = sample.memory, sample.pressure, sample.vmstat
    return SAMPLE.pack(
        sample.at,
        memory.total,
        memory.free,
        memory.available,
        memory.swap_total,
        memory.swap_free,
        memory.active_file,
        memory.inactive_file,
        memory.shmem,
        memory.slab_unreclaimable,
        _word(memory.commit_limit),
        _word(memory.committed),
        memory.hugetlb,
        pressure is not None,
        0.0 if pressure is None else pressure.some,
        0.0 if pressure is None else pressure.full,
        vmstat.allocstall,
        vmstat.pgscan_kswapd,
        vmstat.pgscan_direct,
        vmstat.pgsteal_direct,
        vmstat.refault_file,
        vmstat.refault_anon,
        vmstat.pgmajfault,
        vmstat.pswpin,
        vmstat.pswpout,
        vmstat.oom_kill,
        vmstat.writeback,
        vmstat.zspages,
    )


def unpack_sample(data: bytes) -> Sample:
    """What `pack_sample` packed."""
    at, total, free, available, swap_total, swap_free, active_file, inactive_file, *rest = SAMPLE.unpack(data)
    shmem, slab_unreclaimable, commit_limit, committed, hugetlb, psi, some, full, *rest = rest
    allocstall, scan_kswapd, scan_direct, steal_direct, refault_file, refault_anon, *rest = rest
    pgmajfault, pswpin, pswpout, oom_kill, writeback, zspages = rest
    return Sample(
        at=at,
        memory=Memory(
            total=total,
            free=free,
            available=available,
            swap_total=swap_total,
            swap_free=swap_free,
            active_file=active_file,
            inactive_file=inactive_file,
            shmem=shmem,
            slab_unreclaimable=slab_unreclaimable,
            commit_limit=commit_limit,
            committed=committed,
            hugetlb=hugetlb,
        ),
        pressure=Pressure(some=some, full=full) if psi else None,
        vmstat=VmStat(
            allocstall=allocstall,
            pgscan_kswapd=scan_kswapd,
            pgscan_direct=scan_direct,
            pgsteal_direct=steal_direct,
            refault_file=refault_file,
            refault_anon=refault_anon,
            pgmajfault=pgmajfault,
            pswpin=pswpin,
            pswpout=pswpout,
            oom_kill=oom_kill,
            writeback=writeback,
            zspages=zspages,
        ),
    )


def _word(amount: int) -> int:
    """`amount` within 63 bits: under overcommit, processes can promise themselves more than that."""
    return min(amount, _LARGEST)
