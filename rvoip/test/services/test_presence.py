"""Presence in a running role: who may watch whom, what is published, what goes to the phones."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import fail

from rvoip.common.errors import ConfigError
from rvoip.protocols.sip.message import Request
from rvoip.test.services.watching import PIDF, WatchingCase, pidf
from rvoip.testing.phone import Phone
from rvoip.users.errors import StoreError


class PublishTests(WatchingCase):
    """RFC 3903 by way of the wire."""

    def test_watch_and_publish(self) -> None:
        self.start()
        alice, bob = self.phones("alice", "bob")
        watched = self.watch(alice)
        self.assertEqual(watched.response.status, 200)
        self.assertEqual(watched.response.get("expires"), "600")
        self.assertIn("presence.winfo", watched.response.get("allow-events") or "")
        self.assertEqual(watched.states, ["active"])
        self.assertIn("closed", watched.bodies[0])
        first = self.publish(bob, pidf(note="at work"))
        self.assertEqual(first.status, 200)
        self.assertIn("at work", watched.bodies[-1])
        etag = first.get("sip-etag") or ""
        second = self.publish(bob, pidf(note="at home"), etag)
        self.assertIn("at home", watched.bodies[-1])
        count = len(watched.bodies)
        self.assertEqual(self.publish(bob, b"", etag).status, 412)
        third = self.publish(bob, b"", second.get("sip-etag") or "")
        self.assertEqual((third.status, len(watched.bodies)), (200, count), "a refresh says nothing new")
        gone = self.publish(bob, b"", third.get("sip-etag") or "", expires=0)
        self.assertEqual((gone.status, gone.get("expires")), (200, "0"))
        self.assertIn("closed", watched.bodies[-1])
        self.assertEqual(self.service.requests.published, {200: 4, 412: 1})

    def test_it_expires(self) -> None:
        self.start()
        alice, bob = self.phones("alice", "bob")
        watched = self.watch(alice)
        self.publish(bob, pidf(), expires=60)
        self.assertIn("open", watched.bodies[-1])
        self.reactor.advance(62.0)
        self.assertIn("closed", watched.bodies[-1])

    def test_refused(self) -> None:
        self.start("max_body = 500\nmin_expires = 120")
        alice, bob = self.phones("alice", "bob")
        self.assertEqual(self.publish(alice, pidf(), uri="sip:bob@example.test").status, 403)
        self.assertEqual(self.publish(bob, pidf(), expires=30).status, 423)
        self.assertEqual(self.publish(bob, pidf(note="x" * 500)).status, 413)
        self.assertEqual(self.publish(bob, b"<presence").status, 400)
        self.assertEqual(self.publish(bob, b"x", content_type="text/plain").status, 415)
        self.assertEqual(self.publish(bob).status, 400)
        bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><presence>&b;</presence>'
        self.assertEqual(self.publish(bob, bomb).status, 400)

    def test_too_often(self) -> None:
        self.start("publish_rate = 0.1")
        (bob,) = self.phones("bob")
        statuses = set()
        for _ in range(30):
            response = self.wait(
                bob.request("PUBLISH", "sip:bob@example.test", [("Event", "presence")], pidf(), PIDF)
            )
            statuses.add(response.status)
        self.assertEqual(statuses, {200, 403, 503})

    def test_over_a_restart(self) -> None:
        store = f"sqlite:{self.folder}/presence.db"
        role = self.start(store=store)
        (bob,) = self.phones("bob")
        etag = self.publish(bob, pidf(note="at sea"), expires=600).get("sip-etag") or ""
        self.reactor.result_of(role.stopService())
        self.reactor.advance(100.0)
        self.role = self.begin(self.make(f"[registrar]\n[presence]\nstore = '{store}'\n"))
        bob, alice = self.phones("bob", "alice")
        self.assertIn("at sea", self.watch(alice).bodies[-1])
        self.assertEqual(self.publish(bob, b"", etag).status, 200)


class SubscribeTests(WatchingCase):
    """Who gets in, and for how long."""

    def test_whom_a_proxy_asks(self) -> None:
        self.start()
        alice, _ = self.phones("alice", "bob")
        self.watch(alice)
        self.assertTrue(alice.received(407))
        self.assertFalse([one for one in alice.received(401) if "SUBSCRIBE" in (one.get("cseq") or "")])

    def test_whom_a_registrar_asks(self) -> None:
        self.start(name="registrar")
        alice, bob = self.phones("alice", "bob")
        watched = self.watch(alice)
        self.assertFalse(alice.received(407))
        self.assertTrue([one for one in alice.received(401) if "SUBSCRIBE" in (one.get("cseq") or "")])
        self.assertEqual(self.publish(bob, pidf()).status, 200)
        self.assertIn("open", watched.bodies[-1])
        unknown = self.watch(alice, package="conference").response
        self.assertEqual(unknown.status, 489)
        self.assertIn("dialog", unknown.get("allow-events") or "")
        self.assertEqual(self.watch(alice, "sip:nobody@example.test").response.status, 404)
        options = self.wait(alice.options())
        self.assertIn("PUBLISH", options.get("allow") or "")
        self.assertIn("presence", options.get("allow-events") or "")

    def test_somebody_else_s_name(self) -> None:
        self.start()
        mallory = self.phone("carol@example.test", "127.0.64.40")
        mallory.aor = "alice@example.test"
        self.assertEqual(self.watch(mallory).response.status, 403)

    def test_wrong_password(self) -> None:
        self.start()
        thief = Phone(
            self.reactor,
            "alice@example.test",
            host="127.0.64.41",
            server=("127.0.64.20", 5060),
            password="no",
        ).open()
        self.addCleanup(lambda: self.reactor.result_of(thief.close()))
        self.assertEqual(self.watch(thief).response.status, 407)
        self.assertEqual(len(self.service.server), 0)

    def test_where_nobody_is_asked(self) -> None:
        """As in the registrar; NOTIFYs go to where the SUBSCRIBE came from."""
        self.role = self.run_role("[registrar]\nauthenticate = false\n[presence]\n")
        alice, bob = self.phones("alice", "bob")
        watched = self.watch(alice)
        self.assertEqual(self.publish(bob, pidf()).status, 200)
        self.assertIn("open", watched.bodies[-1])
        self.assertEqual(self.publish(bob, pidf(), uri="sip:alice@example.test").status, 403)
        self.assertFalse([*alice.received(407), *bob.received(407)])

    def test_accounts_that_cannot_be_read(self) -> None:
        self.start()
        (alice,) = self.phones("alice")
        self.patch(self.role.accounts, "exists", lambda aor: fail(StoreError("it is gone")))
        self.assertEqual(self.watch(alice).response.status, 503)

    def test_refresh_and_end(self) -> None:
        self.start()
        alice, _ = self.phones("alice", "bob")
        watched = self.watch(alice)
        self.reactor.advance(300.0)
        self.assertEqual(watched.send(900).get("expires"), "900")
        self.reactor.advance(700.0)
        self.assertEqual(len(self.service.server), 1)
        self.assertEqual(watched.send(0).status, 200)
        self.reactor.advance(2.0)
        self.assertEqual(watched.states[-1], "terminated;reason=timeout")
        self.assertEqual(len(self.service.server), 0)
        self.assertEqual(watched.send(600).status, 481)

    def test_it_expires(self) -> None:
        self.start()
        alice, _ = self.phones("alice", "bob")
        watched = self.watch(alice, expires=60)
        self.reactor.advance(70.0)
        self.assertEqual(watched.states, ["active", "terminated;reason=timeout"])

    def test_a_watcher_that_is_gone(self) -> None:
        self.start()
        alice, bob = self.phones("alice", "bob")
        self.watch(alice)
        self.reactor.result_of(alice.close())
        self.publish(bob, pidf())
        self.reactor.advance(40.0)
        self.assertEqual(len(self.service.server), 0)

    def test_limits(self) -> None:
        self.start("max_watchers = 2\nmax_watched = 3\nmax_subscriptions = 5\nsubscribe_rate = 0")
        alice, _, carol = self.phones("alice", "bob", "carol")
        self.assertEqual([self.watch(alice).response.status for _ in range(3)], [200, 200, 503])
        one = self.watch(alice, "sip:carol@example.test")
        self.assertEqual(one.response.status, 200)
        refused = self.watch(alice, "sip:alice@example.test").response
        self.assertEqual((refused.status, refused.reason), (503, "Too Many Subscriptions"))
        one.send(0)
        self.reactor.advance(1.0)
        self.assertEqual(self.watch(alice, "sip:alice@example.test").response.status, 200)
        for uri, status in (("carol", 200), ("alice", 200), ("carol", 503)):
            self.assertEqual(self.watch(carol, f"sip:{uri}@example.test").response.status, status)

    def test_too_fast(self) -> None:
        self.start("subscribe_rate = 1.0\nmax_watchers = 500")
        (alice,) = self.phones("alice")
        statuses = [
            self.watch(alice, "sip:alice@example.test", expires=0).response.status for _ in range(115)
        ]
        self.assertEqual((statuses[0], statuses[-1]), (200, 503))

    def test_by_a_stream(self) -> None:
        """A phone that connects is told by its connection, and by the next one when that broke."""
        self.start()
        (bob,) = self.phones("bob")
        alice = self.phone("alice@example.test", "127.0.64.50", transport="TCP")
        self.wait(alice.register())
        watched = self.watch(alice)
        self.assertEqual(watched.states, ["active"])
        etag = self.publish(bob, pidf()).get("sip-etag") or ""
        self.assertIn("open", watched.bodies[-1])
        self.reactor.result_of(alice.close())
        alice.open()
        self.assertEqual(watched.send(600).status, 200)
        self.publish(bob, b"", etag, expires=0)
        self.assertIn("closed", watched.bodies[-1])


class PolicyTests(WatchingCase):
    """Rules, and what a watcher of each kind sees."""

    RULES = """
