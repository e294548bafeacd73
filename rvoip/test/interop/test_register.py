"""Phones register: each transport, each digest algorithm; they refresh, unregister, and are refused."""

from __future__ import annotations

from rvoip.test.interop.addresses import address
from rvoip.test.interop.baresip import Baresip
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.pjsip import PJSIP
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN, Role

_ALL = "MD5", "SHA-256", "SHA-512-256"


class BaresipTests(InteropTestCase):
    """baresip, which knows MD5 only."""

    def registers(self, transport: str) -> None:
        """It registers with digest, can be seen, and unregisters when it ends."""
        role = self.role()
        phone = self.baresip(role, "alice", transport)
        (binding,) = role.bindings("alice")
        self.assertIn(phone.host, binding["contact"])
        self.assertEqual(transport == "udp", "transport=" not in binding["contact"])
        self.assertTrue(binding["user_agent"].startswith("baresip"), binding)
        self.assertEqual([binding["id"]], [listed["id"] for listed in role.listed("alice")])
        challenge, accepted = phone.received("^SIP/2.0 (401|200)")
        self.assertIn("algorithm=MD5", challenge)
        self.assertIn(
            f"expires={binding['expires']}", accepted.replace(f"expires={binding['expires'] + 1}", "")
        )
        phone.quit()
        self.assertEqual(role.wait_for_bindings("alice", 0), [])
        self.assertEqual(role.listed("alice"), [])
        role.said(f"registration removed: alice@{DOMAIN}")

    def test_udp(self) -> None:
        self.registers("udp")

    def test_tcp(self) -> None:
        self.registers("tcp")

    def test_tls(self) -> None:
        self.registers("tls")

    def test_wrong_password(self) -> None:
        """A wrong password is refused, and leaves no binding."""
        role = self.role()
        phone = Baresip(
            self.folder, self.host(), f"alice@{DOMAIN}", outbound=role.uri(), password="of somebody else"
        )
        self.addCleanup(phone.close)
        phone.process.wait_for("alice.* 40[13] ")
        self.assertTrue(phone.sent("Authorization: Digest"))
        self.assertEqual(phone.received("^SIP/2.0 200"), [])
        self.assertEqual(role.bindings("alice"), [])
        self.assertEqual(role.listed("alice"), [])

    def test_address_in_place_of_the_domain(self) -> None:
        """An account at the server's address and port is one of its first domain."""
        role = self.role()
        phone = Baresip(self.folder, self.host(), f"alice@{role.address}")
        self.addCleanup(phone.close)
        phone.registered()
        self.assertIn(f"<sip:alice@{role.address}>", phone.sent("^REGISTER")[0])
        (binding,) = role.bindings("alice")
        self.assertEqual(binding["aor"], f"alice@{DOMAIN}")

    def test_refresh(self) -> None:
        """A phone that asks for a short time registers again before it ends; its binding stays the same."""
        role = self.role(tables={"registrar": "min_expires = 2"})
        phone = self.baresip(role, "alice", account=";regint=4")
        (first,) = role.bindings("alice")
        later = until(lambda: [b for b in role.bindings("alice") if b["cseq"] > first["cseq"]], "a refresh")
        self.assertEqual([(b["id"], b["contact"]) for b in later], [(first["id"], first["contact"])])
        self.assertGreater(later[0]["updated"], first["updated"])
        self.assertEqual(phone.received("^SIP/2.0 423"), [])

    def test_interval_too_brief(self) -> None:
        """A time that is too short is answered 423 with Min-Expires, and registered for that long."""
        role = self.role(tables={"registrar": "min_expires = 120"})
        phone = Baresip(
            self.folder, self.host(), f"alice@{DOMAIN}", outbound=role.uri(), account=";regint=30"
        )
        self.addCleanup(phone.close)
        self.assertIn("Min-Expires: 120", phone.receives("^SIP/2.0 423"))
        self.assertEqual(role.bindings("alice"), [])


