"""Limits of calls in a whole proxy: who pays, every way that a call can end, and what survives a restart."""

from __future__ import annotations

import os
import time
from typing import Any

from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.errors import ConfigError
from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.message import Request
from rvoip.proxy.limits import Limited
from rvoip.services.compose import SIPRole
from rvoip.services.limits import local_day
from rvoip.test.services.roles import RoleCase
from rvoip.testing.phone import Call, Phone, answer_at_once, busy, ring, silent
from rvoip.users.errors import StoreError
from rvoip.users.limits import AccountLimits
from rvoip.users.store import UserStore

GATEWAY = "127.0.64.30"
TABLES = f"""
[registrar]
[proxy.numbers]
country = "49"
[[proxy.route]]
prefix = "0"
set = "pstn"
[[proxy.route]]
prefix = "112"
set = "pstn"
[[proxy.gateway_set]]
name = "pstn"
gateways = ["sip:{GATEWAY}:5060"]
[[proxy.alias]]
name = "+49301000000"
to = "alice@example.test"
[[proxy.limits.class]]
name = "national"
prefix = "+49"
[[proxy.limits.class]]
name = "premium"
prefix = "+49900"
[[proxy.limits.group]]
name = "trusted"
users = ["carol"]
calls = 0
"""
LIMITS = """
[proxy.limits]
calls = 2
allow = ["national"]
"""
NUMBER = "sip:0301234567@example.test"
PREMIUM = "sip:0900123456@example.test"


class LimitsCase(RoleCase):
    def start(self, text: str = LIMITS, users: tuple[str, ...] = ("alice", "bob", "carol")) -> SIPRole:
        role: SIPRole = self.run_role(TABLES + text)
        for user in users:
            self.add_account(role, f"{user}@example.test")
        self.limited: list[Limited] = []
        role.events.subscribe(Limited, self.limited.append, name="test")
        self.role = role
        self.gateway = self.phone("gw@example.test", GATEWAY, port=5060)
        return role

    def caller(self, user: str = "alice", place: int = 1, **options: Any) -> Phone:
        phone = self.phone(f"{user}@example.test", f"127.0.64.3{place}", **options)
        self.reactor.result_of(phone.register())
        return phone

    def up(self, phone: Phone, uri: str = NUMBER) -> Call:
        call = phone.call(uri)
        self.reactor.result_of(call.established())
        return call

    def refused(self, phone: Phone, uri: str = NUMBER) -> str:
        reason = str(self.reactor.result_of(phone.call(uri).ended()))
        self.reactor.advance(0.01)
        return reason

    @property
    def held(self) -> int:
        limits = self.role.limits
        assert limits is not None
        return limits.limits.held


