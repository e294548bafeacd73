"""Certificates that prove nothing, or something about somebody else: as server and as client (row 28)."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self

from rvoip.test.hostile.case import ATTACKER, PASSWORDS, QUICK, HostileCase, register
from rvoip.test.hostile.names import NameServer
from rvoip.test.hostile.server import DOMAIN, Server, own_host
from rvoip.test.hostile.wire import Datagrams, Message, Stream, by_call, request, response
from rvoip.testing.certificates import Authority, Issued

URI = f"sip:{DOMAIN}"
PHONE = "127.0.71.201"
AUTHORITY = Authority()
STRANGER = Authority("somebody else's authority")
NAMES = NameServer(own_host(), {"phone.test": PHONE, "other.test": PHONE, "xn--bcher-kva.test": PHONE})


def expired(*names: str) -> Issued:
    """A certificate that was good until a week ago."""
    ago, day = -datetime.timedelta(days=9), datetime.timedelta(days=1)
    return AUTHORITY.issue(*names, valid_from=ago, valid_for=day)


def early(*names: str) -> Issued:
    """A certificate that will be good."""
    return AUTHORITY.issue(*names, valid_from=datetime.timedelta(days=2))


def make_mutual(host: str) -> Server:
    """Lets in only clients with a certificate of the authority."""
    return _with_files(host, "verify_client = true\n")


def make_named(host: str) -> Server:
    """Shows one certificate or another, as it is asked; finds hosts by the name server of the tests."""
    return _with_files(
        host,
        '[[tls.name]]\nname = "two.test"\ncertificate = "two.pem"\nprivate_key = "two.key"\n',
        f'dns = ["{NAMES.address}"]\n',
    )


def _with_files(host: str, more: str, sip: str = "") -> Server:
    tables = '[registrar]\n[tls]\ncertificate = "one.pem"\nprivate_key = "one.key"\nca = "ca.pem"\n'
    server = Server(host, tables=tables + more, sip=QUICK + sip, tls=True, users=PASSWORDS)
    AUTHORITY.issue(DOMAIN, host).write(server.folder, "one")
    AUTHORITY.issue("two.test").write(server.folder, "two")
    (server.folder / "ca.pem").write_bytes(AUTHORITY.certificate_pem)
    return server


class TLSCase(HostileCase):
    servers: ClassVar[dict[str, Callable[[str], Server]]] = {"mutual": make_mutual, "named": make_named}

    def context(self, shown: Issued | None = None, verify: bool = False) -> ssl.SSLContext:
        """A client's, which shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if verify:
            context.load_verify_locations(cadata=AUTHORITY.certificate_pem.decode())
            context.check_hostname = True
            context.verify_mode = ssl.CERT_REQUIRED
        if shown is not None:
            context.load_cert_chain(*self.files(shown))
        return context

    def files(self, issued: Issued) -> tuple[str, str]:
        folder = self.mktemp()
        Path(folder).mkdir()
        return issued.write(folder)

    def served(self, server: Server, context: ssl.SSLContext, name: str | None = None) -> bool:
        """Whether a client gets an answer to OPTIONS."""
        try:
            with Stream(ATTACKER, server.tls_address, context, name) as stream:
                stream.send(request("OPTIONS", URI, transport="TLS", sent_by=stream.sent_by))
                answer = stream.receive(2.0)
        except (ssl.SSLError, ConnectionError):
            return False
        return answer is not None and answer.status == 200


class ServerTests(TLSCase):
    def test_clients_that_prove_nothing(self) -> None:
        server = self.serve("mutual")
        for why, shown in (
            ("none", None),
            ("self-signed", Authority(DOMAIN)),
            ("of another authority", STRANGER.issue(DOMAIN)),
            ("expired", expired(DOMAIN)),
            ("not valid yet", early(DOMAIN)),
        ):
            self.assertFalse(self.served(server, self.context(shown)), why)
        self.assertTrue(self.served(server, self.context(AUTHORITY.issue("client.test"))))

    def test_old_protocols(self) -> None:
        server = self.serve("named")
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            context = self.context()
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = version
            self.assertFalse(self.served(server, context), version)
        context = self.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.assertTrue(self.served(server, context))

    def test_weak_ciphers(self) -> None:
        server = self.serve("named")
        for ciphers in ("aNULL:@SECLEVEL=0", "AES128-SHA:@SECLEVEL=0", "NULL:@SECLEVEL=0"):
            context = self.context()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(ciphers)
            self.assertFalse(self.served(server, context), ciphers)

    def test_server_names(self) -> None:
        """The certificate is that of the name that was asked for; an unknown name gets the first one."""
        server = self.serve("named")
        for name, shown in (
            ("two.test", "two.test"),
            ("TWO.test", "two.test"),
            (DOMAIN, DOMAIN),
            ("unknown.test", DOMAIN),
            ("a" * 60 + ".test", DOMAIN),
            (None, DOMAIN),
        ):
            with Stream(ATTACKER, server.tls_address, self.context(), name) as stream:
                assert isinstance(stream.socket, ssl.SSLSocket)
                der = stream.socket.getpeercert(True)
                assert der is not None
                self.assertIn(shown.encode(), der)
        self.assertTrue(self.served(server, self.context(verify=True), "two.test"))
        self.assertTrue(self.served(server, self.context(verify=True), DOMAIN))

    def test_what_is_no_tls(self) -> None:
        """Plain SIP, junk and half a handshake on the TLS port; TLS on the plain one."""
        server = self.serve("named")
        for octets in (
            request("OPTIONS", URI),
            b"\0" * 500,
            b"\x16\x03\x01\xff\xff" + b"a" * 500,
            b"\x15\x03\x03\0\2\2\x28",
        ):
            with Stream(ATTACKER, server.tls_address) as stream:
                stream.send(octets)
                self.assertEqual([message.status for message in stream.drain(0.1)], [])
        try:
            with Stream(ATTACKER, server.address, self.context(), patience=0.5):
                self.fail("a handshake on the plain port")
        except (ssl.SSLError, OSError):
            self.assertTrue(server.alive)


