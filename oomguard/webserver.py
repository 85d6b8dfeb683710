"""Tornado's HTTP, with bounds on all that a stranger can take of it: connections, time, bytes, CPU.

A connection has a few seconds until its first answer is out, and a few minutes for each further one. The
handshake of TLS, a header that trickles in and a reader that stops all count against that. Of connections,
`admission` lets in a bounded number, and a newcomer always finds a place.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import cast

from tornado.http1connection import HTTP1ConnectionParameters, HTTP1ServerConnection
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
    format_timestamp,
)
from tornado.iostream import IOStream, SSLIOStream

from oomguard.admission import Admission, party
from oomguard.pages import Answer, Request, Source, answer, refusal
from oomguard.passwords import Login, Passwords, parse_login
from oomguard.protection import Protection
from oomguard.units import Seconds

MOST_CONNECTIONS = 128
NEWCOMERS = 4
"""How many are let in before those who are in get their turn."""
PLACE = Seconds(0.1)
"""How long whoever is let in has a place at least, however many come after it from the same address."""
PACE = Seconds(PLACE * NEWCOMERS / MOST_CONNECTIONS)
"""How long nobody is let in after `NEWCOMERS` while there is no place: they wait in the kernel's queue."""
REST = Seconds(1)
"""How long nobody is let in after that failed."""
FIRST_ANSWER = Seconds(5)
"""How long a newcomer has until its first answer is out."""
NEXT_ANSWER = Seconds(180)
"""How long there is for each further one: scrapers keep their connection from one scrape to the next."""
REFRESH = Seconds(5)
"""How often the files of the protection are looked at."""
MOST_CHECKS, MOST_CHECKS_EACH = 32, 4
"""How many passwords may wait for their check: everybody's, and those of one party."""

_BYTES = 8192
"""For a header; for a body, which nobody needs to send, and which is passed over; and for one read."""
_PARAMETERS = HTTP1ConnectionParameters(
    max_header_size=_BYTES, max_body_size=_BYTES, chunk_size=_BYTES, header_timeout=NEXT_ANSWER
)
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="oomguard", charset="UTF-8"'}


def serve(
    source: Source, sockets: Sequence[socket.socket], protection: Protection, parent: int | None
) -> None:
    """Serve on `sockets`, which listen, until interrupted or until the pipe `parent` comes to its end."""
    _hush()
    with suppress(KeyboardInterrupt):
        asyncio.run(Server(source, protection).run(sockets, parent))


