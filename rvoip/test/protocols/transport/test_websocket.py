"""The WebSocket machines, against each other and against what is written by hand."""

from __future__ import annotations

import os
import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.framing import KeepAlive
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.handshake import WebSocketRules
from rvoip.protocols.transport.websocket import (
    LARGEST_REQUEST,
    MAX_FRAGMENTS,
    MAX_IDLE_FRAMES,
    ClientWebSocket,
    ServerWebSocket,
    WebSocket,
)

LARGEST = 1000
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(kind: int, payload: bytes = b"", *, end: bool = True, masked: bool = True, more: int = 0) -> bytes:
    """A frame as a client writes it; `more` is added to the length that it claims to have."""
    length = len(payload) + more
    head = bytes(((0x80 if end else 0) | kind,))
    mask_bit = 0x80 if masked else 0
    if length < 126:
        head += bytes((mask_bit | length,))
    elif length < 65536:
        head += bytes((mask_bit | 126,)) + struct.pack("!H", length)
    else:
        head += bytes((mask_bit | 127,)) + struct.pack("!Q", length)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(octet ^ key[index % 4] for index, octet in enumerate(payload))


OPENING = bytes(ClientWebSocket(LARGEST, "example.test").output)


def take(socket: WebSocket) -> bytes:
    """What a side has to say."""
    said = bytes(socket.output)
    socket.output.clear()
    return said + socket.farewell() if socket.ended else said


def pair(largest: int = LARGEST) -> tuple[ClientWebSocket, ServerWebSocket]:
    """Both sides of an open WebSocket."""
    client, server = ClientWebSocket(largest, "example.test"), ServerWebSocket(largest, WebSocketRules())
    assert server.receive(take(client)) == []
    assert client.receive(take(server)) == []
    assert client.is_open and server.is_open
    return client, server


def close_code(data: bytes) -> int:
    """The code of the close frame at the end of what a server wrote."""
    start = data.rindex(b"\x88")
    code: int = struct.unpack_from("!H", data, start + 2)[0]
    return code


class MessageTests(SynchronousTestCase):
    def test_both_ways(self) -> None:
        client, server = pair()
        for message in (b"OPTIONS sip:a SIP/2.0\r\n", "SIP/2.0 200 Müller\r\n".encode(), b"body \xff\x00"):
            self.assertEqual(server.receive(client.message(message)), [message])
            self.assertEqual(client.receive(server.message(message)), [message])

    def test_text_where_it_is_text(self) -> None:
        _, server = pair()
        self.assertEqual(server.message("ü".encode())[0] & 0x0F, TEXT)
        self.assertEqual(server.message(b"\xff")[0] & 0x0F, BINARY)

    def test_several_at_once(self) -> None:
        client, server = pair()
        wire = b"".join(client.message(b"message %d" % number) for number in range(5))
        self.assertEqual(server.receive(wire), [b"message %d" % number for number in range(5)])

    def test_what_follows_the_request_at_once(self) -> None:
        client = ClientWebSocket(LARGEST, "example.test")
        server = ServerWebSocket(LARGEST, WebSocketRules())
        self.assertEqual(server.receive(take(client) + frame(TEXT, b"early")), [b"early"])
        self.assertEqual(client.receive(take(server) + server.message(b"answer")), [b"answer"])

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(
        st.lists(st.binary(min_size=1, max_size=300).filter(lambda data: data.strip(b"\r\n")), max_size=5),
        st.lists(st.integers(1, 200), max_size=20),
    )
    def test_however_it_is_cut(self, messages: list[bytes], cuts: list[int]) -> None:
        client = ClientWebSocket(LARGEST, "example.test")
        server = ServerWebSocket(LARGEST, WebSocketRules())
        wire = take(client) + b"".join(frame(BINARY, message) for message in messages)
        found = []
        for cut in [*cuts, len(wire)]:
            found += server.receive(wire[:cut])
            wire = wire[cut:]
        self.assertEqual(found, messages)

    def test_fragments(self) -> None:
        _, server = pair()
        self.assertEqual(server.receive(frame(TEXT, b"one ", end=False)), [])
        self.assertEqual(server.pending, 4)
        self.assertEqual(server.receive(frame(PING)), [KeepAlive.PONG])
        self.assertEqual(server.receive(frame(CONTINUATION, b"two")), [b"one two"])
        self.assertEqual(server.pending, 0)

    def test_keep_alives(self) -> None:
        """CRLFs as messages, since scripts cannot ping; an empty message is nothing."""
        client, server = pair()
        found = server.receive(b"".join(frame(TEXT, text) for text in (b"\r\n\r\n", b"\r\n", b"")))
        self.assertEqual(found, [KeepAlive.PING, KeepAlive.PONG])
        self.assertEqual(client.receive(server.pong(2)), [KeepAlive.PONG] * 2)

    def test_pings(self) -> None:
        client, server = pair()
        server.receive(frame(PING, b"a") + frame(PING, b"b"))
        self.assertEqual(take(server), b"\x8a\x01b", "one answer, to the last")
        client.receive(server.ping())
        self.assertEqual(server.receive(take(client)), [])
        self.assertTrue(server.ponged)