[[presence.rule]]
user = "bob"
watcher = "alice@example.test"
decision = "{}"
"""

    def use(self, decision: str) -> None:
        """Read another rule, as SIGHUP does."""
        path = Path(str(self.role.path))
        text = path.read_text(encoding="utf-8").partition("\n[[presence.rule]]")[0]
        path.write_text(text + (self.RULES.format(decision) if decision else ""), encoding="utf-8")
        self.role.reload()
        self.reactor.advance(2.0)

    def test_rules_are_read_again(self) -> None:
        self.start(self.RULES.format("deny"))
        alice, bob = self.phones("alice", "bob")
        self.publish(bob, pidf())
        self.assertEqual(self.watch(alice).response.status, 403)
        self.use("confirm")
        watched = self.watch(alice)
        self.assertEqual(watched.states, ["pending"])
        self.assertNotIn("open", watched.bodies[-1])
        self.use("allow")
        self.assertEqual(watched.states[-1], "active")
        self.assertIn("open", watched.bodies[-1])
        self.use("polite")
        self.assertEqual(watched.states[-1], "active")
        self.assertNotIn("open", watched.bodies[-1])
        self.use("")
        self.assertIn("open", watched.bodies[-1])
        self.use("deny")
        self.assertEqual(watched.states[-1], "terminated;reason=rejected")

    def test_watcher_information(self) -> None:
        self.start(self.RULES.format("confirm"))
        alice, bob = self.phones("alice", "bob")
        info = self.watch(bob, package="presence.winfo")
        self.assertEqual(self.watch(alice, package="presence.winfo").response.status, 403)
        watched = self.watch(alice)
        self.reactor.advance(2.0)
        self.assertIn('status="pending"', info.bodies[-1])
        self.assertIn("sip:alice@example.test", info.bodies[-1])
        self.use("allow")
        self.assertIn('event="approved"', info.bodies[-1])
        watched.send(0)
        self.reactor.advance(2.0)
        self.assertIn('status="terminated"', info.bodies[-1])

    def test_another_default(self) -> None:
        self.start("policy = 'confirm'")
        alice, bob = self.phones("alice", "bob")
        self.assertEqual(self.watch(alice).states, ["pending"])
        self.assertEqual(self.watch(bob).states, ["active"], "oneself")

    def test_a_broken_rule(self) -> None:
        for text, key in (
            ("[[presence.rule]]\nuser = 'x@else.test'\nwatcher = '*'\ndecision = 'deny'\n", "rule[0].user"),
            ("[[presence.rule]]\nuser = 'bob'\nwatcher = 'sip:'\ndecision = 'deny'\n", "rule[0].watcher"),
            (2 * "[[presence.rule]]\nuser = 'bob'\nwatcher = '*'\ndecision = 'deny'\n", "rule[1]"),
            ("[[presence.list]]\nname = 'a b'\nowner = 'bob'\nmembers = []\n", "list[0].name"),
            (
                "max_members = 1\n[[presence.list]]\nname = 'x'\nowner = 'bob'\nmembers = ['a', 'b']\n",
                "members",
            ),
            (2 * "[[presence.list]]\nname = 'x'\nowner = 'bob'\nmembers = []\n", "list[1].name"),
            ("store = 'redis://x'\n", "presence.store"),
            ("store = 'sqlite:users.db'\n", "presence.store"),
            ("min_expires = 100\nmax_expires = 99\n", "presence.min_expires"),
            ("default_expires = 59\n", "presence.default_expires"),
        ):
            error = self.assertRaises(ConfigError, self.make, f"[registrar]\n[presence]\n{text}")
            self.assertIn(key, str(error))
        self.assertRaises(ConfigError, self.make, "[presence]\n", registrar=False)

    def test_a_list(self) -> None:
        self.start(
            "[[presence.list]]\nname = 'team'\nowner = 'alice'\nmembers = ['bob', 'carol', 'nobody']\n"
        )
        alice, bob = self.phones("alice", "bob")
        team = "sip:team@example.test"
        self.assertEqual(self.watch(alice, team).response.status, 421)
        extended = [
            ("Supported", "eventlist"),
            ("Accept", f"{PIDF}, application/rlmi+xml, multipart/related"),
        ]
        self.assertEqual(self.watch(bob, team, headers=extended).response.status, 403)
        watched = self.watch(alice, team, headers=extended)
        self.assertEqual(watched.response.get("require"), "eventlist")
        self.assertEqual(watched.notifies[0].get("require"), "eventlist")
        self.assertIn("multipart/related", watched.notifies[0].get("content-type") or "")
        self.assertIn("noresource", watched.bodies[0])
        self.publish(bob, pidf(note="in a meeting"))
        self.assertIn("in a meeting", watched.bodies[-1])
        path = Path(str(self.role.path))
        path.write_text(path.read_text(encoding="utf-8").partition("[[presence.list]]")[0], encoding="utf-8")
        self.role.reload()
        self.reactor.advance(2.0)
        self.assertEqual(watched.states[-1], "terminated;reason=noresource")


class ElsewhereTests(WatchingCase):
    """What is not for the server."""

    def subscribed(self, phone: Phone) -> list[Request]:
        return [one for one in phone.received("SUBSCRIBE") if isinstance(one, Request)]

    def test_a_package_of_the_phone_s_own(self) -> None:
        self.start()
        alice, bob = self.phones("alice", "bob")
        self.assertEqual(self.watch(alice, package="conference").response.status, 501)
        self.assertEqual(len(self.subscribed(bob)), 1)

    def test_packages_that_are_left_out(self) -> None:
        self.start("packages = ['presence']")
        alice, bob = self.phones("alice", "bob")
        self.watch(alice, package="dialog")
        self.assertEqual(len(self.subscribed(bob)), 1)
        self.watch(alice)
        self.assertEqual(len(self.subscribed(bob)), 1)

    def test_a_stranger_s_user_and_a_gruu(self) -> None:
        self.start()
        (alice,) = self.phones("alice")
        self.assertEqual(self.watch(alice, "sip:nobody@example.test").response.status, 404)
        self.watch(alice, "sip:bob@example.test;gr=urn:uuid:1")
        self.assertEqual(len(self.service.server), 0)

    def test_a_subscription_of_before(self) -> None:
        """Whoever refreshes one that a restart has ended hears at once that there is none."""
        role = self.start()
        alice, _ = self.phones("alice", "bob")
        watched = self.watch(alice)
        self.reactor.result_of(role.stopService())
        self.role = self.begin(self.make("[registrar]\n[presence]\n"))
        self.assertEqual(watched.send(600).status, 481)

    def test_a_drain(self) -> None:
        role = self.start()
        alice, _ = self.phones("alice", "bob")
        watched = self.watch(alice)
        done = role.drain()
        self.reactor.advance(0.2)
        self.reactor.result_of(done)
        self.assertEqual(watched.states[-1], "terminated;reason=deactivated")
        self.assertEqual(len(self.service.server), 0)

    def test_a_drain_of_many(self) -> None:
        """They are told some at a time, and the end waits for all of them."""
        role = self.start("max_watchers = 500\nsubscribe_rate = 0")
        alice, _ = self.phones("alice", "bob")
        watched = [self.watch(alice) for _ in range(120)]
        done = role.drain()
        self.assertTrue(role.is_leaving)
        self.reactor.result_of(done)
        self.assertFalse(role.is_leaving)
        self.assertEqual({one.states[-1] for one in watched}, {"terminated;reason=deactivated"})

    def test_a_notify_that_nobody_asked_for(self) -> None:
        """Of a trusted voice mail server it is noted, and goes on; of others it only goes on."""
        self.start(more="[guard]\ntrusted = ['127.0.64.31']")
        alice, mail, mallory = self.phones("alice", "bob", "carol")
        watched = self.watch(alice, "sip:alice@example.test", "message-summary")
        self.assertIn("Messages-Waiting: no", watched.bodies[-1])
        for phone, count in ((mallory, 9), (mail, 2)):
            body = f"Messages-Waiting: yes\r\nVoice-Message: {count}/0\r\n".encode()
            headers = [("Event", "message-summary"), ("Subscription-State", "active")]
            asked = phone.request(
                "NOTIFY", "sip:alice@example.test", headers, body, "application/simple-message-summary"
            )
            self.assertEqual(self.wait(asked).status, 200)
            self.reactor.advance(2.0)
            self.assertEqual("Voice-Message: 2/0" in watched.bodies[-1], phone is mail)
            self.assertNotIn("9/0", watched.bodies[-1])
        self.assertEqual(
            self.watch(mallory, "sip:alice@example.test", "message-summary").response.status, 403
        )

    def test_registrations(self) -> None:
        self.start()
        (alice,) = self.phones("alice")
        watched = self.watch(alice, "sip:alice@example.test", "reg")
        self.assertIn(alice.contact, watched.bodies[-1])
        self.reactor.advance(2.0)
        self.wait(alice.unregister())
        self.reactor.advance(2.0)
        self.assertIn('event="unregistered"', watched.bodies[-1])
