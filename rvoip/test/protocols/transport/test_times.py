from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.transport.limits import TransportLimits
from rvoip.protocols.transport.times import StreamTimes

LIMITS = TransportLimits()


class StreamTimesTests(SynchronousTestCase):
    def reason(self, times: StreamTimes, now: float) -> str:
        overdue = times.overdue(now)
        return "" if overdue is None else f"{'abort' if overdue.abort else 'close'}: {overdue.reason}"

    def test_idle(self) -> None:
        times = StreamTimes(LIMITS, 1000.0)
        self.assertEqual(self.reason(times, 1119.9), "")
        self.assertEqual(self.reason(times, 1120.0), "close: idle for 120 s")
        times.received(1119.0, completed=True, pending=False)
        self.assertEqual(self.reason(times, 1238.9), "")

    def test_kept(self) -> None:
        times = StreamTimes(LIMITS, 0.0)
        times.kept_until = 3600.0
        self.assertEqual(self.reason(times, 3599.0), "")
        self.assertEqual(self.reason(times, 3600.0), "close: idle for 120 s")

    def test_a_message_must_become_complete_however_it_trickles(self) -> None:
        times = StreamTimes(LIMITS, 0.0)
        for now in range(20):
            times.received(float(now), completed=False, pending=True)
            self.assertEqual(self.reason(times, float(now)), "")
        self.assertEqual(self.reason(times, 20.0), "abort: a message was not complete within 20 s")

    def test_the_next_message_has_its_own_time(self) -> None:
        times = StreamTimes(LIMITS, 0.0)
        times.received(0.0, completed=False, pending=True)
        times.received(15.0, completed=True, pending=True)
        self.assertEqual(self.reason(times, 34.9), "")
        self.assertNotEqual(self.reason(times, 35.0), "")
        times.received(35.0, completed=True, pending=False)
        self.assertEqual(self.reason(times, 100.0), "")

    def test_stuck(self) -> None:
        times = StreamTimes(LIMITS, 0.0)
        times.reading_stopped(5.0)
        self.assertEqual(self.reason(times, 14.9), "")
        self.assertEqual(self.reason(times, 15.0), "abort: the peer has not read for 10 s")
        times.reading_resumed(15.0, pending=False)
        self.assertEqual(self.reason(times, 16.0), "")

    def test_handshake(self) -> None:
        times = StreamTimes(LIMITS, 0.0, handshake=True)
        self.assertEqual(self.reason(times, 10.0), "abort: no handshake within 10 s")
        times.handshake = None
        self.assertEqual(self.reason(times, 10.0), "")

    def test_closing(self) -> None:
        times = StreamTimes(LIMITS, 0.0)
        times.closing = 500.0
        self.assertEqual(self.reason(times, 509.9), "")
        self.assertEqual(self.reason(times, 510.0), "abort: it could not be closed in order")

    def test_pings(self) -> None:
        times = StreamTimes(LIMITS, 0.0)
        self.assertFalse(times.wants_ping(1000.0))
        times.ping_every, times.ping_due = 30.0, 30.0
        self.assertFalse(times.wants_ping(29.0))
        self.assertTrue(times.wants_ping(30.0))
        self.assertFalse(times.wants_ping(39.0))
        self.assertEqual(self.reason(times, 40.0), "abort: a keep-alive was not answered within 10 s")
        times.pinged = None
        self.assertEqual(self.reason(times, 40.0), "")
        self.assertTrue(times.wants_ping(60.0))
