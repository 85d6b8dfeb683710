from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from oomguard.config import DEFAULTS
from oomguard.privilege import Capability

UNITS = Path(__file__).parents[1] / "systemd"
GUARD = UNITS / "oomguard.service"
EXPORTER = UNITS / "oomguard-exporter.service"
TEXTFILE = UNITS / "oomguard-textfile.service"
PUSH = UNITS / "oomguard-push.service"
HOOKS = UNITS / "oomguard-hooks.service"
OWN_USER = UNITS / "own-user.conf"
KINDS = frozenset((".service", ".socket", ".timer"))


def analyze(*arguments: str) -> str:
    """What systemd-analyze says, which must be content."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is missing: nobody checks the units")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def installed(unit: Path, folder: Path) -> str:
    """The unit as it is after the installation: what it starts is there."""
    copy = folder / unit.name
    copy.write_text(re.sub(r"/opt/oomguard/bin/oomguard\b", "/bin/true", unit.read_text()))
    return str(copy)


def test_verify_finds_nothing(tmp_path: Path) -> None:
    assert (
        analyze(
            "verify", *(installed(unit, tmp_path) for unit in sorted(UNITS.iterdir()) if unit.suffix in KINDS)
        )
        == ""
    )


@pytest.mark.parametrize(
    ("unit", "exposure"),
    [(GUARD, 3.0), (EXPORTER, 2.0), (TEXTFILE, 2.0), (PUSH, 2.0), (HOOKS, 3.0)],
    ids=["guard", "exporter", "textfile", "push", "hooks"],
)
def test_exposure(unit: Path, exposure: float) -> None:
    report = analyze("security", "--offline=true", "--no-pager", str(unit))
    level = re.search(r"Overall exposure level for \S+: (\d+\.\d)", report)
    assert level is not None, report
    assert float(level[1]) <= exposure


def settings(unit: Path) -> dict[str, str]:
    """The last value of each key."""
    return dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Restart", "always"),
        ("StartLimitIntervalSec", "0"),
        ("RuntimeDirectoryPreserve", "restart"),
        ("OOMScoreAdjust", "-1000"),
        ("OOMPolicy", "continue"),
        ("NotifyAccess", "all"),
        ("LimitMEMLOCK", "infinity"),
        ("Slice", "-.slice"),
    ],
)
def test_what_the_guard_cannot_do_without(key: str, value: str) -> None:
    assert settings(GUARD)[key] == value


@pytest.mark.parametrize(
    "key",
    ["ProtectControlGroups", "ProtectProc", "ProcSubset", "PrivateUsers", "PrivateTmp", "PrivateDevices"],
)
def test_what_would_keep_the_guard_from_its_work(key: str) -> None:
    assert key not in settings(GUARD)


def test_a_user_of_its_own_has_all_the_capabilities_that_root_has_here() -> None:
    assert settings(OWN_USER)["AmbientCapabilities"] == settings(GUARD)["CapabilityBoundingSet"]


def test_the_unit_gives_the_capabilities_that_doctor_asks_for() -> None:
    given = settings(GUARD)["CapabilityBoundingSet"].split()
    assert sorted(given) == sorted(capability.spelt for capability in Capability)


def test_a_user_of_its_own_is_made() -> None:
    user = settings(OWN_USER)["User"]
    assert (UNITS / "oomguard.sysusers").read_text().startswith(f"u {user} - ")


def test_the_guard_may_release_the_memory_of_its_victims() -> None:
    assert "\nSystemCallFilter=@system-service process_mrelease\n" in GUARD.read_text()


@pytest.mark.parametrize("unit", [EXPORTER, HOOKS], ids=["exporter", "hooks"])
def test_who_reads_the_record_lives_on_without_the_guard(unit: Path) -> None:
    assert "Requires" not in settings(unit)
    assert "BindsTo" not in settings(unit)


@pytest.mark.parametrize("key", ["PrivateNetwork", "PrivateDevices", "IPAddressDeny"])
def test_what_would_keep_the_hooks_from_their_work(key: str) -> None:
    assert key not in settings(HOOKS)


@pytest.mark.parametrize("unit", [EXPORTER, TEXTFILE, PUSH], ids=["exporter", "textfile", "push"])
def test_who_tells_has_no_privilege(unit: Path) -> None:
    assert settings(unit)["CapabilityBoundingSet"] == ""
    assert settings(unit).get("DynamicUser") == "yes" or settings(unit)["PrivateUsers"] == "yes"


def test_node_exporter_can_read_the_text_file() -> None:
    assert settings(TEXTFILE)["UMask"] == "0022"
    file = settings(TEXTFILE)["ExecStart"].rpartition(" ")[2]
    assert Path(file).parent == Path(settings(TEXTFILE)["ReadWritePaths"])


def test_the_socket_is_where_the_exporter_would_listen() -> None:
    assert settings(UNITS / "oomguard-exporter.socket")["ListenStream"] == str(DEFAULTS.listen)


@pytest.mark.parametrize("unit", [TEXTFILE, PUSH], ids=["textfile", "push"])
def test_what_a_timer_starts_comes_to_an_end(unit: Path) -> None:
    assert settings(unit)["Type"] == "oneshot"
    assert int(settings(unit)["TimeoutStartSec"]) <= 60
    assert unit.with_suffix(".timer").is_file()
