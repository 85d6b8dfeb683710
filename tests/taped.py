"""A guard on a host of which a record is all that is left: its loop is the real one, its surroundings not.

Samples, processes and exits come from the record, time is that of the samples, and nobody is signalled.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import pytest

from oomguard import crew, guard
from oomguard.badness import Machine
from oomguard.census import Census
from oomguard.config import DEFAULTS
from oomguard.episode import Sent
from oomguard.event import Holding, Mode
from oomguard.handover import NOTHING_OPENED
from oomguard.interest import ALL, Interest
from oomguard.kill import Delivery
from oomguard.meminfo import Holdings, Memory, Overcommit
from oomguard.plan import HoldReason, Kill
from oomguard.pressure import Reason, Sample
from oomguard.process import Key
from oomguard.procfs import ProcFS
from oomguard.ranking import Judged
from oomguard.reader import Reader
from oomguard.record import Writer
from oomguard.sampler import Sampler
from oomguard.units import Bytes, Pid, Seconds
from oomguard.vmstat import VmStat
from tests.builders import HEURISTIC
from tests.incident import Exited, Line, Read, Seen, Signalled, Used
from tests.test_guard import Turns, poll, silently

RECORDED = replace(DEFAULTS, limits=replace(DEFAULTS.limits, stall_budget=Seconds(2.0)))
"""What the recorded guards went by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Somebody was signalled."""

    after: Seconds
    """Since the start of the record."""
    stall: Seconds
    """The host's full stall by then, since the start of the record."""
    victim: Pid
    sent: Sent
    reasons: tuple[Reason, ...]
    members: tuple[Judged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What came of a replay."""

    decisions: tuple[Decision, ...]
    holds: tuple[HoldReason, ...]
    """As they were told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Otherwise:
    """What is to be otherwise than it was recorded."""

    judged: Callable[[Judged], Judged] = lambda one: one
    sample: Callable[[Sample], Sample] = lambda sample: sample
    order: random.Random | None = None
    """Who comes in which order; None: as recorded."""


@dataclass(slots=True, kw_only=True)
class Step:
    """What there is to know from one sample to the next."""

    sample: Sample
    everybody: dict[Pid, Judged]
    own: frozenset[Pid]
    holdings: Holdings
    has_exited: bool = False
    signalled: list[Signalled] = field(default_factory=list)


def steps(lines: Iterable[Line], otherwise: Otherwise) -> list[Step]:
    """The record, step by step. Who has not changed is the same object."""
    lines = tuple(lines)
    holdings = next(line.holdings for line in lines if isinstance(line, Used))
    everybody: dict[Pid, Judged] = {}
    own: frozenset[Pid] = frozenset()
    found: list[Step] = []
    for line in lines:
        match line:
            case Read(sample=sample):
                sample = otherwise.sample(sample)
                found.append(Step(sample=sample, everybody=everybody, own=own, holdings=holdings))
            case Seen():
                changed = {one.process.key.pid: otherwise.judged(one) for one in line.changed}
                listed = [(pid, one) for pid, one in {**everybody, **changed}.items() if pid not in line.gone]
                if otherwise.order is not None:
                    otherwise.order.shuffle(listed)
                found[-1].everybody = everybody = dict(listed)
                found[-1].own = own = frozenset(line.own)
            case Used():
                found[-1].holdings = holdings = line.holdings
            case Signalled():
                found[-1].signalled.append(line)
            case Exited():
                found[-1].has_exited = True
    return found


class Tape:
    """Where the replay is: all parts of the guard hear of the same step."""

    def __init__(self, recorded: list[Step], machine: Machine) -> None:
        self.steps = recorded
        self.machine = machine
        self.decisions: list[Decision] = []
        self.at = -1

    @property
    def now(self) -> Step:
        return self.steps[max(self.at, 0)]

    def clock(self) -> Seconds:
        return self.now.sample.at

    def advance(self) -> Sample:
        self.at = min(self.at + 1, len(self.steps) - 1)
        return self.now.sample

    def note(self, kill: Kill, sent: Sent) -> None:
        first, now = self.steps[0].sample, self.now.sample
        assert first.pressure is not None
        assert now.pressure is not None
        decision = Decision(
            after=Seconds(now.at - first.at),
            stall=Seconds(now.pressure.full - first.pressure.full),
            victim=kill.victim.judged.process.key.pid,
            sent=sent,
            reasons=kill.assessment.reasons,
            members=kill.members,
        )
        self.decisions.append(decision)


class TapedHost(ProcFS):
    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape = tape

    def machine(self) -> Machine:
        return self.tape.machine

    def overcommit(self) -> Overcommit:
        return HEURISTIC

    def vmstat(self) -> VmStat:
        return self.tape.now.sample.vmstat

    def holdings(self) -> Holdings:
        return self.tape.now.holdings


class TapedSampler(Sampler):
    def __init__(self, procfs: TapedHost) -> None:
        super().__init__(procfs)
        self._tape = procfs.tape

    @property
    def groups(self) -> AbstractSet[str]:
        return self._tape.now.sample.stalls.keys()

    def watch(self, groups: frozenset[str]) -> None:
        pass

    def take(self, is_near: Callable[[Memory], bool]) -> Sample:
        return self._tape.advance()


class TapedCensus(Census):
    def __init__(self, procfs: TapedHost, *_: object) -> None:
        self._tape = procfs.tape

    @property
    def is_under_way(self) -> bool:
        return False

    def known(self) -> dict[Pid, Judged]:
        return self._tape.now.everybody

    @property
    def left_out(self) -> int:
        return 0

    def learn(self) -> None:
        pass

    def catch_up(self) -> None:
        pass

    def take_likely(self, likely: Iterable[Pid], interest: Interest = ALL) -> dict[Pid, Judged]:
        return self._tape.now.everybody

    def relax(self) -> None:
        pass

    def refresh(self) -> None:
        pass

    def follow(self) -> None:
        pass


class TapedKiller:
    """Signals nobody; its victims exit when the recorded ones did."""

    mode = Mode.ENFORCE
    fds: tuple[int, ...] = ()

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._aimed_at: int | None = None

    def signal(self, kill: Kill, sent: Sent) -> Delivery:
        if self._aimed_at is None:
            self._aimed_at = self._tape.at
        self._tape.note(kill, sent)
        return Delivery.DELIVERED

    def left(self) -> int:
        since = self._tape.steps[self._aimed_at : self._tape.at + 1]
        return int(self._aimed_at is not None and not any(step.has_exited for step in since))

    def stand_down(self) -> None:
        self._aimed_at = None

    def world(self, sample: Sample) -> Sample:
        return sample

    def pretended(self) -> frozenset[Key]:
        return frozenset()

    def pretended_in(self, group: str) -> Bytes:
        return Bytes(0)


class TapedGuard(guard.Guard):
    """The guard, but for its hands, and for who is itself."""

    def __init__(self, tape: Tape, host: TapedHost, writer: Writer) -> None:
        self._tape = tape
        turns = Turns(*(poll for _ in tape.steps))
        super().__init__(RECORDED, lambda: RECORDED, host, writer, silently(RECORDED), turns, NOTHING_OPENED)

    def _own(self) -> frozenset[Pid]:
        return self._tape.now.own


def play(lines: Iterable[Line], otherwise: Otherwise) -> Story:
    """What the guard does, with its defaults, on the host of the record."""
    lines = tuple(lines)
    machine = next(line.machine for line in lines if isinstance(line, Seen))
    tape = Tape(steps(lines, otherwise), machine)
    host, writer = TapedHost(tape), Writer.anonymous()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "Sampler", TapedSampler)
        patch.setattr(crew, "Census", TapedCensus)
        patch.setattr(crew, "Killer", lambda *_: TapedKiller(tape))
        patch.setattr(guard, "Releaser", lambda: None)
        patch.setattr(time, "monotonic", tape.clock)
        TapedGuard(tape, host, writer).run(())
    with Reader.from_fd(os.dup(writer.fd)) as reader:
        told = [each.event for each in reader.events(0)[1]]
    writer.close()
    host.close()
    holds = tuple(event.why for event in told if isinstance(event, Holding))
    return Story(decisions=tuple(tape.decisions), holds=holds)
