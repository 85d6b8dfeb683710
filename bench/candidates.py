"""HTTP servers that the exporter might have used, each as it comes: `python candidates.py NAME PORT`.

Run by `bench.servers` with an interpreter that has them all; knows nothing of oomguard.
"""

from __future__ import annotations

import asyncio
import sys

import prometheus_client  # part of each exporter, so part of its size

BODY = b"metric 1\n" * 1400


def wsgi(environment, start_response):
    """For the servers that speak WSGI."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]


async def asgi(scope, receive, send):
    """For the servers that speak ASGI."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"].endswith("shutdown"):
                return
    length = str(len(BODY)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": BODY})


def client_library(port):
    """prometheus-client's own server."""
    _, thread = prometheus_client.start_http_server(port, "127.0.0.1")
    thread.join()


def cheroot(port):
    """The server of CherryPy."""
    from cheroot.wsgi import Server

    Server(("127.0.0.1", port), wsgi).start()


def waitress(port):
    """The server of Pylons."""
    from waitress import serve

    serve(wsgi, host="127.0.0.1", port=port)


def gunicorn(port):
    """One master, one worker with threads."""
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):
        def load_config(self):
            self.cfg.set("bind", f"127.0.0.1:{port}")
            self.cfg.set("worker_class", "gthread")

        def load(self):
            return wsgi

    Application().run()


def uvicorn(port):
    """On asyncio and h11."""
    import uvicorn

    uvicorn.run(asgi, host="127.0.0.1", port=port, http="h11", ws="none", log_level="error")


def hypercorn(port):
    """On asyncio and h11."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    asyncio.run(serve(asgi, config))


def aiohttp(port):
    """On asyncio and a parser of its own."""
    from aiohttp import web

    async def page(request):
        return web.Response(body=BODY)

    application = web.Application()
    application.router.add_get("/", page)
    web.run_app(application, host="127.0.0.1", port=port, print=None)


def twisted(port):
    """On its own reactor."""
    from twisted.internet import reactor
    from twisted.web import resource, server

    class Page(resource.Resource):
        isLeaf = True  # noqa: N815  # the name is the base class's

        def render_GET(self, request):  # noqa: N802  # as above
            return BODY

    reactor.listenTCP(port, server.Site(Page()), interface="127.0.0.1")
    reactor.run()


def tornado(port):
    """Its HTTP server alone, on asyncio."""
    from tornado.httpserver import HTTPServer
    from tornado.httputil import HTTPHeaders, ResponseStartLine

    def page(request):
        headers = HTTPHeaders({"Content-Length": str(len(BODY))})
        request.connection.write_headers(ResponseStartLine("HTTP/1.1", 200, "OK"), headers, BODY)
        request.connection.finish()

    async def run():
        HTTPServer(page).listen(port, "127.0.0.1")
        await asyncio.Event().wait()

    asyncio.run(run())


if __name__ == "__main__":
    globals()[sys.argv[1]](int(sys.argv[2]))
