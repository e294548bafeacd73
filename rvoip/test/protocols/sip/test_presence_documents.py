"""The documents of event packages, both ways, with the examples of their RFCs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.content_headers import parse_media_type
from rvoip.protocols.sip.dialog_info import DialogInfo, DialogState, Participant, parse_dialog_info
from rvoip.protocols.sip.errors import SIPBuildError, SIPParseError
from rvoip.protocols.sip.message_summary import Counts, MessageSummary, parse_message_summary
from rvoip.protocols.sip.mime import parse_multipart
from rvoip.protocols.sip.pidf import Note, Presence, Tuple, parse_pidf
from rvoip.protocols.sip.reginfo import RegInfo, RegisteredContact, Registration, parse_reginfo
from rvoip.protocols.sip.rlmi import Instance, Resource, ResourceList, list_body, parse_rlmi
from rvoip.protocols.sip.winfo import Watcher, WatcherInfo, WatcherList, parse_winfo

# RFC 3863 section 4.2.2 and RFC 4480 section 5, put together.
PIDF = b"""<?xml version="1.0" encoding="UTF-8"?>
<impp:presence xmlns:impp="urn:ietf:params:xml:ns:pidf" entity="pres:someone@example.com"
    xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid">
  <impp:tuple id="sg89ae">
    <impp:status>
      <impp:basic>open</impp:basic>
    </impp:status>
    <rpid:class>IM</rpid:class>
    <impp:contact priority="0.8">tel:+09012345678</impp:contact>
    <impp:note xml:lang="en">Don't Disturb Please!</impp:note>
    <impp:timestamp>2001-10-27T16:49:29Z</impp:timestamp>
  </impp:tuple>
  <impp:tuple id="sg89af"><impp:status><impp:basic>closed</impp:basic></impp:status></impp:tuple>
  <impp:note>I'll be in Tokyo next week</impp:note>
  <dm:person id="p1">
    <rpid:activities from="2005-05-30T12:00:00+05:00">
      <rpid:note>Far away</rpid:note><rpid:away/></rpid:activities>
    <dm:note>Scoring 120</dm:note>
  </dm:person>
</impp:presence>"""

# RFC 4235 section 6.1.
DIALOG_INFO = b"""<?xml version="1.0"?>
<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="0" state="full"
  entity="sip:alice@example.com">
  <dialog id="as7d900as8" call-id="a84b4c76e66710" local-tag="1928301774" direction="initiator">
    <state event="rejected" code="486">terminated</state>
    <duration>145</duration>
    <local><identity display="Alice">sip:alice@example.com</identity>
      <target uri="sip:alice@pc33.example.com"><param pname="+sip.rendering" pval="no"/></target></local>
    <remote><identity>sip:bob@example.com</identity><target uri="sip:bob@example.com"/></remote>
  </dialog>
</dialog-info>"""

# RFC 3680 section 5.5.
REGINFO = b"""<?xml version="1.0"?>
<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="1" state="partial">
  <registration aor="sip:joe@example.com" id="a7" state="active">
    <contact id="77" state="active" event="registered" duration-registered="0" q="0.5" expires="3600"
      cseq="9">
      <uri>sip:joe@pc34.example.com</uri>
      <display-name>Joe</display-name>
      <unknown-param name="+sip.instance">"&lt;urn:uuid:1>"</unknown-param>
    </contact>
  </registration>
</reginfo>"""

# RFC 3858 section 5.
WINFO = b"""<?xml version="1.0"?>
<watcherinfo xmlns="urn:ietf:params:xml:ns:watcherinfo" version="0" state="full">
  <watcher-list resource="sip:professor@example.net" package="presence">
    <watcher status="active" id="8ajksjda7s" duration-subscribed="509"
      event="approved">sip:userA@example.net</watcher>
    <watcher status="pending" id="hh8juja87s997-ass7" display-name="Mr. Subscriber" event="subscribe"
      expiration="20">sip:userB@example.org</watcher>
  </watcher-list>
</watcherinfo>"""

# RFC 4662 section 5.3.
RLMI = b"""<?xml version="1.0" encoding="UTF-8"?>
<list xmlns="urn:ietf:params:xml:ns:rlmi" uri="sip:adam-friends@pres.vancouver.example.com" version="7"
  fullState="true">
  <name xml:lang="en">Buddy List</name>
  <resource uri="sip:bob@vancouver.example.com">
    <name>Bob Smith</name>
    <instance id="juwigmtboe" state="active" cid="bUZBsM@pres.vancouver.example.com"/>
  </resource>
  <resource uri="sip:ed@dallas.example.net"><instance id="b" state="terminated" reason="rejected"/></resource>
