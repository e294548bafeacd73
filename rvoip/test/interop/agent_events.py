"""What the phone of agent_phone.py does besides calls: transfers, subscriptions, event packages."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from rvoip.protocols.dialog.agent import UserAgent
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.dialog import Dialog
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.event_package import EventPackage
from rvoip.protocols.dialog.invite_client import ClientInvite
from rvoip.protocols.dialog.publication_client import ClientPublication
from rvoip.protocols.dialog.refer_client import ClientRefer
from rvoip.protocols.dialog.refer_server import ReferServer, ServerRefer
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.session import Session
from rvoip.protocols.dialog.subscription import SubscriptionEnd
from rvoip.protocols.dialog.subscription_client import ClientSubscription
from rvoip.protocols.dialog.subscription_server import EventServer, ServerSubscription
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.subscription_headers import SubscriptionState
from rvoip.protocols.sip.transfer_headers import Replaces

__all__ = ["EventsMixin", "tell"]


def tell(event: str, **fields: Any) -> None:
    """Write an event."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


class Following(ClientInvite):
    """The call that somebody's REFER asks for."""

    refer: ServerRefer

    def progressed(self, response: Response, session: Session | None) -> None:
        self.refer.progress(response.status, response.reason)

    def accepted(self, session: Session) -> None:
        self.agent.sessions.append(session)  # type: ignore[attr-defined]
        self.refer.progress(200)

    def failed(self, response: Response | None, reason: str) -> None:
        self.refer.progress(503 if response is None else response.status)


class Transfer(ClientRefer):
    """A REFER of ours."""

    def progressed(self, status: int, reason: str) -> None:
        tell("transfer", status=status)

    def ended(self, outcome: str, status: int, reason: str) -> None:
        tell("transferred", outcome=outcome, status=status)


class Watch(ClientSubscription):
    """A subscription of ours."""

    def notified(self, body: Body | None, state: SubscriptionState, request: Request) -> None:
        text = "" if body is None else body.content.decode()
        tell("notify", package=self.event.type, state=state.state, body=text)

    def ended(self, end: SubscriptionEnd, again_in: float | None) -> None:
        tell("unsubscribed", package=self.event.type, reason=end.reason, status=end.status)


class Publish(ClientPublication):
    """A publication of ours."""

    def published(self, etag: str | None) -> None:
        tell("published", etag=etag)

    def failed(self, status: int) -> None:
        tell("unpublished", status=status)


class Told(EventPackage):
    """A package whose state is a text that the test says."""

    min_expires = 1

    def __init__(self, name: str, media_type: str, text: str) -> None:
        self.name = name
        self.accept = (media_type,)
        self.text = text

    def state(self, subscription: ServerSubscription) -> Body:
        return Body(self.text.encode(), self.accept[0])

    def authorise(self, subscription: ServerSubscription) -> bool:
        tell("watcher", package=self.name, watcher=subscription.watcher, resource=subscription.resource)
        return True

    def ended(self, subscription: ServerSubscription) -> None:
        tell("watcher_gone", package=self.name, watcher=subscription.watcher)


class EventsMixin(UserAgent):
    """Commands of these kinds; `begin_events` comes last in making the phone."""

    sessions: list[Any]
    routes: list[str]
    aor: str
    describe: Callable[[int, str], Body]

    def begin_events(self) -> None:
        """Take REFERs and SUBSCRIBEs, and a REGISTER as the registrar of a phone that must have one."""
        self.events = EventServer(self)
        self.watches: list[Watch] = []
        self.publication: Publish | None = None
        ReferServer(self, self.referred)
        self.register_method("REGISTER", self._register)

    def _register(self, transaction: ServerTransaction, dialog: Dialog | None) -> None:
        contact = transaction.request.get("contact")
        if contact is None:
            raise Refused(400)
        tell("registered", contact=contact)
        self.respond(transaction, 200, headers=(("Contact", f"{contact};expires=600"),))

    def referred(self, refer: ServerRefer) -> None:
        """Who has a call with us may send us elsewhere."""
        tell("referred", to=refer.triggered.uri, replaces=refer.refer.replaces is not None)
        if refer.session is None:
            raise Refused(403)
        refer.accept()
        call = Following(
            self,
            refer.triggered.uri,
            from_=f"<{self.aor}>",
            routes=self.routes,
            body=self.describe(1, "sendrecv"),
            headers=refer.triggered.headers,
        )
        call.refer = refer
        call.start()

    def do_transfer(self, uri: str) -> None:
        """Send the peer of the first call there."""
        Transfer(self, uri, referred_by=self.aor).send(self.sessions[0].dialog)

    def do_connect(self) -> None:
        """Connect the peers of the first and the last call with each other."""
        target = self.sessions[-1].dialog
        replaces = Replaces(target.call_id, target.remote_tag, target.local_tag)
        uri = target.remote_target
        Transfer(self, uri, referred_by=self.aor, replaces=replaces).send(self.sessions[0].dialog)

    def do_subscribe(self, uri: str, package: str, accept: str, expires: int = 600) -> None:
        """Watch somebody."""
        watch = Watch(
            self,
            uri,
            package,
            from_=f"<{self.aor}>",
            accept=(accept,),
            expires=expires,
            routes=self.routes,
            again=False,
        )
        self.watches.append(watch)
        watch.start()

    def do_unsubscribe(self) -> None:
        """Watch nobody any more."""
        for watch in self.watches:
            watch.stop()

    def do_serve(self, package: str, accept: str, text: str) -> None:
        """Have a state, or another one."""
        served = self.events.packages.get(package)
        if served is None:
            self.events.add(Told(package, accept, text))
            return
        served.text = text
        for subscription in self.events:
            if subscription.package is served:
                subscription.changed()

    def do_publish(self, package: str, accept: str, text: str) -> None:
        """Publish a state."""
        if self.publication is None:
            self.publication = Publish(self, self.aor, package, routes=self.routes)
        self.publication.publish(Body(text.encode(), accept))

    def do_unpublish(self) -> None:
        """Withdraw it."""
        assert self.publication is not None
        self.publication.remove()
