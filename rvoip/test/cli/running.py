"""Command lines in this process, and a server for those that call one."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from unittest import mock

from rvoip.cli.main import main


class Ran(NamedTuple):
    """What a command line did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class _Input(io.TextIOWrapper):
    terminal = False

    def isatty(self) -> bool:
        return self.terminal


class _Output(io.StringIO):
    terminal = False

    def isatty(self) -> bool:
        return self.terminal


def run(*arguments: str, stdin: bytes = b"", terminal: bool = False) -> Ran:
    """Run a command line; what it says is kept instead of printed."""
    read = _Input(io.BytesIO(stdin))
    out, err = _Output(), io.StringIO()
    read.terminal = out.terminal = terminal
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch("sys.stdin", read),
    ):
        status = main(arguments)
    return Ran(status, out.getvalue(), err.getvalue())


def _problem(status: int, detail: str) -> tuple[int, Any]:
    return status, {"title": "Problem", "status": status, "detail": detail}


class FakeServer:
    """An HTTP server that gives the answers it was told to give, and notes what it was asked.

    `answers` maps "METHOD /path" to a status and a body: a value for JSON, or bytes. With a `token` it asks
    for it.
    """

    def __init__(self, host: str, answers: dict[str, tuple[int, Any]], token: str = "") -> None:
        self.answers = answers
        self.token = token
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if self.raw_requestline and self.parse_request():
                    outer.answer(self)
                else:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer((host, 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://{host}:{self._http.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = f"{request.command} {request.path}"
        self.asked.append(asked)
        self.bodies.append(request.rfile.read(int(request.headers["Content-Length"] or 0)))
        if self.token and request.headers["Authorization"] != f"Bearer {self.token}":
            answer = _problem(401, "a token is needed")
        else:
            answer = self.answers.get(asked) or _problem(404, f"nothing at {request.path}")
        status, body = answer
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        if status != 204:  # which has no body (RFC 9110 section 15.3.5)
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if status != 204:
            request.wfile.write(content)

    @contextlib.contextmanager
    def serving(self) -> Iterator[FakeServer]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            thread.join()
            self._http.server_close()