</list>"""

SUMMARY = (
    b"Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\n"
    b"Voice-Message: 2/8 (0/2)\r\nFax-Message: 0/1\r\n\r\nTo: <alice@atlanta.example.com>\r\n"
)

XML_DOCUMENTS: tuple[tuple[bytes, Callable[[bytes], Any]], ...] = (
    (PIDF, parse_pidf),
    (DIALOG_INFO, parse_dialog_info),
    (REGINFO, parse_reginfo),
    (WINFO, parse_winfo),
    (RLMI, parse_rlmi),
)


class BothWaysTests(SynchronousTestCase):
    def test_examples(self) -> None:
        for data, parse in (*XML_DOCUMENTS, (SUMMARY, parse_message_summary)):
            value = parse(data)
            self.assertEqual(parse(value.to_bytes()), value)

    def test_none_is_another(self) -> None:
        for data, _ in XML_DOCUMENTS:
            for other, parse in XML_DOCUMENTS:
                if other is not data:
                    self.assertRaises(SIPParseError, parse, data)

    def test_cut_off(self) -> None:
        for data, parse in XML_DOCUMENTS:
            for size in range(0, len(data) - 1, 7):
                self.assertRaises(SIPParseError, parse, data[:size])

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.sampled_from(XML_DOCUMENTS), st.data())
    def test_damaged(self, document: tuple[bytes, Callable[[bytes], Any]], data: st.DataObject) -> None:
        """An attribute or a text becomes another: it is refused, or can be written."""
        text, parse = document
        at = data.draw(st.integers(0, len(text)))
        damage = data.draw(st.sampled_from((b"", b"x", b"1_0", b'"', b"<a/>", b"\xd9\xa1", b"&lt;", b" ")))
        size = data.draw(st.integers(0, 12))
        try:
            value = parse(text[:at] + damage + text[at + size :])
        except SIPParseError:
            return
        self.assertEqual(parse(value.to_bytes()), value)


class PIDFTests(SynchronousTestCase):
    def test_values(self) -> None:
        presence = parse_pidf(PIDF)
        self.assertEqual(presence.entity, "pres:someone@example.com")
        first, second = presence.tuples
        self.assertEqual(
            (first.id, first.basic, first.contact, first.priority),
            ("sg89ae", "open", "tel:+09012345678", 800),
        )
        self.assertEqual(first.notes, (Note("Don't Disturb Please!", "en"),))
        self.assertEqual(first.timestamp, "2001-10-27T16:49:29Z")
        self.assertEqual([each.name for each in first.extensions], ["class"])
        self.assertEqual((second.id, second.basic, second.contact), ("sg89af", "closed", ""))
        self.assertTrue(presence.is_open)
        self.assertEqual(
            [each.text for each in presence.all_notes],
            ["I'll be in Tokyo next week", "Scoring 120", "Far away", "Don't Disturb Please!"],
        )

    def test_refused(self) -> None:
        for old, new in (
            (b'entity="pres:someone@example.com"', b""),
            (b'id="sg89ae"', b""),
            (b'id="sg89af"', b'id="sg89ae"'),
            (b"<impp:status><impp:basic>closed</impp:basic></impp:status>", b""),
            (b">open<", b">ajar<"),
            (b'priority="0.8"', b'priority="2"'),
            (b'priority="0.8"', b'priority="0.8888"'),
            (b'<dm:person id="p1">', b'<dm:person id="p1" impp:mustUnderstand="1">'),
        ):
            self.assertIn(old, PIDF)
            self.assertRaises(SIPParseError, parse_pidf, PIDF.replace(old, new))

    def test_written(self) -> None:
        data = Presence(
            "sip:a@h", (Tuple("t", "open", "sip:a@h;x=<&>", 500),), (Note('"&<>', "en"),)
        ).to_bytes()
        self.assertIn(b'<contact priority="0.5">sip:a@h;x=&lt;&amp;&gt;</contact>', data)
        self.assertIn(b'<note xml:lang="en">"&amp;&lt;&gt;</note>', data)


class DialogInfoTests(SynchronousTestCase):
    def test_values(self) -> None:
        expected = DialogState(
            "as7d900as8",
            "terminated",
            "a84b4c76e66710",
            "1928301774",
            "",
            "initiator",
            "rejected",
            486,
            145,
            Participant("sip:alice@example.com", "Alice", "sip:alice@pc33.example.com", "no"),
            Participant("sip:bob@example.com", "", "sip:bob@example.com"),
        )
        self.assertEqual(parse_dialog_info(DIALOG_INFO), DialogInfo("sip:alice@example.com", (expected,)))

    def test_refused(self) -> None:
        for old, new in (
            (b'version="0"', b'version="-1"'),
            (b'version="0"', b'version="1_0"'),
            (b'state="full"', b'state="whole"'),
            (b'entity="sip:alice@example.com"', b""),
            (b'id="as7d900as8" ', b""),
            (b">terminated<", b">gone<"),
        ):
            self.assertIn(old, DIALOG_INFO)
            self.assertRaises(SIPParseError, parse_dialog_info, DIALOG_INFO.replace(old, new))


class RegInfoTests(SynchronousTestCase):
    def test_values(self) -> None:
        contact = RegisteredContact(
            "77",
            "sip:joe@pc34.example.com",
            "active",
            "registered",
            3600,
            0,
            500,
            "",
            9,
            "Joe",
            (("+sip.instance", '"<urn:uuid:1>"'),),
        )
        registration = Registration("sip:joe@example.com", "a7", "active", (contact,))
        self.assertEqual(parse_reginfo(REGINFO), RegInfo((registration,), 1, False))


class WInfoTests(SynchronousTestCase):
    def test_values(self) -> None:
        watchers = (
            Watcher("sip:userA@example.net", "8ajksjda7s", "active", "approved", duration=509),
            Watcher(
                "sip:userB@example.org", "hh8juja87s997-ass7", "pending", "subscribe", "Mr. Subscriber", 20
            ),
        )
        self.assertEqual(
            parse_winfo(WINFO),
            WatcherInfo((WatcherList("sip:professor@example.net", "presence", watchers),)),
        )


class RLMITests(SynchronousTestCase):
    def test_values(self) -> None:
        resources = (
            Resource(
                "sip:bob@vancouver.example.com",
                "Bob Smith",
                (Instance("juwigmtboe", "active", "", "bUZBsM@pres.vancouver.example.com"),),
            ),
            Resource("sip:ed@dallas.example.net", "", (Instance("b", "terminated", "rejected"),)),
        )
        expected = ResourceList(
            "sip:adam-friends@pres.vancouver.example.com", resources, 7, True, "Buddy List"
        )
        self.assertEqual(parse_rlmi(RLMI), expected)

    def test_body(self) -> None:
        state = parse_rlmi(RLMI)
        kind, body = list_body(
            state, {"bUZBsM@pres.vancouver.example.com": ("application/pidf+xml", PIDF)}, "h"
        )
        media_type = parse_media_type(kind)
        self.assertEqual(
            (media_type.param("type"), media_type.param("start")), ("application/rlmi+xml", "<list@h>")
        )
        first, second = parse_multipart(kind, body)
        self.assertEqual(parse_rlmi(first.body), state)
        self.assertEqual(second.body, PIDF)
        self.assertIn(("Content-ID", "<bUZBsM@pres.vancouver.example.com>"), second.headers)


class MessageSummaryTests(SynchronousTestCase):
    def test_values(self) -> None:
        self.assertEqual(
            parse_message_summary(SUMMARY),
            MessageSummary(
                True,
                "sip:alice@vmail.example.com",
                {"voice-message": Counts(2, 8, 0, 2), "fax-message": Counts(0, 1)},
            ),
        )

    def test_written(self) -> None:
        self.assertEqual(MessageSummary(False).to_bytes(), b"Messages-Waiting: no\r\n")
        self.assertEqual(
            MessageSummary(True, "", {"voice-message": Counts(1, 2)}).to_bytes(),
            b"Messages-Waiting: yes\r\nVoice-Message: 1/2\r\n",
        )
        self.assertRaises(SIPBuildError, MessageSummary(True, "a\r\nb").to_bytes)
        self.assertRaises(SIPBuildError, MessageSummary(True, "", {"x\r\n": Counts(1, 2)}).to_bytes)

    def test_lenient(self) -> None:
        """Phones and servers write line feeds, other cases, and blanks."""
        text = b"messages-waiting : YES \nVOICE-MESSAGE: 1 / 2\nX-Other: y\n"
        self.assertEqual(
            parse_message_summary(text), MessageSummary(True, "", {"voice-message": Counts(1, 2)})
        )

    def test_refused(self) -> None:
        for text in (
            b"",
            b"Voice-Message: 1/2\r\n",
            b"Messages-Waiting: maybe\r\n",
            b"Messages-Waiting: yes\r\nVoice-Message: 1\r\n",
            b"Messages-Waiting: yes\r\nVoice-Message: 1_0/2\r\n",
            b"Messages-Waiting: yes\r\nVoice-Message: 99999999999/2\r\n",
            b"Messages-Waiting: yes\r\nVoice-Message\r\n",
            b"\xff",
            b"Messages-Waiting: yes\r\n" + b"X: y\r\n" * 2000,
        ):
            self.assertRaises(SIPParseError, parse_message_summary, text)
