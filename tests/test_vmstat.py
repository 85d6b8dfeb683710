from dataclasses import asdict, fields
from pathlib import Path

import pytest

from oomguard.errors import Malformed
from oomguard.vmstat import VmStat, parse_vmstat

RECORDED = (Path(__file__).parent / "fixtures/linux-6.18/proc/vmstat").read_bytes()
NONE = dict.fromkeys((field.name for field in fields(VmStat)), 0)


def test_recorded() -> None:
    words = dict(line.split() for line in RECORDED.decode().splitlines())
    assert parse_vmstat(RECORDED) == VmStat(
        allocstall=sum(int(value) for name, value in words.items() if name.startswith("allocstall")),
        pgscan_kswapd=int(words["pgscan_kswapd"]),
        pgscan_direct=int(words["pgscan_direct"]),
        pgsteal_direct=int(words["pgsteal_direct"]),
        refault_file=int(words["workingset_refault_file"]),
        refault_anon=int(words["workingset_refault_anon"]),
        pgmajfault=int(words["pgmajfault"]),
        pswpin=int(words["pswpin"]),
        pswpout=int(words["pswpout"]),
        oom_kill=int(words["oom_kill"]),
        writeback=int(words["nr_writeback"]),
        zspages=int(words["nr_zspages"]),
    )


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("pswpin 3\npswpout 4\n", {"pswpin": 3, "pswpout": 4}),
        ("pgmajfault 5\noom_kill 6\n", {"pgmajfault": 5, "oom_kill": 6}),
        (
            "allocstall_dma 1\nallocstall_dma32 2\nallocstall_normal 4\nallocstall_movable 8\n",
            {"allocstall": 15},
        ),
        ("allocstall_high 1\nallocstall_device 2\n", {"allocstall": 3}),
        ("allocstall 7\n", {"allocstall": 7}),
        ("pgscan_direct_dma32 1\npgscan_direct_normal 2\npgscan_direct_throttle 64\n", {"pgscan_direct": 3}),
        ("pgscan_direct 9\npgscan_direct_throttle 64\n", {"pgscan_direct": 9}),
        ("pgscan_kswapd_normal 2\npgsteal_direct_normal 1\n", {"pgscan_kswapd": 2, "pgsteal_direct": 1}),
        ("workingset_refault 8\n", {"refault_file": 8}),
        ("workingset_refault_anon 1\nworkingset_refault_file 2\n", {"refault_anon": 1, "refault_file": 2}),
        ("nr_free_pages 7\nxpswpin 1\npswpin_x 1\n", {}),
    ],
)
def test_kernels_word_it_differently(text: str, counts: dict[str, int]) -> None:
    assert asdict(parse_vmstat(text.encode())) == NONE | counts


@pytest.mark.parametrize("data", [b"", b"pswpin 12", b"pswpin x\n"])
def test_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_vmstat(data)
