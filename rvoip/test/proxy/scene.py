"""A proxy with all it needs, on a simulated network with phones.

The transport, the transaction layer, the proxy and the digest are the real ones; where users are, and what
DNS says, are dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.task import deferLater
from zope.interface import implementer

from rvoip.auth.verify import DigestVerifier
from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.interfaces import ITransactionUser
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.dialog.transactions import TransactionLayer, TransactionLimits
from rvoip.protocols.sip import digest
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.protocols.transport.addresses import ListenAddress
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.protocols.transport.layer import TransportLayer
from rvoip.protocols.transport.locate import LocateError, Locator
from rvoip.proxy.interfaces import IDomains, ILocation
from rvoip.proxy.proxy import Proxy, ProxySettings
from rvoip.proxy.record_route import RecordRoutes, goes_by_flow
from rvoip.proxy.targets import Destination
from rvoip.services.authenticate import Authenticator
from rvoip.services.domains import Domains
from rvoip.testing.network import SimulatedNetwork
from rvoip.testing.phone import Phone, answer_at_once
from rvoip.testing.phone_wire import PhoneWire
from rvoip.users.passwords import HA1Set, ha1_set

PROXY = "10.0.0.1"
PORTS = {"TLS": 5061, "WS": 8088, "WSS": 8089}
DOMAIN = "example.test"
PASSWORD = "secret"


def sip(text: str) -> SipURI:
    uri = parse_uri(text)
    assert isinstance(uri, SipURI)
    return uri


@implementer(ILocation)
class Places:
    """Bindings by address-of-record; with `delay` it answers that many seconds later."""

    def __init__(self, reactor: Any) -> None:
        self.bindings: dict[str, list[Destination]] = {}
        self.users: set[str] = set()
        self.delay: float | None = None
        self.asked = 0
        self._reactor = reactor

    def _answer(self, value: Any) -> Any:
        self.asked += 1
        if self.delay is None:
            return value
        return deferLater(self._reactor, self.delay, lambda: value)

    def lookup(self, aor: str) -> Any:
        return self._answer(list(self.bindings.get(aor, ())))

    def lookup_device(self, uri: SipURI, aor: str) -> Any:
        """The one whose instance the `gr` parameter is."""
        instance = uri.param("gr")
        if not instance:
            return None
        return self._answer([one for one in self.bindings.get(aor, ()) if one.instance == f"<{instance}>"])

    def exists(self, aor: str) -> Any:
        return self._answer(aor in self.users)

    def bind(self, user: str, *destinations: Destination | str) -> None:
        """Say where a user is, by Destinations or URIs."""
        self.users.add(f"{user}@{DOMAIN}")
        self.bindings[f"{user}@{DOMAIN}"] = [
            one if isinstance(one, Destination) else Destination(sip(one)) for one in destinations
        ]


class Names(Locator):
    """Finds names in a dictionary; with `delay` it takes that many seconds, as DNS does."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(Any, reactor, rng=Random(1))  # type: ignore[arg-type]
        self.names: dict[str, list[Target]] = {}
        self.delay: float | None = None
        self.failures: list[Target] = []
        self._reactor = reactor

    def locate_now(self, uri: Any) -> list[Target] | None:
        if not isinstance(uri, SipURI) or ":" in uri.host or uri.host[-1].isdigit():
            return super().locate_now(uri)
        return None if self.delay is not None else self._named(uri)

    def _named(self, uri: SipURI) -> list[Target]:
        if uri.host not in self.names:
            raise LocateError(f"there is no {uri.host}")
        return self.blacklist.order(self.names[uri.host], self._now())

    async def locate(self, uri: Any) -> list[Target]:
        await deferLater(self._reactor, self.delay or 0.0, lambda: None)
        return self._named(uri)

    def failed(self, target: Target, seconds: float | None = None) -> None:
        self.failures.append(target)
        super().failed(target, seconds)


class Accounts:
    """Passwords of the users of the domain."""

    def lookup(self, user: str, realm: str) -> HA1Set | None:
        return ha1_set(user, realm, PASSWORD) if user in ("alice", "bob", "carol") else None


