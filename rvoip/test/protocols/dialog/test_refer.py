"""REFER: what is read, what is sent on, and how both sides follow it."""

from __future__ import annotations

import re
from typing import ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.refer import (
    Refer,
    ReferProgress,
    ReferReport,
    event_matches,
    makes_subscription,
    read_refer,
    refer_headers,
    sipfrag,
    sipfrag_status,
    triggered,
)
from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.build import request, respond
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.sip.subscription_headers import SubscriptionState
from rvoip.protocols.sip.transfer_headers import Replaces
from rvoip.test.conformance import GIVEN, messages, octets

ACTIVE = SubscriptionState("active", expires=60)
LAST = SubscriptionState("terminated", "noresource")


def refer(*headers: tuple[str, str], cseq: int = 93809823) -> Request:
    return request(
        "REFER",
        "sip:b@x",
        from_="<sip:a@x>;tag=1",
        to="<sip:b@x>;tag=2",
        call_id="c",
        cseq=cseq,
        headers=headers,
    )


class ReadTests(SynchronousTestCase):
    def read(self, *headers: tuple[str, str]) -> Refer:
        found = read_refer(refer(*headers))
        assert isinstance(found, Refer), found
        return found

    def test_blind(self) -> None:
        found = self.read(("Refer-To", "Carol <sip:carol@x>"), ("Referred-By", "<sip:a@x>"))
        self.assertEqual((found.method, found.refer_to.uri_text), ("INVITE", "sip:carol@x"))
        assert found.referred_by is not None
        self.assertEqual(found.referred_by.uri_text, "sip:a@x")
        self.assertTrue(found.subscription)
        self.assertIsNone(found.replaces)
        self.assertEqual(str(found.event), "refer;id=93809823")

    def test_attended(self) -> None:
        found = self.read(("Refer-To", "<sip:c@x?Replaces=12%40y%3Bto-tag%3D3%3Bfrom-tag%3D4>"))
        self.assertEqual(found.replaces, Replaces("12@y", "3", "4"))

    def test_without_a_subscription(self) -> None:
        self.assertFalse(self.read(("Refer-To", "<sip:c@x>"), ("Refer-Sub", "false")).subscription)
        self.assertTrue(self.read(("Refer-To", "<sip:c@x>"), ("Refer-Sub", "true")).subscription)

    def test_other_uris(self) -> None:
        found = self.read(("Refer-To", "<tel:+15550100>"))
        made = triggered(refer(), found)
        self.assertEqual((made.method, made.uri, made.headers), ("INVITE", "tel:+15550100", ()))

    def test_refusals(self) -> None:
        for headers, status in (
            ((), 400),
            ((("Refer-To", "<sip:c@x>"), ("Refer-To", "<sip:d@x>")), 400),
            ((("Refer-To", "<<>"),), 400),
            ((("Refer-To", "<sip:c@x?Replaces=12>"),), 400),
            ((("Refer-To", "<sip:c@x>"), ("Refer-Sub", "perhaps")), 400),
            ((("Refer-To", "<sip:c@x;method=CANCEL>"),), 501),
        ):
            self.assertEqual(read_refer(refer(*headers)), Refusal(status), headers)

    def test_what_is_sent_on(self) -> None:
        asked = refer(
            (
                "Refer-To",
                "<sip:c@x;transport=tcp;method=INVITE?Replaces=1%3Bto-tag%3D2%3Bfrom-tag%3D3&Subject=hi>",
            ),
            ("Referred-By", '<sip:a@x>;cid="2@y"'),
        )
        found = read_refer(asked)
        assert isinstance(found, Refer)
        made = triggered(asked, found)
        self.assertEqual((made.method, made.uri), ("INVITE", "sip:c@x;transport=tcp"))
        self.assertEqual(
            made.headers,
            (
                ("Replaces", "1;to-tag=2;from-tag=3"),
                ("Subject", "hi"),
                ("Referred-By", '<sip:a@x>;cid="2@y"'),
            ),
        )

    def test_what_a_uri_may_not_forge(self) -> None:
        """Nobody is called as somebody else, nor over another way (RFC 3261 section 19.1.5)."""
        for name, value in (
            ("From", "%3Csip:boss@x%3E"),
            ("P-Asserted-Identity", "%3Csip:boss@x%3E"),
            ("Route", "%3Csip:evil;lr%3E"),
            ("Via", "x"),
            ("Call-ID", "1"),
            ("Contact", "%3Csip:evil%3E"),
            ("Content-Length", "9"),
            ("Authorization", "x"),
            ("%46rom", "%3Csip:boss@x%3E"),
            ("Subject", "a%0D%0AFrom:%20boss"),
            ("body", "x"),
        ):
            asked = refer(("Refer-To", f"<sip:c@x?{name}={value}>"))
            found = read_refer(asked)
            assert isinstance(found, Refer), (name, found)
            self.assertEqual(triggered(asked, found).headers, (), name)


