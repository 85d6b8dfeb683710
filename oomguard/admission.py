"""Who may stay connected: a bounded number of guests, and whoever has most of them gives one up. Pure.

So one address, with however many connections, takes no place from another: it only loses its own oldest.
Where all come from one address, a newcomer still gets in, for the oldest of all leaves.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

G = TypeVar("G")

_SITE = 64
"""Bits of an IPv6 address that its user does not choose (RFC 4291, 2.5.4)."""


def party(host: str) -> str:
    """Who the numeric address `host` belongs to: of IPv4 it alone, of IPv6 all of its /64."""
    address = ip_address(host.partition("%")[0])
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{int(address) >> _SITE:x}/{_SITE}"


class Admission(Generic[G]):
    """The guests that are in, by party, each party's oldest first."""

    def __init__(self, most: int) -> None:
        """For `most` guests at a time."""
        self._most = most
        self._parties: dict[str, dict[G, None]] = {}
        self._homes: dict[G, str] = {}

    def __len__(self) -> int:
        return len(self._homes)

    def admit(self, guest: G, home: str) -> G | None:
        """Let `guest` of the party `home` in; gives who has to leave for it, and is no guest any longer."""
        self._parties.setdefault(home, {})[guest] = None
        self._homes[guest] = home
        if len(self) <= self._most:
            return None
        largest = max(self._parties, key=lambda name: len(self._parties[name]))
        oldest = next(iter(self._parties[largest]))
        self.leave(oldest)
        return oldest

    def leave(self, guest: G) -> None:
        """`guest` is gone; it may be already."""
        home = self._homes.pop(guest, None)
        if home is None:
            return
        del self._parties[home][guest]
        if not self._parties[home]:
            del self._parties[home]