@implementer(ITransactionUser)
class Scene:
    """The network, the proxy on it at 10.0.0.1, and the phones; it takes REGISTER by itself."""

    def __init__(
        self,
        settings: ProxySettings | None = None,
        *,
        seed: int = 0,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        delay: tuple[float, float] = (0.0, 0.0),
        listen: tuple[str, ...] = ("UDP", "TCP"),
        tls: Any = None,
        limits: TransactionLimits | None = None,
        proxy_class: type[Proxy] = Proxy,
        trusted: Callable[[Flow], bool] = lambda flow: False,
        address: str = PROXY,
    ) -> None:
        self.address = address
        self.network = SimulatedNetwork(
            seed=seed, loss=loss, duplicate=duplicate, reorder=reorder, delay=delay
        )
        self.reactor = self.network.host("proxy", address)
        random = Random(f"proxy {seed}")
        self.transport = TransportLayer(self.reactor, tls=tls)
        self.wheel = TimerWheel(self.reactor)
        self.layer = TransactionLayer(
            self.transport,
            self.wheel,
            self.reactor.seconds,
            lambda: f"{random.getrandbits(64):016x}",
            Timers(),
            limits,
            user=self,
        )
        self.transport.receiver = self.layer
        for name in listen:
            self.transport.listen(ListenAddress(name, address, PORTS.get(name, 5060)))
        self.domains = Domains([DOMAIN], [(one.host, one.port) for one in self.transport.listeners])
        assert IDomains.providedBy(self.domains)
        self.places = Places(self.reactor)
        self.locator = Names(self.reactor)
        verifier = DigestVerifier.with_secret(digest, random.randbytes(32))
        self.authenticator = Authenticator(verifier, Accounts(), self.domains, self.reactor.seconds)  # type: ignore[arg-type]
        self.proxy = proxy_class(
            self.layer,
            self.transport,
            self.locator,
            self.domains,
            self.places,
            self.authenticator,
            RecordRoutes(random.randbytes(32)),
            settings,
            trusted,
        )
        self.phones: dict[str, Phone] = {}
        self._peers: list[Peer] = []

    # ITransactionUser: a registrar that believes everyone, before the proxy

    def request_received(self, transaction: ServerTransaction) -> Any:
        request = transaction.request
        uri = request.uri
        if request.method != "REGISTER" or not isinstance(uri, SipURI) or not self.domains.serves(uri):
            return self.proxy.request_received(transaction)
        aor = self.domains.aor(request.to.sip_uri)
        flow = transaction.flow
        bindings = self.places.bindings.setdefault(aor, [])
        self.places.users.add(aor)
        for contact in request.contacts:
            uri = contact.sip_uri
            bindings[:] = [one for one in bindings if one.uri != uri]
            by_flow = "reg-id" in contact.params or goes_by_flow(uri, flow)
            bindings.append(
                Destination(
                    uri,
                    tuple(request.values("path")),
                    flow.token if by_flow else None,
                    1000,
                    "reg-id" in contact.params,
                    contact.param("+sip.instance") or "",
                )
            )
        transaction.respond(respond(request, 200, to_tag="registered"))
        return None

    def ack_received(self, request: Request, flow: Flow) -> None:
        self.proxy.ack_received(request, flow)

    def response_unmatched(self, response: Response, flow: Flow) -> None:
        self.proxy.response_unmatched(response, flow)

    # who is on the network

    def phone(
        self,
        name: str,
        *,
        script: Any = answer_at_once,
        transport: str = "UDP",
        register: bool = True,
        port: int = 5060,
        device: str = "",
        address: str = "",
        **more: Any,
    ) -> Phone:
        """A phone of NAME@example.test, registered; `device` tells several phones of one user apart."""
        host = device or name
        address = address or f"10.0.1.{len(self.network.hosts)}"
        reactor = self.network.host(host, address)
        phone = Phone(
            reactor,
            f"{name}@{DOMAIN}",
            host=address,
            port=port,
            transport=transport,
            server=(self.address, PORTS.get(transport, 5060)),
            password=PASSWORD,
            script=script,
            seed=1000 * self.network.seed + len(self.network.hosts),
            **more,
        )
        phone.open()
        self.phones[host] = phone
        if register:
            self.network.result_of(phone.register(), within=100)
        return phone

    def peer(self, name: str, transport: str = "UDP") -> Peer:
        """Somebody who sends and receives what the test writes, at port 5060 of a host of its own."""
        address = f"10.0.2.{len(self.network.hosts)}"
        peer = Peer(self, self.network.host(name, address), address, transport)
        self._peers.append(peer)
        return peer

    # time, and the end

    def advance(self, seconds: float = 0.0) -> None:
        self.network.advance(seconds)

    def result(self, awaitable: Any, within: float = 100.0) -> Any:
        return self.network.result_of(awaitable, within)

    def problems(self) -> list[str]:
        """What phones complained of."""
        return [f"{name}: {problem}" for name, phone in self.phones.items() for problem in phone.problems]

    def leftovers(self) -> list[str]:
        """What the proxy still remembers of requests, or would still do for them."""
        layer = self.layer
        found = [f"{one.request.method} {one.state}" for one in layer]
        if len(self.wheel):
            found.append(f"{len(self.wheel)} timers")
        if layer._invites or layer._accepted:
            found.append(f"{layer._invites} and {layer._accepted} INVITEs counted")
        if len(layer._answered):
            found.append(f"{len(layer._answered)} answers")
        return found


