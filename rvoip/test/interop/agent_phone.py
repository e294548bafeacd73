"""A phone made of the dialog layer, as a program: `agent_phone.py SETTINGS`.

SETTINGS is a JSON object: user, domain, password, host, port, proxy (a URI or ""), transport, answer (0 to
wait for a command, else a status), prack, timer, t1, ca. Commands are JSON objects on standard input, one a
line, {"do": NAME, ...}; events are JSON objects on standard output. It sends back what sound it gets.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineOnlyReceiver

from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.challenge import Credential
from rvoip.protocols.dialog.ending import Ending
from rvoip.protocols.dialog.errors import DialogError
from rvoip.protocols.dialog.invite_client import ClientInvite
from rvoip.protocols.dialog.invite_server import ServerInvite
from rvoip.protocols.dialog.session import Session
from rvoip.protocols.dialog.session_timer import TimerSettings
from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.sip.uri import parse_uri
from rvoip.protocols.transport.addresses import ListenAddress
from rvoip.protocols.transport.layer import TransportLayer
from rvoip.protocols.transport.locate import Locator
from rvoip.protocols.transport.resolver import make_resolver
from rvoip.protocols.transport.tls import TLSContexts, TLSSettings
from rvoip.services.tokens import TokenSource
from rvoip.test.interop.agent_events import EventsMixin, tell

reactor: Any = global_reactor
reactor.seconds = time.monotonic


class Echo(DatagramProtocol):
    """Sends each packet back to where it came from."""

    def __init__(self) -> None:
        self.packets = 0

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.packets += 1
        assert self.transport is not None
        self.transport.write(datagram, addr)


class Talk(Session):
    """A session with one stream of sound."""

    version = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.phone: Phone = self.agent  # type: ignore[assignment]

    def describe(self, direction: str = "sendrecv") -> Body:
        """Our description, one version on."""
        self.version += 1
        return self.phone.describe(self.version, direction)

    def offer_received(self, offer: Body, message: Message) -> Body:
        text = offer.content.decode()
        if "a=sendonly" in text or "a=inactive" in text:
            direction = "recvonly" if "a=sendonly" in text else "inactive"
        else:
            direction = "sendrecv"
        tell("offer", direction=direction)
        return self.describe(direction)

    def offer_wanted(self, request: Request) -> Body:
        return self.describe()

    def answer_received(self, answer: Body, message: Message) -> None:
        tell("answer")

    def established(self) -> None:
        tell("call", state="confirmed", call_id=self.dialog.call_id)

    def refreshed(self) -> None:
        tell("refreshed")

    def info_received(self, request: Request) -> None:
        tell("info", body=request.body.decode())

    def ended(self, ending: Ending) -> None:
        self.phone.sessions = [one for one in self.phone.sessions if one is not self]
        tell("call", state="disconnected", status=ending.status, by=ending.by, text=ending.text)


class Dialled(ClientInvite):
    """A call of ours."""

    def progressed(self, response: Response, session: Session | None) -> None:
        tell("call", state="early", status=response.status)

    def accepted(self, session: Session) -> None:
        self.agent.sessions.append(session)  # type: ignore[attr-defined]

    def failed(self, response: Response | None, reason: str) -> None:
        status = 0 if response is None else response.status
        tell("call", state="failed", status=status, reason=reason)


class Phone(EventsMixin):
    """One account."""

    client_invite = Dialled
    session = Talk

    def __init__(self, settings: dict[str, Any]) -> None:
        self.mine = settings
        host, user = settings["host"], settings["user"]
        transport = TransportLayer(reactor)
        t1 = settings.get("t1") or 0.5
        layer = TransactionLayer(
            transport,
            TimerWheel(reactor),
            reactor.seconds,
            TokenSource(),
            Timers(t1, 8 * t1, 10 * t1),
            user=self,
        )
        transport.receiver = layer
        for name in ("UDP", "TCP"):
            transport.listen(ListenAddress(name, host, settings["port"]))
        supported = ["UDP", "TCP"]
        if settings.get("ca"):
            transport.tls = TLSContexts(TLSSettings(ca=settings["ca"]))
            supported.append("TLS")
        locator = Locator(make_resolver(reactor), reactor, supported=supported)
        super().__init__(
            layer,
            locator,
            AgentSettings(
                user_agent="agent-phone",
                contact_user=user,
                reliable=settings.get("prack", "supported"),
                timer=TimerSettings(interval=settings.get("timer") or 1800),
            ),
            self.find,
        )
        self.aor = f"sip:{user}@{settings['domain']}"
        proxy = settings["proxy"]
        self.routes = [f"<{proxy};lr>"] if proxy else []
        self.proxy_host = getattr(parse_uri(proxy), "host", "") if proxy else ""
        self.sessions: list[Talk] = []
        self.ringing: ServerInvite | None = None
        self.dialled: ClientInvite | None = None
        self.registered = 0
        self.echo = Echo()
        self.rtp = reactor.listenUDP(0, self.echo, host).getHost().port
        self.begin_events()

    def find(self, realm: str, host: str) -> Credential | None:
        """Our password is for our domain, by way of its proxy."""
        mine = self.mine
        credential = Credential(
            mine["user"], mine["password"], mine["domain"], frozenset((mine["domain"], self.proxy_host))
        )
        return credential if credential.serves(realm, host) else None

    def describe(self, version: int, direction: str) -> Body:
        host = self.mine["host"]
        return Body(
            (
                f"v=0\r\no=- 1 {version} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
                f"m=audio {self.rtp} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
            ).encode()
        )

    # Calls that come.

    def invite_received(self, invite: ServerInvite) -> None:
        self.ringing = invite
        tell("incoming", call_id=invite.request.call_id, replaces=invite.replaces is not None)
        answer = self.mine["answer"]
        if answer:
            if answer == 200:
                invite.progress(180)
            self.do_answer(answer)

    # Commands.

    def do_register(self, expires: int = 3600) -> None:
        host = self.mine["host"]
        transport = self.mine["transport"]
        contact = f"<sip:{self.mine['user']}@{host}:{self.mine['port']};transport={transport}>"
        self.registered += 1
        done: Deferred[Response] = self.request_outside(
            "REGISTER",
            f"sip:{self.mine['domain']}",
            from_=f"<{self.aor}>",
            to=f"<{self.aor}>",
            routes=self.routes,
            headers=(("Contact", contact), ("Expires", str(expires))),
            cseq=self.registered,
        )
        done.addCallbacks(
            lambda response: tell("registration", status=response.status),
            lambda failure: tell("registration", status=0, reason=str(failure.value)),
        )

    def do_call(self, uri: str, offer: bool = True, body: str = "") -> None:
        self.dialled = self.invite(
            uri,
            from_=f"<{self.aor}>",
            routes=self.routes,
            body=self.describe(1, "sendrecv") if offer else None,
        )

    def do_progress(self, status: int = 180, early: bool = False) -> None:
        assert self.ringing is not None
        self.ringing.progress(status, self.describe(1, "sendrecv") if early else None)

    def do_answer(self, status: int = 200) -> None:
        invite = self.ringing
        assert invite is not None
        if status >= 300:
            invite.reject(status)
            return
        session = invite.session
        assert isinstance(session, Talk)
        settled = session.offer_answer.settled
        invite.accept(None if settled else session.describe())
        self.sessions.append(session)

    def do_cancel(self) -> None:
        assert self.dialled is not None
        self.dialled.cancel((("Reason", "SIP;cause=487"),))

    def do_hangup(self) -> None:
        for session in list(self.sessions):
            session.bye()

    def do_hold(self) -> None:
        self.change(self.sessions[-1].reinvite(self.sessions[-1].describe("sendonly")))

    def do_resume(self) -> None:
        self.change(self.sessions[-1].reinvite(self.sessions[-1].describe()))

    def do_update(self) -> None:
        self.change(self.sessions[-1].update(self.sessions[-1].describe()))

    def do_info(self, body: str) -> None:
        self.change(self.sessions[-1].request("INFO", body=Body(body.encode(), "application/dtmf-relay")))

    def do_options(self, uri: str) -> None:
        self.change(self.request_outside("OPTIONS", uri, from_=f"<{self.aor}>", routes=self.routes))

    def do_packets(self) -> None:
        tell("packets", received=self.echo.packets)

    def do_state(self) -> None:
        tell("state", dialogs=len(self), transactions=self.layer.clients + self.layer.servers)

    def do_quit(self) -> None:
        reactor.callLater(0.02, reactor.stop)  # what was written goes out before

    def change(self, done: Deferred[Response]) -> None:
        """Tell what becomes of a request."""

        def failed(failure: Any) -> None:
            failure.trap(DialogError)
            tell("failed", reason=str(failure.value))

        done.addCallbacks(lambda response: tell("done", status=response.status), failed)


class Commands(LineOnlyReceiver):
    """Reads commands."""

    delimiter = b"\n"

    def __init__(self, phone: Phone) -> None:
        self.phone = phone

    def lineReceived(self, line: bytes) -> None:
        command = json.loads(line)
        name = command.pop("do")
        try:
            getattr(self.phone, f"do_{name}")(**command)
        except Exception as error:
            tell("error", command=name, text=repr(error))

    def connectionLost(self, reason: object = None) -> None:
        if reactor.running:
            reactor.stop()


def main() -> None:
    """Run the phone."""
    phone = Phone(json.loads(sys.argv[1]))
    StandardIO(Commands(phone))
    reactor.callWhenRunning(tell, "ready")
    reactor.run()


if __name__ == "__main__":
    main()
