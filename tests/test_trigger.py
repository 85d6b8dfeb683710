import os
import select
from pathlib import Path

import pytest

from oomguard.trigger import Line, NoTrigger, Trigger, open_trigger
from oomguard.units import Seconds

PRESSURE = "/proc/pressure/memory"
CAP_SYS_RESOURCE = 24

needs_psi = pytest.mark.skipif(not Path(PRESSURE).exists(), reason="this kernel does not account for stalls")


def privileged() -> bool:
    status = Path("/proc/self/status").read_text()
    capabilities = int(status.partition("CapEff:")[2].split()[0], 16)
    return bool(capabilities & 1 << CAP_SYS_RESOURCE)


@needs_psi
@pytest.mark.parametrize("line", Line)
@pytest.mark.parametrize(
    ("window", "unprivileged"), [(0.5, 2), (1, 2), (2, 2), (2.5, 4), (9.9, 10), (10, 10)]
)
def test_falls_back_to_the_next_window_that_is_allowed(
    line: Line, window: float, unprivileged: float
) -> None:
    trigger = open_trigger(PRESSURE, line, Seconds(0.15), Seconds(window))
    assert isinstance(trigger, Trigger)
    assert trigger.window == (window if privileged() else unprivileged)
    assert (trigger.line, trigger.stall) == (line, 0.15)
    trigger.close()


@needs_psi
def test_trigger_can_be_waited_for() -> None:
    trigger = open_trigger(PRESSURE, Line.FULL, Seconds(1.9), Seconds(2))
    assert isinstance(trigger, Trigger)
    with select.epoll() as epoll:
        epoll.register(trigger.fd, select.EPOLLPRI)
        assert not epoll.poll(0)
    assert not os.get_inheritable(trigger.fd)
    trigger.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(trigger.fd)


@needs_psi
@pytest.mark.parametrize(("stall", "window"), [(0.15, 20), (3, 2), (0.15, 0)])
def test_says_what_the_kernel_refuses(stall: float, window: float) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    refused = open_trigger(PRESSURE, Line.SOME, Seconds(stall), Seconds(window))
    assert isinstance(refused, NoTrigger)
    assert refused.why.startswith(f"{PRESSURE}: the kernel refuses the window")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_says_where_stalls_are_not_accounted_for(tmp_path: Path) -> None:
    refused = open_trigger(f"{tmp_path}/memory", Line.SOME, Seconds(0.15), Seconds(2))
    assert isinstance(refused, NoTrigger)
    assert "CONFIG_PSI" in refused.why


def test_says_what_else_is_wrong(tmp_path: Path) -> None:
    assert open_trigger(str(tmp_path), Line.SOME, Seconds(0.15), Seconds(2)) == NoTrigger(
        f"{tmp_path}: Is a directory"
    )


def test_writes_microseconds_and_a_newline(tmp_path: Path) -> None:
    file = tmp_path / "memory"
    file.touch()
    trigger = open_trigger(str(file), Line.SOME, Seconds(0.15), Seconds(2))
    assert isinstance(trigger, Trigger)
    trigger.close()
    assert file.read_bytes() == b"some 150000 2000000\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="root gives up its rights here")
def test_says_when_it_may_not_be_written(tmp_path: Path) -> None:
    file = tmp_path / "memory"
    file.touch(mode=0o600)
    os.seteuid(65534)
    try:
        refused = open_trigger(str(file), Line.SOME, Seconds(0.15), Seconds(2))
    finally:
        os.seteuid(0)
    assert isinstance(refused, NoTrigger)
    assert "CAP_SYS_RESOURCE" in refused.why