class Peer:
    """A UDP or TCP endpoint without any logic; `inbox` has what came and was not taken."""

    def __init__(self, scene: Scene, reactor: Any, address: str, transport: str) -> None:
        self.scene = scene
        self.address = address
        self.transport = transport
        self.inbox: list[Request | Response] = []
        self.wire = PhoneWire(
            reactor,
            transport,
            address,
            5060,
            received=lambda data, channel: self.inbox.append(parse_message(data)),
            failed=lambda peer, reason: None,
            garbage=lambda reason, peer: None,
        )
        self.wire.open()
        self._serial = 0

    def send(self, text: str | bytes, to: tuple[str, int] = (PROXY, 5060)) -> None:
        """Send, and let the network be quiet again."""
        self.wire.send(text.encode() if isinstance(text, str) else text, to)
        self.scene.advance(0.001)

    def take(self) -> list[Any]:
        """What came since the last time."""
        taken, self.inbox = self.inbox, []
        return taken

    def one(self) -> Any:
        """The one message that came."""
        (found,) = self.take()
        return found

    def starts(self) -> list[str]:
        """What came since the last time, shortened."""
        return [
            one.method if isinstance(one, Request) else f"{one.status} {one.cseq.method}"
            for one in self.take()
        ]

    def _contact(self, user: str) -> str:
        param = "" if self.transport == "UDP" else f";transport={self.transport.lower()}"
        return f"sip:{user}@{self.address}:5060{param}"

    def request(
        self,
        method: str = "INVITE",
        uri: str = f"sip:bob@{DOMAIN}",
        *,
        from_: str = f"sip:alice@{DOMAIN}",
        to: str = "",
        to_tag: str = "",
        call_id: str = "",
        cseq: int = 1,
        branch: str = "",
        contact: str | None = None,
        contact_params: str = "",
        forwards: str = "70",
        extra: str = "",
        body: str = "",
    ) -> str:
        """A request as text, each with a branch and a Call-ID of its own unless given."""
        self._serial += 1
        tag = f";tag={to_tag}" if to_tag else ""
        contact = self._contact("alice") if contact is None else contact
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport} {self.address}:5060;branch={branch or f'z9hG4bK-{self._serial}'}",
            f"Max-Forwards: {forwards}",
            f"From: <{from_}>;tag=from-{self.address}",
            f"To: <{to or uri}>{tag}",
            f"Call-ID: {call_id or f'{self._serial}@{self.address}'}",
            f"CSeq: {cseq} {method}",
        ]
        if contact:
            lines.append(f"Contact: <{contact}>{contact_params}")
        text = "\r\n".join(lines) + "\r\n" + extra
        return f"{text}Content-Length: {len(body)}\r\n\r\n{body}"

    def answer(
        self, request: Request, status: int, to_tag: str = "", extra: str = "", contact: str | None = None
    ) -> str:
        """The response to what came, as text."""
        copied = ("via", "from", "to", "call-id", "cseq", "record-route")
        lines = [f"SIP/2.0 {status} Answered"]
        for name, line in zip(request.names, request.lines):
            if name in copied:
                if name == "to" and ";tag=" not in line and status > 100:
                    line = f"{line};tag={to_tag or f'to-{self.address}'}"
                lines.append(line)
        contact = self._contact("bob") if contact is None else contact
        if contact:
            lines.append(f"Contact: <{contact}>")
        return "\r\n".join(lines) + f"\r\n{extra}Content-Length: 0\r\n\r\n"
