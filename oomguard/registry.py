"""Who is on the host: the figures as last read, and what the rules say, as that is slow to learn.

A verdict stands as long as the process is the same, runs the same program and has the same user. Newcomers
are judged at a glance: by globs, not by `re:`, and without their command lines.
"""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from itertools import islice

from oomguard.cgroup import NO_CGROUP
from oomguard.errors import Gone, Malformed
from oomguard.frozen import mutable, replace
from oomguard.growth import Past
from oomguard.marks import FREE, Allegiance, heeding
from oomguard.process import Process
from oomguard.procfs import ProcFS
from oomguard.ranking import Judged
from oomguard.resolver import Resolver
from oomguard.rules import NO_RULE, Field, Rule, Subject, Unread, Verdict, glance, judge
from oomguard.units import Pid, Seconds, Uid

UNREADABLE = (Gone, Malformed, OSError)
"""What reading one process may raise."""
SLICE = 64
"""Judged in full within one call of `reconsider`."""
GROUPS = 256
"""Control groups that are asked what the system says of them within one call of `reconsider`."""
MANY_IMAGES = 16
"""Who has run more programs than this under one pid is not waited for any more: a process can feign an exec
(PR_SET_MM_MAP, prctl(2)), and would never be judged if it did so all the time."""
DELETED = " (deleted)"
"""What the kernel adds to the path of a program that was replaced while it ran: by an upgrade, say."""
COMM_LENGTH = 15
"""TASK_COMM_LEN less the terminator."""


@mutable
class Dossier:
    """What is known of one process."""

    judged: Judged
    ruled: Verdict
    """By the rules alone."""
    allegiance: Allegiance | None
    """What the system says of its control group; None where that was not read yet, so that it is spared."""
    past: Past
    seen_at: Seconds
    """When it last was as `judged` has it."""
    subject: Subject
    foreign: bool
    """In another user namespace than the guard's: its capabilities count there, and nowhere else."""
    hasty: bool
    """Judged at a glance: to be judged again in calm."""
    images: int
    """How many programs it has run, as far as was seen."""

    def still(self, at: Seconds) -> None:
        """It has not changed since it was read."""
        held = self.judged.process.held
        self.past.note(at, held)
        self.seen_at = at
        growth = self.past.growth(held)
        if growth != self.judged.growth:
            self.judged = replace(self.judged, growth=growth)

    def update(self, process: Process, at: Seconds) -> None:
        """Other figures of the same program."""
        self.past.note(at, process.held)
        self.seen_at = at
        self.judged = _judged(process, self.ruled, self.allegiance, self.subject, self.past, self.foreign)

    def rejudge(self, rules: tuple[Rule, ...], subject: Subject) -> None:
        """In full, by all that is known of its names."""
        self.subject, self.hasty = subject, False
        self.ruled = judge(rules, subject)
        self.heed(self.allegiance)

    def heed(self, allegiance: Allegiance | None) -> None:
        """What the system says of its control group counts from now on."""
        self.allegiance = allegiance
        self.judged = replace(
            self.judged,
            verdict=heeding(self.ruled, allegiance),
            cgroup=self.subject.cgroup,
            unit=self.subject.unit,
            oom_groups=() if allegiance is None else allegiance.oom_groups,
        )


