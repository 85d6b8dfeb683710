"""/proc/vmstat: what reclaim had to do, counted in pages and events since boot."""

from __future__ import annotations

from oomguard.fields import number, whole
from oomguard.frozen import frozen
from oomguard.units import Pages


@frozen
class VmStat:
    """The counters that tell thrashing from a cache at work, and how much is on its way to the disks.

    Those of mm/vmstat.c `vmstat_text`; one that this kernel does not have is 0. The scan and stall counters
    leave out reclaim inside a memory cgroup; the refaults do not (mm/vmscan.c, `cgroup_reclaim()`).
    """

    allocstall: int
    """Times a task had to reclaim before it got its page: allocstall_* summed over the zones."""
    pgscan_kswapd: int
    pgscan_direct: int
    pgsteal_direct: int
    refault_file: int
    refault_anon: int
    pgmajfault: int
    pswpin: int
    pswpout: int
    oom_kill: int
    """Kills by the kernel itself, those inside memory cgroups included."""
    writeback: int
    """Pages that are being written now, to swap or to files: nr_writeback."""
    zspages: int
    """Pages that zsmalloc holds, for zram and zswap: nr_zspages (4.8)."""

    @property
    def swap_moved(self) -> Pages:
        """What swap's disks have written and read since boot, less what is on its way, to files as well."""
        return Pages(self.pswpin + self.pswpout - self.writeback)


_ZONES = (b"dma", b"dma32", b"normal", b"high", b"movable", b"device")


# nr_zspages 0
# nr_writeback 0
# workingset_refault_anon 0
# workingset_refault_file 181954
# pswpin 0
# pswpout 0
# allocstall_dma 0
# allocstall_dma32 0
# allocstall_normal 0
# allocstall_movable 0
# pgmajfault 1281
# pgsteal_direct 0
# pgscan_kswapd 0
# pgscan_direct 0
# oom_kill 0
def parse_vmstat(data: bytes) -> VmStat:
    """`VmStat` from the whole text of /proc/vmstat; raises `Malformed` for a text that was cut off."""
    text = b"\n" + whole(data)
    return VmStat(
        # One counter up to 4.9, then one a zone; the scans the other way round (4.8).
        allocstall=_count_zones(text, b"allocstall"),
        pgscan_kswapd=_count_zones(text, b"pgscan_kswapd"),
        pgscan_direct=_count_zones(text, b"pgscan_direct"),
        pgsteal_direct=_count_zones(text, b"pgsteal_direct"),
        # Up to 5.8 one counter, of file pages.
        refault_file=_count(text, b"workingset_refault_file", _count(text, b"workingset_refault")),
        refault_anon=_count(text, b"workingset_refault_anon"),
        pgmajfault=_count(text, b"pgmajfault"),
        pswpin=_count(text, b"pswpin"),
        pswpout=_count(text, b"pswpout"),
        oom_kill=_count(text, b"oom_kill"),
        writeback=_count(text, b"nr_writeback"),
        zspages=_count(text, b"nr_zspages"),
    )


def _count(text: bytes, name: bytes, default: int = 0) -> int:
    return number(text, b"\n" + name + b" ", b"\n", default)


def _count_zones(text: bytes, name: bytes) -> int:
    count = _count(text, name, -1)
    return count if count >= 0 else sum(_count(text, name + b"_" + zone) for zone in _ZONES)
