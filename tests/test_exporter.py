"""The exporter as its users run it: a process of its own, scraped by Prometheus."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from oomguard.record import Writer
from oomguard.units import Seconds
from tests.serving import HASH, PASSWORD, make_certificates, trusting
from tests.specimens import EVENTS, SAMPLE, STATE


@contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """An exporter of the record in `folder`, and its port."""
    port = free_port()
    (folder / "oomguard.toml").write_text(
        f'[record]\npath = "{folder}/record"\n[metrics]\nlisten = "127.0.0.1:{port}"\n'
    )
    command = (sys.executable, "-m", "oomguard", "exporter", "--config", str(folder / "oomguard.toml"))
    exporter = subprocess.Popen(
        (*command, *options), stderr=subprocess.PIPE, extra_groups=[4, 5] if os.geteuid() == 0 else None
    )
    try:
        assert exporter.stderr is not None
        assert b"metrics on http" in exporter.stderr.readline()
        yield exporter, port
    finally:
        exporter.kill()
        exporter.wait()
        assert exporter.stderr is not None
        exporter.stderr.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def fetched(url: str, context: ssl.SSLContext | None = None, login: str | None = None) -> str:
    request = urllib.request.Request(url)
    if login is not None:
        request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return str(answer.read().decode())


@contextmanager
def recorded(folder: Path) -> Iterator[None]:
    """A record with everything in it, as fresh as can be."""
    writer = Writer.open(folder / "record")
    writer.state(replace(STATE, polled_at=Seconds(time.monotonic() + 60)))
    writer.sample(SAMPLE)
    for event in EVENTS:
        writer.tell(event)
    yield
    writer.close()


def test_it_serves_as_nobody_without_a_guard(tmp_path: Path) -> None:
    with running(tmp_path) as (exporter, port):
        assert "oomguard_up 0.0" in fetched(f"http://127.0.0.1:{port}/metrics")
        status = Path(f"/proc/{exporter.pid}/status").read_text()
    if os.geteuid() == 0:
        assert re.search(r"^Uid:\t65534\t65534\t65534\t65534$", status, re.MULTILINE)
        assert re.search(r"^Gid:\t65534\t65534\t65534\t65534$", status, re.MULTILINE)
        assert re.search(r"^Groups:\t *$", status, re.MULTILINE)
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)


def test_a_key_that_only_root_reads_is_loaded_before_it_is_nobody(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    (tmp_path / "server.key").chmod(0o600)
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}")
    with running(tmp_path, "--web-config", str(tmp_path / "web.yml")) as (_, port):
        assert "oomguard_up 0.0" in fetched(f"https://localhost:{port}/metrics", trusting(tmp_path))


def test_a_web_configuration_that_is_wrong_is_refused(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: c}")
    command = (sys.executable, "-m", "oomguard", "exporter", "--listen", "127.0.0.1:0")
    done = subprocess.run(
        (*command, "--web-config", str(tmp_path / "web.yml")), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"oomguard: {tmp_path}/web.yml: tls_server_config.key_file: is missing\n"


def test_a_login_that_nothing_is_pushed_with_is_wrong_use() -> None:
    command = (sys.executable, "-m", "oomguard", "exporter", "--push-login", "/nowhere")
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "oomguard: --push-login goes with --push\n"


def test_an_exporter_that_writes_once_does_not_listen(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "oomguard", "exporter", "--listen", "127.0.0.1:0")
    file = tmp_path / "oomguard.prom"
    words = (*command, "--textfile", str(file))
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--textfile: not allowed with argument --listen" in done.stderr
    assert not file.exists()


def test_nothing_that_clients_do_is_logged(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}")
    get = b"GET /x HTTP/1.1\r\nA: b\r\n\r\n"
    for options in ((), ("--web-config", str(tmp_path / "web.yml"))):
        with running(tmp_path, *options) as (exporter, port):
            for sent in (b"", get, get[:20], b"\x16\x03\x01", b"\0" * 20_000, b"GET /\r\n\r\n"):
                for linger in (0, 1):
                    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                        # With a linger of 0 seconds, closing resets the connection.
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", linger, 0))
                        client.sendall(sent)
                        time.sleep(0.05)
            secure = "https" if options else "http"
            fetched(f"{secure}://localhost:{port}/", trusting(tmp_path) if options else None)
            exporter.kill()
            assert exporter.stderr is not None
            assert exporter.stderr.read() == b""


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder in which nobody, too, can read a record."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_prometheus_scrapes_it_with_tls_and_a_password(public: Path) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("prometheus is missing: apt-get install prometheus")
    make_certificates(public)
    (public / "web.yml").write_text(
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt,\n"
        "  client_auth_type: RequireAndVerifyClientCert}\n"
        f"basic_auth_users: {{prometheus: {HASH}}}\n"
    )
    with recorded(public), running(public, "--web-config", str(public / "web.yml")) as (_, port):
        (public / "prometheus.yml").write_text(
            f"""
            scrape_configs:
              - job_name: oomguard
                scrape_interval: 500ms
                scrape_timeout: 500ms
                scheme: https
                tls_config: {{ca_file: ca.crt, cert_file: client.crt, key_file: client.key}}
                basic_auth: {{username: prometheus, password: {PASSWORD.decode()}}}
                static_configs: [{{targets: ["localhost:{port}"]}}]
            """
        )
        web = f"127.0.0.1:{free_port()}"
        options = ("config.file=prometheus.yml", "storage.tsdb.path=data", f"web.listen-address={web}")
        scraping = subprocess.Popen(
            (prometheus, *(f"--{option}" for option in options)), cwd=public, stderr=subprocess.DEVNULL
        )
        try:
            kills = wait_for(f"http://{web}/api/v1/query?query=sum(oomguard_kills_total)")
            assert kills[0]["value"][1] == "1"
            info = wait_for(f"http://{web}/api/v1/query?query=oomguard_last_victim_info")
            assert info[0]["metric"]["rules"] == "hog,batch"
            targets = json.loads(fetched(f"http://{web}/api/v1/targets"))["data"]["activeTargets"]
            assert [(target["health"], target["lastError"]) for target in targets] == [("up", "")]
        finally:
            scraping.terminate()
            scraping.wait()


def wait_for(query: str) -> list[dict[str, Any]]:
    """What the query gives, as soon as there is something."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            result: list[dict[str, Any]] = json.loads(fetched(query))["data"]["result"]
        except OSError:
            result = []
        if result:
            return result
        time.sleep(0.1)
    raise AssertionError(f"{query} gives nothing")


