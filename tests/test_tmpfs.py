from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oomguard import tmpfs
from oomguard.units import MIB, Seconds

SCENE = r"""
set -e
mount -t tmpfs none "$1"
cd "$1"
mkdir big covered bound empty 'odd "name'
for folder in *; do mount -t tmpfs none "$folder"; done
head -c 3M /dev/zero >big/file
head -c 2M /dev/zero >'odd "name/file'
head -c 4M /dev/zero >covered/file
mount -t tmpfs none covered
mount --bind big bound
exec "$2" -c 'import json; from oomguard import tmpfs; print(json.dumps(tmpfs.biggest()))'
"""


def test_the_biggest_come_first_and_what_is_covered_is_left_out(tmp_path: Path) -> None:
    if os.geteuid() != 0 or (unshare := shutil.which("unshare")) is None:
        pytest.skip("needs root and unshare: nothing is mounted")
    # In its own namespace of pids, PID 1 is the one that mounts.
    command = [unshare, "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", SCENE, "sh"]
    done = subprocess.run(
        [*command, str(tmp_path), sys.executable], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    found = [(path, used) for path, used in json.loads(done.stdout) if path.startswith(str(tmp_path))]
    assert found == [(f"{tmp_path}/big", 3 * MIB), (f'{tmp_path}/odd "name', 2 * MIB)]


def test_this_host() -> None:
    for path, used in tmpfs.biggest():
        usage = os.statvfs(path)
        assert abs((usage.f_blocks - usage.f_bfree) * usage.f_frsize - used) < 64 * MIB


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc where oneself may be looked at, but not PID 1."""
    (tmp_path / "1").mkdir()
    (tmp_path / "self").mkdir()
    (tmp_path / "self/root").symlink_to("/")
    shutil.copyfile("/proc/self/mountinfo", tmp_path / "self/mountinfo")
    return tmp_path


def test_where_only_root_may_see_more_one_sees_as_oneself(proc: Path) -> None:
    ours = {path for path, _ in tmpfs.biggest(proc)}
    (proc / "1/root").symlink_to("/")
    shutil.copyfile("/proc/self/mountinfo", proc / "1/mountinfo")
    assert {path for path, _ in tmpfs.biggest(proc)} == ours


def test_nothing_to_see(tmp_path: Path) -> None:
    assert tmpfs.biggest(tmp_path) == ()


def test_whatever_was_mounted_there_since_is_not_asked(proc: Path) -> None:
    mountinfo = proc / "self/mountinfo"
    mountinfo.write_text(re.sub(r"^(\d+) (\d+)", r"9\1 9\2", mountinfo.read_text(), flags=re.MULTILINE))
    assert tmpfs.biggest(proc) == ()


def test_a_mount_that_has_gone_is_left_out(proc: Path) -> None:
    with (proc / "self/mountinfo").open("a") as file:
        root = re.search(r"^(\d+) \d+ \S+ \S+ / ", (proc / "self/mountinfo").read_text(), re.MULTILINE)
        assert root is not None
        file.write(f"99999 {root[1]} 0:99999 / /no/such/folder rw - tmpfs none rw\n")
    assert {path for path, _ in tmpfs.biggest(proc)} == {path for path, _ in tmpfs.biggest()}


def test_asking_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tmpfs, "PATIENCE", Seconds(-1.0))
    assert tmpfs.biggest() == ()
