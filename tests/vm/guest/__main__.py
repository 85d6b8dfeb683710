"""`python3 -m tests.vm.guest NAME…`: makes the checks of these modules, one after the other."""

from __future__ import annotations

import ctypes
import importlib
import json
import signal
import sys
import time
import traceback
from types import FrameType

from tests.vm.guest.check import Check, checks_of

MCL_CURRENT, MCL_FUTURE = 1, 2


def main(names: list[str]) -> None:
    """Tells each check's outcome as it is known: what comes later may take the machine down."""
    # The one who measures the stall must not take part in it.
    ctypes.CDLL(None).mlockall(MCL_CURRENT | MCL_FUTURE)
    signal.signal(signal.SIGALRM, _out_of_time)
    for name in names:
        for check in checks_of(importlib.import_module(f"tests.vm.guest.{name}")):
            start = time.monotonic()
            problem = _make(check)
            seconds = round(time.monotonic() - start, 2)
            _tell({"check": check.name, "problem": problem, "seconds": seconds})


def _make(check: Check) -> str | None:
    signal.alarm(check.limit)
    try:
        check.function()
    except Exception:  # noqa: BLE001 - whatever a check stumbles over is its finding
        return traceback.format_exc()
    finally:
        signal.alarm(0)
    return None


def _out_of_time(number: int, frame: FrameType | None) -> None:
    raise TimeoutError("the check ran into its time limit")


def _tell(result: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


main(sys.argv[1:])
