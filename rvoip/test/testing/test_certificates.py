from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import crypto
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rvoip.testing.certificates import Authority
from rvoip.testing.memory_reactor import MemoryReactor
from rvoip.testing.network import SimulatedNetwork


class Recorder(Protocol):
    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = reason


class One(ClientFactory):
    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self.made = protocol

    def buildProtocol(self, addr: object) -> Protocol:
        return self.made


class TLSTests(SynchronousTestCase):
    """TLS over the memory reactor: real handshakes with these certificates."""

    def setUp(self) -> None:
        self.authority = Authority()
        self.server = self.authority.issue("example.test", "127.0.0.1", "sip:example.test")

    def handshake(self, listen: Any, connect: Any) -> tuple[Recorder, Recorder]:
        reactor = MemoryReactor()
        client, server = Recorder(), Recorder()
        reactor.listenSSL(5061, One(server), listen, interface="127.0.0.1")
        reactor.connectSSL("127.0.0.1", 5061, One(client), connect)
        reactor.advance(1)
        client.transport.write(b"question")
        reactor.advance(1)
        server.transport.write(b"answer")
        reactor.advance(1)
        return client, server

    def test_both_ways(self) -> None:
        for name in ("example.test", "127.0.0.1"):
            client, server = self.handshake(self.server.server_options(), self.authority.client_options(name))
            self.assertEqual((server.data, client.data, client.lost), (b"question", b"answer", None))

    def test_another_name_is_refused(self) -> None:
        client, server = self.handshake(
            self.server.server_options(), self.authority.client_options("other.test")
        )
        self.assertEqual(server.data, b"")
        self.assertIn("VerificationError", repr(client.lost))

    def test_another_authority_is_refused(self) -> None:
        client, server = self.handshake(
            self.server.server_options(), Authority("other").client_options("example.test")
        )
        self.assertEqual(server.data, b"")
        self.assertIn("certificate verify failed", repr(client.lost))

    def test_an_expired_one_is_refused(self) -> None:
        old = self.authority.issue(
            "example.test", valid_from=datetime.timedelta(days=-9), valid_for=datetime.timedelta(days=1)
        )
        client, server = self.handshake(old.server_options(), self.authority.client_options("example.test"))
        self.assertEqual(server.data, b"")
        self.assertIn("certificate verify failed", repr(client.lost))

    def test_mutual(self) -> None:
        phone = self.authority.issue("phone.example.test")
        options = self.server.server_options(clients=self.authority)
        client, server = self.handshake(options, self.authority.client_options("example.test", phone))
        self.assertEqual((server.data, client.data), (b"question", b"answer"))
        certificate: crypto.X509 = server.transport.getPeerCertificate()
        self.assertEqual(certificate.get_subject().CN, "phone.example.test")
        client, server = self.handshake(options, self.authority.client_options("example.test"))
        self.assertEqual(server.data, b"")

    def test_over_a_lossy_network(self) -> None:
        network = SimulatedNetwork(seed=3, delay=(0.01, 0.1), loss=0.1)
        a, b = network.host("a", "10.0.0.1"), network.host("b", "10.0.0.2")
        client, server = Recorder(), Recorder()
        b.listenSSL(5061, One(server), self.server.server_options(), interface="10.0.0.2")
        a.connectSSL("10.0.0.2", 5061, One(client), self.authority.client_options("example.test"))
        self.assertTrue(network.run_until(lambda: client.transport is not None))
        client.transport.write(b"x" * 100_000)
        client.transport.loseConnection()
        self.assertTrue(network.run_until(lambda: server.lost is not None, within=600))
        self.assertEqual(len(server.data), 100_000)
        network.advance(10)
        self.assertTrue(network.quiet(), network.pending())


class FileTests(SynchronousTestCase):
    def test_write(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        issued = Authority().issue("example.test", common_name="Some name")
        certificate, key = issued.write(folder, "phone")
        self.assertEqual((certificate, key), (str(folder / "phone.pem"), str(folder / "phone.key")))
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
        loaded = x509.load_pem_x509_certificate(Path(certificate).read_bytes())
        self.assertEqual(loaded.subject.rfc4514_string(), "CN=Some name")
        self.assertIn(b"PRIVATE KEY", Path(key).read_bytes())

    def test_names(self) -> None:
        issued = Authority().issue("example.test", "::1", "sip:example.test")
        names = issued.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["example.test"])
        self.assertEqual([str(ip) for ip in names.get_values_for_type(x509.IPAddress)], ["::1"])
        self.assertEqual(names.get_values_for_type(x509.UniformResourceIdentifier), ["sip:example.test"])
        self.assertEqual(issued.certificate.subject.rfc4514_string(), "CN=example.test")

    def test_a_certificate_without_a_name(self) -> None:
        issued = Authority().issue()
        self.assertEqual(issued.certificate.subject.rfc4514_string(), "CN=unnamed")
