"""`python -m grafana` writes the dashboards; with --into the alerts too, the runbook's address in both."""

from __future__ import annotations

import argparse
from pathlib import Path

from grafana import audit, fleet, host
from grafana.build import text

HERE = Path(__file__).parent
ALERTS = HERE.parent / "prometheus/rules/alerts.yml"
RUNBOOK = "docs/runbook.md"
"""Where the runbook is, as seen from the repository."""
BOARDS = (host.BOARD, fleet.BOARD, audit.BOARD)


def main() -> None:
    """Does what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m grafana", description=__doc__)
    parser.add_argument("--runbook", default=RUNBOOK, metavar="URL", help="where the runbook can be read")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="where to write; default: the repository")
    arguments = parser.parse_args()
    write_dashboards(arguments.into or HERE / "dashboards", arguments.runbook)
    if arguments.into:
        write_alerts(arguments.into, arguments.runbook)


def write_dashboards(folder: Path, runbook: str) -> None:
    """Writes each dashboard as a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        (folder / f"{board.uid}.json").write_text(text(board, runbook))


def write_alerts(folder: Path, runbook: str) -> None:
    """Writes the alerts with links to `runbook`."""
    (folder / ALERTS.name).write_text(ALERTS.read_text().replace(RUNBOOK, runbook))


if __name__ == "__main__":
    main()
