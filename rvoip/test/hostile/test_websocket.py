"""WebSockets: pages of other sites, frames that break the rules, clients that never end or never read."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import ClassVar, Self

from rvoip.test.hostile.case import ATTACKER, CPU_S, PASSWORDS, QUICK
from rvoip.test.hostile.limited import ConnectionCase
from rvoip.test.hostile.server import DOMAIN, Server, free_port
from rvoip.test.hostile.wire import Message, request

SITE = "https://app.example.test"
URI = f"sip:{DOMAIN}"
TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9


def make_server(host: str) -> Server:
    """A proxy with registrar whose limits are met soon, and a WebSocket at its port plus one of its own."""
    server = Server(host, sip=QUICK, users=PASSWORDS, tables="[registrar]\n")
    listening = f"ws:{host}:{free_port(host)}"
    server.text = server.text.replace("[http]", "[sip.limits]\npartial = 0.6\nidle = 1.5\n\n[http]")
    server.text = server.text.replace("listen = [", f'ws_origins = ["{SITE}"]\nlisten = ["{listening}", ', 1)
    server.config.write_text(server.text, encoding="utf-8")
    return server


def web_address(server: Server) -> tuple[str, int]:
    """Where its WebSocket is."""
    found = server.text.partition('["ws:')[2].partition('"')[0].rpartition(":")
    return found[0], int(found[2])


def frame(
    kind: int, payload: bytes = b"", *, end: bool = True, masked: bool = True, length: int = -1
) -> bytes:
    """A frame as a client writes it; `length` is what it claims to have, when not its own."""
    if length < 0:
        length = len(payload)
    mask = 0x80 if masked else 0
    head = bytes(((0x80 if end else 0) | kind,))
    if length < 126:
        head += bytes((mask | length,))
    elif length < 65536:
        head += struct.pack("!BH", mask | 126, length)
    else:
        head += struct.pack("!BQ", mask | 127, length)
    if not masked:
        return head + payload
    key = os.urandom(4)
    pad = (key * (len(payload) // 4 + 1))[: len(payload)]
    masking = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return head + key + masking.to_bytes(len(payload), "big")


def opening(target: str = "/", **change: str | None) -> bytes:
    """The HTTP request of a good client; headers are changed or left out (None) by name with underscores."""
    headers: dict[str, str | None] = {
        "host": DOMAIN,
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol": "sip",
        "origin": SITE,
        **{name.replace("_", "-"): value for name, value in change.items()},
    }
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode()


class Client:
    """A client that writes what it is told to; it is connected, and with `opens` its handshake is over."""

    def __init__(self, server: Server, host: str = ATTACKER, *, opens: bool = True, buffer: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(5.0)
        self.socket.bind((host, 0))
        self.socket.connect(web_address(server))
        self.held = b""
        if opens:
            self.send(opening())
            assert self.status() == 101, self.held

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """Send all octets; False when the server has closed."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def more(self, patience: float) -> bool:
        """Read what there is; False when nothing comes in time, or the server has closed."""
        self.socket.settimeout(max(patience, 0.001))
        try:
            data = self.socket.recv(65536)
        except (TimeoutError, ConnectionResetError):
            return False
        self.held += data
        return bool(data)

    def status(self) -> int:
        """The status of the answer to the handshake."""
        ends = time.monotonic() + 5.0
        while b"\r\n\r\n" not in self.held and self.more(ends - time.monotonic()):
            pass
        head, _, self.held = self.held.partition(b"\r\n\r\n")
        return int(head.split()[1]) if head else 0

    def receive(self, patience: float = 5.0) -> tuple[int, bytes] | None:
        """Kind and payload of the next frame; None when none comes in time."""
        ends = time.monotonic() + patience
        while True:
            found = self._take()
            if found is not None:
                return found
            if not self.more(ends - time.monotonic()):
                return None

    def _take(self) -> tuple[int, bytes] | None:
        held = self.held
        if len(held) < 2:
            return None
        length, start = held[1], 2
        if length == 126:
            if len(held) < 4:
                return None
            length, start = struct.unpack_from("!H", held, 2)[0], 4
        if len(held) < start + length:
            return None
        self.held = held[start + length :]
        return held[0] & 0x0F, held[start : start + length]

    def close_code(self, patience: float = 5.0) -> int:
        """The code of the close frame, after which the server closes; what comes before it is dropped."""
        ends = time.monotonic() + patience
        while (found := self.receive(ends - time.monotonic())) is not None:
            if found[0] == CLOSE:
                assert self.ended(ends - time.monotonic()), "the server leaves the connection open"
                code: int = struct.unpack("!H", found[1][:2])[0]
                return code
        return 0

    def ended(self, patience: float) -> bool:
        """Whether the server closes within this time."""
        ends = time.monotonic() + patience
        while time.monotonic() < ends:
            self.socket.settimeout(max(ends - time.monotonic(), 0.001))
            try:
                if not self.socket.recv(65536):
                    return True
            except TimeoutError:
                return False
            except ConnectionResetError:
                return True
        return False

    def options(self) -> int:
        """The status of the answer to a normal OPTIONS."""
        wire = request("OPTIONS", URI, transport="WS", sent_by="a.invalid")
        self.send(frame(TEXT, wire))
        while (found := self.receive()) is not None:
            if found[0] == TEXT and Message(found[1]).get("call-id") == Message(wire).get("call-id"):
                return Message(found[1]).status
        return 0


