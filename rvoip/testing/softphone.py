"""
A phone made of this project's own user agent layer, for tests of servers, and of that layer.

    alice = Softphone(network.host("alice", "10.0.0.11"), "alice@example.test", password="x",
                      host="10.0.0.11", server=("10.0.0.1", 5060))
    alice.open()
    network.result_of(alice.register())
    invite = alice.call("sip:bob@example.test")
    network.run_until(lambda: invite.over)
    invite.session.bye()
    network.advance(100)
    assert alice.leftovers() == []

`rvoip.testing.phone.Phone` shares nothing with the servers but the parser, and says what they do wrong; this
one has session timers, reliable provisional responses and early dialogs, and shows what it is told.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.agent import UserAgent
from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.challenge import Credential
from rvoip.protocols.dialog.dialog import Dialog
from rvoip.protocols.dialog.ending import Ending
from rvoip.protocols.dialog.invite_client import ClientInvite
from rvoip.protocols.dialog.invite_server import ServerInvite
from rvoip.protocols.dialog.session import Session
from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.grammar import format_host_port
from rvoip.protocols.sip.message import Message, Response
from rvoip.protocols.transport.addresses import ListenAddress
from rvoip.protocols.transport.layer import TransportLayer
from rvoip.protocols.transport.locate import Locator
from rvoip.testing.memory_wire import Endpoint, canonical

__all__ = ["SoftInvite", "SoftSession", "Softphone", "answer_invite"]


class SoftInvite(ClientInvite):
    """A call out; `outcomes` are "accepted" or the reason of a failure: one, when it is over."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.outcomes: list[str] = []
        self.answered: Callable[[Session], object] = lambda session: None
        """Called with the session when the call is answered."""

    def accepted(self, session: Session) -> None:
        """It is answered."""
        self.outcomes.append("accepted")
        self.answered(session)

    def failed(self, response: Response | None, reason: str) -> None:
        """It is not."""
        self.outcomes.append(reason)


class SoftSession(Session):
    """A session, of which `endings` says how it ended: once. Offers are answered with the phone's SDP."""

    agent: Softphone.Agent

    def __init__(self, agent: Softphone.Agent, dialog: Dialog, invite: Any) -> None:
        super().__init__(agent, dialog, invite)
        self.endings: list[Ending] = []
        agent.phone.sessions.append(self)

    def offer_received(self, offer: Body, message: Message) -> Body:
        """The answer."""
        return self.agent.phone.sdp()

    def ended(self, ending: Ending) -> None:
        """It is over."""
        self.endings.append(ending)


def answer_invite(invite: ServerInvite) -> None:
    """180 and 200."""
    invite.progress()
    invite.accept(invite.agent.phone.sdp() if invite.offer is not None else None)  # type: ignore[attr-defined]


