"""An open load of calls or registrations over UDP: both ends of it, as the clients of RFC 3261 behave.

It begins so many a second whatever becomes of those before, sends again what is not answered, acknowledges
and does not try again what is refused. A refusal costs it 10 us and a whole call 100, so that one core
offers several times of what a server takes.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from hashlib import md5
from heapq import heappop, heappush
from select import select

from rvoip.protocols.transport.mmsg import BATCH, ReceiveBatch, SendBatch
from rvoip.protocols.transport.sockets import pack_address

__all__ = ["Calls", "Load", "Outcome", "Registrations"]

T1 = 0.5
GIVE_UP = 10.0
"""Seconds after which a request without a final answer has failed: in an overload nobody waits for 32."""
HOLD = 0.3
"""Seconds that a call lasts."""
_BUFFER = 32 * 1024 * 1024
_FORCED = 33  # SO_RCVBUFFORCE

SDP = (
    "v=0\r\no=- 3 3 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\n"
)


class Outcome:
    """What became of the units of one load; times are in seconds."""

    def __init__(self) -> None:
        self.offered = 0
        self.completed = 0
        self.in_time = 0
        """Those that were completed while the load lasted."""
        self.refused = 0
        """Those that got 503."""
        self.failed: dict[str, int] = {}
        self.accepted = 0
        """Calls whose INVITE was answered 200."""
        self.broken = 0
        """Of those, the ones whose ACK or BYE did not get through."""
        self.setups: list[float] = []
        """How long each took to be answered, from the first time that it was sent."""
        self.resent = 0
        self.busy = 0.0
        """Part of its core that the load took."""
        self.late = 0.0
        """How far it was behind its rate, at worst."""

    def fail(self, reason: str) -> None:
        """Count one that came to nothing."""
        self.failed[reason] = self.failed.get(reason, 0) + 1

    @property
    def p99(self) -> float:
        """The time that 99 % of the answered took at most."""
        return sorted(self.setups)[int(len(self.setups) * 0.99)] if self.setups else 0.0


class Unit:
    """One call or registration."""

    __slots__ = ("acked", "began", "bye_sent", "phase", "provisional", "wire")

    def __init__(self, began: float, wire: bytes) -> None:
        self.began = began
        self.wire = wire
        """What is sent again until it is answered."""
        self.phase = 0
        self.provisional = False
        self.acked = False
        self.bye_sent = 0.0


class End:
    """A socket that sends and receives in batches."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, _FORCED, _BUFFER)
        except OSError:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self._receive = ReceiveBatch().receive
        self._send = SendBatch().send
        self._server = pack_address(socket.AF_INET, *server)
        self.out: list[bytes] = []

    def receive(self) -> list[tuple[bytes, bytes]]:
        """What has come."""
        return self._receive(self.socket.fileno(), 16)

    def flush(self) -> None:
        """Send what is in `out`; what the kernel does not take is lost."""
        out, self.out = self.out, []
        for start in range(0, len(out), BATCH):
            part = out[start : start + BATCH]
            self._send(self.socket.fileno(), 16, part, [self._server] * len(part))


