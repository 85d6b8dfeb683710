"""The exporter: serves what the record says to Prometheus. It can read the record and do nothing else."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from oomguard import webserver
from oomguard.collector import Exporting, Source
from oomguard.config import Address
from oomguard.errors import OomguardError
from oomguard.listening import inherited, listen
from oomguard.protection import Protection

NOBODY = 65534
CAPABILITY_VERSION_3 = 0x20080522
"""<linux/capability.h>"""
CAPABILITY_SETS = 24
"""Bytes: effective, permitted and inheritable, each in two words of 32 bits."""


def serve(source: Source, address: Address, web_config: str | None) -> None:
    """Serve until interrupted: on the sockets that systemd passed on, or else on `address`.

    Raises `OomguardError` where that cannot be listened on, or `web_config` be loaded.
    """
    _serve(source, inherited() or listen(address), Protection(web_config), None)


def serve_for_parent(source: Source, address: Address, parent: int) -> None:
    """Serve until `parent`, a pipe that the parent holds the other end of, comes to its end."""
    _serve(source, listen(address), Protection(None), parent)


def relinquish() -> None:
    """Become nobody, and as killable as any other process: the exporter needs no rights, it only listens.

    Raises `OomguardError` where rights stay.
    """
    with suppress(OSError):
        score = Path("/proc/self/oom_score_adj")
        if int(score.read_bytes()) < 0:
            score.write_bytes(b"0")
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    _let_go_of_capabilities()


def _let_go_of_capabilities() -> None:
    """A guard with a user of its own hands its own on to whom it starts (capabilities(7), ambient)."""
    libc = ctypes.CDLL(None)
    header, held = struct.pack("=Ii", CAPABILITY_VERSION_3, 0), ctypes.create_string_buffer(CAPABILITY_SETS)
    libc.capget(header, held)
    # Where there are none, a sandbox may refuse the call.
    if any(held.raw) and libc.capset(header, bytes(CAPABILITY_SETS)):
        raise OomguardError("the exporter cannot let go of its capabilities, and does not serve with them")


def _serve(
    source: Source, sockets: Sequence[socket.socket], protection: Protection, parent: int | None
) -> None:
    relinquish()
    scheme = "http" if protection.tls is None else "https"
    for listening in sockets:
        sys.stderr.write(f"oomguard exporter: metrics on {_spelled(scheme, listening.getsockname())}\n")
    webserver.serve(Exporting(source), sockets, protection, parent)


def _spelled(scheme: str, name: tuple[str, int] | str) -> str:
    """Where a socket listens, as people write it."""
    if isinstance(name, tuple):
        return f"{scheme}://{Address(host=name[0], port=name[1])}/metrics"
    return f"{scheme} at {name}"
