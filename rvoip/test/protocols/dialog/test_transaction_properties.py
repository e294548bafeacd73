"""The transaction machines under any order of events: what must never happen does not."""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
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
)

DEADLINE_FREE = {
    InviteClient: {"Proceeding", "Terminated"},
    NonInviteClient: {"Terminated"},
    InviteServer: {"Proceeding", "Terminated"},
    NonInviteServer: {"Terminated"},
}

STATUSES = st.sampled_from(
    [100, 180, 183, 199, 200, 202, 299, 300, 302, 401, 407, 408, 486, 487, 503, 600, 699]
)
DELAYS = st.sampled_from([0.0, 0.01, 0.2, 0.5, 1.0, 4.0, 31.9, 32.0, 70.0])


class Checked(RuleBasedStateMachine):
    """Time, the end, and the deadline; subclasses have the inputs."""

    kind: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.ends = 0
        self.sent = 0
        self.made_at = self.now
        self.machine: Any = None

    @initialize(reliable=st.booleans(), t1=st.sampled_from([0.05, 0.5, 2.0]))
    def make(self, reliable: bool, t1: float) -> None:
        self.reliable = reliable
        self.timers = Timers(t1=t1)
        self.machine = self.kind(self.timers, reliable, self.now)

    def note(self, actions: int) -> None:
        over = self.ends > 0
        if over:
            assert actions == 0, "something happened after the end"
        if actions & END:
            self.ends += 1
            assert self.machine.state == "Terminated"
        if actions & TIMEOUT:
            assert actions & END
        self.passed(actions)

    def passed(self, actions: int) -> None:
        """What went up or out."""

    @rule(seconds=DELAYS)
    def wait(self, seconds: float) -> None:
        """Time passes, and each deadline is kept."""
        end = self.now + seconds
        while self.machine.deadline is not None and self.machine.deadline <= end:
            self.now = max(self.now, self.machine.deadline)
            before = self.machine.deadline
            self.note(self.machine.tick(self.now))
            assert self.machine.deadline is None or self.machine.deadline > before, "it does not move on"
        self.now = end

    @rule(late=st.sampled_from([0.01, 0.7, 40.0]))
    def wake_late(self, late: float) -> None:
        """The reactor was busy."""
        if self.machine.deadline is not None:
            self.now = max(self.now, self.machine.deadline) + late
            self.note(self.machine.tick(self.now))

    @invariant()
    def deadlines(self) -> None:
        machine = self.machine
        if machine is None:
            return
        assert (machine.state == "Terminated") == (self.ends == 1)
        assert self.ends <= 1
        if machine.deadline is None:
            assert machine.state in DEADLINE_FREE[self.kind], machine.state
        else:
            assert machine.state != "Terminated"
            assert machine.deadline <= self.now + max(32.0, self.timers.lifetime)


class ClientMachine(Checked):
    """What both client machines promise their user."""

    invite: ClassVar[bool]

    def __init__(self) -> None:
        super().__init__()
        self.finals: list[int] = []
        self.timed_out = False
        self.status = 0

    @rule(status=STATUSES)
    def receive(self, status: int) -> None:
        self.status = status
        was_over = self.ends > 0
        actions = self.machine.receive(status, self.now)
        if actions & ACK:
            assert status >= 300 and self.invite
        if actions & PASS and status >= 200:
            assert not self.timed_out
            self.finals.append(status)
            if status < 300 and self.invite:
                assert all(200 <= one < 300 for one in self.finals)
            else:
                assert len(self.finals) == 1, self.finals
        if actions & PASS and status < 200:
            assert not self.finals, "a provisional response after a final one"
        if was_over:
            assert actions == 0
        self.note(actions)

    @rule()
    def fail(self) -> None:
        self.note(self.machine.fail())

    def passed(self, actions: int) -> None:
        if actions & TIMEOUT:
            assert not self.finals and not self.timed_out
            self.timed_out = True
        if actions & SEND:
            assert not self.reliable, "sent again over a stream"
            assert not self.finals


class InviteClientMachine(ClientMachine):
    kind = InviteClient
    invite = True


class NonInviteClientMachine(ClientMachine):
    kind = NonInviteClient
    invite = False


class ServerMachine(Checked):
    """What both server machines promise the peer."""

    invite: ClassVar[bool]
    requests: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        super().__init__()
        self.finals: list[int] = []
        self.provisionals = 0

    @rule(status=STATUSES)
    def respond(self, status: int) -> None:
        before = self.machine.state
        actions = self.machine.respond(status, self.now)
        if actions & SEND:
            if status < 200:
                assert not self.finals
                assert self.invite, "RFC 4320: none of the user's"
            else:
                self.finals.append(status)
                if self.invite and status < 300:
                    assert all(200 <= one < 300 for one in self.finals)
                else:
                    assert len(self.finals) == 1, self.finals
        else:
            assert self.machine.state == before
        self.note(actions)

    @rule(data=st.data())
    def receive(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.requests))
        actions = self.machine.receive(event, self.now)
        if actions & SEND:
            assert event != "ACK"
            assert not (self.invite and self.finals and self.finals[0] < 300), "the 2xx is the user's"
        if actions & PASS:
            assert event == "ACK" and self.finals and self.finals[0] < 300
        self.note(actions)

    def passed(self, actions: int) -> None:
        if actions & PROVISIONAL:
            self.provisionals += 1
            assert self.provisionals == 1
            assert not self.finals
        if actions & TIMEOUT and self.invite:
            assert self.finals and self.finals[0] >= 300


class InviteServerMachine(ServerMachine):
    kind = InviteServer
    invite = True
    requests = ("INVITE", "ACK")


class NonInviteServerMachine(ServerMachine):
    kind = NonInviteServer
    invite = False
    requests = ("request",)


SETTINGS = settings(derandomize=True, deadline=None, max_examples=80, stateful_step_count=30)


class PropertyTests(SynchronousTestCase):
    def check(self, machine: type[Checked]) -> None:
        case = machine.TestCase
        case.settings = SETTINGS
        case().runTest()

    def test_invite_client(self) -> None:
        self.check(InviteClientMachine)

    def test_other_client(self) -> None:
        self.check(NonInviteClientMachine)

    def test_invite_server(self) -> None:
        self.check(InviteServerMachine)

    def test_other_server(self) -> None:
        self.check(NonInviteServerMachine)
