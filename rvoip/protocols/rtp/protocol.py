"""One RTP session on a UDP port of Twisted's: what a program subclasses that handles packets one by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from secrets import SystemRandom
from typing import Any, Final, Protocol, cast, final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from rvoip.common.clock import Clock, DelayedCall
from rvoip.protocols.rtp.columns import RTCP, RTP, kind_of
from rvoip.protocols.rtp.errors import RTPError
from rvoip.protocols.rtp.latch import Latch, LatchMode
from rvoip.protocols.rtp.packet import RTPPacket
from rvoip.protocols.rtp.rtcp import ControlPacket, parse_compound
from rvoip.protocols.rtp.session import RTPSession, SessionStatistics
from rvoip.protocols.rtp.sources import Address

__all__ = ["PacketSecurity", "RTCPPort", "RTPProtocol"]

_log = Logger()

_UNSENDABLE: Final = (OSError, OverflowError, ValueError)
"""What Twisted's `write` raises; InvalidAddressError is a ValueError. A peer chooses the address."""


class PacketSecurity(Protocol):
    """What protects packets and takes their protection off; `SecureLeg` of `srtp` is one.

    Each gives None for a packet that is not to be sent or heard.
    """

    def protect(self, packet: bytes) -> bytes | None:
        """An RTP packet for the peer."""

    def protect_control(self, packet: bytes) -> bytes | None:
        """A compound packet for the peer."""

    def unprotect(self, datagram: bytes) -> bytes | None:
        """An RTP packet of the peer."""

    def unprotect_control(self, datagram: bytes) -> bytes | None:
        """A compound packet of the peer."""