class BrokenTests(SynchronousTestCase):
    """What ends a WebSocket, with which code."""

    def check(self, code: int, *wires: bytes) -> ServerWebSocket:
        _, server = pair()
        for wire in wires:
            server.receive(wire)
        self.assertEqual(close_code(take(server)), code)
        self.assertTrue(server.ended)
        self.assertEqual(server.receive(frame(TEXT, b"further")), [])
        return server

    def test_protocol_errors(self) -> None:
        for wire in (
            frame(TEXT, b"x", masked=False),
            frame(3, b"x"),
            frame(CONTINUATION, b"x"),
            frame(TEXT, b"x", end=False) + frame(TEXT, b"y"),
            frame(PING, b"x", end=False),
            frame(PING, b"x" * 126),
            bytes((0x81, 0xFF)) + struct.pack("!Q", 2**63) + b"mask",
            bytes((0xC1, 0x81)) + b"maskx",
        ):
            self.check(1002, wire)

    def test_no_utf8(self) -> None:
        self.check(1007, frame(TEXT, b"\xff\xfe"))
        self.check(1007, frame(TEXT, b"\xc3", end=False), frame(CONTINUATION, b"x"))

    def test_too_long(self) -> None:
        client, server = pair()
        self.assertEqual(server.receive(client.message(b"x" * LARGEST)), [b"x" * LARGEST])
        self.check(1009, frame(TEXT, b"x" * (LARGEST + 1)))
        self.check(
            1009, *[frame(TEXT if not index else CONTINUATION, b"x" * 300, end=False) for index in range(4)]
        )
        server = self.check(1009, frame(BINARY, b"x" * 2000, more=2**62))
        self.assertEqual(server.pending, 0, "nothing of it is held")

    def test_too_long_by_its_own_word(self) -> None:
        """The head of the frame is enough; what came before it is taken."""
        for more in (LARGEST, 70_000, 2**40):
            head = frame(BINARY, more=more + 1)
            self.check(1009, head)
            self.check(1009, *[head[place : place + 1] for place in range(len(head))])
            _, server = pair()
            self.assertEqual(server.receive(frame(TEXT, b"hello") + head), [b"hello"])
            self.assertEqual(close_code(take(server)), 1009)
        self.check(1009, frame(TEXT, b"x", end=False), frame(CONTINUATION, more=2**40))

    def test_too_many_fragments(self) -> None:
        wires = [frame(TEXT, b"x", end=False)] + [frame(CONTINUATION, end=False)] * MAX_FRAGMENTS
        self.check(1008, b"".join(wires))
        _, server = pair()
        for wire in wires[: MAX_FRAGMENTS - 1]:
            server.receive(wire)
        self.assertEqual(server.receive(frame(CONTINUATION, b"y")), [b"xy"])

    def test_too_many_pings(self) -> None:
        for one in (frame(PING), frame(TEXT)):
            _, server = pair()
            server.receive(one * MAX_IDLE_FRAMES)
            server.receive(one * MAX_IDLE_FRAMES)
            self.assertEqual(server.ended, "")
            self.check(1008, one * (MAX_IDLE_FRAMES + 1))

    def test_the_peer_closes(self) -> None:
        for payload, code in ((struct.pack("!H", 1001) + b"bye", 1001), (b"", 1005)):
            _, server = pair()
            self.assertEqual(server.receive(frame(TEXT, b"last") + frame(CLOSE, payload)), [b"last"])
            self.assertEqual(server.ended, f"closed by the peer with {code}")
            self.assertEqual(take(server)[0], 0x88, "the close is answered")

    def test_we_close(self) -> None:
        client, server = pair()
        server.close(1001, "stopped")
        client.receive(take(server))
        self.assertEqual(take(server), b"", "once")
        self.assertRaises(FlowError, server.message, b"x")
        self.assertEqual(server.ping(), b"")
        self.assertEqual(client.ended, "closed by the peer with 1001")
        self.assertEqual(server.receive(take(client)), [])


