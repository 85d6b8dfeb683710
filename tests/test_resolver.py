from __future__ import annotations

import _thread
import os
import pwd
import shutil
import time
from pathlib import Path

import pytest

from oomguard import resolver
from oomguard.census import SLOW
from oomguard.procfs import ProcFS
from oomguard.resolver import MOST_WORKERS, Names, Resolver
from oomguard.rules import Field
from oomguard.units import Pid, Uid
from tests.processfolder import eventually, host, loosen, place, stick


class Asker:
    """Asks as the census does, and keeps what was found."""

    def __init__(self, root: Path) -> None:
        self.procfs = ProcFS(root)
        self.resolver = Resolver(self.procfs, SLOW)
        self.names: list[Names] = []

    def ask(self, pid: int, uid: int = 0) -> None:
        self.resolver.ask(Pid(pid), Uid(uid))

    def found(self) -> list[Names]:
        self.names += self.resolver.found()
        return self.names

    def waited(self, pid: int) -> Names:
        """The names of `pid`, once they have been found."""
        assert eventually(lambda: any(one.key.pid == pid for one in self.found()))
        return next(one for one in self.names if one.key.pid == pid)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place(host(tmp_path), 10, cmdline="java -jar a.jar")
    place(tmp_path, 11, cmdline="other")
    return tmp_path


@pytest.mark.parametrize(("uid", "user"), [(0, "root"), (4_000_000_000, None)], ids=["known", "unknown"])
def test_finds_names(root: Path, uid: int, user: str | None) -> None:
    asker = Asker(root)
    asker.ask(10, uid)
    names = asker.waited(10)
    stat = asker.procfs.stat(Pid(10))
    assert names == Names(key=stat.key, image=stat.image, uid=Uid(uid), user=user, cmdline="java -jar a.jar")


def test_a_real_process() -> None:
    asker = Asker(Path("/"))
    asker.ask(os.getpid(), os.getuid())
    names = asker.waited(os.getpid())
    assert names.user == pwd.getpwuid(os.getuid()).pw_name
    assert names.cmdline == Path("/proc/self/cmdline").read_text().rstrip("\0").replace("\0", " ")


def test_nothing_was_asked(root: Path) -> None:
    assert Asker(root).found() == []


def test_a_user_is_looked_up_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def getpwuid(uid: int) -> pwd.struct_passwd:
        asked.append(uid)
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    asker = Asker(root)
    for pid in (10, 11):
        asker.ask(pid, 77)
        assert asker.waited(pid).user is None
    assert asked == [77]


def spoil(root: Path, how: str) -> None:
    folder = root / "proc/10"
    match how:
        case "gone":
            shutil.rmtree(folder)
        case "malformed":
            (folder / "stat").write_text("nonsense\n")
        case _:
            (folder / "cmdline").unlink()
            (folder / "cmdline").mkdir()


@pytest.mark.parametrize("how", ["gone", "malformed", "unreadable"])
def test_who_cannot_be_read_is_left_out(root: Path, how: str) -> None:
    """And the next one is served as ever."""
    asker = Asker(root)
    spoil(root, how)
    asker.ask(10)
    asker.ask(11)
    assert asker.waited(11).cmdline == "other"
    assert [one.key.pid for one in asker.names] == [11]


@pytest.mark.parametrize("change", [{"code": 4096}, {"started": 999_999}], ids=["exec", "another process"])
def test_names_say_whose_they_are(root: Path, change: dict[str, int]) -> None:
    asker = Asker(root)
    before = asker.procfs.stat(Pid(10))
    place(root, 10, cmdline="another", **change)  # type: ignore[arg-type]  # none of them is a name
    asker.ask(10)
    names = asker.waited(10)
    assert names.cmdline == "another"
    assert (names.key, names.image) != (before.key, before.image)


def test_it_ends_once_it_is_closed(root: Path) -> None:
    before = _thread._count()
    asker = Asker(root)
    asker.ask(10)
    assert asker.waited(10)
    assert _thread._count() == before + 1
    asker.resolver.close()
    assert eventually(lambda: _thread._count() == before)


def test_nobody_waits_for_a_command_line_that_never_comes(root: Path) -> None:
    asker = Asker(root)
    stuck = stick(root, 10)
    asker.ask(10)
    asker.ask(11)
    time.sleep(0.05)
    assert asker.found() == []
    loosen(stuck)
    assert asker.waited(11).cmdline == "other"


def test_the_others_are_asked_by_another_thread(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "STUCK_AFTER", 0.05)
    asker = Asker(root)
    stuck = stick(root, 10)
    asker.ask(10)
    asker.ask(11)
    assert asker.waited(11).cmdline == "other"
    loosen(stuck)


def test_threads_are_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "STUCK_AFTER", 0.0)
    before = _thread._count()
    asker = Asker(root)
    stuck = stick(root, 10)
    for _ in range(3 * MOST_WORKERS):
        asker.ask(10)
    assert eventually(lambda: asker.found() == [] and _thread._count() == before + MOST_WORKERS)
    for _ in range(100):
        asker.found()
    assert _thread._count() == before + MOST_WORKERS
    for _ in range(3 * MOST_WORKERS):
        loosen(stuck)


def test_what_no_rule_asks_for_is_not_read(root: Path) -> None:
    place(root, 10, cmdline="a")
    asker = Asker(root)
    asker.resolver = Resolver(asker.procfs, frozenset({Field.USER}))
    stick(root, 10)
    asker.ask(10)
    names = asker.waited(10)
    assert (names.user, names.cmdline) == ("root", None)


def test_names_that_are_not_utf8(root: Path) -> None:
    place(root, 10, cmdline="a\udcff\nb")
    asker = Asker(root)
    asker.ask(10)
    assert asker.waited(10).cmdline == "a\udcff\nb"
