from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.pages import Request, answer
from tests.serving import Fixed


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/", 200, b'href="/metrics"'),
        ("HEAD", "/", 200, b'href="/metrics"'),
        ("GET", "/metrics", 200, b"metric 1\n"),
        ("GET", "/metrics?name[]=up", 200, b"metric 1\n"),
        ("GET", "/-/healthy", 200, b"answers"),
        ("GET", "/-/ready", 200, b"a guard runs"),
        ("GET", "/metrics/", 404, b"404 Not Found"),
        ("GET", "http://evil/metrics", 404, b"404 Not Found"),
        ("GET", "*", 404, b"404"),
        ("POST", "/metrics", 405, b"405 Method Not Allowed"),
        ("get", "/metrics", 405, b"405"),
        ("", "", 405, b"405"),
    ],
)
def test_each_path_has_its_page(method: str, path: str, status: int, words: bytes) -> None:
    told = answer(Request(method=method, path=path), Fixed())
    assert told.status == status
    assert words in told.body
    assert ("Allow" in told.headers) is (status == 405)


def test_not_ready_says_why() -> None:
    told = answer(Request(method="GET", path="/-/ready"), Fixed(problem="no guard\udcff"))
    assert (told.status, told.body) == (503, b"no guard?\n")


def test_healthy_is_about_the_exporter_alone() -> None:
    assert answer(Request(method="GET", path="/-/healthy"), Fixed(problem="no guard")).status == 200


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("deflate, GZip;q=0.5", True),
        ("gzip; q=0", False),
        ("identity", False),
        ("xgzip", False),
        ("", False),
    ],
)
def test_the_metrics_are_compressed_where_that_is_asked_for(accepted: str, compressed: bool) -> None:
    told = answer(Request(method="GET", path="/metrics", accept_encoding=accepted), Fixed(b"metric 1\n" * 99))
    assert (told.headers.get("Content-Encoding") == "gzip") is compressed
    assert (gzip.decompress(told.body) if compressed else told.body) == b"metric 1\n" * 99
    assert "Accept-Encoding" in told.headers["Vary"]


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=40), st.text(max_size=40))
def test_no_request_is_too_strange(method: str, path: str, accept: str, encoding: str) -> None:
    told = answer(Request(method=method, path=path, accept=accept, accept_encoding=encoding), Fixed())
    assert told.status in {200, 404, 405}
    assert path not in told.body.decode() or told.status == 200 or len(path) < 5