class RefusalTests(LimitsCase):
    def test_a_class_that_is_not_allowed(self) -> None:
        self.start('[events]\nurl = "http://hook.example.test/"\n' + LIMITS)
        alice = self.caller()
        self.assertEqual(self.refused(alice, PREMIUM), "403 Destination Not Allowed")
        self.assertEqual(self.gateway.received("INVITE"), [])
        (refusal,) = alice.received(403)
        self.assertEqual(refusal.get("warning"), '399 proxy "This account may not call the class premium"')
        (event,) = self.limited
        self.assertEqual(
            (event.user, event.what, event.number_class, event.uri),
            ("alice@example.test", "class", "premium", PREMIUM),
        )
        # Not by its international form, nor as an address of the gateway.
        for uri in ("sip:0049900123456@example.test", f"sip:0900123456@{GATEWAY}", "sip:x@192.0.2.1"):
            self.assertEqual(self.refused(alice, uri), "403 Destination Not Allowed", uri)
        metrics = self.client.ask("GET", "/metrics").body
        self.assertIn(b'rvoip_proxy_limited_total{limit="class"} 4.0', metrics)
        self.up(alice)
        self.assertEqual(self.held, 1)

    def test_calls_at_once(self) -> None:
        self.start()
        alice = self.caller()
        first, second = self.up(alice), self.up(alice)
        self.assertEqual(self.refused(alice), "486 Too Many Calls")
        self.assertEqual(len(self.gateway.received("INVITE")), 2)
        self.assertEqual(self.held, 2)
        # An emergency is none of it; nor are calls between our users.
        self.up(alice, "sip:112@example.test")
        bob = self.caller("bob", 2)
        self.up(alice, "sip:bob@example.test")
        self.assertEqual(self.held, 2)
        self.up(bob)
        self.reactor.result_of(first.bye())
        self.assertEqual(self.held, 2)
        self.up(alice)
        self.reactor.result_of(second.bye())

    def test_each_way_to_end(self) -> None:
        role = self.start()
        alice = self.caller()
        call = self.up(alice)
        self.reactor.result_of(call.bye())
        self.assertEqual(self.held, 0)
        call = self.up(alice)
        incoming = self.gateway.calls[-1]
        self.reactor.result_of(incoming.bye())
        self.assertEqual(self.held, 0)
        self.gateway.script = busy
        self.assertEqual(self.refused(alice), "486 Busy Here")
        self.assertEqual(self.held, 0)
        self.gateway.script = ring
        call = alice.call(NUMBER)
        self.reactor.advance(1.0)
        self.assertEqual(self.held, 1)
        call.cancel()
        self.reactor.result_of(call.ended())
        self.reactor.advance(0.1)
        self.assertEqual(self.held, 0)
        self.gateway.script = silent
        call = alice.call(NUMBER)
        self.reactor.advance(1.0)
        self.assertEqual(self.held, 1)
        self.reactor.result_of(call.ended(), 100)
        self.reactor.advance(0.1)
        self.assertEqual(self.held, 0)
        self.gateway.script = answer_at_once
        self.up(alice)
        assert role.calls is not None
        (found,) = role.calls.calls
        self.reactor.result_of(role.calls.end(found))
        self.assertEqual(self.held, 0)
        self.up(alice)
        self.assertEqual(self.held, 1)
        self.reactor.advance(13 * 3600.0)
        self.assertEqual(self.held, 0, "nobody refreshed it")

    def test_who_has_calls_forwarded_pays(self) -> None:
        self.start('[[proxy.forward]]\nuser = "alice"\nalways = "0900123456"\nbusy = "0301234567"\n' + LIMITS)
        alice = self.caller(script=busy)
        bob = self.caller("bob", 2)
        call = self.up(bob, "sip:alice@example.test")
        (event,) = self.limited
        self.assertEqual((event.user, event.number_class), ("alice@example.test", "premium"))
        self.assertEqual(len(alice.received("INVITE")), 1)
        (invite,) = self.gateway.received("INVITE")
        assert isinstance(invite, Request)
        self.assertTrue(invite.uri_text.startswith("sip:0301234567@"))
        assert self.role.limits is not None
        self.assertEqual(self.role.limits.spent("alice@example.test").now, 1)
        self.assertEqual(self.role.limits.spent("bob@example.test").now, 0)
        self.reactor.result_of(call.bye())
        self.assertEqual(self.held, 0)

    def test_who_registers_a_number_pays(self) -> None:
        self.start()
        alice = self.caller()
        for contact in (f"<sip:0900123456@{GATEWAY}>", "<sip:0900123456@example.test>"):
            self.reactor.result_of(alice.register(contacts=[contact]))
        bob = self.caller("bob", 2)
        self.refused(bob, "sip:alice@example.test")
        self.assertEqual(self.gateway.received("INVITE"), [])
        self.assertEqual({one.user for one in self.limited}, {"alice@example.test"})

    def test_names_of_a_caller(self) -> None:
        self.start()
        alice = self.caller()
        for name, passes in (
            ("sip:alice@example.test", True),
            ("sip:+49301000000@example.test", True),
            ("sip:0301000000@example.test", True),
            ("tel:+49301000000", True),
            ("sip:anonymous@anonymous.invalid", True),
            ("sip:bob@example.test", False),
            ("sip:+4930200@example.test", False),
            ("tel:+4930200", False),
            ("sip:alice@bank.test", False),
        ):
            local = NameAddr(name, "", {"tag": alice.new_tag()})
            call = Call(alice, alice.new_call_id(), local, NameAddr(NUMBER), False)
            call.start(NUMBER, alice.sdp(), ())
            asserted = alice.call(NUMBER, headers=[("P-Asserted-Identity", f"<{name}>")])
            for one, header in ((call, "From"), (asserted, "P-Asserted-Identity")):
                if passes:
                    self.reactor.result_of(one.established())
                    self.reactor.result_of(one.bye())
                else:
                    reason = self.reactor.result_of(one.ended())
                    self.assertEqual(reason, f"403 {header} does not belong to these credentials", name)

    def test_a_reload(self) -> None:
        role = self.start()
        alice = self.caller()
        self.up(alice)
        path = self.folder / "role.toml"
        text = path.read_text(encoding="utf-8")
        text = text.replace("calls = 2", "calls = 1").replace('allow = ["national"]', 'allow = ["premium"]')
        path.write_text(text, encoding="utf-8")
        role.reload()
        self.assertEqual(self.refused(alice), "403 Destination Not Allowed")
        self.assertEqual(self.refused(alice, PREMIUM), "486 Too Many Calls")


