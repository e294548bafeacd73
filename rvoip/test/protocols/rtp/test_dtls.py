"""DTLS-SRTP: both roles, all profiles, loss, strangers, forged datagrams, wrong certificates."""

from __future__ import annotations

import hashlib
import random
import time
from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.dtls import (
    LIMIT,
    LINGER,
    MAX_DATAGRAMS,
    Address,
    DTLSClosed,
    DTLSDrops,
    DTLSFailed,
    DTLSHandshake,
    DTLSKeys,
    DTLSOutput,
    DTLSSend,
)
from rvoip.protocols.rtp.dtls_context import DEFAULT_PROFILES, DTLSContext, answer_setup, role_of
from rvoip.protocols.rtp.dtls_records import records
from rvoip.protocols.rtp.errors import RTPBuildError
from rvoip.protocols.rtp.fingerprint import Identity
from rvoip.protocols.rtp.srtp import SecureLeg
from rvoip.protocols.rtp.suites import AEAD_AES_128_GCM, AES_256_CM_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_80
from rvoip.test.protocols.rtp.chromium import HELLO
from rvoip.test.protocols.rtp.secure import rtp

CLIENT = ("198.51.100.7", 5000)
SERVER = ("192.0.2.1", 20000)
STRANGER = ("203.0.113.5", 666)
WALL = datetime(2026, 1, 1, tzinfo=UTC)
OURS, THEIRS = Identity.make(WALL), Identity.make(WALL)


def randomness(length: int) -> bytes:
    """Octets that are always the same."""
    return hashlib.shake_128(b"cookies").digest(length)


def forged_hello(ciphers: bytes = b"\x00\x01", random: bytes = bytes(32), cookie: bytes = b"") -> bytes:
    """A ClientHello of an attacker: the only cipher is the NULL one, unless it says another."""
    body = b"\xfe\xfd" + random + b"\0" + bytes((len(cookie),)) + cookie
    body += len(ciphers).to_bytes(2, "big") + ciphers + b"\x01\x00"
    message = b"\x01" + len(body).to_bytes(3, "big") + bytes(5) + len(body).to_bytes(3, "big") + body
    return b"\x16\xfe\xff" + bytes(8) + len(message).to_bytes(2, "big") + message


ALERT = b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28"
"""A fatal handshake_failure that is not encrypted, so that anybody can make it."""


class Network:
    """A client and a server, and what is between them. Lost is what `lose` says, by its number."""

    def __init__(
        self, client: DTLSHandshake, server: DTLSHandshake, lose: frozenset[int] = frozenset()
    ) -> None:
        self.ends = {CLIENT: client, SERVER: server}
        self.got: dict[Address, list[DTLSOutput]] = {CLIENT: [], SERVER: []}
        self.datagrams: list[tuple[Address, bytes]] = []
        self.lose = lose
        self.now = 1.0

    def start(self) -> None:
        """Both are told that the other one's address is validated."""
        self.take(SERVER, self.ends[SERVER].start(CLIENT, self.now))
        self.take(CLIENT, self.ends[CLIENT].start(SERVER, self.now))

    def take(self, end: Address, outputs: list[DTLSOutput]) -> None:
        """What one end wants, and all that comes of it."""
        other = SERVER if end == CLIENT else CLIENT
        self.got[end] += [output for output in outputs if not isinstance(output, DTLSSend)]
        for output in outputs:
            if isinstance(output, DTLSSend) and output.remote == other:
                number = len(self.datagrams)
                self.datagrams.append((end, output.datagram))
                if number not in self.lose:
                    self.take(other, self.ends[other].receive(output.datagram, end, self.now, validated=True))

    def pass_time(self, until: float) -> None:
        """Let the deadlines pass, one after the other."""
        while True:
            due = [
                (machine.deadline, end)
                for end, machine in self.ends.items()
                if machine.deadline is not None and machine.deadline <= until
            ]
            if not due:
                self.now = until
                return
            self.now, end = min(due)
            self.take(end, self.ends[end].timeout(self.now))

    def keys(self, end: Address) -> DTLSKeys:
        """The keys of one end."""
        [found] = [one for one in self.got[end] if isinstance(one, DTLSKeys)]
        return found


