from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from oomguard.nudge import NUMBERS, nudge
from oomguard.pidfolder import read_stat
from oomguard.process import Key
from oomguard.remedy import Result
from oomguard.rules import Signal
from oomguard.units import Pid, Ticks

LISTENS = """
import signal, sys
number = int(sys.argv[1])
signal.signal(number, lambda *_: print("heard", flush=True))
print("ready", flush=True)
while True: signal.pause()
"""


def listener(number: int) -> subprocess.Popen[str]:
    words = (sys.executable, "-c", LISTENS, str(number))
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("wanted", Signal)
def test_who_catches_it_gets_it(wanted: Signal) -> None:
    with listener(NUMBERS[wanted]) as process:
        key = read_stat(f"/proc/{process.pid}").key
        assert nudge(key, wanted) is Result.DONE
        assert process.stdout is not None
        assert process.stdout.readline() == "heard\n"
        assert nudge(replace(key, starttime=Ticks(key.starttime + 1)), wanted) is Result.VANISHED
        process.kill()


def test_who_does_not_catch_it_lives_on() -> None:
    with listener(NUMBERS[Signal.USR1]) as process:
        key = read_stat(f"/proc/{process.pid}").key
        assert nudge(key, Signal.USR2) is Result.UNHEARD
        assert process.poll() is None
        process.kill()


def test_who_has_gone_is_told() -> None:
    with subprocess.Popen(("true",)) as process:
        key = read_stat(f"/proc/{process.pid}").key
    assert nudge(key, Signal.USR1) is Result.VANISHED
    assert nudge(Key(Pid(1 << 22), Ticks(1)), Signal.USR1) is Result.VANISHED


def test_who_may_not_be_signalled_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    with listener(NUMBERS[Signal.USR1]) as process:
        key = read_stat(f"/proc/{process.pid}").key
        with monkeypatch.context() as patched:
            patched.setattr(signal, "pidfd_send_signal", refuse)
            assert nudge(key, Signal.USR1) is Result.REFUSED
        with monkeypatch.context() as patched:
            patched.setattr(os, "pidfd_open", refuse)
            assert nudge(key, Signal.USR1) is Result.REFUSED
        process.kill()
