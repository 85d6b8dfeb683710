"""What scraping many hosts, and our rules, cost a Prometheus:

    .venv/bin/python -m bench.fleet HOSTS SECONDS < PAGE

PAGE is what an exporter serves. Each host is a target that serves the same, so all series are there and
nothing ever changes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

ADDRESS = "127.0.0.1:39990"
RULES = Path(__file__).parents[1] / "prometheus/rules"
CLUSTERS = 10
SHOWN = ("process_cpu_seconds_total ", "process_resident_memory_bytes ", "prometheus_tsdb_head_series ")
CONFIG = """
global: {{scrape_interval: 15s, evaluation_interval: 15s}}
rule_files: ["{rules}/*.yml"]
scrape_configs: [{{job_name: oomguard, file_sd_configs: [{{files: ["{targets}"]}}]}}]
"""


def serve(page: bytes) -> int:
    """The port at which `page` is served, whatever is asked for."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Give the page."""
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
            """Log no requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    port: int = server.server_address[1]
    return port


def measure(folder: Path, port: int, hosts: int, seconds: int) -> str:
    """Prometheus's own figures, once it has watched `hosts` for so long."""
    targets, config = folder / "targets.json", folder / "prometheus.yml"
    labels = ({"instance": f"host-{n}", "cluster": f"cluster-{n % CLUSTERS}"} for n in range(hosts))
    targets.write_text(json.dumps([{"targets": [f"127.0.0.1:{port}"], "labels": each} for each in labels]))
    config.write_text(CONFIG.format(rules=RULES, targets=targets))
    options = (
        f"--config.file={config}",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address={ADDRESS}",
    )
    command = ("prometheus", *options)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as prometheus:  # noqa: S603
        try:
            time.sleep(seconds)
            with urllib.request.urlopen(f"http://{ADDRESS}/metrics") as answer:
                text: str = answer.read().decode()
        finally:
            prometheus.terminate()
    return "".join(f"{line}\n" for line in text.splitlines() if line.startswith(SHOWN))


def main() -> None:
    """Measure and print."""
    hosts, seconds = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(measure(Path(folder), serve(sys.stdin.buffer.read()), hosts, seconds))


if __name__ == "__main__":
    main()
