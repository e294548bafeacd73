"""The HTTP API of a running server, as the subcommands call it: one request after another, blocking."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from rvoip.cli.errors import CommandError
from rvoip.services.config import load

__all__ = ["API", "connect", "segment"]

TIMEOUT = 10.0
"""Seconds for each read and write."""
ANSWER_LIMIT = 64 << 20
"""Bytes of an answer."""
DEFAULT_LISTEN = "127.0.0.1:8080"
"""Where registrar and proxy listen for HTTP unless they are told."""
PAGE = 500


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


class _PinnedConnection(http.client.HTTPSConnection):
    """HTTPS to a server on this machine, known by the very certificate that its configuration names."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, certificate: str) -> None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(host, port, timeout=TIMEOUT, context=context)
        self._certificate = certificate

    def connect(self) -> None:
        super().connect()
        with open(self._certificate, encoding="ascii", errors="replace") as file:
            text = file.read()
        end = "-----END CERTIFICATE-----"
        first = text[text.find("-----BEGIN CERTIFICATE-----") : text.find(end) + len(end)]
        if self.sock.getpeercert(binary_form=True) != ssl.PEM_cert_to_DER_cert(first):
            self.close()
            raise CommandError(f"{self.host}:{self.port} shows another certificate than {self._certificate}")


class API:
    """Calls to one server; every failure is a CommandError."""

    def __init__(self, connection: http.client.HTTPConnection, name: str, token: str) -> None:
        self._connection = connection
        self._name = name
        self._token = token

    def get(self, path: str, *, missing: Any = None, **query: object) -> Any:
        """The JSON that `path` answers with; `missing`, unless that is None, where it is a 404."""
        text = urlencode({name: value for name, value in query.items() if value not in ("", None)})
        well = () if missing is None else (404,)
        answer = self.call("GET", f"{path}?{text}" if text else path, well=well)
        return missing if answer[0] == 404 else self._decode(answer)

    def pages(self, path: str, key: str, **query: object) -> Iterator[Any]:
        """The items under `key` of all pages of a list: `next` of a page is `after` of the following one."""
        after = ""
        while True:
            page = self.get(path, after=after, limit=PAGE, **query)
            yield from page[key]
            before, after = after, page.get("next") or ""
            if not after:
                return
            if after == before:
                raise CommandError(f"{self._name}: the list of {key} does not end")

    def delete(self, path: str) -> Any:
        """Delete what `path` names; what the answer holds, None when it is empty."""
        status, body = self.call("DELETE", path)
        return self._decode((status, body)) if body else None

    def post(self, path: str, value: Any) -> Any:
        """Post a value; what the answer holds, None when it is empty."""
        status, body = self.call("POST", path, body=json.dumps(value).encode())
        return self._decode((status, body)) if body else None

    def put(self, path: str, value: Any) -> Any:
        """Put a value there; what the answer holds, None when it is empty."""
        status, body = self.call("PUT", path, body=json.dumps(value).encode())
        return self._decode((status, body)) if body else None

    def call(
        self, method: str, path: str, *, well: tuple[int, ...] = (), body: bytes | None = None
    ) -> tuple[int, bytes]:
        """The status and the body of an answer below 400, or with one of the statuses in `well`.

        `body` is JSON.
        """
        headers = {"Accept": "application/json, text/plain"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            if body is not None:
                headers["Content-Type"] = "application/json"
            self._connection.request(method, path, body=body, headers=headers)
            answer = self._connection.getresponse()
            content = answer.read(ANSWER_LIMIT + 1)
        except ssl.SSLCertVerificationError as error:
            raise CommandError(f"{self._name}: {error.verify_message}") from None
        except ssl.SSLError as error:
            reason = str(error.reason or error)
            if "CERTIFICATE_REQUIRED" in reason:
                reason = "the server asks for a certificate: use --certificate and --private-key"
            raise CommandError(f"{self._name}: TLS failed: {reason}") from None
        except TimeoutError:
            raise CommandError(f"{self._name}: no answer within {TIMEOUT:g} seconds") from None
        except (ConnectionRefusedError, FileNotFoundError):
            raise CommandError(f"{self._name}: no server listens there") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise CommandError(f"{self._name}: {reason}") from None
        if len(content) > ANSWER_LIMIT:
            raise CommandError(f"{self._name}: the answer is larger than {ANSWER_LIMIT >> 20} MiB")
        if answer.status >= 400 and answer.status not in well:
            raise CommandError(_problem(answer.status, answer.reason, content, self._name))
        return answer.status, content

    def _decode(self, answer: tuple[int, bytes]) -> Any:
        try:
            return json.loads(answer[1])
        except ValueError:
            raise CommandError(f"{self._name}: the answer is no JSON; is that rvoip's API?") from None


def segment(text: str) -> str:
    """`text` as one segment of a path."""
    return quote(text, safe="@")


def connect(args: argparse.Namespace) -> API:
    """The API that the options name: `--url`, or the `[http]` table of the configuration."""
    token = args.token or os.environ.get("RVOIP_TOKEN", "")
    try:
        token.encode("ascii")
    except UnicodeEncodeError:
        raise CommandError("the token is not ASCII") from None
    if args.url:
        return API(_by_url(args), args.url, token)
    table = load(args.config, args.role).http
    listen = table.listen or DEFAULT_LISTEN
    file = args.config or "defaults"
    if listen == "none":
        raise CommandError(f'{file}: http.listen: is "none", so the server has no API')
    token = token or table.token
    path = listen.removeprefix("unix:")
    if path != listen:
        return API(_UnixConnection(path), listen, token)
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    if not port.isdecimal():
        raise CommandError(f"{file}: http.listen: {listen!r} has no port")
    if table.certificate and not args.ca:
        context = _context(args)
        pinned = _PinnedConnection(host, int(port), context, table.certificate)
        return API(pinned, f"https://{listen}", token)
    if table.certificate:
        secure = http.client.HTTPSConnection(host, int(port), timeout=TIMEOUT, context=_context(args))
        return API(secure, f"https://{listen}", token)
    return API(http.client.HTTPConnection(host, int(port), timeout=TIMEOUT), f"http://{listen}", token)


def _by_url(args: argparse.Namespace) -> http.client.HTTPConnection:
    url: str = args.url
    if url.startswith("unix:"):
        return _UnixConnection(url.removeprefix("unix:"))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise CommandError(f"{url}: {error}") from None
    if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.query:
        raise CommandError(f"{url}: is not of the form http://HOST:PORT, https://HOST:PORT or unix:PATH")
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=_context(args))


def _context(args: argparse.Namespace) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=args.ca)
    except (OSError, ssl.SSLError) as error:
        raise CommandError(f"{args.ca}: {_tls_reason(error, 'no PEM certificate')}") from None
    if args.certificate:
        try:
            context.load_cert_chain(args.certificate, args.private_key)
        except (OSError, ssl.SSLError) as error:
            reason = _tls_reason(error, "no PEM certificate with its key")
            raise CommandError(f"{args.certificate}: {reason}") from None
    return context


def _tls_reason(error: OSError, otherwise: str) -> str:
    return otherwise if isinstance(error, ssl.SSLError) else error.strerror or str(error)


def _problem(status: int, reason: str, body: bytes, name: str) -> str:
    """What an error says (RFC 9457), in one line."""
    try:
        problem = json.loads(body)
        detail = problem.get("detail") or problem.get("title") or ""
    except (ValueError, AttributeError):
        detail = ""
    if status == 401:
        detail = f"{detail or reason}; use --token, RVOIP_TOKEN or --config"
    return f"{name}: {detail or reason or 'failed'} ({status})"
