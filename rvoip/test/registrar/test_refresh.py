"""The short way of a refresh leads where the general rules lead."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.registrar.binding import Applied, Binding, Change, Outcome
from rvoip.registrar.refresh import answer, refreshed
from rvoip.registrar.registrar import Registrar, format_date
from rvoip.registrar.settings import RegistrarSettings
from rvoip.test.registrar.requests import WALL, register
from rvoip.test.registrar.stores.contract import fields

NOW = 1000.0
AOR = "bob@example.test"
SETTINGS = RegistrarSettings(min_expires=60, max_expires=7200, service_route=("sip:p.example.test;lr",))

contacts = st.sampled_from(
    (
        "Contact: <sip:bob@192.0.2.4:5060>",
        "Contact: <sip:bob@192.0.2.4:5060>;q=0.5",
        "Contact: <sip:bob@192.0.2.4:5060>;expires=90",
        "Contact: <sip:bob@192.0.2.4:5060;ob>",
        "Contact: sip:bob@192.0.2.4:5060",
        'Contact: "Bob" <sip:bob@192.0.2.4:5060>',
        "m: <sip:bob@192.0.2.4:5060>",
        "Contact:<sip:bob@192.0.2.4:5060>",
        "Contact: *",
        'Contact: <sip:bob@192.0.2.4:5060>;reg-id=1;+sip.instance="<urn:x:a>"',
    )
)
others = st.lists(
    st.sampled_from(
        (
            "Expires: 3600",
            "Expires:3600",
            "Expires:  600",
            "EXPIRES: 600",
            "expires: 61",
            "Expires: 7201",
            "Expires: 59",
            "Expires: 0",
            "Expires: 6_0",
            "Expires: \u0663\u0660\u0660",
            "User-Agent: phone/1.0",
            "User-Agent:phone/1.0",
            "User-Agent: other/2.0",
            "Path: <sip:p.example.test;lr>",
            "Supported: path, outbound",
            "Require: path",
            "Require: nothing",
            "Contact: <sip:second@h>",
        )
    ),
    max_size=3,
    unique_by=lambda header: header[:4].lower(),
)
requests = st.builds(
    lambda contact, more, cseq, call_id: register(contact, *more, cseq=cseq, call_id=call_id),
    contacts,
    others,
    st.integers(1, 9),
    st.sampled_from(("call-1", "call-2", "x" * 300, "bad\x01")),
)
flows = st.sampled_from(("", "udp/a/b"))


def held_by(registrar: Registrar, request: Request, flow: str) -> tuple[Binding, ...]:
    """What the AOR has after a first REGISTER."""
    decision = registrar.decide(request, AOR, (), NOW - 30, WALL, flow)
    return decision.puts if isinstance(decision, Change) else ()


def make() -> Registrar:
    return Registrar(SETTINGS, lambda: "t1")


class RefreshTests(TestCase):
    @settings(derandomize=True, deadline=None, max_examples=1500)
    @given(requests, requests, flows, flows)
    def test_the_same_binding(self, first: Request, second: Request, flow: str, later: str) -> None:
        registrar = make()
        bindings = held_by(registrar, first, flow)
        short = refreshed(second, bindings, NOW, later, SETTINGS)
        if short is None:
            return
        decision = registrar.decide(second, AOR, bindings, NOW, WALL, later)
        assert isinstance(decision, Change), decision
        self.assertEqual(fields(decision.puts), fields([short]))
        self.assertEqual((decision.removes, decision.outbound), ((), False))
        self.assertEqual((decision.call_id, decision.cseq), (short.call_id, short.cseq))

    @settings(derandomize=True, deadline=None, max_examples=500)
    @given(requests, st.sampled_from(("<sip:bob@example.test>", "sip:bob@example.test", "<sip:b@h>;tag=x")))
    def test_the_same_answer(self, request: Request, to: str) -> None:
        registrar = make()
        request.set("to", to)
        bindings = held_by(registrar, request, "")
        if not bindings:
            return
        change = Change(AOR, NOW, bindings, (), request.call_id, request.cseq.number)
        more = "Supported: path, outbound\r\nService-Route: <sip:p.example.test;lr>"
        data = answer(request, bindings, NOW, "t1", f"Date: {format_date(WALL)}\r\n{more}")
        if data is None:
            return
        written = parse_message(data)
        general = registrar.answer(request, Applied(change, Outcome.REFRESHED, bindings), NOW, WALL)
        assert isinstance(written, Response)
        self.assertEqual((written.status, written.reason), (general.status, general.reason))
        self.assertEqual(sorted(written.lines), sorted(general.lines))

    def test_what_takes_the_short_way(self) -> None:
        """If nothing did, the tests above would say nothing."""
        registrar = make()
        headers = ("Contact: <sip:bob@192.0.2.4:5060>", "Expires: 3600", "User-Agent: phone/1.0")
        bindings = held_by(registrar, register(*headers), "udp/a/b")
        found = refreshed(register(*headers, cseq=2), bindings, NOW, "udp/a/b", SETTINGS)
        assert found is not None
        self.assertEqual((found.cseq, found.granted, found.deadline), (2, 3600, NOW + 3600))
        self.assertIs(found.contact, bindings[0].contact)
        reply = answer(register(*headers, cseq=2), (found,), NOW, "t1", "Date: x\r\nSupported: path")
        assert reply is not None
        self.assertIn(b"Contact: <sip:bob@192.0.2.4:5060>;expires=3600\r\n", reply)

    def test_what_does_not(self) -> None:
        registrar = make()
        contact = "Contact: <sip:bob@192.0.2.4:5060>"
        bindings = held_by(registrar, register(contact, "User-Agent: phone/1.0"), "")
        agent = "User-Agent: phone/1.0"
        for headers in (
            (contact, "Expires:3600", agent),
            (contact, "Expires: 3600"),
            (contact, agent),
            (contact, "Expires: 59", agent),
            (contact, "Expires: 0", agent),
            (contact, "Expires: 7201", agent),
            ("Contact: <sip:other@h>", "Expires: 3600", agent),
        ):
            self.assertIsNone(refreshed(register(*headers, cseq=2), bindings, NOW, "", SETTINGS), headers)
        good = (contact, "Expires: 3600", agent)
        self.assertIsNone(refreshed(register(*good, cseq=1), bindings, NOW, "", SETTINGS))
        self.assertIsNone(refreshed(register(*good, cseq=2), bindings, NOW, "udp/x/y", SETTINGS))
        self.assertIsNone(refreshed(register(*good, cseq=2), bindings * 2, NOW, "", SETTINGS))
        self.assertIsNone(refreshed(register(*good, cseq=2), (), NOW, "", SETTINGS))
