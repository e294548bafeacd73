"""TLS: phones that must show a certificate, one certificate a name, new certificates without a restart."""

from __future__ import annotations

import re
from pathlib import Path

from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.pjsip import PJSIP
from rvoip.test.interop.processes import peer, run
from rvoip.test.interop.roles import DOMAIN, Role
from rvoip.testing.certificates import Authority


class CertificateTests(InteropTestCase):
    """What is shown, and what is asked for."""

    def shown(self, role: Role, name: str, *options: str) -> str:
        """Subject and verdict that `openssl s_client` has of the certificate for a server name."""
        done = run(
            [peer("openssl"), "s_client", "-connect", role.tls_address, "-servername", name, *options],
            self.folder,
        )
        subject = re.search(r"^subject=(.*)$", done.stdout, re.M)
        verdict = re.search(r"^Verif(?:y return code|ication)[^:]*: *(\d+|OK|error)", done.stdout, re.M)
        return f"{subject[1] if subject else '-'} {verdict[1] if verdict else '-'}"

    def test_clients_must_show_one(self) -> None:
        """With `verify_client` a phone without a certificate, or with a strange one, does not register."""
        role = self.role(tls='ca = "ca.pem"\nverify_client = true')
        good = role.authority.issue(f"sip:alice@{DOMAIN}").write(self.folder, "good")
        strange = Authority().issue(f"sip:alice@{DOMAIN}").write(self.folder, "strange")
        for name, shown in ("without", ("", "")), ("strange", strange):
            phone = PJSIP(
                self.folder,
                self.host(),
                "alice",
                role.uri("tls"),
                transport="tls",
                ca=role.ca,
                certificate=shown,
                name=name,
            )
            self.addCleanup(phone.close)
            self.assertNotEqual(phone.wait("registration")["status"], 200)
            self.assertEqual(phone.received("^SIP/2.0 "), [])
            self.assertEqual(role.bindings("alice"), [])
        alice = self.pjsip(role, "alice", "tls", certificate=good)
        bob = self.baresip(role, "bob")
        self.assertEqual(len(role.bindings("alice")), 1)
        bob.call(f"sip:alice@{DOMAIN}")
        alice.rings()
        alice.answer()
        bob.talks()
        bob.hang_up()
        alice.hung_up()

    def test_a_revoked_one(self) -> None:
        """[tls] crl, read again with SIGHUP: a phone whose certificate was stolen does not get in."""
        crl = self.folder / "crl.pem"
        authority = Authority()
        crl.write_bytes(authority.revoke())
        ca = self.folder / "clients.pem"
        ca.write_bytes(authority.certificate_pem)
        role = self.role(tls=f'ca = "{ca}"\nverify_client = true\ncrl = "{crl}"')
        issued = authority.issue(f"sip:alice@{DOMAIN}")
        shown = issued.write(self.folder, "client")

        def registers(name: str) -> bool:
            phone = PJSIP(
                self.folder,
                self.host(),
                "alice",
                role.uri("tls"),
                transport="tls",
                ca=role.ca,
                certificate=shown,
                name=name,
            )
            self.addCleanup(phone.close)
            status: int = phone.wait("registration")["status"]
            phone.close()
            return status == 200

        self.assertTrue(registers("before"))
        crl.write_bytes(authority.revoke(issued))
        role.reload()
        self.assertFalse(registers("after"))

    def test_server_names(self) -> None:
        """[[tls.name]]: a client that asks for another name is shown its certificate."""
        other = Authority("other authority")
        certificate, key = other.issue("other.test").write(self.folder, "other")
        anchor = self.folder / "other-ca.pem"
        anchor.write_bytes(other.certificate_pem)
        role = self.role(
            tls=f'[[tls.name]]\nname = "other.test"\ncertificate = "{certificate}"\nprivate_key = "{key}"'
        )
        self.assertEqual(self.shown(role, "other.test", "-CAfile", str(anchor)), "CN = other.test OK")
        self.assertEqual(self.shown(role, DOMAIN, "-CAfile", str(role.ca)), f"CN = {DOMAIN} OK")
        self.assertEqual(self.shown(role, "third.test", "-CAfile", str(role.ca)), f"CN = {DOMAIN} OK")

    def test_reload(self) -> None:
        """SIGHUP: new connections see the new certificate, and a call over an old one goes on."""
        role = self.role()
        alice, bob = self.pjsip(role, "alice", "tls"), self.baresip(role, "bob", "tls")
        alice.call(f"sip:bob@{DOMAIN}")
        bob.rings()
        bob.answer()
        alice.talks()
        bob.talks()
        before = self.shown(role, DOMAIN)
        self.assertTrue(before.startswith(f"CN = {DOMAIN} "), before)
        role.authority.issue(DOMAIN, role.host, common_name="renewed").write(role.folder)
        self.assertEqual(self.shown(role, DOMAIN), before)
        role.reload()
        self.assertTrue(self.shown(role, DOMAIN).startswith("CN = renewed "))
        alice.hold()
        bob.receives(r"^INVITE [^\0]*^a=sendonly")
        bob.hang_up()
        alice.hung_up()
        carol = self.pjsip(role, "carol", "tls")
        self.assertTrue(carol.received("^SIP/2.0 200 "))

    def test_reload_of_a_broken_file(self) -> None:
        """A certificate that cannot be read is refused, and the old one stays."""
        role = self.role()
        before = self.shown(role, DOMAIN)
        Path(role.folder / "server.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n")
        mark = role.process.mark
        role.hang_up()
        line = role.process.wait_for("^.*Configuration not reloaded.*$", after=mark)[0]
        self.assertIn("server.pem", line)
        self.assertEqual(self.shown(role, DOMAIN), before)
        self.pjsip(role, "alice", "tls")
        role.expected.append("Configuration not reloaded")
