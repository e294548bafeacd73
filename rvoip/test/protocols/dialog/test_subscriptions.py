"""Subscriptions between two user agents on a simulated network, and with peers that err (RFC 6665)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.challenge import Credential
from rvoip.protocols.dialog.errors import Refused, WrongState
from rvoip.protocols.dialog.event_package import EventPackage
from rvoip.protocols.dialog.interfaces import IDialogUsage, IEventPackage
from rvoip.protocols.dialog.subscription import SubscriptionEnd
from rvoip.protocols.dialog.subscription_client import ClientSubscription
from rvoip.protocols.dialog.subscription_server import EventServer, ServerSubscription, rates
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.subscription_headers import SubscriptionState, parse_event
from rvoip.test.protocols.dialog.agents import Peer, Stage

TEXT = "text/plain"


class Weather(EventPackage):
    """What a test says."""

    name = "weather"
    accept = (TEXT,)
    min_expires = 60
    max_expires = 7200

    def __init__(self) -> None:
        self.now: dict[str, Any] = {}
        self.allowed: Any = True
        self.over: list[ServerSubscription] = []
        self.told: list[str] = []
        self.neutral: Body | None = None
        self.headers: tuple[tuple[str, str], ...] = ()

    def authorise(self, subscription: ServerSubscription) -> Any:
        subscription.headers = self.headers
        if isinstance(self.allowed, Exception):
            raise self.allowed
        return self.allowed

    def state(self, subscription: ServerSubscription) -> Any:
        found = self.now.get(subscription.resource, "fair")
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, Deferred) else Body(found.encode(), TEXT)

    def pending_state(self, subscription: ServerSubscription) -> Any:
        return self.neutral

    def renewed(self, subscription: ServerSubscription) -> None:
        self.told.append(f"{subscription.state} {subscription.expires_in()}")

    def ended(self, subscription: ServerSubscription) -> None:
        self.over.append(subscription)
        self.told.append(f"ended {subscription.reason}")


class Watching(ClientSubscription):
    """A subscription that writes down what it is told."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.events: list[str] = []
        self.ends: list[tuple[SubscriptionEnd, float | None]] = []
        self.refusal: Exception | None = None
        self.second: Watching | None = None

    def notified(self, body: Body | None, state: SubscriptionState, request: Request) -> Any:
        if self.refusal is not None:
            raise self.refusal
        self.events.append(f"{state.state} {'' if body is None else body.content.decode()}".strip())

    def ended(self, end: SubscriptionEnd, again_in: float | None) -> Any:
        self.ends.append((end, again_in))
        self.events.append(f"ended {end.reason}")

    def forked(self, request: Request) -> ClientSubscription | None:
        return self.second


