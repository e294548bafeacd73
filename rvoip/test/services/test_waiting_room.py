"""The waiting room, with plain numbers and against a simulated server."""

from __future__ import annotations

import heapq
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from rvoip.services.waiting_room import CREDIT, MOST, PATIENCE, SHARE, Kind, WaitingRoom


def busy_room(turn: float, waiting: int) -> WaitingRoom[int]:
    """One in which a turn takes so long, and so many wait, at time 10."""
    room: WaitingRoom[int] = WaitingRoom(0.0)
    assert room.offer(Kind.WORK, 0, 10.0 - 100 * turn)
    room.take()
    room.worked(100, 10.0)
    for number in range(waiting):
        assert room.offer(Kind.LAST, number, 10.0)
    return room


class RoomTests(SynchronousTestCase):
    """What is taken in."""

    def test_an_empty_room_takes_anybody(self) -> None:
        room = busy_room(9.0, 0)
        self.assertTrue(room.offer(Kind.WORK, 1, 10.0))

    def test_first_come_first_served(self) -> None:
        room: WaitingRoom[str] = WaitingRoom(0.0)
        for item in "abc":
            self.assertTrue(room.offer(Kind.WORK, item, 0.0))
        self.assertEqual([room.take()[1] for _ in range(3)], ["a", "b", "c"])
        self.assertRaises(IndexError, room.take)

    def test_a_turn_is_the_time_from_one_to_the_next(self) -> None:
        room = busy_room(0.002, 0)
        self.assertAlmostEqual(room.turn, 0.002)

    def test_the_wait_is_that_of_all_who_came_before(self) -> None:
        self.assertAlmostEqual(busy_room(0.002, 20).wait, 0.04)

    def test_each_kind_has_its_patience(self) -> None:
        for kind in Kind:
            for extra, taken in ((-1, True), (2, kind is Kind.LAST)):
                seconds = PATIENCE[kind] if kind is not Kind.LAST else 5.0
                room = busy_room(0.01, round(seconds / 0.01) + extra)
                self.assertEqual(room.offer(kind, -1, 10.0), taken, (kind, extra))

    def test_before_a_turn_is_known_there_is_a_bound(self) -> None:
        room: WaitingRoom[int] = WaitingRoom(0.0)
        taken = sum([room.offer(Kind.WORK, number, 0.0) for number in range(MOST + 10)])
        self.assertEqual(taken, MOST)

    def test_turns_that_get_shorter_are_noticed_soon(self) -> None:
        room = busy_room(0.05, 1)
        for step in range(1, 11):
            room.worked(50, 10.0 + step * 0.1)
        self.assertLess(room.turn, 0.004)

    def test_time_in_which_nobody_waits_is_no_turn(self) -> None:
        room = busy_room(0.002, 0)
        self.assertTrue(room.offer(Kind.WORK, 1, 100.0))
        room.take()
        room.worked(1, 100.002)
        self.assertAlmostEqual(room.turn, 0.002, 5)

    def test_invites_get_their_share_of_the_time_and_no_more(self) -> None:
        room: WaitingRoom[int] = WaitingRoom(0.0)
        now = charged = 0.0
        while now < 10.0:
            if room.offer(Kind.CALL, 1, now):
                room.take()
                room.charge(0.001)
                charged += 0.001
            now += 0.0005
        self.assertAlmostEqual(charged, 10.0 * SHARE + CREDIT, 2)

    def test_without_credit_other_work_is_taken(self) -> None:
        room: WaitingRoom[int] = WaitingRoom(0.0)
        room.charge(1.0)
        self.assertFalse(room.offer(Kind.CALL, 1, 0.0))
        self.assertTrue(room.offer(Kind.WORK, 1, 0.0))
        self.assertTrue(room.offer(Kind.CALL, 1, 3.0))


class Simulation:
    """A server with one core, calls of an INVITE and five later messages, and a gate before it."""

    INVITE = 0.0001
    LATER = 0.00006
    """Seconds of work for the INVITE, and for each of what follows it."""
    REFUSAL = 0.00001
    CALL = INVITE + 5 * LATER

    def __init__(self, offered: float, ring: float, hold: float, seed: int) -> None:
        self.random = Random(seed)
        self.rate = offered / self.CALL
        self.ring = ring
        self.hold = hold
        self.now = 0.0
        self.room: WaitingRoom[float] = WaitingRoom(0.0)
        self.later: list[float] = []
        self.completed = self.refused = 0
        self.waits: list[float] = []
        self.delays: list[float] = []

    def run(self, seconds: float) -> None:
        """Work through this time, in steps of a reading and a slice of new work."""
        due = self.now
        end = self.now + seconds
        while self.now < end:
            # What goes first.
            while self.later and self.later[0] <= self.now:
                self.delays.append(self.now - heapq.heappop(self.later))
                self.now += self.LATER
            while due <= self.now:
                if not self.room.offer(Kind.CALL, due, due):
                    self.refused += 1
                    self.now += self.REFUSAL
                due += self.random.expovariate(self.rate)
            turns, until = 0, self.now + 0.005
            while self.room and self.now < until:
                _, came = self.room.take()
                self.waits.append(self.now - came)
                self.now += self.INVITE
                self.room.charge(self.INVITE)
                turns += 1
                self.completed += 1
                answered = self.now + self.ring * self.random.uniform(0.9, 1.1)
                ended = answered + self.hold * self.random.uniform(0.9, 1.1)
                for at in (self.now + 0.001, answered, answered + 0.001, ended, ended + 0.001):
                    heapq.heappush(self.later, at)
            if turns:
                self.room.worked(turns, self.now)
            elif not self.later or self.later[0] > self.now:
                self.now = max(self.now, min(due, *self.later[:1], self.now + 0.005))


class SimulationTests(SynchronousTestCase):
    """Goodput, waits, and what goes first, for several loads."""

    def test_goodput(self) -> None:
        for offered, least in ((2.0, 0.9), (5.0, 0.8)):
            for seed in range(2):
                simulated = Simulation(offered, 0.05, 0.3, seed)
                simulated.run(3.0)
                before = simulated.completed
                simulated.run(3.0)
                goodput = (simulated.completed - before) * Simulation.CALL / 3.0
                self.assertGreater(goodput, least, (offered, seed))
                self.assertLess(sorted(simulated.waits)[int(len(simulated.waits) * 0.99)], 0.25)
                self.assertLess(max(simulated.delays), 0.1, "what is under way never waits for new work")

    def test_below_capacity_nobody_is_refused(self) -> None:
        simulated = Simulation(0.8, 0.05, 0.3, 1)
        simulated.run(5.0)
        self.assertEqual(simulated.refused, 0)

    def test_calls_that_ring_for_long_still_find_their_way(self) -> None:
        """Five times the capacity of an idle server: nobody has answered, so there is room for too many."""
        simulated = Simulation(5.0, 3.0, 0.1, 2)
        simulated.run(8.0)
        self.assertLess(max(simulated.delays), 0.5)  # a whole second without the share of INVITEs
