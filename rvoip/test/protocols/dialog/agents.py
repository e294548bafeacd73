"""User agents on a simulated network, and what they were told, for tests of the dialog layer."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.agent import UserAgent
from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.challenge import FindCredential
from rvoip.protocols.dialog.dialog import Dialog
from rvoip.protocols.dialog.ending import Ending
from rvoip.protocols.dialog.invite_client import ClientInvite
from rvoip.protocols.dialog.invite_server import ServerInvite
from rvoip.protocols.dialog.session import Session
from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.addresses import ListenAddress
from rvoip.protocols.transport.flow import Target
from rvoip.protocols.transport.layer import TransportLayer
from rvoip.protocols.transport.locate import Locator
from rvoip.protocols.transport.selection import LocateError
from rvoip.testing.network import Datagram, SimulatedNetwork
from rvoip.testing.phone_wire import PhoneWire

OFFER = Body(b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nt=0 0\r\n")
ANSWER = Body(b"v=0\r\no=- 2 1 IN IP4 10.0.0.2\r\ns=-\r\nt=0 0\r\n")
SECOND_OFFER = Body(b"v=0\r\no=- 1 2 IN IP4 10.0.0.1\r\ns=-\r\nt=0 0\r\n")
SECOND_ANSWER = Body(b"v=0\r\no=- 2 2 IN IP4 10.0.0.2\r\ns=-\r\nt=0 0\r\n")


class Names(Locator):
    """Finds names in a dictionary, as DNS would."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(Any, reactor, rng=Random(1))  # type: ignore[arg-type]
        self.names: dict[str, list[Target]] = {}

    def locate_now(self, uri: Any) -> list[Target] | None:
        if isinstance(uri, SipURI) and not uri.host[-1].isdigit():
            if uri.host not in self.names:
                raise LocateError(f"there is no {uri.host}")
            return list(self.names[uri.host])
        return super().locate_now(uri)


class Told(Session):
    """A session that writes down what it is told, and answers offers with `answers`."""

    def __init__(self, agent: Any, dialog: Dialog, invite: Any) -> None:
        super().__init__(agent, dialog, invite)
        self.events: list[str] = []
        self.offers: list[Body] = []
        self.answers: list[Any] = []
        self.got: list[Body] = []
        agent.sessions.append(self)

    def offer_received(self, offer: Body, message: Message) -> Any:
        self.events.append("offer")
        self.offers.append(offer)
        return self.answers.pop(0) if self.answers else self.agent.answer  # type: ignore[attr-defined]

    def offer_wanted(self, request: Request) -> Any:
        self.events.append("offer wanted")
        return self.answers.pop(0) if self.answers else super().offer_wanted(request)

    def answer_received(self, answer: Body, message: Message) -> Any:
        self.events.append("answer")
        self.got.append(answer)

    def preview_received(self, answer: Body, response: Response) -> Any:
        self.events.append("preview")

    def established(self) -> Any:
        self.events.append("established")

    def refreshed(self) -> Any:
        self.events.append("refreshed")

    def ended(self, ending: Ending) -> Any:
        self.events.append(f"ended {ending.status} {ending.by}")


class Called(ServerInvite):
    """An INVITE that came."""

    cancel: Request | None = None

    def cancel_received(self, cancel: Request) -> Any:
        self.cancel = cancel