def handshakes(
    client: DTLSContext | None = None, server: DTLSContext | None = None
) -> tuple[DTLSHandshake, DTLSHandshake]:
    """A client and a server that expect each other."""
    client, server = client or DTLSContext(OURS), server or DTLSContext(THEIRS)
    return (
        DTLSHandshake(client, "client", [server.identity.fingerprint()]),
        DTLSHandshake(server, "server", [client.identity.fingerprint()]),
    )


class DTLSTestCase(SynchronousTestCase):
    """Handshakes that lead to media."""

    def assertMedia(self, network: Network) -> DTLSKeys:
        """Both have keys, and each opens what the other protects."""
        client, server = network.keys(CLIENT), network.keys(SERVER)
        self.assertEqual((client.receive, client.send), (server.send, server.receive))
        self.assertNotEqual(client.send, client.receive)
        one, other = SecureLeg(client.receive, client.send), SecureLeg(server.receive, server.send)
        self.assertEqual(other.unprotect(one.protect(rtp(1)) or b""), rtp(1))
        self.assertEqual(one.unprotect(other.protect(rtp(1)) or b""), rtp(1))
        for end in (CLIENT, SERVER):
            self.assertTrue(network.ends[end].done)
            deadline = network.ends[end].deadline
            assert deadline is not None
            self.assertTrue(0 < deadline - LINGER <= network.now)
        return client


class HandshakeTests(DTLSTestCase):
    def test_each_profile(self) -> None:
        for suite in DEFAULT_PROFILES:
            network = Network(*handshakes(server=DTLSContext(THEIRS, [suite])))
            network.start()
            self.assertEqual(self.assertMedia(network).send.suite, suite)

    def test_the_server_prefers(self) -> None:
        server = DTLSContext(THEIRS, [AES_CM_128_HMAC_SHA1_80, AEAD_AES_128_GCM])
        network = Network(*handshakes(server=server))
        network.start()
        chosen = self.assertMedia(network).send.suite
        self.assertIn(chosen, (AES_CM_128_HMAC_SHA1_80, AEAD_AES_128_GCM))

    def test_no_profile_in_common(self) -> None:
        client = DTLSContext(OURS, [AEAD_AES_128_GCM])
        network = Network(*handshakes(client, DTLSContext(THEIRS, [AES_CM_128_HMAC_SHA1_80])))
        network.start()
        network.pass_time(40.0)
        for end in (CLIENT, SERVER):
            self.assertIn(DTLSFailed("no SRTP profile in common"), network.got[end])

    def test_the_mtu_is_respected(self) -> None:
        for mtu in (256, 600, 1200):
            network = Network(*handshakes(DTLSContext(OURS, mtu=mtu), DTLSContext(THEIRS, mtu=mtu)))
            network.start()
            self.assertMedia(network)
            self.assertLessEqual(max(len(datagram) for _, datagram in network.datagrams), mtu)
            if mtu == 1200:
                self.assertEqual(len(network.datagrams), 4)

    def test_fingerprints_that_come_later(self) -> None:
        client, server = handshakes()
        server = DTLSHandshake(server.context, "server")
        network = Network(client, server)
        network.start()
        self.assertEqual(len(network.got[CLIENT]), 1)
        self.assertEqual(network.got[SERVER], [])
        self.assertFalse(server.done)
        network.now = 2.0
        network.take(SERVER, server.set_fingerprints([OURS.fingerprint()], 2.0))
        self.assertMedia(network)
        self.assertEqual(server.set_fingerprints([THEIRS.fingerprint()], 3.0), [])

    def test_fingerprints_that_never_come(self) -> None:
        client, server = handshakes()
        server = DTLSHandshake(server.context, "server")
        network = Network(client, server)
        network.start()
        network.pass_time(1.0 + LIMIT)
        reason = "not done after 30 seconds: no description of the peer came"
        self.assertEqual(network.got[SERVER], [DTLSFailed(reason)])
        self.assertTrue(client.done and not server.done)

    def test_cookies(self) -> None:
        """A client shows its address first; a stranger's hellos leave nothing behind."""
        server = DTLSContext(THEIRS, cookies=randomness)
        network = Network(*handshakes(server=server))
        stolen = b""
        for number in range(50):
            [answer] = network.ends[SERVER].receive(
                forged_hello(random=bytes([number] * 32)), STRANGER, 1.0, validated=True
            )
            assert isinstance(answer, DTLSSend)
            stolen = answer.datagram[-32:]
            self.assertEqual(answer.remote, STRANGER)
            self.assertLess(len(answer.datagram), len(forged_hello()))
            self.assertEqual(answer.datagram[13], 3)  # HelloVerifyRequest
        again = forged_hello(random=bytes([49] * 32), cookie=stolen)
        [verify] = network.ends[SERVER].receive(again, ("203.0.113.6", 1), 1.0, validated=True)
        assert isinstance(verify, DTLSSend)
        self.assertEqual(verify.datagram[13], 3)
        self.assertIsNone(network.ends[SERVER]._connection)
        network.start()
        self.assertEqual(len(network.datagrams), 6)
        self.assertMedia(network)

    def test_what_stays(self) -> None:
        """OpenSSL's part does not; what comes then is not looked at."""
        client, server = handshakes()
        network = Network(client, server)
        network.start()
        network.pass_time(11.0)
        for machine, source in ((client, SERVER), (server, CLIENT)):
            self.assertIsNone(machine._connection)
            self.assertIsNone(machine.deadline)
            self.assertTrue(machine.done and not machine.over)
            for _, datagram in network.datagrams:
                self.assertEqual(machine.receive(datagram, source, 12.0, validated=True), [])
            self.assertEqual((machine.drops.over, machine.timeout(13.0), machine.close()), (4, [], []))

    def test_the_end(self) -> None:
        client, server = handshakes()
        network = Network(client, server)
        network.start()
        network.take(CLIENT, client.close())
        self.assertEqual(network.got[SERVER][-1], DTLSClosed())
        self.assertTrue(client.over and server.over)
        self.assertEqual((client.close(), server.close()), ([], []))
        self.assertEqual(server.receive(forged_hello(), CLIENT, 9.0, validated=True), [])
        self.assertEqual(server.drops.over, 1)

    def test_setup_attributes(self) -> None:
        for ours, theirs, role in (
            ("active", "passive", "client"),
            ("active", "actpass", "client"),
            ("passive", "active", "server"),
            ("passive", "actpass", "server"),
            ("actpass", "active", "server"),
            ("actpass", "passive", "client"),
        ):
            self.assertEqual(role_of(ours, theirs), role)
        for bad in (("active", "active"), ("actpass", "actpass"), ("passive", "holdconn"), ("", "")):
            self.assertRaises(RTPBuildError, role_of, *bad)
        self.assertEqual(
            [answer_setup(one) for one in ("actpass", "active", "passive")], ["active", "passive", "active"]
        )
        self.assertEqual(answer_setup("actpass", prefer="passive"), "passive")
        self.assertRaises(RTPBuildError, answer_setup, "holdconn")

    def test_contexts_that_cannot_be(self) -> None:
        self.assertRaises(RTPBuildError, DTLSContext, OURS, [])
        self.assertRaises(RTPBuildError, DTLSContext, OURS, [AES_256_CM_HMAC_SHA1_80])
        self.assertRaises(RTPBuildError, DTLSContext, OURS, mtu=100)


