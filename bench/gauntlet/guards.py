"""The guards, each set up well: its own thresholds, stall detection on where it has one, and the
protection of the database and of the machine's own services as far as it can express it.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from bench.gauntlet.scenario import Scenario
from tests.vm import build
from tests.vm.image import image
from tests.vm.payload import Tree

KERNEL_PACKAGE = "linux-image-cloud-amd64"
SYSTEM_COMMS = "systemd.*|dbus-daemon|sshd|login|agetty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One way to guard a machine."""

    name: str
    title: str
    about: str
    """How it is set up, for people."""
    unit: str
    """What systemd starts; empty for nothing."""
    version: Callable[[], str]
    setup: Callable[[Scenario], str]
    """What configures it: a shell script that runs in the machine."""
    protected: str = ""
    """Properties of the database's service where it is to be spared."""
    tree: Callable[[], Tree] = dict
    """What of it is not in the image."""


def _package(name: str) -> str:
    """The version of a package in the image."""
    disk = str(image().disk)
    words = ("debugfs", "-R", "cat /var/lib/dpkg/status", disk)
    done = subprocess.run(words, check=True, capture_output=True, text=True)  # noqa: S603 - our own words
    for paragraph in done.stdout.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line)
        if lines.get("Package") == name:
            return lines["Version"]
    raise LookupError(f"{name} is not in the image")


def _sources() -> str:
    """oomguard as it stands: a digest of what runs."""
    digest = hashlib.sha256()
    units = (build.REPOSITORY / "systemd" / "oomguard.service",)
    for path in (*sorted((build.REPOSITORY / "oomguard").glob("*.py")), *units):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _nothing(_: Scenario) -> str:
    return ""


def _earlyoom(scenario: Scenario) -> str:
    names = f"{SYSTEM_COMMS}|database" if scenario.protect else SYSTEM_COMMS
    return f"""echo 'EARLYOOM_ARGS="-m 10 -s 10 -r 3600 --avoid ^({names})$"' >/etc/default/earlyoom
mkdir -p /etc/systemd/system/earlyoom.service.d
printf '[Service]\\nNice=-20\\nOOMScoreAdjust=-100\\n' >/etc/systemd/system/earlyoom.service.d/priority.conf
"""


def _nohang(scenario: Scenario) -> str:
    database = "echo '@BADNESS_ADJ_RE_CGROUP_V2 -2000 /// /database\\.service$'\n" if scenario.protect else ""
    return f"""sed -i -e 's/^psi_checking_enabled *=.*/psi_checking_enabled = True/' \\
    -e 's/^psi_excess_duration *=.*/psi_excess_duration = 5/' /etc/nohang/nohang.conf
{{
echo '@BADNESS_ADJ_RE_CGROUP_V2 -500 /// ^/system\\.slice/'
{database}}} >>/etc/nohang/nohang.conf
"""


def _systemd_oomd(_: Scenario) -> str:
    return """mkdir -p /etc/systemd/oomd.conf.d /etc/systemd/system/workload.slice.d
cat >/etc/systemd/oomd.conf.d/gauntlet.conf <<'END'
[OOM]
DefaultMemoryPressureLimit=50%
DefaultMemoryPressureDurationSec=2s
END
cat >/etc/systemd/system/workload.slice.d/oomd.conf <<'END'
[Slice]
ManagedOOMSwap=kill
ManagedOOMMemoryPressure=kill
END
"""


def _oomguard(settings: str) -> Callable[[Scenario], str]:
    """Sets it up with `settings` beside its defaults and rules."""

    def setup(scenario: Scenario) -> str:
        database = (
            '[[rule]]\nname = "database"\nunit = "database.service"\neffect = "never"\n'
            if scenario.protect
            else ""
        )
        return f"""mkdir -p /etc/oomguard
cat >/etc/oomguard/oomguard.toml <<'END'
{settings}[[rule]]
name = "system"
cgroup = "/system.slice/*"
effect = "last"
{database}END
"""

    return setup


def _oomguard_tree() -> Tree:
    unit = build.REPOSITORY / "systemd" / "oomguard.service"
    return {build.HOME: build.oomguard(), "/etc/systemd/system/oomguard.service": unit}


GUARDS = (
    Guard(
        name="kernel",
        title="kernel alone",
        about="No guard: the kernel's own killer.",
        unit="",
        version=lambda: _package(KERNEL_PACKAGE),
        setup=_nothing,
    ),
    Guard(
        name="earlyoom",
        title="earlyoom",
        about="10 % of memory and of swap, as is its default; the priority of `-p`, given by systemd as "
        "Debian's unit forbids it; `--avoid` names the machine's own services, and the database where it is "
        "to be spared.",
        unit="earlyoom.service",
        version=lambda: _package("earlyoom"),
        setup=_earlyoom,
    ),
    Guard(
        name="nohang",
        title="nohang",
        about="nohang.conf with the stall checked, for 5 s instead of 30; the badness of /system.slice "
        "lowered by 500, and that of the database by 2000 where it is to be spared.",
        unit="nohang.service",
        version=lambda: _package("nohang"),
        setup=_nohang,
    ),
    Guard(
        name="systemd-oomd",
        title="systemd-oomd",
        about="`ManagedOOMSwap=kill` and `ManagedOOMMemoryPressure=kill` on the slice of the workload, so "
        "that the machine's own services are out of its reach; 50 % of pressure for 2 s instead of 60 % for "
        "30 s; `ManagedOOMPreference=omit` on the database where it is to be spared.",
        unit="systemd-oomd.service",
        version=lambda: _package("systemd-oomd"),
        setup=_systemd_oomd,
        protected="--property=ManagedOOMPreference=omit",
    ),
    Guard(
        name="oomguard",
        title="oomguard",
        about="Defaults, without its exporter; a rule that ends /system.slice/* `last`, and one that `never` "
        "ends the database where it is to be spared.",
        unit="oomguard.service",
        version=_sources,
        setup=_oomguard(""),
        tree=_oomguard_tree,
    ),
    Guard(
        name="oomguard-half",
        title="oomguard, 0.5 s",
        about="The same with a stall budget of half a second, made where somebody may stall.",
        unit="oomguard.service",
        version=_sources,
        setup=_oomguard('[stall]\nbudget = "500ms"\n'),
        tree=_oomguard_tree,
    ),
)