class WebSocketTests(ConnectionCase):
    servers: ClassVar[dict[str, Callable[[str], Server]]] = {"web": make_server}

    def test_handshakes(self) -> None:
        """Each is refused with an answer that says why, and nothing of it is left."""
        server = self.serve("web")
        for wire, status in (
            (opening(origin="https://evil.test"), 403),
            (opening(origin="null"), 403),
            (opening(origin=f"{SITE}.evil.test"), 403),
            (opening(sec_websocket_protocol=None), 400),
            (opening(sec_websocket_protocol="chat, xmpp"), 400),
            (opening(sec_websocket_key="x"), 400),
            (opening(sec_websocket_version="7"), 426),
            (opening(upgrade=None, connection=None), 426),
            (opening("/other"), 404),
            (opening(host=None), 400),
            (opening(x_large="x" * 20_000), 431),
            (request("OPTIONS", URI, transport="WS"), 400),
            (os.urandom(300) + b"\r\n\r\n", 400),
        ):
            with Client(server, opens=False) as client:
                client.send(wire)
                self.assertEqual(client.status(), status, wire[:100])
                self.assertTrue(client.ended(5.0))
        with Client(server) as good:
            self.assertEqual(good.options(), 200)
        self.wait_for(lambda: self.connections(server) == 0)

    def test_broken_frames(self) -> None:
        server = self.serve("web")
        for wire, code in (
            (frame(TEXT, b"x" * 40, masked=False), 1002),
            (frame(TEXT, b"x", length=2**63), 1002),
            (frame(3, b"x"), 1002),
            (frame(CONTINUATION, b"x"), 1002),
            (frame(PING, b"x" * 200), 1002),
            (b"\xf1\x81maskx", 1002),
            (frame(TEXT, b"\xff\xff"), 1007),
            (frame(BINARY, b"x" * 70_000), 1009),
            (frame(BINARY, b"x" * 70_000, length=2**62), 1009),
            (frame(TEXT, b"x", end=False) + frame(CONTINUATION, b"x" * 40_000, end=False) * 2, 1009),
            (frame(TEXT, b"x", end=False) + frame(CONTINUATION, end=False) * 500, 1008),
            (frame(PING) * 500, 1008),
            (frame(TEXT) * 500, 1008),
        ):
            with Client(server) as client:
                client.send(wire)
                self.assertEqual(client.close_code(), code, wire[:60])
        self.wait_for(lambda: self.connections(server) == 0)

    def test_bad_sip_is_answered(self) -> None:
        """And the WebSocket stays, since where the next message begins is known."""
        server = self.serve("web")
        with Client(server) as client:
            client.send(frame(TEXT, b"hello"))
            client.send(frame(BINARY, os.urandom(500)))
            client.send(frame(TEXT, request("OPTIONS", URI, cseq="1_0 OPTIONS", transport="WS")))
            found = client.receive()
            assert found is not None
            self.assertEqual(Message(found[1]).status, 400)
            self.assertEqual(client.options(), 200)

    def test_floods_are_bounded(self) -> None:
        """Octets without end in one message: no memory, and little time."""
        server = self.serve("web")
        with Client(server) as client:
            client.options()
        before, began = server.pss(), server.cpu()
        for _ in range(5):
            with Client(server) as client:
                client.send(frame(BINARY, length=2**40))
                sent = 0
                while sent < 50 << 20 and client.send(b"x" * 65536):
                    sent += 65536
                self.assertLess(sent, 50 << 20, "the server reads for ever")
        self.assertLess(server.cpu() - began, 5 * CPU_S)
        self.assertLess(server.pss() - before, 2 << 20)

    def test_half_handshakes_from_one_address(self) -> None:
        """An octet at a time for ever: they end, and others get in meanwhile."""
        server = self.serve("web")
        with ExitStack() as stack:
            held = [stack.enter_context(Client(server, opens=False)) for _ in range(70)]
            wire = opening()
            ended = 0
            for index in range(80):
                for client in held[:60]:
                    client.send(wire[index : index + 1])
                if index == 20:
                    with Client(server, "127.0.71.202") as other:
                        self.assertEqual(other.options(), 200)
                time.sleep(0.05)
            for client in held:
                ended += client.ended(5.0)
            self.assertEqual(ended, len(held))
        self.wait_for(lambda: self.connections(server) == 0)

    def test_half_a_message(self) -> None:
        server = self.serve("web")
        with Client(server) as client:
            began = time.monotonic()
            client.send(frame(TEXT, b"OPTIONS ", end=False))
            while time.monotonic() - began < 8.0 and client.send(frame(PING, b"here")):
                time.sleep(0.1)
            self.assertLess(time.monotonic() - began, 6.0)

    def test_a_client_that_never_reads(self) -> None:
        server = self.serve("web")
        wire = frame(TEXT, request("OPTIONS", URI, "X: " + "x" * 200, transport="WS", sent_by="a.invalid"))
        with Client(server) as warm:
            warm.send(wire * 500)
            for _ in range(500):
                self.assertIsNotNone(warm.receive())
        before = peak = server.pss()
        clients = [Client(server, buffer=4096) for _ in range(2)]
        for client in clients:
            self.addCleanup(client.socket.close)
            client.socket.setblocking(False)
        open_still = list(clients)
        began = time.monotonic()
        # The 10 s begin when all that the kernel takes is full, which a busy server does not fill at once.
        while open_still and time.monotonic() - began < 40.0:
            for client in list(open_still):
                try:
                    for _ in range(20):
                        client.socket.send(wire * 30)
                except BlockingIOError:
                    continue
                except OSError:
                    open_still.remove(client)
            peak = max(peak, server.pss())
            time.sleep(0.05)
        self.assertEqual(open_still, [])
        self.assertGreater(time.monotonic() - began, 5.0)
        self.assertLess(peak - before, len(clients) * (2 << 20))

    def test_resets(self) -> None:
        """Answers to those that are gone are nobody's concern."""
        server = self.serve("web")
        wire = frame(TEXT, request("INVITE", f"sip:nobody@{DOMAIN}", transport="WS", sent_by="a.invalid"))
        for _ in range(100):
            with Client(server) as client:
                client.send(wire * 5)
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wait_for(lambda: self.connections(server) == 0)
        self.check_nothing_left(server)