class CertificateTests(DTLSTestCase):
    def outcome(self, *fingerprints: object) -> list[DTLSOutput]:
        client = DTLSHandshake(DTLSContext(OURS), "client", fingerprints)  # type: ignore[arg-type]
        network = Network(client, DTLSHandshake(DTLSContext(THEIRS), "server", [OURS.fingerprint()]))
        network.start()
        self.assertIsInstance(network.got[SERVER][0], DTLSKeys)
        if not client.done:
            # the other side is told, by an alert that is encrypted
            self.assertEqual(network.got[SERVER][-1], DTLSClosed())
        return network.got[CLIENT]

    def test_of_somebody_else(self) -> None:
        refused = [DTLSFailed("a certificate that the description does not vouch for")]
        self.assertEqual(self.outcome(OURS.fingerprint()), refused)
        # the strongest hash decides, whatever the weaker ones say
        self.assertEqual(self.outcome(THEIRS.fingerprint("sha-256"), OURS.fingerprint("sha-512")), refused)

    def test_several(self) -> None:
        for fingerprints in (
            [THEIRS.fingerprint(one) for one in ("sha-256", "sha-384", "sha-512")],
            [THEIRS.fingerprint("sha-384")],
            [OURS.fingerprint(), THEIRS.fingerprint()],
            [OURS.fingerprint("sha-256"), THEIRS.fingerprint("sha-512")],
        ):
            self.assertIsInstance(self.outcome(*fingerprints)[0], DTLSKeys)

    def test_none(self) -> None:
        self.assertEqual(self.outcome(), [DTLSFailed("no fingerprint with a hash that counts")])


