"""`python -m tests.vm build` makes the image, `python -m tests.vm run NAME…` boots it and makes checks."""

from __future__ import annotations

import argparse
import json
import sys
import time

from tests.vm import build
from tests.vm.image import image, missing
from tests.vm.machine import Machine, Swap, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the image, unless it is there")
    checks = commands.add_parser("run", help="boot a machine and make the checks of tests/vm/guest/NAME.py")
    checks.add_argument("names", nargs="+", metavar="NAME")
    checks.add_argument("--memory", type=int, default=1024, metavar="MIB")
    checks.add_argument("--swap", type=int, default=256, metavar="MIB")
    checks.add_argument("--limit", type=float, default=600, metavar="SECONDS")
    checks.add_argument("--cmdline", action="append", default=[], metavar="WORD", help="for the kernel")
    arguments = parser.parse_args()
    if tools := missing():
        sys.exit(f"missing on this host: {', '.join(tools)}")
    start = time.monotonic()
    built = image()
    sys.stderr.write(f"{built.disk} ({time.monotonic() - start:.0f} s)\n")
    if arguments.command == "build":
        return 0
    machine = Machine(
        mib=arguments.memory,
        swap=Swap(mib=arguments.swap, bytes_per_second=30_000_000, operations_per_second=1500)
        if arguments.swap
        else None,
        cmdline=tuple(arguments.cmdline),
    )
    outcome = run(machine, build.checks(*arguments.names), arguments.limit)
    for result in outcome.results:
        sys.stdout.write(f"{json.dumps(result)}\n")
    sys.stderr.write(f"{outcome.story}\n")
    found = outcome.exit != "exited 0" or any(result.get("problem") for result in outcome.results)
    return int(found)


sys.exit(main())
