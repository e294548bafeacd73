"""The API as it is served: its document, its errors, its WebSockets, and clients that mean no good."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import treq
from openapi_spec_validator import validate
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from zope.interface import Interface
from zope.interface.interface import Method

from rvoip.mediacontrol.interfaces import IMediaServer
from rvoip.mediacontrol.operations import CONTROL_PATH, EVENTS_PATH, OPERATIONS
from rvoip.mediacontrol.websocket import ClientTexts
from rvoip.test.mediacontrol.serving import Serving
from rvoip.testing.media_contract import offer


class Raw(Protocol):
    """A WebSocket, driven by hand."""

    def __init__(self, host: str, target: str) -> None:
        self.machine = ClientTexts(1 << 20, host, target)
        self.texts: list[Any] = []
        self.is_lost = False

    def connectionMade(self) -> None:
        self.flush()

    def flush(self) -> None:
        transport: Any = self.transport
        transport.write(bytes(self.machine.output))
        self.machine.output.clear()

    def dataReceived(self, data: bytes) -> None:
        self.texts += [json.loads(text) for text in self.machine.receive(data)]
        self.flush()

    def connectionLost(self, reason: Any = None) -> None:
        self.is_lost = True

    def send(self, text: str) -> None:
        transport: Any = self.transport
        transport.write(self.machine.text(text))


class _Served(Serving, TestCase):
    async def websocket(self, target: str = CONTROL_PATH) -> Raw:
        endpoint = TCP4ClientEndpoint(self.reactor, self.host, self.port)
        raw: Raw = await connectProtocol(endpoint, Raw(f"{self.host}:{self.port}", target))
        transport: Any = raw.transport
        self.addCleanup(transport.loseConnection)
        await self.until(lambda: raw.machine.is_open or raw.machine.ended)
        return raw


class DocumentTests(_Served):
    host = "127.0.85.1"

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
        pool = HTTPConnectionPool(self.reactor, persistent=False)
        client = treq.client.HTTPClient(Agent(self.reactor, pool=pool))
        response = await client.request(method, self.url + path, **options)
        content = await response.content()
        return response.code, json.loads(content) if content else None, response.headers

    async def test_the_openapi_document(self) -> None:
        await self.serve()
        status, document, _ = await self.ask("GET", "/v1/openapi.json")
        self.assertEqual(status, 200)
        validate(document)
        for each in OPERATIONS:
            operation = document["paths"][each.path][each.method.lower()]
            self.assertEqual(operation["operationId"], each.name)
            headers = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
            self.assertEqual("X-Fencing-Token" in headers, each.method != "GET", each.name)
            self.assertEqual("Idempotency-Key" in headers, each.method == "POST", each.name)
        sdp = document["components"]["schemas"]["Offer"]["properties"]["sdp"]
        self.assertEqual((sdp["minLength"], sdp["maxLength"]), (1, 32768))

    async def test_errors_are_problems(self) -> None:
        await self.serve()
        for method, path, options, expected in (
            ("GET", "/v1/endpoints/none", {}, 404),
            ("POST", "/v1/endpoints", {"json": {"sdpp": "x"}}, 400),
            ("POST", "/v1/endpoints", {"json": {"sdp": "x"}}, 422),
            ("POST", "/v1/endpoints", {"json": {}, "headers": {"X-Fencing-Token": "me"}}, 400),
            ("GET", "/v1/endpoints?limit=0", {}, 400),
            ("GET", CONTROL_PATH, {}, 400),
            ("PATCH", "/v1/stats", {}, 405),
        ):
            status, problem, headers = await self.ask(method, path, **options)
            self.assertEqual((status, problem["status"]), (expected, expected), f"{method} {path}")
            self.assertEqual(headers.getRawHeaders("content-type"), ["application/problem+json"])
        self.fake.draining = True
        status, problem, headers = await self.ask("POST", "/v1/endpoints", json={})
        self.assertEqual((status, problem["detail"]), (503, "this media server is about to stop"))
        self.assertEqual(headers.getRawHeaders("retry-after"), ["1"])

    def test_each_operation_is_a_method_of_the_interface(self) -> None:
        names = {name for name, value in IMediaServer.namesAndDescriptions() if isinstance(value, Method)}
        self.assertEqual({each.function for each in OPERATIONS} | {"subscribe"}, names)
        self.assertTrue(issubclass(type(IMediaServer), type(Interface)))
        for each in OPERATIONS:
            method: Any = IMediaServer[each.function]
            count = each.path.count("{") + bool(each.kind) + bool(each.body or each.query)
            self.assertEqual(len(method.positional), count + 1, each.name)


class ControlTests(_Served):
    host = "127.0.85.2"

    async def test_frames(self) -> None:
        await self.serve()
        raw = await self.websocket()
        raw.send(json.dumps({"id": "a", "method": "POST", "path": "/v1/endpoints", "body": {"sdp": offer()}}))
        raw.send(json.dumps({"id": 2, "method": "GET", "path": "/v1/endpoints?limit=5"}))
        raw.send(json.dumps({"id": 3, "method": "DELETE", "path": "/v1/endpoints/e9", "body": None}))
        await self.until(lambda: len(raw.texts) == 3)
        self.assertEqual(
            [(each["id"], each["status"]) for each in raw.texts], [("a", 201), (2, 200), (3, 404)]
        )
        self.assertEqual(set(raw.texts[0]), {"id", "status", "body"})
        self.assertEqual(raw.texts[0]["body"]["id"], "e1")
        self.assertEqual(raw.texts[2]["body"]["detail"], "there is no endpoint e9")
        self.fake.press("e1", "7")
        await self.until(lambda: len(raw.texts) == 4)
        event = raw.texts[3]
        self.assertEqual((event["event"], event["endpoint"], event["digit"]), ("dtmf", "e1", "7"))

    async def test_bad_frames_get_their_answer(self) -> None:
        await self.serve()
        raw = await self.websocket()
        frames = [
            ("hello", None, 400),
            ("[" * 40_000, None, 400),
            ('{"id": 1, "method": "BREW", "path": "/"}', 1, 400),
            ('{"id": 2, "method": "GET", "path": "/v1/none"}', 2, 404),
            ('{"id": 3, "method": "PUT", "path": "/v1/stats"}', 3, 405),
            ('{"id": 4, "method": "GET", "path": "/v1/stats", "extra": 1}', 4, 400),
            ('{"id": 5, "method": "POST", "path": "/v1/endpoints", "body": [1]}', 5, 400),
            ('{"id": 6, "method": "GET", "path": "/v1/\u00e9"}', 6, 400),
            ('{"id": 7, "method": "GET", "path": "/v1/%zz"}', 7, 400),
            (
                '{"id": 8, "method": "POST", "path": "/v1/endpoints", "body": {}, "fencing_token": "x"}',
                8,
                400,
            ),
            ('{"id": 9, "method": "POST", "path": "/v1/endpoints", "body": ' + "[" * 30_000 + "}", None, 400),
        ]
        for text, *_ in frames:
            raw.send(text)
        await self.until(lambda: len(raw.texts) == len(frames) or raw.machine.ended)
        found = sorted(((each["id"], each["status"]) for each in raw.texts), key=str)
        self.assertEqual(found, sorted(((id_, status) for _, id_, status in frames), key=str))
        self.assertEqual(raw.machine.ended, "")

    async def test_an_idempotency_key(self) -> None:
        await self.serve()
        raw = await self.websocket()
        frame = {"id": 1, "method": "POST", "path": "/v1/endpoints", "body": {}, "idempotency_key": "k"}
        raw.send(json.dumps(frame))
        raw.send(json.dumps(frame | {"id": 2}))
        raw.send(json.dumps(frame | {"id": 3, "body": {"interface": "b"}}))
        await self.until(lambda: len(raw.texts) == 3)
        self.assertEqual([each["status"] for each in raw.texts], [201, 201, 422])
        self.assertEqual(raw.texts[0]["body"], raw.texts[1]["body"])
        self.assertEqual(list(self.fake.live), ["e1"])

    async def test_events_alone(self) -> None:
        await self.serve()
        raw = await self.websocket(EVENTS_PATH)
        raw.send(json.dumps({"id": 1, "method": "GET", "path": "/v1/stats"}))
        self.fake.hush("e1")
        await self.until(lambda: raw.texts)
        self.assertEqual([each["event"] for each in raw.texts], ["silence"])

    async def test_binary_and_endless_messages_are_cut_off(self) -> None:
        from wsproto.events import BytesMessage, TextMessage

        await self.serve()
        for message in (BytesMessage(data=b"x"), TextMessage(data="x" * 70_000)):
            raw = await self.websocket()
            connection: Any = raw.machine._connection
            transport: Any = raw.transport
            transport.write(connection.send(message))
            await self.until(partial(getattr, raw, "is_lost"))
        raw = await self.websocket()
        connection = raw.machine._connection
        transport = raw.transport
        for _ in range(70):
            transport.write(connection.send(TextMessage(data="x", message_finished=False)))
        await self.until(lambda: raw.is_lost)

    async def test_one_that_never_reads_is_cut_off(self) -> None:
        await self.serve()
        raw = await self.websocket()
        transport: Any = raw.transport
        transport.pauseProducing()
        for _ in range(60):
            for _ in range(40):
                self.fake.hush("e" * 6000)
            await deferLater(self.reactor, 0)
            if not self.service.site.connections:
                break
        self.assertEqual(len(self.service.site.connections), 0)
        transport.resumeProducing()

    async def test_a_stop_closes_them(self) -> None:
        await self.serve()
        raw = await self.websocket()
        await self.service.stopService()
        await self.until(lambda: raw.is_lost)

    async def test_a_foreign_page_is_refused(self) -> None:
        await self.serve()
        parts = urlsplit(self.url)
        endpoint = TCP4ClientEndpoint(self.reactor, str(parts.hostname), int(parts.port or 0))
        raw = Raw("evil.test", CONTROL_PATH)
        await connectProtocol(endpoint, raw)
        await self.until(lambda: raw.machine.ended)
        self.assertEqual(raw.machine.refused, 403)
        transport: Any = raw.transport
        transport.loseConnection()
