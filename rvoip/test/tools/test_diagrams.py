"""The page on transactions is what the machines say."""

from __future__ import annotations

import contextlib
import io

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.transaction import InviteClient, InviteServer, NonInviteClient, NonInviteServer
from rvoip.test.tools import load


class DiagramTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.diagrams = load("diagrams")

    def test_the_page_is_up_to_date(self) -> None:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = self.diagrams.main(["--check"])
        self.assertEqual(status, 0, said.getvalue())

    def test_each_transition_is_on_it(self) -> None:
        lines = [line for line in self.diagrams.page().splitlines() if line.startswith("| ")]
        machines = (InviteClient, InviteServer, NonInviteClient, NonInviteServer)
        rows = sum(len(machine.TRANSITIONS) for machine in machines)
        self.assertEqual(len(lines), rows + 4 + 1 + len(self.diagrams.timer_rows()))

    def test_timers_are_those_of_the_rfc(self) -> None:
        rows = {what: (udp, tcp) for what, udp, tcp in self.diagrams.timer_rows()}
        self.assertEqual(rows["INVITE sent again (A)"], ("0.5, 1.5, 3.5, 7.5, 15.5, 31.5", "-"))
        self.assertEqual(rows["INVITE not answered (B)"], ("32", "32"))
        self.assertEqual(rows["after its answer (K)"], ("5", "-"))
        self.assertEqual(rows["after the ACK (I)"], ("5", "-"))
        self.assertEqual(rows["100 to another request"], ("3.5", "3.5"))
