from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.mountinfo import Mount, hides_processes, in_memory, parse_mountinfo

HOST = rb"""21 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard
22 21 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=1000k
23 22 0:21 / /dev/shm rw,nosuid,nodev shared:3 master:4 - tmpfs tmpfs rw,size=1000k
24 21 0:22 / /run rw,nosuid - tmpfs tmpfs rw
25 21 254:16 / /var rw - xfs /dev/vdb rw
26 25 0:23 / /var/a\040b\134c rw - tmpfs none rw
27 24 0:24 / /run/secrets rw - ramfs none rw
28 21 0:25 / /proc rw - proc proc rw
"""


def paths(text: bytes) -> list[bytes]:
    return [mount.path for mount in in_memory(parse_mountinfo(text))]


def test_parse() -> None:
    assert parse_mountinfo(HOST)[2] == Mount(
        id=23, parent=22, device=b"0:21", path=b"/dev/shm", kind=b"tmpfs"
    )
    assert parse_mountinfo(HOST)[5].path == rb"/var/a b\c"
    assert len(parse_mountinfo(HOST)) == 8


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense\n",
        b"1 2 3:4 / /x rw\n",
        b"21 1 254:1 / / rw - ext",
        b"%b 1 254:1 / / rw - ext4 /dev/vda rw\n" % (b"9" * 5000),
        b"21 %b 254:1 / / rw - ext4 /dev/vda rw\n" % (b"9" * 5000),
    ],
    ids=["empty", "nonsense", "cut off", "cut off later", "an id too long", "a parent too long"],
)
def test_what_is_no_mount_is_left_out(line: bytes) -> None:
    assert parse_mountinfo(line) == ()


@given(st.binary())
def test_any_text_parses(data: bytes) -> None:
    parse_mountinfo(data)


def test_this_host() -> None:
    text = Path("/proc/self/mountinfo").read_bytes()
    assert len(parse_mountinfo(text)) == text.count(b"\n")


def test_in_memory() -> None:
    assert paths(HOST) == [b"/dev", b"/dev/shm", b"/run", rb"/var/a b\c"]


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        # A user's own FUSE over what is his, or over what is on the way.
        (b"90 24 0:99 / /run rw - fuse.x x rw\n", b"/run"),
        (b"90 23 0:99 / /dev/shm rw - fuse x rw\n", b"/dev/shm"),
        (b"90 22 0:99 / /dev rw - devpts x rw\n", b"/dev"),
        (b"90 22 0:99 / /dev rw - devpts x rw\n", b"/dev/shm"),
        (b"90 21 0:99 / /var rw - nfs4 server:/var rw\n", rb"/var/a b\c"),
        # A server on the way to what is in memory, and a block device that a user's program answers for.
        (b"90 25 0:99 / /var rw - nfs x rw\n91 90 0:98 / /var/s rw - tmpfs x rw\n", b"/var/s"),
        (b"90 26 0:99 / /var/a\\040b\\134c rw - tmpfs x rw\n", b"none"),
        (b"90 25 254:17 / /var rw - fuseblk x rw\n91 90 0:98 / /var/t rw - tmpfs x rw\n", b"/var/t"),
    ],
)
def test_past_what_may_hang_nobody_goes(line: bytes, lost: bytes) -> None:
    assert lost not in paths(HOST + line)


def test_the_one_on_top_is_asked() -> None:
    on_top = b"90 24 0:99 / /run rw - tmpfs x rw\n"
    assert [mount.id for mount in in_memory(parse_mountinfo(HOST + on_top)) if mount.path == b"/run"] == [90]


def test_each_file_system_is_asked_once() -> None:
    assert paths(HOST + b"90 21 0:22 /lock /lock rw - tmpfs tmpfs rw\n") == paths(HOST)


@pytest.mark.parametrize(
    ("root", "found"),
    [
        (b"1 1 0:2 / / rw - rootfs none rw\n", [b"/", b"/run"]),
        (b"1 0 0:2 / / rw - nfs server:/ rw\n", [b"/run"]),
        (b"1 0 0:2 / / rw - rootfs none rw\n7 1 0:7 / / rw - overlay none rw\n", []),
        # In a chroot that is no mount, no way can be told.
        (b"", []),
    ],
)
def test_whatever_the_root_is(root: bytes, found: list[bytes]) -> None:
    assert paths(root + b"5 1 0:5 / /run rw - tmpfs none rw\n") == found


@pytest.mark.parametrize(
    ("mounts", "hides"),
    [
        (b"", False),
        (b"28 21 0:25 / /proc rw - proc proc rw\n", False),
        (b"28 21 0:25 / /proc rw,nosuid shared:3 - proc proc rw,hidepid=invisible\n", True),
        (b"28 21 0:25 / /proc rw - proc proc rw,gid=4,hidepid=2\n", True),
        (b"28 21 0:25 / /proc rw - proc proc rw,hidepid=0\n", False),
        (b"28 21 0:25 / /proc rw - proc proc rw,hidepid=off\n", False),
        (b"28 21 0:25 / /chroot/proc rw - proc proc rw,hidepid=2\n", False),
        (b"28 21 0:25 / /proc rw - proc proc rw\n29 28 0:26 / /proc rw - proc proc rw,hidepid=4\n", True),
        (b"28 21 0:25 / /proc rw - tmpfs hidepid=2 rw\n", False),
    ],
)
def test_a_proc_that_hides_processes(mounts: bytes, hides: bool) -> None:
    assert hides_processes(HOST.replace(b"28 21 0:25 / /proc rw - proc proc rw\n", mounts)) is hides
