"""Control groups that are short of memory while the host has plenty: who dies in them, and nobody else.

The machine has 1 GiB and no swap. Kernels kill in a group at its limit: here that must never be needed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.vm.guest import guard
from tests.vm.guest.check import check, measured
from tests.vm.guest.guard import GUARD, OOMGUARD, counter, events, journal
from tests.vm.guest.host import EAT, Unit, eat, meminfo, run, until, vmstat

CONFIG = """
[victim]
grace = "2s"

[[cgroup]]
name = "pens"
path = "/pens.slice/*"
budget = "1s"

[[cgroup]]
name = "fold"
path = "/fold.slice"

[[rule]]
name = "database"
unit = "database*.service"
effect = "never"
"""
INSIDE = """
[limits.available]
term = "0%"
kill = "0%"

[[cgroup]]
name = "own"
path = "/"

[record]
path = "/run/oomguard-inside/record"
"""
"""For a guard that lives in a container."""
FOLD = Path("/sys/fs/cgroup/fold.slice")
BAYS = ("Slice=fold.slice",)


@check(limit=120)
def starts() -> None:
    guard.install(CONFIG)
    assert counter("degraded") == 0, events("degraded")


@contextmanager
def slice_of(name: str, *properties: str) -> Iterator[Path]:
    """A slice with these limits that the guard has found; nobody outside dies, and nobody by the kernel."""
    folder = _folder(name)
    bystander = eat("bystander", "flat", "150")
    kernel_kills = vmstat("oom_kill")
    run("systemctl", "set-property", "--runtime", name, *properties)
    run("systemctl", "start", name)
    try:
        until(lambda: bystander.rss >= 150, "the bystander")
        until(lambda: _watched() > 0, "that the slice is watched")
        yield folder
        assert bystander.alive, bystander.ending
        assert _kernel_kills(folder) == 0, (folder / "memory.events").read_text()
        assert vmstat("oom_kill") == kernel_kills, "the kernel was faster"
    finally:
        bystander.stop()
        run("systemctl", "stop", name)
        run("systemctl", "revert", name)


def _folder(name: str) -> Path:
    """systemd nests slices by the dashes of their names."""
    parts = name.removesuffix(".slice").split("-")
    nested = ("-".join(parts[: end + 1]) + ".slice" for end in range(len(parts)))
    return Path("/sys/fs/cgroup", *nested)


def _watched() -> int:
    groups: list[dict[str, Any]] = guard.status()["state"]["watched"]
    return sum(each["groups"] for each in groups)


def _kernel_kills(folder: Path) -> int:
    words = dict(line.split() for line in (folder / "memory.events").read_text().splitlines())
    return int(words["oom_kill"])


def _killing() -> dict[str, Any]:
    found: dict[str, Any] = events("killing")[-1]
    return found


@check(limit=120)
def the_leaker_in_a_full_slice_dies() -> None:
    with slice_of("fold.slice", "MemoryMax=300M"):
        steady = eat("steady", "flat", "120", properties=BAYS)
        until(lambda: steady.rss >= 120, "the steady one")
        leaker = eat("leaker", "leak", "400", "30", properties=BAYS)
        until(lambda: not leaker.alive, "its death")
        assert leaker.ending == "killed TERM", leaker.ending
        assert steady.alive, steady.ending
        assert meminfo("MemAvailable") > 300, "the host itself is short"
        told = _killing()
        assert told["reasons"] == ["cgroup_limit"], told
        assert told["figures"]["group"]["path"] == "/fold.slice", told
        assert told["victim"]["unit"] == "leaker.service", told
        measured("reaction_seconds", told["reaction"])
        until(lambda: 'control group "/fold.slice" is at its memory limit' in journal(GUARD), "the words")
        until(lambda: events("ended")[-1]["outcome"] == "recovered", "the end of the episode")
        steady.stop()
        leaker.stop()


@check(limit=120)
def page_cache_is_no_use() -> None:
    """It fills the group to its limit, and the kernel drops it."""
    with slice_of("fold.slice", "MemoryMax=200M") as folder:
        kills = counter("kills")
        writer = eat("writer", "file", "/var/tmp/big", "400", properties=BAYS)
        until(lambda: not writer.alive, "the file", limit=90)
        assert writer.ending == "exited 0", writer.ending
        reader = eat("reader", "read", "/var/tmp/big", "400", properties=BAYS)
        until(lambda: int((folder / "memory.current").read_text()) > 190 << 20, "a full cache")
        polls = counter("polls")
        until(lambda: counter("polls") > polls + 60, "polls")
        assert reader.alive, reader.ending
        assert counter("kills") == kills, _killing()
        reader.stop()
        writer.stop()
        Path("/var/tmp/big").unlink()


@check(limit=120)
def who_is_protected_in_it_lives() -> None:
    with slice_of("fold.slice", "MemoryMax=300M"):
        database = eat("database", "flat", "160", properties=BAYS)
        until(lambda: database.rss >= 160, "the database")
        leaker = eat("leaker", "leak", "400", "30", properties=BAYS)
        until(lambda: not leaker.alive, "its death")
        assert leaker.ending == "killed TERM", leaker.ending
        assert database.alive, database.ending
        database.stop()
        leaker.stop()


@check(limit=150)
def each_child_of_a_slice_is_on_its_own() -> None:
    """And one with memory.oom.group dies as a whole."""
    with slice_of("pens-one.slice", "MemoryMax=200M"):
        other = eat("other", "flat", "150", properties=("Slice=pens-two.slice",))
        parent = eat(
            "parent", "workers", "3", "100", "15", properties=("Slice=pens-one.slice", "OOMPolicy=kill")
        )
        until(lambda: parent["TasksCurrent"] in {"0", "[not set]"}, "the death of all", limit=90)
        told = _killing()
        assert told["figures"]["group"]["path"] == "/pens.slice/pens-one.slice", told
        assert (told["scope"], told["members"]) == ("cgroup", 4), told
        assert other.alive, other.ending
        parent.stop()
        other.stop()


@check(limit=120)
def systemds_preferences_are_heeded() -> None:
    """The one who grows is not to be chosen, and the larger of the others only when nobody else is left."""
    with slice_of("fold.slice", "MemoryMax=300M"):
        avoided = eat("avoided", "flat", "80", properties=(*BAYS, "ManagedOOMPreference=avoid"))
        plain = eat("plain", "flat", "60", properties=BAYS)
        until(lambda: plain.rss >= 60 and avoided.rss >= 80, "both")
        omitted = eat("omitted", "leak", "170", "20", properties=(*BAYS, "ManagedOOMPreference=omit"))
        until(lambda: not plain.alive, "its death")
        assert plain.ending == "killed TERM", plain.ending
        assert _said_of(omitted) == ("never", ["ManagedOOMPreference=omit"])
        assert _said_of(avoided) == ("last", ["ManagedOOMPreference=avoid"])
        until(lambda: omitted.rss >= 170, "its size")
        assert omitted.alive, omitted.ending
        assert avoided.alive, avoided.ending
        for unit in (plain, omitted, avoided):
            unit.stop()


def _said_of(unit: Unit) -> tuple[str, list[str]]:
    """What `oomguard rank` says of its main process."""
    document = json.loads(run(OOMGUARD, "rank", "--json", "--policy", "kernel"))
    for each in (*document["candidates"], *document["spared"]):
        if each["pid"] == unit.pid:
            return each["effect"], each["rules"]
    return "gone", []


@check(limit=120)
def preferences_of_a_user_count_for_nothing() -> None:
    unit = eat("braggart", "flat", "50", properties=("Delegate=yes", "User=nobody"))
    until(lambda: unit.rss >= 50, "its size")
    folder = Path("/sys/fs/cgroup/system.slice/braggart.service")
    os.setxattr(folder, "user.oomd_omit", b"1")
    assert folder.stat().st_uid != 0
    assert _said_of(unit) == ("none", []), _said_of(unit)
    unit.stop()


@check(limit=150)
def a_group_that_stalls_beyond_its_budget_loses_the_culprit() -> None:
    """memory.high never kills: it slows down, for as long as it takes."""
    with slice_of("pens-slow.slice", "MemoryHigh=150M"):
        leaker = eat("leaker", "leak", "400", "30", properties=("Slice=pens-slow.slice",))
        until(lambda: not leaker.alive, "its death", limit=90)
        told = _killing()
        assert set(told["reasons"]) <= {"cgroup_stall", "cgroup_limit"}, told
        leaker.stop()


@check(limit=150)
def who_thrashes_in_its_own_cache_is_ended_for_the_stall() -> None:
    with slice_of("pens-thrash.slice", "MemoryMax=100M"):
        thrasher = eat("thrasher", "map", "/var/tmp/wide", "300", properties=("Slice=pens-thrash.slice",))
        until(lambda: not thrasher.alive, "its death", limit=120)
        told = _killing()
        assert told["reasons"] == ["cgroup_stall"], told
        measured("stall_seconds", told["figures"]["group"]["stall"])
        thrasher.stop()
        Path("/var/tmp/wide").unlink(missing_ok=True)


@check(limit=180)
def a_guard_in_a_container_watches_the_container() -> None:
    """One that sees its own group as the root, and has no limit but that group's."""
    config = Path("/etc/oomguard/inside.toml")
    config.write_text(INSIDE)
    Path("/run/oomguard-inside").mkdir(exist_ok=True)
    run("systemctl", "stop", GUARD.name)
    go = Path("/run/oomguard-inside/go")
    leaker = f"(until test -e {go}; do sleep 1; done; exec {EAT} leak 400 30)"
    # On the mount of the host's own groups the kernel refuses the same file system (EBUSY).
    mounts = "mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup"
    watched = f"{mounts} && exec {OOMGUARD} run --config {config}"
    box = eat(
        "box",
        *("--cgroup", "--mount", "--pid", "--fork", "--mount-proc"),
        *("/bin/sh", "-c", f"{EAT} flat 100 & {leaker} & {watched}"),
        properties=("MemoryMax=300M",),
        program="/usr/bin/unshare",
    )
    folder = Path("/sys/fs/cgroup/system.slice/box.service")
    bystander = eat("bystander", "flat", "150")
    try:
        until(Path("/run/oomguard-inside/record").exists, "the guard inside")
        until(lambda: _inside()["state"]["watched"][0]["groups"] == 1, "that it watches its own root")
        go.touch()
        until(lambda: any(each["kind"] == "killing" for each in _inside()["events"]), "a kill", limit=90)
        told = next(each for each in _inside()["events"] if each["kind"] == "killing")
        assert told["figures"]["group"]["path"] == "/", told
        assert told["victim"]["rss"] > 100 << 20, told
        until(lambda: any(each["kind"] == "ended" for each in _inside()["events"]), "its end")
        assert bystander.alive, bystander.ending
        assert _kernel_kills(folder) == 0, (folder / "memory.events").read_text()
        assert box.alive, box.ending
    except AssertionError as error:
        error.add_note(journal(box))
        raise
    finally:
        box.stop()
        bystander.stop()
        run("systemctl", "start", GUARD.name)


def _inside() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(
        run(OOMGUARD, "status", "--json", "--config", "/etc/oomguard/inside.toml")
    )
    return told


@check()
def nothing_failed() -> None:
    assert counter("failures") == 0, events("failed")
