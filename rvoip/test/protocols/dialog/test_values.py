"""The values and small machines of the dialog layer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.body import Body, session_part
from rvoip.protocols.dialog.dialog import Dialog, received_in, sent_in
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.interfaces import IDialogUsage, ITransactionUser
from rvoip.protocols.dialog.merged import SeenLately
from rvoip.protocols.dialog.outcomes import DIALOG, TRANSACTION, USAGE, effect
from rvoip.protocols.dialog.replaces import named_dialog, refusal, wanted
from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.dialog.unacknowledged import Unacknowledged
from rvoip.protocols.sip.build import request, respond
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.transfer_headers import Join, Replaces
from rvoip.test.protocols.dialog.agents import Stage


def invite(**more: object) -> Request:
    settings: dict[str, object] = {
        "from_": "Alice <sip:alice@a.test>;tag=a",
        "to": "<sip:bob@b.test>",
        "call_id": "c",
        "cseq": 7,
        "contact": "<sip:alice@10.0.0.1>",
        **more,
    }
    return request("INVITE", "sip:bob@b.test", **settings)  # type: ignore[arg-type]


def accepted(sent: Request, *headers: tuple[str, str]) -> Response:
    return respond(sent, 200, to_tag="b", headers=headers)


class Dialogs(SynchronousTestCase):
    """RFC 3261 section 12, without a network."""

    def test_uac(self) -> None:
        sent = invite()
        dialog = Dialog.uac(sent, accepted(sent, ("Contact", "<sip:bob@10.0.0.2;x=1?h=v>")))
        self.assertEqual(dialog.id, ("c", "a", "b"))
        self.assertEqual((dialog.state, dialog.role, dialog.secure), ("early", "uac", False))
        self.assertEqual(dialog.remote_target, "sip:bob@10.0.0.2;x=1")
        bye = dialog.request("BYE")
        self.assertEqual(
            (bye.uri_text, str(bye.cseq), bye.get("from"), bye.get("to")),
            ("sip:bob@10.0.0.2;x=1", "8 BYE", "Alice <sip:alice@a.test>;tag=a", "<sip:bob@b.test>;tag=b"),
        )
        self.assertEqual(dialog.request("ACK", cseq=7).cseq.number, 7)
        self.assertEqual(dialog.request("INFO").cseq.number, 9)
        self.assertEqual(str(dialog.next_hop), "sip:bob@10.0.0.2;x=1")

    def test_uas(self) -> None:
        dialog = Dialog.uas(invite(), "b")
        self.assertEqual(dialog.id, ("c", "b", "a"))
        bye = dialog.request("BYE")
        self.assertEqual(
            (bye.uri_text, str(bye.cseq), bye.get("from"), bye.get("to")),
            ("sip:alice@10.0.0.1", "1 BYE", "<sip:bob@b.test>;tag=b", "Alice <sip:alice@a.test>;tag=a"),
        )

    def test_both_ends_have_the_same_name(self) -> None:
        sent = invite()
        response = accepted(sent, ("Contact", "<sip:bob@10.0.0.2>"))
        self.assertEqual(sent_in(response), Dialog.uac(sent, response).id)
        ours, theirs = Dialog.uac(sent, response), Dialog.uas(sent, "b")
        self.assertEqual(received_in(ours.request("BYE")), theirs.id)
        self.assertEqual(received_in(theirs.request("BYE")), ours.id)

    def test_a_peer_without_tags(self) -> None:
        """RFC 3261 section 12.1: a peer of RFC 2543 sets none."""
        sent = invite()
        dialog = Dialog.uac(sent, respond(sent, 200))
        self.assertEqual((dialog.id, dialog.remote_target), (("c", "a", ""), "sip:bob@b.test"))
        dialog = Dialog.uas(invite(from_="<sip:alice@a.test>"), "b")
        self.assertEqual(dialog.id, ("c", "b", ""))

    def test_a_request_without_a_contact(self) -> None:
        self.assertRaises(SIPParseError, Dialog.uas, invite(contact=None), "b")
        self.assertRaises(SIPParseError, Dialog.uas, invite(contact="*"), "b")

    def test_secure(self) -> None:
        sent = request(
            "INVITE", "sips:bob@b.test", from_="<sip:a@a>;tag=a", to="<sip:b@b>", call_id="c", cseq=1
        )
        self.assertTrue(Dialog.uac(sent, accepted(sent)).secure)

    def test_order(self) -> None:
        dialog = Dialog.uas(invite(), "b")
        numbers = [(7, 482), (9, 0), (8, 500), (9, 482), (2**32 - 1, 0)]
        for number, status in numbers:
            message = request("INFO", "sip:x", from_="<sip:a>;tag=a", to="<sip:b>", call_id="c", cseq=number)
            self.assertEqual(dialog.receive(message), status)

    def test_confirm(self) -> None:
        sent = invite()
        early = respond(sent, 180, to_tag="b", headers=(("Record-Route", "<sip:old.test;lr>"),))
        dialog = Dialog.uac(sent, early)
        dialog.confirm(
            accepted(sent, ("Record-Route", "<sip:one.test;lr>, <sip:two.test;lr>"), ("Contact", "<sip:c@d>"))
        )
        self.assertEqual(dialog.state, "confirmed")
        self.assertEqual(dialog.route_set, ("<sip:two.test;lr>", "<sip:one.test;lr>"))
        self.assertEqual(dialog.remote_target, "sip:c@d")
        dialog.confirm(accepted(sent, ("Contact", "<sip:late@d>")))
        self.assertEqual(dialog.remote_target, "sip:c@d")
        dialog.end()
        dialog.confirm()
        self.assertEqual(dialog.state, "terminated")

    def test_a_notify_that_comes_first(self) -> None:
        sent = request("SUBSCRIBE", "sip:b@b", from_="<sip:a@a>;tag=a", to="<sip:b@b>", call_id="c", cseq=3)
        notify = request(
            "NOTIFY",
            "sip:a@a",
            from_="<sip:b@b>;tag=b",
            to="<sip:a@a>;tag=a",
            call_id="c",
            cseq=1,
            contact="<sip:b@10.0.0.2>",
            headers=(("Record-Route", "<sip:p.test;lr>"),),
        )
        dialog = Dialog.from_notify(sent, notify)
        self.assertEqual((dialog.id, dialog.route_set), (("c", "a", "b"), ("<sip:p.test;lr>",)))
        self.assertEqual(dialog.request("SUBSCRIBE").cseq.number, 4)


class Outcomes(SynchronousTestCase):
    """RFC 5057 section 5.1."""

    def test_table(self) -> None:
        for method, status, what in (
            ("INFO", 200, TRANSACTION),
            ("INFO", 486, TRANSACTION),
            ("INFO", 405, TRANSACTION),
            ("INFO", 503, TRANSACTION),
            ("INVITE", 405, USAGE),
            ("SUBSCRIBE", 489, USAGE),
            ("INFO", 408, USAGE),
            ("INFO", 480, USAGE),
            ("BYE", 481, USAGE),
            ("INFO", 404, DIALOG),
            ("INFO", 604, DIALOG),
        ):
            self.assertEqual(effect(method, status), what, (method, status))


class Seen(SynchronousTestCase):
    """`SeenLately`."""

    def test_for_a_while(self) -> None:
        seen = SeenLately(32.0)
        self.assertFalse(seen.add("a", 100.0))
        self.assertTrue(seen.add("a", 100.0))
        self.assertTrue(seen.seen("a", 131.0))
        self.assertFalse(seen.seen("b", 131.0))
        self.assertTrue(seen.seen("a", 133.0))
        self.assertFalse(seen.seen("a", 170.0))
        seen.add("c", 170.0)
        self.assertFalse(seen.seen("c", 1000.0))
        self.assertEqual(len(seen), 0)

    def test_not_more_than_so_many(self) -> None:
        seen = SeenLately(32.0, 10)
        for number in range(1000):
            seen.add(number, 1.0)
        self.assertLessEqual(len(seen), 20)
        self.assertTrue(seen.seen(999, 1.0))


class Acknowledging(SynchronousTestCase):
    """`Unacknowledged` (RFC 3261 section 13.3.1.4)."""

    def test_until_given_up(self) -> None:
        machine = Unacknowledged(Timers(), 10.0)
        times = []
        while machine.deadline is not None:
            now = machine.deadline
            what = machine.poll(now)
            times.append((now - 10, what))
        self.assertEqual(
            [time for time, what in times if what == "resend"],
            [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5],
        )
        self.assertEqual(times[-1], (32.0, "expired"))
        self.assertEqual(machine.poll(99), "")

    def test_acknowledged_once(self) -> None:
        machine = Unacknowledged(Timers(), 10.0)
        self.assertEqual(machine.poll(10.1), "")
        self.assertTrue(machine.acknowledged())
        self.assertFalse(machine.acknowledged())
        self.assertIsNone(machine.deadline)


class TakingOver(SynchronousTestCase):
    """Replaces and Join, without a network."""

    def test_wanted(self) -> None:
        self.assertIsNone(wanted(invite()))
        header = wanted(invite(headers=(("Replaces", "c;to-tag=1;from-tag=2;early-only"),)))
        assert isinstance(header, Replaces)
        self.assertEqual(named_dialog(header), ("c", "1", "2"))
        self.assertIsInstance(wanted(invite(headers=(("Join", "c;to-tag=1;from-tag=2"),))), Join)
        both = (("Replaces", "c;to-tag=1;from-tag=2"), ("Join", "c;to-tag=1;from-tag=2"))
        self.assertRaises(Refused, wanted, invite(headers=both))

    def test_refusals(self) -> None:
        plain, early, join = Replaces("c", "1", "2"), Replaces("c", "1", "2", True), Join("c", "1", "2")
        for header, state, role, status in (
            (plain, "confirmed", "uas", 0),
            (plain, "early", "uac", 0),
            (plain, "early", "uas", 481),
            (plain, "terminated", "uac", 603),
            (early, "confirmed", "uac", 486),
            (early, "early", "uac", 0),
            (join, "confirmed", "uas", 0),
            (join, "early", "uas", 481),
        ):
            self.assertEqual(refusal(header, state, role), status)


MIXED = b"\r\n".join(
    (
        b"--b",
        b"Content-Type: application/sdp",
        b"",
        b"v=0\r\n",
        b"--b",
        b"Content-Type: application/isup",
        b"",
        b"x",
        b"--b--",
        b"",
    )
)


class Bodies(SynchronousTestCase):
    """`Body`, and what of a message takes part in offer and answer."""

    def part(self, content_type: str | None, body: bytes, disposition: str = "") -> Body | None:
        headers = (("Content-Disposition", disposition),) if disposition else ()
        message = invite(headers=headers)
        message.set_body(body, content_type)
        return session_part(message)

    def test_sdp(self) -> None:
        self.assertIsNone(session_part(invite()))
        self.assertEqual(self.part("application/sdp", b"v=0"), Body(b"v=0"))
        self.assertEqual(self.part("Application/SDP; x=y", b"v=0"), Body(b"v=0", "Application/SDP; x=y"))
        self.assertEqual(self.part(None, b"v=0"), Body(b"v=0"))
        self.assertIsNone(self.part("text/plain", b"v=0"))

    def test_dispositions(self) -> None:
        self.assertEqual(
            self.part("application/sdp", b"v=0", "session;handling=required"),
            Body(b"v=0", disposition="session;handling=required"),
        )
        self.assertIsNone(self.part("application/sdp", b"v=0", "early-session"))
        self.assertIsNone(self.part("application/sdp", b"v=0", "render"))

    def test_one_part_of_several(self) -> None:
        found = self.part("multipart/mixed;boundary=b", MIXED)
        assert found is not None
        self.assertEqual((found.type, found.content), ("application/sdp", b"v=0\r\n"))
        self.assertIsNone(self.part("multipart/mixed;boundary=b", b"--b\r\n\r\nx\r\n--b--"))
        self.assertIsNone(self.part("multipart/mixed", MIXED))

    def test_headers(self) -> None:
        self.assertEqual(Body(b"x").headers, ())
        self.assertEqual(Body(b"x", "a/b", "render").headers, (("Content-Disposition", "render"),))


class Interfaces(SynchronousTestCase):
    """Whoever provides what."""

    def test_provided(self) -> None:
        from zope.interface.verify import verifyObject

        stage = Stage()
        ours, _ = stage.established()
        self.assertTrue(verifyObject(ITransactionUser, stage.alice.agent))
        self.assertTrue(verifyObject(IDialogUsage, ours))
