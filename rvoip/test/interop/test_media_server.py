"""rtpengine as a media server keeps the contract, as far as its protocol goes, and relays across a bridge."""

from __future__ import annotations

import socket
import time
import wave
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from rvoip.mediacontrol.errors import MediaUnsupported
from rvoip.mediacontrol.far_side import far_of
from rvoip.mediacontrol.rtpengine import RTPEngine as Client
from rvoip.mediacontrol.rtpengine_server import RTPEngineServer
from rvoip.mediacontrol.schema import Answer, CreateBridge, CreateEndpoint, Play
from rvoip.test.interop.rtpengine import RTPEngine
from rvoip.testing.media_contract import MediaServerContract, answer_to, offer

HOST = "127.0.86.1"


class RTPEngineServerTests(MediaServerContract, TestCase):
    beyond = (
        "test_a_conference",
        "test_a_digit_barges_in",
        "test_a_lease_that_lapses",
        "test_a_recording",
        "test_all_at_once",
        "test_digits_are_collected",
    )
    prompt_seconds = 0.3
    patience = 2.0

    async def provider(self) -> Any:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        with wave.open(str(folder / "prompt.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(b"\x00\x10" * 2400)
        self.engine = await deferToThread(RTPEngine, folder, HOST)
        self.addCleanup(self.engine.close)
        tokens = iter(f"t{number}" for number in range(1_000_000))
        client = Client(reactor, (HOST, self.engine.port), lambda: next(tokens))
        client.open()
        self.addCleanup(client.close)
        return RTPEngineServer(reactor, client, lambda: "m", prompts=str(folder), wall_now=time.time)

    def peer(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        made.setblocking(False)
        self.addCleanup(made.close)
        return made

    async def got(self, peer: socket.socket) -> int:
        """How many packets a peer has got."""
        await deferLater(reactor, 0.1)
        count = 0
        while True:
            try:
                peer.recv(2048)
            except BlockingIOError:
                return count
            count += 1

    async def test_media_crosses_a_bridge(self) -> None:
        server, one, other = self.server, self.peer(), self.peer()
        first = await server.create_endpoint(CreateEndpoint(sdp=offer(one.getsockname()[1])))
        second = await server.create_endpoint(CreateEndpoint())
        await server.answer(second.id, Answer(sdp=answer_to(second.sdp, other.getsockname()[1])))
        await server.bridge(CreateBridge(endpoints=[first.id, second.id]))
        places = [far_of(each.sdp) for each in (first, second)]
        for number in range(20):
            for peer, place, kind in ((one, places[0], 8), (other, places[1], _payload_type(second.sdp))):
                header = bytes((0x80, kind)) + number.to_bytes(2, "big") + (number * 160).to_bytes(4, "big")
                peer.sendto(header + b"\0\0\0\7" + b"\xd5" * 160, (place.host, place.port))
            await deferLater(reactor, 0.02)
        self.assertGreater(await self.got(one), 10)
        self.assertGreater(await self.got(other), 10)
        report = await server.delete_endpoint(first.id)
        self.assertEqual(report.received.packets, 20)

    async def test_a_prompt_is_heard_by_the_peer(self) -> None:
        peer = self.peer()
        made = await self.server.create_endpoint(CreateEndpoint(sdp=offer(peer.getsockname()[1])))
        await self.server.play(made.id, Play(source="prompt.wav"))
        await deferLater(reactor, 0.4)
        self.assertGreater(await self.got(peer), 10)

    async def test_what_ng_has_no_word_for(self) -> None:
        for doing in (self.server.create_conference, self.server.collect, self.server.create_lease):
            arguments = [None] * (2 if doing == self.server.collect else 1)
            error = await self.assertFailure(doing(*arguments), Exception)
            self.assertIsInstance(error, MediaUnsupported)


def _payload_type(sdp: str) -> int:
    return 8 if "PCMA" in answer_to(sdp) else 0
