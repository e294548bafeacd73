"""Subscriptions with peers whose messages the test writes, wrong ones too (RFC 6665)."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.challenge import Credential
from rvoip.protocols.dialog.subscription import SubscriptionEnd
from rvoip.protocols.dialog.subscription_server import EventServer
from rvoip.protocols.sip.message import Request
from rvoip.test.protocols.dialog.agents import Peer, Stage
from rvoip.test.protocols.dialog.subscriptions import TEXT, Watching, Weather


class PeerTests(SynchronousTestCase):
    """What a peer writes by hand."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.peer = Peer(self.stage)
        self.agent = self.stage.alice.agent

    def watch(self, **more: Any) -> tuple[Watching, Request]:
        """A subscription of Alice's to the peer, and its SUBSCRIBE."""
        more.setdefault("accept", (TEXT,))
        made = Watching(self.agent, self.peer.uri, "weather", from_=f"<{self.stage.alice.uri}>", **more)
        made.start()
        self.stage.advance(0.1)
        asked = self.peer.one("SUBSCRIBE")
        return made, asked

    def notify(
        self,
        asked: Request,
        state: str = "active;expires=600",
        *,
        tag: str = "t1",
        cseq: int = 1,
        **more: Any,
    ) -> None:
        event = more.pop("event", "weather")
        extra = f"Event: {event}\r\n" if event else ""
        extra += f"Subscription-State: {state}\r\n" if state else ""
        self.peer.request(
            "NOTIFY",
            tag=tag,
            to_tag=asked.from_.tag or "",
            call_id=asked.call_id,
            cseq=cseq,
            extra=extra,
            **more,
        )

    def test_a_notify_before_the_2xx(self) -> None:
        watching, asked = self.watch()
        self.notify(asked, body=Body(b"early", TEXT))
        self.peer.one("200")
        self.assertEqual((watching.state, watching.events), ("Active", ["active early"]))
        self.peer.answer(asked, 200, extra="Expires: 100\r\n")
        self.stage.advance(50.1)
        again = self.peer.one("SUBSCRIBE")
        self.assertEqual((again.to.tag, again.cseq.number), ("t1", 2))
        self.assertEqual(again.call_id, asked.call_id)

    def test_no_notify(self) -> None:
        watching, asked = self.watch(again=False)
        self.peer.answer(asked, 200, extra="Expires: 3600\r\n")
        self.stage.advance(33)
        self.assertEqual(watching.ends, [(SubscriptionEnd("no NOTIFY", "later"), None)])
        self.notify(asked)
        self.peer.one("481")
        self.assertEqual(self.stage.leftovers(), [])

    def test_a_challenge(self) -> None:
        stage = self.stage = Stage(
            find_credential=lambda realm, host: Credential("alice", "secret", "test", frozenset((host,)))
        )
        self.peer = Peer(stage)
        self.agent = stage.alice.agent
        watching, asked = self.watch()
        challenge = 'WWW-Authenticate: Digest realm="test", nonce="n", algorithm=MD5\r\n'
        self.peer.answer(asked, 401, extra=challenge)
        again = self.peer.one("SUBSCRIBE")
        self.assertIn('username="alice"', again.get("authorization") or "")
        self.assertEqual(again.cseq.number, asked.cseq.number + 1)
        self.notify(again)
        self.peer.answer(again, 200, extra="Expires: 60\r\n")
        self.assertEqual(watching.state, "Active")
        self.stage.advance(30.1)
        self.assertEqual(self.peer.starts(), ["200 NOTIFY", "SUBSCRIBE"])

    def test_what_is_no_notify_of_it(self) -> None:
        watching, asked = self.watch()
        for event, state, status in (
            ("presence", "active", "489"),
            ("weather;id=3", "active", "489"),
            ("", "active", "489"),
            ("weather", "", "400"),
            ("weather", "active;expires=x", "400"),
        ):
            self.notify(asked, state, event=event, tag=f"t-{event}-{len(state)}".replace(";", "."))
            self.peer.one(status)
        self.assertEqual(watching.events, [])

    def test_a_body_that_nobody_asked_for(self) -> None:
        watching, asked = self.watch()
        self.notify(asked, body=Body(b"<html>", "text/html"))
        self.assertEqual(self.peer.one("415").get("accept"), TEXT)
        self.assertEqual(watching.events, [])

    def test_an_old_notify(self) -> None:
        watching, asked = self.watch()
        self.notify(asked, cseq=5, body=Body(b"new", TEXT))
        self.peer.one("200")
        self.notify(asked, cseq=4, body=Body(b"old", TEXT))
        self.peer.one("500")
        self.assertEqual(watching.events, ["active new"])

    def test_a_fork_is_turned_down(self) -> None:
        watching, asked = self.watch()
        self.notify(asked)
        self.peer.one("200")
        self.notify(asked, tag="t2")
        self.peer.one("481")
        self.assertEqual(watching.events, ["active"])

    def test_a_fork_is_taken(self) -> None:
        watching, asked = self.watch()
        watching.second = other = Watching(self.agent, self.peer.uri, "weather", from_="<sip:alice@10.0.0.1>")
        self.notify(asked)
        self.notify(asked, "active;expires=300", tag="t2", body=Body(b"two", TEXT))
        self.peer.answer(asked, 200, extra="Expires: 600\r\n")
        self.assertEqual(self.peer.starts(), ["200 NOTIFY"] * 2)
        self.assertEqual((watching.events, other.events), (["active"], ["active two"]))
        self.stage.advance(240.1)
        (again,) = self.peer.take()
        self.assertEqual((again.method, again.to.tag), ("SUBSCRIBE", "t2"))
        watching.second = None
        self.stage.advance(33)
        self.peer.take()
        watching.second = Watching(self.agent, self.peer.uri, "weather", from_="<sip:alice@10.0.0.1>")
        self.notify(asked, tag="t3")
        self.assertIn("481 NOTIFY", self.peer.starts(), "it is too late for a fork")

    def test_refusals(self) -> None:
        for status, retry in ((403, "never"), (489, "never"), (503, "later")):
            watching, asked = self.watch(again=False)
            self.peer.answer(asked, status, extra="Retry-After: 7\r\n")
            self.assertEqual(watching.ends, [(SubscriptionEnd("refused", retry, 7, status), None)])

    def test_a_423_without_end(self) -> None:
        watching, asked = self.watch(again=False, expires=60)
        rounds = 0
        while not watching.ends:
            rounds += 1
            self.peer.answer(asked, 423, extra=f"Min-Expires: {60 + rounds}\r\n")
            asked = (self.peer.take() or [asked])[-1]
        self.assertEqual(rounds, 4)

    def test_a_subscribe_that_is_wrong(self) -> None:
        server = EventServer(self.agent)
        server.add(Weather())
        for extra, status in (
            ("", "489"),
            ("Event: weather;\r\n", "489"),
            ("Event: weather\r\nExpires: 5\r\n", "423"),
            ("Event: weather\r\nAccept: text/html\r\n", "406"),
        ):
            self.peer.request("SUBSCRIBE", extra=extra)
            self.peer.one(status)
        self.peer.request("SUBSCRIBE", to_tag="unknown", extra="Event: weather\r\n")
        self.peer.one("481")
        self.assertEqual(len(server), 0)

    def test_a_watcher_by_hand(self) -> None:
        server = EventServer(self.agent)
        server.add(Weather())
        self.peer.request("SUBSCRIBE", call_id="w1", extra="Event: weather;id=7\r\nExpires: 600\r\n")
        accepted, notify = self.peer.take()
        self.assertEqual((accepted.status, notify.method), (200, "NOTIFY"))
        self.assertEqual(notify.get("event"), "weather;id=7")
        self.assertEqual(notify.to.tag, "t1")
        self.peer.answer(notify, 200)
        (found,) = server
        # Another Event in the same dialog is another subscription (RFC 6665 section 4.5.1).
        self.peer.within(found.dialog, "SUBSCRIBE", 2, extra="Event: weather;id=8\r\n")
        self.assertEqual(self.peer.starts(), ["200 SUBSCRIBE", "NOTIFY"])
        self.assertEqual(len(server), 2)
        self.peer.within(found.dialog, "SUBSCRIBE", 3, extra="Event: weather;id=7\r\nExpires: 0\r\n")
        last = [one for one in self.peer.take() if isinstance(one, Request)][-1]
        self.assertEqual(last.get("subscription-state"), "terminated;reason=timeout")
        self.peer.answer(last, 200)
        self.assertEqual([one.event.id for one in server], ["8"])
        self.peer.within(found.dialog, "SUBSCRIBE", 4, extra="Event: weather;id=8\r\nExpires: 5\r\n")
        self.assertIn("423 SUBSCRIBE", self.peer.starts())
        self.stage.advance(40)
        self.assertEqual(len(server), 0, "its NOTIFY was never answered")
        self.assertEqual(self.stage.leftovers(), [])

    def test_many_in_a_dialog(self) -> None:
        server = EventServer(self.agent)
        server.add(Weather())
        self.peer.request("SUBSCRIBE", extra="Event: weather\r\nExpires: 600\r\n")
        (found,) = server
        self.peer.take()
        for number in range(20):
            extra = f"Event: weather;id={number}\r\nExpires: 600\r\n"
            self.peer.within(found.dialog, "SUBSCRIBE", number + 2, extra=extra)
        answers = [one.status for one in self.peer.take() if not isinstance(one, Request)]
        self.assertEqual(answers, [200] * 15 + [503] * 5)
        self.assertEqual(len(server), 16)
        self.stage.advance(40)
        self.assertEqual(self.stage.leftovers(), [])

    def test_a_notify_that_is_answered_later(self) -> None:
        server = EventServer(self.agent)
        server.add(Weather())
        self.peer.request("SUBSCRIBE", extra="Event: weather\r\nExpires: 600\r\n")
        _, notify = self.peer.take()
        self.peer.answer(notify, 503, extra="Retry-After: 10\r\n")
        self.stage.advance(9)
        self.assertEqual(self.peer.starts(), [])
        self.stage.advance(1.1)
        again = self.peer.one("NOTIFY")
        self.peer.answer(again, 200)
        self.assertEqual(len(server), 1)
        (found,) = server
        found.stop()
        self.assertEqual(self.stage.leftovers(), [])

    def test_the_watcher_has_moved(self) -> None:
        """The 200 of a NOTIFY says where the next one goes: it refreshes the target."""
        server = EventServer(self.agent)
        server.add(Weather())
        self.peer.request("SUBSCRIBE", extra="Event: weather\r\nExpires: 600\r\n")
        _, notify = self.peer.take()
        self.assertEqual(notify.uri_text, self.peer.uri)
        self.peer.answer(notify, 200, contact="sip:moved@10.0.0.9")
        (found,) = server
        found.changed()
        self.stage.advance(0.1)
        self.assertEqual(self.peer.one("NOTIFY").uri_text, "sip:moved@10.0.0.9")
        found.stop()
