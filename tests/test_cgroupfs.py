import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from oomguard.cgroup import Layout
from oomguard.cgroupfs import MEMORY_PRESSURE, CgroupFS, GroupStalls
from oomguard.marks import UNMARKED, Marks, Preference
from oomguard.memcg import parse_switch
from oomguard.units import Seconds

TEXT = "some avg10=0.00 total=2000000\nfull avg10=0.00 total=1000000\n"
FULL = Seconds(1)
MOUNTED = Path("/sys/fs/cgroup")


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        (["cgroup.controllers"], Layout.UNIFIED),
        (["unified/cgroup.controllers", "memory/tasks"], Layout.HYBRID),
        (["unified/cgroup.controllers"], Layout.HYBRID),
        (["unified/x", "systemd/tasks"], Layout.LEGACY),
        (["memory/tasks"], Layout.LEGACY),
        (["systemd/tasks"], Layout.LEGACY),
        (["cpu/tasks"], Layout.NONE),
        ([], Layout.NONE),
    ],
)
def test_layout(tmp_path: Path, files: list[str], layout: Layout) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert CgroupFS(str(tmp_path)).layout is layout


def unified(root: Path) -> CgroupFS:
    (root / "cgroup.controllers").touch()
    return CgroupFS(str(root))


def group(root: Path, path: str) -> Path:
    folder = root / path
    folder.mkdir(parents=True)
    (folder / "memory.pressure").write_text(TEXT)
    (folder / "cgroup.kill").touch()
    return folder


def stalls(cgroups: CgroupFS, *groups: str) -> dict[str, Seconds]:
    reader = GroupStalls(cgroups, MEMORY_PRESSURE)
    reader.watch(frozenset(groups))
    found = reader.read()
    reader.close()
    assert reader.read() == {}
    return found


@pytest.mark.parametrize("name", ["a.service", "a b", "ü", "\udcff\udcfe", "a\nb", "..a"])
def test_stalls(tmp_path: Path, name: str) -> None:
    group(tmp_path, name)
    assert stalls(unified(tmp_path), f"/{name}") == {f"/{name}": FULL}


def test_stalls_on_hybrid_hosts(tmp_path: Path) -> None:
    group(tmp_path, "unified/a")
    (tmp_path / "unified/cgroup.controllers").touch()
    assert stalls(CgroupFS(str(tmp_path)), "/a") == {"/a": FULL}


def test_no_stalls_without_v2(tmp_path: Path) -> None:
    group(tmp_path, "memory")
    assert stalls(CgroupFS(str(tmp_path)), "/memory") == {}


def test_who_has_gone_or_says_nothing_keeps_nobody_else_out(tmp_path: Path) -> None:
    group(tmp_path, "a")
    (group(tmp_path, "malformed") / "memory.pressure").write_text(TEXT[:-5])
    (tmp_path / "not-accounted-for").mkdir()
    (tmp_path / "folder/memory.pressure").mkdir(parents=True)
    groups = ("/vanished", "/malformed", "/not-accounted-for", "/folder", "/a")
    assert stalls(unified(tmp_path), *groups) == {"/a": FULL}


def test_watching_others(tmp_path: Path) -> None:
    first, second = group(tmp_path, "a"), group(tmp_path, "b")
    reader = GroupStalls(unified(tmp_path), MEMORY_PRESSURE)
    reader.watch(frozenset({"/a", "/b"}))
    reader.read()
    reader.watch(frozenset({"/b"}))
    (second / "memory.pressure").write_text(TEXT.replace("total=1", "total=9"))
    (first / "memory.pressure").unlink()
    assert reader.read() == {"/b": Seconds(9)}
    reader.close()


def test_who_is_watched_no_longer_costs_no_descriptor(tmp_path: Path) -> None:
    group(tmp_path, "a")
    reader = GroupStalls(unified(tmp_path), MEMORY_PRESSURE)
    before = len(os.listdir("/proc/self/fd"))
    reader.watch(frozenset({"/a"}))
    reader.read()
    assert len(os.listdir("/proc/self/fd")) == before + 1
    reader.watch(frozenset())
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("path", ["/..", "/../a", "/a/../a"])
def test_nothing_outside_of_the_namespace(tmp_path: Path, path: str) -> None:
    inner = tmp_path / "inner"
    group(tmp_path, "a")
    inner_kill = group(inner, "a") / "cgroup.kill"
    (tmp_path / "memory.pressure").write_text(TEXT)
    cgroups = unified(inner)
    assert stalls(cgroups, path) == {}
    assert not cgroups.kill(path)
    assert (tmp_path / "a/cgroup.kill").read_bytes() == inner_kill.read_bytes() == b""


def test_kill(tmp_path: Path) -> None:
    folder = group(tmp_path, "a")
    cgroups = unified(tmp_path)
    assert cgroups.kill("/a")
    assert (folder / "cgroup.kill").read_bytes() == b"1\n"