CHILD = """
import sys
from functools import partial
from pathlib import Path
from oomguard import exporter
from oomguard.config import Address
from oomguard.reader import Reader
source = partial(Reader.open, Path(sys.argv[1]))
exporter.serve_for_parent(source, Address(host="127.0.0.1", port=int(sys.argv[2])), 0)
"""


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    port = free_port()
    child = subprocess.Popen(
        (sys.executable, "-c", CHILD, str(tmp_path / "record"), str(port)),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert child.stderr is not None
        assert b"metrics on http" in child.stderr.readline()
        with socket.create_connection(("127.0.0.1", port)):
            families = list(text_string_to_metric_families(fetched(f"http://127.0.0.1:{port}/metrics")))
            assert families[0].name == "oomguard_up"
            assert child.stdin is not None
            child.stdin.close()
            assert child.wait(timeout=10) == 0
        assert re.search(rb"oomguard/\w+\.py", child.stderr.read()) is None, "a traceback of ours"
        child.stderr.close()
    finally:
        child.kill()
        child.wait()


def test_the_sockets_of_a_unit_are_served(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        (tmp_path / "oomguard.toml").write_text(f'[record]\npath = "{tmp_path}/record"\n')
        options = f'-m oomguard exporter --config "{tmp_path}/oomguard.toml"'
        activated = subprocess.Popen(
            (
                "bash",
                "-c",
                f'LISTEN_PID=$$ LISTEN_FDS=1 exec "{sys.executable}" {options} 3<&{given.fileno()}',
            ),
            pass_fds=[given.fileno()],
            stderr=subprocess.PIPE,
        )
        try:
            port = given.getsockname()[1]
            assert "oomguard_up 0.0" in fetched(f"http://127.0.0.1:{port}/metrics")
            assert activated.stderr is not None
            assert f"metrics on http://127.0.0.1:{port}/metrics" in activated.stderr.readline().decode()
            activated.stderr.close()
        finally:
            activated.terminate()
            activated.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: has no capabilities to hand on")
@pytest.mark.parametrize("user", [0, 4242])
def test_it_lets_go_of_all_that_it_was_handed(user: int) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv to hand capabilities on")
    handed = ("--inh-caps=+kill,+setuid,+setgid", "--ambient-caps=+kill,+setuid,+setgid")
    who = (f"--reuid={user}", f"--regid={user}", "--clear-groups")
    script = "from oomguard import exporter; exporter.relinquish(); print(open('/proc/self/status').read())"
    words = (setpriv, *who, *handed, sys.executable, "-c", script)
    status = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    held = dict(re.findall(r"^(Cap\w+):\t(\w+)$", status, re.MULTILINE))
    assert {held[kind] for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert "\nUid:\t0\t" not in status
