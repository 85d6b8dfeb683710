import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from oomguard.cgroup import Layout
from oomguard.cgroupfs import CgroupFS
from oomguard.errors import Gone, Malformed
from oomguard.psi import Pressure
from oomguard.units import Seconds

TEXT = "some avg10=0.00 total=2000000\nfull avg10=0.00 total=1000000\n"
PRESSURE = Pressure(some=Seconds(2), full=Seconds(1))
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


@pytest.mark.parametrize("name", ["a.service", "a b", "ü", "\udcff\udcfe", "a\nb", "..a"])
def test_pressure(tmp_path: Path, name: str) -> None:
    group(tmp_path, name)
    assert unified(tmp_path).pressure(f"/{name}") == PRESSURE


def test_pressure_on_hybrid_hosts(tmp_path: Path) -> None:
    group(tmp_path, "unified/a")
    (tmp_path / "unified/cgroup.controllers").touch()
    assert CgroupFS(str(tmp_path)).pressure("/a") == PRESSURE


def test_no_pressure_without_v2(tmp_path: Path) -> None:
    group(tmp_path, "memory")
    assert CgroupFS(str(tmp_path)).pressure("/memory") is None


def test_no_pressure_where_it_is_not_accounted_for(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert unified(tmp_path).pressure("/a") is None


@pytest.mark.parametrize("path", ["/..", "/../a", "/a/../a"])
def test_nothing_outside_of_the_namespace(tmp_path: Path, path: str) -> None:
    inner = tmp_path / "inner"
    group(tmp_path, "a")
    inner_kill = group(inner, "a") / "cgroup.kill"
    (tmp_path / "memory.pressure").write_text(TEXT)
    cgroups = unified(inner)
    assert cgroups.pressure(path) is None
    cgroups.kill(path)
    assert (tmp_path / "a/cgroup.kill").read_bytes() == inner_kill.read_bytes() == b""


def test_vanished_group(tmp_path: Path) -> None:
    with pytest.raises(Gone, match="/a"):
        unified(tmp_path).pressure("/a")


def test_malformed_pressure_names_its_file(tmp_path: Path) -> None:
    (group(tmp_path, "a") / "memory.pressure").write_text(TEXT[:-5])
    with pytest.raises(Malformed, match=r"a/memory\.pressure: "):
        unified(tmp_path).pressure("/a")


def test_pressure_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a/memory.pressure").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        unified(tmp_path).pressure("/a")


def test_kill(tmp_path: Path) -> None:
    folder = group(tmp_path, "a")
    cgroups = unified(tmp_path)
    cgroups.kill("/a")
    assert (folder / "cgroup.kill").read_bytes() == b"1\n"


def test_kill_is_left_to_others_where_the_kernel_cannot(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    cgroups = unified(tmp_path)
    cgroups.kill("/a")
    cgroups.kill("/vanished")
    assert list((tmp_path / "a").iterdir()) == []


def test_no_kill_where_the_path_may_be_of_another_hierarchy(tmp_path: Path) -> None:
    folder = group(tmp_path, "unified/a")
    (tmp_path / "unified/cgroup.controllers").touch()
    CgroupFS(str(tmp_path)).kill("/a")
    assert (folder / "cgroup.kill").read_bytes() == b""


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
    cgroups = CgroupFS(str(MOUNTED))
    path = f"/{real_group.name}"
    expected = (
        None if not (real_group / "memory.pressure").exists() else Pressure(some=Seconds(0), full=Seconds(0))
    )
    assert cgroups.pressure(path) == expected
    real_group.rmdir()
    with pytest.raises(Gone):
        cgroups.pressure(path)


def test_group_that_is_removed_while_it_is_read(real_group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (real_group / "memory.pressure").exists():
        pytest.skip("this kernel does not account for stalls")
    really_read = os.read

    def removing(fd: int, length: int) -> bytes:
        real_group.rmdir()
        return really_read(fd, length)

    cgroups = CgroupFS(str(MOUNTED))
    monkeypatch.setattr(os, "read", removing)
    with pytest.raises(Gone):
        cgroups.pressure(f"/{real_group.name}")
