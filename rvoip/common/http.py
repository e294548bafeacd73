"""An HTTP API: routes with typed bodies, problems for all errors, tokens, idempotency, OpenAPI.

An API is a `twisted.web` resource; `http_server` puts it on a socket, with limits on what is read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast
from uuid import uuid4

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from rvoip.common.http_auth import ANYONE, Guard, Principal, check_browser
from rvoip.common.idempotency import Answer, IdempotencyKeys
from rvoip.common.log import LogLimiter
from rvoip.common.openapi import document
from rvoip.common.problem import PROBLEM_TYPE, HTTPError
from rvoip.common.routing import Reply, Route, Router, decode_path, decode_query

__all__ = ["API", "Call", "JSON_TYPE", "Reply"]

DEPTH_LIMIT: Final = 64
"""Arrays and objects inside each other in a JSON body."""

JSON_TYPE: Final = "application/json"

# A string is one token, closed or not, so that no body makes the search go back.
_JSON_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_JSON_MEDIA_TYPE: Final = re.compile(
    r'application/json[ \t]*(?:;[ \t]*charset[ \t]*=[ \t]*"?utf-8"?[ \t]*)?', re.IGNORECASE
)
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)

_PHRASES: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
"""Twisted does not know all of them."""

Handler = TypeVar("Handler", bound=Callable[..., object])

_encode = msgspec.json.Encoder().encode
_log = Logger()


class Call:
    """One request, as a handler sees it."""

    __slots__ = ("principal", "request", "route")

    def __init__(self, request: Request, route: Route, principal: Principal) -> None:
        self.request = request
        self.route = route
        self.principal = principal

    def header(self, name: str) -> str | None:
        """Return the last value of a header."""
        values = _header(self.request, name)
        return values[-1] if values else None


@implementer(IResource)
class API:
    """Routes and what stands before them.

    A handler is a function, plain or `async`, that is called with a Call, the path's parameters by name,
    `body` and `query` where the route has them. It returns a value for JSON, None for an answer without a
    body, or a Reply; it raises HTTPError. Any other exception is logged with an id, and the caller gets a 500
    with that id.
    """

    isLeaf = True

    def __init__(
        self,
        title: str,
        version: str,
        clock: IReactorTime,
        *,
        description: str = "",
        guard: Guard | None = None,
        names: frozenset[str] = frozenset(),
    ) -> None:
        """Make an API without routes.

        `names` are the host names, besides loopback, under which it may be called on a loopback listener.
        """
        self.title = title
        self.version = version
        self.description = description
        self.guard = guard if guard is not None else Guard()
        self.names = frozenset(name.lower() for name in names)
        self.routes: list[Route] = []
        self._router = Router()
        self._decoders: dict[Route, msgspec.json.Decoder[Any]] = {}
        self._mounted: dict[Route, IResource] = {}
        self._clock = clock
        self._keys = IdempotencyKeys()
        self._refusals = LogLimiter(clock.seconds)

    # Declaring

    def route(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: type[msgspec.Struct] | None = None,
        response: Any = None,
        status: int | None = None,
        scopes: tuple[str, ...] = (),
        summary: str = "",
        content_type: str = "",
        is_public: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated function as a route; see Route for the words. A ValueError if it cannot work.

        Without `status` an answer is 200 when there is a `response` or a `content_type`, else 204.
        """

        def declare(handler: Handler) -> Handler:
            text = (handler.__doc__ or "").strip()
            self.add(
                Route(
                    method=method,
                    path=path,
                    handler=handler,
                    name=handler.__name__,
                    body=body,
                    query=query,
                    response=response,
                    status=status or (200 if response is not None or content_type else 204),
                    scopes=scopes,
                    summary=summary or text.partition("\n")[0].rstrip("."),
                    description=" ".join(text.partition("\n")[2].split()),
                    content_type=content_type,
                    is_public=is_public,
                )
            )
            return handler

        return declare

    def add(self, route: Route) -> None:
        """Take a route in."""
        self._router.add(route)
        self.routes.append(route)
        if route.body is not None:
            self._decoders[route] = msgspec.json.Decoder(route.body)

    def mount(
        self, path: str, resource: IResource, *, scopes: tuple[str, ...] = (), summary: str = ""
    ) -> None:
        """Hand GET requests for `path`, after all checks, to a resource that answers later: a WebSocket's."""
        route = Route(
            "GET", path, lambda call: None, re.sub(r"\W+", "_", path), scopes=scopes, summary=summary
        )
        self.add(route)
        self._mounted[route] = resource

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI 3.1 document of all routes."""
        return document(self.title, self.version, self.description, self.routes)

    # IResource

    def render(self, request: Request) -> int:
        """Answer a request, now or later."""
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        answering = Deferred.fromCoroutine(self._answer(request))

        def write(answer: Answer | None) -> None:
            if answer is not None and not gone:
                _write(request, answer)

        answering.addCallback(write)
        answering.addErrback(lambda failure: _log.failure("An HTTP answer could not be written", failure))
        return NOT_DONE_YET

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """Return itself: the whole path is the API's."""
        return cast(IResource, self)

    def putChild(self, path: bytes, child: IResource) -> None:
        """Refuse: `mount` is the way."""
        raise TypeError("an API has no children: mount them")

    # Answering

    async def _answer(self, request: Request) -> Answer | None:
        """Do what a request asks for; None when a mounted resource has taken it over."""
        started = self._clock.seconds()
        method = request.method.decode("ascii", "backslashreplace")
        path, principal = "", ANYONE
        try:
            target, query = _target(request)
            path = target.decode("ascii", "backslashreplace")
            any_host = getattr(request.site, "any_host", False)
            check_browser(_header(request, "host"), _header(request, "origin"), self.names, any_host)
            segments = decode_path(target)
            route, parameters, principal = await self._admit(request, method, segments)
            if route in self._mounted:
                if self._mounted[route].render(request) is not NOT_DONE_YET:
                    raise TypeError("a mounted resource must answer later")
                return None
            answer = await self._call(Call(request, route, principal), parameters, query)
        except HTTPError as error:
            if method == "OPTIONS" and error.status == 405:
                answer = Answer(204, error.headers, b"")
            else:
                answer = self._refuse(request, method, path, error)
        except Exception:
            incident = f"urn:uuid:{uuid4()}"
            _log.failure(
                "HTTP {method} {path} failed: {incident}", method=method, path=path, incident=incident
            )
            answer = _problem(HTTPError(500, "the server failed; its log has this id", instance=incident))
        changes = method not in ("GET", "HEAD", "OPTIONS")
        (_log.info if changes and answer.status < 400 else _log.debug)(
            "HTTP {method} {path} {status}",
            method=method,
            path=path,
            status=answer.status,
            caller=principal.name,
            peer=_peer(request),
            seconds=round(self._clock.seconds() - started, 6),
        )
        return answer

    async def _admit(
        self, request: Request, method: str, segments: list[str]
    ) -> tuple[Route, dict[str, str], Principal]:
        """Find route and caller. A caller without a token does not learn which routes there are."""
        try:
            route, parameters = self._router.find(method, segments)
        except HTTPError:
            await self._identify(request)
            raise
        if route.is_public:
            return route, parameters, ANYONE
        principal = await self._identify(request)
        self.guard.check_scopes(principal, route.scopes)
        return route, parameters, principal

    async def _identify(self, request: Request) -> Principal:
        return await self.guard.identify(
            _header(request, "authorization"), _header(request, "x-api-key"), _peer(request)
        )

    async def _call(self, call: Call, parameters: dict[str, str], query: bytes) -> Answer:
        route = call.route
        arguments: dict[str, Any] = dict(parameters)
        content = call.request.content.read() if call.request.content is not None else b""
        if route.body is not None:
            arguments["body"] = self._decode_body(call.request, route, content)
        elif content and _header(call.request, "content-encoding"):
            raise HTTPError(415, "no Content-Encoding is understood")
        if route.query is not None:
            arguments["query"] = decode_query(query, route.query)
        key = call.header("idempotency-key") if route.method == "POST" else None
        if key is None:
            return await _run(call, arguments)
        caller, now = call.principal.name, self._clock.seconds
        request_text = b"\0".join((call.request.uri, content))
        kept = self._keys.begin(caller, key, hashlib.sha256(request_text).digest(), now())
        if kept is not None:
            return Answer(kept.status, {**kept.headers, "Idempotency-Replayed": "true"}, kept.body)
        try:
            answer = await _run(call, arguments)
        except HTTPError as error:
            self._keys.finish(caller, key, _problem(error), now())
            raise
        except BaseException:
            self._keys.forget(caller, key)
            raise
        self._keys.finish(caller, key, answer, now())
        return answer

    def _decode_body(self, request: Request, route: Route, content: bytes) -> Any:
        if encodings := _header(request, "content-encoding"):
            raise HTTPError(415, f"Content-Encoding {encodings[0]} is not understood")
        media_types = _header(request, "content-type")
        if len(media_types) != 1 or not _JSON_MEDIA_TYPE.fullmatch(media_types[0].strip(" \t")):
            raise HTTPError(415, f"the body must be {JSON_TYPE}", headers={"Accept": JSON_TYPE})
        _check_depth(content)
        try:
            return self._decoders[route].decode(content)
        except msgspec.DecodeError as error:  # a ValidationError too, which names the place
            raise HTTPError(400, str(error)) from None
        except (UnicodeDecodeError, RecursionError):
            raise HTTPError(400, "JSON is malformed: a string is not UTF-8") from None

    def _refuse(self, request: Request, method: str, path: str, error: HTTPError) -> Answer:
        if error.status in (401, 403, 429):
            peer = _peer(request)
            suppressed = self._refusals.allow(peer)
            if suppressed is not None:
                _log.warn(
                    "HTTP {method} {path} from {peer} refused: {reason}",
                    method=method,
                    path=path,
                    peer=peer,
                    reason=error.detail,
                    status=error.status,
                    suppressed=suppressed,
                )
        return _problem(error)


