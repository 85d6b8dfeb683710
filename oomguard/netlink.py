"""Opens the kernel's netlink sources, before the guard's own process begins: the home of pyroute2.

Imported, pyroute2 takes 25 MiB, and to take one message apart 13 microseconds: too much for a process that is
locked in memory and has a few milliseconds. So it is loaded here, in the process that then becomes the guard
(`start.launch`), and says how the orders to the kernel are spelt. The guard inherits an open socket and two
strings of bytes.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable

from pyroute2.netlink import (  # type: ignore[import-untyped]  # it has no type hints
    NETLINK_CONNECTOR,
    NLMSG_DONE,
)
from pyroute2.netlink.connector.cn_proc import (  # type: ignore[import-untyped]
    CN_IDX_PROC,
    CN_VAL_PROC,
    PROC_CN_MCAST_IGNORE,
    PROC_CN_MCAST_LISTEN,
    PROC_EVENT_NONE,
    proc_event_control,
)

from oomguard.procevents import LONGEST, MOST, NoSubscription, Subscription
from oomguard.units import MIB, Bytes

QUEUE = Bytes(MIB)
"""What the kernel may hold for the guard to read while it is armed; it accounts for twice as much."""

# <asm-generic/socket.h>, which Python knows by no name
SO_PROTOCOL, SO_DOMAIN = 38, 39

# From the start of a datagram: what it tells, and of an answer to an order, how that went (`cn_proc_ack()`).
_ANSWER = struct.Struct("=36xI12xI")


def subscribe(passed_on: Iterable[int]) -> Subscription | NoSubscription:
    """A socket that hears of processes once it is told to: one that systemd passed on, else one of our own.

    The kernel tells only in the network namespace that it began with, and heeds only who is in its first
    user and pid namespaces (drivers/connector/cn_proc.c `cn_proc_mcast_ctl()`).
    """
    try:
        ours = _connector(passed_on) or _opened()
    except OSError as error:
        return NoSubscription(why=_words(error))
    os.set_inheritable(ours.fileno(), True)
    subscription = Subscription(
        fd=ours.fileno(), listen=_order(PROC_CN_MCAST_LISTEN), ignore=_order(PROC_CN_MCAST_IGNORE)
    )
    try:
        _try(subscription)
    except OSError as error:
        ours.close()
        return NoSubscription(why=_words(error))
    ours.detach()
    return subscription


def _connector(passed_on: Iterable[int]) -> socket.socket | None:
    """The first of these that is a socket of the connector."""
    for fd in passed_on:
        theirs = socket.socket(fileno=fd)
        options = (theirs.getsockopt(socket.SOL_SOCKET, option) for option in (SO_DOMAIN, SO_PROTOCOL))
        if tuple(options) == (socket.AF_NETLINK, NETLINK_CONNECTOR):
            return theirs
        theirs.detach()
    return None


def _opened() -> socket.socket:
    ours = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR)
    try:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE)
        ours.bind((0, CN_IDX_PROC))
    except OSError:
        ours.close()
        raise
    return ours


def _order(action: int) -> bytes:
    order = proc_event_control()
    order["header"].update({"type": NLMSG_DONE, "flags": 0, "sequence_number": 0, "pid": 0})
    order.update({"idx": CN_IDX_PROC, "val": CN_VAL_PROC, "len": struct.calcsize("I"), "action": action})
    order.reset()
    order.encode()
    return bytes(order.data)


def _try(subscription: Subscription) -> None:
    """Listen for a moment. OSError: the kernel does not let us; ENOMSG where it does not even say so."""
    fd = subscription.fd
    os.set_blocking(fd, False)
    os.write(fd, subscription.listen)
    try:
        refusal = _answer(fd)
    finally:
        os.write(fd, subscription.ignore)
    if refusal:
        raise OSError(refusal, os.strerror(refusal))


def _answer(fd: int) -> int:
    """The errno that the kernel answered with before the order was given back; events may lie before it."""
    for _ in range(MOST):
        try:
            datagram = os.read(fd, LONGEST)
        except BlockingIOError:
            break
        what, code = _ANSWER.unpack_from(datagram)
        if what == PROC_EVENT_NONE:
            return int(code)
    return errno.ENOMSG


def _words(error: OSError) -> str:
    match error.errno:
        case errno.ECONNREFUSED:
            return "they are told in the host's own network namespace only: install oomguard.socket"
        case errno.EAFNOSUPPORT:
            return "the guard may open no netlink socket: install oomguard.socket"
        case errno.EPERM | errno.EACCES:
            return "give it CAP_NET_ADMIN"
        case errno.ENOMSG:
            return "the kernel does not answer, as in a container"
        case errno.EPROTONOSUPPORT:
            return "this kernel has no connector"
        case _:
            return str(error.strerror)
