"""SIGTERM while phones talk, and SIGHUP: what is under way is finished."""

from __future__ import annotations

import signal

from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.roles import DOMAIN

BOB = f"sip:bob@{DOMAIN}"


class DrainTests(InteropTestCase):
    """SIGTERM."""

    def test_ringing_call_is_finished(self) -> None:
        """A call that rings can still be answered and goes on; a new one is refused with 503."""
        role = self.role(tables={"service": "drain_max = 20"}, sip="t1 = 0.05")
        alice, bob, carol = (
            self.baresip(role, "alice"),
            self.pjsip(role, "bob", "tls"),
            self.baresip(role, "carol"),
        )
        alice.call(BOB)
        bob.rings()
        alice.receives("^SIP/2.0 180")
        role.process.signal(signal.SIGTERM)
        role.said("Draining")
        carol.call(BOB)
        carol.failed(503)
        self.assertRegex(carol.receives("^SIP/2.0 503 "), r"(?m)^Retry-After: \d+")
        bob.answer()
        alice.talks()
        bob.talks()
        alice.hears()
        self.assertIsNone(role.process.ended)
        bob.hang_up()
        role.said("call hung up by ")
        self.assertIn(role.process.wait(), (-signal.SIGTERM, 128 + signal.SIGTERM))

    def test_second_signal_ends_at_once(self) -> None:
        """Even while a call rings."""
        role = self.role(tables={"service": "drain_max = 60"})
        alice, bob = self.baresip(role, "alice"), self.baresip(role, "bob")
        alice.call(BOB)
        bob.rings()
        role.process.signal(signal.SIGTERM)
        role.said("Draining")
        self.assertIsNone(role.process.ended)
        role.process.signal(signal.SIGTERM)
        self.assertIn(role.process.wait(5), (-signal.SIGTERM, 128 + signal.SIGTERM))


class ReloadTests(InteropTestCase):
    """SIGHUP."""

    def test_new_rules_under_a_call(self) -> None:
        """Rules change at once, and a call goes on."""
        role = self.role()
        alice, bob = self.baresip(role, "alice"), self.baresip(role, "bob", "tcp")
        alice.call(BOB)
        bob.rings()
        bob.answer()
        alice.talks()
        bob.talks()
        text = role.config.read_text()
        role.config.write_text(text.replace("[registrar]\n", "[registrar]\nmax_expires = 100\n"))
        role.reload()
        carol = self.baresip(role, "carol")
        (binding,) = role.bindings("carol")
        self.assertLessEqual(binding["expires"], 100)
        alice.hold()
        bob.receives(r"^INVITE [^\0]*^a=sendonly")
        bob.hang_up()
        alice.hung_up()
        role.config.write_text(text.replace("[registrar]\n", "[registrar]\nmax_expire = 200\n"))
        mark = role.process.mark
        role.hang_up()
        line = role.process.wait_for("^.*Configuration not reloaded.*$", after=mark)[0]
        self.assertIn("max_expires", line)
        role.expected.append("Configuration not reloaded")
        carol.quit()
        self.assertEqual(role.wait_for_bindings("carol", 0), [])