def test_kill_is_left_to_others_where_the_kernel_cannot(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    cgroups = unified(tmp_path)
    assert not cgroups.kill("/a")
    assert not cgroups.kill("/vanished")
    assert list((tmp_path / "a").iterdir()) == []


def test_no_kill_where_the_path_may_be_of_another_hierarchy(tmp_path: Path) -> None:
    folder = group(tmp_path, "unified/a")
    (tmp_path / "unified/cgroup.controllers").touch()
    assert not CgroupFS(str(tmp_path)).kill("/a")
    assert (folder / "cgroup.kill").read_bytes() == b""


def test_children(tmp_path: Path) -> None:
    cgroups = unified(tmp_path)
    for name in ("b", "a\nb", "\udcff", "a"):
        group(tmp_path, f"pens/{name}")
    (tmp_path / "pens/link").symlink_to("a")
    assert cgroups.children("/pens") == ["a", "a\nb", "b", "\udcff"]
    assert cgroups.children("/vanished") == cgroups.children("/../pens") == []
    assert "pens" in cgroups.children("/")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/pens/a*", ["/pens/a", "/pens/ab"]),
        ("/pens/[!a]", ["/pens/b"]),
        ("/pens", ["/pens"]),
        ("/gone", ["/gone"]),
        ("/gone/*", []),
        ("/pen?", ["/pens"]),
        ("/", ["/"]),
    ],
)
def test_the_groups_that_a_path_means(tmp_path: Path, path: str, found: list[str]) -> None:
    cgroups = unified(tmp_path)
    for name in ("a", "ab", "b"):
        group(tmp_path, f"pens/{name}")
    assert cgroups.matching(path) == found


def test_values(tmp_path: Path) -> None:
    cgroups = unified(tmp_path)
    (group(tmp_path, "a") / "memory.max").write_text("max\n")
    assert cgroups.value("/a", "memory.max", parse_switch) is None
    (tmp_path / "a/memory.max").write_text("1\n")
    assert cgroups.value("/a", "memory.max", parse_switch) is True
    assert cgroups.value("/a", "memory.high", parse_switch) is None
    assert cgroups.value("/../a", "memory.max", parse_switch) is None


OMIT, AVOID = "user.oomd_omit", "user.oomd_avoid"


@pytest.mark.parametrize(
    ("attributes", "preference"),
    [
        ({}, Preference.NONE),
        ({AVOID: b"1"}, Preference.AVOID),
        ({OMIT: b"1"}, Preference.OMIT),
        ({AVOID: b"1", OMIT: b"true"}, Preference.OMIT),
        ({AVOID: b"Yes", OMIT: b"0"}, Preference.AVOID),
        ({OMIT: b""}, Preference.NONE),
        ({OMIT: b"1" * 4096}, Preference.NONE),
    ],
)
def test_what_systemd_prefers(tmp_path: Path, attributes: dict[str, bytes], preference: Preference) -> None:
    folder = marked(tmp_path, attributes)
    if os.geteuid() == 0:
        assert unified(tmp_path).marks("/a") == Marks(preference=preference, oom_group=False)
    (folder / "memory.oom.group").write_text("1\n")
    assert unified(tmp_path).marks("/a").oom_group


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(("uid", "mode"), [(1000, 0o755), (0, 0o775), (0, 0o757)])
def test_only_where_nobody_but_root_may_say_so(tmp_path: Path, uid: int, mode: int) -> None:
    folder = marked(tmp_path, {OMIT: b"1"})
    os.chown(folder, uid, 0)
    folder.chmod(mode)
    assert unified(tmp_path).marks("/a").preference is Preference.NONE


def test_nothing_is_said_of_who_has_gone_or_without_v2_alone(tmp_path: Path) -> None:
    assert unified(tmp_path).marks("/vanished") == UNMARKED
    marked(tmp_path, {OMIT: b"1"})
    (tmp_path / "cgroup.controllers").unlink()
    (tmp_path / "memory").mkdir()
    assert CgroupFS(str(tmp_path)).marks("/a") == UNMARKED


def marked(root: Path, attributes: dict[str, bytes]) -> Path:
    folder = group(root, "a")
    try:
        for name, value in attributes.items():
            os.setxattr(folder, name, value)
    except OSError as error:
        pytest.skip(f"no attributes of users here: {error}")
    return folder


@pytest.fixture
def real_group() -> Iterator[Path]:
    """A group of our own in the host's v2 tree."""
    root = MOUNTED if (MOUNTED / "cgroup.controllers").exists() else MOUNTED / "unified"
    folder = root / f"oomguard-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no v2 groups to be made here: {error}")
    yield folder
    if folder.exists():
        folder.rmdir()


def test_group_of_the_kernel(real_group: Path) -> None:
    reader = GroupStalls(CgroupFS(str(MOUNTED)), MEMORY_PRESSURE)
    path = f"/{real_group.name}"
    reader.watch(frozenset({path}))
    accounted_for = (real_group / "memory.pressure").exists()
    assert reader.read() == ({path: Seconds(0)} if accounted_for else {})
    real_group.rmdir()
    assert reader.read() == {}
    reader.close()
