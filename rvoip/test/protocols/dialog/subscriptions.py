"""An event package and a watcher that write down what they are told, and two agents that have them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.event_package import EventPackage
from rvoip.protocols.dialog.subscription import SubscriptionEnd
from rvoip.protocols.dialog.subscription_client import ClientSubscription
from rvoip.protocols.dialog.subscription_server import EventServer, ServerSubscription
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.subscription_headers import SubscriptionState
from rvoip.test.protocols.dialog.agents import Stage

__all__ = ["TEXT", "TwoAgents", "Watching", "Weather"]


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
