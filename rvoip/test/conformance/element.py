"""Running elements and the peers around them, for messages that are sent as the RFCs print them.

Nothing here shares code with the servers: a message is read once more, as text.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Self

from rvoip.test.hostile.case import HostileCase
from rvoip.test.hostile.server import DOMAIN, Server
from rvoip.test.hostile.wire import Message, Stream, request

__all__ = [
    "COMPACT",
    "ElementCase",
    "Exchange",
    "Peer",
    "Phone",
    "Text",
    "element",
    "own_address",
    "plain_via",
]

COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

PORTS = (5060, 5061, 5050, 6050, 19823)
"""The sent-by ports of the senders in RFC 4475, RFC 5118 and the examples, none (5060) among them."""

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|<[^>]*>|.')


def own_address(last: int, ports: Sequence[int]) -> tuple[str, list[socket.socket]]:
    """An address of the test's own at which all these UDP ports are free, with the sockets bound there."""
    for number in range(last, 250):
        host = f"127.0.72.{number}"
        bound = []
        try:
            for port in ports:
                made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                bound.append(made)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                made.bind((host, port))
        except OSError:
            for made in bound:
                made.close()
            continue
        return host, bound
    raise AssertionError("no address is free")


class Text(Message):
    """A message as text: `fields` are (name in full, value on one line); lines may end with LF."""

    def __init__(self, wire: bytes) -> None:
        line = b"\r\n" if b"\r\n" in wire else b"\n"
        head, _, body = wire.partition(line + line)
        first, *rest = head.decode("utf-8", "surrogateescape").split(line.decode())
        super().__init__(first.encode("utf-8", "surrogateescape") + b"\r\n\r\n")
        self.wire = wire
        self.body = body
        self.headers = []
        for each in rest:
            if each[:1] in (" ", "\t"):
                name, value = self.headers[-1]
                self.headers[-1] = (name, f"{value} {each.strip()}".strip())
            elif each:
                name, _, value = each.partition(":")
                name = name.strip().lower()
                self.headers.append((COMPACT.get(name, name), value.strip()))

    def values(self, name: str) -> list[str]:
        """Every value of a header, those of one line apart."""
        found = []
        for text in self.all(name):
            value = ""
            for piece in _PIECE.findall(text):
                if piece == ",":
                    found.append(value.strip())
                    value = ""
                else:
                    value += piece
            found.append(value.strip())
        return found

    def lines_of(self) -> str:
        """Start line and headers, for a failure's message."""
        return "\n".join([self.head, *[f"{name}: {value}" for name, value in self.headers]])

    def except_for(self, *names: str) -> list[tuple[str, str]]:
        """All headers but these, in order."""
        return [(name, " ".join(value.split())) for name, value in self.headers if name not in names]


def plain_via(value: str) -> str:
    """A Via value without what a server notes in it, its blanks as the grammar would have them."""
    value = re.sub(r"\s*([/;=:])\s*", r"\1", " ".join(value.split()))
    return re.sub(r";(?:received=[^;]*|rport(?:=[^;]*)?)", "", value)


def top_via(message: Text) -> str:
    """The topmost Via value, as `plain_via` has it; "" without one."""
    vias = message.values("via")
    return plain_via(vias[0]) if vias else ""


def tagged(value: str) -> bool:
    """Whether a From or To has a tag."""
    return re.search(r";\s*tag\s*=", value.rpartition(">")[2]) is not None