async def _run(call: Call, arguments: dict[str, Any]) -> Answer:
    route = call.route
    result = route.handler(call, **arguments)
    if isinstance(result, Awaitable):
        result = await result
    reply = result if isinstance(result, Reply) else Reply(result)
    status = reply.status if reply.status is not None else route.status
    headers = dict(reply.headers)
    body = b""
    if isinstance(reply.body, bytes):
        body = reply.body
        headers["Content-Type"] = reply.content_type or route.content_type or "application/octet-stream"
    elif reply.body is not None or route.response is not None:
        body = _encode(reply.body)
        headers["Content-Type"] = reply.content_type or JSON_TYPE
    return Answer(status, headers, body)


def _problem(error: HTTPError) -> Answer:
    """Write what a handler or a check raised."""
    problem = error.problem
    try:
        body = _encode(problem)
    except UnicodeEncodeError:  # a lone surrogate in what a handler said
        body = _encode(msgspec.structs.replace(problem, detail=ascii(problem.detail)))
    return Answer(error.status, {"Content-Type": PROBLEM_TYPE, **error.headers}, body)


def _check_depth(content: bytes) -> None:
    """Refuse nesting that is deeper than any body needs, before a decoder recurses into it."""
    if content.count(b"[") + content.count(b"{") <= DEPTH_LIMIT:
        return
    depth = 0
    for match in _JSON_TOKENS.finditer(content):
        token = match[0]
        if token in (b"[", b"{"):
            depth += 1
            if depth > DEPTH_LIMIT:
                raise HTTPError(400, f"JSON is nested deeper than {DEPTH_LIMIT}")
        elif token in (b"]", b"}"):
            depth -= 1


