"""Pushes the metrics to a Pushgateway, for hosts that Prometheus cannot reach.

The group is `job="oomguard"` and `instance`, the host's name; each push replaces the group's last one.
https://github.com/prometheus/pushgateway#api
"""

from __future__ import annotations

import signal
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from types import FrameType
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from oomguard.errors import OomguardError
from oomguard.names import decode, printable
from oomguard.pages import Exposition
from oomguard.units import Seconds

TIME = Seconds(20)
"""For all of a push, from the look-up of the name to the answer."""
MOST_SAID = 512
"""Bytes that are read of why a push was refused."""


def push(exposition: Exposition, url: str, instance: str, login: str | None) -> None:
    """Put `exposition` in place of what the group of `instance` was; `login` is "user:password".

    TLS is verified with the host's certificates. Raises `OomguardError` in one line.
    """
    _check(url)
    headers = {"Content-Type": exposition.content_type}
    if login is not None:
        headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    request = Request(  # noqa: S310  # the scheme is checked
        group(url, instance), data=exposition.body, method="PUT", headers=headers
    )
    try:
        with _at_most(TIME):
            refused = _send(request)
    except (OSError, HTTPException) as error:
        raise OomguardError(f"{_shown(url)}: cannot be reached: {error}") from error
    if refused is not None:
        raise OomguardError(f"{_shown(url)}: refused with {refused}")


def group(url: str, instance: str) -> str:
    """Where the group of `instance` is on the Pushgateway at `url`."""
    encoded = urlsafe_b64encode(instance.encode()).decode()
    key = f"instance/{quote(instance, safe='')}" if "/" not in instance else f"instance@base64/{encoded}"
    return f"{url.rstrip('/')}/metrics/job/oomguard/{key}"


def read_login(file: str) -> str:
    """The "user:password" in `file`, one line. Raises `OomguardError`."""
    try:
        with open(file, encoding="utf-8") as stream:
            login = stream.read(1024).strip()
    except (OSError, ValueError) as error:
        raise OomguardError(f"{file}: cannot be read: {error}") from error
    if ":" not in login or "\n" in login:
        raise OomguardError(f"{file}: must hold one line, user:password")
    return login


def _send(request: Request) -> str | None:
    """None where it was taken, or else what the gateway has against it; raises OSError, HTTPException."""
    try:
        with urlopen(request) as answer:  # noqa: S310  # the scheme was checked
            answer.read(1)
    except HTTPError as error:
        with error:
            said = decode(error.read(MOST_SAID)).strip()
        return f"{error.code} {printable(error.reason)}" + (f": {printable(said)}" if said else "")
    return None


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise OomguardError(f"{_shown(url)}: not the http:// or https:// address of a Pushgateway")
    if "@" in parts.netloc:
        raise OomguardError(f"{_shown(url)}: everybody could read its password; use --push-login")


@contextmanager
def _at_most(seconds: Seconds) -> Iterator[None]:
    """Raise TimeoutError after so long, whatever is waited for: a socket's time-out is for each byte anew."""

    def expire(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"it took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _shown(url: str) -> str:
    """`url` without a password that may be in it."""
    scheme, found, rest = url.rpartition("@")
    return f"{scheme.partition('://')[0]}://...@{rest}" if found else url