class Peer:
    """Who sends: an address whose sockets listen wherever a response may be due.

    `ask` leaves room for responses by way of a normal OPTIONS, which a server must answer after anything.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.host, self.sockets = own_address(100, PORTS)
        self.probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.probe.bind((self.host, 0))
        # The transactions so far: a late answer to one of them may have the Call-ID and CSeq of another.
        self.transactions: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (*self.sockets, self.probe):
            each.close()

    def send(self, data: bytes) -> None:
        """One datagram, from port 5060."""
        self.sockets[0].sendto(data, self.server.address)

    def ask_options(self) -> str:
        """Send a normal OPTIONS from a socket of its own; its Call-ID."""
        host, port = self.probe.getsockname()
        wire = request(
            "OPTIONS", "sip:example.test", sent_by=f"{host}:{port}", sender="<sip:probe@example.test>;tag=p"
        )
        self.probe.sendto(wire, self.server.address)
        return Text(wire).get("call-id")


class Phone:
    """A callee that registers and answers: INVITE with 486, ACK with nothing, the rest with 200.

    It may be made before the server, which is then to be set as `server`.
    """

    server: Server

    def __init__(self, server: Server | None = None, port: int = 0) -> None:
        if server is not None:
            self.server = server
        self.host, (self.socket,) = own_address(60, (port,))
        port = self.socket.getsockname()[1]
        self.sent_by = f"{self.host}:{port}"
        self._registered: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for aor, user in self._registered.items():
            self.register(aor, user, 0)
        self.socket.close()

    def register(self, aor: str, user: str, expires: int = 600) -> None:
        """Bind sip:`user`@ this socket to an address-of-record, given as a URI, until this phone ends."""
        if expires:
            self._registered[aor] = user
        wire = request(
            "REGISTER",
            "sip:example.com",
            f"Contact: <sip:{user}@{self.sent_by}>;expires={expires}",
            sender=f"<{aor}>;tag=r",
            to=f"<{aor}>",
            sent_by=self.sent_by,
        )
        self.socket.sendto(wire, self.server.address)
        self.socket.settimeout(5.0)
        while (got := Text(self.socket.recv(65535))).get("call-id") != Text(wire).get("call-id"):
            continue
        if got.status != 200:
            raise AssertionError(f"REGISTER of {aor} was answered {got.head}")

    def answer(self, got: Text, server: tuple[str, int]) -> None:
        """Send the response to a request."""
        if not got.method or got.method == "ACK":
            return
        status = "486 Busy Here" if got.method == "INVITE" else "200 OK"
        lines = [f"SIP/2.0 {status}"]
        lines += [f"{name}: {value}" for name, value in got.headers if name in ("via", "record-route")]
        for name in ("from", "to", "call-id", "cseq"):
            tag = ";tag=callee" if name == "to" and not tagged(got.get("to")) else ""
            lines.append(f"{name}: {got.get(name)}{tag}")
        text = "\r\n".join([*lines, "Content-Length: 0", "", ""])
        self.socket.sendto(text.encode("utf-8", "surrogateescape"), server)


class Exchange:
    """What came of one message: `answers` to the sender with the port that each came to (0: a stream),
    `others` that belong to another request, and what the phone got. `probed` is the answer to OPTIONS;
    `closed` tells whether the stream was closed.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.answers: list[tuple[int, Text]] = []
        self.others: list[Text] = []
        self.forwarded: list[Text] = []
        self.probed: Text | None = None
        self.closed = False

    @property
    def final(self) -> Text | None:
        """The final response."""
        return next((answer for _, answer in self.answers if answer.status >= 200), None)


def element(
    role: str,
    tables: str,
    domains: Sequence[str] = (DOMAIN,),
    sip: str = "",
    users: dict[str, str] | None = None,
    t1: float = 0.05,
    files: Callable[[Server], object] | None = None,
) -> Callable[[str], Server]:
    """What makes a server of these domains at an address of the test's own, with quick timers.

    `files` puts what else it needs into its folder; with it there is a TLS listener.
    """

    def make(host: str) -> Server:
        host = "127.0.72." + host.rpartition(".")[2]
        server = Server(
            host,
            role,
            tables,
            sip=f"t1 = {t1}\n{sip}",
            domains=domains,
            users=users,
            tls=files is not None,
        )
        if files is not None:
            files(server)
        return server

    return make


