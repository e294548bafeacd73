"""What a client can make an HTTP listener read or hold, and the listeners themselves on real sockets."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, cast

import treq
from cryptography.hazmat.primitives import serialization
from twisted.application.service import IService
from twisted.internet import reactor as global_reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rvoip.common.errors import StartError
from rvoip.common.http import API, Call
from rvoip.common.http_auth import Guard
from rvoip.common.http_server import (
    BODY_LIMIT,
    CLOSE_DEADLINE,
    IDLE_LIMIT,
    LINGER,
    LINGER_BYTES,
    READ_DEADLINE,
    HTTPService,
    Listen,
)
from rvoip.common.tls import ServerTLS
from rvoip.test.common.http_client import Client, Connection
from rvoip.testing.certificates import Authority, Issued

HEAD = b"POST /v1/echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
GET = b"GET /v1/hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def make_api(clock: Any, guard: Guard | None = None) -> API:
    api = API("Test", "1", clock, guard=guard)

    @api.route("POST", "/v1/echo", body=str, response=str)
    def echo(call: Call, body: str) -> str:
        return body

    @api.route("GET", "/v1/hello", response=str)
    def hello(call: Call) -> str:
        return "hello"

    return api


def bound(service: HTTPService) -> IPv4Address:
    """The address that a service got."""
    return cast(IPv4Address, service.address)


class LimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.api = make_api(self.clock)
        self.client = Client(self.api, self.clock, connection_limit=3)

    def tearDown(self) -> None:
        for channel in list(self.client.site.connections):
            channel.connectionLost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def refused(self, connection: Connection, status: int) -> str:
        """Check for one problem, the end of reading, and a close after a while; return its detail."""
        response = connection.response()
        self.assertEqual((response.status, response.json["status"]), (status, status))
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        self.assertEqual(response.headers["connection"], "close")
        connection.send(GET)
        self.assertEqual(connection.responses(), [])
        self.assertFalse(connection.closing)
        self.clock.advance(LINGER)
        self.assertTrue(connection.closing)
        detail = response.json["detail"]
        assert isinstance(detail, str)
        return detail

    def test_a_body_of_the_limit(self) -> None:
        body = b'"' + b"x" * (BODY_LIMIT - 2) + b'"'
        connection = self.client.connect()
        connection.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.assertEqual(connection.response().body, body)
        self.assertFalse(connection.closing)
        chunks = b"".join(b"1000\r\n" + body[at : at + 4096] + b"\r\n" for at in range(0, len(body), 4096))
        connection.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        self.assertEqual(connection.response().body, body)

    def test_a_length_above_the_limit_is_refused_unread(self) -> None:
        for length in (BODY_LIMIT + 1, 10**9, 9_999_999_999):
            connection = self.client.connect()
            connection.send(HEAD + b"Content-Length: %d\r\n\r\n" % length)
            self.assertEqual(self.refused(connection, 413), "a body has at most 65536 bytes")
            connection.lose()

    def test_a_body_that_is_refused_is_not_asked_for(self) -> None:
        connection = self.client.connect()
        connection.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n")
        self.refused(connection, 413)
        connection = self.client.connect()
        connection.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        self.assertEqual(connection.transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.transport.clear()
        connection.send(b'"a"')
        self.assertEqual(connection.response().status, 200)

    def test_chunks_above_the_limit(self) -> None:
        connection = self.client.connect()
        connection.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(16):
            connection.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        self.assertEqual(connection.responses(), [])
        connection.send(b"1000\r\n" + b"x" * 4096 + b"\r\n0\r\n\r\n" + GET)
        self.refused(connection, 413)

    def test_one_huge_chunk(self) -> None:
        connection = self.client.connect()
        connection.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n" + b"x" * 70_000)
        self.refused(connection, 413)

    def test_lengths_that_are_none(self) -> None:
        for headers, status in [
            (b"Content-Length: 1_0\r\n", 400),
            (b"Content-Length: +1\r\n", 400),
            (b"Content-Length: \xd9\xa1\r\n", 400),
            (b"Content-Length:\r\n", 400),
            (b"Content-Length: " + b"9" * 11 + b"\r\n", 413),
            (b"Content-Length: " + b"9" * 5000 + b"\r\n", 413),
            (b"Content-Length: 3\r\nContent-Length: 3\r\n", 400),
            (b"Content-Length: 3\r\nContent-Length: 4\r\n", 400),
            (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
            (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            (b"Transfer-Encoding: gzip\r\n", 400),
            (b"Content-Length : 3\r\n", 400),
            (b"X-A: 1\r\nnonsense\r\nX-B: 2\r\n", 400),
            (b"X-A: a\x00b\r\n", 400),
        ]:
            connection = self.client.connect()
            connection.send(HEAD + headers + b'\r\n"a"' + GET)
            self.refused(connection, status)
            connection.lose()

    def test_no_request_after_a_header_that_was_refused(self) -> None:
        """However the bytes are cut, what follows a refusal is thrown away."""
        data = HEAD + b"nonsense\r\nContent-Length: 3\r\n\r\n" + b'"a"' + GET
        for at in range(1, len(data), 7):
            connection = self.client.connect()
            connection.send(data[:at])
            connection.send(data[at:])
            self.assertEqual([response.status for response in connection.responses()], [400])
            connection.lose()

    def test_header_limits(self) -> None:
        for headers, status in [
            (b"X-A: 1\r\n" * 200, 400),
            (b"X-A: " + b"x" * 20_000 + b"\r\n", 431),
            (b"X-A: " + b"x" * 70_000, 431),
            ((b"X-A: " + b"x" * 8_000 + b"\r\n") * 3, 400),
        ]:
            connection = self.client.connect()
            connection.send(GET[:-2] + headers + b"\r\n")
            self.refused(connection, status)
            connection.lose()

    def test_what_is_no_http(self) -> None:
        for data in (
            b"\x16\x03\x01\x02\x00\x01\r\n",
            b"GET\r\n",
            b"INVITE sip:a@b SIP/2.0 x\r\n",
            b"GET / HTTP/9\r\n",
        ):
            connection = self.client.connect()
            connection.send(data)
            self.refused(connection, 400)
            connection.lose()

    def test_a_client_that_goes_on_sending_is_cut_off(self) -> None:
        connection = self.client.connect()
        connection.send(HEAD + b"Content-Length: 100000000\r\n\r\n")
        connection.response()
        for _ in range(LINGER_BYTES // 65536):
            connection.send(b"x" * 65536)
        self.assertFalse(connection.closing)
        connection.send(b"x" * 65536)
        self.assertTrue(connection.closing)

    def test_a_close_that_hangs_is_forced(self) -> None:
        connection = self.client.connect()
        connection.send(b"\r\n\r\nx\r\n")
        self.clock.advance(LINGER)
        self.assertFalse(connection.transport.disconnected)
        self.clock.advance(CLOSE_DEADLINE)
        self.assertTrue(connection.transport.disconnected)

    def test_a_slow_request(self) -> None:
        connection = self.client.connect()
        for byte in GET[:18]:
            connection.send(bytes([byte]))
            self.clock.advance(1)
        self.assertEqual(connection.responses(), [])
        self.clock.advance(READ_DEADLINE - 18)
        self.refused(connection, 408)

    def test_a_slow_body(self) -> None:
        connection = self.client.connect()
        connection.send(HEAD + b"Content-Length: 10\r\n\r\n")
        self.clock.advance(READ_DEADLINE)
        self.refused(connection, 408)

    def test_the_time_to_read_counts_for_each_request(self) -> None:
        connection = self.client.connect()
        for _ in range(5):
            connection.send(GET[:10])
            self.clock.advance(READ_DEADLINE - 1)
            connection.send(GET[10:])
            self.assertEqual(connection.response().json, "hello")
            self.clock.advance(2)

    def test_the_time_to_answer_is_not_the_time_to_read(self) -> None:
        wait: Deferred[str] = Deferred()
        self.api.route("GET", "/v1/slow", response=str)(lambda call: wait)
        connection = self.client.start("GET", "/v1/slow")
        self.clock.advance(10 * READ_DEADLINE)
        wait.callback("done")
        self.assertEqual(connection.response().json, "done")

    def test_an_idle_connection_is_closed(self) -> None:
        connection = self.client.start("GET", "/v1/hello")
        connection.response()
        self.clock.advance(IDLE_LIMIT)
        self.assertTrue(connection.closing)

    def test_a_connection_that_says_nothing_is_closed(self) -> None:
        connection = self.client.connect()
        self.clock.advance(READ_DEADLINE)
        self.refused(connection, 408)

    def test_too_many_connections(self) -> None:
        connections = [self.client.connect() for _ in range(3)]
        self.assertIsNone(self.client.connect().channel)
        connections[0].lose()
        self.assertIsNotNone(self.client.connect().channel)

    def test_pipelined_requests(self) -> None:
        connection = self.client.connect()
        connection.send(GET * 3)
        self.assertEqual([response.json for response in connection.responses()], ["hello"] * 3)

    def test_closing_waits_for_the_answer_at_work(self) -> None:
        wait: Deferred[str] = Deferred()
        self.api.route("GET", "/v1/slow", response=str)(lambda call: wait)
        busy, idle = self.client.start("GET", "/v1/slow"), self.client.connect()
        closed = Deferred.fromCoroutine(self.client.site.close())
        self.assertTrue(idle.closing)
        idle.lose()
        self.assertFalse(busy.closing)
        wait.callback("done")
        self.assertEqual(busy.response().json, "done")
        self.assertTrue(busy.closing)
        self.assertNoResult(closed)
        busy.lose()
        self.successResultOf(closed)

    def test_closing_cuts_what_does_not_end(self) -> None:
        self.api.route("GET", "/v1/never", response=str)(lambda call: Deferred())
        busy = self.client.start("GET", "/v1/never")
        closed = Deferred.fromCoroutine(self.client.site.close())
        self.clock.advance(CLOSE_DEADLINE)
        self.assertTrue(busy.transport.disconnected)
        busy.lose()
        self.successResultOf(closed)


class ListenTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        for text, host, port, local in [
            ("127.0.0.1:8080", "127.0.0.1", 8080, True),
            ("localhost:0", "127.0.0.1", 0, True),
            ("[::1]:8080", "::1", 8080, True),
            ("0.0.0.0:80", "0.0.0.0", 80, False),
            ("[::]:80", "::", 80, False),
            ("192.0.2.1:65535", "192.0.2.1", 65535, False),
        ]:
            listen = Listen.parse(text)
            self.assertEqual(
                (listen.host, listen.port, listen.path, listen.is_local), (host, port, "", local)
            )
        listen = Listen.parse("unix:/run/rvoip.sock")
        self.assertEqual((listen.path, listen.is_local), ("/run/rvoip.sock", True))

    def test_what_is_no_address(self) -> None:
        for text in (
            "", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:1_0",
            "127.0.0.1:\u0661", "::1:8080", "[127.0.0.1]:80", "[::1]", "example.test:80", "127.0.0.1:80 ",
            "unix:", "unix:/" + "x" * 107, "unix:/a\x00b", "tcp:127.0.0.1:80",
        ):  # fmt: skip
            error = self.assertRaises(StartError, Listen.parse, text)
            self.assertTrue(str(error).isprintable())


class TLSFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.authority = Authority()
        self.certificate, self.key = self.authority.issue("127.0.0.1").write(self.folder)

    def test_files_that_cannot_be_used(self) -> None:
        other = self.authority.issue("other.test").write(self.folder, "other")[1]
        none = self.folder / "none.pem"
        none.write_bytes(b"none\n")
        for files, reason in [
            (("/none/a.pem", self.key), "/none/a.pem: cannot be read: No such file or directory"),
            ((self.certificate, str(self.folder)), f"{self.folder}: cannot be read: Is a directory"),
            ((str(none), self.key), f"{none}: no PEM certificate"),
            ((self.certificate, str(none)), f"{none}: no PEM private key"),
            ((self.certificate, other), f"{other}: is not the key of {self.certificate}"),
            ((self.certificate, self.key, str(none)), f"{none}: no PEM certificate"),
        ]:
            self.assertEqual(str(self.assertRaises(StartError, ServerTLS, *files)), reason)

    def test_an_encrypted_key_asks_for_nothing(self) -> None:
        issued = self.authority.issue("127.0.0.1")
        encrypted = self.folder / "encrypted.key"
        encrypted.write_bytes(
            issued.private_key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            )
        )
        error = self.assertRaises(StartError, ServerTLS, self.certificate, str(encrypted))
        self.assertEqual(str(error), f"{encrypted}: the private key is encrypted")

    def test_reload(self) -> None:
        tls = ServerTLS(self.certificate, self.key)
        before = tls._context
        tls.reload(self.certificate, self.key)
        self.assertIsNot(tls._context, before)
        before = tls._context
        Path(self.certificate).write_bytes(b"broken")
        self.assertRaises(StartError, tls.reload, self.certificate, self.key)
        self.assertIs(tls._context, before)
        self.assertFalse(tls.is_mutual)


@implementer(IPolicyForHTTPS)
class Trusting:
    """A policy that believes one authority, and may show a certificate."""

    def __init__(self, authority: Authority, certificate: Issued | None = None) -> None:
        self.authority = authority
        self.certificate = certificate

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:  # noqa: N802
        return self.authority.client_options(hostname.decode(), self.certificate)


class ServiceTests(TestCase):
    """Each transport once on a real socket, and what keeps a listener from starting."""

    timeout = 20

    def setUp(self) -> None:
        self.reactor: Any = global_reactor
        self.pool = HTTPConnectionPool(self.reactor, persistent=False)
        self.folder = Path(mkdtemp())  # a short path: a socket's has at most 107 bytes
        self.addCleanup(rmtree, self.folder)

    async def start(self, listen: str, guard: Guard | None = None, **files: Any) -> HTTPService:
        service = HTTPService(self.reactor, listen, make_api(self.reactor, guard), **files)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        return service

    async def hello(
        self, service: HTTPService, scheme: str = "http", policy: Any = None, **options: Any
    ) -> str:
        address = bound(service)
        agent = Agent(self.reactor, policy or BrowserLikePolicyForHTTPS(), pool=self.pool)
        client = treq.client.HTTPClient(agent)
        response = await client.get(f"{scheme}://{address.host}:{address.port}/v1/hello", **options)
        self.assertEqual(response.code, 200)
        text: str = await response.json()
        return text

    def refuses(self, line: str, listen: str, guard: Guard | None = None, **files: Any) -> None:
        service = HTTPService(self.reactor, listen, make_api(self.reactor, guard), **files)
        error = self.assertRaises(StartError, service.privilegedStartService)
        self.assertEqual(str(error), line)
        self.assertIsNone(service.address)

    async def test_tcp(self) -> None:
        service = await self.start("127.0.77.1:0")
        verifyObject(IService, service)
        self.assertEqual(await self.hello(service), "hello")

    async def test_it_starts_without_a_privileged_start_and_again(self) -> None:
        service = HTTPService(self.reactor, "127.0.77.2:0", make_api(self.reactor))
        service.startService()
        self.assertEqual(await self.hello(service), "hello")
        await service.stopService()
        self.assertIsNone(service.address)
        service.startService()
        self.assertEqual(await self.hello(service), "hello")
        await service.stopService()
        await service.stopService()

    async def test_tls(self) -> None:
        authority = Authority()
        certificate, key = authority.issue("127.0.77.3").write(self.folder)
        service = await self.start("127.0.77.3:0", certificate=certificate, private_key=key)
        self.assertEqual(await self.hello(service, "https", Trusting(authority)), "hello")
        authority.issue("127.0.77.3").write(self.folder)
        service.reload()
        self.assertEqual(await self.hello(service, "https", Trusting(authority)), "hello")

    async def test_mutual_tls(self) -> None:
        authority = Authority()
        certificate, key = authority.issue("127.0.77.4").write(self.folder)
        ca = self.folder / "ca.pem"
        ca.write_bytes(authority.certificate_pem)
        service = await self.start("127.0.77.4:0", certificate=certificate, private_key=key, ca=str(ca))
        policy = Trusting(authority, authority.issue("client.test"))
        self.assertEqual(await self.hello(service, "https", policy), "hello")
        for stranger in (None, Authority("another").issue("client.test")):
            with self.assertRaises(ResponseNeverReceived):
                await self.hello(service, "https", Trusting(authority, stranger))

    async def test_unix(self) -> None:
        path = self.folder / "api.sock"
        service = await self.start(f"unix:{path}")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        agent = treq.client.HTTPClient(UnixAgent(self.reactor, str(path), self.pool))
        response = await agent.get("http://any.test/v1/hello")
        self.assertEqual(await response.json(), "hello")
        self.refuses(f"[http] listen unix:{path}: a server listens there already", f"unix:{path}")
        await service.stopService()
        self.assertFalse(path.exists())

    async def test_a_stale_socket_is_replaced(self) -> None:
        path = self.folder / "api.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        self.assertTrue(path.exists())
        before = os.umask(0o022)
        self.addCleanup(os.umask, before)
        await self.start(f"unix:{path}")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(os.umask(0o022), 0o022)

    def test_no_other_file_is_replaced(self) -> None:
        path = self.folder / "precious"
        path.write_text("data")
        self.refuses(f"[http] listen unix:{path}: the file is no socket", f"unix:{path}")
        link = self.folder / "link"
        link.symlink_to(path)
        self.refuses(f"[http] listen unix:{link}: the file is no socket", f"unix:{link}")
        self.assertEqual(path.read_text(), "data")
        missing = f"unix:{self.folder}/none/api.sock"
        self.refuses(f"[http] listen {missing}: No such file or directory", missing)

    async def test_a_port_in_use(self) -> None:
        service = await self.start("127.0.77.5:0")
        address = bound(service)
        listen = f"127.0.77.5:{address.port}"
        self.refuses(f"[http] listen {listen}: the address is in use", listen)

    def test_an_address_that_is_not_ours(self) -> None:
        self.refuses("[http] listen 192.0.2.1:0: Cannot assign requested address", "192.0.2.1:0", Guard("t"))

    def test_an_open_api_is_for_this_machine_only(self) -> None:
        for listen in ("0.0.0.0:0", "[::]:0", "192.0.2.1:8080"):
            self.refuses(
                f"[http] listen {listen}: other machines reach it: it needs a token, an API key or a ca",
                listen,
            )

    async def test_with_a_token_it_may_be_reached_from_elsewhere(self) -> None:
        service = await self.start("0.0.0.0:0", Guard("s3cret"))
        address = bound(service)
        client = treq.client.HTTPClient(Agent(self.reactor, pool=self.pool))
        url = f"http://127.0.77.6:{address.port}/v1/hello"
        response = await client.get(url, headers=Headers({"Host": ["sip.example.test"]}))
        self.assertEqual(response.code, 401)
        await response.content()
        response = await client.get(url, headers=Headers({"Authorization": ["Bearer s3cret"]}))
        self.assertEqual(await response.json(), "hello")

    def test_certificates_that_cannot_be_used(self) -> None:
        pair = "[http] certificate and private_key go together, and ca goes with them"
        self.refuses(pair, "127.0.77.7:0", certificate="/none/a.pem")
        self.refuses(pair, "127.0.77.7:0", ca="/none/a.pem")
        self.refuses(
            "/none/a.pem: cannot be read: No such file or directory",
            "127.0.77.7:0",
            certificate="/none/a.pem",
            private_key="/none/a.key",
        )

    async def test_a_huge_body_gets_its_answer(self) -> None:
        """A client that sends all of its body before it reads finds the 413 and no reset connection."""
        service = await self.start("127.0.77.8:0")
        address = bound(service)
        client = treq.client.HTTPClient(Agent(self.reactor, pool=self.pool))
        response = await client.post(
            f"http://{address.host}:{address.port}/v1/echo",
            data=b"x" * 700_000,
            headers=Headers({"Content-Type": ["application/json"]}),
        )
        self.assertEqual(response.code, 413)
        self.assertEqual((await response.json())["status"], 413)


@implementer(IAgent)
class UnixAgent:
    """An agent whose every connection goes to one Unix socket."""

    def __init__(self, reactor: Any, path: str, pool: HTTPConnectionPool) -> None:
        @implementer(IAgentEndpointFactory)
        class Endpoints:
            def endpointForURI(self, uri: Any) -> Any:
                return UNIXClientEndpoint(reactor, path)

        self._agent = Agent.usingEndpointFactory(reactor, Endpoints(), pool)

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Any:
        return self._agent.request(method, uri, headers, bodyProducer)
