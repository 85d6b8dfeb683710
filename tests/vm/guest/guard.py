"""oomguard in the machine: installed as the README says, asked through its own commands."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.vm.guest.host import Unit, run, until

OOMGUARD = "/opt/oomguard/bin/oomguard"
CONFIG = Path("/etc/oomguard/oomguard.toml")
GUARD = Unit("oomguard.service")
EXPORTER = Unit("oomguard-exporter.service")
UNITS = tuple(
    str(path)
    for path in sorted(Path("/opt/vm/systemd").glob("*"))
    if path.suffix in {".service", ".socket", ".timer"}
)
METRICS = "http://127.0.0.1:9797/metrics"


def install(config: str) -> None:
    """Puts the units and the configuration into place, starts both, and waits until the guard has polled."""
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text(config)
    run("install", "-m", "644", *UNITS, "/etc/systemd/system")
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", GUARD.name, EXPORTER.name)
    until(lambda: counter("polls") > 0, "polls")


def reload(config: str) -> None:
    """Gives the running guard another configuration, and waits until it has taken or refused it."""
    reloads = counter("config_reloads")
    CONFIG.write_text(config)
    run("systemctl", "reload", GUARD.name)
    until(lambda: counter("config_reloads") > reloads, "the reload")


def comes_back(pid: int) -> None:
    """Waits for another guard than the one that had this pid."""
    until(lambda: GUARD.pid not in {0, pid} and GUARD["ActiveState"] == "active", "another guard", limit=90)


def status() -> dict[str, Any]:
    """What `oomguard status --json` prints."""
    document: dict[str, Any] = json.loads(run(OOMGUARD, "status", "--json"))
    return document


def counter(name: str, **labels: str) -> int:
    """The sum of a family's counters that have these labels."""
    family = status()["counters"][name]
    return sum(each["value"] for each in family if labels.items() <= each.items())


def events(kind: str) -> list[dict[str, Any]]:
    """The latest events of a kind, oldest first."""
    return [event for event in status()["events"] if event["kind"] == kind]


def doctor() -> tuple[int, list[dict[str, Any]]]:
    """How `oomguard doctor` ends, and what it finds."""
    done = subprocess.run((OOMGUARD, "doctor", "--json"), check=False, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return done.returncode, findings


def bad(findings: list[dict[str, Any]]) -> list[str]:
    """What of it somebody should do something about."""
    return [each["what"] for each in findings if each["severity"] in {"warning", "problem"}]


def journal(unit: Unit) -> str:
    """What the unit and systemd told the journal of it."""
    return run("journalctl", "--quiet", "--no-pager", "--output=cat", f"--unit={unit.name}")


def metrics() -> str:
    """What the exporter serves; nothing while it does not."""
    try:
        with urlopen(METRICS, timeout=10) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""
