"""`python -m tests.system.broken MODULE:CLASS.METHOD,… python -m oomguard …`: a guard with these broken."""

from __future__ import annotations

import sys

from oomguard import launch
from oomguard.cli import main

PREPARE, BEGIN = launch.LEAN[-1].split("; from ")
"""What the guard's interpreter runs first, and what makes it the guard."""
BREAK = """
def broken(*_):
    raise RuntimeError("broken by a test")
"""

pieces, arguments = sys.argv[1], sys.argv[5:]
lines = [PREPARE, BREAK]
for piece in pieces.split(","):
    module, _, method = piece.partition(":")
    owner = method.partition(".")[0]
    lines += [f"from {module} import {owner}", f"{method} = broken"]
launch.LEAN = (*launch.LEAN[:-1], "\n".join((*lines, f"from {BEGIN}")))
sys.exit(main(arguments))
