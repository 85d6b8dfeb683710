"""A program that runs on its own: nobody waits for it, its time is limited, and so is what it may say.

For those who tell: life signs and other errands must not be late because one hangs.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress

from oomguard.frozen import frozen
from oomguard.names import decode
from oomguard.units import KIB, Bytes, Pid, Seconds, spell_duration

LAST_WORDS = Bytes(1 * KIB)
"""What is kept of an output: its end, as that is where programs say why they fail."""
GULP = Bytes(64 * KIB)
"""What is read at a time, as much as a pipe holds: who writes more than that waits for the next time."""

_ORDINARY = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
"""What is ignored stays so over exec (signal(7)): by Python, or by whoever started us."""


@frozen
class Return:
    """How an errand ended."""

    problem: str | None
    """What went wrong, as the end of a sentence about the program; None where nothing did."""
    output: str
    """The end of what it said, in one line."""


class Errand:
    """One run of a program, in a process group of its own, with nothing of ours but what it is handed."""

    def __init__(
        self, words: tuple[str, ...], environ: Mapping[str, str], now: Seconds, patience: Seconds
    ) -> None:
        """Start `words`, by absolute path and without a shell. Raises OSError where that cannot be."""
        self._output, theirs = os.pipe()
        os.set_blocking(self._output, False)
        try:
            pid = os.posix_spawn(
                words[0],
                words,
                environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, theirs, 1),
                    (os.POSIX_SPAWN_DUP2, theirs, 2),
                ],
                setpgroup=0,
                setsigmask=(),
                setsigdef=_ORDINARY,
            )
        except OSError:
            os.close(self._output)
            raise
        finally:
            os.close(theirs)
        self._pid = Pid(pid)
        self._patience = patience
        self._until = Seconds(now + patience)
        self._is_late = False
        self._said = b""

    def tend(self, now: Seconds) -> Return | None:
        """Go on with it; gives how it ended, once it has. To be called again and again until then."""
        self._listen()
        # Not collected yet, so that its pid stays that of its group.
        if os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return self._end()
        if now >= self._until:
            self._is_late = True
            self._kill()
        return None

    def stop(self) -> None:
        """End it now, with all that it started."""
        self._kill()
        self._end()

    def _listen(self) -> None:
        with suppress(BlockingIOError):
            self._said = (self._said + os.read(self._output, GULP))[-LAST_WORDS:]

    def _kill(self) -> None:
        # What it runs as another user, nobody without the right to may end.
        with suppress(PermissionError):
            os.killpg(self._pid, signal.SIGKILL)

    def _end(self) -> Return:
        # Whatever it left behind in its group.
        self._kill()
        _, status = os.waitpid(self._pid, 0)
        self._listen()
        os.close(self._output)
        return Return(problem=self._problem(os.waitstatus_to_exitcode(status)), output=self._words())

    def _problem(self, code: int) -> str | None:
        if self._is_late:
            return f"took longer than {spell_duration(self._patience)} and was ended"
        if code > 0:
            return f"ended with status {code}"
        return f"was ended by signal {-code}" if code < 0 else None

    def _words(self) -> str:
        return " ".join(decode(self._said).split())
