"""Whether the guard is there, what it may do, and who else guards. Values in, findings out; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from oomguard.event import Degraded, Mode
from oomguard.finding import Finding, Topic, note, problem, warning, well
from oomguard.frozen import frozen, positional
from oomguard.names import printable, quoted
from oomguard.privilege import COSTS, SILENT, Capability, Privileges, holds, lacking
from oomguard.state import State
from oomguard.storm import Response
from oomguard.units import MIB, Bytes, Pid, Uid
from oomguard.wording import line, size

SYSTEMD_OOMD = "systemd-oomd"
OTHERS = {
    "earlyoom": "earlyoom",
    "systemd-oomd": SYSTEMD_OOMD,
    "oomd": "oomd",
    "oomd_bin": "oomd",
    "bustd": "bustd",
    "lmkd": "lmkd",
}
"""Other guards, by the names of their executables."""
OTHER_UNITS = {
    "earlyoom.service": "earlyoom",
    "systemd-oomd.service": SYSTEMD_OOMD,
    "oomd.service": "oomd",
    "nohang.service": "nohang",
    "nohang-desktop.service": "nohang",
}
"""The same by their units: nohang's executable is Python, and executables are not for everybody to see."""
EXEMPT = -1000
"""The oom_score_adj of those that the kernel does not kill."""
UNSEEN = (*SILENT, Capability.NET_ADMIN)
"""What a guard that runs lacks is seen by nothing else; what the other capabilities brought about is."""
ENOUGH = Bytes(16 * MIB)
"""What the guard locks in memory (docs/footprint.md)."""


@positional
class Absent:
    """No guard runs, as far as its record tells."""

    why: str


@frozen
class Present:
    """The guard that keeps the record."""

    state: State
    degraded: tuple[Degraded, ...]
    """What it said, at its start and since, to be missing."""


@frozen
class Neighbour:
    """A process that might be another guard."""

    pid: Pid
    uid: Uid
    effective: int
    """Its capabilities, in the first user namespace."""
    exe: str | None
    unit: str | None


def presence_findings(guard: Present | Absent) -> Iterator[Finding]:
    """Whether it guards, and with what it was told to."""
    if isinstance(guard, Absent):
        remedy = "systemctl enable --now oomguard; journalctl -u oomguard says why it does not start."
        yield warning(Topic.GUARD, f"{line(guard.why)}.", remedy)
        return
    state = guard.state
    if state.mode is Mode.DRY_RUN:
        yield note(
            Topic.GUARD,
            f"The guard runs (pid {state.pid}) in dry run: it decides, and signals nobody.",
            'Once you like what it decides: mode = "enforce", and systemctl reload oomguard.',
        )
    else:
        yield well(Topic.GUARD, f"The guard runs (pid {state.pid}).")
    if not state.config_ok:
        yield warning(
            Topic.CONFIGURATION,
            "The guard has refused a newer configuration, and goes on with the old one.",
            "oomguard check says what is wrong with it; then systemctl reload oomguard.",
        )


def said_findings(degraded: Iterable[Degraded], who: Privileges) -> Iterator[Finding]:
    """What the guard itself has said to be missing, but for what a capability that it lacks explains."""
    lacks = lacking(who.effective)
    for event in degraded:
        if not any(capability.spelt in event.text for capability in lacks):
            yield note(Topic.GUARD, f"The guard itself says: {line(event.text)}.")


def privilege_findings(
    who: Privileges, whose: str, wanted: Iterable[Capability] = tuple(COSTS)
) -> Iterator[Finding]:
    """Which of the `wanted` capabilities `who` lacks; `whose`: the words for it."""
    missing = lacking(who.effective, wanted)
    for capability in missing:
        found = _FINDINGS.get(capability, warning)
        remedy = f"Give it {capability.spelt}, as systemd/oomguard.service does."
        yield found(Topic.PRIVILEGES, f"{whose} lacks {capability.spelt}: {COSTS[capability]}.", remedy)
    if not missing:
        yield well(Topic.PRIVILEGES, f"{whose} has all the capabilities that guarding takes.")


