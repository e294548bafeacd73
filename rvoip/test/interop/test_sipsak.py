"""sipsak: OPTIONS as a ping and a traceroute, registrations at an address. And OPTIONS by OpenSSL."""

from __future__ import annotations

import re

from rvoip.test.interop.addresses import address
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.processes import Process, peer, run
from rvoip.test.interop.roles import DOMAIN, Role
from rvoip.test.interop.sipsak import sipsak
from rvoip.testing.certificates import Authority


class PingTests(InteropTestCase):
    """OPTIONS."""

    def test_ping(self) -> None:
        """Each role answers OPTIONS to itself, over UDP and TCP."""
        for name in "rvoip-proxy", "rvoip-registrar":
            role = self.role(role=name)
            for transport in "udp", "tcp":
                done = sipsak(self.folder, "-vv", "-E", transport, "-s", f"sip:{role.address}")
                self.assertEqual(done.returncode, 0, done)
                self.assertIn("SIP/2.0 200 OK", done.stdout)
                self.assertRegex(done.stdout, "Allow: .*OPTIONS")
            role.stop()

    def test_traceroute(self) -> None:
        """`sipsak -T`: we are the first hop (483 to Max-Forwards 0), the phone is the second."""
        role = self.role()
        phone = self.baresip(role, "alice")
        done = sipsak(self.folder, "-T", "-s", f"sip:alice@{role.address}")
        self.assertEqual(done.returncode, 0, done)
        hops = re.findall(r"^(\d+): \S* ?\(.*?\) *(.*)$", done.stdout, re.M)
        self.assertEqual(done.stdout.count("SIP/2.0 483 "), 1, done.stdout)
        self.assertIn("SIP/2.0 200 OK", done.stdout)
        self.assertEqual(len(hops), 2, done.stdout)
        phone.receives("^OPTIONS ")

    def test_openssl(self) -> None:
        """OPTIONS over TLS by openssl s_client, which believes only our authority and asks for a name."""
        role = self.role()
        options = ["-servername", DOMAIN, "-verify_hostname", DOMAIN, "-CAfile", str(role.ca)]
        client = Process(
            "openssl",
            [peer("openssl"), "s_client", "-connect", role.tls_address, *options, "-verify_return_error"],
            self.folder,
            stdin=True,
        )
        self.addCleanup(client.kill)
        client.wait_for("Verify return code: 0 ")
        client.write(
            f"OPTIONS sip:{role.tls_address};transport=tls SIP/2.0\r\n"
            "Via: SIP/2.0/TLS 127.0.0.1:7000;branch=z9hG4bKopenssl;rport\r\n"
            f"From: <sip:ping@{DOMAIN}>;tag=1\r\nTo: <sip:{role.tls_address}>\r\n"
            "Call-ID: openssl\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r"
        )
        client.wait_for("^SIP/2.0 200 OK")
        other = self.folder / "other.pem"
        other.write_bytes(Authority().certificate_pem)
        for wrong in (["-CAfile", str(other)], ["-CAfile", str(role.ca), "-verify_hostname", "example.org"]):
            refused = run(
                [peer("openssl"), "s_client", "-connect", role.tls_address, *wrong, "-verify_return_error"],
                self.folder,
            )
            self.assertIn("verify error", refused.stderr + refused.stdout)
            self.assertNotEqual(refused.returncode, 0)


class UserLocationTests(InteropTestCase):
    """sipsak as a phone; it registers at the server's address and port, which stand for the first domain."""

    def registers(self, role: Role, user: str, *more: str, password: str = "") -> int:
        """Register once; returns the exit status."""
        uri = f"sip:{user}@{role.address}"
        done = sipsak(
            self.folder, "-U", "-i", "-x", "90", "-s", uri, "-u", user, "-a", password or f"pw-{user}", *more
        )
        return done.returncode

    def test_register(self) -> None:
        """Registered for the domain, with digest; a wrong password leaves nothing."""
        role = self.role(users=("alice", "bob"))
        for transport, user in ("udp", "alice"), ("tcp", "bob"):
            more = ["-E", transport, "-C", f"sip:{user}@{address(20)}:7000"]
            self.assertNotEqual(self.registers(role, user, *more, password="wrong"), 0)
            self.assertEqual(role.bindings(user), [])
            self.assertEqual(self.registers(role, user, *more), 0)
            (binding,) = role.listed(user)
            self.assertEqual(binding["aor"], f"{user}@{DOMAIN}")
            self.assertEqual(binding["contact"], f"sip:{user}@{address(20)}:7000")
            self.assertTrue(80 <= binding["expires"] <= 90, binding)
            self.assertEqual(self.registers(role, user, "-E", transport, "-C", "star", "-x", "0"), 0)
            self.assertEqual(role.bindings(user), [])

    def test_numeric_user(self) -> None:
        """Users that are telephone numbers."""
        users = "1001", "+4930123456"
        role = self.role(users=users)
        for user in users:
            self.assertEqual(self.registers(role, user), 0)
            (binding,) = role.listed(user)
            self.assertEqual(binding["aor"], f"{user}@{DOMAIN}")
