"""The sockets that a server answers on: those that systemd listens on for it, or its own."""

from __future__ import annotations

import os
import socket

from oomguard.config import Address
from oomguard.errors import OomguardError

_FIRST = 3
"""SD_LISTEN_FDS_START, sd_listen_fds(3)."""
_BACKLOG = 256


def inherited() -> tuple[socket.socket, ...]:
    """The sockets of a .socket unit, sd_listen_fds(3); none where this was not started by one.

    Raises `OomguardError` for one that nobody can connect to.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return ()
    count = int(os.environ.get("LISTEN_FDS", "0"))
    return tuple(map(_adopted, range(_FIRST, _FIRST + count)))


def listen(address: Address) -> tuple[socket.socket, ...]:
    """A socket for each of what `address` stands for. Raises `OomguardError` where that cannot be had."""
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, where in socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            listening = socket.create_server(where, family=family, backlog=_BACKLOG)
            listening.setblocking(False)
            sockets.append(listening)
    except OSError as error:
        for listening in sockets:
            listening.close()
        asked = f"{address.host} port {address.port}"
        raise OomguardError(f"metrics: cannot listen on {asked}: {error.strerror}") from error
    return tuple(sockets)


def _adopted(descriptor: int) -> socket.socket:
    try:
        given = socket.socket(fileno=descriptor)
        listens = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise OomguardError(f"descriptor {descriptor} of the socket unit: {error.strerror}") from error
    if not listens:
        raise OomguardError(f"descriptor {descriptor} of the socket unit does not listen: use ListenStream=")
    given.setblocking(False)
    given.set_inheritable(False)
    return given
