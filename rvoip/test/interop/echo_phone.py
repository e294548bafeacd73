"""A phone that answers each call with an echo, made of `rvoip.protocols.rtp`; a process of its own.

    python echo_phone.py HOST PORT RTP_PORT

It takes PCMU and telephone events on RTP_PORT, with RTCP on the port above, and writes a line of JSON about
each call once it is over.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.task import LoopingCall

from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.agent import UserAgent
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.invite_server import ServerInvite
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.rtp.jitter import FRAME
from rvoip.protocols.rtp.jitter_stream import JitterBuffer
from rvoip.protocols.rtp.latch import Address, Latch
from rvoip.protocols.rtp.packet import RTPPacket
from rvoip.protocols.rtp.protocol import RTPProtocol
from rvoip.protocols.rtp.rtcp import ControlPacket
from rvoip.protocols.rtp.telephone_event import DIGITS, EventReceiver, EventStarted
from rvoip.protocols.sdp.session import parse
from rvoip.protocols.transport.addresses import ListenAddress
from rvoip.protocols.transport.layer import TransportLayer
from rvoip.protocols.transport.locate import Locator
from rvoip.protocols.transport.resolver import make_resolver
from rvoip.services.tokens import TokenSource

ANSWER = (
    "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0 {event}\r\na=rtpmap:{event} telephone-event/8000\r\na=ptime:20\r\n"
)


class EchoStream(RTPProtocol):
    """Plays back in order and in time what it hears."""

    def __init__(self, *arguments: Any, event: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.event = event
        self.digits = ""
        self.states: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()
        self.timestamp = 0
        self.measured = False
        self.jitter = JitterBuffer(8000)
        self.events = EventReceiver(8000)

    def packet_received(self, packet: RTPPacket, address: Address) -> None:
        now = self.clock.seconds()
        if packet.payload_type == self.event:
            self.jitter.pass_over(packet)
            for told in self.events.receive(packet.payload, packet.timestamp, now):
                if isinstance(told, EventStarted):
                    self.digits += DIGITS[told.event]
        else:
            self.jitter.push(packet, now, samples=len(packet.payload))

    def report_received(self, report: ControlPacket, address: Address) -> None:
        self.kinds[type(report).__name__] += 1
        if self.statistics().round_trip is not None and not self.measured:
            self.measured = True
            print("measured", flush=True)

    def tick(self) -> None:
        """Every 20 ms."""
        for frame in self.jitter.pull(160, self.clock.seconds()):
            self.states[frame.state] += 1
            if frame.state == FRAME:
                self.send(frame.payload, frame.payload_type, self.timestamp)
            self.timestamp += frame.samples


class EchoPhone(UserAgent):
    """One call at a time."""

    host = ""
    port = 0
    reactor: Any = None

    def invite_received(self, invite: ServerInvite) -> None:
        """Answer at once."""
        assert invite.offer is not None
        offer = parse(invite.offer.content)
        audio = offer.media[0]
        event = next(
            codec.payload_type for codec in audio.codecs if codec.encoding.lower() == "telephone-event"
        )
        connection = offer.connections_of(audio)[0]
        stream = EchoStream(
            self.reactor,
            time.time,
            cname="echo",
            event=event,
            mux=False,
            latch=Latch((connection.address, audio.port)),
        )
        media = self.reactor.listenUDP(self.port, stream, interface=self.host)
        control = self.reactor.listenUDP(self.port + 1, stream.control, interface=self.host)
        ticks = LoopingCall(stream.tick)
        ticks.start(0.02)

        def ended(*_: object) -> None:
            stream.leave()
            ticks.stop()
            media.stopListening()
            control.stopListening()
            statistics = stream.statistics()
            told = {
                "digits": stream.digits,
                "states": stream.states,
                "reports": stream.kinds,
                "malformed": stream.malformed,
                "foreign": stream.latch.dropped,
                "delay": stream.jitter.delay(self.reactor.seconds()),
                **{name: getattr(statistics, name) for name in statistics.__struct_fields__},
            }
            print(json.dumps(told), flush=True)

        body = Body(ANSWER.format(host=self.host, port=self.port, event=event).encode())
        session = invite.accept(body)
        session.ended = ended  # type: ignore[method-assign, assignment]


def main() -> None:
    """Listen until killed."""
    reactor: Any = global_reactor
    host, port, rtp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    transport = TransportLayer(reactor)
    layer = TransactionLayer(transport, TimerWheel(reactor), reactor.seconds, TokenSource())
    transport.receiver = layer
    transport.listen(ListenAddress("UDP", host, port))
    phone = EchoPhone(layer, Locator(make_resolver(reactor), reactor))
    phone.host, phone.port, phone.reactor = host, rtp, reactor
    layer.user = phone
    reactor.callWhenRunning(print, "ready", flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
