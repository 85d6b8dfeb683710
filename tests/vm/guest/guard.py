"""oomguard in the machine: installed as the README says, asked through its own commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.vm.guest.host import Unit, run

OOMGUARD = "/opt/oomguard/bin/oomguard"
CONFIG = Path("/etc/oomguard/oomguard.toml")
DEFAULTS = "/opt/vm/defaults.toml"
"""An empty configuration: where the record is must be known while the guard's own file is bad."""
GUARD = Unit("oomguard.service")
EXPORTER = Unit("oomguard-exporter.service")


def install(config: str) -> None:
    """Puts the units and the configuration into place and starts both."""
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text(config)
    units = map(str, sorted(Path("/opt/vm/systemd").glob("*.service")))
    run("install", "-m", "644", *units, "/etc/systemd/system")
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", GUARD.name, EXPORTER.name)


def reload(config: str) -> None:
    """Gives the running guard another configuration."""
    CONFIG.write_text(config)
    run("systemctl", "reload", GUARD.name)


def status() -> dict[str, Any]:
    """What `oomguard status --json` prints."""
    document: dict[str, Any] = json.loads(run(OOMGUARD, "status", "--config", DEFAULTS, "--json"))
    return document


def counter(name: str, **labels: str) -> int:
    """The sum of a family's counters that have these labels."""
    family = status()["counters"][name]
    return sum(each["value"] for each in family if labels.items() <= each.items())


def events(kind: str) -> list[dict[str, Any]]:
    """The latest events of a kind, oldest first."""
    return [event for event in status()["events"] if event["kind"] == kind]