class HeaderTests(SynchronousTestCase):
    def test_plain(self) -> None:
        self.assertEqual(refer_headers("sip:c@x;transport=tcp"), (("Refer-To", "<sip:c@x;transport=tcp>"),))
        self.assertEqual(
            refer_headers("Carol <sip:c@x>", referred_by="sip:a@x", subscription=False),
            (
                ("Refer-To", '"Carol" <sip:c@x>'),
                ("Referred-By", "<sip:a@x>"),
                ("Refer-Sub", "false"),
                ("Supported", "norefersub"),
            ),
        )
        self.assertRaises(SIPParseError, refer_headers, "<oops")

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=";,"), min_size=1),
        st.booleans(),
        st.sampled_from(["sip:c@x", "sip:c@x;transport=tcp", "sip:c@x?Subject=hi"]),
    )
    def test_any_dialog_arrives(self, call_id: str, early: bool, target: str) -> None:
        replaces = Replaces(call_id, "to.tag", "from~tag", early)
        headers = refer_headers(NameAddr(target), replaces=replaces)
        parsed = parse_message(refer(*headers).to_bytes())
        assert isinstance(parsed, Request)
        found = read_refer(parsed)
        assert isinstance(found, Refer)
        self.assertEqual(found.replaces, replaces)
        made = dict(triggered(parsed, found).headers)
        self.assertEqual(made["Replaces"], str(replaces))

    def test_whether_there_will_be_notifies(self) -> None:
        asked = refer(("Refer-To", "<sip:c@x>"))
        for wanted, headers, expected in (
            (True, (), True),
            (False, (), True),
            (False, (("Refer-Sub", "false"),), False),
            (False, (("Refer-Sub", "true"),), True),
            (False, (("Refer-Sub", "??"),), True),
        ):
            self.assertEqual(makes_subscription(respond(asked, 202, headers=headers), wanted), expected)

    def test_events(self) -> None:
        for text, only, expected in (
            ("refer;id=7", False, True),
            ("refer;id=7", True, True),
            ("refer;id=8", True, False),
            ("refer", True, True),
            ("refer", False, False),
            ("presence", True, False),
            ("", True, False),
        ):
            self.assertEqual(event_matches(text, 7, only), expected, text)


class SipfragTests(SynchronousTestCase):
    def test_written_and_read(self) -> None:
        self.assertEqual(sipfrag(200), b"SIP/2.0 200 OK\r\n")
        self.assertEqual(sipfrag(603, "No\r\nWay"), b"SIP/2.0 603 No  Way\r\n")
        for body, expected in (
            (b"SIP/2.0 200 OK\r\n", (200, "OK")),
            (b"SIP/2.0 100 Trying", (100, "Trying")),
            (b"\r\n SIP/2.0 180 Ringing\nTo: x\n", (180, "Ringing")),
            (b"SIP/2.0 486\r\nReason: x\r\n", (486, "")),
            (b"SIP/2.0 503 \xff\r\n", (503, "\ufffd")),
            (b"SIP/2.0 20 OK\r\n", None),
            (b"SIP/2.0 700 Huh\r\n", None),
            ("SIP/2.0 \uff12\uff10\uff10 OK\r\n".encode(), None),
            (b"INVITE sip:a@x SIP/2.0\r\n", None),
            (b"", None),
        ):
            self.assertEqual(sipfrag_status(body), expected, body)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.binary(max_size=80))
    def test_anything(self, noise: bytes) -> None:
        found = sipfrag_status(noise)
        self.assertTrue(found is None or 100 <= found[0] < 700)
        found = sipfrag_status(b"SIP/2.0 180 " + noise)
        self.assertTrue(found is None or found[0] == 180)


