"""RTP with a real phone: baresip calls an echo made of `rvoip.protocols.rtp`, and hears itself."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import rvoip
from rvoip.protocols.rtp.jitter import FRAME
from rvoip.protocols.rtp.packet import RTPPacket
from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.baresip import Baresip
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.processes import Process, until

RTP_PORT = 24_000


class EchoTests(InteropTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.echo_host = self.host()
        self.port = free_port(self.echo_host)
        script = str(Path(__file__).with_name("echo_phone.py"))
        root = str(Path(rvoip.__file__).parent.parent)
        self.echo = Process(
            "echo",
            [sys.executable, script, self.echo_host, str(self.port), str(RTP_PORT)],
            self.folder,
            environment={"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])},
        )
        self.echo.wait_for("^ready")
        host = self.host()
        self.phone = Baresip(
            self.folder, host, f"alice@{host}", line=f"<sip:alice@{host};transport=udp>;regint=0"
        )
        self.addCleanup(self.phone.close)

    def told(self) -> dict[str, Any]:
        """What the echo says of the call that is over."""
        found = self.echo.wait_for(r"^\{.*\}$")
        return dict(json.loads(found[0]))

    def call(self) -> None:
        self.phone.call(f"sip:echo@{self.echo_host}:{self.port};transport=udp")
        self.phone.talks()

    def test_a_phone_hears_itself(self) -> None:
        self.call()
        self.phone.hears(100)
        for digit in "15#":
            self.phone.do("sndcode", digit)
        self.phone.hears(50)
        self.phone.hang_up()
        told = self.told()
        self.assertEqual(told["malformed"] + told["lost"], 0)
        self.assertLessEqual(told["foreign"], 1)  # RTCP that comes before any sound
        self.assertGreater(told["packets_received"], 140)
        self.assertGreater(told["states"][str(FRAME)], 0.95 * told["packets_sent"])
        self.assertLess(told["delay"], 0.12)
        self.assertLess(told["jitter"], 0.02)
        self.assertEqual(told["digits"], "15#")

    def test_strangers_and_reports(self) -> None:
        """Somebody else sends to the port for as long as the call lasts; RTCP goes both ways."""
        self.call()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind((self.host(), 0))
            sent = 0

            def measured() -> bool:
                nonlocal sent
                for _ in range(5):
                    packet = RTPPacket(0, sent & 0xFFFF, 160 * sent, 9, bytes(160))
                    stranger.sendto(packet.to_bytes(), (self.echo_host, RTP_PORT))
                    stranger.sendto(b"\x80\xc9\0\1\0\0\0\7", (self.echo_host, RTP_PORT + 1))
                    sent += 1
                return "\nmeasured" in self.echo.output

            until(measured, "the time of a round trip", 40)
        self.phone.hang_up()
        told = self.told()
        self.assertGreaterEqual(told["foreign"], 2 * sent - 10)  # some may be under way
        # The stranger was there first: five packets of his, before the phone spoke.
        self.assertLessEqual(told["restarts"], 2)
        self.assertEqual((told["collisions"], told["lost"]), (0, 0))
        self.assertGreater(told["reports"].get("SenderReport", 0), 0)
        self.assertLess(told["round_trip"], 0.1)