class LossTests(DTLSTestCase):
    def test_each_datagram_lost_once(self) -> None:
        """The flight is repeated after 100 milliseconds, whoever sent it."""
        for lost in range(3):
            network = Network(*handshakes(), frozenset((lost,)))
            network.start()
            self.assertEqual(network.got[CLIENT], [])
            network.pass_time(1.15)
            self.assertMedia(network)

    def test_repeats_end(self) -> None:
        network = Network(*handshakes(), frozenset(range(100)))
        network.start()
        network.pass_time(1.5)
        self.assertEqual(len(network.datagrams), 3)
        self.assertEqual(len({datagram for _, datagram in network.datagrams}), 1)

    def test_nobody_is_there(self) -> None:
        client, _ = handshakes()
        self.assertIsNone(client.deadline)
        self.assertEqual(client.timeout(5.0), [])
        self.assertEqual(len(client.start(SERVER, 1.0)), 1)
        self.assertEqual(client.start(SERVER, 2.0), [])
        self.assertEqual(
            client.timeout(31.0), [DTLSFailed("not done after 30 seconds: nothing came from the peer")]
        )
        self.assertIsNone(client.deadline)

    def test_the_timer_of_openssl(self) -> None:
        """It goes by a clock that is not handed in: asked too early, it says so, and is asked again."""
        client, _ = handshakes()
        client.start(SERVER, 1.0)
        for now in (1.11, 1.45):
            self.assertEqual(len(client.timeout(now)), 1)
        first = client.deadline or 0.0
        self.assertTrue(1.9 <= first <= 2.1)
        for now in (first, first + 5.0):
            self.assertEqual(client.timeout(now), [])
            self.assertGreater(client.deadline or 0.0, now)