class PJSIPTests(InteropTestCase):
    """PJSIP, which takes the first algorithm that it knows: MD5 or SHA-256."""

    def registers(self, transport: str, taken: str, *algorithms: str) -> None:
        """It registers with one of the server's algorithms, and unregisters."""
        listed = ", ".join(f'"{algorithm}"' for algorithm in algorithms)
        role = self.role(tables={"auth": f"algorithms = [{listed}]"})
        phone = self.pjsip(role, "alice", transport)
        (binding,) = role.bindings("alice")
        self.assertIn("sip:alice@", binding["contact"])
        (authorized,) = phone.sent("^Authorization: Digest")
        self.assertIn(f"algorithm={taken},", authorized.replace('"', ""))
        self.assertEqual(
            len(phone.received("^SIP/2.0 401")[0].split("WWW-Authenticate")), len(algorithms) + 1
        )
        phone.do("unregister")
        phone.wait("registration", status=200, active=False)
        self.assertEqual(role.bindings("alice"), [])
        phone.do("register")
        phone.wait("registration", active=True, count=2)
        self.assertEqual(len(role.bindings("alice")), 1)

    def test_udp_md5(self) -> None:
        self.registers("udp", "MD5", *_ALL)

    def test_tcp_md5(self) -> None:
        self.registers("tcp", "MD5", *_ALL)

    def test_tls_md5(self) -> None:
        self.registers("tls", "MD5", *_ALL)

    def test_udp_sha_256(self) -> None:
        self.registers("udp", "SHA-256", "SHA-256")

    def test_tcp_sha_256(self) -> None:
        self.registers("tcp", "SHA-256", "SHA-256", "MD5")

    def test_tls_sha_256(self) -> None:
        self.registers("tls", "SHA-256", "SHA-256", "SHA-512-256", "MD5")

    def test_skips_unknown_algorithm(self) -> None:
        """A challenge of an algorithm that the phone does not know is passed over for the next one."""
        self.registers("udp", "SHA-256", "SHA-512-256", "SHA-256", "MD5")

    def test_wrong_password(self) -> None:
        """A wrong password is refused with either algorithm, and leaves no binding."""
        for algorithm in "MD5", "SHA-256":
            role = self.role(tables={"auth": f'algorithms = ["{algorithm}"]'}, name=algorithm)
            phone = PJSIP(
                self.folder, self.host(), "alice", role.uri(), password="no", name=f"phone-{algorithm}"
            )
            self.addCleanup(phone.close)
            self.assertIn(phone.wait("registration", active=False)["status"], (401, 403))
            self.assertTrue(phone.sent(f"Authorization: Digest.*{algorithm}"))
            self.assertEqual(role.bindings("alice"), [])
            phone.close()

    def test_unknown_user(self) -> None:
        """Somebody without an account is told the same as somebody with a wrong password."""
        role = self.role()
        answers = []
        for user in "alice", "nobody":
            phone = PJSIP(self.folder, self.host(), user, role.uri(), password="no")
            self.addCleanup(phone.close)
            phone.wait("registration", active=False)
            answers.append([answer.split("\n", 1)[0] for answer in phone.received("^SIP/2.0 ")])
            self.assertEqual(role.bindings(user), [])
        self.assertEqual(answers[0], answers[1])

    def test_untrusted_certificate(self) -> None:
        """A phone that does not know the authority of our certificate does not register."""
        role, other = self.role(), self.role(address(2), name="other")
        phone = PJSIP(self.folder, self.host(), "alice", role.uri("tls"), transport="tls", ca=other.ca)
        self.addCleanup(phone.close)
        self.assertNotEqual(phone.wait("registration")["status"], 200)
        self.assertEqual(role.bindings("alice"), [])


class RegistrarTests(InteropTestCase):
    """The registrar role alone."""

    def test_registers_and_no_more(self) -> None:
        """`rvoip-registrar` registers; a call to it is answered 405 with Allow."""
        role: Role = self.role(role="rvoip-registrar")
        phone = self.baresip(role, "alice")
        self.pjsip(role, "bob", "tls")
        self.assertEqual(len(role.bindings("alice")), 1)
        self.assertEqual(len(role.bindings("bob")), 1)
        phone.call(f"sip:bob@{DOMAIN}")
        phone.failed(405)
        self.assertRegex(phone.receives("^SIP/2.0 405"), "(?m)^Allow: .*REGISTER")
