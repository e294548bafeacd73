"""An answering machine: it answers each call after a while, and hangs up after ten seconds."""

from __future__ import annotations

from typing import Any

from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.agent import UserAgent
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.invite_server import ServerInvite
from rvoip.protocols.dialog.session import Session
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.transport.addresses import ListenAddress
from rvoip.protocols.transport.layer import TransportLayer
from rvoip.protocols.transport.locate import Locator
from rvoip.protocols.transport.resolver import make_resolver
from rvoip.services.tokens import TokenSource

SDP = Body(
    b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"
)


class Machine(UserAgent):
    """Rings for two seconds, and talks for ten."""

    def invite_received(self, invite: ServerInvite) -> None:
        invite.progress()
        self.layer.wheel.schedule(2.0, self.answer, invite)

    def answer(self, invite: ServerInvite) -> None:
        if not invite.answered:  # the caller may have given up
            session = invite.accept(SDP)
            self.layer.wheel.schedule(10.0, Session.bye, session)


def start(reactor: Any, host: str) -> Machine:
    """A machine that listens on a reactor, in memory or not."""
    transport = TransportLayer(reactor)
    layer = TransactionLayer(transport, TimerWheel(reactor), reactor.seconds, TokenSource())
    transport.receiver = layer
    transport.listen(ListenAddress("UDP", host, 5060))
    machine = Machine(layer, Locator(make_resolver(reactor), reactor))
    layer.user = machine
    return machine
