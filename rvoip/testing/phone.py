"""
A phone for tests: it registers, calls, answers and hangs up as the test says.

    network = SimulatedNetwork(seed=1, loss=0.05)
    alice = Phone(network.host("alice", "10.0.0.11"), "alice@example.test", password="x",
                  host="10.0.0.11", server=("10.0.0.1", 5060))
    alice.open()
    network.result_of(alice.register())
    call = alice.call("sip:bob@example.test")
    network.result_of(call.established())
    network.result_of(call.bye())
    assert alice.problems == [], alice.ladder()

It runs on any reactor, in memory or real, over UDP, TCP or TLS. With the servers that it tests it shares
`rvoip.protocols.sip` only: its transactions and calls are its own. Each message is kept, and `expect` waits
for one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.build import request
from rvoip.protocols.sip.grammar import format_host_port
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.testing.memory_wire import Endpoint, canonical
from rvoip.testing.phone_arrivals import Arrivals
from rvoip.testing.phone_call import (
    Call,
    CallFailed,
    answer_after,
    answer_at_once,
    busy,
    reject_with,
    ring,
    silent,
)
from rvoip.testing.phone_digest import Credentials
from rvoip.testing.phone_expect import NotMet
from rvoip.testing.phone_record import Message, Record, Recorded
from rvoip.testing.phone_transactions import ClientTransaction, ServerTransaction, Times
from rvoip.testing.phone_wire import Channel, PhoneWire

__all__ = [
    "Call",
    "CallFailed",
    "NoResponse",
    "NotMet",
    "Phone",
    "Recorded",
    "Times",
    "answer_after",
    "answer_at_once",
    "busy",
    "reject_with",
    "ring",
    "silent",
]

Responded = Callable[[Response], object]


class NoResponse(AssertionError):
    """No final response came to a request."""


class Phone:
    """
    A phone of the user `aor` ("alice@example.test") at `host`, an address of the reactor.

    `server` is where its requests go that are not within a call; without one they go to the host of the
    Request-URI, which must be numeric. `script` says what happens to an incoming call: `answer_at_once`,
    `answer_after(seconds)`, `ring`, `busy`, `reject_with(status)`, `silent`, or any function of a `Call`.

    All randomness comes from `seed` and the AOR. `problems` lists what a peer did that it must not do.
    """

    def __init__(
        self,
        reactor: Any,
        aor: str = "alice@example.test",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        transport: str = "UDP",
        server: Endpoint | None = None,
        password: str = "",
        display: str = "",
        script: Callable[[Call], object] = answer_at_once,
        headers: Iterable[tuple[str, str]] = (),
        times: Times | None = None,
        seed: int = 0,
        tls: Any = None,
        tls_server: Any = None,
    ) -> None:
        self.reactor = reactor
        self.aor = aor
        self.username, _, self.domain = aor.rpartition("@")
        self.server = server
        self.display = display
        self.script = script
        self.headers = list(headers)
        self.times = Times() if times is None else times
        self.subscribed: set[str] = set()
        """Call-IDs of subscriptions, whose NOTIFYs are agreed to."""
        self.remember_nonce = False
        """Whether a nonce is used again, with a higher count, without waiting for another challenge."""
        self.record = Record(reactor)
        self.calls: list[Call] = []
        self.problems: list[str] = []
        self.client_transactions: dict[tuple[str, str], ClientTransaction] = {}
        self.server_transactions: dict[tuple[str, str, str], ServerTransaction] = {}
        self._arrivals = Arrivals(self)
        self.wire = PhoneWire(
            reactor,
            transport,
            canonical(host),
            port,
            received=self._arrivals.received,
            failed=self._not_connected,
            garbage=lambda reason, peer: self.problems.append(f"from {peer}: {reason}"),
            tls=tls,
            tls_server=tls_server,
        )
        self._random = random.Random(f"{seed} {aor}")
        self.credentials = Credentials(self.username, password, self.new_tag)
        self._register_call_id = ""
        self._register_cseq = 0
        self._timers: list[IDelayedCall] = []

    def __repr__(self) -> str:
        return f"<Phone {self.aor} at {self.sent_by} over {self.transport}>"

    # what it is

    @property
    def messages(self) -> list[Recorded]:
        """All that was sent and received, in order."""
        return self.record.messages

    @property
    def transport(self) -> str:
        """ "UDP", "TCP", "TLS", "WS" or "WSS"."""
        return self.wire.transport

    @property
    def reliable(self) -> bool:
        """Whether its transport is a stream."""
        return self.wire.reliable

    @property
    def sent_by(self) -> str:
        """What it writes into its Via; over WebSocket a name that leads nowhere (RFC 7118 section 5)."""
        if self.wire.is_websocket:
            return f"{self.username}-browser.invalid"
        return format_host_port(self.wire.host, self.wire.port)

    @property
    def contact(self) -> str:
        """The URI that it can be reached at."""
        transport = "ws" if self.wire.is_websocket else self.transport.lower()
        param = "" if transport == "udp" else f";transport={transport}"
        return f"sip:{self.username}@{self.sent_by}{param}"

    def sdp(self, direction: str = "sendrecv") -> bytes:
        """A session description of G.711 at this phone's address; no media flows."""
        family = "IP6" if ":" in self.wire.host else "IP4"
        return (
            f"v=0\r\no=- 1 {self._random.randrange(1, 2**31)} IN {family} {self.wire.host}\r\ns=-\r\n"
            f"c=IN {family} {self.wire.host}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8\r\n"
            f"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na={direction}\r\n"
        ).encode("ascii")

    def new_branch(self) -> str:
        """A branch for a Via."""
        return f"z9hG4bK{self._random.getrandbits(64):016x}"

    def new_tag(self) -> str:
        """A tag."""
        return f"{self._random.getrandbits(64):016x}"

    def new_call_id(self) -> str:
        """A Call-ID."""
        return f"{self._random.getrandbits(96):024x}"

    # life

    def open(self) -> Phone:
        """Bind its port; returns itself."""
        self.wire.open()
        return self

    def close(self) -> Deferred[Any]:
        """End all timers and connections without a word to anyone; fires when the port is free."""
        for client in list(self.client_transactions.values()):
            client.stop()
        for server in list(self.server_transactions.values()):
            server.stop()
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self.record.stop()
        self._arrivals.stop()
        for call in self.calls:
            call.stop()
        return self.wire.close()

    def after(self, seconds: float, function: Callable[[], object]) -> None:
        """Call later, unless the phone is closed by then."""
        self._timers = [timer for timer in self._timers if timer.active()]
        self._timers.append(self.reactor.callLater(seconds, function))

    def wait_for(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Let something run that nobody waits for; what it fails of becomes a problem."""
        Deferred.fromCoroutine(coroutine).addErrback(
            lambda failure: self.problems.append(failure.getErrorMessage())
        )

    # doing

    async def register(
        self,
        expires: int = 3600,
        *,
        contacts: Iterable[str] | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Response:
        """
        Register, answering a challenge; returns the final response, whatever it is.

        `contacts` are Contact values in the place of the phone's own; an empty list asks for the bindings.
        All registrations of a phone have one Call-ID and rising CSeq (RFC 3261 section 10.2).
        """
        self._register_call_id = self._register_call_id or self.new_call_id()
        own = [f"<{self.contact}>"] if contacts is None else contacts
        address = NameAddr(f"sip:{self.aor}", self.display)
        made = request(
            "REGISTER",
            f"sip:{self.domain}",
            from_=NameAddr(f"sip:{self.aor}", self.display, {"tag": self.new_tag()}),
            to=address,
            call_id=self._register_call_id,
            cseq=self._next_register_cseq(),
            headers=[
                *(("Contact", contact) for contact in own),
                ("Expires", str(expires)),
                *self.headers,
                *headers,
            ],
        )
        return await self.final_response(
            made, self.destination(f"sip:{self.domain}"), self._next_register_cseq
        )

    def _next_register_cseq(self) -> int:
        self._register_cseq += 1
        return self._register_cseq

    async def unregister(self) -> Response:
        """Remove every binding of the AOR."""
        return await self.register(0, contacts=["*"])

    async def request(
        self,
        method: str,
        uri: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Response:
        """Send a request outside of calls (OPTIONS, MESSAGE ...); returns the final response."""
        cseq = 0

        def next_cseq() -> int:
            nonlocal cseq
            cseq += 1
            return cseq

        made = request(
            method,
            uri,
            from_=NameAddr(f"sip:{self.aor}", self.display, {"tag": self.new_tag()}),
            to=NameAddr(uri),
            call_id=self.new_call_id(),
            cseq=next_cseq(),
            contact=f"<{self.contact}>" if method in ("OPTIONS", "SUBSCRIBE", "REFER") else None,
            headers=[*self.headers, *headers],
            body=body,
            content_type=content_type,
        )
        return await self.final_response(made, self.destination(uri), next_cseq)

    async def options(self, uri: str | None = None) -> Response:
        """Ask what the server, or whoever `uri` is, can do."""
        return await self.request("OPTIONS", f"sip:{self.domain}" if uri is None else uri)

    def call(self, uri: str, sdp: bytes | None = None, headers: Iterable[tuple[str, str]] = ()) -> Call:
        """Call someone; see `Call` for what to wait for. `sdp` b"" offers nothing."""
        local = NameAddr(f"sip:{self.aor}", self.display, {"tag": self.new_tag()})
        call = Call(self, self.new_call_id(), local, NameAddr(uri), False)
        call.start(uri, self.sdp() if sdp is None else sdp, headers)
        return call

    def send_raw(self, data: bytes, to: Endpoint | None = None) -> None:
        """Send octets as they are."""
        destination = to or self.server
        assert destination is not None
        self.wire.send(data, destination)

    # expecting

    def expect(self, what: str | int | Callable[[Message], bool], within: float = 32.0) -> Deferred[Message]:
        """
        Fires with a message that came, or comes `within` seconds: of a method, of a status, or of which a
        function is true. Each message is for one expectation, and what repeats an earlier one for none.
        """
        fits = what if callable(what) else _fits(what)
        return self.record.expect(fits, within, lambda: f"{what!r}\n{self.ladder()}")

    def incoming(self, within: float = 32.0) -> Deferred[Call]:
        """Fires with the next incoming call, in the state that the script left it in."""
        return self._arrivals.incoming(within)

    def sent(self, what: str | int) -> list[Message]:
        """The messages sent of a method or status, repetitions included."""
        return [one.message for one in self.messages if one.sent and _fits(what)(one.message)]

    def received(self, what: str | int) -> list[Message]:
        """The messages received of a method or status, repetitions included."""
        return [one.message for one in self.messages if not one.sent and _fits(what)(one.message)]

    def ladder(self) -> str:
        """All messages, a line each, and the problems."""
        return "\n".join([f"{self.aor}:", *self.record.lines(), *self.problems])

    # sending, for the calls and transactions

    def destination(self, uri_text: str) -> Endpoint:
        """Where a request for this URI goes: a numeric host itself when within a call or without a server."""
        uri = parse_uri(uri_text)
        if isinstance(uri, SipURI) and (self.server is None or uri.port is not None or uri.loose):
            try:
                return canonical(uri.host), uri.port or (5061 if self.transport == "TLS" else 5060)
            except ValueError:
                pass  # a name: the server knows where it is
        if self.server is None:
            raise ValueError(f"{uri_text} has no numeric host, and the phone no server")
        return self.server

    def transmit(self, message: Message, destination: Endpoint) -> None:
        """Send and record."""
        self.record.sent(message, destination)
        self.wire.send(message.to_bytes(), destination)

    def transmit_on(self, message: Message, channel: Channel) -> None:
        """Send on the channel of what is answered, and record."""
        self.record.sent(message, channel.peer)
        channel.send(message.to_bytes())

    def final_response(
        self, made: Request, destination: Endpoint, next_cseq: Callable[[], int]
    ) -> Deferred[Response]:
        """Send a request that is no INVITE; fires with the final response, or fails with `NoResponse`."""
        result: Deferred[Response] = Deferred()

        def responded(response: Response) -> None:
            if response.status >= 200 and not result.called:
                result.callback(response)

        def gave_up(reason: str) -> None:
            result.errback(NoResponse(f"{made.method}: {reason}\n{self.ladder()}"))

        self.exchange(made, destination, responded, gave_up, next_cseq)
        return result

    def exchange(
        self,
        made: Request,
        destination: Endpoint,
        responded: Responded,
        gave_up: Callable[[str], object],
        next_cseq: Callable[[], int],
        sent: Callable[[ClientTransaction], object] = lambda transaction: None,
        attempts: int = 0,
    ) -> None:
        """
        Send a request, and when it is challenged again with credentials, once more still for a stale nonce.

        `sent` hears of each transaction before its request leaves.
        """
        plain = made.copy()
        if attempts == 0 and self.remember_nonce:
            self.credentials.answer_again(made)

        def take(response: Response) -> None:
            if response.status in (401, 407) and attempts < 2:
                again = plain.copy()
                again.set("cseq", f"{next_cseq()} {made.method}")
                if self.credentials.answer(again, response, stale_only=attempts > 0):
                    self.exchange(again, destination, responded, gave_up, next_cseq, sent, attempts + 1)
                    return
            responded(response)

        transaction = ClientTransaction(self, made, destination, take, gave_up)
        sent(transaction)
        transaction.start()

    # trouble

    def _not_connected(self, peer: Endpoint, reason: str) -> None:
        for transaction in list(self.client_transactions.values()):
            if transaction.destination == peer:
                transaction.fail(f"no connection: {reason}")


def _fits(what: str | int) -> Callable[[Message], bool]:
    def fits(message: Message) -> bool:
        if isinstance(message, Response):
            return message.status == what
        return message.method == what

    return fits
