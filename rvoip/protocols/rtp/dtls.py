"""DTLS-SRTP (RFC 5763, RFC 5764): a handshake from whose secret both sides take their SRTP keys.

`DTLSHandshake` is a machine around OpenSSL with buffers in place of a socket: datagrams come in, datagrams
and keys go out. Two things in it are OpenSSL's and not handed in: its randomness, and the clock of its flight
timer. `timeout` at the `deadline` asks OpenSSL, which may say that it is too early by its own clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from msgspec import Struct
from OpenSSL import SSL

from rvoip.protocols.rtp.dtls_context import DTLSContext, Role
from rvoip.protocols.rtp.dtls_records import ALERT, DATA, Record, client_random, pack, records
from rvoip.protocols.rtp.fingerprint import Fingerprint, matches, usable
from rvoip.protocols.rtp.suites import PROFILES, MasterKey, Suite

__all__ = [
    "Address",
    "DTLSClosed",
    "DTLSDrops",
    "DTLSFailed",
    "DTLSHandshake",
    "DTLSKeys",
    "DTLSOutput",
    "DTLSSend",
]

Address = tuple[str, int]

LIMIT: Final = 30.0
"""Seconds that a handshake may take."""
LINGER: Final = 10.0
"""Seconds for which OpenSSL's part, 70 KiB, is kept after the keys: a peer may repeat its last flight."""
MAX_DATAGRAMS: Final = 256
"""How many datagrams are looked at until it is done."""
MAX_RESTARTS: Final = 16
"""How often it may begin anew."""
MAX_HELLOS: Final = 4
"""How many hellos of clients are gone on with at the same time: which of them is forged shows later."""
REPEATS: Final = (0.1, 0.3)
"""Seconds after which a flight is sent again as it was, before OpenSSL would do so after 1 second.

A peer that has got it takes the copies for duplicates (RFC 6347 section 4.1.2.6); for one that has not, it
saves the better part of a second of every call that loses a datagram here.
"""

_LABEL: Final = b"EXTRACTOR-dtls_srtp"
_SUITES: Final[dict[bytes, Suite]] = {suite.openssl.encode(): suite for suite in PROFILES.values()}


class DTLSSend(Struct, frozen=True, gc=False):
    """Send this datagram to `remote`."""

    remote: Address
    datagram: bytes


class DTLSKeys(Struct, frozen=True, gc=False):
    """The handshake is done and the peer is who its description says: the keys for `SecureLeg`."""

    receive: MasterKey
    send: MasterKey


class DTLSFailed(Struct, frozen=True, gc=False):
    """There will be no keys. `reason` is one clause with nothing in it that the peer wrote."""

    reason: str


class DTLSClosed(Struct, frozen=True, gc=False):
    """The peer has ended the association, by an authentic alert. Its keys are good as long as the call is."""


DTLSOutput = DTLSSend | DTLSKeys | DTLSFailed | DTLSClosed


class DTLSDrops(Struct):
    """How many datagrams were not looked at, by reason."""

    not_validated: int = 0
    malformed: int = 0
    too_many: int = 0
    over: int = 0
    """After the end, or of the time before keys when there are keys."""


