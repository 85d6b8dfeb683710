"""QMP, by which qemu is told what to do: a JSON object a line, each way (docs/interop/qmp-spec.txt)."""

from __future__ import annotations

import json
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

PATIENCE = 30
"""Seconds for each answer: on a busy host, qemu first waits for its emulated CPUs."""


class Refused(Exception):
    """What qemu says when it does not do as it was told, or nothing when it is gone."""


class Monitor:
    """A connection to the monitor of a machine; a context manager."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where nobody listens at `path`."""
        self._socket = socket(AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rw", encoding="utf-8")
        # The greeting, which says what could be negotiated; nothing is done before that is over.
        self._read()
        self.execute("qmp_capabilities")

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def execute(self, command: str) -> Any:
        """What `command` returns. Raises `Refused`."""
        self._lines.write(json.dumps({"execute": command}) + "\n")
        self._lines.flush()
        while True:
            # Events come whenever they like, before the answer too.
            match self._read():
                case {"return": value}:
                    return value
                case {"error": error}:
                    raise Refused(f"{command}: {error}")

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise Refused("the machine is gone")
        message: dict[str, Any] = json.loads(line)
        return message
