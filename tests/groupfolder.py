"""Control groups of v2 that a test makes up, as files in a folder."""

from __future__ import annotations

from pathlib import Path

from oomguard.cgroupfs import CgroupFS
from oomguard.units import MIB

STAT = "anon {anon}\nfile {file}\nshmem 0\ninactive_file {file}\nactive_file 0\n"
PRESSURE = "some avg10=0.00 total={us}\nfull avg10=0.00 total={us}\n"


def unified(root: Path) -> CgroupFS:
    """Groups below `root`, with v2 alone mounted."""
    (root / "cgroup.controllers").touch()
    return CgroupFS(str(root))


def hold(
    root: Path,
    path: str,
    current: int,
    *,
    cache: int = 0,
    limit: int | None = None,
    high: int | None = None,
    swap: int | None = None,
    swap_limit: int | None = None,
    stall: float = 0,
) -> Path:
    """A group that holds so many MiB, `cache` of them files; None: no limit, and for `swap` no such file."""
    folder = root / path.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    anon, file = (current - cache) * MIB, cache * MIB
    texts = {
        "memory.current": f"{current * MIB}\n",
        "memory.stat": STAT.format(anon=anon, file=file),
        "memory.max": _limit(limit),
        "memory.high": _limit(high),
        "memory.swap.max": _limit(swap_limit),
        "memory.pressure": PRESSURE.format(us=int(stall * 1e6)),
    }
    if swap is not None:
        texts["memory.swap.current"] = f"{swap * MIB}\n"
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def _limit(mib: int | None) -> str:
    return "max\n" if mib is None else f"{mib * MIB}\n"
