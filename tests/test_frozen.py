"""Values: they cannot be changed, and cost no more than they must."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from dataclasses import FrozenInstanceError, field, replace

import pytest

from oomguard.frozen import frozen


@frozen
class Point:
    """One of them."""

    x: int
    y: int = 2
    names: tuple[str, ...] = field(default_factory=tuple)


def test_equal_ones_are_one() -> None:
    assert Point(x=1) == Point(x=1, y=2, names=())
    assert Point(x=1) != Point(x=2)
    assert len({Point(x=1), Point(x=1), Point(x=2)}) == 2


def test_it_says_what_it_is() -> None:
    assert repr(Point(x=1, names=("a",))) == "Point(x=1, y=2, names=('a',))"


def test_it_is_copied_with_changes() -> None:
    assert replace(Point(x=1), x=3) == Point(x=3)
    assert copy.deepcopy(Point(x=1)) == pickle.loads(pickle.dumps(Point(x=1))) == Point(x=1)


def test_it_cannot_be_changed() -> None:
    point = Point(x=1)
    with pytest.raises(FrozenInstanceError, match="'x'"):
        point.x = 3  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="'x'"):
        del point.x
    with pytest.raises(FrozenInstanceError, match="'z'"):
        point.z = 3  # type: ignore[attr-defined]
    assert point == Point(x=1)


def test_it_has_slots_and_is_made_by_keywords() -> None:
    assert not hasattr(Point(x=1), "__dict__")
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[call-arg]


def test_nothing_of_the_class_without_slots_is_left() -> None:
    first: list[weakref.ref[type]] = []

    def note(cls: type) -> type:
        first.append(weakref.ref(cls))
        return frozen(cls)

    @note
    class Once:
        """Made here, so that nobody else has it."""

        x: int

    gc.collect()
    assert first[0]() is None
    assert Once is not None