class ReportTests(SynchronousTestCase):
    def test_each_row(self) -> None:
        for (at, event), (following, what) in ReferReport.TRANSITIONS.items():
            report = ReferReport()
            if at == "Proceeding":
                report.progress(183)
            self.assertEqual(report.state, at)
            self.assertEqual(report.progress(180 if event == "1xx" else 200), bool(what))
            self.assertEqual(report.state, following)

    def test_a_call(self) -> None:
        report = ReferReport()
        self.assertEqual(report.body, b"SIP/2.0 100 Trying\r\n")
        self.assertFalse(report.progress(100))
        self.assertTrue(report.progress(180))
        self.assertFalse(report.progress(180), "it was told already")
        self.assertTrue(report.progress(486, "Busy"))
        self.assertTrue(report.done)
        self.assertEqual(report.body, b"SIP/2.0 486 Busy\r\n")
        self.assertFalse(report.progress(200), "only the first final one counts")


class ProgressTests(SynchronousTestCase):
    WAYS: ClassVar = {"Asked": (), "Accepted": ("2xx",), "Under way": ("2xx", "NOTIFY 1xx")}

    def apply(self, progress: ReferProgress, event: str) -> None:
        if event == "2xx":
            progress.answered(202)
        elif event == "2xx without subscription":
            progress.answered(202, subscription=False)
        elif event == "refused":
            progress.answered(403, "No")
        elif event == "subscription ended":
            progress.ended()
        else:
            status = {"1xx": 180, "2xx": 200, "300-699": 486}[event.removeprefix("NOTIFY ")]
            progress.notified(ACTIVE, sipfrag(status))

    def test_each_row(self) -> None:
        for (at, event), (following, outcome) in ReferProgress.TRANSITIONS.items():
            progress = ReferProgress()
            for step in self.WAYS[at]:
                self.apply(progress, step)
            self.assertEqual(progress.state, at)
            self.apply(progress, event)
            self.assertEqual((progress.state, progress.outcome), (following, outcome), (at, event))
            self.assertEqual(progress.over, following == "Over")

    def test_a_transfer(self) -> None:
        progress = ReferProgress()
        progress.answered(202, "Accepted")
        self.assertTrue(progress.notified(ACTIVE, sipfrag(100)))
        self.assertFalse(progress.notified(ACTIVE, sipfrag(100)))
        self.assertTrue(progress.notified(ACTIVE, sipfrag(180)))
        self.assertTrue(progress.notified(LAST, sipfrag(200)))
        self.assertEqual((progress.status, progress.reason, progress.outcome), (200, "OK", "succeeded"))
        self.assertFalse(progress.notified(LAST, sipfrag(486)), "it is over")
        self.assertEqual(progress.status, 200)

    def test_a_last_notify_that_says_nothing(self) -> None:
        progress = ReferProgress()
        progress.answered(202)
        self.assertTrue(progress.notified(LAST, b""))
        self.assertEqual(progress.outcome, "unknown")

    def test_refused(self) -> None:
        progress = ReferProgress()
        progress.answered(603, "Decline")
        self.assertEqual((progress.status, progress.reason, progress.outcome), (603, "Decline", "refused"))


class ExampleTests(SynchronousTestCase):
    """The REFERs that RFCs print."""

    def test_them(self) -> None:
        read = 0
        for entry in messages("sip/rfc-examples"):
            if "REFER.sip" not in entry["file"]:
                continue
            data = octets("sip/rfc-examples", entry["file"])
            message = parse_message(re.sub(rb"Content-Length: *[^\r]*\r\n", b"", data))
            assert isinstance(message, Request)
            value = message.get("refer-to")
            if value is None or "(" in value:
                continue  # the RFC puts words in its place
            found = read_refer(message)
            assert isinstance(found, Refer), entry["file"]
            made = triggered(message, found)
            self.assertEqual(made.method, found.method)
            self.assertIn(made.uri, value)
            read += 1
        self.assertEqual(read, 6)


if not GIVEN:
    del ExampleTests
