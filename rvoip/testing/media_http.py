"""
A media server on a socket: the API over HTTP and its WebSockets, in front of any `IMediaServer`.

    fake = FakeMediaServer(reactor)
    service = serve_media(reactor, "127.0.0.1:8090", fake)
    service.startService()               # http://127.0.0.1:8090/v1/docs is the API to read

`python -m rvoip.testing.media_http --listen 127.0.0.1:8090` runs the fake one for programs in any language.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import rvoip
from rvoip.common.errors import StartError
from rvoip.common.http import API
from rvoip.common.http_auth import Guard
from rvoip.common.http_operations import serve_openapi
from rvoip.common.http_server import HTTPService
from rvoip.mediacontrol.serve import add_routes
from rvoip.mediacontrol.serve_control import add_websockets
from rvoip.testing.media import FakeMediaServer

__all__ = ["main", "media_api", "serve_media"]


def media_api(reactor: Any, server: Any, token: str = "") -> API:
    """The API of `server`, an `IMediaServer`, with its own description at `/v1/openapi.json`."""
    api = API("rvoip media server", rvoip.__version__, reactor, guard=Guard(token))
    add_routes(api, server)
    add_websockets(api, server, reactor)
    serve_openapi(api)
    return api


def serve_media(
    reactor: Any,
    listen: str,
    server: Any,
    *,
    token: str = "",
    certificate: str = "",
    private_key: str = "",
    ca: str = "",
) -> HTTPService:
    """A service that listens for it, at `host:port` or `unix:/path`; port 0 is any, see its `address`."""
    return HTTPService(
        reactor,
        listen,
        media_api(reactor, server, token),
        certificate=certificate,
        private_key=private_key,
        ca=ca,
    )


def main(arguments: Sequence[str]) -> int:
    """Run the fake media server until it is told to stop; the exit status."""
    from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    parser = argparse.ArgumentParser(
        prog="python -m rvoip.testing.media_http",
        description="A media server without media, for tests of what commands one.",
    )
    parser.add_argument("--listen", default="127.0.0.1:8090", help="host:port, or unix:/path")
    parser.add_argument("--token", default="", help="what callers have to show; none by default")
    parser.add_argument("--capacity", type=int, default=1000, help="how many endpoints fill it")
    options = parser.parse_args(arguments)
    fake = FakeMediaServer(reactor, capacity=options.capacity, wall_now=reactor.seconds)
    service = serve_media(reactor, options.listen, fake, token=options.token)
    try:
        service.privilegedStartService()
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    address: Any = service.address
    where = options.listen if options.listen.startswith("unix:") else f"{address.host}:{address.port}"
    sys.stdout.write(f"a fake media server on {where}\n")
    sys.stdout.flush()
    reactor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
