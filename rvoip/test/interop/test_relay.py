"""Media through rtpengine: both ends hear each other by way of it, over holds, and it forgets the call."""

from __future__ import annotations

import re
from typing import Any

from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN, Role
from rvoip.test.interop.rtpengine import RTPEngine
from rvoip.test.interop.test_call import CallCase


class RelayTests(CallCase):
    def engine(self, name: str = "rtpengine") -> RTPEngine:
        """An rtpengine that runs until the test ends."""
        engine = RTPEngine(self.folder, self.host(), name)
        self.addCleanup(engine.close)
        return engine

    def start(self, *engines: RTPEngine, more: str = "") -> Role:
        listed = ", ".join(f'"{one.uri}"' for one in engines)
        return self.role(tables={"proxy": f"rtpengine = [{listed}]\n{more}"})

    def assertBy(self, engine: RTPEngine, messages: list[str]) -> None:
        """All descriptions in messages name the engine."""
        self.assertTrue(messages)
        for message in messages:
            place = re.search(r"^c=IN IP4 (\S+)$", message, re.M)
            port = re.search(r"^m=audio (\d+) ", message, re.M)
            assert place and port, message
            self.assertEqual(place[1], engine.host)
            self.assertTrue(engine.has_port(int(port[1])), message)

    def test_a_call(self) -> None:
        """PJSIP and baresip, with holds of both; each hears the other."""
        engine = self.engine()
        role = self.start(engine)
        caller, callee = self.pjsip(role, "alice"), self.baresip(role, "bob", "tcp")
        call_id = self.calls(role, caller, callee)
        self.assertBy(engine, caller.received(r"^m=audio"))
        self.assertBy(engine, callee.received(r"^m=audio"))
        until(lambda: engine.calls() == [], f"the end of {call_id}")

    def test_packets(self) -> None:
        """The engine counts what it relays; a call that the callee hangs up ends there too."""
        engine = self.engine()
        role = self.start(engine)
        caller, callee = self.baresip(role, "alice"), self.pjsip(role, "bob")
        caller.call(f"sip:bob@{DOMAIN}")
        call_id = callee.rings()
        callee.answer()
        caller.talks()
        caller.hears(15)
        callee.hears()
        self.assertEqual(engine.calls(), [call_id])
        self.assertGreater(engine.packets(call_id), 20)
        callee.hang_up()
        caller.hung_up()
        until(lambda: engine.calls() == [], "the end of the call")

    def test_a_refused_call(self) -> None:
        engine = self.engine()
        role = self.start(engine)
        caller, callee = self.pjsip(role, "alice"), self.baresip(role, "bob")
        caller.call(f"sip:bob@{DOMAIN}")
        callee.rings()
        self.assertEqual(len(engine.calls()), 1)
        callee.refuse(486)
        caller.failed(486)
        until(lambda: engine.calls() == [], "the end of the call")

    def test_two_engines(self) -> None:
        """One dies: calls go to the other; both are dead: a new call is refused."""
        one, two = self.engine("one"), self.engine("two")
        role = self.start(one, two)
        role.said(f"rtpengine at {one.host} {one.port} relays media")
        one.close()
        caller, callee = self.pjsip(role, "alice"), self.baresip(role, "bob")
        for number in range(1, 5):
            caller.call(f"sip:bob@{DOMAIN}")
            callee.wait("CALL_INCOMING", count=number)
            callee.answer()
            caller.wait("call", state="confirmed", count=number)
            callee.hears()
            caller.hang_up()
            callee.wait("CALL_CLOSED", count=number)
        self.assertBy(two, callee.received(r"^INVITE [^\0]*^m=audio"))
        two.close()
        caller.call(f"sip:bob@{DOMAIN}")
        self.assertTrue(caller.receives("^SIP/2.0 503"))
        self.assertTrue(role.process.output.count("is not relayed"))

    def test_only_where_there_is_a_nat(self) -> None:
        """Phones that are where they say talk directly."""
        engine = self.engine()
        role = self.start(engine, more='relay = "nat"')
        caller, callee = self.pjsip(role, "alice"), self.baresip(role, "bob")
        caller.call(f"sip:bob@{DOMAIN}")
        callee.rings()
        callee.answer()
        caller.hears()
        self.assertEqual(engine.calls(), [])
        found: list[Any] = callee.received(r"^INVITE [^\0]*^m=audio")
        self.assertNotIn(f"c=IN IP4 {engine.host}", found[0])
        caller.hang_up()
        callee.hung_up()
