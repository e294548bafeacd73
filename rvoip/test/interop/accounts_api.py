"""An API of accounts as another system has one: HTTPS, a bearer token, JSON."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rvoip.test.interop.addresses import free_port
from rvoip.testing.certificates import Authority
from rvoip.users.passwords import ha1_set

__all__ = ["AccountsAPI"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer about one account."""
        api = self.server.api
        query = parse_qs(urlsplit(self.path).query)
        user, realm = query["user"][0], query["realm"][0]
        api.requests.append(user)
        time.sleep(api.delay)
        status, body = 404, b"{}"
        if api.status:
            status = api.status
        elif self.headers["Authorization"] != f"Bearer {api.token}":
            status = 401
        elif user in api.passwords:
            found = ha1_set(user, realm, api.passwords[user])
            hashes = {"MD5": found.md5, "SHA-256": found.sha256, "SHA-512-256": found.sha512_256}
            status, body = 200, json.dumps({"user": user, "ha1": hashes}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if 300 <= status < 400:
            self.send_header("Location", f"http://{api.host}:1/")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: AccountsAPI

    def get_request(self) -> tuple[Any, Any]:
        """Another connection."""
        connection, address = super().get_request()
        self.api.connections.append(connection)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone, or whose TLS ends early, is no error of the test."""


class AccountsAPI:
    """Answers GET /accounts?user=U&realm=R; `passwords` by user, `requests` are the users asked for.

    With `status` every answer has that; `delay` is seconds before each.
    """

    def __init__(self, folder: Path, host: str, passwords: dict[str, str], token: str = "s3cret") -> None:
        self.host = host
        self.port = free_port(host)
        self.passwords = passwords
        self.token = token
        self.requests: list[str] = []
        self.status = 0
        self.delay = 0.0
        self.connections: list[socket.socket] = []
        self._folder = folder
        authority = Authority("accounts authority")
        self.ca = folder / "accounts-ca.pem"
        self.ca.write_bytes(authority.certificate_pem)
        self._certificate, self._key = authority.issue(host).write(folder, "accounts")
        self._server: _Server | None = None
        self.start()

    def start(self) -> None:
        """Answer."""
        server = _Server((self.host, self.port), _Handler)
        server.api = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, self._key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Answer no more, take no connection, and end those there are."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        while self.connections:
            with contextlib.suppress(OSError):
                self.connections.pop().shutdown(socket.SHUT_RDWR)

    @property
    def tables(self) -> dict[str, str]:
        """What a role's configuration says of it."""
        url = f"https://{self.host}:{self.port}/accounts?user={{user}}&realm={{realm}}"
        times = "ttl = 0.5\nnegative_ttl = 0.5\ntimeout = 0.5"
        return {
            "users": f'store = "sqlite:users.db"\nsource = "{url}"\n{times}',
            "users.http": f'token = "{self.token}"\nca = "{self.ca}"',
        }
