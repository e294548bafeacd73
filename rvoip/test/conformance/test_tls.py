"""TLS, seen from outside of a running proxy: names, new certificates, certificates of clients, calls."""

from __future__ import annotations

import signal
import ssl
from typing import ClassVar

from rvoip.test.conformance.agent import Agent, StreamAgent, answer_to
from rvoip.test.conformance.case import OPEN, AgentCase
from rvoip.test.conformance.element import element
from rvoip.test.hostile.server import Server
from rvoip.test.hostile.wire import Stream
from rvoip.testing.certificates import Authority, Issued

DOMAINS = ("example.test", "example.org")


def tables(more: str = "") -> str:
    """Certificates for example.test and, by name, for example.org; `more` goes into `[tls]`."""
    return (
        f'{OPEN}[tls]\ncertificate = "server.pem"\nprivate_key = "server.key"\nca = "ca.pem"\n{more}'
        '[[tls.name]]\nname = "example.org"\ncertificate = "org.pem"\nprivate_key = "org.key"\n'
    )


class TLSTests(AgentCase):
    """Certificates by name, new ones on SIGHUP, and of clients."""

    servers: ClassVar = {
        "plain": element("proxy", OPEN),
        "TLS": element("proxy", tables(), DOMAINS, files=lambda server: TLSTests.write(server)),
    }
    authority: ClassVar[Authority | None] = None

    @classmethod
    def issue(cls, *names: str) -> Issued:
        """A certificate of the tests' authority."""
        if cls.authority is None:
            cls.authority = Authority()
        return cls.authority.issue(*names)

    @classmethod
    def write(cls, server: Server) -> None:
        """The files that the configuration names."""
        cls.issue("example.test", server.host).write(server.folder)
        cls.issue("example.org").write(server.folder, "org")
        assert cls.authority is not None
        (server.folder / "ca.pem").write_bytes(cls.authority.certificate_pem)

    def start(self, more: str = "") -> Server:
        """A proxy of its own; `more` goes into `[tls]`."""
        server = element("proxy", tables(more), DOMAINS, files=self.write)("127.0.71.8")
        self.addCleanup(server.close)
        server.start()
        return server

    def context(self, certificate: tuple[str, str] | None = None) -> ssl.SSLContext:
        """A client's that believes the authority only."""
        assert TLSTests.authority is not None
        context = ssl.create_default_context(cadata=TLSTests.authority.certificate_pem.decode())
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context

    def subject(self, agent: StreamAgent) -> str:
        """The names of the certificate that the server showed."""
        certificate = agent.stream.socket.getpeercert()  # type: ignore[attr-defined]
        return " ".join(value for kind, value in certificate["subjectAltName"] if kind == "DNS")

    def test_names_and_reload(self) -> None:
        """Each name its certificate, another or none the first; SIGHUP takes new ones, broken ones not."""
        server = self.start()
        context = self.context()
        self.assertEqual(
            self.subject(self.stream(server.tls_address, context, "example.test")), "example.test"
        )
        self.assertEqual(self.subject(self.stream(server.tls_address, context, "example.org")), "example.org")
        self.assertEqual(self.subject(self.stream(server.tls_address, context, server.host)), "example.test")
        held = self.stream(server.tls_address, context, "example.test")
        self.issue("example.test", "new.example.test", server.host).write(server.folder)
        server.signal(signal.SIGHUP)
        self.wait_for(
            lambda: (
                "new.example.test" in self.subject(self.stream(server.tls_address, context, "example.test"))
            )
        )
        self.assertEqual(held.ask("OPTIONS", "sip:example.test").status, 200)
        (server.folder / "server.pem").write_text("no certificate")
        server.signal(signal.SIGHUP)
        self.wait_for(lambda: "kept" in server.log() or "refused" in server.log() or "error" in server.log())
        again = self.stream(server.tls_address, context, "example.test")
        self.assertIn("new.example.test", self.subject(again))
        self.assertEqual(again.ask("OPTIONS", "sip:example.test").status, 200)

    def test_a_call(self) -> None:
        """Between TLS phones, each by its connection; Record-Route and Via say TLS; keep-alive works."""
        server = self.serve("TLS")
        context = self.context()
        caller = self.stream(server.tls_address, context, "example.test")
        callee = self.stream(server.tls_address, context, "example.test")
        answer = callee.register("secure", f"<sips:secure@{callee.sent_by}>")
        self.assertEqual(answer.status, 200)
        wire = caller.request("INVITE", "sips:secure@example.test", f"Contact: <sips:a@{caller.sent_by}>")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        self.assertRegex(got.values("via")[0], r"SIP/2\.0/TLS ")
        for value in got.values("record-route"):
            self.assertRegex(value, r"<sips:|;transport=tls")
        callee.send(answer_to(got, "200 OK", f"Contact: <sips:secure@{callee.sent_by}>", tag="t"))
        accepted = caller.final(wire)
        caller.send(caller.in_dialog("ACK", wire, accepted, 1))
        callee.wait_for("ACK")
        bye = caller.in_dialog("BYE", wire, accepted, 2)
        caller.send(bye)
        callee.send(answer_to(callee.wait_for("BYE"), "200 OK"))
        self.assertEqual(caller.final(bye).status, 200)
        caller.stream.socket.sendall(b"\r\n\r\n")
        self.assertEqual(caller.stream.socket.recv(10), b"\r\n")

    def test_old_versions(self) -> None:
        """Nothing below TLS 1.2."""
        server = self.serve("TLS")
        context = self.context()
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        self.assertRaises(
            (ssl.SSLError, OSError), Stream, "127.0.72.200", server.tls_address, context, "example.test"
        )
        self.assertEqual(
            self.stream(server.tls_address, self.context(), "example.test")
            .ask("OPTIONS", "sip:example.test")
            .status,
            200,
        )

    def test_our_certificate(self) -> None:
        """It is shown to a phone that asks for it, and nothing is sent to one that cannot show its own."""
        server = self.serve("TLS")
        caller, host = Agent(server), "127.0.72.61"
        self.addCleanup(caller.socket.close)
        listening = self.listener(host, 0)
        contact = f"<sips:asks@{host}:{listening.getsockname()[1]}>"
        self.assertEqual(caller.register("asks", contact).status, 200)
        for name, believed in ((host, True), ("stranger.test", False)):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.issue(name).write(server.folder, "phone"))
            context.load_verify_locations(str(server.folder / "ca.pem"))
            context.verify_mode = ssl.CERT_REQUIRED
            wire = caller.request("INVITE", "sip:asks@example.test")
            caller.send(wire)
            connection, _ = listening.accept()
            with connection:
                if not believed:
                    with self.assertRaises((ssl.SSLError, ConnectionError)):
                        context.wrap_socket(connection, server_side=True).read(1)
                    self.assertEqual(caller.final(wire).status, 480)
                    continue
                phone = self.accepted_by(context.wrap_socket(connection, server_side=True))
                self.assertEqual(self.subject(phone), "example.test")
                got = phone.wait_for("INVITE")
                self.assertEqual(f"<{got.uri}>", contact)
                phone.send(answer_to(got, "486 Busy Here"))
                answer = caller.final(wire)
                self.assertEqual(answer.status, 486)
                caller.acknowledge(wire, answer)
                phone.wait_for("ACK")
                phone.stream.socket.close()

    def test_certificates_of_clients(self) -> None:
        """`verify_client`: only those of the authority get in."""
        server = self.start("verify_client = true\n")
        good = self.issue("phone.example.test").write(server.folder, "phone")
        stranger = Authority("stranger").issue("phone.example.test").write(server.folder, "stranger")
        agent = self.stream(server.tls_address, self.context(good), "example.test")
        self.assertEqual(agent.ask("OPTIONS", "sip:example.test").status, 200)
        for certificate in (None, stranger):
            try:
                agent = self.stream(server.tls_address, self.context(certificate), "example.test")
                agent.send(agent.request("OPTIONS", "sip:example.test"))
                self.assertTrue(agent.stream.closed(5.0))
            except (ssl.SSLError, ConnectionError):
                continue
