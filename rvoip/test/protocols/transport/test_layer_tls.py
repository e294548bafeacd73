"""The layer over TLS, on real sockets."""

from __future__ import annotations

import datetime
import socket
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from rvoip.protocols.transport import table
from rvoip.protocols.transport.addresses import parse_listen
from rvoip.protocols.transport.errors import TLSFileError
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.protocols.transport.layer import TransportLayer
from rvoip.protocols.transport.limits import TransportLimits
from rvoip.protocols.transport.tls import TLSContexts, TLSName, TLSSettings
from rvoip.test.protocols.transport.reactor_wait import reactor, until
from rvoip.test.protocols.transport.samples import Recorder, options
from rvoip.testing.certificates import Authority

HOST = "127.0.61.4"


class TLSTestCase(TestCase):
    def setUp(self) -> None:
        self.patch(table, "SWEEP", 0.05)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.authority = Authority()
        self.ca = self.folder / "ca.pem"
        self.ca.write_bytes(self.authority.certificate_pem)

    def contexts(
        self, *names: str, authority: Authority | None = None, stem: str = "", **more: Any
    ) -> TLSContexts:
        """TLS with a certificate for these names."""
        stem = stem or names[0].replace(":", "-")
        certificate, key = (authority or self.authority).issue(*names).write(self.folder, stem)
        settings = {"certificate": certificate, "private_key": key, "ca": str(self.ca)} | more
        return TLSContexts(TLSSettings(**settings))

    def layer(self, tls: TLSContexts, **more: Any) -> tuple[TransportLayer, Recorder]:
        receiver = more.setdefault("receiver", Recorder(200))
        layer = TransportLayer(reactor, tls=tls, **more)
        self.addCleanup(layer.stop)
        layer.listen(parse_listen(f"tls:{HOST}:0"))
        return layer, receiver

    def target(self, layer: TransportLayer, name: str) -> Target:
        return Target("TLS", HOST, layer.listeners[0].port, name)

    def send(self, layer: TransportLayer, target: Target, number: int = 1) -> tuple[Flow, list[str]]:
        flow = layer.flow_to(target)
        told: list[str] = []
        flow.when_closed(lambda closed, reason: told.append(reason))
        flow.send(options(number, via=f"SIP/2.0/TLS {flow.sent_by}"))
        return flow, told


