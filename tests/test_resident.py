from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from oomguard import resident
from oomguard.units import MIB, Bytes

LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536));"

HOT = """
import os
from oomguard import resident
from oomguard.units import MIB, Bytes
{prepared}
def work():
    small = [bytes(200) for _ in range(3 * MIB // 256)]
    large = [bytes(100_000) for _ in range(10)]
os.write(1, b"begin")
for _ in range(4):
    work()
os.write(1, b"end")
"""
RESERVED = """
resident.keep_heap()
resident.grow_heap(Bytes(2 * MIB))
pins = resident.hold_arenas(Bytes(4 * MIB))
"""


def in_child(code: str, *wrapper: str) -> subprocess.CompletedProcess[str]:
    command = [*wrapper, sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)


def memory_calls(prepared: str, trace: Path) -> list[str]:
    """The calls by which the process asks for memory, or gives it back, while it works."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing: nobody looks whether the heap stays as it is")
    calls = "trace=mmap,munmap,mremap,brk,madvise,write"
    in_child(HOT.format(prepared=prepared), strace, "-o", str(trace), "-e", calls)
    _, hot = trace.read_text().split('"begin"')
    return re.findall(r"^(mmap|munmap|mremap|brk|madvise)\(", hot.split('"end"')[0], re.MULTILINE)


def test_a_reserved_heap_asks_the_kernel_for_nothing(tmp_path: Path) -> None:
    assert memory_calls(RESERVED, tmp_path / "trace") == []


@pytest.mark.parametrize(
    "prepared",
    [
        "",
        RESERVED.replace("pins = ", ""),
        RESERVED.replace("resident.keep_heap()", ""),
    ],
    ids=["unprepared", "without pins", "a heap that is given back"],
)
def test_without_all_of_it_the_kernel_is_asked(prepared: str, tmp_path: Path) -> None:
    assert memory_calls(prepared, tmp_path / "trace") != []


def test_no_pin_is_farther_from_the_next_than_an_arena_is_long() -> None:
    amount = Bytes(8 * MIB)
    pins = resident.hold_arenas(amount)
    windows = {id(pin) // (resident.ARENA // 2) for pin in pins}
    assert len(windows) == len(pins) >= amount // resident.ARENA
    assert {pin.__sizeof__() for pin in pins} == {resident.SMALL}


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: nothing may be locked")
def test_lock_locks_everything() -> None:
    report = "print(resident.lock(), open('/proc/self/status').read())"
    out = in_child(f"from oomguard import resident; {report}").stdout
    locked, resident_set = (int(re.findall(rf"{key}:\s+(\d+) kB", out)[0]) for key in ("VmLck", "VmRSS"))
    assert out.startswith("()")
    assert locked >= resident_set


def without_capability(name: str, code: str) -> str:
    """What `code` prints in a process without one capability."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("needs root and setpriv to take a capability away")
    return in_child(code, setpriv, f"--bounding-set=-{name}", f"--inh-caps=-{name}").stdout


def test_lock_says_what_is_missing() -> None:
    out = without_capability("ipc_lock", LIMITED + "from oomguard import resident; print(resident.lock())")
    assert "CAP_IPC_LOCK" in out
    assert "from 64 KiB" in out


def test_hurry_says_what_is_missing() -> None:
    out = without_capability("sys_nice", "from oomguard import resident; print(resident.hurry())")
    assert "CAP_SYS_NICE" in out


def real_time_is_to_be_had() -> bool:
    code = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_hurry_takes_the_cpu_first_and_its_children_do_not() -> None:
    if not real_time_is_to_be_had():
        pytest.skip("no real time to be had")
    code = """
import os
from oomguard import resident
missing = resident.hurry()
parent = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR
child = os.fork()
if not child:
    os._exit(os.sched_getscheduler(0) != os.SCHED_OTHER or os.getpriority(0, 0) != 0)
print(missing, parent, os.waitpid(child, 0)[1])
"""
    assert in_child(code).stdout == "() True 0\n"


def test_exempt_asks_for_the_lowest_score(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    score = tmp_path / "self/oom_score_adj"
    score.write_text("0")
    assert resident.exempt(tmp_path) == ()
    assert score.read_text() == "-1000"


def test_exempt_says_what_is_missing() -> None:
    code = "from oomguard import resident; print(resident.exempt())"
    out = without_capability("sys_resource", f"open('/proc/self/oom_score_adj', 'w').write('0'); {code}")
    assert "CAP_SYS_RESOURCE" in out


def test_threads_get_small_stacks() -> None:
    before = threading.stack_size()
    try:
        resident.shrink_stacks()
        assert threading.stack_size() == resident.STACK
    finally:
        threading.stack_size(before)


def test_the_collector_pauses() -> None:
    try:
        resident.pause_collector()
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.enable()


@pytest.mark.parametrize(("limit", "room"), [(20_000, 8192), (300, 300)])
def test_room_for_descriptors_stays_and_takes_none(limit: int, room: int) -> None:
    child = in_child(
        "import os, re, resource\n"
        "from oomguard import resident\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))\n"
        "before = os.listdir('/proc/self/fd')\n"
        "resident.hold_descriptors(8192)\n"
        "assert os.listdir('/proc/self/fd') == before\n"
        "print(re.search(r'FDSize:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    assert int(child.stdout) >= room, child
