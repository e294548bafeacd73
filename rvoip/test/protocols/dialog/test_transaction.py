"""The four transaction machines with plain numbers: each row of their tables, each timer of RFC 3261."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.dialog.transaction import (
    ACK,
    END,
    PASS,
    PROVISIONAL,
    SEND,
    TIMEOUT,
    InviteClient,
    InviteServer,
    NonInviteClient,
    NonInviteServer,
    response_class,
)

TIMERS = Timers()
START = 100.0

STATUS = {"1xx": 180, "2xx": 200, "300-699": 486}

Machine = Any


def make(kind: type[Any], reliable: bool = False, timers: Timers = TIMERS) -> Machine:
    return kind(timers, reliable, START)


def apply(machine: Machine, event: str, now: float = START) -> int:
    """Let an event of the tables happen; a timer fires at its time."""
    if event in STATUS:
        return int(machine.receive(STATUS[event], now))
    if event.startswith("send "):
        return int(machine.respond(STATUS[event.removeprefix("send ")], now))
    if event in ("INVITE", "ACK", "request"):
        return int(machine.receive(event, now))
    if event == "transport error":
        return int(machine.fail())
    return int(machine.tick(machine.deadline))


def fires(machine: Machine, until: float = START + 1000) -> list[tuple[float, int]]:
    """(seconds after the start, actions) each time a deadline comes."""
    seen = []
    while machine.deadline is not None and machine.deadline <= until:
        now = machine.deadline
        seen.append((round(now - START, 6), machine.tick(now)))
    return seen


# How to get a machine over UDP into each of its states, and right before each of its timers.
WAYS: dict[type[Any], dict[str, list[str]]] = {
    InviteClient: {
        "Calling": [],
        "Proceeding": ["1xx"],
        "Accepted": ["2xx"],
        "Completed": ["300-699"],
    },
    NonInviteClient: {"Trying": [], "Proceeding": ["1xx"], "Completed": ["2xx"]},
    InviteServer: {
        "Proceeding": [],
        "Accepted": ["send 2xx"],
        "Completed": ["send 300-699"],
        "Confirmed": ["send 300-699", "ACK"],
    },
    NonInviteServer: {"Trying": [], "Proceeding": ["timer E at T2"], "Completed": ["send 2xx"]},
}

# These fire only when the retransmissions before them are through.
LAST = {"timer B", "timer F", "timer H"}


class TableTests(SynchronousTestCase):
    """What the tables say is what the machines do."""

    def reach(self, kind: type[Any], state: str, reliable: bool = False) -> Machine:
        machine = make(kind, reliable)
        for event in WAYS[kind][state]:
            apply(machine, event)
        self.assertEqual(machine.state, state)
        return machine

    def test_each_row(self) -> None:
        for kind, ways in WAYS.items():
            rows: dict[tuple[str, str], tuple[str, int]] = kind.TRANSITIONS
            self.assertEqual({state for state, _ in rows}, set(ways))
            for (state, event), (next_state, actions) in rows.items():
                machine = self.reach(kind, state)
                if (state, event) == ("Trying", "64*T1"):
                    self.assertEqual(machine.tick(START + 32), actions)
                elif event in LAST:
                    fired = fires(machine)
                    self.assertEqual(fired[-1][1], actions, (kind, state, event))
                else:
                    self.assertEqual(apply(machine, event), actions, (kind, state, event))
                self.assertEqual(machine.state, next_state, (kind, state, event))

    def test_what_no_row_names_is_absorbed(self) -> None:
        events = {
            InviteClient: ["1xx", "2xx", "300-699"],
            NonInviteClient: ["1xx", "2xx", "300-699"],
            InviteServer: ["INVITE", "ACK", "send 1xx", "send 2xx", "send 300-699"],
            NonInviteServer: ["request", "send 1xx", "send 2xx", "send 300-699"],
        }
        for kind, ways in WAYS.items():
            rows: dict[tuple[str, str], tuple[str, int]] = kind.TRANSITIONS
            for state in ways:
                for event in events[kind]:
                    if (state, event) in rows:
                        continue
                    machine = self.reach(kind, state)
                    before = machine.deadline
                    self.assertEqual(apply(machine, event), 0, (kind, state, event))
                    self.assertEqual((machine.state, machine.deadline), (state, before), (kind, state, event))

    def test_only_waiting_for_somebody_has_no_deadline(self) -> None:
        """A client waits for the peer that answered 1xx (Timer C is the user's), a server for its user."""
        for kind, ways in WAYS.items():
            for state in ways:
                machine = self.reach(kind, state)
                waits = kind is InviteClient and state == "Proceeding"
                self.assertEqual(machine.deadline is None, waits, (kind, state))
        answering = make(InviteServer)
        apply(answering, "send 1xx")
        self.assertIsNone(answering.deadline)

    def test_a_tick_before_the_deadline_is_nothing(self) -> None:
        for kind, ways in WAYS.items():
            for state in ways:
                machine = self.reach(kind, state)
                before = machine.deadline
                if before is not None:
                    self.assertEqual(machine.tick(before - 0.001), 0)
                    self.assertEqual((machine.state, machine.deadline), (state, before))

    def test_nothing_happens_after_the_end(self) -> None:
        for kind, ways in WAYS.items():
            for state in ways:
                machine = self.reach(kind, state)
                fires(machine)
                if machine.state != "Terminated":
                    continue
                self.assertIsNone(machine.deadline)
                self.assertEqual(machine.tick(START + 5000), 0)
                for event in ("1xx", "2xx", "300-699"):
                    side = event if kind in (InviteClient, NonInviteClient) else f"send {event}"
                    self.assertEqual(apply(machine, side), 0, (kind, state, event))
                self.assertEqual(machine.state, "Terminated")

    def test_classes_of_responses(self) -> None:
        for status, name in (
            (100, "1xx"),
            (199, "1xx"),
            (200, "2xx"),
            (299, "2xx"),
            (300, "300-699"),
            (699, "300-699"),
        ):
            self.assertEqual(response_class(status), name)


class InviteClientTests(SynchronousTestCase):
    def test_timers_a_and_b_over_udp(self) -> None:
        """Seven INVITEs in all, then 64*T1 are over (RFC 3261 section 17.1.1.2)."""
        self.assertEqual(
            fires(make(InviteClient)),
            [(at, SEND) for at in (0.5, 1.5, 3.5, 7.5, 15.5, 31.5)] + [(32.0, TIMEOUT | END)],
        )

    def test_timer_b_over_tcp(self) -> None:
        self.assertEqual(fires(make(InviteClient, reliable=True)), [(32.0, TIMEOUT | END)])

    def test_hushed_only_timer_b_is_left(self) -> None:
        for reliable in (False, True):
            machine = make(InviteClient, reliable)
            machine.hush()
            self.assertEqual(fires(machine), [(32.0, TIMEOUT | END)])
        machine = make(InviteClient)
        machine.receive(180, START)
        machine.hush()  # it is sent no more anyway
        self.assertIsNone(machine.deadline)

    def test_other_t1(self) -> None:
        machine = make(InviteClient, timers=Timers(t1=0.1))
        self.assertEqual([at for at, _ in fires(machine)], [0.1, 0.3, 0.7, 1.5, 3.1, 6.3, 6.4])

    def test_a_late_tick_delays_the_next_one_but_not_timer_b(self) -> None:
        machine = make(InviteClient)
        self.assertEqual(machine.tick(START + 0.6), SEND)
        self.assertEqual(machine.deadline, START + 1.6)
        machine.tick(START + 31.0)
        self.assertEqual(machine.deadline, START + 32.0)

    def test_a_provisional_response_stops_retransmission_for_good(self) -> None:
        machine = make(InviteClient)
        self.assertEqual(machine.receive(100, START + 0.4), PASS)
        self.assertIsNone(machine.deadline)
        self.assertEqual(machine.receive(180, START + 60), PASS)
        self.assertIsNone(machine.deadline)

    def test_timer_d(self) -> None:
        """Failure responses that come again are acknowledged again, for 32 s over UDP."""
        machine = make(InviteClient)
        self.assertEqual(machine.receive(486, START + 1), ACK | PASS)
        self.assertEqual(machine.receive(486, START + 2), ACK)
        self.assertEqual(machine.receive(404, START + 3), ACK)
        self.assertEqual(machine.receive(200, START + 3), 0)
        self.assertEqual(fires(machine), [(33.0, END)])

    def test_timer_d_grows_with_t1(self) -> None:
        machine = make(InviteClient, timers=Timers(t1=1.0))
        machine.receive(486, START)
        self.assertEqual(fires(machine), [(64.0, END)])

    def test_no_timer_d_over_tcp(self) -> None:
        for before in ([], [180]):
            machine = make(InviteClient, reliable=True)
            for status in before:
                machine.receive(status, START)
            self.assertEqual(machine.receive(603, START + 1), ACK | PASS | END)
            self.assertEqual((machine.state, machine.deadline), ("Terminated", None))

    def test_each_2xx_is_passed_until_timer_m(self) -> None:
        """RFC 6026 section 7.2: also those of other branches, for 64*T1 after the first one."""
        for reliable in (False, True):
            machine = make(InviteClient, reliable)
            self.assertEqual(machine.receive(200, START + 1), PASS)
            self.assertEqual(machine.receive(200, START + 2), PASS)
            self.assertEqual(machine.receive(180, START + 2), 0)
            self.assertEqual(machine.receive(486, START + 2), 0)
            self.assertEqual(machine.state, "Accepted")
            self.assertEqual(fires(machine), [(33.0, END)])

    def test_a_transport_error_ends_it_unless_it_was_accepted(self) -> None:
        for status, actions, state in (
            (0, END, "Terminated"),
            (180, END, "Terminated"),
            (200, 0, "Accepted"),
        ):
            machine = make(InviteClient)
            if status:
                machine.receive(status, START)
            self.assertEqual((machine.fail(), machine.state), (actions, state))
            self.assertEqual(machine.deadline is None, state == "Terminated")


class NonInviteClientTests(SynchronousTestCase):
    E = (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)

    def test_timers_e_and_f_over_udp(self) -> None:
        self.assertEqual(
            fires(make(NonInviteClient)), [(at, SEND) for at in self.E] + [(32.0, TIMEOUT | END)]
        )

    def test_timer_f_over_tcp_also_after_a_100(self) -> None:
        for status in (0, 100):
            machine = make(NonInviteClient, reliable=True)
            if status:
                self.assertEqual(machine.receive(status, START + 1), PASS)
            self.assertEqual(fires(machine), [(32.0, TIMEOUT | END)])

    def test_after_a_100_it_sends_every_t2(self) -> None:
        machine = make(NonInviteClient)
        self.assertEqual(machine.receive(100, START + 0.2), PASS)
        self.assertEqual(
            fires(machine),
            [(at, SEND) for at in (0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5)] + [(32.0, TIMEOUT | END)],
        )

    def test_timer_k(self) -> None:
        """One final response goes up, and what comes in the T4 after it is absorbed."""
        machine = make(NonInviteClient)
        self.assertEqual(machine.receive(404, START + 1), PASS)
        for status in (100, 200, 404, 503):
            self.assertEqual(machine.receive(status, START + 2), 0)
        self.assertEqual(fires(machine), [(6.0, END)])

    def test_no_timer_k_over_tcp(self) -> None:
        machine = make(NonInviteClient, reliable=True)
        self.assertEqual(machine.receive(200, START), PASS | END)
        self.assertEqual((machine.state, machine.deadline), ("Terminated", None))

    def test_a_transport_error_ends_it_unless_it_was_answered(self) -> None:
        for status, actions in ((0, END), (100, END), (200, 0)):
            machine = make(NonInviteClient)
            if status:
                machine.receive(status, START)
            self.assertEqual(machine.fail(), actions)


class InviteServerTests(SynchronousTestCase):
    def test_a_100_is_due_after_200_ms(self) -> None:
        machine = make(InviteServer)
        self.assertEqual(fires(machine), [(0.2, PROVISIONAL)])
        self.assertEqual(machine.state, "Proceeding")

    def test_no_100_after_another_provisional_response(self) -> None:
        machine = make(InviteServer)
        self.assertEqual(machine.respond(180, START + 0.1), SEND)
        self.assertIsNone(machine.deadline)

    def test_a_retransmission_does_not_put_the_100_off(self) -> None:
        machine = make(InviteServer)
        self.assertEqual(machine.receive("INVITE", START + 0.1), SEND)
        self.assertEqual(fires(machine), [(0.2, PROVISIONAL)])

    def test_timers_g_and_h_over_udp(self) -> None:
        machine = make(InviteServer)
        self.assertEqual(machine.respond(486, START), SEND)
        self.assertEqual(
            fires(machine), [(at, SEND) for at in NonInviteClientTests.E] + [(32.0, TIMEOUT | END)]
        )

    def test_timer_h_over_tcp(self) -> None:
        machine = make(InviteServer, reliable=True)
        self.assertEqual(machine.respond(486, START), SEND)
        self.assertEqual(fires(machine), [(32.0, TIMEOUT | END)])

    def test_timer_i(self) -> None:
        """ACKs are absorbed for T4 over UDP."""
        machine = make(InviteServer)
        machine.respond(486, START)
        self.assertEqual(machine.receive("ACK", START + 1), 0)
        self.assertEqual(machine.receive("ACK", START + 2), 0)
        self.assertEqual(machine.receive("INVITE", START + 2), 0)
        self.assertEqual(fires(machine), [(6.0, END)])

    def test_no_timer_i_over_tcp(self) -> None:
        machine = make(InviteServer, reliable=True)
        machine.respond(486, START)
        self.assertEqual(machine.receive("ACK", START + 1), END)
        self.assertEqual((machine.state, machine.deadline), ("Terminated", None))

    def test_accepted_absorbs_the_invite_and_passes_acks_until_timer_l(self) -> None:
        """RFC 6026 section 7.1: the INVITE that comes again is no new one, and the 2xx are the user's."""
        for reliable in (False, True):
            machine = make(InviteServer, reliable)
            self.assertEqual(machine.respond(200, START + 1), SEND)
            self.assertEqual(machine.receive("INVITE", START + 2), 0)
            self.assertEqual(machine.respond(200, START + 3), SEND)
            self.assertEqual(machine.receive("ACK", START + 3), PASS)
            self.assertEqual(machine.receive("ACK", START + 4), PASS)
            self.assertEqual(machine.respond(486, START + 5), 0)
            self.assertEqual(machine.respond(180, START + 5), 0)
            self.assertEqual(fires(machine), [(33.0, END)])

    def test_no_second_final_response(self) -> None:
        machine = make(InviteServer)
        machine.respond(486, START)
        for status in (100, 180, 200, 404, 486):
            self.assertEqual(machine.respond(status, START + 1), 0)


class NonInviteServerTests(SynchronousTestCase):
    def test_a_100_is_due_when_timer_e_has_grown_to_t2(self) -> None:
        """RFC 4320 section 4.1: not earlier over UDP, and in any case then."""
        for reliable in (False, True):
            machine = make(NonInviteServer, reliable)
            self.assertEqual(machine.receive("request", START + 0.5), 0)
            self.assertEqual(machine.deadline, START + 3.5)
            self.assertEqual(machine.tick(START + 3.5), PROVISIONAL)
            self.assertEqual(machine.receive("request", START + 7.5), SEND)

    def test_nobody_is_answered_after_64_t1(self) -> None:
        """RFC 4320 section 4.2: the client has given up by then."""
        machine = make(NonInviteServer)
        self.assertEqual(fires(machine), [(3.5, PROVISIONAL), (32.0, TIMEOUT | END)])
        self.assertEqual(machine.respond(200, START + 32.1), 0)

    def test_with_a_short_t1_the_end_comes_before_the_100(self) -> None:
        machine = make(NonInviteServer, timers=Timers(t1=0.05))
        self.assertEqual(fires(machine), [(3.2, TIMEOUT | END)])

    def test_the_user_gives_no_provisional_response(self) -> None:
        machine = make(NonInviteServer)
        for status in (100, 183):
            self.assertEqual(machine.respond(status, START + 1), 0)
        machine.tick(START + 3.5)
        for status in (100, 183):
            self.assertEqual(machine.respond(status, START + 4), 0)

    def test_timer_j(self) -> None:
        for answer_at in (1.0, 10.0):
            machine = make(NonInviteServer)
            machine.tick(START + answer_at)
            self.assertEqual(machine.respond(200, START + answer_at), SEND)
            self.assertEqual(machine.receive("request", START + answer_at + 1), SEND)
            self.assertEqual(machine.respond(500, START + answer_at + 1), 0)
            self.assertEqual(fires(machine), [(answer_at + 32.0, END)])

    def test_no_timer_j_over_tcp(self) -> None:
        machine = make(NonInviteServer, reliable=True)
        self.assertEqual(machine.respond(200, START), SEND | END)
        self.assertEqual((machine.state, machine.deadline), ("Terminated", None))