class Listener:
    """A phone that listens for TLS, with one certificate, and answers 486 to whatever comes."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.asked: list[str | None] = []
        self.got: list[Message] = []
        self.connections = 0
        context.sni_callback = self._note
        self._context = context
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.bind((PHONE, 0))
        self._socket.listen()
        self._socket.settimeout(0.1)
        self.port = self._socket.getsockname()[1]
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _note(self, connection: object, name: str | None, context: object) -> None:
        self.asked.append(name)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                accepted, _ = self._socket.accept()
            except TimeoutError:
                continue
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(accepted,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, accepted: socket.socket) -> None:
        accepted.settimeout(5.0)
        try:
            connection = self._context.wrap_socket(accepted, server_side=True)
        except (ssl.SSLError, OSError):
            accepted.close()
            return
        connection.settimeout(0.1)
        held = b""
        with connection:
            while not self._over.is_set():
                try:
                    octets = connection.recv(65535)
                except TimeoutError:
                    continue
                except (ssl.SSLError, OSError):
                    return
                if not octets:
                    return
                held += octets
                while b"\r\n\r\n" in held:
                    head, _, held = held.partition(b"\r\n\r\n")
                    message = Message(head + b"\r\n\r\n")
                    self.got.append(message)
                    if message.method != "ACK":
                        connection.sendall(response(message, 486, "Busy"))


class ClientTests(TLSCase):
    """What we connect to must be who the URI says (RFC 5922)."""

    def listen(self, issued: Issued) -> Listener:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.files(issued))
        listener = Listener(context)
        listener.__enter__()
        self.addCleanup(listener.__exit__)
        return listener

    def setUp(self) -> None:
        if not NAMES.is_running:
            NAMES.__enter__()

    def call(self, server: Server, host: str, port: int) -> int:
        """The answer to a request for a phone at that host, by TLS."""
        with Datagrams(PHONE, server.address) as phone, Datagrams(ATTACKER, server.address) as caller:
            register(server, phone, "bob", f"<sip:bob@{host}:{port};transport=tls>")
            wire = request("INVITE", f"sip:bob@{DOMAIN}", sent_by=caller.sent_by)
            caller.send(wire)
            answer = caller.wait(by_call(Message(wire).get("call-id")), 6.0)
        self.assertIsNotNone(answer)
        assert answer is not None
        return answer.status

    def test_certificates(self) -> None:
        """Self-signed, of another authority, expired, for another name; only the last one is right."""
        server = self.serve("named")
        for why, issued, status in (
            ("self-signed", Authority("phone.test"), 480),
            ("of another authority", STRANGER.issue("phone.test", PHONE), 480),
            ("expired", expired("phone.test", PHONE), 480),
            ("not valid yet", early("phone.test", PHONE), 480),
            ("wrong name", AUTHORITY.issue("other.test"), 480),
            ("the address alone", AUTHORITY.issue(PHONE), 480),
            ("common name alone", AUTHORITY.issue("other.test", common_name="phone.test"), 480),
            ("a wildcard too wide", AUTHORITY.issue("*.test"), 480),
            ("the name and a NUL", AUTHORITY.issue("phone.test\0.evil.test"), 480),
            ("right", AUTHORITY.issue("other.test", "phone.test"), 486),
        ):
            listener = self.listen(issued)
            with self.subTest(why):
                got = self.call(server, "phone.test", listener.port)
                if status == 486:
                    self.assertEqual(got, 486)
                    self.assertEqual([message.method for message in listener.got][:1], ["INVITE"])
                else:
                    self.assertIn(got, (480, 500, 503))
                    self.assertEqual(listener.got, [])
                self.assertEqual(set(listener.asked), {"phone.test"})

    def test_addresses(self) -> None:
        """An address needs a certificate for the address, and is not asked for as a name."""
        server = self.serve("named")
        for issued, statuses in (
            (AUTHORITY.issue("phone.test"), (480, 500, 503)),
            (AUTHORITY.issue("127.0.71.202"), (480, 500, 503)),
            (AUTHORITY.issue(PHONE), (486,)),
        ):
            listener = self.listen(issued)
            self.assertIn(self.call(server, PHONE, listener.port), statuses)
            self.assertEqual(set(listener.asked), {None})

    def test_two_names_at_one_address(self) -> None:
        """A connection to one name does not serve another one that has the same address (CVE-2020-15260)."""
        server = self.serve("named")
        listener = self.listen(AUTHORITY.issue("phone.test"))
        self.assertEqual(self.call(server, "phone.test", listener.port), 486)
        self.assertIn(self.call(server, "other.test", listener.port), (480, 500, 503))
        self.assertEqual(
            {message.uri.partition("@")[2].partition(":")[0] for message in listener.got}, {"phone.test"}
        )
        self.assertEqual(listener.connections, 2)
        # And the good connection is used again.
        self.assertEqual(self.call(server, "phone.test", listener.port), 486)
        self.assertEqual(listener.connections, 2)

    def test_a_name_that_does_not_resolve(self) -> None:
        server = self.serve("named")
        self.assertIn(self.call(server, "nowhere.test", 5061), (404, 478, 480, 500, 503))
