"""Who may send to a stream, and ports."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.latch import STRANGERS, Address, Latch, LatchMode

SDP = ("198.51.100.1", 4000)
NAT = ("198.51.100.1", 61_000)
OTHER = ("203.0.113.5", 4000)
THIRD = ("203.0.113.9", 4002)


def send(
    latch: Latch,
    address: Address,
    count: int,
    now: float = 0.0,
    *,
    ssrc: int = 1,
    step: int = 1,
    first: int = 0,
) -> int:
    """Send packets 20 ms apart; how many got in."""
    return sum(
        latch.media(address, ssrc, (first + step * index) & 0xFFFF, now + 0.02 * index)
        for index in range(count)
    )


class LearnTests(SynchronousTestCase):
    """The default."""

    def test_the_address_of_the_sdp_locks_at_once(self) -> None:
        latch = Latch(SDP)
        self.assertEqual(send(latch, SDP, 1), 1)
        self.assertTrue(latch.settled)
        self.assertEqual(send(latch, OTHER, 100), 0)
        self.assertEqual((latch.locked, latch.dropped), (SDP, 100))

    def test_a_race_is_lost_by_the_stranger(self) -> None:
        """The attacker begins first, in perfect order; at most 5 of his packets ever get in."""
        latch = Latch(SDP)
        self.assertLessEqual(send(latch, OTHER, 200), STRANGERS)
        self.assertEqual(send(latch, SDP, 50, 4.5), 50)
        self.assertEqual(send(latch, OTHER, 200, 5.5), 0)
        self.assertEqual(latch.remote, SDP)

    def test_a_spray_from_many_addresses(self) -> None:
        latch = Latch(SDP)
        got_in = sum(
            send(latch, (f"203.0.113.{host}", port), 3)
            for host in range(1, 100)
            for port in range(4000, 4010)
        )
        self.assertEqual(got_in, STRANGERS)
        self.assertEqual(send(latch, SDP, 5), 5)

    def test_an_attacker_beside_a_call_that_flows(self) -> None:
        latch = Latch(SDP)
        draw = random.Random(1)
        admitted = 0
        for index in range(500):
            if draw.random() < 0.7:
                admitted += latch.media(OTHER, 2, index, 0.02 * index)
            self.assertTrue(latch.media(SDP, 1, index, 0.02 * index + 0.01))
        self.assertLessEqual(admitted, STRANGERS)

    def test_a_phone_behind_nat(self) -> None:
        """Another port of the same host, or the host that signals: all of its packets are heard."""
        for latch, address in (
            (Latch(SDP), NAT),
            (Latch(("10.0.0.5", 4000), signalling="203.0.113.5"), OTHER),
            (Latch(("10.0.0.5", 4000)), OTHER),
            (Latch(OTHER, signalling="198.51.100.1"), NAT),
            (Latch(None), OTHER),
        ):
            self.assertEqual(send(latch, address, 20), 20)
            self.assertEqual(latch.remote, address)
            self.assertEqual(send(latch, THIRD, 50), 0)

    def test_a_phone_on_this_machine(self) -> None:
        """One whose socket is bound to no address sends from 127.0.0.1, from the port that its SDP names."""
        latch = Latch(("127.0.34.9", 4000))
        self.assertLessEqual(send(latch, ("127.0.34.8", 4002), 100), STRANGERS)
        self.assertGreater(send(latch, ("127.0.0.1", 4000), 20), 15)
        self.assertEqual(latch.remote, ("127.0.0.1", 4000))
        self.assertLessEqual(send(Latch(SDP), ("127.0.0.1", SDP[1]), 100), STRANGERS)

    def test_four_packets_in_order(self) -> None:
        latch = Latch(SDP)
        for step in (2, 0, -1):
            send(latch, NAT, 30, step=step)
        self.assertIsNone(latch.locked)
        for index in range(10):  # in order, but of two sources
            latch.media(NAT, index % 2, index, 0.0)
        self.assertIsNone(latch.locked)
        send(latch, NAT, 3, first=65_534)
        self.assertIsNone(latch.locked)
        send(latch, NAT, 1, first=1)
        self.assertEqual(latch.locked, NAT)

    def test_the_sdp_wins_within_the_window_and_not_after_it(self) -> None:
        latch = Latch(SDP)
        send(latch, NAT, 10)
        self.assertEqual(send(latch, SDP, 1, 3.0), 1)
        self.assertEqual((latch.locked, send(latch, NAT, 1, 3.1)), (SDP, 0))
        latch = Latch(SDP)
        send(latch, NAT, 10)
        send(latch, NAT, 1, 5.1)
        self.assertTrue(latch.settled)
        self.assertEqual(send(latch, SDP, 10, 5.2), 0)

    def test_an_address_that_nobody_named_after_the_window(self) -> None:
        """A gateway whose packets come from another machine: five packets at first, all after five
        seconds.
        """
        latch = Latch(SDP)
        self.assertEqual(send(latch, OTHER, 240), STRANGERS)
        self.assertGreater(send(latch, OTHER, 50, 5.1, first=240), 45)
        self.assertFalse(latch.settled)
        self.assertEqual(send(latch, THIRD, 50, 7.0), 0)
        self.assertEqual(send(latch, SDP, 1, 8.0), 1)
        self.assertEqual(send(latch, OTHER, 50, 9.0), 0)

    def test_not_while_the_hosts_that_were_named_are_heard(self) -> None:
        latch = Latch(SDP)
        send(latch, NAT, 3)
        self.assertLessEqual(send(latch, OTHER, 500) + 3, STRANGERS)
        self.assertIsNone(latch.locked)

    def test_an_ipv4_address_in_ipv6_clothes(self) -> None:
        latch = Latch(SDP)
        self.assertEqual(send(latch, ("::ffff:198.51.100.1", 4000), 1), 1)
        self.assertTrue(latch.settled)

    def test_a_new_offer(self) -> None:
        """The same address changes nothing; with another, the old one is heard until the new one is."""
        latch = Latch(SDP)
        send(latch, SDP, 5)
        latch.offered(SDP)
        self.assertTrue(latch.settled)
        latch.offered(THIRD)
        self.assertFalse(latch.settled)
        self.assertEqual(send(latch, SDP, 2, 1.0), 2)
        self.assertEqual(send(latch, THIRD, 3, 1.1), 3)
        self.assertEqual(send(latch, SDP, 2, 1.2), 0)
        latch.offered(("10.0.0.5", 4000))
        self.assertEqual(send(latch, OTHER, 10, 2.0), 10)
        self.assertEqual(latch.remote, OTHER)


class OtherModeTests(SynchronousTestCase):
    def test_trusted_sdp_lets_no_stranger_in(self) -> None:
        latch = Latch(SDP, mode=LatchMode.SDP)
        self.assertEqual(send(latch, OTHER, 500) + send(latch, NAT, 500), 0)
        self.assertEqual(send(latch, SDP, 5), 5)
        latch.offered(OTHER)
        self.assertEqual((send(latch, SDP, 5), send(latch, OTHER, 5)), (0, 5))

    def test_off(self) -> None:
        latch = Latch(SDP, mode=LatchMode.OFF)
        self.assertEqual(latch.remote, SDP)
        self.assertEqual((send(latch, OTHER, 5), latch.remote), (5, OTHER))
        self.assertEqual((send(latch, SDP, 5), latch.remote), (5, SDP))

    def test_srtp_comes_first(self) -> None:
        for mode in LatchMode:
            latch = Latch(SDP, secure=True, mode=mode)
            self.assertEqual(send(latch, SDP, 20) + send(latch, OTHER, 20), 0)
            self.assertTrue(latch.authenticated(NAT))
            self.assertEqual(latch.remote, NAT)
            self.assertTrue(latch.authenticated(OTHER))  # the phone moved
            self.assertEqual(send(latch, OTHER, 20) + send(latch, NAT, 20), 0)
            self.assertEqual(latch.remote, OTHER)

    def test_ice_selects(self) -> None:
        latch = Latch(SDP)
        latch.select(OTHER)
        self.assertEqual((send(latch, OTHER, 5), send(latch, SDP, 5), send(latch, NAT, 5)), (5, 0, 0))
        self.assertFalse(latch.authenticated(SDP))
        self.assertTrue(latch.authenticated(OTHER))


class ControlTests(SynchronousTestCase):
    """RTCP follows."""

    def test_before_and_after_the_lock(self) -> None:
        latch = Latch(SDP)
        self.assertEqual(latch.control_remote, ("198.51.100.1", 4001))
        self.assertFalse(latch.control(("198.51.100.1", 9)))
        self.assertFalse(latch.control(OTHER))
        self.assertTrue(latch.control(("198.51.100.1", 4001)))
        send(latch, SDP, 1)
        self.assertTrue(latch.control(("198.51.100.1", 61_001)))
        self.assertEqual(latch.control_remote, ("198.51.100.1", 61_001))
        self.assertFalse(latch.control(OTHER))

    def test_the_attribute_of_the_sdp(self) -> None:
        latch = Latch(SDP, control=("198.51.100.1", 5999))
        self.assertEqual(latch.control_remote, ("198.51.100.1", 5999))
        self.assertTrue(latch.control(("198.51.100.1", 5999)))
        self.assertIsNone(Latch(("198.51.100.1", 65_535)).control_remote)
        self.assertIsNone(Latch(None).control_remote)
