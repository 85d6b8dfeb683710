"""What one thread hands to others, in the order in which it came.

`queue` does this as well, and `threading` starts threads; the guard would keep 0.3 MiB of them in memory.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """For any number of threads at both ends; who takes waits until there is something."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._empty = allocate_lock()
        """Held for as long as there is nothing; now and then it is not, and there is nothing all the same."""
        self._empty.acquire()

    def put(self, item: T) -> None:
        """Hand this over, without a wait."""
        self._items.append(item)
        self._let_in()

    def take(self) -> T:
        """What was handed over first, once there is something."""
        while True:
            self._empty.acquire()
            with suppress(IndexError):
                item = self._items.popleft()
                if self._items:
                    self._let_in()
                return item

    def _let_in(self) -> None:
        """One of those who wait: who takes the lock looks, and has the next one look where more is left."""
        # It is held by nobody: somebody has been let in just now, and will look.
        with suppress(RuntimeError):
            self._empty.release()
