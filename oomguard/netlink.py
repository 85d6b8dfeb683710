"""Opens the kernel's netlink sources, before the guard's own process begins: the home of pyroute2.

Imported, pyroute2 takes 25 MiB, and to take one message apart 12 microseconds: too much for a process that is
locked in memory and has a few milliseconds. So it is loaded here, in the process that then becomes the guard
(`launch.launch`), and says how the orders to the kernel are spelt. The guard inherits open sockets and
strings of bytes.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Set as AbstractSet
from typing import Any, assert_never

from pyroute2.netlink import (  # type: ignore[import-untyped]  # it has no type hints
    CTRL_CMD_GETFAMILY,
    GENL_ID_CTRL,
    NETLINK_CONNECTOR,
    NETLINK_GENERIC,
    NLM_F_REQUEST,
    NLMSG_DONE,
    ctrlmsg,
    genlmsg,
    nlmsg,
)

from oomguard.delays import LONGEST, Accounting
from oomguard.errors import Malformed
from oomguard.frozen import replace
from oomguard.handover import NOTHING_OPENED, Opened
from oomguard.procevents import MOST, Subscription
from oomguard.sources import Source
from oomguard.taskstats import parse_delays
from oomguard.units import MIB, Bytes

QUEUE = Bytes(MIB)
"""What the kernel may hold for the guard to read while it is armed; it accounts for twice as much."""

# <asm-generic/socket.h>, which Python knows by no name
SO_PROTOCOL, SO_DOMAIN = 38, 39

# <linux/connector.h>, <linux/cn_proc.h>
CN_IDX_PROC = CN_VAL_PROC = 1
PROC_CN_MCAST_LISTEN, PROC_CN_MCAST_IGNORE = 1, 2
PROC_EVENT_NONE = 0

# <linux/taskstats.h>
TASKSTATS_CMD_GET = 1

# From the start of a datagram: what it tells, and of an answer to an order, how that went (`cn_proc_ack()`).
_ANSWER = struct.Struct("=36xI12xI")


class _Control(nlmsg):  # type: ignore[misc]  # it has no type hints
    """`struct cn_msg`, and what is to be told. pyroute2's own brings asyncio with it: 0.05 s of CPU."""

    fields = (
        ("idx", "I"),
        ("val", "I"),
        ("seq", "I"),
        ("ack", "I"),
        ("len", "H"),
        ("flags", "H"),
        ("action", "I"),
    )


class _Statistics(genlmsg):  # type: ignore[misc]  # it has no type hints
    """A question about one process, of taskstats; as above."""

    nla_map = (
        ("TASKSTATS_CMD_ATTR_UNSPEC", "none"),
        ("TASKSTATS_CMD_ATTR_PID", "uint32"),
        ("TASKSTATS_CMD_ATTR_TGID", "uint32"),
    )


def open_sources(wanted: AbstractSet[Source], passed_on: AbstractSet[int]) -> Opened:
    """Those that are wanted: by sockets that systemd passed on, or else by our own."""
    opened = NOTHING_OPENED
    for source in sorted(wanted):
        try:
            match source:
                case Source.PROCESS_EVENTS:
                    opened = replace(opened, events=subscribe(passed_on))
                case Source.DELAYS:
                    opened = replace(opened, delays=account(passed_on))
                case _:
                    assert_never(source)
        except (OSError, Malformed) as error:
            opened = replace(opened, missing=(*opened.missing, _missing(source, error)))
    return opened


def subscribe(passed_on: AbstractSet[int]) -> Subscription:
    """A socket that hears of processes once it is told to; raises `OSError`, ENOMSG where nobody answers.

    The kernel tells only in the network namespace that it began with, and heeds only who is in its first
    user and pid namespaces (drivers/connector/cn_proc.c `cn_proc_mcast_ctl()`).
    """
    ours = _passed_on(NETLINK_CONNECTOR, passed_on) or _opened(NETLINK_CONNECTOR, CN_IDX_PROC)
    subscription = Subscription(
        fd=ours.fileno(), listen=_control(PROC_CN_MCAST_LISTEN), ignore=_control(PROC_CN_MCAST_IGNORE)
    )
    with ours:
        _try(subscription)
        ours.detach()
    return subscription