class HostileTests(DTLSTestCase):
    """Row 26 of what is promised."""

    def test_addresses_that_are_not_validated(self) -> None:
        client, server = handshakes()
        for machine in (client, server):
            self.assertEqual(machine.receive(forged_hello(), STRANGER, 1.0, validated=False), [])
            self.assertEqual(machine.drops.not_validated, 1)
            self.assertIsNone(machine.deadline)
        network = Network(client, server)
        network.start()
        self.assertMedia(network)

    def test_a_null_hello_before(self) -> None:
        """Even from an address that counts, ten of them: the real handshake comes through."""
        client, server = handshakes()
        network = Network(client, server)
        for number in range(10):
            hello = forged_hello(random=bytes([number] * 32))
            self.assertEqual(server.receive(hello, CLIENT, 1.0, validated=True), [])
        network.start()
        self.assertMedia(network)

    def test_a_good_hello_before(self) -> None:
        """One that is answered, and then never goes on."""
        client, server = handshakes()
        other = DTLSHandshake(DTLSContext(OURS), "client", [])
        [hello] = other.start(SERVER, 1.0)
        assert isinstance(hello, DTLSSend)
        self.assertNotEqual(server.receive(hello.datagram, CLIENT, 1.0, validated=True), [])
        network = Network(client, server)
        network.start()
        self.assertMedia(network)

    def test_hellos_and_alerts_amid(self) -> None:
        for forged in (
            forged_hello(random=b"\1" * 32),
            ALERT,
            b"\x16\xfe\xfd" + bytes(10),
            b"\x17" + ALERT[1:],
        ):
            for place in range(1, 4):
                client, server = handshakes()
                network = Network(client, server)
                network.lose = frozenset(range(place, 100))
                network.start()
                # what was sent last has not arrived yet; the forged datagram is there first
                for end, machine in network.ends.items():
                    other = SERVER if end == CLIENT else CLIENT
                    network.take(end, machine.receive(forged, other, 1.0, validated=True))
                network.lose = frozenset()
                network.pass_time(3.0)
                if place < 3:
                    self.assertMedia(network)
                else:  # the last flight was lost, as in the test below
                    self.assertTrue(network.ends[SERVER].done)
                self.assertFalse(
                    [one for end in network.got.values() for one in end if not isinstance(one, DTLSKeys)]
                )

    def test_after(self) -> None:
        client, server = handshakes()
        network = Network(client, server)
        network.start()
        for machine, source in ((client, SERVER), (server, CLIENT)):
            for forged in (forged_hello(), ALERT, forged_hello(b"\xc0\x2b"), ALERT[:3] + b"\0\1" + ALERT[5:]):
                for _ in range(5):
                    self.assertEqual(machine.receive(forged, source, 2.0, validated=True), [])
            self.assertTrue(machine.done and not machine.over)
        self.assertMedia(network)

    def test_the_last_flight_is_repeated(self) -> None:
        """A client that did not get it repeats its own, and has its keys too."""
        client, server = handshakes()
        network = Network(client, server, frozenset((3,)))
        network.start()
        self.assertTrue(server.done and not client.done)
        # After a second OpenSSL sends the flight in new records; its clock is the real one.
        begun = time.monotonic()
        while not client.done and network.now < 6.0:
            time.sleep(0.02)
            network.pass_time(1.0 + time.monotonic() - begun)
        self.assertMedia(network)

    def test_a_flood_is_bounded(self) -> None:
        _, server = handshakes()
        outputs: list[DTLSOutput] = []
        for number in range(2000):
            hello = forged_hello(b"\xc0\x2b", random=number.to_bytes(32, "big"))
            outputs += server.receive(hello, CLIENT, 1.0, validated=True)
        self.assertGreater(server.drops.too_many + server.drops.over, 2000 - MAX_DATAGRAMS - 1)
        self.assertLessEqual(len(outputs), MAX_DATAGRAMS)

    def test_any_datagram(self) -> None:
        """Changed, cut, doubled, in another order: never an error, and never keys of two kinds."""
        numbers = random.Random(7)
        client, server = handshakes()
        network = Network(client, server)
        network.start()
        flights = [datagram for _, datagram in network.datagrams]
        for _ in range(150):
            client, server = handshakes()
            machine = numbers.choice((client, server))
            if machine is client:
                client.start(SERVER, 1.0)
            for _ in range(8):
                datagram = bytearray(numbers.choice([*flights, forged_hello(), ALERT]))
                for _ in range(numbers.randrange(3)):
                    datagram[numbers.randrange(len(datagram))] = numbers.randrange(256)
                cut = bytes(datagram[: numbers.choice((len(datagram), numbers.randrange(len(datagram) + 1)))])
                outputs = machine.receive(cut, STRANGER, 1.0, validated=True)
                self.assertFalse([one for one in outputs if isinstance(one, DTLSKeys)])
                machine.timeout(1.2)


class BrowserTests(DTLSTestCase):
    """The hello of a browser, as it was captured."""

    def test_it_is_answered(self) -> None:
        """In fragments, in any order, with one of them twice: with our certificate and a profile of both."""
        for order in ((0, 1), (1, 0, 1), (0, 0, 1), (0, 1, 0)):
            server = DTLSHandshake(DTLSContext(THEIRS), "server", [])
            answers: list[DTLSOutput] = []
            for number in order:
                answers += server.receive(HELLO[number], CLIENT, 1.0, validated=True)
            flight = b"".join(one.datagram for one in answers if isinstance(one, DTLSSend))
            self.assertEqual([record.octets[13] for record in records(flight)], [2, 11, 12, 13, 14])
            self.assertIn(THEIRS.der, b"".join(record.octets[25:] for record in records(flight)))
            # use_srtp (RFC 5764 section 4.1.1): one profile, no MKI
            self.assertIn(b"\x00\x0e\x00\x05\x00\x02\x00\x08\x00", flight)
            self.assertEqual(server.drops, DTLSDrops())

    def test_with_cookies(self) -> None:
        """The first fragment alone is asked for a cookie; of the second nothing is kept."""
        server = DTLSHandshake(DTLSContext(THEIRS, cookies=randomness), "server", [])
        [verify] = server.receive(HELLO[0], CLIENT, 1.0, validated=True)
        assert isinstance(verify, DTLSSend)
        self.assertEqual((verify.datagram[13], verify.remote), (3, CLIENT))
        self.assertEqual(server.receive(HELLO[1], CLIENT, 1.0, validated=True), [])
        self.assertIsNone(server._connection)