class ConnectTests(TLSTestCase):
    async def test_request_and_response(self) -> None:
        server, received = self.layer(self.contexts("sip:example.test"))
        client, answers = self.layer(self.contexts("sip:client.test"))
        flow, _ = self.send(client, self.target(server, "example.test"))
        await until(lambda: answers.messages)
        self.assertEqual((flow.transport, flow.reliable, flow.secure), ("TLS", True, True))
        self.assertEqual(flow.peer_identity, "example.test")
        self.assertIs(answers.flow, flow)
        theirs = received.flow
        self.assertEqual((theirs.transport, theirs.secure, theirs.peer_identity), ("TLS", True, None))
        self.assertRegex(flow.token, r"\Atls/[0-9a-f]{12}-1\Z")
        self.assertIs(client.flow_to(self.target(server, "EXAMPLE.test")), flow)

    async def test_the_right_name_at_the_same_address_only(self) -> None:
        """A connection is for a name, not for an address: to a wrong name nothing is sent."""
        server, received = self.layer(self.contexts("sip:example.test", "other.test"))
        client, _ = self.layer(self.contexts("sip:client.test"))
        good, _ = self.send(client, self.target(server, "example.test"))
        await until(lambda: received.messages)
        for name, said in (
            ("other.test", "the peer's certificate is for example.test, not for other.test"),
            ("sip.example.test", "not for sip.example.test"),
            ("", f"not for {HOST}"),
        ):
            flow, told = self.send(client, self.target(server, name), 2)
            self.assertIsNot(flow, good)
            await until(told.__len__)
            self.assertIn(said, told[0])
        self.assertEqual(received.numbers, [1])
        self.assertFalse(good.closed)

    async def test_an_address(self) -> None:
        server, received = self.layer(self.contexts(HOST))
        client, _ = self.layer(self.contexts("client.test"))
        flow, _ = self.send(client, self.target(server, ""))
        await until(lambda: received.messages)
        self.assertEqual(flow.peer_identity, HOST)

    async def test_certificates_that_are_not_believed(self) -> None:
        client, _ = self.layer(self.contexts("client.test"))
        day = datetime.timedelta(days=1)
        old = self.authority.issue("example.test", valid_from=-9 * day, valid_for=day).write(
            self.folder, "old"
        )
        own = Authority("example.test")
        own_files = own.write(self.folder, "own")
        for tls, said in (
            (
                self.contexts("example.test", authority=Authority("other"), stem="stranger"),
                "certificate verify failed",
            ),
            (TLSContexts(TLSSettings(*old)), "certificate verify failed"),
            (TLSContexts(TLSSettings(*own_files)), "certificate verify failed"),
        ):
            server, received = self.layer(tls)
            _, told = self.send(client, self.target(server, "example.test"))
            await until(told.__len__)
            self.assertIn(said, told[0])
            self.assertEqual(received.messages, [])
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_what_is_no_tls(self) -> None:
        client, _ = self.layer(self.contexts("client.test"), limits=TransportLimits(handshake_timeout=0.3))
        plain = TransportLayer(reactor, Recorder(200))
        self.addCleanup(plain.stop)
        listener = plain.listen(parse_listen(f"tcp:{HOST}:0"))
        _, told = self.send(client, Target("TLS", HOST, listener.port, "example.test"))
        await until(lambda: told)
        self.assertEqual(told, ["no handshake within 0.3 s"])