def _target(request: Request) -> tuple[bytes, bytes]:
    """Split the request's target into path and query; one in absolute form says which Host is meant."""
    target = request.uri
    if match := _ABSOLUTE.fullmatch(target):
        request.requestHeaders.setRawHeaders(b"Host", [match[1]])
        target = match[2] if match[2].startswith(b"/") else b"/" + match[2]
    if request.clientproto == b"HTTP/1.1" and not request.requestHeaders.hasHeader(b"Host"):
        raise HTTPError(400, "an HTTP/1.1 request needs a Host")
    path, _, query = target.partition(b"?")
    return path, query


def _header(request: Request, name: str) -> list[str]:
    return [value.decode("latin-1") for value in request.requestHeaders.getRawHeaders(name.encode(), [])]


def _peer(request: Request) -> str:
    """Return the caller's address without its port."""
    return getattr(request.client, "host", None) or "unix"


def _write(request: Request, answer: Answer) -> None:
    request.setResponseCode(answer.status, _PHRASES.get(answer.status))
    headers = request.responseHeaders
    headers.removeHeader(b"Server")
    headers.setRawHeaders(b"Cache-Control", [b"no-store"])
    headers.setRawHeaders(b"X-Content-Type-Options", [b"nosniff"])
    for name, value in answer.headers.items():
        headers.setRawHeaders(name.encode("ascii"), [value.encode("latin-1", "replace")])
    if answer.status not in (204, 304):
        headers.setRawHeaders(b"Content-Length", [b"%d" % len(answer.body)])
        if answer.body:
            request.write(answer.body)
    request.finish()
