"""What a host pushes to a real Pushgateway, as the Prometheus that scrapes that gateway sees it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from oomguard import gateway
from oomguard.errors import OomguardError
from oomguard.pages import Exposition
from oomguard.units import Seconds
from tests.system.conftest import Start
from tests.system.patience import PATIENCE, eventually
from tests.system.prometheus import Prometheus
from tests.system.subject import Settings, oomguard
from tests.system.web import fetch, free_port

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus-pushgateway") is None,
    reason="NOT TESTED: takes a Pushgateway (apt-get install prometheus-pushgateway)",
)
HOST = f'job="oomguard", instance="{os.uname().nodename}"'
METRICS = Exposition(content_type="text/plain; version=0.0.4", body=b"oomguard_up 1\n")


class Pushgateway:
    """A gateway that runs."""

    def __init__(self, folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        # Debian's keeps what was pushed on disk, for the next one.
        options = (f"--web.listen-address={self.address}", "--persistence.file=")
        with (folder / "pushgateway.log").open("w") as log:
            self.process = subprocess.Popen(("prometheus-pushgateway", *options), stderr=log)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


@pytest.fixture
def pushgateway(tmp_path: Path) -> Iterator[Pushgateway]:
    running = Pushgateway(tmp_path)
    try:
        eventually(lambda: fetch(f"{running.url}/-/ready"))
        yield running
    finally:
        running.close()


@pytest.fixture
def asked(pushgateway: Pushgateway, tmp_path: Path) -> Iterator[Callable[[str], list[float]]]:
    """The values of a query, asked of a Prometheus that scrapes the gateway."""
    if shutil.which("prometheus") is None:
        pytest.skip("NOT TESTED: takes Prometheus")
    prometheus = Prometheus(tmp_path, (), (), gateways=(pushgateway.address,))
    try:
        yield lambda expr: [float(series["value"][1]) for series in prometheus.now(expr)]
    finally:
        prometheus.close()


@pytest.mark.kill
def test_prometheus_sees_the_host_as_if_it_had_scraped_it(
    start: Start, pushgateway: Pushgateway, asked: Callable[[str], list[float]]
) -> None:
    guard = start(Settings(mode="dry-run"))

    def push() -> None:
        pushed = oomguard("exporter", "--config", guard.config, "--push", pushgateway.url)
        assert (pushed.returncode, pushed.stdout, pushed.stderr) == (0, "", "")

    push()
    eventually(lambda: asked(f"oomguard_up{{{HOST}}}") == [1.0])
    assert asked("count(oomguard_mode) == 2 and count(oomguard_phase) == 5")
    (polls,) = asked(f"oomguard_polls_total{{{HOST}}}")
    guard.polls()
    push()
    eventually(partial(asked, f"oomguard_polls_total{{{HOST}}} > {polls}"))
    assert asked("count(oomguard_up)") == [1.0]


def test_a_push_takes_the_place_of_the_last(pushgateway: Pushgateway) -> None:
    other = replace(METRICS, body=b"oomguard_polls_total 3\n")
    for exposition in (METRICS, other):
        gateway.push(exposition, pushgateway.url, "a/b c", None)
    kept = fetch(f"{pushgateway.url}/metrics")
    assert 'oomguard_polls_total{instance="a/b c",job="oomguard"} 3' in kept
    assert "oomguard_up" not in kept


def test_what_the_gateway_refuses_is_told_in_its_words(pushgateway: Pushgateway) -> None:
    for body, words in (
        (b"nonsense\n", "refused with 400 Bad Request: text format parsing error in line 1"),
        (b"oomguard_up 1\noomguard_up 1\n", "refused with 400 Bad Request: .*was collected before"),
    ):
        with pytest.raises(OomguardError, match=words) as caught:
            gateway.push(replace(METRICS, body=body), pushgateway.url, "box", None)
        assert "\n" not in str(caught.value)


def test_a_gateway_that_hangs_is_given_up(pushgateway: Pushgateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "TIME", Seconds(0.5))
    pushgateway.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(OomguardError, match=r"cannot be reached: it took longer than 0\.5 s"):
            gateway.push(METRICS, pushgateway.url, "box", None)
    finally:
        pushgateway.process.send_signal(signal.SIGCONT)


def test_a_gateway_that_is_gone_is_one_line_and_status_1(pushgateway: Pushgateway, tmp_path: Path) -> None:
    pushgateway.close()
    config = tmp_path / "oomguard.toml"
    config.write_text(f'record.path = "{tmp_path}/record"\n')
    pushed = oomguard("exporter", "--config", config, "--push", pushgateway.url)
    assert (pushed.returncode, pushed.stdout) == (1, "")
    *_, last = pushed.stderr.splitlines()
    assert last.startswith(f"oomguard: {pushgateway.url}: cannot be reached: ")
    assert "Traceback" not in pushed.stderr