class TwoAgents(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Stage()
        self.server = EventServer(self.stage.bob.agent)
        self.weather = Weather()
        self.server.add(self.weather)
        self.resource = self.stage.bob.uri

    def watch(self, start: bool = True, **more: Any) -> Watching:
        alice = self.stage.alice
        more.setdefault("event", "weather")
        more.setdefault("accept", (TEXT,))
        made = Watching(alice.agent, self.stage.bob.uri, from_=f"<{alice.uri}>", **more)
        if start:
            made.start()
            self.stage.advance(0.1)
        return made

    def tell(self, text: str) -> None:
        self.weather.now[self.resource] = text
        self.server.changed("weather", self.resource)
        self.stage.advance(0.1)

    def check_quiet(self) -> None:
        self.assertEqual(self.stage.leftovers(), [])
        self.assertEqual(len(self.server), 0)


class SubscriptionTests(TwoAgents):
    def test_providers(self) -> None:
        verifyObject(IEventPackage, self.weather)
        verifyObject(IEventPackage, EventPackage())
        watching = self.watch()
        verifyObject(IDialogUsage, watching)
        (found,) = self.server
        verifyObject(IDialogUsage, found)

    def test_from_subscribe_to_unsubscribe(self) -> None:
        watching = self.watch()
        self.assertEqual(self.stage.flow(), ["> SUBSCRIBE", "< 200 SUBSCRIBE", "< NOTIFY", "> 200 NOTIFY"])
        self.assertEqual((watching.state, watching.events), ("Active", ["active fair"]))
        (found,) = self.server
        self.assertEqual((found.resource, found.watcher), (self.resource, self.stage.alice.uri))
        self.assertEqual((found.state, found.expires_in()), ("Active", 3599))
        self.assertEqual(found.accept, (TEXT,))
        self.tell("rain")
        self.assertEqual(watching.events, ["active fair", "active rain"])
        self.stage.take()
        watching.stop()
        self.stage.advance(0.1)
        self.assertEqual(self.stage.flow(), ["> SUBSCRIBE", "< 200 SUBSCRIBE", "< NOTIFY", "> 200 NOTIFY"])
        self.assertEqual(watching.events[2:], ["terminated rain", "ended timeout"])
        self.assertEqual(watching.ends, [(SubscriptionEnd("timeout", "never"), None)])
        self.assertEqual(self.weather.over, [found])
        self.assertEqual(found.state, "Terminated")
        watching.stop()
        self.check_quiet()

    def test_the_messages(self) -> None:
        self.watch(headers=(("Subject", "x"),))
        subscribe, accepted, notify, _ = self.stage.take()
        self.assertEqual(
            [subscribe.get(name) for name in ("event", "expires", "accept", "subject")],
            ["weather", "3600", TEXT, "x"],
        )
        self.assertTrue(subscribe.has("contact"))
        self.assertEqual([accepted.get(name) for name in ("expires", "allow-events")], ["3600", "weather"])
        self.assertTrue(accepted.has("contact"))
        self.assertEqual(
            [notify.get(name) for name in ("event", "subscription-state", "content-type")],
            ["weather", "active;expires=3600", TEXT],
        )
        self.assertTrue(notify.has("contact"))

    def test_it_is_refreshed(self) -> None:
        watching = self.watch()
        self.stage.take()
        self.stage.advance(3241)
        self.assertEqual(self.stage.flow(), ["> SUBSCRIBE", "< 200 SUBSCRIBE", "< NOTIFY", "> 200 NOTIFY"])
        self.stage.advance(2 * 3241)
        self.assertEqual(watching.state, "Active")
        self.assertEqual(watching.events, ["active fair"] * 4)
        watching.refresh()
        self.stage.advance(0.1)
        self.assertEqual(len(watching.events), 5)
        watching.stop()
        self.check_quiet()

    def test_a_fetch(self) -> None:
        watching = self.watch(expires=0)
        self.assertEqual(watching.events, ["terminated fair", "ended timeout"])
        self.assertEqual(watching.ends[0][1], None)
        self.check_quiet()

    def test_it_lasts_as_long_as_is_granted(self) -> None:
        watching = self.watch(expires=100_000)
        (found,) = self.server
        self.assertEqual(found.expires_in(), 7199)
        # The watcher is cut off, and its subscription expires.
        self.stage.network.partition(["alice"], ["bob"])
        self.stage.advance(7200 + 40)
        self.assertEqual(len(self.server), 0)
        self.assertNotEqual(watching.state, "Active")
        watching.stop()
        self.check_quiet()

    def test_too_brief(self) -> None:
        watching = self.watch(expires=10)
        self.assertEqual(
            self.stage.flow(),
            ["> SUBSCRIBE", "< 423 SUBSCRIBE", "> SUBSCRIBE", "< 200 SUBSCRIBE", "< NOTIFY", "> 200 NOTIFY"],
        )
        self.assertEqual(watching.expires, 60)
        watching.stop()
        self.check_quiet()

    def test_what_changes_while_a_notify_is_under_way(self) -> None:
        watching = self.watch()
        for text in ("rain", "snow", "hail"):
            self.weather.now[self.resource] = text
            self.server.changed("weather", self.resource)
        self.stage.advance(0.1)
        self.assertEqual(watching.events, ["active fair", "active rain", "active hail"])
        watching.stop()
        self.check_quiet()

    def test_the_rate(self) -> None:
        self.weather.min_interval = 5.0
        watching = self.watch()
        for number in range(8):
            self.tell(f"{number}")
            self.stage.advance(0.9)
        self.assertEqual(watching.events, ["active fair", "active 4"])
        self.stage.advance(3)
        self.assertEqual(watching.events[2:], ["active 7"])
        watching.stop()
        self.check_quiet()

    def test_the_rate_that_the_watcher_wants(self) -> None:
        """RFC 6446."""
        watching = self.watch(event="weather;max-rate=0.1;min-rate=0.05")
        self.tell("rain")
        self.assertEqual(len(watching.events), 1)
        self.stage.advance(10)
        self.assertEqual(len(watching.events), 2)
        self.stage.advance(20)
        self.assertEqual(watching.events, ["active fair", "active rain", "active rain"])
        watching.stop()
        self.check_quiet()
        for text, expected in (
            ("w", (0.0, None)),
            ("w;max-rate=2", (0.5, None)),
            ("w;min-rate=0.25", (0.0, 4.0)),
            ("w;max-rate=0;min-rate=-1", (0.0, None)),
            ("w;max-rate=1e5;min-rate=x", (0.0, None)),
            ("w;max-rate=0.000001", (86400.0, None)),
        ):
            self.assertEqual(rates(parse_event(text)), expected, text)

    def test_the_notifier_ends_it(self) -> None:
        watching = self.watch()
        (found,) = self.server
        found.terminate("noresource")
        self.stage.advance(0.1)
        self.assertEqual(watching.events[1:], ["terminated fair", "ended noresource"])
        self.assertEqual(watching.ends[0][1], None)
        self.check_quiet()

    def test_it_is_made_anew(self) -> None:
        watching = self.watch()
        self.server.close()
        self.stage.advance(0.1)
        self.assertEqual(
            watching.events, ["active fair", "terminated fair", "ended deactivated", "active fair"]
        )
        self.assertEqual(watching.ends[0][1], 0.0)
        (found,) = self.server
        found.terminate("probation", 20)
        self.stage.advance(19)
        self.assertEqual(len(self.server), 0)
        self.stage.advance(3)
        self.assertEqual(watching.state, "Active")
        watching.stop()
        self.check_quiet()

    def test_not_anew_unless_wanted(self) -> None:
        watching = self.watch(again=False)
        self.server.close()
        self.stage.advance(0.1)
        self.assertEqual(watching.ends, [(SubscriptionEnd("deactivated", "now"), None)])
        watching.start()
        self.stage.advance(0.1)
        self.assertEqual(watching.state, "Active")
        self.assertRaises(WrongState, watching.start)
        watching.stop()
        self.check_quiet()

    def test_sent_away_for_ever(self) -> None:
        """A notifier that ends each subscription at once is asked ever less often."""
        for allowed in (False, True):
            self.weather.allowed = allowed
            watching = self.watch()
            asked = 0
            for _ in range(600):
                for one in self.server:
                    one.terminate("deactivated")
                    asked += 1
                self.stage.advance(2)
            self.assertTrue(4 <= asked <= 8, asked)
            watching.stop()
            self.check_quiet()

    def test_sent_away_after_a_while(self) -> None:
        """That is no reason to stay away."""
        watching = self.watch()
        for _ in range(5):
            self.stage.advance(100)
            self.server.close()
            self.stage.advance(0.1)
            self.assertEqual((watching.state, watching.ends[-1][1]), ("Active", 0.0))
        watching.stop()
        self.check_quiet()

    def test_lost_messages(self) -> None:
        self.stage = Stage(seed=3, loss=0.3)
        self.server = EventServer(self.stage.bob.agent)
        self.server.add(self.weather)
        watching = self.watch()
        self.stage.advance(30)
        for number in range(10):
            self.tell(f"{number}")
            self.stage.advance(30)
        self.assertEqual(watching.state, "Active")
        self.assertEqual(watching.events[-1], "active 9")
        watching.stop()
        self.check_quiet()

    def test_the_watcher_has_gone(self) -> None:
        """A NOTIFY that nobody answers ends the subscription (RFC 6665 section 4.2.2)."""
        watching = self.watch()
        self.stage.network.partition(["alice"], ["bob"])
        self.tell("rain")
        (found,) = self.server
        self.stage.advance(40)
        self.assertEqual(len(self.server), 0)
        assert found.ending is not None
        self.assertEqual(found.ending.status, 408)
        watching.stop()
        self.check_quiet()

    def test_the_notifier_has_gone(self) -> None:
        watching = self.watch()
        self.stage.network.partition(["alice"], ["bob"])
        self.stage.advance(3241 + 33)
        ((end, again_in),) = watching.ends
        self.assertEqual((end.reason, end.retry), ("no NOTIFY", "later"))
        self.assertTrue(again_in is not None and 15 <= again_in <= 30)
        self.stage.network.heal()
        self.stage.advance(120)
        self.assertEqual(watching.state, "Active")
        watching.stop()
        self.stage.advance(3600)
        self.check_quiet()

    def test_stopped_before_it_is_answered(self) -> None:
        watching = self.watch(start=False)
        watching.start()
        watching.stop()
        self.stage.advance(1)
        self.assertEqual(
            self.stage.flow(),
            ["> SUBSCRIBE", "< 200 SUBSCRIBE", "< NOTIFY", "> 200 NOTIFY"] * 2,
        )
        self.assertEqual(watching.ends, [(SubscriptionEnd("timeout", "never"), None)])
        self.check_quiet()

    def test_nobody_there(self) -> None:
        watching = Watching(self.stage.alice.agent, "sip:x@nowhere.test", "weather", from_="<sip:a@x>")
        watching.start()
        self.assertEqual(watching.ends[0][0], SubscriptionEnd("refused", "later", None, 503))
        watching.stop()
        self.check_quiet()

    def test_the_agent_closes(self) -> None:
        watching = self.watch()
        self.stage.bob.agent.close()
        self.stage.alice.agent.close()
        self.assertEqual([again_in for _, again_in in watching.ends], [None])
        self.check_quiet()


class PolicyTests(TwoAgents):
    """Who may subscribe, and to what."""

    def status(self, watching: Watching) -> int:
        self.assertEqual(len(watching.ends), 1, watching.events)
        return watching.ends[0][0].status

    def test_refused(self) -> None:
        for refused in (Refused(403), Refused(404), Refused(603)):
            self.weather.allowed = refused
            self.assertEqual(self.status(self.watch(again=False)), refused.status)
        self.check_quiet()

    def test_unknown_packages(self) -> None:
        self.watch(event="presence", again=False)
        refused: Any = self.stage.take()[-1]
        self.assertEqual((refused.status, refused.get("allow-events")), (489, "weather"))
        self.check_quiet()

    def test_another_media_type(self) -> None:
        self.assertEqual(self.status(self.watch(accept=("text/html",), again=False)), 406)
        for accept in (("*/*",), ("text/*;q=0.5", "text/html"), ()):
            watching = self.watch(accept=accept)
            self.assertEqual(watching.state, "Active", accept)
            watching.stop()
        self.check_quiet()

    def test_too_many(self) -> None:
        self.server.most = 1
        first = self.watch()
        self.assertEqual(self.status(self.watch(again=False)), 503)
        first.stop()
        self.stage.advance(1)
        second = self.watch()
        self.assertEqual(second.state, "Active")
        second.stop()
        self.check_quiet()

    def test_pending(self) -> None:
        """What it is about is not told before the watcher is authorised."""
        self.weather.allowed = False
        watching = self.watch()
        self.assertEqual((watching.state, watching.events), ("Pending", ["pending"]))
        self.tell("rain")
        self.assertEqual(watching.events, ["pending"])
        (found,) = self.server
        found.authorise()
        self.stage.advance(0.1)
        self.assertEqual(watching.events, ["pending", "active rain"])
        found.terminate("rejected")
        self.stage.advance(0.1)
        self.assertEqual(watching.events[2:], ["terminated", "ended rejected"])
        self.assertEqual(watching.ends[0][1], None)
        self.check_quiet()

    def test_what_a_pending_watcher_sees(self) -> None:
        self.weather.allowed = False
        self.weather.neutral = Body(b"some weather", TEXT)
        watching = self.watch()
        (found,) = self.server
        found.terminate("rejected")
        self.stage.advance(0.1)
        self.assertEqual(watching.events, ["pending some weather", "terminated", "ended rejected"])
        self.check_quiet()

    def test_what_the_package_is_told(self) -> None:
        """Enough for watcher information (RFC 3857)."""
        self.weather.allowed = False
        watching = self.watch()
        (found,) = self.server
        found.authorise()
        watching.refresh()
        self.stage.advance(0.1)
        watching.stop()
        self.stage.advance(0.1)
        self.assertEqual(self.weather.told, ["Pending 3600", "Active 3599", "Active 3600", "ended timeout"])
        for reason, end in (
            ("noresource", lambda one: one.terminate("noresource")),
            ("timeout", lambda one: self.stage.network.partition(["alice"], ["bob"])),
        ):
            self.weather.told = []
            self.weather.allowed = True
            self.watch(again=False)
            (found,) = self.server
            end(found)
            self.tell("rain")
            self.stage.advance(40)
            self.assertEqual(self.weather.told, ["Active 3600", f"ended {reason}"])
        self.stage.network.heal()
        self.weather.told = []
        self.weather.allowed = Refused(403)
        self.watch(again=False)
        self.assertEqual(self.weather.told, ["ended "])
        self.weather.allowed = True
        self.weather.told = []
        self.watch(expires=0)
        self.assertEqual(self.weather.told, ["ended timeout"])
        self.stage.advance(4000)
        self.check_quiet()

    def test_names_and_headers(self) -> None:
        self.weather.headers = (("Require", "eventlist"),)
        one, two = self.watch(), self.watch()
        self.assertEqual(len({found.id for found in self.server}), 2)
        shown = [message.get("require") for message in self.stage.take()[:4]]
        self.assertEqual(shown, [None, "eventlist", "eventlist", None])
        one.stop()
        two.stop()
        self.check_quiet()

    def test_it_takes_time_to_decide(self) -> None:
        decision: Deferred[bool] = Deferred()
        self.weather.allowed = decision
        watching = self.watch()
        self.assertEqual(self.stage.flow(), ["> SUBSCRIBE"])
        decision.callback(True)
        self.stage.advance(0.1)
        self.assertEqual(watching.events, ["active fair"])
        watching.stop()
        self.check_quiet()

    def test_it_is_decided_too_late(self) -> None:
        decision: Deferred[bool] = Deferred()
        self.weather.allowed = decision
        watching = self.watch(again=False)
        self.stage.advance(40)
        self.assertEqual(watching.ends[0][0].retry, "later")
        decision.callback(True)
        self.check_quiet()

    def test_a_state_that_takes_time(self) -> None:
        late: Deferred[Body] = Deferred()
        self.weather.now[self.resource] = late
        watching = self.watch()
        self.assertEqual(watching.events, [])
        late.callback(Body(b"late", TEXT))
        self.stage.advance(0.1)
        self.assertEqual(watching.events, ["active late"])
        self.weather.now.clear()
        watching.stop()
        self.check_quiet()

    def test_a_package_that_fails(self) -> None:
        watching = self.watch()
        self.weather.now[self.resource] = RuntimeError("no thermometer")
        self.server.changed("weather", self.resource)
        self.stage.advance(0.1)
        self.assertEqual(watching.events[1:], ["terminated", "ended giveup"])
        self.assertEqual(watching.ends[0][0].retry_after, 60)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        watching.stop()
        self.check_quiet()

    def test_a_watcher_that_refuses(self) -> None:
        watching = self.watch()
        watching.refusal = Refused(481)
        self.tell("rain")
        self.assertEqual(len(self.server), 0)
        watching.refusal = None
        watching.stop()
        self.stage.advance(100)
        self.check_quiet()

    def test_no_more_dialogs(self) -> None:
        stage = self.stage = Stage(None, AgentSettings(dialogs=0))
        self.server = EventServer(stage.bob.agent)
        self.server.add(self.weather)
        self.assertEqual(self.status(self.watch(again=False)), 503)
        self.check_quiet()


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
