"""Who may subscribe, to what, and what an event package decides and is told (RFC 6665)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.subscription_server import EventServer
from rvoip.test.protocols.dialog.agents import Stage
from rvoip.test.protocols.dialog.subscriptions import TEXT, TwoAgents, Watching


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
