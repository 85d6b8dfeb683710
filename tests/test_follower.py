from __future__ import annotations

from pathlib import Path

import pytest

from oomguard.errors import RecordError
from oomguard.event import Degraded
from oomguard.follower import Follower
from oomguard.record import Writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record"


def tell(writer: Writer, *texts: object) -> None:
    for text in texts:
        writer.tell(Degraded(text=str(text)))


def news(follower: Follower) -> tuple[int, list[str]]:
    lost, events = follower.news()
    return lost, [told.event.text for told in events if isinstance(told.event, Degraded)]


def test_only_what_is_told_from_now_on_is_new(path: Path) -> None:
    writer = Writer.open(path)
    tell(writer, "old")
    follower = Follower(str(path))
    assert news(follower) == (0, [])
    tell(writer, "a", "b")
    assert news(follower) == (0, ["a", "b"])
    assert news(follower) == (0, [])
    tell(writer, "c")
    assert news(follower) == (0, ["c"])
    writer.close()


def test_a_record_that_is_not_there_yet_is_all_new(path: Path) -> None:
    follower = Follower(str(path))
    assert news(follower) == (0, [])
    writer = Writer.open(path)
    tell(writer, "a")
    assert news(follower) == (0, ["a"])
    writer.close()


def test_over_a_restart_of_the_guard_it_goes_on(path: Path) -> None:
    writer = Writer.open(path)
    follower = Follower(str(path))
    tell(writer, "a")
    writer.close()
    writer = Writer.open(path)
    tell(writer, "b")
    assert news(follower) == (0, ["a", "b"])
    writer.close()


def test_another_record_is_read_from_its_beginning(path: Path) -> None:
    writer = Writer.open(path)
    tell(writer, *range(5))
    follower = Follower(str(path))
    writer.close()
    path.unlink()
    assert news(follower) == (0, [])
    writer = Writer.open(path)
    tell(writer, "a", "b")
    assert news(follower) == (0, ["a", "b"])
    writer.close()


def test_what_was_overwritten_is_counted(path: Path) -> None:
    writer = Writer.open(path)
    follower = Follower(str(path))
    tell(writer, *range(1000))
    lost, texts = news(follower)
    assert lost > 0
    assert texts == [str(text) for text in range(lost, 1000)]
    assert news(follower) == (0, [])
    writer.close()


def test_what_is_no_record_is_told_until_it_is_one(path: Path) -> None:
    path.write_text("x" * 10000)
    follower = Follower(str(path))
    for _ in range(2):
        with pytest.raises(RecordError):
            follower.news()
    path.unlink()
    writer = Writer.open(path)
    tell(writer, "a")
    assert news(follower) == (0, ["a"])
    writer.close()