class Softphone:
    """
    A `UserAgent` of the user `aor` at `host`, an address of the reactor, with its own transactions.

    All its requests go by `server`. `script` is given each INVITE that comes. All randomness comes from
    `seed` and the AOR. `invites` and `sessions` are all that there were, in their order.
    """

    class Agent(UserAgent):
        """The user agent of a `Softphone`."""

        client_invite = SoftInvite
        session = SoftSession
        phone: Softphone

        def invite_received(self, invite: ServerInvite) -> Any:
            """As the phone's script says."""
            return self.phone.script(invite)

    def __init__(
        self,
        reactor: Any,
        aor: str = "alice@example.test",
        *,
        host: str,
        port: int = 5060,
        transport: str = "UDP",
        server: Endpoint,
        password: str = "",
        script: Callable[[ServerInvite], object] = answer_invite,
        settings: AgentSettings | None = None,
        timers: Timers | None = None,
        seed: int = 0,
    ) -> None:
        if transport not in ("UDP", "TCP"):
            raise ValueError(f"a softphone speaks UDP or TCP, and not {transport!r}")
        self.reactor = reactor
        self.aor = aor
        self.username, _, self.domain = aor.rpartition("@")
        self.transport = transport
        self.script = script
        self.invites: list[SoftInvite] = []
        self.sessions: list[SoftSession] = []
        self._host = canonical(host)
        self._port = port
        self._random = random.Random(f"{seed} {aor}")
        self._server = server[0]
        self._password = password
        param = "" if transport == "UDP" else ";transport=tcp"
        self._route = f"<sip:{format_host_port(*server)}{param};lr>"
        self._contact_param = param
        self.sockets = TransportLayer(reactor)
        self.wheel = TimerWheel(reactor)
        self.layer = TransactionLayer(
            self.sockets, self.wheel, reactor.seconds, self._token, timers or Timers()
        )
        self.sockets.receiver = self.layer
        locator = Locator(Any, reactor, rng=self._random)  # type: ignore[arg-type]  # no name is looked up
        self.agent = self.Agent(self.layer, locator, settings, self._find_credential)
        self.agent.phone = self
        self.layer.user = self.agent
        self._register_call_id = self._token()
        self._register_from = NameAddr(f"sip:{aor}", "", {"tag": self._token()})
        self._register_cseq = 0

    def __repr__(self) -> str:
        return f"<Softphone {self.aor} at {self._host} over {self.transport}>"

    def _token(self) -> str:
        return f"{self._random.getrandbits(64):016x}"

    def _find_credential(self, realm: str, host: str) -> Credential | None:
        if not self._password:
            return None
        return Credential(self.username, self._password, hosts=frozenset((self._server, self.domain)))

    @property
    def contact(self) -> str:
        """The URI that it can be reached at."""
        return f"sip:{self.username}@{format_host_port(self._host, self._port)}{self._contact_param}"

    def sdp(self, direction: str = "sendrecv") -> Body:
        """A session description of G.711 at this phone's address; no media flows."""
        family = "IP6" if ":" in self._host else "IP4"
        return Body(
            (
                f"v=0\r\no=- 1 {self._random.randrange(1, 2**31)} IN {family} {self._host}\r\ns=-\r\n"
                f"c=IN {family} {self._host}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"
                f"a=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
            ).encode("ascii")
        )

    def open(self) -> Softphone:
        """Bind its port, over UDP and TCP; returns itself."""
        for transport in ("UDP", "TCP"):
            listener = self.sockets.listen(ListenAddress(transport, self._host, self._port))
            self._port = listener.port
        return self

    def close(self) -> Deferred[None]:
        """Hang up, and close the sockets; fires when they are closed."""
        self.agent.close()
        stopped: Deferred[None] = self.sockets.stop()
        return stopped

    async def register(self, expires: int = 3600) -> Response:
        """
        Register, answering a challenge; returns the final response, whatever it is.

        Raises `rvoip.protocols.dialog.errors.RequestFailed` when none comes.
        """
        request = self.agent.make_request(
            "REGISTER",
            f"sip:{self.domain}",
            from_=self._register_from,
            to=f"<sip:{self.aor}>",
            call_id=self._register_call_id,
            cseq=self._register_cseq + 1,
            routes=[self._route],
            headers=(("Contact", f"<{self.contact}>"), ("Supported", "path"), ("Expires", str(expires))),
        )
        self._register_cseq += 3  # a challenge and a stale nonce each take a number of their own
        return await self.agent.send_for_response(request, authentication=self.agent.authentication())

    def call(self, uri: str, offer: bool = True) -> SoftInvite:
        """Call someone, with or without an offer."""
        invite = self.agent.invite(
            uri,
            from_=f"<sip:{self.aor}>",
            to=f"<{uri}>",
            body=self.sdp() if offer else None,
            routes=[self._route],
        )
        assert isinstance(invite, SoftInvite)
        self.invites.append(invite)
        return invite

    def leftovers(self) -> list[str]:
        """What is still remembered of calls and requests, or would still happen, a line each."""
        layer = self.layer
        found = [f"{one.request.method} {one.state}" for one in layer]
        found += [repr(one) for one in (*self.agent.dialogs, *self.agent.invites)]
        if len(self.wheel):
            found.append(f"{len(self.wheel)} timers")
        return found
