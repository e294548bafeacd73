"""The listings of docs/reference/rtp.md."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import rvoip
from rvoip.protocols.rtp.packet import RTPPacket
from rvoip.protocols.rtp.telephone_event import TelephoneEvent

DOCS = Path(rvoip.__file__).parent.parent / "docs"
PEER = ("192.0.2.9", 40_000)


class Socket:
    """What a UDP port is to its protocol."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def write(self, datagram: bytes, address: object) -> None:
        self.sent.append(datagram)


class RTPPageTests(SynchronousTestCase):
    def setUp(self) -> None:
        path = DOCS / "examples" / "rtp_echo" / "echo.py"
        if not path.exists():
            raise SkipTest("the examples are in a checkout only")
        spec = importlib.util.spec_from_file_location("rtp_echo_example", path)
        assert spec is not None and spec.loader is not None
        self.example: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.example)

    def test_one_stream(self) -> None:
        clock, socket = Clock(), Socket()
        echo = self.example.Echo(clock, lambda: 1.8e9 + clock.seconds(), cname="echo")
        echo.makeConnection(socket)
        self.addCleanup(echo.stopProtocol)
        for index in range(20):
            packet = RTPPacket(0, 65_530 + index & 0xFFFF, 160 * index, 7, bytes((index,)) * 160)
            echo.datagramReceived(packet.to_bytes(), PEER)
            clock.advance(0.01)
            echo.tick()
            clock.advance(0.01)
        event = RTPPacket(101, 20, 4000, 7, TelephoneEvent(5, True, 10, 800).to_bytes())
        for _ in range(3):
            echo.datagramReceived(event.to_bytes(), PEER)
        heard = [RTPPacket.parse(sent).payload[0] for sent in socket.sent if sent[1] < 192]
        self.assertEqual(heard, list(range(len(heard))))
        self.assertGreater(len(heard), 15)
        self.assertEqual(echo.digits, [5])

    def test_many_streams(self) -> None:
        streams = 50
        many = self.example.ManyEchoes(streams)
        heard: dict[int, list[int]] = {row: [] for row in range(streams)}
        for index in range(10):
            buffer = np.zeros((streams, 172), np.uint8)
            lengths = np.full(streams, 172)
            for row in range(streams):
                packet = RTPPacket(0, index, 160 * index, row, bytes((index,)) * 160)
                buffer[row] = np.frombuffer(packet.to_bytes(), np.uint8)
            buffer[7, 0] = 0  # no RTP
            many.received(buffer, lengths, 0.02 * index)
            speaking, out = many.tick(0.02 * index + 0.01)
            for row, datagram in zip(speaking.tolist(), out, strict=True):
                heard[row].append(RTPPacket.parse(datagram.tobytes()).payload[0])
        self.assertEqual(heard.pop(7), [])
        self.assertEqual(set(map(tuple, heard.values())), {tuple(range(len(heard[0])))})
        self.assertGreater(len(heard[0]), 6)

    def test_the_page_names_every_module(self) -> None:
        page = (DOCS / "reference" / "rtp.md").read_text(encoding="utf-8")
        for module in (
            "packet columns rtcp rtcp_xr reports schedule sources session protocol jitter jitter_stream "
            "telephone_event comfort_noise latch latch_table ports"
        ).split():
            self.assertIn(f"`{module}`", page)
