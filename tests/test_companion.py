"""The exporter as a child: started again after a kill, given up after a refusal, ended with the guard."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from oomguard.companion import RESTART_PAUSE, Companion
from oomguard.record import Writer
from oomguard.units import Seconds

NOW = Seconds(1000.0)
LATER = Seconds(NOW + RESTART_PAUSE)


@pytest.fixture
def writer() -> Iterator[Writer]:
    writer = Writer.anonymous()
    yield writer
    writer.close()


@pytest.fixture
def companion(writer: Writer) -> Iterator[Companion]:
    companion = Companion("127.0.0.1:0", writer.fd)
    yield companion
    companion.stop()
    if companion.pid is not None:
        wait_for_end(companion)
        companion.tend(NOW)


def wait_for_end(companion: Companion) -> None:
    """Until the child is a zombie: it is the companion's to reap."""
    assert companion.pid is not None
    deadline = time.monotonic() + 10
    while os.waitid(os.P_PID, companion.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        assert time.monotonic() < deadline, "it did not end"
        time.sleep(0.01)


def test_nothing_is_started_before_it_is_time(companion: Companion) -> None:
    assert companion.pid is None
    assert companion.tend(NOW) is None
    pid = companion.pid
    assert pid is not None
    assert companion.tend(LATER) is None
    assert companion.pid == pid


def test_it_ends_with_the_guard(writer: Writer) -> None:
    companion = Companion("127.0.0.1:0", writer.fd)
    companion.tend(NOW)
    companion.stop()
    wait_for_end(companion)
    assert companion.tend(NOW) == "the exporter ended with status 0; there are no metrics"


def test_a_killed_one_is_told_and_started_again_after_a_pause(companion: Companion) -> None:
    companion.tend(NOW)
    assert companion.pid is not None
    os.kill(companion.pid, signal.SIGKILL)
    wait_for_end(companion)
    assert companion.tend(NOW) == "the exporter was killed by signal 9; it is started again"
    assert companion.pid is None
    assert companion.tend(Seconds(LATER - 1)) is None
    assert companion.pid is None
    assert companion.tend(LATER) is None
    assert companion.pid is not None


def test_one_that_refuses_is_told_and_given_up(writer: Writer, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        companion = Companion(f"127.0.0.1:{taken.getsockname()[1]}", writer.fd)
        companion.tend(NOW)
        wait_for_end(companion)
        assert companion.tend(NOW) == "the exporter ended with status 1; there are no metrics"
        assert companion.tend(LATER) is None
        assert companion.pid is None
        companion.stop()
    (line,) = capfd.readouterr().err.splitlines()
    assert "Address already in use" in line


def test_one_that_cannot_be_started_is_tried_again(
    companion: Companion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as host:
        host.setattr(os, "posix_spawn", refuse)
        told = companion.tend(NOW)
    assert told == "the exporter cannot be started: Resource temporarily unavailable; there are no metrics"
    assert companion.tend(LATER) is None
    assert companion.pid is not None
