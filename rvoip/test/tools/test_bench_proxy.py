"""The benchmark of the proxy without sockets runs, and every call of it goes through."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.tools import load


class BenchTests(SynchronousTestCase):
    def test_it_measures_each_message_of_a_call(self) -> None:
        bench = load("bench_proxy")
        found = bench.run(3 * bench.BATCH)
        self.assertEqual(list(found), ["INVITE", "180", "200 (INVITE)", "ACK", "BYE", "200 (BYE)", "timers"])
        # What a message costs is a difference of two times, which on a busy machine may be anything.
        self.assertTrue(all(isinstance(microseconds, float) for microseconds in found.values()), found)

    def test_calls_leave_nothing(self) -> None:
        bench = load("bench_proxy").Bench()
        for _ in range(20):
            bench.call()
        # The INVITE of each waits for retransmissions; a BYE that was answered is no transaction any more.
        self.assertEqual((bench.layer.servers, bench.layer.clients), (20, 20))
        bench.clock.advance(20)
        bench.clock.advance(20)
        self.assertEqual((bench.layer.servers, bench.layer.clients), (0, 0))
