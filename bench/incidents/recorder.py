"""The guard itself, in the machine, with its ears tapped: at its end it writes down what it got and did.

    recorder.py OUTPUT

What it taps are the doors between the guard's parts; what is behind them is the guard as it is. Nothing is
written while it guards.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from oomguard import config, crew, guard, scout, start
from oomguard.episode import Sent
from oomguard.handover import NOTHING_OPENED, Legacy
from oomguard.kill import Delivery, Killer
from oomguard.ladder import Basis, Ladder
from oomguard.meminfo import Holdings, Memory
from oomguard.plan import Kill
from oomguard.pressure import Sample
from oomguard.procfs import ProcFS
from oomguard.ranking import Judged, Ranking
from oomguard.sampler import Sampler
from oomguard.units import Pid
from tests.incident import Exited, Line, Read, Seen, Signalled, Used, dump

LOG: list[Line | tuple[Mapping[Pid, Judged], Basis]] = []
"""Looks are told in full, and made into what has changed at the end."""


class TappedSampler(Sampler):
    """Tells each sample."""

    def take(self, is_near: Callable[[Memory], bool]) -> Sample:
        """As it does."""
        sample = super().take(is_near)
        LOG.append(Read(sample=sample))
        return sample


class TappedLadder(Ladder):
    """Tells who is ranked."""

    def rank(self, everybody: Mapping[Pid, Judged], basis: Basis) -> Ranking:
        """As it does."""
        LOG.append((everybody, basis))
        return super().rank(everybody, basis)


class TappedProcFS(ProcFS):
    """Tells what memory is used for."""

    def holdings(self) -> Holdings:
        """As it does."""
        holdings = super().holdings()
        LOG.append(Used(holdings=holdings))
        return holdings


class TappedKiller(Killer):
    """Tells what was done, and when it was over."""

    def signal(self, kill: Kill, sent: Sent) -> Delivery:
        """As it does."""
        delivery = super().signal(kill, sent)
        LOG.append(
            Signalled(
                victim=kill.victim.judged.process.key.pid,
                sent=sent,
                reasons=kill.assessment.reasons,
                members=len(kill.members),
                delivery=delivery,
            )
        )
        return delivery

    def left(self) -> int:
        """As it does."""
        left = super().left()
        if not left and self.fds:
            LOG.append(Exited())
        return left


def main(output: str) -> None:
    """Guard with the machine's configuration until told to stop."""
    vars(guard).update(Sampler=TappedSampler)
    vars(crew).update(Killer=TappedKiller)
    vars(scout).update(Ladder=TappedLadder)
    vars(start).update(ProcFS=TappedProcFS)
    documents, _ = config.read(None)
    left = Legacy(documents=documents, opened=NOTHING_OPENED).leave()
    start.main(str(left), "", "", "")
    Path(output).write_bytes(dump(lines()))


def lines() -> list[Line]:
    """The log, with each look as what has changed since the one before."""
    told: list[Line] = []
    known: Mapping[Pid, Judged] = {}
    for entry in LOG:
        if not isinstance(entry, tuple):
            told.append(entry)
            continue
        everybody, basis = entry
        told.append(
            Seen(
                changed=tuple(one for pid, one in everybody.items() if known.get(pid) is not one),
                gone=tuple(known.keys() - everybody.keys()),
                own=tuple(basis.exempt.own),
                machine=basis.machine,
            )
        )
        known = everybody
    return told


if __name__ == "__main__":
    main(*sys.argv[1:])
