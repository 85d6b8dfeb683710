"""The hooks in hooks/, as `oomguard hooks` runs them: with an environment and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import urlopen

import pytest

from oomguard.entry import entry
from oomguard.event import Event, Mode
from oomguard.hook import Occasion
from oomguard.hooks import environment
from tests.telling import HOSTILE, holding, killing, person

HOOKS = Path(__file__).parents[1] / "hooks"
WEBHOOK, WALL = HOOKS / "webhook", HOOKS / "wall"
HOST = socket.gethostname()


def ran(
    *words: str | Path, event: Event | None = None, what: Occasion = Occasion.KILL, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    environ = environment(what, entry(event or killing(person()), 1700000000.25))
    if path is not None:
        environ["PATH"] = path
    return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


class Server:
    """Answers each request with the next of `statuses`, and remembers it."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.statuses: list[int] = []
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.requests.append((self.path, headers, json.loads(body)))
                self.send_response(outer.statuses.pop(0) if outer.statuses else 200)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "3")
                self.end_headers()
                self.wfile.write(b"no\n")

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = Thread(target=self._server.serve_forever)
        self.port = self._server.server_port
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}/in?x=1"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


# webhook


def test_the_webhook_gets_all_that_the_hook_knows(server: Server) -> None:
    event = killing(person(HOSTILE))
    done = ran(WEBHOOK, server.url, event=event)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    ((path, headers, body),) = server.requests
    assert (path, headers["content-type"]) == ("/in?x=1", "application/json")
    environ = environment(Occasion.KILL, entry(event, 1700000000.25))
    ours = {name: value for name, value in environ.items() if name.startswith("OOMGUARD_")}
    assert body == {"host": HOST, **{name.removeprefix("OOMGUARD_").lower(): ours[name] for name in ours}}
    assert body["event"] == "kill"


def test_secret_headers_come_from_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("Authorization: Bearer a:b\n\nX-Other: 1\n")
    assert ran(WEBHOOK, "--headers", tmp_path / "headers", server.url).returncode == 0
    ((_, headers, _),) = server.requests
    assert (headers["authorization"], headers["x-other"]) == ("Bearer a:b", "1")


@pytest.mark.parametrize(
    ("statuses", "tries", "problem"),
    [
        ([503, 200], 2, ""),
        ([500, 429, 200], 3, ""),
        ([500, 500, 500], 3, "HTTP 500 Internal Server Error: no"),
        ([404], 1, "HTTP 404 Not Found: no"),
        ([302], 1, "HTTP 302 Found: no"),
    ],
)
def test_what_may_pass_is_tried_again(server: Server, statuses: list[int], tries: int, problem: str) -> None:
    server.statuses = statuses
    done = ran(WEBHOOK, server.url)
    assert (done.returncode, done.stderr.strip()) == (int(bool(problem)), problem)
    assert len(server.requests) == tries


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("file:///etc/passwd",), "must begin with http:// or https://"),
        (("--headers", "/no/such", "http://127.0.0.1:1"), "/no/such"),
        (("--ca", "/no/such", "http://127.0.0.1:1"), "/no/such"),
        (("http://[",), "http://["),
    ],
)
def test_wrong_use_is_told_in_a_line(words: tuple[str, ...], problem: str) -> None:
    done = ran(WEBHOOK, *words)
    assert done.returncode == 1
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nobody_who_does_not_answer_keeps_it_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        done = ran(WEBHOOK, "--timeout", "0.1", url)
    assert (done.returncode, done.stderr) == (1, "timed out\n")


