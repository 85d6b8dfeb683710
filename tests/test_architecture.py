"""Who may import whom (ARCHITECTURE.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import oomguard

PACKAGE = Path(oomguard.__file__).parent

LAYERS: dict[str, frozenset[str]] = {
    "base": frozenset({"units", "errors", "names", "fields", "frozen", "jsontext"}),
    "parsers": frozenset({
            "meminfo", "vmstat", "zoneinfo", "swapspace", "arcstats", "psi", "process", "cgroup", "mountinfo",
            "memcg", "taskstats", "privilege",
        }),
    "decide": frozenset(
        {
            "holders", "growth", "badness", "expression", "rules", "stall", "pressure", "phase", "ranking",
            "ladder", "family", "scope", "plan", "episode", "storm", "window", "forecast",
            "bystanders", "gauge", "glimpse", "spell", "standstill", "sources", "remedy",
            "relief", "effect", "marks", "enclosure", "interest",
        }
    ),
    "words": frozenset(
        {
            "event", "account", "counters", "state", "packing", "codec", "decoder", "layout", "orders",
            "reliefwords", "wording", "roster", "journalfields", "entry", "finding", "hostfindings",
            "guardfindings", "settingfindings",
        }
    ),
    "sense": frozenset(
        {
            "hostfile", "pidfolder", "cgroupfs", "procfs", "trigger", "resolver", "registry", "arrivals",
            "mailbox", "census", "sampler", "procevents", "delays", "groupmarks", "groupmemory",
            "inspector", "newcomers",
        }
    ),
    "record": frozenset(
        {"trust", "recordfile", "record", "reader", "child", "teller", "companion", "reliever", "helpers"}
    ),
    "act": frozenset({"kill", "dryrun", "restraint", "notes", "nudge", "brake"}),
    "config": frozenset({"table", "documents", "hook", "enclosures", "sections", "config"}),
    "loop": frozenset(
        {
            "scout", "warden", "hunt", "easing", "aftermath", "wakeup", "resident", "fallback", "failsafe",
            "crew", "chronicle", "guard", "handover", "netlink", "launch", "start", "untyped", "lean",
        }
    ),
    "people": frozenset(
        {
            "tmpfs", "errand", "stopunit", "journal", "valve", "follower", "hooks", "metrics", "admission",
            "passwords", "webconfig", "protection", "pages", "collector", "listening", "webserver", "gateway",
            "exporter", "rank", "listing", "status", "check", "examination", "doctor",
        }
    ),
    "front": frozenset({"cli", "__main__", "__init__"}),
}  # fmt: skip
"""From the inside out: a module imports from its own layer and from those before it."""

PURE = ("base", "parsers", "decide", "words")
PURE_MAY_IMPORT = frozenset(
    {
        "__future__", "bisect", "collections", "collections.abc", "dataclasses", "enum", "errno", "fnmatch",
        "functools", "heapq", "itertools", "json", "math", "operator", "re", "string", "struct", "types",
        "typing", "warnings", "zlib",
    }
)  # fmt: skip

NEVER_FOR = {
    # The guard's own process decides; people's commands and tellers are other processes.
    "loop": frozenset({"people", "front"}),
    "people": frozenset({"loop"}),
}

HOMES = {
    "systemd": {"journal"},
    "prometheus_client": {"collector"},
    "tornado": {"webserver"},
    "yaml": {"webconfig"},
    "bcrypt": {"passwords"},
    "ssl": {"protection"},
    "pyroute2": {"netlink"},
    "psutil": set(),
    "argparse": {"cli"},
    "tomllib": {"documents"},
    "_thread": {"kill", "mailbox", "resident", "resolver"},
    "threading": {"valve"},
    "marshal": {"handover"},
    "dataclasses": {"frozen"},
    "ctypes": {"kill", "resident", "exporter", "examination"},
    "subprocess": set(),
    "logging": {"webserver"},
}
"""Each outside package, and what is heavy or touchy in the standard library, has its homes."""

MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def imports(module: str) -> set[str]:
    """Every module that `module` imports anywhere, by its full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_bytes())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "oomguard":
            found.update(f"oomguard.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def layer(module: str) -> str:
    """The layer that `module` is in."""
    return next(name for name, modules in LAYERS.items() if module in modules)


def test_each_module_is_in_one_layer() -> None:
    listed = [module for modules in LAYERS.values() for module in modules]
    assert sorted(listed) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_inwards(module: str) -> None:
    order = list(LAYERS)
    here = layer(module)
    ours = {name.removeprefix("oomguard.") for name in imports(module)} & set(MODULES)
    outwards = {name for name in ours if order.index(layer(name)) > order.index(here)}
    forbidden = {name for name in ours if layer(name) in NEVER_FOR.get(here, frozenset())}
    assert outwards | forbidden == set()


@pytest.mark.parametrize("module", [module for module in MODULES if layer(module) in PURE])
def test_what_decides_is_pure(module: str) -> None:
    outside = {name for name in imports(module) if not name.startswith("oomguard")}
    assert outside <= PURE_MAY_IMPORT


@pytest.mark.parametrize("package", HOMES)
def test_each_package_has_its_home(package: str) -> None:
    users = {module for module in MODULES if package in {name.partition(".")[0] for name in imports(module)}}
    assert users == HOMES[package]


def test_the_guards_process_stays_lean() -> None:
    listing = "import sys, oomguard.start; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", listing], text=True).split())
    heavy = {
        "systemd",
        "prometheus_client",
        "psutil",
        "pyroute2",
        "logging",
        "subprocess",
        "asyncio",
        "http",
        "tornado",
        "yaml",
        "bcrypt",
        "ssl",
    }
    assert loaded & heavy == set()
    assert "oomguard.guard" in loaded
