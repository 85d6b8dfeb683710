"""What was read within the last seconds: readings of one kind, each with its time. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Generic, TypeVar

from oomguard.units import Seconds

T = TypeVar("T")
NO_TIME = Seconds(0.0)
_TIME = itemgetter(0)


class Window(Generic[T]):
    """Readings of the last `length` seconds, and the last one before them; in the order of time.

    Those that come denser than `apart` are kept no denser: of two that are too near, the later.
    """

    def __init__(self, length: Seconds, apart: Seconds = NO_TIME) -> None:
        self._length = length
        self._apart = apart
        self._points: deque[tuple[Seconds, T]] = deque()

    def __len__(self) -> int:
        return len(self._points)

    def __iter__(self) -> Iterator[tuple[Seconds, T]]:
        return iter(self._points)

    @property
    def first(self) -> tuple[Seconds, T]:
        """The earliest reading that is kept; IndexError where there is none."""
        return self._points[0]

    @property
    def last(self) -> tuple[Seconds, T]:
        """The latest reading; IndexError where there is none."""
        return self._points[-1]

    def since(self, at: Seconds) -> tuple[Seconds, T]:
        """The earliest reading from `at` on, or the last but one; IndexError where there are not two."""
        first = bisect_left(self._points, at, key=_TIME)
        return self._points[min(first, len(self._points) - 2)]

    def add(self, at: Seconds, reading: T) -> None:
        """Take one more in; time never goes back."""
        points = self._points
        if len(points) > 1 and points[-1][0] - points[-2][0] < self._apart:
            points.pop()
        points.append((at, reading))
        while len(points) > 2 and points[1][0] <= at - self._length:
            points.popleft()

    def clear(self) -> None:
        """Forget all of them."""
        self._points.clear()

    def restart(self) -> None:
        """Forget all but the latest."""
        while len(self._points) > 1:
            self._points.popleft()

    def rise(self, total: Callable[[T], float]) -> float:
        """How much `total` rose within the window, from where it was when that began; never negative."""
        (first_at, first), (last_at, last) = self._points[0], self._points[-1]
        start, end = total(first), total(last)
        edge = last_at - self._length
        if first_at < edge:
            second_at, second = self._points[1]
            start += (total(second) - start) * (edge - first_at) / (second_at - first_at)
        return max(end - start, 0.0)
