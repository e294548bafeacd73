"""The call flows of RFC 3665 section 3, as one of their proxies sees them.

Each message that goes into the proxy is the RFC's, and each that comes out is compared with the RFC's: all
headers, the body and the way. Only the proxy's own branches and Record-Route values are its own; they stand
in for the RFC's in what comes in after them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Target
from rvoip.proxy.proxy import Proxy, ProxySettings
from rvoip.proxy.record_route import RecordRoutes
from rvoip.proxy.targets import Destination
from rvoip.test.conformance import FOLDER, GIVEN
from rvoip.test.protocols.dialog.fakes import FakeFlow, FakeTransport
from rvoip.test.proxy.scene import sip

HOSTS = {
    "alice": ("client.atlanta.example.com", "192.0.2.101"),
    "ss1": ("ss1.atlanta.example.com", "192.0.2.111"),
    "alg1": ("alg1.atlanta.example.com", "192.0.2.128"),
    "bob": ("client.biloxi.example.com", "192.0.2.201"),
    "ss2": ("ss2.biloxi.example.com", "192.0.2.222"),
    "ss3": ("ss3.chicago.example.com", "192.0.2.233"),
    "bob2": ("client.chicago.example.com", "192.0.2.99"),
}

ALICE = "alice@atlanta.example.com"


MISPRINTS = {
    42: (";received=192.0.2.101", ";received=192.0.2.201"),
    62: ("CSeq: 3 ACK\r\n", "CSeq: 3 ACK\r\nContact: <sip:bob@client.biloxi.example.com>\r\n"),
    112: ("branch=z9hG4bKfgaw2", "branch=z9hG4bKfgaw2;received=192.0.2.99"),
    138: ("CANCEL sip:alice@atlanta.example.com", "CANCEL sip:bob@biloxi.example.com"),
    145: (
        "ss2.biloxi.example.com:5060;branch=z9hG4bK721e4.1",
        "ss1.atlanta.example.com:5060;branch=z9hG4bK2d4790.1",
    ),
    146: ("CSeq: 1 INVITE\r\n", "CSeq: 1 INVITE\r\nContent-Length: 0\r\n"),
}
"""What contradicts the messages beside it: an address, a Contact, a Request-URI, a Content-Length."""


def message_text(number: int) -> str:
    (path,) = (FOLDER / "sip/rfc-examples/rfc3665").glob(f"rfc3665-{number:03d}-*.sip")
    text = path.read_bytes().decode().replace("\r\n ", " ")
    if number in MISPRINTS:
        wrong, right = MISPRINTS[number]
        assert text.count(wrong) == 1, number
        text = text.replace(wrong, right)
    return text


class Transport(FakeTransport):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.listeners: list[Any] = []

    def flow_to(self, target: Target) -> FakeFlow:
        flow = super().flow_to(target)
        flow.sent_by = f"{HOSTS[self.name][0]}:5060"
        return flow

    def flow_by_token(self, token: str) -> FakeFlow | None:
        return next((flow for flow in self.flows.values() if flow.token == token), None)


class Element:
    """The proxy "ss1", "ss2" or "ss3", whose domain it serves; what DNS and the location service say."""

    def __init__(self, name: str, transport: str, settings: ProxySettings) -> None:
        self.name = name
        self.domain = HOSTS[name][0].partition(".")[2]
        self.kind = transport
        self.clock = Clock()
        self.transport = Transport(name)
        serial = iter(range(1, 1000))
        self.layer = TransactionLayer(
            self.transport, TimerWheel(self.clock), self.clock.seconds, lambda: f"{next(serial):016x}"
        )
        self.layer.user = self.proxy = Proxy(
            self.layer, self.transport, self, self, self, self, RecordRoutes(b"x" * 32), settings
        )
        self.ours: dict[str, str] = {}
        self.values: dict[str, list[str]] = {}

    # IDomains, ILocation, IAuthenticator and the locator

    def serves(self, uri: SipURI) -> bool:
        return uri.host == self.domain or self.is_self(uri)

    def is_self(self, uri: SipURI) -> bool:
        return uri.host == HOSTS[self.name][0]

    def aor(self, uri: SipURI) -> str:
        return uri.aor

    def lookup(self, aor: str) -> list[Destination]:
        host = HOSTS["bob2" if self.name == "ss3" else "bob"][0]
        return [Destination(sip(f"sip:bob@{host}"))]

    def authenticate(self, transaction: ServerTransaction) -> str | None:
        request = transaction.request
        for value in request.get_all("proxy-authorization"):
            if f'realm="{self.domain}"' in value:
                # In both realms they are of the RFC's Alice, whom its From names: whoever shows
                # credentials may call as himself only.
                return ALICE
        challenge = f'Digest realm="{self.domain}", nonce="n"'
        transaction.respond_stateless(
            respond(
                request, 407, to_tag=transaction.stateless_tag, headers=[("Proxy-Authenticate", challenge)]
            )
        )
        return None

    def locate_now(self, uri: SipURI) -> list[Target]:
        names = {"biloxi.example.com": "ss2", "atlanta.example.com": "ss1"}
        known = dict(HOSTS.values())
        return [Target(self.kind, known[HOSTS[names[uri.host]][0] if uri.host in names else uri.host], 5060)]

    # The flow

    def flow(self, host: str) -> FakeFlow:
        return self.transport.flow_to(Target(self.kind, HOSTS[host][1], 5060))

    def receive(self, number: int, host: str) -> None:
        """The RFC's message comes from a host."""
        text = message_text(number)
        for theirs, ours in self.ours.items():
            text = text.replace(theirs, ours)
        route = f"<sip:{HOSTS[self.name][0]};lr>"
        if host in self.values:
            text = text.replace(route, ", ".join(self.values[host]))
        message = parse_message(text.encode())
        check(message)
        if isinstance(message, Request):
            message.stamp_via(HOSTS[host][1], 5060)
        self.layer.message_received(message, self.flow(host))  # type: ignore[arg-type]

    def sent(self, host: str) -> Request | Response:
        """The next message that went to a host."""
        sent = self.flow(host).sent
        if not sent:
            self.clock.advance(0.25)  # a 100
        return parse_message(sent.pop(0))

    def learn_branch(self, theirs: Request, ours: Request) -> None:
        """From now on the RFC's branch is this."""
        self.ours[str(theirs.via.branch)] = str(ours.via.branch)

    def learn_routes(self, ours: Request | Response, host: str) -> None:
        """From now on a host's Route for us is what it was told in Record-Route.

        The caller sees the values in reverse (RFC 3261 section 12.1.2).
        """
        values = [one for one in ours.values("record-route") if HOSTS[self.name][0] in one]
        if values:
            self.values[host] = values if isinstance(ours, Request) else values[::-1]

    def leftovers(self) -> list[str]:
        return [
            f"{flow.remote}: {data[:60]!r}" for flow in self.transport.flows.values() for data in flow.sent
        ]


