"""Does a thread that is stuck in sd_notify stop the others? Run: python bench/gil_held.py

A child ticks every 10 ms in its main thread while another thread notifies a socket that nobody reads;
the parent counts the ticks of each second.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import tempfile
import threading
import time

from systemd.daemon import notify  # type: ignore[import-untyped]  # it has no type hints

SECONDS = 5
NOTIFY_AFTER = 1.0
TICK = 0.01


def child(ticks: int, address: str) -> None:
    """Ticks for ever; from `NOTIFY_AFTER` seconds on, a thread notifies without end."""
    os.environ["NOTIFY_SOCKET"] = address

    def notify_for_ever() -> None:
        time.sleep(NOTIFY_AFTER)
        while True:
            notify("STATUS=a line")

    threading.Thread(target=notify_for_ever, daemon=True).start()
    while True:
        os.write(ticks, b".")
        time.sleep(TICK)


def main() -> None:
    """Prints how many ticks came in each second."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unread:
        address = f"{folder}/notify"
        unread.bind(address)
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            child(theirs, address)
        start = time.monotonic()
        counts = [0] * SECONDS
        while (elapsed := time.monotonic() - start) < SECONDS:
            if select.select([ours], [], [], TICK)[0]:
                counts[int(elapsed)] += len(os.read(ours, 4096))
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        for second, count in enumerate(counts):
            sys.stdout.write(f"second {second}: {count} ticks\n")


if __name__ == "__main__":
    main()
