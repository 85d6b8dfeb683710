from __future__ import annotations

import os
from pathlib import Path

import pytest

from oomguard.errors import Malformed
from oomguard.procfs import ProcFS
from oomguard.zoneinfo import parse_per_cpu_pages

TWO_CPUS = b"""Node 0, zone   Normal
  pages free     4173390
        high     24261
      nr_zone_inactive_anon 1501
  pagesets
    cpu: 0
              count: 3456
              high:  29110
              batch: 63
  vm stats threshold: 42
    cpu: 1
              count: 44
              high:  29110
  node_unreclaimable:  0
  start_pfn:           1048576
"""


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        (TWO_CPUS, 3500),
        (TWO_CPUS.replace(b"count: 44", b"count: 0"), 3456),
        (TWO_CPUS + TWO_CPUS, 7000),
        (b"Node 0, zone      DMA\n  pages free     2816\n", 0),
        (b"", 0),
    ],
)
def test_all_lists_add_up(text: bytes, pages: int) -> None:
    assert parse_per_cpu_pages(text) == pages


def test_what_is_cut_off_is_malformed() -> None:
    with pytest.raises(Malformed):
        parse_per_cpu_pages(TWO_CPUS[: TWO_CPUS.index(b"3456")])


def test_the_host_tells() -> None:
    free = ProcFS().per_cpu_free()
    assert 0 <= free <= ProcFS().memory().total
    assert free % os.sysconf("SC_PAGE_SIZE") == 0


def test_a_host_that_does_not_tell(tmp_path: Path) -> None:
    assert ProcFS(tmp_path).per_cpu_free() == 0
