"""A real Prometheus that scrapes what a test serves."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.system.patience import PATIENCE
from tests.system.web import free_port

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: oomguard
    static_configs: [{{targets: [{targets}], labels: {{cluster: lab}}}}]
  - job_name: pushgateway
    honor_labels: true
    static_configs: [{{targets: [{gateways}]}}]
"""


class Prometheus:
    """Looks at its targets, and at Pushgateways, every second; has its files in `folder`."""

    def __init__(
        self,
        folder: Path,
        targets: tuple[str, ...],
        rules: tuple[Path, ...],
        gateways: tuple[str, ...] = (),
    ) -> None:
        config = folder / "prometheus.yml"
        config.write_text(
            CONFIG.format(rules=_listed(rules), targets=_listed(targets), gateways=_listed(gateways))
        )
        self._address = f"127.0.0.1:{free_port()}"
        options = (
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address={self._address}",
        )
        with (folder / "prometheus.log").open("w") as log:
            self._process = subprocess.Popen(("prometheus", *options), stderr=log)

    def now(self, expr: str) -> list[Any]:
        """What a panel without time shows; nothing while Prometheus is not ready."""
        return self._result("query", query=expr)

    def since(self, start: float, end: float, expr: str, step: int) -> list[Any]:
        """What a graph shows, with a point at each multiple of `step` seconds, as Grafana asks for it."""
        first, last = start // step * step, -(-end // step) * step
        return self._result("query_range", query=expr, start=str(first), end=str(last), step=str(step))

    def values(self, label: str, expr: str) -> list[str]:
        """What a variable offers."""
        found: list[str] = self._ask(f"label/{label}/values", **{"match[]": expr})
        return found

    def rules(self) -> list[Any]:
        """Every rule, as it was last evaluated."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)

    def _result(self, path: str, **asked: str) -> list[Any]:
        try:
            found: list[Any] = self._ask(path, **asked)["result"]
        except ConnectionError:
            return []
        return found

    def _ask(self, path: str, **asked: str) -> Any:
        """Raises ConnectionError while nobody listens, and whatever Prometheus has against the query."""
        try:
            with urllib.request.urlopen(
                f"http://{self._address}/api/v1/{path}?{urlencode(asked)}", timeout=PATIENCE
            ) as answer:
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:
                raise ConnectionRefusedError("not ready yet") from error
            raise AssertionError(f"{asked}: {error.read().decode()}") from error
        except urllib.error.URLError as error:
            raise ConnectionRefusedError(str(error)) from error


def _listed(several: Iterable[str | Path]) -> str:
    return ", ".join(f'"{each}"' for each in several)