def residence_findings(who: Privileges) -> Iterator[Finding]:
    """What became of a guard that runs: whether it is in memory, exempt, first, and shut in."""
    if not who.locked:
        yield warning(
            Topic.PRIVILEGES,
            "The guard is not locked in memory: it can be swapped out, and then waits for the disk.",
            "Give it CAP_IPC_LOCK, or LimitMEMLOCK=infinity, and restart it.",
        )
    if who.oom_score_adj != EXEMPT:
        yield warning(
            Topic.PRIVILEGES,
            f"The kernel may kill the guard itself (oom_score_adj {who.oom_score_adj}).",
            "Start it with OOMScoreAdjust=-1000, or give it CAP_SYS_RESOURCE.",
        )
    if not who.real_time:
        yield note(
            Topic.PRIVILEGES,
            f"The guard has no real-time priority (nice {who.nice}): it waits its turn for the CPU.",
            "Give it CAP_SYS_NICE, and RestrictRealtime=no.",
        )
    if not (who.no_new_privileges and who.filtered):
        yield note(
            Topic.PRIVILEGES,
            "The guard runs without a sandbox (NoNewPrivileges, a seccomp filter).",
            "Run it from systemd/oomguard.service.",
        )


def reservation_findings(reserved: Bytes | None) -> Iterator[Finding]:
    """Whether memory is set aside for the guard; None: this host cannot, or does not tell."""
    if reserved == 0:
        yield note(
            Topic.PRIVILEGES,
            "No memory is set aside for the guard and its helpers (memory.min).",
            "MemoryMin=32M in its unit, and in each slice above it; systemd/oomguard.service has none above.",
        )


def storm_findings(action: Response, who: Privileges) -> Iterator[Finding]:
    """Whether units can be stopped: systemd obeys root, and others as far as polkit lets it."""
    if action is Response.STOP_UNIT and who.uid != 0:
        yield warning(
            Topic.CONFIGURATION,
            f'storm.action = "stop-unit" takes root, and the guard is uid {who.uid}: polkit has to allow it.',
            "Allow org.freedesktop.systemd1.manage-units to the guard's user, or run the guard as root.",
        )


def hiding_findings(who: Privileges, whose: str) -> Iterator[Finding]:
    """What it means for `who` that /proc hides the processes of others (hidepid)."""
    if holds(who.effective, Capability.SYS_PTRACE):
        yield well(Topic.PRIVILEGES, f"/proc hides processes (hidepid). {whose} sees them all the same.")
        return
    yield problem(
        Topic.PRIVILEGES,
        f"/proc hides the processes of other users (hidepid). {whose} can choose none of them.",
        "Give it CAP_SYS_PTRACE, or mount /proc without hidepid.",
    )


def memlock_findings(who: Privileges) -> Iterator[Finding]:
    """Whether a guard started like this could lock itself in memory without the capability."""
    if who.lockable is None or holds(who.effective, Capability.IPC_LOCK) or who.lockable >= ENOUGH:
        return
    yield warning(
        Topic.PRIVILEGES,
        f"A guard started like this may lock only {size(who.lockable)} in memory (RLIMIT_MEMLOCK).",
        "LimitMEMLOCK=infinity, or ulimit -l unlimited.",
    )


def other_findings(neighbours: Iterable[Neighbour]) -> Iterator[Finding]:
    """Who else guards this host; only who may kill others counts, whatever it calls itself."""
    found = [(name, one) for one in neighbours if (name := _guard(one)) is not None]
    for name, one in found:
        unit = name if one.unit is None else printable(one.unit)
        watched = "; oomctl shows what it watches" if name == SYSTEMD_OOMD else ""
        yield warning(
            Topic.OTHERS,
            f"{name} runs too ({_told(one)}): both may kill for one shortage{watched}.",
            f"systemctl disable --now {unit}, or do without oomguard.",
        )
    if not found:
        yield well(Topic.OTHERS, "No other guard runs.")


_FINDINGS = {Capability.KILL: problem, Capability.DAC_OVERRIDE: note, Capability.NET_ADMIN: note}
"""What it is to lack one, where that is no mere warning."""


def _guard(one: Neighbour) -> str | None:
    if one.uid != 0 and not holds(one.effective, Capability.KILL):
        return None
    name = None if one.exe is None else OTHERS.get(one.exe.removesuffix(" (deleted)").rpartition("/")[2])
    return name or (None if one.unit is None else OTHER_UNITS.get(one.unit))


def _told(one: Neighbour) -> str:
    exe = "" if one.exe is None else f", {quoted(one.exe)}"
    return f"pid {one.pid}{exe}"