class DTLSHandshake:
    """One association: a handshake, and what comes after it.

    `fingerprints` are those of the peer's description; they may come later (`set_fingerprints`), and no key
    leaves before them. After `DTLSKeys` the machine repeats its last flight for a peer that lost it, and sees
    its end, for `LINGER` seconds.

    What an attacker can do who forges the address of the peer: a hello, an alert or rubbish before or amid
    the real handshake. Alerts that are not encrypted are not believed. A server goes on with each of the last
    `MAX_HELLOS` hellos; the one whose handshake comes to its end was the right one. A client that fails
    begins anew, `MAX_RESTARTS` times.
    """

    def __init__(
        self, context: DTLSContext, role: Role, fingerprints: Iterable[Fingerprint] | None = None
    ) -> None:
        self.context = context
        self.role: Role = role
        self.drops = DTLSDrops()
        self.remote: Address | None = None
        """Where the datagrams are sent."""
        self.done = False
        """Whether keys have been given out."""
        self.over = False
        """Whether it failed or was closed."""
        self._fingerprints: tuple[Fingerprint, ...] | None = None
        if fingerprints is not None:
            self._fingerprints = tuple(fingerprints)
        self._connection: SSL.Connection | None = None
        self._complete = False
        self._lingers: float | None = None
        self._listener: SSL.Connection | None = None
        self._hellos: dict[bytes, SSL.Connection] = {}
        self._begun: float | None = None
        self._datagrams = 0
        self._restarts = 0
        self._reason = "nothing came from the peer"
        self._flight: list[bytes] = []
        self._repeat = 0
        self._repeat_at: float | None = None
        self._timer_at: float | None = None

    @property
    def deadline(self) -> float | None:
        """When `timeout` is to be called (monotonic seconds)."""
        if self._lingers is not None:
            return self._lingers
        if self.over or self.done or self._begun is None:
            return None
        times = (self._begun + LIMIT, self._repeat_at, self._timer_at)
        return min(time for time in times if time is not None)

    def start(self, remote: Address, now: float) -> list[DTLSOutput]:
        """The address of the peer is validated, by ICE or by a trusted description: a client begins."""
        if self.over or self._begun is not None:
            return []
        self.remote = remote
        self._begun = now
        if self.role == "server":
            return []
        return self._renew(now)

    def set_fingerprints(self, fingerprints: Iterable[Fingerprint], now: float) -> list[DTLSOutput]:
        """The peer's description is here, or a new one that vouches for the same association."""
        if self.over or self.done:
            return []
        self._fingerprints = tuple(fingerprints)
        return self._keys(now) if self._complete else []

    def receive(self, datagram: bytes, source: Address, now: float, *, validated: bool) -> list[DTLSOutput]:
        """A datagram that begins like DTLS; never raises for it.

        `validated` says whether the caller knows that the peer receives at `source`; what does not come from
        such an address is not even looked at.
        """
        if not validated:
            self.drops.not_validated += 1
            return []
        found = records(datagram)
        if not found:
            self.drops.malformed += 1
            return []
        if self.over or (self._complete and self._connection is None):
            self.drops.over += 1
            return []
        if self._complete and not any(record.epoch for record in found):
            self.drops.over += 1
            return []
        if not self._complete:
            self._datagrams += 1
            if self._datagrams > MAX_DATAGRAMS:
                self.drops.too_many += 1
                return []
            if self.role == "client" and any(client_random(record) for record in found):
                return []
            found = [record for record in found if record.epoch or record.content not in (ALERT, DATA)]
        return self._fed(found, source, now) if found else []

    def _fed(self, found: list[Record], source: Address, now: float) -> list[DTLSOutput]:
        if self._begun is None:
            self._begun = now
        octets = b"".join(record.octets for record in found)
        if self.role == "server" and not self._complete:
            random = next((one for one in map(client_random, found) if one is not None), None)
            if random is None:
                self._find(octets)
            elif random in self._hellos:
                self._connection = self._hellos[random]
            else:
                return self._hear(octets, random, source, now)
        if self._connection is None:
            return []  # a server that has heard no hello
        self.remote = source
        self._connection.bio_write(octets)
        return self._advance(now)

    def _find(self, octets: bytes) -> None:
        """Let each association have what is no hello; the one that it completes is the one of the peer.

        What the others would answer is not sent: OpenSSL takes the octets of a wrong one for damaged.
        """
        for random, connection in list(self._hellos.items()):
            if connection is self._connection:
                continue
            connection.bio_write(octets)
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                continue
            except SSL.Error:
                del self._hellos[random]
                continue
            # Complete: what it is given below, by `_fed`, is a repetition.
            self._connection = connection
            return

    def _hear(self, octets: bytes, random: bytes, source: Address, now: float) -> list[DTLSOutput]:
        """Another hello than those that are gone on with: the real one, or a forged one."""
        if self._restarts > MAX_RESTARTS:
            return []
        connection = self._listener or self.context.connection("server")
        connection.set_app_data(source)
        connection.bio_write(octets)
        try:
            if self.context.cookies:
                # It is answered with a cookie, or has the right one; nothing is kept of it before.
                self._listener = connection
                connection.DTLSv1_listen()
                self._listener = None
            self._restarts += 1
            connection.do_handshake()
        except SSL.WantReadError:
            if self._listener is connection:
                return [DTLSSend(source, datagram) for datagram in _drained(connection, self.context.mtu)]
        except SSL.Error as error:
            self._listener = None
            self._reason = _clause(error)
            return []
        self._hellos[random] = self._connection = connection
        if len(self._hellos) > MAX_HELLOS:
            del self._hellos[next(iter(self._hellos))]
        self.remote = source
        sent = self._sent(now)
        self._set_timer(now)
        return sent

    def timeout(self, now: float) -> list[DTLSOutput]:
        """The deadline is reached."""
        if self._lingers is not None and now >= self._lingers:
            self._connection = self._lingers = None
        if self.over or self.done or self._begun is None:
            return []
        if now >= self._begun + LIMIT:
            return self._fail(f"not done after {LIMIT:.0f} seconds: {self._reason}")
        if self._connection is None:
            return []
        outputs: list[DTLSOutput] = []
        if self._repeat_at is not None and now >= self._repeat_at:
            self._repeat += 1
            self._set_repeat(now)
            outputs = self._to_peer(self._flight)
        if self._timer_at is not None and now >= self._timer_at:
            try:
                self._connection.DTLSv1_handle_timeout()
            except SSL.Error:
                return self._broken("too many retransmissions", now)
            outputs += self._to_peer(self._drained())
            self._set_timer(now)
        return outputs

    def close(self) -> list[DTLSOutput]:
        """End the association; the peer is told when there is one."""
        outputs: list[DTLSOutput] = []
        if self._complete and not self.over and self._connection is not None:
            try:
                self._connection.shutdown()
            except SSL.Error:
                pass
            outputs = self._to_peer(self._drained())
        self.over = True
        self._connection = self._listener = self._lingers = None
        self._hellos.clear()
        return outputs

    def _renew(self, now: float) -> list[DTLSOutput]:
        """Begin as a client, with a new association of OpenSSL's."""
        self._restarts += 1
        self._connection = self.context.connection("client")
        return self._advance(now)

    def _advance(self, now: float) -> list[DTLSOutput]:
        """Let OpenSSL work on what came."""
        connection = self._connection
        if connection is None:
            return []
        if self._complete:
            return self._read(connection, now)
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            sent = self._sent(now)
            self._set_timer(now)
            return sent
        except SSL.Error as error:
            return self._broken(_clause(error), now)
        self._complete = True
        self._listener = None
        self._hellos.clear()
        sent = self._sent(now)
        self._reason = "no description of the peer came"
        self._repeat_at = self._timer_at = None
        return sent + self._keys(now)

    def _read(self, connection: SSL.Connection, now: float) -> list[DTLSOutput]:
        """After the handshake: repeated flights are answered by OpenSSL, data is thrown away."""
        try:
            for _ in range(8):
                connection.recv(16384)
        except SSL.WantReadError:
            pass
        except SSL.Error:
            # An authentic alert, or an end that was asked for.
            outputs = self._to_peer(self._drained())
            self.over = True
            self._connection = self._lingers = None
            return [*outputs, DTLSClosed()] if self.done else [*outputs, DTLSFailed("closed by the peer")]
        return self._sent(now)

    def _broken(self, reason: str, now: float) -> list[DTLSOutput]:
        """The handshake cannot go on. It may have been disturbed: nothing is said, and another one begins."""
        self._reason = reason
        self._hellos = {
            random: connection
            for random, connection in self._hellos.items()
            if connection is not self._connection
        }
        self._connection = next(reversed(self._hellos.values()), None)
        self._flight, self._repeat_at = [], None
        self._set_timer(now)
        if self.role == "server":
            return []
        return self._renew(now) if self._restarts <= MAX_RESTARTS else self._fail(reason)

    def _keys(self, now: float) -> list[DTLSOutput]:
        """The keys, if the peer's certificate is one of its fingerprints."""
        if self._fingerprints is None or self._connection is None:
            return []
        connection = self._connection
        certificate = connection.get_peer_certificate(as_cryptography=True)
        suite = _SUITES.get(connection.get_selected_srtp_profile())
        if not usable(self._fingerprints):
            return self._fail("no fingerprint with a hash that counts")
        if certificate is None or not matches(
            certificate.public_bytes(serialization.Encoding.DER), self._fingerprints
        ):
            return self._fail("a certificate that the description does not vouch for")
        if suite is None:
            return self._fail("no SRTP profile in common")
        material = connection.export_keying_material(_LABEL, 2 * suite.length)
        # RFC 5764 section 4.2: both keys, then both salts, the client's first
        middle = 2 * suite.key_length
        keys = material[: suite.key_length], material[suite.key_length : middle]
        salts = material[middle : middle + suite.salt_length], material[middle + suite.salt_length :]
        client, server = (MasterKey(suite, key, salt) for key, salt in zip(keys, salts))
        self.done = True
        self._lingers, self._flight = now + LINGER, []
        return [DTLSKeys(server, client) if self.role == "client" else DTLSKeys(client, server)]

    def _fail(self, reason: str) -> list[DTLSOutput]:
        outputs = self.close()
        return [*outputs, DTLSFailed(reason)]

    def _drained(self) -> list[bytes]:
        return _drained(self._connection, self.context.mtu) if self._connection else []

    def _sent(self, now: float) -> list[DTLSOutput]:
        """What OpenSSL has to say; a flight, which is kept to be repeated."""
        flight = self._drained()
        if flight:
            self._flight, self._repeat = flight, 0
            self._set_repeat(now)
        return self._to_peer(flight)

    def _set_repeat(self, now: float) -> None:
        later = self._repeat < len(REPEATS)
        self._repeat_at = now + REPEATS[self._repeat] if later else None

    def _set_timer(self, now: float) -> None:
        """When OpenSSL wants to retransmit; at least 10 ms from now, should its clock be another."""
        left: Any = self._connection.DTLSv1_get_timeout() if self._connection else None
        self._timer_at = None if left is None else now + max(float(left), 0.01)

    def _to_peer(self, datagrams: list[bytes]) -> list[DTLSOutput]:
        if self.remote is None:
            return []
        remote = self.remote
        return [DTLSSend(remote, datagram) for datagram in datagrams]


def _clause(error: SSL.Error) -> str:
    """What OpenSSL calls it."""
    if error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][-1][-1])
    return "the handshake failed"


def _drained(connection: SSL.Connection, mtu: int) -> list[bytes]:
    """What OpenSSL has written, as datagrams."""
    stream = b""
    try:
        while True:
            stream += connection.bio_read(65536)
    except SSL.WantReadError:
        return pack(stream, mtu)