def account(passed_on: AbstractSet[int]) -> Accounting:
    """A socket that tells what processes have waited for; raises `OSError`, and `Malformed`.

    It takes CAP_NET_ADMIN in the first user namespace (kernel/taskstats.c, GENL_ADMIN_PERM).
    """
    ours = _passed_on(NETLINK_GENERIC, passed_on) or _opened(NETLINK_GENERIC, 0)
    with ours:
        ours.setblocking(False)
        question = ctrlmsg()
        question.update({"cmd": CTRL_CMD_GETFAMILY, "version": 1})
        question["attrs"].append(("CTRL_ATTR_FAMILY_NAME", "TASKSTATS"))
        ours.send(_spelt(question, GENL_ID_CTRL, NLM_F_REQUEST))
        answer = ctrlmsg(ours.recv(LONGEST))
        answer.decode()
        family = answer.get_attr("CTRL_ATTR_FAMILY_ID")
        if family is None:
            raise OSError(errno.EPROTONOSUPPORT, "this kernel has no taskstats")
        order = _Statistics()
        order.update({"cmd": TASKSTATS_CMD_GET, "version": 1})
        order["attrs"].append(("TASKSTATS_CMD_ATTR_TGID", os.getpid()))
        accounting = Accounting(fd=ours.fileno(), order=_spelt(order, family, NLM_F_REQUEST))
        ours.send(accounting.order)
        parse_delays(ours.recv(LONGEST))
        ours.detach()
    return accounting


def _passed_on(protocol: int, fds: AbstractSet[int]) -> socket.socket | None:
    """The first of these that is a netlink socket of this protocol."""
    for fd in sorted(fds):
        theirs = socket.socket(fileno=fd)
        options = (theirs.getsockopt(socket.SOL_SOCKET, option) for option in (SO_DOMAIN, SO_PROTOCOL))
        if tuple(options) == (socket.AF_NETLINK, protocol):
            return theirs
        theirs.detach()
    return None


def _opened(protocol: int, groups: int) -> socket.socket:
    ours = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, protocol)
    try:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE)
        ours.bind((0, groups))
    except OSError:
        ours.close()
        raise
    return ours


def _control(action: int) -> bytes:
    order = _Control()
    order.update({"idx": CN_IDX_PROC, "val": CN_VAL_PROC, "len": struct.calcsize("I"), "action": action})
    return _spelt(order, NLMSG_DONE, 0)


def _spelt(message: Any, kind: int, flags: int) -> bytes:
    message["header"].update({"type": kind, "flags": flags, "sequence_number": 0, "pid": 0})
    message.reset()
    message.encode()
    return bytes(message.data)


def _try(subscription: Subscription) -> None:
    """Listen for a moment."""
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


def _missing(source: Source, error: OSError | Malformed) -> str:
    """In words: what there is not, what is done instead, and why."""
    match source:
        case Source.PROCESS_EVENTS:
            lack = "no process events, so newcomers are looked for in /proc"
        case Source.DELAYS:
            lack = "no delays of processes, so where control groups tell no stall the whole host's counts"
        case _:
            assert_never(source)
    return f"{lack}: {_words(error)}"


def _words(error: OSError | Malformed) -> str:
    if isinstance(error, Malformed):
        return str(error)
    match error.errno:
        case errno.ECONNREFUSED:
            return "they are told in the host's own network namespace only; install oomguard.socket"
        case errno.EAFNOSUPPORT:
            return "the guard may open no netlink socket; install oomguard.socket"
        case errno.EPERM | errno.EACCES:
            return "give it CAP_NET_ADMIN"
        case errno.ENOMSG:
            return "the kernel does not answer, as in a container"
        case _:
            return str(error.strerror)
