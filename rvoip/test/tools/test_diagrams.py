"""The pages on transactions and dialogs are what the machines say."""

from __future__ import annotations

import contextlib
import io

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.glare import Overlap
from rvoip.protocols.dialog.offer_answer import EARLY_ANSWER, OfferAnswer
from rvoip.protocols.dialog.publication import Publication
from rvoip.protocols.dialog.refer import ReferProgress, ReferReport
from rvoip.protocols.dialog.session_timer import SessionTimer
from rvoip.protocols.dialog.subscription import Notifier, Subscriber
from rvoip.protocols.dialog.transaction import InviteClient, InviteServer, NonInviteClient, NonInviteServer
from rvoip.test.tools import load


class DiagramTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.diagrams = load("diagrams")

    def test_the_pages_are_up_to_date(self) -> None:
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

    def test_dialogs(self) -> None:
        """Each transition that does something is on the page, and each machine has a picture."""
        page = self.diagrams.dialogs_page()
        rows = [line for line in page.splitlines() if line.startswith("| ")]
        machines = (Subscriber, Notifier, Publication, ReferReport, ReferProgress, SessionTimer)
        told = sum(len(machine.TRANSITIONS) for machine in machines)
        told += sum(len(rows) for rows in Overlap.TRANSITIONS.values())
        told += sum(
            following != state or what == EARLY_ANSWER
            for (state, _), (following, what) in OfferAnswer.TRANSITIONS.items()
        )
        heads = page.count("| state | event |")
        others = page.count("\n| ") - told - heads
        self.assertEqual(heads, 9)
        self.assertEqual(others, 6 + 12, "the tables of offers and of timers, with their heads")
        self.assertEqual(page.count("```text"), heads - 1)
        for machine in machines:
            for state, _ in machine.TRANSITIONS:
                self.assertIn(state, page)
        self.assertGreater(len(rows), 120)

    def test_times_of_dialogs(self) -> None:
        page = self.diagrams.dialogs_page()
        for row in (
            "| reliable provisional response sent again | 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 |",
            "| reliable provisional response given up | 32 |",
            "| session of 1800 s refreshed | 900 |",
            "| session of 1800 s given up | 1768 |",
        ):
            self.assertIn(row, page)
