"""What one command serves, as Prometheus itself sees it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.system.conftest import Start
from tests.system.patience import PATIENCE, eventually
from tests.system.subject import Settings
from tests.system.web import fetch, free_port

pytestmark = [
    pytest.mark.kill,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="NOT TESTED: takes Prometheus"),
]

SCRAPING = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: oomguard
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@pytest.fixture
def served(start: Start) -> int:
    """The port on which a guard's metrics are."""
    port = free_port()
    start(Settings(mode="dry-run"), "--metrics", f"127.0.0.1:{port}")
    eventually(lambda: fetch(f"http://127.0.0.1:{port}/metrics"))
    return port


@pytest.fixture
def prometheus(served: int, tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus that scrapes the guard."""
    config = tmp_path / "prometheus.yml"
    config.write_text(SCRAPING.format(port=served))
    address = f"127.0.0.1:{free_port()}"
    options = (
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path}/tsdb",
        f"--web.listen-address={address}",
    )
    with subprocess.Popen(("prometheus", *options), stderr=subprocess.DEVNULL) as process:
        yield address
        process.terminate()
        process.wait(PATIENCE)


def test_promtool_has_nothing_to_say(served: int) -> None:
    metrics = fetch(f"http://127.0.0.1:{served}/metrics")
    checked = subprocess.run(
        ("promtool", "check", "metrics"), input=metrics, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_prometheus_scrapes(prometheus: str) -> None:
    def answer(query: str) -> list[object]:
        text = fetch(f"http://{prometheus}/api/v1/query?query={quote(query)}")
        found: list[object] = json.loads(text)["data"]["result"] if text else []
        return found

    for query in ("up == 1", "oomguard_up == 1", "oomguard_polls_total > 1"):
        assert len(eventually(partial(answer, query))) == 1
