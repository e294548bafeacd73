"""The life of subscriptions between two user agents on a simulated network (RFC 6665)."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from rvoip.protocols.dialog.errors import WrongState
from rvoip.protocols.dialog.event_package import EventPackage
from rvoip.protocols.dialog.interfaces import IDialogUsage, IEventPackage
from rvoip.protocols.dialog.subscription import SubscriptionEnd
from rvoip.protocols.dialog.subscription_server import EventServer, rates
from rvoip.protocols.sip.subscription_headers import parse_event
from rvoip.test.protocols.dialog.agents import Stage
from rvoip.test.protocols.dialog.subscriptions import TEXT, TwoAgents, Watching


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
