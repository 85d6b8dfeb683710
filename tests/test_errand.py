from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from oomguard.errand import GULP, LAST_WORDS, Errand, Return
from oomguard.units import Seconds

NOW = Seconds(100.0)
PATIENCE = Seconds(10.0)


def start(script: str, environ: dict[str, str] | None = None) -> Errand:
    return Errand(("/bin/sh", "-c", script), environ or {}, NOW, PATIENCE)


def end(errand: Errand, now: Seconds = NOW) -> Return:
    """Tends it until it has ended; its clock stands still."""
    until = time.monotonic() + 8
    while (found := errand.tend(now)) is None:
        assert time.monotonic() < until
        time.sleep(0.005)
    return found


@pytest.mark.parametrize(
    ("script", "problem", "output"),
    [
        ("true", None, ""),
        ("echo out; echo err >&2", None, "out err"),
        ("echo why; exit 3", "ended with status 3", "why"),
        ("kill -TERM $$", "was ended by signal 15", ""),
        (r"printf 'a\n\n b\tc\377'", None, "a b c\udcff"),
    ],
)
def test_how_it_ended(script: str, problem: str | None, output: str) -> None:
    assert end(start(script)) == Return(problem=problem, output=output)


def test_it_inherits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    null = os.open("/dev/null", os.O_RDONLY)
    ours = os.dup2(null, 200, inheritable=False)
    try:
        found = end(
            start("env | grep -E '^(SECRET|OURS)'; cd /proc/$$/fd; readlink 0; ls 200", {"OURS": "1"})
        )
    finally:
        os.close(null)
        os.close(ours)
    assert found.problem == "ended with status 2"
    assert found.output.startswith("OURS=1 /dev/null ls: ")


def test_signals_do_what_they_do_by_default() -> None:
    found = end(start("grep -E 'Sig(Ign|Blk)' /proc/self/status"))
    _, blocked, _, ignored = found.output.split()
    # Of what has a name: others are the C library's own (signal(7)).
    assert [int(mask, 16) & 0x7FFFFFFF for mask in (blocked, ignored)] == [0, 0]


def test_who_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    errand = start(f"sleep 60 & echo $! >{tmp_path}/pid; wait")
    until = time.monotonic() + 8
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert errand.tend(Seconds(NOW + PATIENCE - 0.1)) is None
        assert time.monotonic() < until
    child = int((tmp_path / "pid").read_text())
    assert end(errand, Seconds(NOW + PATIENCE)).problem == "took longer than 10s and was ended"
    assert is_dead(child)


def test_what_it_leaves_behind_is_ended(tmp_path: Path) -> None:
    found = end(start("sleep 60 & echo $!"))
    assert found.problem is None
    assert is_dead(int(found.output))


def test_it_can_be_stopped() -> None:
    errand = start("sleep 60")
    errand.stop()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_flood_of_words_is_neither_kept_nor_run_after() -> None:
    errand = start("head -c 10000000 /dev/zero | tr '\\0' x; echo done")
    turns = 0
    until = time.monotonic() + 8
    while (found := errand.tend(NOW)) is None:
        assert time.monotonic() < until
        turns += 1
        time.sleep(0.001)
    assert turns >= 10_000_000 // GULP // 2
    assert len(found.output) <= LAST_WORDS
    assert found.output.endswith("xdone")


@pytest.mark.parametrize("program", ["/no/such/program", "/"])
def test_what_cannot_be_started_leaves_nothing_behind(program: str) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match=program):
        Errand((program,), {}, NOW, PATIENCE)
    assert os.listdir("/proc/self/fd") == before


def is_dead(pid: int) -> bool:
    """Gone, or about to be: nobody has to collect an orphan at once."""
    until = time.monotonic() + 8
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in {"Z", "X"}:
            return True
        time.sleep(0.01)
    return False