class KeptTests(LimitsCase):
    DAY = "[proxy.limits]\ncalls_a_day = 3\ncalls = 5\n"

    def test_days_survive_a_restart_and_calls_do_not(self) -> None:
        role = self.start(self.DAY)
        alice = self.caller()
        self.up(alice)
        self.up(alice)
        self.reactor.advance(90.0)
        self.reactor.result_of(role.stopService())
        again = self.run_role(TABLES + self.DAY)
        assert again.limits is not None
        spent = again.limits.spent("alice@example.test")
        self.assertEqual((spent.now, spent.calls), (0, 2))
        self.assertAlmostEqual(spent.seconds, 180.0, delta=2.0)
        self.role = again
        self.reactor.result_of(alice.register())
        self.up(alice)
        self.assertEqual(self.refused(alice), "603 Too Many Calls Today")

    def test_another_day(self) -> None:
        self.start(self.DAY)
        limits = self.role.limits
        assert limits is not None
        day = ["2026-11-24"]
        limits._day_of = lambda wall: (day[0], 10.0)  # the server's time zone
        alice = self.caller()
        for _ in range(3):
            self.up(alice)
        self.assertEqual(self.refused(alice), "603 Too Many Calls Today")
        self.assertEqual(alice.received(603)[0].get("retry-after"), "11")
        day[0] = "2026-11-25"
        self.up(alice)

    def test_what_is_special_about_one(self) -> None:
        self.start('[proxy.limits]\ncalls = 1\nallow = ["national"]\n')
        url = "/v1/users/alice@example.test/limits"
        nothing = {
            "calls": None,
            "calls_a_minute": None,
            "calls_a_day": None,
            "minutes_a_day": None,
            "allow": None,
            "group": None,
        }
        shown = self.client.ask("GET", url).json
        self.assertEqual(shown["special"], nothing)
        self.assertEqual(shown["in_force"]["calls"], 1)
        self.assertEqual(shown["in_force"]["allow"], ["national"])
        self.assertEqual(shown["used"], {"calls": 0, "calls_today": 0, "minutes_today": 0.0})
        answer = self.client.ask("PUT", url, {"calls": 2, "allow": ["premium"]})
        self.assertEqual((answer.status, answer.json["in_force"]["calls"]), (200, 2))
        alice = self.caller()
        self.assertEqual(self.refused(alice), "403 Destination Not Allowed")
        self.up(alice, PREMIUM)
        self.up(alice, PREMIUM)
        self.assertEqual(self.refused(alice, PREMIUM), "486 Too Many Calls")
        self.assertEqual(self.client.ask("GET", url).json["used"]["calls"], 2)
        # Of a group nobody counts the calls at once.
        self.client.ask("PUT", url, {"group": "trusted"})
        for _ in range(3):
            self.up(alice)
        self.client.ask("PUT", url, {})
        self.assertEqual(self.refused(alice), "486 Too Many Calls")
        self.assertEqual(self.client.ask("GET", url).json["special"], nothing)
        for body, status in (
            ({"allow": ["nonsense"]}, 400),
            ({"group": "nonsense"}, 400),
            ({"calls": -1}, 400),
            ({"calls": True}, 400),
            ({"more": 1}, 400),
        ):
            self.assertEqual(self.client.ask("PUT", url, body).status, status, body)
        self.assertEqual(self.client.ask("PUT", "/v1/users/nobody@example.test/limits", {}).status, 404)
        self.assertEqual(self.client.ask("GET", "/v1/users/nonsense/limits").status, 404)

    def test_another_process_says_what_is_special(self) -> None:
        role = self.start("[proxy.limits]\ncalls = 1\n")
        alice = self.caller()
        with UserStore(f"sqlite:{self.folder / 'users.db'}") as store:
            store.limits.set("alice@example.test", AccountLimits(calls=2))
        self.reactor.advance(1.5)
        self.up(alice)
        self.up(alice)
        self.assertEqual(self.refused(alice), "486 Too Many Calls")
        self.reactor.result_of(role.accounts.opened.remove("alice@example.test"))
        self.reactor.advance(1.5)
        assert role.limits is not None
        self.assertEqual(role.limits.special, {})

    def test_a_store_that_fails(self) -> None:
        """What is counted stays counted, and is kept once that can be."""
        role = self.start(self.DAY)
        alice = self.caller()
        store = role.accounts.opened
        self.patch(store, "add_day", lambda day, changes: fail(StoreError("the disk is full")))
        self.up(alice)
        self.reactor.advance(3.0)
        self.up(alice)
        self.up(alice)
        self.assertEqual(self.refused(alice), "603 Too Many Calls Today")
        del store.add_day
        self.reactor.advance(3.0)
        assert role.accounts.limits is not None and role.limits is not None
        kept = role.accounts.limits.day(role.limits.limits.day)
        self.assertEqual(kept["alice@example.test"][0], 3)


