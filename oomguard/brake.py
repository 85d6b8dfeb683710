"""Holds swapping out back for a moment, once a victim's memory is there.

The kernel goes on with what it has begun: passes of reclaim that were started while memory was short send
the pages of bystanders to swap with hundreds of MiB available, and then everybody waits for the disk that
writes them (mm/vmscan.c `shrink_lruvec()` stops by what it has freed, not by what is free meanwhile).
A control group whose memory.swap.max is 0 gets no more room in swap (`mem_cgroup_try_charge_swap()`), so
such a pass ends at once. What is in swap stays there, and can be read.

Only while more is available than the limit: without swap, a shortage is the kernel's killer's affair. To
read and to write memory.swap.max takes no lock that anybody holds for long (mm/memcontrol.c
`swap_max_write()`), so the guard does it itself.
"""

from __future__ import annotations

import os
from contextlib import suppress

from oomguard import restraint
from oomguard.cgroup import Layout
from oomguard.cgroupfs import CgroupFS
from oomguard.notes import Notes
from oomguard.pressure import Assessment, Sample
from oomguard.remedy import Result
from oomguard.restraint import Note, Refusal
from oomguard.units import Seconds

LASTS = Seconds(5.0)
"""Of 150 tasks that wait for a slow disk in the middle of such a pass, the last goes on with it so late."""


class Brake:
    """The hold on all control groups below the root; noted before it is taken, for the next guard to undo."""

    def __init__(self, groups: CgroupFS, notes: str) -> None:
        """`notes`: the path of its notes, which nobody else has open."""
        self._groups = groups
        self._path = notes
        self._notes: Notes | None = None
        self._held: tuple[Note, ...] = ()
        self._until = Seconds(0.0)
        self._is_spent = False

    def recover(self) -> tuple[str, ...]:
        """Undo what a guard that has died left held; gives those groups. Raises `OSError`."""
        with suppress(FileNotFoundError):
            if os.stat(self._path).st_size:
                self._notes = Notes(self._path)
                self._held = self._notes.read()
        left = tuple(note.cgroup for note in self._held)
        self.lift()
        return left

    def close(self) -> None:
        """Let the next guard have the notes; another hold opens them again."""
        if self._notes is not None:
            self._notes.close()
            self._notes = None

    def hold(self, sample: Sample, assessment: Assessment) -> Result | None:
        """Once an episode, as soon as memory is there; gives what came of it, None for nothing."""
        has_swap = sample.memory.swap_total and self._groups.layout is Layout.UNIFIED
        # What is held already must not be noted anew: what it said before would be lost.
        if self._is_spent or self.is_on or not has_swap or assessment.figures.is_low:
            return None
        self._is_spent = True
        self._until = Seconds(sample.at + LASTS)
        try:
            self._held = tuple(self._planned())
            if self._notes is None:
                self._notes = Notes(self._path)
            self._notes.write(self._held)
        except OSError:
            # What could not be noted must not be done.
            self._held = ()
            self.close()
            return Result.REFUSED
        if not self._held:
            self.close()
            return None
        refused = 0
        for note in self._held:
            try:
                restraint.restrain(self._groups, note)
            except Refusal as refusal:
                refused += refusal.result is Result.REFUSED
        return Result.REFUSED if refused == len(self._held) else Result.DONE

    def tend(self, sample: Sample, assessment: Assessment) -> None:
        """Let go in time, and at once where memory is short again."""
        if self._held and (sample.at >= self._until or assessment.figures.is_low):
            self.lift()

    def ready(self) -> None:
        """The episode is over: the next may hold again."""
        self._is_spent = False

    @property
    def is_on(self) -> bool:
        """Whether anything is held now."""
        return bool(self._held)

    def lift(self) -> None:
        """Let go; what could not be let go of is tried again by the next call."""
        left = []
        for note in self._held:
            try:
                restraint.undo(self._groups, note)
            except Refusal:
                left.append(note)
        if self._held and self._notes is not None:
            self._held = tuple(left)
            self._notes.write(left)
        if not left:
            self.close()

    def _planned(self) -> list[Note]:
        notes = []
        for name in self._groups.children("/"):
            # A group may vanish, have no swap to begin with, or no controller of memory.
            with suppress(Refusal):
                notes.append(restraint.plan_hold(self._groups, f"/{name}"))
        return notes
