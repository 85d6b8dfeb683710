"""What a desktop's user sees of a kill: the real notify-send, a session bus, and a notification daemon."""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from oomguard.entry import entry
from oomguard.hook import Occasion
from oomguard.hooks import environment
from tests.system.patience import PATIENCE, eventually
from tests.telling import HOSTILE, killing, person

WALL = Path(__file__).parents[2] / "hooks/wall"
MISSING = [name for name in ("notify-send", "dbus-daemon", "dunst", "Xvfb") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"NOT TESTED: takes {', '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: takes root, who may become the desktop's user"),
]
USER = 65534


class Desktop:
    """A session of `USER` on a screen of its own, below `folder` instead of /run/user."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        self._last = 0
        self.home = folder / f"{USER}"
        self.home.mkdir()
        os.chown(self.home, USER, USER)
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.home),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.home}/bus",
        }
        self._environ["DISPLAY"] = self._screen()
        address = f"--address=unix:path={self.home}/bus"
        self._run(*self._as_user("dbus-daemon", "--session", "--nofork", "--nopidfile", address))
        # The bus starts dunst when somebody asks for it.
        eventually(lambda: self._dunstctl("is-paused"))

    def take(self) -> list[dict[str, str]]:
        """What was shown since the last time."""
        self._dunstctl("close-all")
        (notes,) = json.loads(self._dunstctl("history"))["data"]
        news = [note for note in notes if note["id"]["data"] > self._last]
        self._last = max((note["id"]["data"] for note in notes), default=0)
        return [{key: str(value["data"]) for key, value in note.items()} for note in news]

    def _screen(self) -> str:
        ours, theirs = os.pipe()
        self._run("Xvfb", "-displayfd", str(theirs), "-nolisten", "tcp", pass_fds=(theirs,))
        os.close(theirs)
        with open(ours) as told:
            return f":{told.readline().strip()}"

    def _run(self, *command: str, **options: Any) -> None:
        process = subprocess.Popen(command, env=self._environ, stderr=subprocess.DEVNULL, **options)
        self._stack.callback(process.wait, PATIENCE)
        self._stack.callback(process.terminate)

    def _dunstctl(self, *words: str) -> str:
        asked = self._as_user("dunstctl", *words)
        return subprocess.run(
            asked, env=self._environ, capture_output=True, text=True, timeout=PATIENCE, check=False
        ).stdout

    def _as_user(self, *command: str) -> tuple[str, ...]:
        return ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *command)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def desktop(place: Path) -> Iterator[Desktop]:
    with ExitStack() as stack:
        yield Desktop(place, stack)


def wall(place: Path, name: str) -> None:
    """The hook, for the kill of a process that calls itself so, where logind tells of one session."""
    for program, script in {
        "loginctl": f'case $* in list*) echo 3;; *User*) echo {USER};; *) printf "x11\\nactive\\n";; esac',
        "wall": "cat >/dev/null",
    }.items():
        (place / program).write_text(f"#!/bin/sh\n{script}\n")
        (place / program).chmod(0o755)
    hook = place / "hook"
    hook.write_text(WALL.read_text().replace("/run/user/", f"{place}/"))
    environ = environment(Occasion.KILL, entry(killing(person(name)), 1700000000.25))
    environ["PATH"] = f"{place}:{os.environ['PATH']}"
    done = subprocess.run(
        ("/bin/sh", hook), env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["java", HOSTILE, "<b>x</b> &amp; \\n \\033[31m %s", "-u --help"])
def test_it_is_the_message_as_everybody_gets_it(desktop: Desktop, place: Path, name: str) -> None:
    wall(place, name)
    (note,) = eventually(desktop.take)
    assert (note["appname"], note["summary"]) == ("oomguard", "oomguard")
    assert html.unescape(note["body"]) == entry(killing(person(name)), 0).message
    assert "<" not in note["body"]
    assert note["body"].isprintable()