class Registry:
    """The dossiers of all processes that have been read and are not known to have gone."""

    def __init__(self, procfs: ProcFS, rules: tuple[Rule, ...], resolver: Resolver | None) -> None:
        self.dossiers: dict[Pid, Dossier] = {}
        self._procfs = procfs
        self._rules = rules
        self._glance = glance(rules)
        self._resolver = resolver
        # The guard's own, as init's may not be read from within a container.
        self._home = procfs.user_namespace(Pid(os.getpid()))
        self._users: dict[Uid, str | None] = {}
        self._marks = procfs.group_marks()
        self._unmarked: set[str] = set()

    def enter(self, process: Process, at: Seconds) -> Dossier:
        """`process` as it was read; where its names may be new they are learnt, as far as that is quick.

        Raises `Gone` where it ended meanwhile: without names, no rule would protect it.
        """
        dossier = self.dossiers.get(process.key.pid)
        if dossier is None or dossier.judged.process.key != process.key:
            past = Past(self._procfs.started(process.key), at, process.held)
            dossier = self._learnt(process, at, past, images=1)
        elif _runs_another(process, dossier.judged.process):
            dossier = self._learnt(process, at, dossier.past, images=dossier.images + 1)
        else:
            dossier.update(process, at)
            return dossier
        self.dossiers[process.key.pid] = dossier
        return dossier

    def forget(self, gone: AbstractSet[Pid]) -> None:
        """Keep nothing of those who have gone: a guard runs for years."""
        for pid in gone:
            self.dossiers.pop(pid, None)

    def unsettled(self) -> list[Pid]:
        """Who was seen in its first seconds alone: were it not looked at again, whatever it gained in these
        would count as gained of late, even where it has been steady since."""
        return [
            pid
            for pid, dossier in self.dossiers.items()
            if dossier.seen_at < dossier.past.settles_at and not dossier.judged.process.kernel_thread
        ]

    def judge_fully(self, dossier: Dossier) -> None:
        """By `re:` too, where that was left for later."""
        if dossier.hasty:
            dossier.rejudge(self._rules, dossier.subject)

    def reconsider(self) -> None:
        """Judge in full whoever was judged in haste: a newcomer may be the one that memory is short for."""
        self._read_marks()
        if self._glance == self._rules:
            return
        for dossier in islice((one for one in self.dossiers.values() if one.hasty), SLICE):
            self.judge_fully(dossier)

    def place(self, dossier: Dossier) -> None:
        """Judge anew whoever was moved to another cgroup, as desktops do with what they have started."""
        process = dossier.judged.process
        if process.kernel_thread:
            return
        try:
            membership = self._procfs.membership(process.key.pid)
        except UNREADABLE:
            return
        if membership.path != dossier.subject.cgroup:
            subject = replace(dossier.subject, unit=membership.unit, cgroup=membership.path)
            dossier.rejudge(self._rules, subject)
        allegiance = self._marks.learn(membership.path)
        if allegiance != dossier.allegiance:
            dossier.heed(allegiance)

    def begin_round(self) -> None:
        """Everybody is about to be looked at: what the system says of their groups is read anew."""
        self._marks.renew()

    def collect(self) -> None:
        """Judge again those whose slow names have been found."""
        if self._resolver is None:
            return
        for names in self._resolver.found():
            self._users[names.uid] = names.user
            dossier = self.dossiers.get(names.key.pid)
            if dossier is None:
                continue
            process = dossier.judged.process
            if (process.key, process.image) == (names.key, names.image):
                user = self._users.get(process.uid, dossier.subject.user)
                subject = replace(dossier.subject, user=user, cmdline=names.cmdline)
                dossier.rejudge(self._rules, subject)

    def awaits_names(self) -> bool:
        """Somebody's slow names have not been found yet."""
        return any(one.subject.cmdline is Unread.UNREAD for one in self.dossiers.values())

    def close(self) -> None:
        """Let go of the threads that find slow names."""
        if self._resolver is not None:
            self._resolver.close()

    def _read_marks(self) -> None:
        """Of groups that newcomers are in."""
        if not self._unmarked:
            return
        for path in tuple(islice(self._unmarked, GROUPS)):
            self._marks.learn(path)
            self._unmarked.discard(path)
        for dossier in self.dossiers.values():
            if dossier.allegiance is None:
                dossier.heed(self._marks.known(dossier.subject.cgroup))

    def _learnt(self, process: Process, at: Seconds, past: Past, images: int) -> Dossier:
        past.note(at, process.held)
        subject, foreign = self._names(process, images)
        ruled = NO_RULE if process.kernel_thread else judge(self._glance, subject)
        allegiance = FREE if process.kernel_thread else self._marks.known(subject.cgroup)
        if allegiance is None:
            self._unmarked.add(subject.cgroup)
        return Dossier(
            judged=_judged(process, ruled, allegiance, subject, past, foreign),
            ruled=ruled,
            allegiance=allegiance,
            past=past,
            seen_at=at,
            subject=subject,
            foreign=foreign,
            hasty=not process.kernel_thread and self._glance != self._rules,
            images=images,
        )

    def _names(self, process: Process, images: int) -> tuple[Subject, bool]:
        """As far as they are quick to read; and whether it is in another user namespace than the guard's."""
        pid, slow = process.key.pid, None
        membership, exe, foreign = NO_CGROUP, None, False
        # Kernel threads need no names: no rule is about them.
        if not process.kernel_thread:
            try:
                membership, exe = self._procfs.membership(pid), self._procfs.exe(pid)
                foreign = self._procfs.user_namespace(pid) != self._home
            except (Malformed, OSError):
                membership, exe, foreign = NO_CGROUP, None, True
            if self._resolver is not None:
                self._resolver.ask(pid, process.uid)
                slow = None if images > MANY_IMAGES else Unread.UNREAD
        subject = Subject(
            exe=None if exe is None else exe.removesuffix(DELETED),
            unit=membership.unit,
            cgroup=membership.path,
            user=self._users.get(process.uid, slow),
            comm=process.comm,
            cmdline=slow,
            doubtful=_doubtful(process.comm, exe, foreign),
        )
        return subject, foreign


def _runs_another(now: Process, before: Process) -> bool:
    return now.image != before.image or now.uid != before.uid


def _judged(
    process: Process,
    ruled: Verdict,
    allegiance: Allegiance | None,
    subject: Subject,
    past: Past,
    foreign: bool,
) -> Judged:
    return Judged(
        process=replace(process, cap_effective=0) if foreign else process,
        verdict=heeding(ruled, allegiance),
        cgroup=subject.cgroup,
        unit=subject.unit,
        growth=past.growth(process.held),
        oom_groups=() if allegiance is None else allegiance.oom_groups,
    )


def _doubtful(comm: str, exe: str | None, foreign: bool) -> frozenset[Field]:
    """Names that the process may have made up.

    comm, once it is not the executable's name any more (prctl(2), PR_SET_NAME); and the executable's
    path itself in a user namespace other than the guard's, where anyone may mount anything anywhere.
    """
    doubtful = set()
    if foreign:
        doubtful.add(Field.EXE)
    if foreign or exe is None or exe.rpartition("/")[2][:COMM_LENGTH] != comm:
        doubtful.add(Field.COMM)
    return frozenset(doubtful)