class ServerTests(TLSTestCase):
    async def test_server_names(self) -> None:
        other = self.authority.issue("sip:other.test").write(self.folder, "other")
        tls = self.contexts("sip:example.test", names=[TLSName("other.test", *other)])
        server, received = self.layer(tls)
        client, _ = self.layer(self.contexts("sip:client.test"))
        flows = [
            self.send(client, self.target(server, name), index)[0]
            for index, name in enumerate(("example.test", "other.test"))
        ]
        await until(lambda: len(received.messages) == 2)
        self.assertEqual([flow.peer_identity for flow in flows], ["example.test", "other.test"])
        self.assertIsNot(flows[0], flows[1])

    async def test_mutual(self) -> None:
        server, received = self.layer(self.contexts("sip:example.test", verify_client=True))
        client, answers = self.layer(self.contexts("sip:client.test", "client.test"))
        flow, _ = self.send(client, self.target(server, "example.test"))
        await until(lambda: answers.messages)
        theirs = received.flow
        self.assertEqual(theirs.peer_identity, "client.test")
        # The connection is as good as one of the server's own, but for that name only.
        back = Target("TLS", HOST, flow.local[1], "client.test")
        self.assertIs(server.flow_to(back), theirs)
        self.assertIsNot(server.flow_to(back._replace(server_name="other.test")), theirs)

    async def test_a_connection_of_someone_unknown_is_not_used_for_a_name(self) -> None:
        server, received = self.layer(self.contexts("sip:example.test"))
        client, _ = self.layer(self.contexts("sip:client.test"))
        flow, _ = self.send(client, self.target(server, "example.test"))
        await until(lambda: received.messages)
        back = server.flow_to(Target("TLS", HOST, flow.local[1], "client.test"))
        self.assertIsNot(back, received.flow)
        self.assertIs(server.flow_by_token(received.flow.token), received.flow)

    async def test_clients_without_a_certificate_of_ours(self) -> None:
        server, received = self.layer(self.contexts("example.test", verify_client=True))
        strangers = TLSContexts(TLSSettings(ca=str(self.ca)))
        for tls in (
            self.contexts("client.test", authority=Authority("other"), stem="stranger"),
            strangers,
        ):
            client = TransportLayer(reactor, Recorder(), tls=tls)
            self.addCleanup(client.stop)
            _, told = self.send(client, self.target(server, "example.test"))
            await until(told.__len__)
            self.assertIn("TLS", told[0])
        self.assertEqual(received.messages, [])

    async def test_reload(self) -> None:
        """New connections see the new certificate, old ones live on, and a broken file changes nothing."""
        tls = self.contexts("sip:example.test", stem="server")
        server, received = self.layer(tls)
        client, _ = self.layer(self.contexts("sip:client.test"))
        old, _ = self.send(client, self.target(server, "example.test"))
        await until(lambda: received.messages)
        self.authority.issue("sip:new.test").write(self.folder, "server")
        tls.reload()
        new, _ = self.send(client, self.target(server, "new.test"), 2)
        await until(lambda: len(received.messages) == 2)
        old.send(options(3, via=f"SIP/2.0/TLS {old.sent_by}"))
        await until(lambda: len(received.messages) == 3)
        (self.folder / "server.pem").write_bytes(b"broken")
        self.assertRaises(TLSFileError, tls.reload)
        new.close()
        await until(lambda: server.connections == 1)
        again, _ = self.send(client, self.target(server, "new.test"), 4)
        await until(lambda: len(received.messages) == 4)
        self.assertIsNot(again, new)
        self.assertFalse(old.closed)

    async def test_a_handshake_that_does_not_end(self) -> None:
        server, _ = self.layer(self.contexts("example.test"), limits=TransportLimits(handshake_timeout=0.3))
        with socket.create_connection((HOST, server.listeners[0].port)) as silent:
            silent.setblocking(False)
            await until(lambda: server.connections == 1)
            silent.send(b"\x16\x03\x01\x02\x00\x01")
            await until(lambda: server.connections == 0)

    async def test_what_is_no_tls(self) -> None:
        server, received = self.layer(self.contexts("example.test"))
        for octets in (options(1), b"\r\n\r\n", b"\x00" * 100, b"GET / HTTP/1.0\r\n\r\n"):
            with socket.create_connection((HOST, server.listeners[0].port)) as client:
                client.send(octets)
                await until(lambda: server.counters.connections_accepted)
        await until(lambda: server.connections == 0)
        self.assertEqual(received.messages, [])
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_limits(self) -> None:
        limits = TransportLimits(max_connections_per_host=2)
        server, _ = self.layer(self.contexts("example.test"), limits=limits)
        clients = []
        for _ in range(5):
            client = socket.create_connection((HOST, server.listeners[0].port))
            self.addCleanup(client.close)
            clients.append(client)
        await until(lambda: server.counters.connections_refused == 3)
        self.assertEqual(server.connections, 2)

    async def test_a_peer_that_never_reads(self) -> None:
        server, received = self.layer(
            self.contexts("example.test"),
            receiver=Recorder(200, padding=4000),
            limits=TransportLimits(stuck_timeout=0.3),
        )
        client, _ = self.layer(self.contexts("client.test"))
        flow, told = self.send(client, self.target(server, "example.test"))
        await until(lambda: received.messages)
        wire: Any = flow
        transport = wire._wire.transport
        transport.pauseProducing()
        sent = 0

        def push() -> bool:
            nonlocal sent
            if not flow.closed and not wire._wire._blocked:
                for _ in range(50):
                    sent += 1
                    flow.send(options(sent, via=f"SIP/2.0/TLS {flow.sent_by}"))
            return bool(received.flow.closed)

        await until(push, "the end of the one that does not read", within=10)
        self.assertIn("has not read", received.flow.reason)
        self.assertEqual(received.refused, [])
        transport.resumeProducing()
        flow.close()
        await until(lambda: told)
