"""What people and programs hear of it: the journal's explanations, and hooks from within their sandbox."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from tests.vm.guest import guard
from tests.vm.guest.check import check, measured
from tests.vm.guest.guard import GUARD, journal
from tests.vm.guest.hog import hog
from tests.vm.guest.host import Unit, eat, run, until

HOOKS = Unit("oomguard-hooks.service")
HOME = Path("/opt/oomguard/hooks")
USER_PROCESS = 7
UTMP = struct.Struct("=hxxi32s4s32s256shhiii16s20x")
"""An entry of utmp(5) on 64 bits: type, pid, line, id, user, host, exit status, session, time, address."""


class Listener:
    """A webhook on the loopback interface."""

    def __init__(self) -> None:
        heard = self.heard = list[dict[str, Any]]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def events(self) -> list[str]:
        return [document["event"] for document in self.heard]


LISTENER = Listener()
CONFIG = f"""
[[hook]]
name = "web"
command = ["{HOME}/webhook", "{LISTENER.url}"]
on = ["near", "kill", "outcome"]

[[hook]]
name = "nobodys"
command = ["/bin/sh", "-c", "id -un; id -Gn; grep -E 'NoNewPrivs|CapEff' /proc/self/status; exit 3"]
on = ["kill"]
user = "nobody"

[[hook]]
name = "slow"
command = ["/bin/sh", "-c", "sleep 1000 & sleep 1000"]
on = ["kill"]
timeout = "1s"

[[hook]]
name = "wall"
command = ["{HOME}/wall"]
on = ["kill"]
"""


@check(limit=120)
def is_installed() -> None:
    shutil.copytree("/opt/vm/hooks", HOME)
    guard.install(CONFIG)
    place = Path("/usr/lib/systemd/catalog/oomguard.catalog")
    run("install", "-D", "-m", "644", "/opt/vm/systemd/oomguard.catalog", str(place))
    run("journalctl", "--update-catalog")
    run("systemctl", "enable", "--now", HOOKS.name)
    until(lambda: "hooks: web, nobodys, slow, wall" in journal(HOOKS), "hooks")


@check()
def the_hooks_are_locked_up() -> None:
    told = run("systemd-analyze", "security", "--no-pager", HOOKS.name).splitlines()[-1]
    exposure = re.search(r"exposure level for \S+: ([0-9.]+)", told)
    assert exposure, told
    assert float(exposure[1]) <= 4.0, told


@check(limit=150)
def a_kill_is_told_everywhere() -> None:
    with somebody_logged_in() as terminal:
        with hog("leaker", "leak", "4000", "60") as unit:
            until(lambda: not unit.alive, "its death", limit=60)
        until(lambda: "outcome" in LISTENER.events(), "the webhook")
        until(lambda: "Asked to end" in seen(terminal), "the terminal")
    assert LISTENER.events()[:3] == ["near", "kill", "outcome"], LISTENER.events()
    near, kill, outcome = LISTENER.heard[:3]
    assert (kill["victim_unit"], outcome["victim_unit"]) == ("leaker.service", "leaker.service")
    measured("from near to kill [s]", float(kill["time"]) - float(near["time"]))
    assert near["time"] < kill["time"], (near["time"], kill["time"])
    assert near["likely_unit"] == "leaker.service", near
    assert "leaker.service" in kill["ranking"]


SEEN = bytearray()


def seen(terminal: int) -> str:
    with suppress(BlockingIOError):
        SEEN.extend(os.read(terminal, 65536))
    return SEEN.decode()


@contextmanager
def somebody_logged_in() -> Iterator[int]:
    """On a terminal of his own, of which this is the other end."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    path = os.ttyname(theirs)
    shutil.chown(path, "nobody", "tty")
    os.chmod(path, 0o620)
    name = path.removeprefix("/dev/").encode()
    login = UTMP.pack(
        USER_PROCESS, os.getpid(), name, b"vm", b"nobody", b"", 0, 0, 0, int(time.time()), 0, b""
    )
    Path("/run/utmp").write_bytes(login)
    try:
        yield ours
    finally:
        Path("/run/utmp").write_bytes(b"")
        os.close(ours)
        os.close(theirs)


@check()
def the_journal_explains_it() -> None:
    words = ("--quiet", "--no-pager", "-x", f"--unit={GUARD.name}")
    until(lambda: "How it ended for" in run("journalctl", *words), "the end")
    told = run("journalctl", *words)
    for part in (
        "Subject: oomguard signalled",
        "the reason: low_memory",
        "What to do: find out why it grew",
        "Subject: oomguard is now armed",
        "Subject: How it ended for",
        "Subject: oomguard: started",
        "place ",
        "kernel ",
    ):
        assert part in told, (part, told)
    assert "@" not in re.sub(r"\S+@\S+\.(service|slice)", "", told), told
    assert "OOMGUARD_REASON)" not in told, told


@check()
def the_unit_of_the_victim_has_it_too() -> None:
    assert "Asked to end" in run("journalctl", "--quiet", "--no-pager", "--unit=leaker.service")


@check()
def what_goes_wrong_with_a_hook_is_told() -> None:
    until(lambda: 'hook "slow"' in journal(HOOKS), "the slow one")
    told = journal(HOOKS)
    assert 'hook "slow" took longer than 1s and was ended' in told, told
    assert (
        'hook "nobodys" ended with status 3: nobody nogroup CapEff: 0000000000000000 NoNewPrivs: 1' in told
    ), told
    assert not [line for line in told.splitlines() if 'hook "web"' in line or 'hook "wall"' in line], told
    assert "sleep" not in run("ps", "-eo", "comm"), "it left something behind"


@check()
def a_reload_reaches_the_hooks() -> None:
    guard.reload(CONFIG.replace('name = "slow"', 'name = "other"'))
    with hog("leaker2", "leak", "4000", "60") as unit:
        until(lambda: not unit.alive, "its death", limit=60)
    until(lambda: 'hook "other" took longer' in journal(HOOKS), "the other name")


@check()
def a_hook_can_have_systemd_act() -> None:
    eat("cache", "flat", "10")
    command = '["/usr/bin/systemctl", "stop", "cache.service"]'
    guard.reload(CONFIG + f'[[hook]]\nname = "relief"\ncommand = {command}\non = ["kill"]\n')
    with hog("leaker3", "leak", "4000", "60") as unit:
        until(lambda: not unit.alive, "its death", limit=60)
    until(lambda: Unit("cache.service")["ActiveState"] != "active", "its end")
    assert 'hook "relief"' not in journal(HOOKS)


@check()
def the_guard_does_not_notice_that_hooks_end() -> None:
    pid = GUARD.pid
    run("systemctl", "kill", "--signal=KILL", HOOKS.name)
    until(lambda: HOOKS["NRestarts"] == "1" and HOOKS.alive, "hooks again")
    run("systemctl", "stop", HOOKS.name)
    assert HOOKS["Result"] == "success", HOOKS["Result"]
    assert GUARD.pid == pid
