"""
A media server on a socket: the API over HTTP and its WebSockets, in front of any `IMediaServer`.

    fake = FakeMediaServer(reactor)
    service = serve_media(reactor, "127.0.0.1:8090", fake)
    service.startService()               # http://127.0.0.1:8090/v1/docs is the API to read
"""

from __future__ import annotations

from typing import Any

import rvoip
from rvoip.common.http import API
from rvoip.common.http_auth import Guard
from rvoip.common.http_operations import serve_openapi
from rvoip.common.http_server import HTTPService
from rvoip.mediacontrol.serve import add_routes
from rvoip.mediacontrol.serve_control import add_websockets

__all__ = ["media_api", "serve_media"]


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