class AnyOctetsTests(SynchronousTestCase):
    """Whatever comes, the machine raises nothing, holds little, and says nothing after its farewell."""

    frames = st.builds(
        frame,
        st.integers(0, 15),
        st.binary(max_size=200),
        end=st.booleans(),
        masked=st.booleans(),
        more=st.sampled_from([0, 0, 0, 1, 70_000]),
    )

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.lists(st.one_of(frames, st.binary(max_size=30)), max_size=12))
    def test_frames(self, pieces: list[bytes]) -> None:
        _, server = pair()
        for piece in pieces:
            server.receive(piece)
            self.assertLessEqual(server.pending, LARGEST)
            if server.ended:
                take(server)
                self.assertEqual((server.receive(frame(TEXT, b"x")), take(server)), ([], b""))

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
    def test_handshakes(self, pieces: list[bytes], begins_well: bool) -> None:
        client = ClientWebSocket(LARGEST, "a")
        server = ServerWebSocket(LARGEST, WebSocketRules())
        if begins_well:
            server.receive(take(client)[:-2])
        for piece in pieces:
            server.receive(piece)
            client.receive(piece)


class HandshakeTests(SynchronousTestCase):
    def refused(self, wire: bytes) -> int:
        server = ServerWebSocket(LARGEST, WebSocketRules())
        self.assertEqual(server.receive(wire), [])
        assert server.refusal is not None
        self.assertEqual(take(server), server.refusal.to_bytes())
        self.assertTrue(server.ended)
        self.assertEqual(server.receive(wire), [])
        return server.refusal.status

    def test_refused(self) -> None:
        for wire, status in (
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 405),
            (b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n", 404),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", 505),
            (OPENING.replace(b"HTTP/1.1", b"HTTP/1.0"), 505),
            (b"OPTIONS sip:example.test SIP/2.0\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
            (b"\r\n\r\n\r\n\r\nx\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * LARGEST_REQUEST, 431),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * LARGEST_REQUEST + b"\r\n\r\n", 431),
        ):
            self.assertEqual(self.refused(wire), status, wire)

    def test_incomplete(self) -> None:
        client, server = ClientWebSocket(LARGEST, "a"), ServerWebSocket(LARGEST, WebSocketRules())
        for octet in take(client)[:-1]:
            self.assertEqual(server.receive(bytes((octet,))), [])
        self.assertEqual((server.is_open, server.ended, take(server)), (False, "", b""))

    def test_a_client_that_is_refused(self) -> None:
        client = ClientWebSocket(LARGEST, "a", "/other")
        server = ServerWebSocket(LARGEST, WebSocketRules())
        server.receive(take(client))
        client.receive(take(server))
        self.assertEqual((client.is_open, client.ended), (False, "no WebSocket: 404"))

    def test_a_client_of_a_server_of_something_else(self) -> None:
        client = ClientWebSocket(LARGEST, "a")
        client.receive(b"SIP/2.0 400 Bad Request\r\n\r\n")
        self.assertRegex(client.ended, "^no WebSocket")
        client = ClientWebSocket(LARGEST, "a")
        server = ServerWebSocket(LARGEST, WebSocketRules())
        server.receive(take(client))
        client.receive(take(server).replace(b"Sec-WebSocket-Protocol: sip\r\n", b""))
        self.assertEqual(client.ended, "no WebSocket: the server speaks no sip")

    def test_an_origin(self) -> None:
        for origin, opened in (("https://app.test", True), ("https://evil.test", False)):
            client = ClientWebSocket(LARGEST, "a", "/ws", origin)
            server = ServerWebSocket(LARGEST, WebSocketRules(["https://app.test"]))
            server.receive(take(client))
            client.receive(take(server))
            self.assertEqual((client.is_open, server.is_open), (opened, opened))