class Calling(ClientInvite):
    """An INVITE of ours."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.events: list[str] = []
        self.responses: list[Response] = []
        self.keep_all = False
        self.prack_body: Any = None

    def progressed(self, response: Response, session: Session | None) -> Any:
        self.events.append(f"{response.status}")
        self.responses.append(response)
        return self.prack_body

    def accepted(self, session: Session) -> Any:
        self.events.append("accepted")

    def failed(self, response: Response | None, reason: str) -> Any:
        self.events.append(f"failed {reason}")

    def wanted(self, session: Session) -> bool:
        return self.keep_all


class Agent(UserAgent):
    """A user agent that does with a call what `script` says."""

    server_invite = Called
    client_invite = Calling
    session = Told

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.script: Callable[[Any], Any] = lambda invite: None
        self.received: list[Called] = []
        self.sessions: list[Told] = []
        self.answer: Any = ANSWER
        self.takes_over: bool | None = None

    def invite_received(self, invite: Any) -> Any:
        self.received.append(invite)
        return self.script(invite)

    def may_take_over(self, invite: ServerInvite, session: Session) -> bool:
        return super().may_take_over(invite, session) if self.takes_over is None else self.takes_over


class End:
    """One user agent with its host."""

    def __init__(
        self,
        stage: Stage,
        name: str,
        address: str,
        settings: AgentSettings | None,
        find_credential: FindCredential | None,
        agent_class: type[Agent],
    ) -> None:
        self.address = address
        self.reactor = stage.network.host(name, address)
        random = Random(f"{name} {stage.network.seed}")
        self.transport = TransportLayer(self.reactor)
        self.wheel = TimerWheel(self.reactor)
        self.layer = TransactionLayer(
            self.transport,
            self.wheel,
            self.reactor.seconds,
            lambda: f"{random.getrandbits(64):016x}",
            Timers(),
        )
        self.transport.receiver = self.layer
        self.transport.listen(ListenAddress("UDP", address, 5060))
        self.transport.listen(ListenAddress("TCP", address, 5060))
        self.locator = Names(self.reactor)
        self.agent = agent_class(self.layer, self.locator, settings, find_credential)
        self.layer.user = self.agent
        self.uri = f"sip:{name}@{address}"

    @property
    def session(self) -> Told:
        """The session that was made last."""
        return self.agent.sessions[-1]

    def leftovers(self) -> list[str]:
        """What is still remembered, or would still happen."""
        layer = self.layer
        found = [f"{one.request.method} {one.state}" for one in layer]
        found += [repr(one) for one in (*self.agent.dialogs, *self.agent.invites)]
        if len(self.wheel):
            found.append(f"{len(self.wheel)} timers")
        if layer._invites or layer._accepted:
            found.append(f"{layer._invites} and {layer._accepted} INVITEs counted")
        return found


class Stage:
    """A network with Alice, who calls, and Bob; `wire` has what was delivered over UDP, shortened."""

    def __init__(
        self,
        settings: AgentSettings | None = None,
        bob_settings: AgentSettings | None = None,
        *,
        seed: int = 0,
        find_credential: FindCredential | None = None,
        agent_class: type[Agent] = Agent,
        **knobs: Any,
    ) -> None:
        self.network = SimulatedNetwork(seed=seed, **knobs)
        self.alice = End(self, "alice", "10.0.0.1", settings, find_credential, agent_class)
        self.bob = End(self, "bob", "10.0.0.2", bob_settings or settings, None, agent_class)
        self.messages: list[tuple[str, Request | Response]] = []
        self.network.watch(self._seen)

    def _seen(self, now: float, datagram: Datagram) -> None:
        self.messages.append((datagram.source[0], parse_message(datagram.data)))

    def call(self, body: Body | None = OFFER, uri: str = "", **more: Any) -> Any:
        """Let Alice call Bob."""
        return self.alice.agent.invite(uri or self.bob.uri, from_=f"<{self.alice.uri}>", body=body, **more)

    def established(self) -> tuple[Told, Told]:
        """A call that stands: the sessions of Alice and Bob."""
        self.bob.agent.script = lambda invite: invite.accept(ANSWER)
        invite = self.call()
        self.advance(1)
        assert invite.session is not None, invite.events
        self.take()
        return invite.session, self.bob.session

    def advance(self, seconds: float = 0.0) -> None:
        self.network.advance(seconds)

    def take(self) -> list[Request | Response]:
        """What was delivered since the last time."""
        taken, self.messages = [message for _, message in self.messages], []
        return taken

    def flow(self) -> list[str]:
        """What was delivered since the last time, each with an arrow: > for what Alice sent."""
        shown = [
            f"{'>' if source == self.alice.address else '<'} "
            + (one.method if isinstance(one, Request) else f"{one.status} {one.cseq.method}")
            for source, one in self.messages
        ]
        self.messages = []
        return shown

    def leftovers(self) -> list[str]:
        """What is left at both ends after long enough a time."""
        self.advance(100)
        return self.alice.leftovers() + self.bob.leftovers()


class Peer:
    """A host whose messages the test writes by hand; `inbox` has what came and was not taken."""

    def __init__(self, stage: Stage, name: str = "peer", address: str = "10.0.0.9") -> None:
        self.stage = stage
        self.address = address
        self.inbox: list[Any] = []
        self.wire = PhoneWire(
            stage.network.host(name, address),
            "UDP",
            address,
            5060,
            received=lambda data, channel: self.inbox.append(parse_message(data)),
            failed=lambda peer, reason: None,
            garbage=lambda reason, peer: None,
        )
        self.wire.open()
        self.uri = f"sip:{name}@{address}"
        self._serial = 0

    def send(self, text: str, to: tuple[str, int] = ("10.0.0.1", 5060)) -> None:
        """Send, and let the network be quiet again."""
        self.wire.send(text.encode(), to)
        self.stage.advance(0.001)

    def take(self) -> list[Any]:
        """What came since the last time."""
        taken, self.inbox = self.inbox, []
        return taken

    def one(self, name: str = "") -> Any:
        """The one message that came; `name` is its method or status."""
        taken = self.take()
        assert len(taken) == 1, [str(one.start_line) for one in taken]
        if name:
            shown = taken[0].method if isinstance(taken[0], Request) else str(taken[0].status)
            assert shown == name, str(taken[0])
        return taken[0]

    def starts(self) -> list[str]:
        """What came since the last time, shortened."""
        return [
            one.method if isinstance(one, Request) else f"{one.status} {one.cseq.method}"
            for one in self.take()
        ]

    def answer(
        self,
        request: Request,
        status: int,
        tag: str = "t1",
        extra: str = "",
        body: Body | None = None,
        contact: str | None = None,
    ) -> None:
        """Answer a request that came."""
        copied = ("via", "from", "to", "call-id", "cseq", "record-route")
        lines = [f"SIP/2.0 {status} Answered"]
        for name, line in zip(request.names, request.lines):
            if name in copied:
                if name == "to" and ";tag=" not in line and status > 100 and tag:
                    line = f"{line};tag={tag}"
                lines.append(line)
        if 100 < status < 300:
            lines.append(f"Contact: <{contact or self.uri}>")
        self._send_with(lines, extra, body)

    def request(
        self,
        method: str,
        *,
        uri: str = "sip:alice@10.0.0.1",
        tag: str = "t1",
        to_tag: str = "",
        call_id: str = "",
        cseq: int = 1,
        branch: str = "",
        extra: str = "",
        body: Body | None = None,
    ) -> None:
        """Send a request, each with a branch and a Call-ID of its own unless given."""
        self._serial += 1
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.address}:5060;branch={branch or f'z9hG4bK-{self._serial}'}",
            "Max-Forwards: 70",
            f"From: <{self.uri}>;tag={tag}",
            f"To: <sip:alice@10.0.0.1>{to_tag and ';tag=' + to_tag}",
            f"Call-ID: {call_id or f'{self._serial}@{self.address}'}",
            f"CSeq: {cseq} {method}",
            f"Contact: <{self.uri}>",
        ]
        self._send_with(lines, extra, body)

    def within(self, dialog: Dialog, method: str, cseq: int, **more: Any) -> None:
        """Send a request within a dialog of Alice's."""
        self.request(
            method,
            uri="sip:alice@10.0.0.1",
            tag=dialog.remote_tag,
            to_tag=dialog.local_tag,
            call_id=dialog.call_id,
            cseq=cseq,
            **more,
        )

    def _send_with(self, lines: list[str], extra: str, body: Body | None) -> None:
        if body is not None:
            extra += f"Content-Type: {body.type}\r\n"
        content = "" if body is None else body.content.decode()
        self.send("\r\n".join(lines) + f"\r\n{extra}Content-Length: {len(content)}\r\n\r\n{content}")
