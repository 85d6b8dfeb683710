"""The pages that the exporter serves: a request in, an answer out. It opens no socket."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from http import HTTPStatus
from typing import Protocol

from oomguard import __version__
from oomguard.frozen import frozen

_FAST = 1
"""How hard gzip tries: more takes three times the CPU for a tenth of the bytes."""

_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_LANDING = f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>oomguard exporter</title></head>
<body>
<h1>oomguard exporter</h1>
<p>What the out-of-memory guard of this host sees and does. Version {__version__}.</p>
<ul>
<li><a href="/metrics">/metrics</a>: for Prometheus</li>
<li><a href="/-/healthy">/-/healthy</a>: the exporter answers</li>
<li><a href="/-/ready">/-/ready</a>: a guard runs, and its record is fresh</li>
</ul>
</body>
</html>
"""


@frozen
class Exposition:
    """All metrics in one of their formats."""

    content_type: str
    body: bytes


class Source(Protocol):
    """Where the pages get what they say."""

    def exposition(self, accept: str) -> Exposition:
        """The metrics, in the format that an Accept header asks for."""
        ...

    def problem(self) -> str | None:
        """What keeps the metrics from being those of a guard that runs; None: nothing."""
        ...


@frozen
class Request:
    """What a client asks for. All of it is as the client likes."""

    method: str
    path: str
    accept: str = ""
    accept_encoding: str = ""


_NONE: Mapping[str, str] = {}


@frozen
class Answer:
    """What it is told."""

    status: HTTPStatus
    body: bytes
    content_type: str = _TEXT
    headers: Mapping[str, str] = _NONE


def answer(request: Request, source: Source) -> Answer:
    """The page that `request` is for."""
    if request.method not in {"GET", "HEAD"}:
        return refusal(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})
    match request.path.partition("?")[0]:
        case "/metrics":
            return _metrics(request, source)
        case "/":
            return Answer(status=HTTPStatus.OK, body=_LANDING.encode(), content_type=_HTML)
        case "/-/healthy":
            return Answer(status=HTTPStatus.OK, body=b"the exporter answers\n")
        case "/-/ready":
            return _ready(source)
        case _:
            return refusal(HTTPStatus.NOT_FOUND)


def refusal(status: HTTPStatus, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer that says nothing but its status."""
    return Answer(status=status, body=f"{status.value} {status.phrase}\n".encode(), headers=headers or {})


def _metrics(request: Request, source: Source) -> Answer:
    exposition = source.exposition(request.accept)
    body, headers = exposition.body, {"Vary": "Accept, Accept-Encoding"}
    if "gzip" in _words(request.accept_encoding):
        body, headers = gzip.compress(body, _FAST, mtime=0), {**headers, "Content-Encoding": "gzip"}
    return Answer(status=HTTPStatus.OK, body=body, content_type=exposition.content_type, headers=headers)


def _ready(source: Source) -> Answer:
    problem = source.problem()
    if problem is None:
        return Answer(status=HTTPStatus.OK, body=b"a guard runs\n")
    return Answer(status=HTTPStatus.SERVICE_UNAVAILABLE, body=f"{problem}\n".encode(errors="replace"))


def _words(header: str) -> set[str]:
    """The values that a header lists, apart from those with a weight of 0."""
    listed = (entry.replace(" ", "").lower().partition(";") for entry in header.split(","))
    return {value for value, _, weight in listed if weight not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}}