def shape(message: Request | Response, own: str) -> list[tuple[str, str]]:
    """All that is to be compared: header lines without their layout, lower Vias, what others recorded."""
    rest = [
        (name, " ".join(line.partition(":")[2].split()).replace(" ;", ";"))
        for name, line in zip(message.names, message.lines)
        if name not in ("via", "record-route", "max-breadth", "route")
    ]
    vias = [str(via) for via in message.vias]
    if isinstance(message, Request):
        del vias[0]
    recorded = [value for value in message.values("record-route") if own not in value]
    others = [("via", via) for via in vias]
    others += [("record-route", value) for value in recorded]
    others += [("route", value) for value in message.values("route") if own not in value]
    return sorted(rest) + others + [("body", message.body.decode())]


class FlowTests(SynchronousTestCase):
    def play(self, name: str, transport: str, steps: str, settings: ProxySettings | None = None) -> None:
        """Steps are "HOST>NUMBER" for what comes from a host, "NUMBER>HOST" for what goes there."""
        element = Element(name, transport, settings or ProxySettings())
        own = HOSTS[name][0]
        for step in steps.split():
            left, _, right = step.partition(">")
            if right.isdigit():
                element.receive(int(right), left)
                continue
            flag, number = ("", left) if left.isdigit() else (left[-1], left[:-1])
            theirs = parse_message(message_text(int(number)).encode())
            ours = element.sent(right)
            context = f"message {number}\n{ours}\n{theirs}"
            if flag == "~":  # what the proxy answers of its own accord
                assert isinstance(theirs, Response) and isinstance(ours, Response)
                self.assertEqual((ours.status, str(ours.cseq)), (theirs.status, str(theirs.cseq)), context)
                continue
            self.assertEqual(ours.start_line, theirs.start_line, context)
            self.assertEqual(shape(ours, own), shape(theirs, own), context)
            element.learn_routes(ours, right)
            if isinstance(ours, Request):
                assert isinstance(theirs, Request)
                element.learn_branch(theirs, ours)
        self.assertEqual(element.leftovers(), [])

    def test_3_2_through_two_proxies(self) -> None:
        self.play(
            "ss1",
            "TCP",
            "alice>21 22~>alice alice>23 alice>24 25>ss2 26~>alice ss2>30 31>alice ss2>33 34>alice "
            "alice>35 36>ss2 ss2>39 40>alice alice>41 42>ss2",
        )
        self.play(
            "ss2",
            "TCP",
            "ss1>25 27>bob 28~>ss1 bob>29 30>ss1 bob>32 33>ss1 ss1>36 37>bob bob>38 39>ss1 ss1>42 43>bob",
        )

    def test_3_3_with_authentication_at_both(self) -> None:
        self.play(
            "ss1",
            "UDP",
            "alice>44 45~>alice alice>46 alice>47 49>ss2 ss2>50 51>ss2 52>alice alice>53 alice>54 56>ss2 "
            "55~>alice ss2>60 61>alice alice>62 63>ss2",
        )
        self.play(
            "ss2",
            "UDP",
            "ss1>49 50~>ss1 ss1>51 ss1>56 58>bob 57~>ss1 bob>59 60>ss1 ss1>63 64>bob",
            ProxySettings(authenticate=True),
        )

    def test_3_4_after_the_first_proxy_failed(self) -> None:
        self.play(
            "ss2",
            "UDP",
            "alice>66 67~>alice alice>68 alice>69 70>bob 71~>alice bob>72 73>alice bob>74 75>alice "
            "alice>76 77>bob bob>78 79>alice alice>80 81>bob",
            ProxySettings(authenticate=True),
        )

    def test_3_5_behind_an_application_layer_gateway(self) -> None:
        self.play(
            "ss2",
            "UDP",
            "alg1>83 85>bob 84~>alg1 bob>87 88>alg1 bob>90 91>alg1",
            ProxySettings(authenticate=True, record_route=False),
        )

    def test_3_6_after_a_redirection(self) -> None:
        self.play(
            "ss3",
            "TCP",
            "alice>102 103>bob2 104~>alice bob2>105 106>alice bob2>107 108>alice alice>109 110>bob2 "
            "bob2>111 112>alice alice>113 114>bob2",
        )

    def test_3_7_without_record_route(self) -> None:
        self.play(
            "ss2",
            "UDP",
            "alice>115 116>bob 117~>alice bob>118 119>alice bob>120 121>alice",
            ProxySettings(record_route=False),
        )

    def test_3_8_cancelled(self) -> None:
        self.play(
            "ss1",
            "UDP",
            "alice>128 129>ss2 130~>alice ss2>134 135>alice alice>136 137~>alice 138>ss2 ss2>139 ss2>144 "
            "145>ss2 146>alice alice>147",
        )
        self.play(
            "ss2",
            "UDP",
            "ss1>129 131>bob 132~>ss1 bob>133 134>ss1 ss1>138 139~>ss1 140>bob bob>141 bob>142 143>bob "
            "144>ss1 ss1>145",
        )

    def test_3_9_busy(self) -> None:
        self.play("ss2", "TCP", "ss1>149 151>bob 152~>ss1")

    def test_3_11_temporarily_unavailable(self) -> None:
        self.play(
            "ss1",
            "UDP",
            "alice>165 166>ss2 167~>alice ss2>171 172>alice ss2>175 176>ss2 177>alice alice>178",
        )
        self.play(
            "ss2",
            "UDP",
            "ss1>166 168>bob 169~>ss1 bob>170 171>ss1 bob>173 174>bob 175>ss1 ss1>176",
        )


if not GIVEN:
    del FlowTests