def certificate(folder: Path) -> Path:
    """A self-signed one for 127.0.0.1, with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is missing: nobody makes a certificate")
    both = folder / "both.pem"
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    command = (
        openssl,
        "req",
        "-x509",
        *key,
        *subject,
        "-days",
        "2",
        "-keyout",
        both,
        "-out",
        folder / "c.pem",
    )
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(both.read_text() + (folder / "c.pem").read_text())
    return both


def test_certificates_are_verified(tmp_path: Path) -> None:
    both = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    with Server(context) as server:
        untrusted = ran(WEBHOOK, server.url)
        assert untrusted.returncode == 1
        assert "certificate verify failed" in untrusted.stderr
        assert server.requests == []
        assert ran(WEBHOOK, "--ca", tmp_path / "c.pem", server.url).returncode == 0
        assert len(server.requests) == 1


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    """A real one, empty, on a port of its own."""
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        pytest.skip("prometheus-alertmanager is missing: nobody takes an alert")
    config = folder / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = (
        f"--config.file={config}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
    )
    command = (program, *options, "--cluster.listen-address=", "--log.level=error")
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(f"http://{address}/-/ready")
            yield f"http://{address}"
        finally:
            process.terminate()


def wait_for(url: str) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            with urlopen(url, timeout=5):
                return
        except OSError:
            assert time.monotonic() < end, url
            time.sleep(0.1)


def test_alertmanager_takes_it(tmp_path: Path) -> None:
    with alertmanager(tmp_path) as root:
        first = killing(person(HOSTILE, "cache.service"))
        assert ran(WEBHOOK, "--alertmanager", root, event=first).stderr == ""
        dry = killing(person(), mode=Mode.DRY_RUN)
        assert ran(WEBHOOK, "--alertmanager", f"{root}/", event=dry, what=Occasion.WOULD_KILL).stderr == ""
        assert ran(WEBHOOK, "--alertmanager", root, event=holding(person()), what=Occasion.HOLD).stderr == ""
        with urlopen(f"{root}/api/v2/alerts", timeout=10) as answer:
            alerts = {alert["labels"]["alertname"]: alert for alert in json.load(answer)}
    assert {name: alert["labels"]["severity"] for name, alert in alerts.items()} == {
        "OomguardKill": "critical",
        "OomguardWouldKill": "warning",
        "OomguardHold": "warning",
    }
    kill = alerts["OomguardKill"]
    assert kill["labels"] == {
        "alertname": "OomguardKill",
        "instance": HOST,
        "severity": "critical",
        "mode": "enforce",
        "reason": "low_memory",
        "unit": "cache.service",
    }
    assert kill["annotations"]["summary"].startswith("Asked to end: ")
    assert "kernel" in kill["annotations"]["description"]
    assert alerts["OomguardHold"]["labels"]["hold"] == "all_protected"


# wall

STAND_IN = '#!/bin/sh\n{{ echo "$(basename $0)"; printf "<%s>\\n" "$@"; {more}; }} >>{told}\n'


def stand_ins(folder: Path, **more: str) -> Path:
    """Programs that note their arguments; gives where."""
    told = folder / "told"
    for name, script in more.items():
        program = folder / name.replace("_", "-")
        program.write_text(STAND_IN.format(told=told, more=script or ":"))
        program.chmod(0o755)
    return told


def test_everybody_who_is_logged_in_is_told(tmp_path: Path) -> None:
    told = stand_ins(tmp_path, wall="cat")
    for tool in ("printf", "cat", "basename", "sh"):
        if found := shutil.which(tool):
            os.symlink(found, tmp_path / tool)
    done = ran("/bin/sh", WALL, path=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    message = entry(killing(person()), 0).message
    assert told.read_text() == f"wall\n<-t>\n<3>\noomguard: {message}\n"


def test_desktops_are_told_as_their_users(tmp_path: Path) -> None:
    sessions = {
        "1": ("1000", "tty", "active"),
        "c2": ("1001", "wayland", "active"),
        "3": ("1002", "x11", "closing"),
    }
    told = stand_ins(tmp_path, wall="cat >/dev/null", setpriv="", notify_send="")
    loginctl = tmp_path / "loginctl"
    cases = [f"list-sessions*) printf '%s\\n' {' '.join(sessions)};;"]
    for one, (uid, kind, state) in sessions.items():
        cases.append(f"'show-session {one} --property=User'*) echo {uid};;")
        cases.append(f"'show-session {one} '*) echo {kind}; echo {state};;")
    loginctl.write_text("\n".join(("#!/bin/sh", "case $* in", *cases, "esac\n")))
    loginctl.chmod(0o755)
    (tmp_path / "id").write_text("#!/bin/sh\necho 100\n")
    (tmp_path / "id").chmod(0o755)
    # The sockets of the desktops are where systemd-logind puts them: elsewhere for once.
    with ExitStack() as buses:
        for uid, _, _ in sessions.values():
            (tmp_path / uid).mkdir()
            buses.enter_context(socket.socket(socket.AF_UNIX)).bind(str(tmp_path / uid / "bus"))
        script = tmp_path / "script"
        script.write_text(WALL.read_text().replace("/run/user/", f"{tmp_path}/"))
        event = killing(person("a<b>&\n"))
        done = ran("/bin/sh", script, event=event, path=f"{tmp_path}:/usr/bin:/bin")
    assert (done.returncode, done.stderr) == (0, "")
    _, *desktops = told.read_text().split("setpriv\n")
    assert len(desktops) == 1
    words = desktops[0].splitlines()
    assert words[:3] == ["<--reuid=1001>", "<--regid=100>", "<--init-groups>"]
    assert f"<DBUS_SESSION_BUS_ADDRESS=unix:path={tmp_path}/1001/bus>" in words
    assert "<--urgency=critical>" in words
    assert r"a&lt;b&gt;&amp;\\n" in words[-1]


def test_wall_says_how_it_is_meant() -> None:
    done = subprocess.run((str(WALL),), env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "OOMGUARD_MESSAGE" in done.stderr
