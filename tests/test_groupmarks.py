from __future__ import annotations

from pathlib import Path

from oomguard.cgroupfs import CgroupFS
from oomguard.groupmarks import GroupMarks
from oomguard.marks import FREE, UNMARKED, Marks, Preference
from tests.groupfolder import unified

OMIT = Marks(preference=Preference.OMIT, oom_group=False)


class Said(CgroupFS):
    """Groups of which a test says what is said."""

    def __init__(self, root: Path) -> None:
        unified(root)
        super().__init__(str(root))
        self.said: dict[str, Marks] = {}
        self.asked: list[str] = []

    def marks(self, path: str) -> Marks:
        self.asked.append(path)
        return self.said.get(path, UNMARKED)


def test_nothing_is_known_before_it_was_learnt(tmp_path: Path) -> None:
    said = Said(tmp_path)
    marks = GroupMarks(said)
    assert marks.known("/a") is None
    assert said.asked == []
    assert marks.learn("/a") is FREE
    assert marks.known("/a") is FREE


def test_each_group_is_read_once(tmp_path: Path) -> None:
    said = Said(tmp_path)
    marks = GroupMarks(said)
    for path in ("/a/b", "/a/b", "/a/c"):
        marks.learn(path)
    assert sorted(said.asked) == ["/a", "/a/b", "/a/c"]


def test_what_has_changed_is_learnt_in_the_next_round(tmp_path: Path) -> None:
    said = Said(tmp_path)
    marks = GroupMarks(said)
    marks.learn("/a/b")
    said.said["/a"] = OMIT
    assert marks.learn("/a/b").preference is Preference.NONE
    marks.renew()
    known = marks.known("/a/b")
    assert known is not None
    assert known.preference is Preference.NONE
    assert marks.learn("/a/b").preference is Preference.OMIT


def test_what_nobody_asks_for_is_forgotten(tmp_path: Path) -> None:
    marks = GroupMarks(Said(tmp_path))
    marks.learn("/gone")
    marks.renew()
    assert marks.known("/gone") is not None
    marks.renew()
    assert marks.known("/gone") is None


def test_where_nothing_can_be_said_nothing_has_to_be_read(tmp_path: Path) -> None:
    assert GroupMarks(Said(tmp_path)).known("/") is FREE
    (tmp_path / "v1/memory").mkdir(parents=True)
    assert GroupMarks(CgroupFS(str(tmp_path / "v1"))).known("/a") is FREE