class ElementCase(HostileCase):
    """Sends printed messages, and holds responses and forwarded requests to RFC 3261."""

    def exchange_one(
        self,
        peer: Peer,
        data: bytes,
        phone: Phone | None = None,
        stream: Stream | None = None,
        patience: float = 5.0,
        least: int = 0,
    ) -> Exchange:
        """Send a message, then OPTIONS; wait for what comes of both.

        Over a stream the message goes by it, and the OPTIONS over UDP. The final response to what the phone
        got is waited for `patience` seconds, and so are `least` answers: one that takes the database comes
        after that to the OPTIONS.
        """
        sent = Text(data)
        found = Exchange(peer)
        via = top_via(sent)
        earlier = peer.transactions - {via}
        peer.transactions.add(via)
        if stream is None:
            peer.send(data)
        else:
            stream.send(data)
        probe = peer.ask_options()
        # What comes on another socket than the answer to OPTIONS may come after it.
        idle = 0.003 if stream is None else 0.03
        waiting: list[socket.socket] = [*peer.sockets, peer.probe]
        if phone is not None:
            waiting.append(phone.socket)
        if stream is not None:
            waiting.append(stream.socket)
        began = now = time.monotonic()
        while now - began < 5.0:
            # Requests that got as far as the phone are answered by it.
            pending = bool(found.forwarded) and found.final is None and now - began < patience
            done = found.probed is not None and not pending and len(found.answers) >= least
            ready = select.select(waiting, [], [], idle if done else 0.2)[0]
            now = time.monotonic()
            if done and not ready:
                break
            for one in ready:
                if stream is not None and one is stream.socket:
                    messages = stream.drain(0.01)
                    for each in messages:
                        self._keep(found, sent, 0, Text(each.wire), earlier, peer, stream)
                    if not messages and stream.closed(0.01):
                        found.closed = True
                        waiting.remove(one)
                    continue
                got = Text(one.recv(65535))
                if phone is not None and one is phone.socket:
                    if got.method:
                        phone.answer(got, peer.server.address)
                        if got.method != "ACK" and got.get("call-id") == sent.get("call-id"):
                            found.forwarded.append(got)
                elif one is peer.probe:
                    if got.get("call-id") == probe:
                        found.probed = got
                else:
                    self._keep(found, sent, one.getsockname()[1], got, earlier, peer, None)
        self.assertIsNotNone(found.probed, f"OPTIONS is not answered after {sent.head}")
        assert found.probed is not None
        self.assertEqual(found.probed.status, 200, sent.head)
        return found

    def _keep(
        self,
        found: Exchange,
        sent: Text,
        port: int,
        answer: Text,
        earlier: set[str],
        peer: Peer,
        stream: Stream | None,
    ) -> None:
        """Note a response to this message, and acknowledge the final one to an INVITE."""
        if not answer.method and top_via(answer) in earlier:
            found.others.append(answer)
            return
        if sent.get("call-id") and (
            answer.get("call-id") not in sent.all("call-id") or answer.get("cseq") not in sent.all("cseq")
        ):
            found.others.append(answer)
            return
        if answer.method:
            return  # what the messages themselves registered is reached by the sender's flow
        found.answers.append((port, answer))
        if answer.status < 200 or not answer.get("cseq").endswith("INVITE") or sent.method != "INVITE":
            return
        if not sent.get("via") or not sent.get("from"):
            return
        lines = [
            f"ACK {sent.uri} SIP/2.0",
            f"Via: {sent.values('via')[0]}",
            "Max-Forwards: 70",
            f"From: {sent.get('from')}",
            f"To: {answer.get('to')}",
            f"Call-ID: {sent.get('call-id')}",
            f"CSeq: {sent.get('cseq').split()[0]} ACK",
            "Content-Length: 0",
        ]
        data = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
        if stream is None:
            peer.send(data)
        else:
            stream.send(data)

    def check_answer(self, peer: Peer, data: bytes, port: int, answer: Text, host: str = "") -> None:
        """RFC 3261 section 8.2.6 and 18.2: what a response copies, and where it is sent."""
        sent = Text(data)
        label = f"{sent.head[:60]}: {answer.lines_of()}"
        vias, ours = sent.values("via"), answer.values("via")
        self.assertEqual(len(vias), len(ours), label)
        self.assertEqual([plain_via(via) for via in vias], [plain_via(via) for via in ours], label)
        top = plain_via(vias[0]).partition(" ")[2].partition(";")[0]
        if not re.match(r"SIP/2\.0/\S+ [^;,]+(;[^;,]+)*\Z", plain_via(vias[0])):
            return  # nothing can be noted in it
        asked = re.search(r";\s*rport\s*(;|\Z)", vias[0]) is not None
        parameters = dict(re.findall(r";\s*(received|rport)\s*=\s*([^;\s]*)", ours[0]))
        if port:
            named = re.search(r":(\d+)\Z", top)
            expected = peer.sockets[0].getsockname()[1] if asked else int(named[1]) if named else 5060
            self.assertEqual(port, expected, label)
        self.assertEqual(parameters.get("received"), host or peer.host, label)
        if asked and port:
            self.assertEqual(parameters.get("rport"), str(port), label)
        for name in ("from", "call-id", "cseq"):
            self.assertEqual(answer.all(name), sent.all(name), label)
        for before, after in zip(sent.all("to"), answer.all("to"), strict=True):
            if tagged(before):
                self.assertEqual(after, before, label)
            elif answer.status > 100:
                self.assertRegex(after, re.escape(before) + r";tag=[^;]{6,}\Z", label)
        self.assertEqual(answer.get("content-length"), str(len(answer.body)), label)

    def check_forwarded(self, peer: Peer, data: bytes, got: Text, contact: str, host: str = "") -> None:
        """RFC 3261 section 16.6: what a proxy changes, and that it changes nothing else."""
        sent = Text(data)
        label = f"{sent.head[:60]}: {got.lines_of()}"
        self.assertEqual((got.method, got.uri), (sent.method, contact), label)
        vias, before = got.values("via"), sent.values("via")
        self.assertEqual([plain_via(via) for via in vias[1:]], [plain_via(via) for via in before], label)
        self.assertIn(f";received={host or peer.host}", re.sub(r"\s", "", vias[1]), label)
        address = "{}:{}".format(*peer.server.address)
        self.assertRegex(vias[0], rf"SIP/2\.0/UDP {re.escape(address)};branch=z9hG4bK\S+\Z", label)
        left = sent.get("max-forwards")
        self.assertEqual(got.all("max-forwards"), [str(int(left) - 1) if left else "70"], label)
        if sent.method in ("INVITE", "SUBSCRIBE", "REFER", "NOTIFY"):
            # Two where the sides differ in transport, or only the flow reaches the sender.
            ours = len(got.values("record-route")) - len(sent.values("record-route"))
            self.assertIn(ours, (1, 2), label)
            for value in got.values("record-route")[:ours]:
                self.assertRegex(value, rf"<sip:(\S+@)?{re.escape(address)};(transport=tcp;)?lr[;>]", label)
        # Nobody here is trusted to assert identities (RFC 3325 section 5).
        self.assertEqual(got.all("p-asserted-identity"), [], label)
        changed = "via max-forwards record-route route max-breadth content-length".split()
        # Credentials for a realm of ours are for nobody else, those for others go on (section 22.3).
        realms = re.findall(r'realm="([^"]*)"', " ".join(got.all("proxy-authorization")))
        self.assertFalse({realm for realm in realms if f'"{realm}"' in peer.server.text}, label)
        changed += ["p-asserted-identity", "proxy-authorization"]
        self.assertEqual(got.except_for(*changed), sent.except_for(*changed), label)
        # Of the messages that are stored with LF some count one octet a line end, some two, some none of it.
        self.assertIn(got.body, (sent.body, sent.body.replace(b"\n", b"\r\n")), label)
        if got.get("content-length") or sent.get("content-length"):
            self.assertEqual(got.get("content-length"), str(len(got.body)), label)
