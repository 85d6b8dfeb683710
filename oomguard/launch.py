"""`oomguard run`: reads the configuration, then becomes the guard.

Of the guard itself nothing is loaded here: its own interpreter loads it (`lean`, `start`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec, module_from_spec
from typing import NoReturn

from oomguard.config import Address, Config, build, read
from oomguard.event import Mode
from oomguard.frozen import replace
from oomguard.handover import NOTHING_OPENED, Legacy, Opened
from oomguard.procfs import ProcFS
from oomguard.sources import Source, wanted

LEAN: tuple[str, ...] = (
    "-IS",
    "-Xno_debug_ranges",
    "-c",
    "import sys; sys.path.append(sys.argv[1]); from oomguard.lean import main; main(*sys.argv[2:])",
)
"""No site module, no environment: the guard itself needs nothing but the standard library. And no columns of
source code, which none of its messages tells."""
NOT_COUNTED = (
    "nobody counts the delays of processes, so where control groups tell no stall the whole host's counts; "
    "put delayacct on the kernel's command line"
)
FIRST_PASSED_ON = 3
"""Descriptor that systemd passes on (SD_LISTEN_FDS_START)."""


def launch(config: str | None, mode: Mode | None, metrics: Address | None) -> NoReturn:
    """Become the guard: this very process, in a fresh interpreter that has loaded nothing else.

    What the command line and its parser took would otherwise stay locked in memory for years. None: as
    configured; for `metrics`, no exporter. Raises `ConfigError` first, while there is somebody to read it.
    """
    documents, problems = read(config)
    legacy = Legacy(documents=documents, opened=_opened(build(documents, problems)))
    arguments = (str(legacy.leave()), config or "", str(mode or ""), str(metrics or ""))
    packages = os.path.dirname(os.path.dirname(__file__))
    # Its own language takes the C library a table of 0.15 MiB; Python speaks UTF-8 all the same (PEP 540).
    environment = {**os.environ, "LC_ALL": "C"}
    command = (sys.executable, *LEAN, packages, *arguments)
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is meant


def _opened(config: Config) -> Opened:
    """The sources that are wanted; of those that systemd passed on, none else stays open."""
    passed_on = frozenset(passed_on_by_systemd(os.environ))
    opened = NOTHING_OPENED
    means = ProcFS().means()
    if sources := wanted(config.sources, means):
        _spare_the_rest_of("pyroute2")
        from oomguard import netlink  # noqa: PLC0415 - heavy, and only for this process as it is until exec

        opened = netlink.open_sources(sources, passed_on)
    if Source.DELAYS in sources and not means.counts_delays:
        opened = replace(opened, missing=(*opened.missing, NOT_COUNTED))
    for fd in passed_on - opened.fds:
        os.close(fd)
    return opened


def _spare_the_rest_of(package: str) -> None:
    """Have modules of it imported without all that it imports by itself: of pyroute2, 0.12 s of CPU."""
    spec = find_spec(package)
    if spec is not None:
        sys.modules[package] = module_from_spec(spec)


def passed_on_by_systemd(environ: Mapping[str, str]) -> range:
    """The sockets that systemd opened for this process, by oomguard.socket (sd_listen_fds(3))."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return range(0)
    return range(FIRST_PASSED_ON, FIRST_PASSED_ON + int(environ.get("LISTEN_FDS", "0")))