class Load:
    """What both kinds of load have in common."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.ends = [End(server)]
        self.units: dict[int, Unit] = {}
        self.outcome = Outcome()
        self.now = time.monotonic()
        self.timers: list[tuple[float, int, Callable[[int, float], None], float]] = []
        self.serial = 0

    def begin(self) -> None:
        """Send the first message of a new unit."""
        raise AssertionError("each load has its own")

    def received(self, end: int, data: bytes) -> None:
        """A message came to one of the ends."""
        raise AssertionError("each load has its own")

    def after(self, seconds: float, call: Callable[[int, float], None], serial: int, delay: float) -> None:
        """Have `call(serial, delay)` called."""
        heappush(self.timers, (self.now + seconds, serial, call, delay))

    def start(self, wire: bytes) -> None:
        """Send a request, and again until `Unit.wire` is empty."""
        self.serial += 1
        self.units[self.serial] = Unit(self.now, wire)
        self.outcome.offered += 1
        self.ends[0].out.append(wire)
        self.after(T1, self.again, self.serial, T1)

    def again(self, serial: int, delay: float) -> None:
        """Send once more what is not answered, or give up."""
        unit = self.units.get(serial)
        if unit is None or not unit.wire:
            return
        if self.now - max(unit.began, unit.bye_sent) > GIVE_UP:
            self.gave_up(serial, unit)
            return
        self.ends[0].out.append(unit.wire)
        self.outcome.resent += 1
        self.after(delay * 2, self.again, serial, delay * 2)

    def gave_up(self, serial: int, unit: Unit) -> None:
        """Nobody answered."""
        del self.units[serial]
        self.outcome.fail(f"no answer in phase {unit.phase}")

    def run(self, rate: float, seconds: float) -> Outcome:
        """Begin `rate` units a second for this long, and wait for what became of them."""
        outcome = self.outcome = Outcome()
        began = self.now = time.monotonic()
        worked = time.process_time()
        ends, timers = self.ends, self.timers
        loaded = False
        while True:
            self.now = now = time.monotonic()
            if now - began < seconds:
                due = int((now - began) * rate) - outcome.offered
                outcome.late = max(outcome.late, due / rate)
                for _ in range(min(due, BATCH)):
                    self.begin()
            elif not loaded:
                loaded = True
                outcome.in_time = outcome.completed
                outcome.busy = (time.process_time() - worked) / (now - began)
            elif not self.units or now - began > seconds + GIVE_UP + 6:
                break
            while timers and timers[0][0] <= now:
                _, serial, call, delay = heappop(timers)
                call(serial, delay)
            count = 0
            for number, end in enumerate(ends):
                for data, _ in end.receive():
                    self.received(number, data)
                    count += 1
            for end in ends:
                if end.out:
                    end.flush()
            if not count:
                select([end.socket for end in ends], [], [], 0.001)
        for serial, unit in list(self.units.items()):
            self.gave_up(serial, unit)
        timers.clear()
        return outcome


def _field(data: bytes, name: bytes) -> bytes:
    start = data.find(b"\r\n" + name + b": ")
    if start < 0:
        return b""
    start += len(name) + 4
    return data[start : data.find(b"\r\n", start)]


def _serial(data: bytes) -> int:
    start = data.find(b"\r\nCall-ID: ") + 11
    return int(data[start : data.find(b"-", start)])


def _lines(data: bytes, name: bytes) -> list[bytes]:
    return [line for line in data.split(b"\r\n") if line.startswith(name)]


class Calls(Load):
    """INVITE, 180, 200, ACK, BYE and 200: the caller is end 0, the called, who is registered, end 1."""

    def __init__(self, server: tuple[str, int], domain: str) -> None:
        super().__init__(server)
        self.ends.append(End(server))
        self._run = f"{time.time_ns():x}"
        self._called: dict[int, bytes] = {}
        port = self.ends[0].port
        self._contact = f"\r\nContact: <sip:load@127.0.0.1:{self.ends[1].port}>".encode()
        self._head = (
            f"INVITE sip:load@{domain} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bK"
        ).encode()
        self._middle = (
            "-i\r\nMax-Forwards: 70\r\n"
            f"From: <sip:caller@{domain}>;tag=a\r\nTo: <sip:load@{domain}>\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:caller@127.0.0.1:{port}>\r\nUser-Agent: load\r\n"
            "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\nContent-Type: application/sdp\r\nCall-ID: "
        ).encode()
        self._tail = f"-{self._run}\r\nContent-Length: {len(SDP)}\r\n\r\n{SDP}".encode()
        self._via = f"\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bK".encode()

    def register(self, domain: str) -> bytes:
        """What makes the called end known."""
        port = self.ends[1].port
        return (
            f"REGISTER sip:{domain} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bKr\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:load@{domain}>;tag=r\r\nTo: <sip:load@{domain}>\r\n"
            f"Call-ID: register\r\nCSeq: 1 REGISTER\r\nContact: <sip:load@127.0.0.1:{port}>\r\n"
            "Expires: 3600\r\nContent-Length: 0\r\n\r\n"
        ).encode()

    def begin(self) -> None:
        """Call."""
        number = b"%d" % (self.serial + 1)
        self.start(b"".join((self._head, number, self._middle, number, self._tail)))

    def received(self, end: int, data: bytes) -> None:
        """Each end has its own messages."""
        if end == 1:
            self._at_called(data)
        elif data[:8] == b"SIP/2.0 ":
            self._at_caller(data)

    def _at_called(self, data: bytes) -> None:
        method = data[:4]
        serial = _serial(data)
        unit = self.units.get(serial)
        if method == b"ACK ":
            self._called.pop(serial, None)
            if unit is not None:
                unit.acked = True
                self._ended(serial, unit)
            return
        vias = b"\r\n".join(line for line in data.split(b"\r\n") if line[:4] in (b"Via:", b"Reco"))
        common = (
            b"\r\n"
            + vias
            + b"\r\nFrom: "
            + _field(data, b"From")
            + b"\r\nCall-ID: "
            + _field(data, b"Call-ID")
            + b"\r\nCSeq: "
            + _field(data, b"CSeq")
            + b"\r\nTo: "
            + _field(data, b"To")
        )
        out = self.ends[1].out
        if method == b"BYE ":
            self._called.pop(serial, None)
            out.append(b"SIP/2.0 200 OK" + common + b"\r\nContent-Length: 0\r\n\r\n")
        elif method == b"INVI":
            common += b";tag=b" + self._contact
            answer = (
                b"SIP/2.0 200 OK"
                + common
                + b"\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%b"
                % (len(SDP), SDP.encode())
            )
            out.append(b"SIP/2.0 180 Ringing" + common + b"\r\nContent-Length: 0\r\n\r\n")
            out.append(answer)
            if serial not in self._called:
                self._called[serial] = answer
                self.after(T1, self._answer_again, serial, T1)

    def _answer_again(self, serial: int, delay: float) -> None:
        answer = self._called.get(serial)
        if answer is None or delay > GIVE_UP:
            self._called.pop(serial, None)
            return
        self.outcome.resent += 1
        self.ends[1].out.append(answer)
        delay = min(delay * 2, 4.0) if delay < 4.0 else delay + 4.0
        self.after(min(delay, 4.0), self._answer_again, serial, delay)

    def _at_caller(self, data: bytes) -> None:
        serial = _serial(data)
        unit = self.units.get(serial)
        status = data[8:11]
        if unit is None:
            return
        outcome = self.outcome
        if _field(data, b"CSeq")[-3:] == b"BYE":
            if status == b"200" and unit.wire:
                unit.wire = b""
                unit.phase = 3
                self._ended(serial, unit)
            elif status >= b"300":
                outcome.broken += 1
                outcome.fail(f"BYE {status.decode()}")
                del self.units[serial]
        elif status < b"200":
            if unit.phase == 0:
                unit.wire = b""
                unit.phase = 1
                self.after(GIVE_UP, self._not_answered, serial, 0.0)
        elif status == b"200":
            ack = self._within(data, b"ACK", b"1", serial)
            self.ends[0].out.append(ack)
            if unit.phase < 2:
                unit.phase = 2
                unit.wire = b""
                outcome.accepted += 1
                outcome.setups.append(self.now - unit.began)
                bye = self._within(data, b"BYE", b"2", serial)
                self.after(HOLD, lambda serial, _: self._hang_up(serial, bye), serial, 0.0)
        else:
            head = data[: data.find(b"\r\n\r\n")]
            number = b"%d" % serial
            self.ends[0].out.append(
                b"ACK"
                + self._head[6:]
                + number
                + b"-i\r\nMax-Forwards: 70\r\nFrom: "
                + _field(head + b"\r\n", b"From")
                + b"\r\nTo: "
                + _field(head + b"\r\n", b"To")
                + b"\r\nCall-ID: "
                + _field(head + b"\r\n", b"Call-ID")
                + b"\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
            )
            del self.units[serial]
            if status == b"503" and b"\r\nRetry-After: " in data:
                outcome.refused += 1
            else:
                outcome.fail(f"INVITE {status.decode()}")

    def _within(self, answer: bytes, method: bytes, number: bytes, serial: int) -> bytes:
        routes = b"".join(b"\r\nRoute: " + line[14:] for line in reversed(_lines(answer, b"Record-Route: ")))
        uri = _field(answer, b"Contact").strip(b"<>")
        return b"".join(
            (
                method,
                b" ",
                uri,
                b" SIP/2.0",
                self._via,
                b"%d-" % serial,
                method,
                routes,
                b"\r\nMax-Forwards: 70\r\nFrom: ",
                _field(answer, b"From"),
                b"\r\nTo: ",
                _field(answer, b"To"),
                b"\r\nCall-ID: ",
                _field(answer, b"Call-ID"),
                b"\r\nCSeq: ",
                number,
                b" ",
                method,
                b"\r\nContent-Length: 0\r\n\r\n",
            )
        )

    def _not_answered(self, serial: int, _: float) -> None:
        unit = self.units.get(serial)
        if unit is not None and unit.phase == 1:
            self.gave_up(serial, unit)

    def _hang_up(self, serial: int, bye: bytes) -> None:
        unit = self.units.get(serial)
        if unit is not None:
            unit.wire = bye
            unit.bye_sent = self.now
            self.ends[0].out.append(bye)
            self.after(T1, self.again, serial, T1)

    def _ended(self, serial: int, unit: Unit) -> None:
        """It is complete when the ACK has arrived, and the BYE was answered."""
        if unit.phase == 3 and unit.acked:
            del self.units[serial]
            self.outcome.completed += 1
        elif unit.phase == 3:
            self.after(GIVE_UP, self._no_ack, serial, 0.0)

    def _no_ack(self, serial: int, _: float) -> None:
        unit = self.units.get(serial)
        if unit is not None:
            self.gave_up(serial, unit)

    def gave_up(self, serial: int, unit: Unit) -> None:
        """Of a call that stood that is worse."""
        if unit.phase >= 2:
            self.outcome.broken += 1
        super().gave_up(serial, unit)


class Registrations(Load):
    """REGISTER, 401, REGISTER with credentials, 200; each user has one contact and registers again."""

    def __init__(self, server: tuple[str, int], domain: str, users: int) -> None:
        super().__init__(server)
        self._run = f"{time.time_ns():x}"
        self._users = users
        self._domain = domain
        self._ha1 = [md5(f"u{number}:{domain}:pw-u{number}".encode()).hexdigest() for number in range(users)]
        self._ha2 = md5(f"REGISTER:sip:{domain}".encode()).hexdigest()

    def begin(self) -> None:
        """Register."""
        self.start(self._register(self.serial + 1, 1, ""))

    def _register(self, serial: int, number: int, credentials: str) -> bytes:
        user = f"u{serial % self._users}"
        domain, port = self._domain, self.ends[0].port
        return (
            f"REGISTER sip:{domain} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bK{serial}-{number}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{user}@{domain}>;tag=r\r\nTo: <sip:{user}@{domain}>\r\n"
            f"Call-ID: {serial}-{self._run}\r\nCSeq: {number} REGISTER\r\n"
            f"Contact: <sip:{user}@127.0.0.1:{port}>\r\nExpires: 3600\r\nUser-Agent: load\r\n"
            f"{credentials}Content-Length: 0\r\n\r\n"
        ).encode()

    def received(self, end: int, data: bytes) -> None:
        """An answer came."""
        serial = _serial(data)
        unit = self.units.get(serial)
        if unit is None:
            return
        status = data[8:11]
        if status == b"200":
            del self.units[serial]
            self.outcome.completed += 1
            self.outcome.setups.append(self.now - unit.began)
        elif status == b"503" and b"\r\nRetry-After: " in data:
            del self.units[serial]
            self.outcome.refused += 1
        elif status == b"401" and unit.phase == 0:
            unit.phase = 1
            challenge = _field(data, b"WWW-Authenticate").decode()
            nonce = challenge.partition('nonce="')[2].partition('"')[0]
            user = serial % self._users
            response = md5(f"{self._ha1[user]}:{nonce}:00000001:c:auth:{self._ha2}".encode()).hexdigest()
            unit.wire = self._register(
                serial,
                2,
                f'Authorization: Digest username="u{user}", realm="{self._domain}", nonce="{nonce}", '
                f'uri="sip:{self._domain}", response="{response}", algorithm=MD5, cnonce="c", qop=auth, '
                "nc=00000001\r\n",
            )
            self.ends[0].out.append(unit.wire)
            unit.bye_sent = self.now
            self.after(T1, self.again, serial, T1)
        elif status != b"401":
            del self.units[serial]
            self.outcome.fail(f"REGISTER {status.decode()}")