class RTPProtocol(DatagramProtocol):
    """A session of two parties. Works on `reactor.listenUDP`; give `port.control` to the port above, or
    `mux`.

    Subclasses override `packet_received`, `report_received` and `other_received`, which may be ``async``.
    Packets are handed over as they come; put a `JitterBuffer` behind them to hear them in order.
    """

    noisy = False

    def __init__(
        self,
        clock: Clock,
        wall_now: Callable[[], float],
        *,
        cname: str,
        rate: int = 8000,
        latch: Latch | None = None,
        mux: bool = True,
        reduced: bool = True,
        security: PacketSecurity | None = None,
        draw: Callable[[], float] | None = None,
        bandwidth: float = 400.0,
    ) -> None:
        """`latch` says who may send; without one everybody may, and is answered.

        `mux` puts RTCP on the port of media (RFC 5761), `reduced` permits RTCP without a report first (RFC
        5506). `draw` gives random numbers from 0 to 1; by default they are the system's.
        """
        self.clock = clock
        self.latch = latch or Latch(mode=LatchMode.OFF)
        self.mux = mux
        self.control = RTCPPort(self)
        """The protocol of the port for RTCP, where it has one of its own."""
        self.session = RTPSession(
            clock.seconds(), draw or SystemRandom().random, cname=cname, rate=rate, bandwidth=bandwidth
        )
        self.malformed = 0
        """Datagrams that were no packets."""
        self.unsent = 0
        """Packets that could not be sent: nowhere to, or refused."""
        self.failures = 0
        """Failures of hooks; the first is logged."""
        self._wall_now = wall_now
        self._reduced = reduced
        self._security = security
        self._timer: DelayedCall | None = None

    # -- hooks

    def packet_received(self, packet: RTPPacket, address: Address) -> Awaitable[object] | None:
        """A packet of media came from where it may come from."""

    def report_received(self, report: ControlPacket, address: Address) -> Awaitable[object] | None:
        """A packet of RTCP came: each of a compound packet by itself, BYE and descriptions too."""

    def other_received(self, kind: int, datagram: bytes, address: Address) -> Awaitable[object] | None:
        """A datagram that is neither, by its first octet: `columns.STUN`, `DTLS` or `UNKNOWN`."""

    # -- from the socket

    def startProtocol(self) -> None:
        """Begin to report."""
        self._arm()

    def stopProtocol(self) -> None:
        """The socket is closed."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    @final
    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Tell what it is, check who sends it, and hand it on."""
        address: Address = (addr[0], addr[1])
        kind = kind_of(datagram, rtcp_mux=self.mux)
        if kind == RTP:
            self._media(datagram, address)
        elif kind == RTCP:
            self.control_datagram(datagram, address)
        else:
            self._call(self.other_received, kind, datagram, address)

    def _media(self, datagram: bytes, address: Address) -> None:
        now = self.clock.seconds()
        try:
            if self._security is not None:
                plain = self._security.unprotect(datagram)
                if plain is None:
                    return
                packet = RTPPacket.parse(plain)
                allowed = self.latch.authenticated(address)
            else:
                packet = RTPPacket.parse(datagram)
                allowed = self.latch.media(address, packet.ssrc, packet.sequence, now)
        except RTPError:
            self.malformed += 1
            return
        if allowed and self.session.receive(packet, address, now, self._wall_now()):
            self._call(self.packet_received, packet, address)
        self._flush()

    @final
    def control_datagram(self, datagram: bytes, address: Address) -> None:
        """RTCP came, on this port or on its own."""
        now = self.clock.seconds()
        try:
            plain = datagram if self._security is None else self._security.unprotect_control(datagram)
            if plain is None:
                return
            packets = parse_compound(plain, reduced=self._reduced)
        except RTPError:
            self.malformed += 1
            return
        if not self.latch.control(address):
            return
        self.session.control(packets, len(plain), address, now, self._wall_now())
        for packet in packets:
            self._call(self.report_received, packet, address)
        self._flush()
        self._arm()

    def _call(self, hook: Callable[..., Awaitable[object] | None], *arguments: object) -> None:
        """Call a hook; its failure is the end of nothing."""
        try:
            outcome = hook(*arguments)
            if outcome is None:
                return
            waiting: Deferred[Any]
            if isinstance(outcome, Deferred):
                waiting = outcome
            else:
                waiting = Deferred.fromCoroutine(cast("Coroutine[Deferred[Any], Any, Any]", outcome))
            waiting.addErrback(self._failed)
        except Exception:
            self._failed(Failure())

    def _failed(self, failure: Failure) -> None:
        self.failures += 1
        if self.failures == 1:
            _log.failure("a hook of {protocol} failed", failure=failure, protocol=type(self).__name__)

    # -- to the socket

    def send(self, payload: bytes, payload_type: int, timestamp: int, *, marker: bool = False) -> None:
        """Send a packet of media to where the peer is; nothing happens where nobody knows."""
        packet = self.session.send(
            payload, payload_type, timestamp, self.clock.seconds(), marker=marker
        ).to_bytes()
        protected = packet if self._security is None else self._security.protect(packet)
        self._write(self.transport, protected, self.latch.remote)

    def leave(self, reason: str = "") -> None:
        """Say BYE; no more reports follow. Closing the port is the caller's."""
        self.session.leave(self.clock.seconds(), self._wall_now(), reason)
        self._flush()
        self.stopProtocol()

    def statistics(self) -> SessionStatistics:
        """What has been sent and heard so far."""
        return self.session.statistics()

    def _flush(self) -> None:
        """Send the RTCP that the session wants to be sent."""
        waiting, self.session.control_out = self.session.control_out, []
        for datagram in waiting:
            protected = datagram if self._security is None else self._security.protect_control(datagram)
            if self.mux:
                self._write(self.transport, protected, self.latch.remote)
            else:
                self._write(self.control.transport, protected, self.latch.control_remote)

    def _write(self, transport: Any, datagram: bytes | None, address: Address | None) -> None:
        if transport is None or datagram is None or address is None:
            self.unsent += 1
            return
        try:
            transport.write(datagram, address)
        except _UNSENDABLE:
            self.unsent += 1

    def _arm(self) -> None:
        """Keep a timer for the session's deadline."""
        self.stopProtocol()
        deadline = self.session.deadline
        if deadline is not None and self.transport is not None:
            delay = max(0.0, deadline - self.clock.seconds())
            self._timer = self.clock.callLater(delay, self._expired)

    def _expired(self) -> None:
        self._timer = None
        self.session.expire(self.clock.seconds(), self._wall_now())
        self._flush()
        self._arm()


class RTCPPort(DatagramProtocol):
    """The port above that of media, for RTCP without multiplexing; it belongs to an `RTPProtocol`."""

    noisy = False

    def __init__(self, owner: RTPProtocol) -> None:
        self._owner = owner

    @final
    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Hand it to the session."""
        if kind_of(datagram) == RTCP:
            self._owner.control_datagram(datagram, (addr[0], addr[1]))
        else:
            self._owner.malformed += 1
