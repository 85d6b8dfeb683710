"""What the guard's interpreter loads, and what each step of it takes of its memory, as a Markdown table.

    .venv/bin/python -m bench.imports

Each step loads what the one before it did not; so what two of them share counts for the first.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from oomguard.launch import LEAN

STEPS = {
    "an interpreter that does nothing": "pass",
    "enum, contextlib": "import contextlib, enum",
    "ctypes": "import ctypes",
    "what else of the standard library": "import mmap, pwd, resource, select, signal, struct, zlib",
    "our own modules": "from oomguard.lean import spare_typing; spare_typing(); import oomguard.start",
    "(for rules and globs) re": "import oomguard.expression",
}
SCRIPT = """import sys
sys.path.append(sys.argv[1])
for step in sys.argv[2:]:
    exec(step)
    with open("/proc/self/status") as file:
        rss = next(line for line in file if line.startswith("VmRSS"))
    print(rss.split()[1])
"""
ROUNDS = 5


def main() -> None:
    """Measure, and print the table."""
    rounds = sorted(grown() for _ in range(ROUNDS))
    # Where the kernel maps things is chance, and moves it by 0.1 MiB: the middle one of them, as a whole.
    _, totals = rounds[ROUNDS // 2]
    sys.stdout.write("| loaded | more, KiB | in all |\n|---|---|---|\n")
    for step, before, total in zip(STEPS, (0, *totals), totals, strict=False):
        sys.stdout.write(f"| {step} | {total - before} | {total} |\n")


def grown() -> tuple[int, tuple[int, ...]]:
    """The resident set after the last step, and after each, in KiB."""
    options = LEAN[:-1]
    command = (sys.executable, *options, SCRIPT, str(Path(__file__).parents[1]), *STEPS.values())
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    totals = tuple(map(int, told.split()))
    return totals[-1], totals


if __name__ == "__main__":
    main()