class Server(HTTPServerConnectionDelegate):
    """Answers on any number of sockets."""

    def __init__(self, source: Source, protection: Protection) -> None:
        self._source = source
        self._protection = protection
        self._checks = _Checks()
        self._guests = Admission[HTTP1ServerConnection](MOST_CONNECTIONS)
        self._deadlines: dict[HTTP1ServerConnection, asyncio.TimerHandle] = {}

    async def run(self, sockets: Sequence[socket.socket], parent: int | None = None) -> None:
        """Serve until cancelled, or until `parent` comes to its end."""
        over = asyncio.Event()
        if parent is not None:
            asyncio.get_running_loop().add_reader(parent, over.set)
        for listening in sockets:
            self._open(listening)
        try:
            while not over.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), REFRESH)
                self._protection.refresh()
        finally:
            for listening in sockets:
                asyncio.get_running_loop().remove_reader(listening)
            for guest in self._deadlines:
                guest.stream.close()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Tornado's call before each request."""
        return _Reading(self, cast(HTTP1ServerConnection, server_conn), request_conn)

    def on_close(self, server_conn: object) -> None:
        """Tornado's call after each connection."""
        guest = cast(HTTP1ServerConnection, server_conn)
        self._guests.leave(guest)
        self._deadlines.pop(guest).cancel()

    async def objection(self, guest: HTTP1ServerConnection, login: Login | None) -> Answer | None:
        """What to answer instead of a page, where `login` is not one that may read it."""
        passwords = self._protection.passwords
        if not passwords:
            return None
        match await self._checks.right(passwords, login, str(guest.context)) if login else False:
            case True:
                return None
            case False:
                return refusal(HTTPStatus.UNAUTHORIZED, _CHALLENGE)
            case None:
                return refusal(HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": "10"})

    def page(self, request: Request) -> Answer:
        """The page that `request` is for."""
        return answer(request, self._source)

    def send(
        self, guest: HTTP1ServerConnection, connection: HTTPConnection, method: str, told: Answer
    ) -> None:
        """Answer; with this, `guest` has time for another request."""
        headers = HTTPHeaders(
            {
                "Content-Type": told.content_type,
                "Content-Length": str(len(told.body)),
                "Date": format_timestamp(time.time()),
                **told.headers,
                **self._protection.config.headers,
            }
        )
        line = ResponseStartLine("HTTP/1.1", told.status.value, told.status.phrase)
        sent = connection.write_headers(line, headers, None if method == "HEAD" else told.body)
        connection.finish()
        sent.add_done_callback(lambda _: self._give(guest, NEXT_ANSWER))

    def _open(self, listening: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(NEWCOMERS):
            try:
                connection, address = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                # No descriptor or no memory is left, accept(2): to ask again at once would take all CPU.
                self._pause(listening, REST)
                return
            self._welcome(connection, address)
        if len(self._guests) == MOST_CONNECTIONS:
            self._pause(listening, PACE)

    def _pause(self, listening: socket.socket, time_out: Seconds) -> None:
        asyncio.get_running_loop().remove_reader(listening)
        asyncio.get_running_loop().call_later(time_out, self._open, listening)

    def _welcome(self, connection: socket.socket, address: tuple[str, int] | str) -> None:
        try:
            stream = self._stream(connection)
        except OSError:
            connection.close()
            return
        home = party(address[0]) if isinstance(address, tuple) else "this host"
        guest = HTTP1ServerConnection(stream, _PARAMETERS, context=home)
        self._deadlines[guest] = asyncio.get_running_loop().call_later(FIRST_ANSWER, stream.close)
        leaving = self._guests.admit(guest, home)
        if leaving is not None:
            leaving.stream.close()
        guest.start_serving(self)

    def _stream(self, connection: socket.socket) -> IOStream:
        tls = self._protection.tls
        if tls is None:
            return IOStream(connection, max_buffer_size=4 * _BYTES, read_chunk_size=_BYTES)
        wrapped = tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return SSLIOStream(wrapped, max_buffer_size=4 * _BYTES, read_chunk_size=_BYTES)

    def _give(self, guest: HTTP1ServerConnection, time_left: Seconds) -> None:
        if guest in self._deadlines:
            self._deadlines[guest].cancel()
            self._deadlines[guest] = asyncio.get_running_loop().call_later(time_left, guest.stream.close)


class _Reading(HTTPMessageDelegate):
    """One request, as it comes in."""

    def __init__(self, server: Server, guest: HTTP1ServerConnection, connection: HTTPConnection) -> None:
        self._server = server
        self._guest = guest
        self._connection = connection
        self._request = Request(method="", path="")
        self._objection: Answer | None = None

    async def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        """The request is known; its body, if any, is not."""
        asked = cast(RequestStartLine, start_line)
        self._request = Request(
            method=asked.method,
            path=asked.path,
            accept=headers.get("Accept", ""),
            accept_encoding=headers.get("Accept-Encoding", ""),
        )
        self._objection = await self._server.objection(
            self._guest, parse_login(headers.get("Authorization", ""))
        )

    def data_received(self, chunk: bytes) -> None:
        """A piece of a body that nobody wants."""

    def finish(self) -> None:
        """The request is whole."""
        told = self._objection or self._server.page(self._request)
        self._server.send(self._guest, self._connection, self._request.method, told)


class _Checks:
    """Checks of passwords, one at a time, on a thread of their own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passwords")
        self._waiting = Counter[str]()

    async def right(self, passwords: Passwords, login: Login, home: str) -> bool | None:
        """Whether `login` is right; None where too many wait to know already."""
        if passwords.known(login):
            return True
        if self._waiting[home] >= MOST_CHECKS_EACH or self._waiting.total() >= MOST_CHECKS:
            return None
        self._waiting[home] += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, passwords.check, login)
        finally:
            self._waiting -= Counter((home,))


def _hush() -> None:
    """Log nothing of what clients do: whoever can reach the port could fill the journal with it."""
    logging.getLogger("tornado.general").disabled = True
