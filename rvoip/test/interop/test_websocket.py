"""SIP over WebSocket (RFC 7118) with JsSIP: among browsers, and between those and phones."""

from __future__ import annotations

import signal
from typing import Any

from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.case import HOST, InteropTestCase
from rvoip.test.interop.jssip import JsSIP
from rvoip.test.interop.roles import DOMAIN, Role

SITE = "https://app.example.test"


class WebSocketTests(InteropTestCase):
    """A role with both kinds of WebSocket, which lets the pages of one site in."""

    def websocket_role(self, sip: str = f'ws_origins = ["{SITE}"]') -> Role:
        """Start it."""
        self.ports = {"ws": free_port(HOST), "wss": free_port(HOST)}
        listen = [f"{scheme}:{HOST}:{port}" for scheme, port in self.ports.items()]
        return self.role(sip=sip, listen=listen)

    def browser(
        self, role: Role, user: str, scheme: str = "ws", registers: bool = True, **options: Any
    ) -> JsSIP:
        """A phone in a page of the site."""
        phone = JsSIP(
            self.folder,
            self.host(),
            user,
            f"{scheme}://{HOST}:{self.ports[scheme]}/",
            ca=role.ca if scheme == "wss" else None,
            **{"origin": SITE, **options},
        )
        self.addCleanup(phone.close)
        if registers:
            phone.registered()
        return phone

    def test_between_browsers(self) -> None:
        """Digest, a call with hold, a message, and the end from the side that was called; by both schemes."""
        role = self.websocket_role()
        alice, bob = self.browser(role, "alice"), self.browser(role, "bob", "wss")
        for user, token in (("alice", "ws/"), ("bob", "wss/")):
            (binding,) = role.bindings(user)
            self.assertRegex(binding["contact"], r"^sip:[^@]+@[a-z0-9]+\.invalid;transport=ws$")
            self.assertTrue(binding["received"].startswith(token), binding)
        alice.call(f"sip:bob@{DOMAIN}")
        call_id = bob.rings()
        alice.wait("call", state="ringing", by="remote")
        bob.answer()
        self.assertIn("a=fingerprint:", alice.talks())
        bob.talks()
        bob.do("hold")
        alice.wait("call", state="held", by="remote")
        alice.do("message", uri=f"sip:bob@{DOMAIN}", text="grüße")
        bob.wait("message", text="grüße")
        alice.wait("sent", status=200)
        bob.hang_up()
        alice.hung_up()
        ways = {(one["direction"], one["transport"]) for one in role.ladder(call_id)}
        self.assertEqual(ways, {("in", "WS"), ("out", "WS"), ("in", "WSS"), ("out", "WSS")})

    def test_busy_and_given_up(self) -> None:
        role = self.websocket_role()
        alice, bob = self.browser(role, "alice"), self.browser(role, "bob")
        alice.call(f"sip:bob@{DOMAIN}")
        bob.rings()
        bob.refuse()
        self.assertEqual(alice.failed(), 486)
        bob.call(f"sip:alice@{DOMAIN}")
        alice.wait("call", state="incoming")
        bob.wait("call", state="ringing", by="remote")
        bob.hang_up()
        alice.wait("call", state="failed", by="remote", cause="Canceled")

    def test_to_phones_and_back(self) -> None:
        """Calls to UDP and from TLS, each ended by the other side."""
        role = self.websocket_role()
        alice = self.browser(role, "alice", plain=True)
        phones = self.baresip(role, "bob"), self.baresip(role, "carol", "tls")
        for count, (user, phone) in enumerate(zip(("bob", "carol"), phones, strict=True), 1):
            alice.call(f"sip:{user}@{DOMAIN}")
            phone.rings()
            phone.answer()
            alice.wait("call", count=2 * count - 1, state="confirmed")
            phone.hang_up()
            alice.wait("call", count=2 * count - 1, state="ended")
            phone.call(f"sip:alice@{DOMAIN}")
            alice.wait("call", count=count, state="incoming")
            alice.answer()
            alice.wait("call", count=2 * count, state="confirmed")
            alice.hang_up()
            alice.wait("call", count=2 * count, state="ended")
            phone.hung_up()

    def test_other_sites(self) -> None:
        """They are refused, until the configuration lets them in and is read again."""
        role = self.websocket_role()
        other = "https://other.example.test"
        refused = self.browser(role, "alice", registers=False, origin=other)
        self.assertEqual(refused.wait("socket", state="refused")["code"], 403)
        role.said("Refused .* over WS: no WebSocket: 403")
        text = role.config.read_text()
        role.config.write_text(text.replace(f'ws_origins = ["{SITE}"]', f'ws_origins = ["{other}"]'))
        role.reload()
        self.browser(role, "bob", origin=other)
        self.browser(role, "carol", origin="", name="no-browser")
        late = self.browser(role, "dave", registers=False)
        self.assertEqual(late.wait("socket", state="refused")["code"], 403)

    def test_a_connection_that_is_lost(self) -> None:
        """The caller is told at once; the page connects again and is called as before."""
        role = self.websocket_role()
        alice, bob = self.browser(role, "alice"), self.browser(role, "bob")
        bob.close()
        alice.call(f"sip:bob@{DOMAIN}")
        self.assertEqual(alice.failed(), 480)
        carol = self.browser(role, "carol")
        carol.do("drop")
        carol.wait("socket", state="open", count=2)
        carol.wait("registered", count=2)
        alice.call(f"sip:carol@{DOMAIN}")
        carol.rings()
        carol.answer()
        alice.talks()
        alice.hang_up()
        carol.hung_up()

    def test_the_server_stops(self) -> None:
        role = self.websocket_role()
        alice = self.browser(role, "alice")
        role.process.signal(signal.SIGTERM)
        closed = alice.wait("socket", state="closed")
        self.assertEqual((closed["code"], closed["reason"]), (1001, "stopped"))

    def test_wrong_password(self) -> None:
        role = self.websocket_role()
        alice = self.browser(role, "alice", registers=False, password="wrong")
        self.assertEqual(alice.wait("unregistered")["status"], 401)
        self.assertEqual(role.bindings("alice"), [])
