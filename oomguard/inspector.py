"""Reads one process into the registry: all of it, or whether it has changed at all since it was read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from oomguard.badness import OOM_SCORE_ADJ_MIN
from oomguard.errors import Gone
from oomguard.process import Process
from oomguard.procfs import ProcFS, uptime
from oomguard.registry import UNREADABLE, Dossier, Registry
from oomguard.rules import Standing
from oomguard.units import Pid, Seconds

T = TypeVar("T")


class Inspector:
    """Who cannot be read is None, and keeps nobody else from being read."""

    def __init__(self, procfs: ProcFS, registry: Registry) -> None:
        """`registry` takes in what is read, and is told of those who have gone."""
        self._procfs = procfs
        self._registry = registry

    def read(self, pid: Pid, at: Seconds) -> Dossier | None:
        """All of it, anew."""
        process = self.ask(self._procfs.process, pid)
        return None if process is None else self.ask(lambda _: self._registry.enter(process, at), pid)

    def look(self, pid: Pid, at: Seconds) -> Dossier | None:
        """The same, but for who has not changed since."""
        dossier = self._registry.dossiers.get(pid)
        if dossier is None:
            return self.read(pid, at)
        fingerprint = self.ask(self._procfs.fingerprint, pid)
        if fingerprint is None:
            return None
        if dossier.judged.process.fingerprint != fingerprint:
            return self.read(pid, at)
        dossier.still(at)
        return dossier

    def ask(self, question: Callable[[Pid], T], pid: Pid) -> T | None:
        """None for who has gone, and for whom we cannot judge: one such process must not save the others."""
        try:
            return question(pid)
        except Gone:
            self._registry.forget({pid})
        except UNREADABLE:
            pass
        return None

    def confirms(self, process: Process) -> bool:
        """Whether this may still die: the same process, and where it runs another program, judged anew."""
        dossier = self.read(process.key.pid, uptime())
        if dossier is None or dossier.judged.process.key != process.key:
            return False
        now, verdict = dossier.judged.process, dossier.judged.verdict
        if now.oom_score_adj == OOM_SCORE_ADJ_MIN:
            return False
        if (now.image, now.uid) == (process.image, process.uid):
            return True
        return verdict.standing is not Standing.NEVER and not verdict.unresolved
