"""Values: they cannot be changed, and cost no more than they must."""

from __future__ import annotations

import copy
import dataclasses
import gc
import pickle
import pprint
import weakref
from typing import Any

import pytest

from oomguard.frozen import frozen, is_value, mutable, plain, positional, replace


@frozen
class Point:
    """One of them."""

    x: int
    y: int = 2
    names: tuple[str, ...] = ()


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
    with pytest.raises(AttributeError, match="'x'"):
        point.x = 3  # type: ignore[misc]
    with pytest.raises(AttributeError, match="'x'"):
        del point.x
    with pytest.raises(AttributeError, match="'z'"):
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


@positional
class Pair:
    """Made by position too."""

    one: Point
    other: int = 0


@mutable
class Count:
    """Counts."""

    of: str
    so_far: int = 0


def test_by_position_too() -> None:
    assert Pair(Point(x=1), 2) == Pair(other=2, one=Point(x=1)) != Pair(Point(x=1))
    assert hash(Pair(Point(x=1), 2)) == hash(Pair(Point(x=1), 2))


def test_what_changes_is_equal_to_itself_alone() -> None:
    count = Count(of="sheep")
    count.so_far += 1
    assert (count.so_far, count == Count(of="sheep", so_far=1), count in {count}) == (1, False, True)
    assert not hasattr(count, "__dict__")
    with pytest.raises(TypeError):
        Count("sheep")  # type: ignore[call-arg]


def test_it_is_plain_for_json() -> None:
    pair = Pair(Point(x=1, names=("a",)))
    assert plain(pair) == {"one": {"x": 1, "y": 2, "names": ["a"]}, "other": 0}
    assert is_value(Pair)
    assert not any(map(is_value, (Count, int, pair, None)))


def test_to_dataclasses_it_is_one_of_theirs() -> None:
    known: Any = dataclasses.fields(Point(x=1))
    first, second, third = known
    assert [first.name, second.name, third.name] == ["x", "y", "names"]
    assert (first.type, first.default_factory, third.default_factory()) == ("int", dataclasses.MISSING, ())
    assert dataclasses.replace(Point(x=1), y=3) == Point(x=1, y=3)
    assert dataclasses.asdict(Pair(Point(x=1))) == {"one": {"x": 1, "y": 2, "names": ()}, "other": 0}
    assert dataclasses.is_dataclass(Count)
    assert pprint.pformat(Point(x=1)) == "Point(x=1, y=2, names=())"
