"""Certificates, contexts and their files."""

from __future__ import annotations

import datetime
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.transport.certificates import mismatch, names_of
from rvoip.protocols.transport.errors import TLSFileError
from rvoip.protocols.transport.tls import TLSContexts, TLSName, TLSSettings
from rvoip.testing.certificates import Authority


@cache
def issuer() -> Authority:
    return Authority()


class CertificateTests(SynchronousTestCase):
    def issue(self, *names: str) -> x509.Certificate:
        return issuer().issue(*names, common_name="common.test").certificate

    def test_names(self) -> None:
        """RFC 5922 section 7.1."""
        for given, expected in (
            (("sip:example.test",), ("example.test",)),
            (("sip:Example.TEST", "other.test"), ("example.test",)),
            (("a.test", "B.test", "192.0.2.1"), ("a.test", "b.test", "192.0.2.1")),
            (("sip:alice@example.test", "b.test"), ("b.test",)),
            (("sips:example.test", "b.test"), ("b.test",)),
            (("https://example.test/", "urn:uuid:1:2:3", "b.test"), ("b.test",)),
            (("sip:192.0.2.1",), ("192.0.2.1",)),
            (("sip:example.test;lr", "sip:other.test:5061"), ("example.test", "other.test:5061")),
            (("*.example.test",), ()),
            ((), ()),
        ):
            self.assertEqual(names_of(self.issue(*given)), expected, given)
        self.assertEqual(names_of(None), ())

    def test_matches(self) -> None:
        for given, name in (
            (("sip:example.test",), "example.test"),
            (("sip:example.test",), "EXAMPLE.test"),
            (("a.test", "b.test"), "b.test"),
            (("192.0.2.1",), "192.0.2.1"),
            (("sip:192.0.2.1",), "192.0.2.1"),
            (("2001:db8::1",), "2001:db8:0::1"),
        ):
            self.assertIsNone(mismatch(self.issue(*given), name), (given, name))

    def test_mismatches(self) -> None:
        for given, name in (
            (("sip:example.test",), "other.test"),
            (("sip:example.test", "other.test"), "other.test"),
            (("sip:example.test:5061",), "example.test"),
            (("sip:alice@example.test",), "example.test"),
            (("*.example.test",), "sip.example.test"),
            (("example.test",), "sip.example.test"),
            (("sip.example.test",), "example.test"),
            (("192.0.2.1",), "192.0.2.2"),
            (("192.0.2.1",), "example.test"),
            (("example.test",), "192.0.2.1"),
            (("example.test",), ""),
            (("example.test",), "a b"),
            ((), "common.test"),
        ):
            reason = mismatch(self.issue(*given), name)
            self.assertIsNotNone(reason, (given, name))
            self.assertIn(f"not for {name}", reason or "")
        self.assertEqual(mismatch(None, "example.test"), "the peer has shown no certificate")


def handshake(client: SSL.Connection, server: SSL.Connection) -> None:
    """Let two ends talk in memory until both are done."""
    client.set_connect_state()
    server.set_accept_state()
    done = [False, False]
    for _ in range(20):
        for index, (one, other) in enumerate(((client, server), (server, client))):
            try:
                one.do_handshake()
                done[index] = True
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(one.bio_read(65536))
            except SSL.WantReadError:
                pass
        if all(done):
            return
    raise AssertionError("the handshake does not end")


class ContextTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.authority = Authority()
        self.ca = str(self.folder / "ca.pem")
        Path(self.ca).write_bytes(self.authority.certificate_pem)
        self.main = self.files("main", "example.test")

    def files(self, stem: str, *names: str, authority: Authority | None = None) -> tuple[str, str]:
        return (authority or self.authority).issue(*names).write(self.folder, stem)

    def settings(self, **more: object) -> TLSSettings:
        given: dict[str, object] = {"certificate": self.main[0], "private_key": self.main[1], "ca": self.ca}
        return TLSSettings(**(given | more))  # type: ignore[arg-type]

    def pair(
        self, contexts: TLSContexts, name: str = "example.test"
    ) -> tuple[SSL.Connection, SSL.Connection]:
        client = contexts.client(name).clientConnectionForTLS(None)  # type: ignore[arg-type]
        server = contexts.server().serverConnectionForTLS(None)  # type: ignore[arg-type]
        return client, server

    def shown(self, contexts: TLSContexts, name: str) -> tuple[str, ...]:
        client, server = self.pair(contexts, name)
        handshake(client, server)
        return names_of(client.get_peer_certificate(as_cryptography=True))

    def test_a_handshake(self) -> None:
        client, server = self.pair(TLSContexts(self.settings()))
        handshake(client, server)
        self.assertEqual(client.get_protocol_version_name(), "TLSv1.3")
        self.assertEqual(server.get_servername(), b"example.test")
        self.assertIsNone(server.get_peer_certificate(as_cryptography=True))

    def test_an_address_is_no_server_name(self) -> None:
        contexts = TLSContexts(self.settings())
        for name in ("192.0.2.1", "2001:db8::1", "", "a" * 70 + ".test", "a..test", "a." * 150):
            client, server = self.pair(contexts, name)
            handshake(client, server)
            self.assertIsNone(server.get_servername())

    def test_server_names(self) -> None:
        names = [
            TLSName("Other.test", *self.files("other", "other.test")),
            TLSName("b.test", *self.files("b", "b.test")),
        ]
        contexts = TLSContexts(self.settings(names=names))
        self.assertEqual(self.shown(contexts, "other.test"), ("other.test",))
        self.assertEqual(self.shown(contexts, "OTHER.test"), ("other.test",))
        self.assertEqual(self.shown(contexts, "b.test"), ("b.test",))
        self.assertEqual(self.shown(contexts, "unknown.test"), ("example.test",))
        self.assertEqual(self.shown(contexts, "192.0.2.1"), ("example.test",))

    def test_only_tls_1_2_and_later(self) -> None:
        contexts = TLSContexts(self.settings())
        old = SSL.Context(SSL.TLS_METHOD)
        old.set_min_proto_version(SSL.TLS1_VERSION)
        old.set_max_proto_version(SSL.TLS1_1_VERSION)
        old.set_cipher_list(b"ALL:@SECLEVEL=0")
        server = contexts.server().serverConnectionForTLS(None)  # type: ignore[arg-type]
        self.assertRaises(SSL.Error, handshake, SSL.Connection(old, None), server)
        newer = SSL.Context(SSL.TLS_METHOD)
        newer.set_max_proto_version(SSL.TLS1_2_VERSION)
        server = contexts.server().serverConnectionForTLS(None)  # type: ignore[arg-type]
        handshake(SSL.Connection(newer, None), server)
        self.assertEqual(server.get_protocol_version_name(), "TLSv1.2")

    def test_an_unknown_authority(self) -> None:
        stranger = self.files("stranger", "example.test", authority=Authority("stranger"))
        theirs = TLSContexts(self.settings(certificate=stranger[0], private_key=stranger[1]))
        ours = TLSContexts(self.settings())
        client = ours.client("example.test").clientConnectionForTLS(None)  # type: ignore[arg-type]
        server = theirs.server().serverConnectionForTLS(None)  # type: ignore[arg-type]
        self.assertRaises(SSL.Error, handshake, client, server)

    def test_expired(self) -> None:
        day = datetime.timedelta(days=1)
        issued = self.authority.issue("example.test", valid_from=-9 * day, valid_for=day)
        old = issued.write(self.folder, "old")
        contexts = TLSContexts(self.settings(certificate=old[0], private_key=old[1]))
        self.assertRaises(SSL.Error, handshake, *self.pair(contexts))
        self.assertEqual(contexts.not_after, issued.certificate.not_valid_after_utc)

    def test_mutual(self) -> None:
        contexts = TLSContexts(self.settings(verify_client=True))
        client, server = self.pair(contexts)
        handshake(client, server)
        self.assertEqual(names_of(server.get_peer_certificate(as_cryptography=True)), ("example.test",))

    def test_mutual_refused(self) -> None:
        stranger = self.files("stranger", "example.test", authority=Authority("stranger"))
        server_side = TLSContexts(self.settings(verify_client=True))
        for settings in (
            self.settings(certificate=None, private_key=None),
            self.settings(certificate=stranger[0], private_key=stranger[1]),
        ):
            client = TLSContexts(settings).client("example.test").clientConnectionForTLS(None)  # type: ignore[arg-type]
            server = server_side.server().serverConnectionForTLS(None)  # type: ignore[arg-type]
            self.assertRaises(SSL.Error, handshake, client, server)

    def revocations(self, *lists: bytes) -> str:
        path = self.folder / "crl.pem"
        path.write_bytes(b"".join(lists))
        return str(path)

    def test_revoked_clients(self) -> None:
        """One that a list names is refused, and every one where no valid list says that it is not."""
        good, bad = (self.authority.issue(f"sip:{name}@example.test") for name in ("good", "bad"))
        other = Authority("other authority")
        expired = self.authority.revoke(bad, valid_for=-datetime.timedelta(days=1))
        forged = Authority().revoke(good)
        for lists, outcomes in (
            ((self.authority.revoke(bad),), (True, False)),
            ((self.authority.revoke(bad), other.revoke()), (True, False)),
            ((self.authority.revoke(),), (True, True)),
            ((self.authority.revoke(good, bad),), (False, False)),
            ((other.revoke(),), (False, False)),
            ((expired,), (False, False)),
            ((forged,), (False, False)),
        ):
            contexts = TLSContexts(self.settings(verify_client=True, crl=self.revocations(*lists)))
            for issued, outcome in zip((good, bad), outcomes, strict=True):
                shown = issued.write(self.folder, "client")
                self.assertEqual(self.gets_in(contexts, shown), outcome, (lists, issued is good))

    def gets_in(self, contexts: TLSContexts, shown: tuple[str, str]) -> bool:
        settings = self.settings(certificate=shown[0], private_key=shown[1])
        client = TLSContexts(settings).client("example.test").clientConnectionForTLS(None)  # type: ignore[arg-type]
        server = contexts.server().serverConnectionForTLS(None)  # type: ignore[arg-type]
        try:
            handshake(client, server)
        except SSL.Error:
            return False
        return True

    def test_a_revoked_server(self) -> None:
        """It is not connected to; that of an authority without a list is."""
        revoked = self.authority.issue("example.test")
        shown = revoked.write(self.folder, "revoked")
        server_side = TLSContexts(self.settings(certificate=shown[0], private_key=shown[1]))
        for lists, outcome in (
            (self.authority.revoke(revoked), False),
            (self.authority.revoke(), True),
            (Authority("other authority").revoke(revoked), True),
        ):
            client_side = TLSContexts(TLSSettings(ca=self.ca, crl=self.revocations(lists)))
            client = client_side.client("example.test").clientConnectionForTLS(None)  # type: ignore[arg-type]
            server = server_side.server().serverConnectionForTLS(None)  # type: ignore[arg-type]
            if outcome:
                handshake(client, server)
            else:
                self.assertRaises(SSL.Error, handshake, client, server)

    def test_revocation_lists_are_read_again(self) -> None:
        client = self.authority.issue("sip:client@example.test")
        shown = client.write(self.folder, "client")
        path = self.revocations(self.authority.revoke())
        contexts = TLSContexts(self.settings(verify_client=True, crl=path))
        self.assertTrue(self.gets_in(contexts, shown))
        self.revocations(self.authority.revoke(client))
        contexts.reload()
        self.assertFalse(self.gets_in(contexts, shown))
        Path(path).write_bytes(b"rubbish")
        error = self.assertRaises(TLSFileError, contexts.reload)
        self.assertEqual(str(error), f"{path}: no PEM certificate revocation list")
        self.assertFalse(self.gets_in(contexts, shown))

    def test_until_when_revocation_lists_are_valid(self) -> None:
        day = datetime.timedelta(days=1)
        lists = [self.authority.revoke(valid_for=days * day) for days in (9, 5)]
        until = TLSContexts(self.settings(crl=self.revocations(*lists))).crl_until
        assert until is not None
        self.assertTrue(4 * day < until - datetime.datetime.now(datetime.UTC) <= 5 * day)
        self.assertIsNone(TLSContexts(self.settings()).crl_until)

    def test_a_chain(self) -> None:
        """What follows the certificate in its file is shown with it."""
        path = Path(self.main[0])
        path.write_bytes(path.read_bytes() + self.authority.certificate_pem)
        client, server = self.pair(TLSContexts(self.settings()))
        handshake(client, server)
        chain = client.get_peer_cert_chain(as_cryptography=True)
        self.assertEqual(len(chain or []), 2)

    def test_client_only(self) -> None:
        contexts = TLSContexts(TLSSettings(ca=self.ca))
        self.assertFalse(contexts.can_listen)
        self.assertIsNone(contexts.not_after)
        self.assertRaises(TLSFileError, contexts.server().serverConnectionForTLS, None)
        self.assertTrue(TLSContexts(self.settings()).can_listen)

    def test_reload(self) -> None:
        contexts = TLSContexts(self.settings())
        creator = contexts.server()
        before = self.pair(contexts)
        handshake(*before)
        self.files("main", "new.test")
        contexts.reload()
        self.assertEqual(self.shown(contexts, "example.test"), ("new.test",))
        server = creator.serverConnectionForTLS(None)  # type: ignore[arg-type]
        client = contexts.client("x.test").clientConnectionForTLS(None)  # type: ignore[arg-type]
        handshake(client, server)
        self.assertEqual(names_of(client.get_peer_certificate(as_cryptography=True)), ("new.test",))
        before[0].send(b"still there")
        before[1].bio_write(before[0].bio_read(65536))
        self.assertEqual(before[1].recv(100), b"still there")

    def test_a_broken_file_changes_nothing(self) -> None:
        contexts = TLSContexts(self.settings())
        self.files("main", "new.test")
        Path(self.main[1]).write_text("rubbish")
        error = self.assertRaises(TLSFileError, contexts.reload)
        self.assertEqual(str(error), f"{self.main[1]}: no PEM private key")
        self.assertEqual(self.shown(contexts, "example.test"), ("example.test",))

    def test_reload_with_other_settings(self) -> None:
        contexts = TLSContexts(self.settings())
        other = self.files("other", "other.test")
        contexts.reload(self.settings(certificate=other[0], private_key=other[1]))
        self.assertEqual(self.shown(contexts, "x.test"), ("other.test",))
        contexts.reload()
        self.assertEqual(self.shown(contexts, "x.test"), ("other.test",))

    def test_one_line_about_what_is_wrong(self) -> None:
        other = self.files("other", "other.test")
        missing = str(self.folder / "missing.pem")
        empty = self.folder / "empty.pem"
        empty.write_bytes(b"")
        truncated = self.folder / "truncated.pem"
        truncated.write_bytes(Path(self.main[0]).read_bytes()[:100])
        secret = self.folder / "secret.key"
        key = ec.generate_private_key(ec.SECP256R1())
        secret.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
        )
        for change, said in (
            ({"certificate": missing}, f"{missing}: cannot be read: No such file or directory"),
            ({"private_key": missing}, f"{missing}: cannot be read: No such file or directory"),
            ({"crl": missing}, f"{missing}: cannot be read: No such file or directory"),
            ({"crl": self.ca}, f"{self.ca}: no PEM certificate revocation list"),
            ({"ca": missing}, f"{missing}: cannot be read: No such file or directory"),
            ({"certificate": str(self.folder)}, f"{self.folder}: cannot be read: Is a directory"),
            ({"certificate": str(empty)}, f"{empty}: no PEM certificate"),
            ({"certificate": str(truncated)}, f"{truncated}: no PEM certificate"),
            ({"certificate": self.main[1]}, f"{self.main[1]}: no PEM certificate"),
            ({"private_key": self.main[0]}, f"{self.main[0]}: no PEM private key"),
            ({"private_key": str(secret)}, f"{secret}: the private key is encrypted"),
            ({"private_key": other[1]}, f"{other[1]}: is not the key of {self.main[0]}"),
            ({"private_key": None}, "certificate and private_key go together"),
            ({"certificate": None}, "certificate and private_key go together"),
            ({"verify_client": True, "ca": None}, "verify_client needs ca"),
            ({"names": [TLSName("a.test", other[0], self.main[1])]}, "is not the key of"),
            ({"names": [TLSName("a" * 70 + ".test", *other)]}, "not a host name"),
            (
                {"certificate": None, "private_key": None, "names": [TLSName("a.test", *other)]},
                "[[tls.name]] needs a certificate",
            ),
        ):
            error = self.assertRaises(TLSFileError, TLSContexts, self.settings(**change))
            self.assertIn(said, str(error))
            self.assertNotIn("\n", str(error))
