from __future__ import annotations

from pathlib import Path

import pytest

from oomguard.arcstats import parse_arcstats
from oomguard.errors import Malformed
from oomguard.procfs import ProcFS
from tests.builders import mib

TEXT = b"""13 1 0x01 147 39984 1405644657 619562335795635
name                            type data
hits                            4    138399132
memory_throttle_count           4    0
c                               4    8377073664
c_min                           4    %d
c_max                           4    8589934592
size                            4    %d
compressed_size                 4    7164428288
overhead_size                   4    613814272
hdr_size                        4    11808
"""


@pytest.mark.parametrize(
    ("least", "size", "shrinks"), [(mib(100), mib(700), mib(600)), (mib(100), mib(30), 0), (0, 0, 0)]
)
def test_parse(least: int, size: int, shrinks: int) -> None:
    assert parse_arcstats(TEXT % (least, size)) == shrinks


@pytest.mark.parametrize(
    "text",
    [
        TEXT[:-1],
        (TEXT % (1, 2)).replace(b"\nc_min ", b"\nd_min "),
        (TEXT % (1, 2)).replace(b"\nsize ", b"\nsizes "),
        (TEXT % (1, 2)).replace(b"4    2\n", b"4    two\n"),
        b"",
    ],
)
def test_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        parse_arcstats(text)


def test_what_zfs_can_give_back_is_available(tmp_path: Path) -> None:
    recorded = Path(__file__).parent / "fixtures/linux-6.18/proc/meminfo"
    folder = tmp_path / "proc/spl/kstat/zfs"
    folder.mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_bytes(recorded.read_bytes())
    without = ProcFS(tmp_path).memory()
    (folder / "arcstats").write_bytes(TEXT % (mib(1), mib(65)))
    procfs = ProcFS(tmp_path)
    assert procfs.memory().available == procfs.room().available == without.available + mib(64)
    (folder / "arcstats").write_bytes(TEXT % (mib(1), 1 << 60))
    assert procfs.memory().available == without.total
    procfs.close()
    (folder / "arcstats").unlink()
    assert procfs.memory() == without
    assert procfs.room().available == without.available