class MistakeTests(LimitsCase):
    def test_mistakes(self) -> None:
        for text, key, reason in (
            ('[proxy.limits]\nallow = ["mobile"]\n', "proxy.limits.allow", "no class 'mobile'"),
            ('[[proxy.limits.class]]\nname = "other"\nprefix = "1"\n', "class[2].name", "taken"),
            ('[[proxy.limits.class]]\nname = "a b"\nprefix = "1"\n', "class[2].name", "no name"),
            ('[[proxy.limits.class]]\nname = "x"\n', "class[2]", "of no numbers"),
            ('[[proxy.limits.class]]\nname = "x"\nprefix = "+49"\n', "class[2].prefix", "national"),
            ('[[proxy.limits.class]]\nname = "x"\nprefix = [""]\n', "class[2].prefix", "empty"),
            ('[[proxy.limits.class]]\nname = "x"\nregex = "("\n', "class[2].regex", ""),
            ('[[proxy.limits.group]]\nname = "trusted"\n', "group[1].name", "taken"),
            ('[[proxy.limits.group]]\nname = "g"\nusers = ["carol"]\n', "group[1].users[0]", "trusted"),
            ('[[proxy.limits.group]]\nname = "g"\nusers = ["x@y.test"]\n', "group[1].users[0]", "no user"),
            ("[proxy.limits]\ncalls = 1\n[proxy]\ndialogs = 0\n", "proxy.limits.calls", "needs"),
        ):
            error = self.assertRaises(ConfigError, self.make, TABLES + text)
            self.assertIn(key, str(error), text)
            self.assertIn(reason, str(error), text)


class DayTests(SynchronousTestCase):
    def test_the_day_is_that_of_the_time_zone(self) -> None:
        self.addCleanup(time.tzset)
        before = os.environ.get("TZ")
        self.addCleanup(lambda: os.environ.pop("TZ") if before is None else os.environ.update(TZ=before))
        os.environ["TZ"] = "Europe/Berlin"
        time.tzset()
        midnight = 1_795_474_800.0  # 2026-11-24 00:00 CET
        self.assertEqual(local_day(midnight), ("2026-11-24", 86400.0))
        self.assertEqual(local_day(midnight - 1.0), ("2026-11-23", 1.0))
        self.assertEqual(local_day(1_792_879_200.0), ("2026-10-25", 90000.0), "summer time ends")
