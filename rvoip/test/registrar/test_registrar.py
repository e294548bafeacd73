"""The rules of REGISTER, one by one (RFC 3261 section 10.3)."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from rvoip.protocols.sip.message import Request, Response
from rvoip.registrar.binding import Applied, Binding, Change, Outcome, Removed
from rvoip.registrar.errors import RegistrationRefused
from rvoip.registrar.reading import MAX_BINDING
from rvoip.registrar.registrar import Registrar, format_date
from rvoip.registrar.settings import RegistrarSettings
from rvoip.test.registrar.requests import WALL, Office, listed, register, request_of

BOB = "Contact: <sip:bob@192.0.2.4>"


class AddressTests(TestCase):
    """Step 5: the address-of-record."""

    def address(self, to: str) -> str | int:
        found = Office().registrar.address_of_record(register(to=to))
        return found.status if isinstance(found, Response) else found

    def test_canonical(self) -> None:
        for to, aor in {
            "<sip:bob@example.test>": "bob@example.test",
            "sips:bob@EXAMPLE.test:5061;transport=tls": "bob@example.test",
            '"Bob" <sip:%62ob@example.test;x=1>;y=2': "bob@example.test",
            "<sip:a%20b@example.test>": "a%20b@example.test",
            "<sip:bob@[2001:DB8::1]>": "bob@[2001:db8::1]",
        }.items():
            self.assertEqual(self.address(to), aor)

    def test_none(self) -> None:
        for to, status in {
            "<tel:+15551234>": 400,
            "isbn:2983792873": 400,
            "<http://www.example.com>": 400,
            "<sip:example.test>": 404,
            "<sip:bob@>": 400,
        }.items():
            self.assertEqual(self.address(to), status, to)

    def test_of_a_domain_that_is_not_ours(self) -> None:
        office = Office(domains=lambda domain: domain == "example.test")
        self.assertEqual(office.register(BOB).status, 200)
        self.assertEqual(office.register(BOB, aor="bob@example.org").status, 404)
        self.assertEqual(office.contacts("bob@example.org"), [])


class RequireTests(TestCase):
    def test_unknown_option_tags(self) -> None:
        response = Office().register(BOB, "Require: path, gruu", "Require: 100rel")
        self.assertEqual((response.status, response.reason), (420, "Bad Extension"))
        self.assertEqual(response.get_all("unsupported"), ["gruu, 100rel"])

    def test_known_ones(self) -> None:
        self.assertEqual(Office().register(BOB, "Require: outbound, PATH").status, 200)

    def test_what_proxies_should_support_is_not_ours(self) -> None:
        self.assertEqual(Office().register(BOB, "Proxy-Require: gruu").status, 200)


class ExpiryTests(TestCase):
    """Step 7: how long."""

    settings = RegistrarSettings(default_expires=1800, min_expires=60, max_expires=7200)

    def granted(self, *headers: str) -> str:
        response = Office(self.settings).register(*headers)
        if response.status != 200:
            return str(response.status)
        (contact,) = listed(response)
        return contact.rpartition("expires=")[2]

    def test_where_it_comes_from(self) -> None:
        for headers, expected in (
            ((BOB,), "1800"),
            ((BOB, "Expires: 600"), "600"),
            ((BOB + ";expires=300",), "300"),
            ((BOB + ";expires=300", "Expires: 600"), "300"),
            ((BOB + ";expires=300", "Expires: 0"), "300"),
            ((BOB + ";expires=nonsense",), "3600"),
            ((BOB + ";expires",), "3600"),
            ((BOB, "Expires: nonsense"), "3600"),
            ((BOB, "Expires: 1_0"), "3600"),
            ((BOB + ";expires=99999999999999999999",), "3600"),
        ):
            self.assertEqual(self.granted(*headers), expected, headers)

    def test_limits(self) -> None:
        for asked, expected in {"60": "60", "7200": "7200", "7201": "7200", "4294967295": "7200"}.items():
            self.assertEqual(self.granted(BOB, f"Expires: {asked}"), expected)
            self.assertEqual(self.granted(f"{BOB};expires={asked}"), expected)

    def test_too_brief(self) -> None:
        office = Office(self.settings)
        response = office.register(BOB, "Expires: 59")
        self.assertEqual((response.status, response.reason), (423, "Interval Too Brief"))
        self.assertEqual(response.get("min-expires"), "60")
        self.assertEqual(office.register(BOB + ";expires=1").status, 423)
        self.assertEqual(office.register("Contact: <sip:a@h>", "Contact: <sip:b@h>;expires=1").status, 423)
        self.assertEqual(office.contacts(), [])

    def test_an_hour_is_never_too_brief(self) -> None:
        """ "greater than zero AND smaller than one hour AND less than a registrar-configured minimum" """
        settings = RegistrarSettings(min_expires=7200)
        for asked, status in (("3599", 423), ("3600", 200), ("7199", 200)):
            self.assertEqual(Office(settings).register(BOB, f"Expires: {asked}").status, status)

    def test_it_goes_by(self) -> None:
        office = Office()
        office.register(BOB, "Expires: 600")
        office.now += 599.5
        self.assertEqual(listed(office.register()), ["<sip:bob@192.0.2.4>;expires=1"])
        office.now += 0.5
        self.assertEqual(listed(office.register()), [])


class ContactTests(TestCase):
    """Steps 6 to 8: what is bound, and what the answer lists."""

    def test_several_in_one_request(self) -> None:
        office = Office()
        response = office.register(
            "Contact: <sip:a@h>;q=0.7, <sip:b@h>;expires=60;q=0.25", 'm: "C" <sip:c@h>;audio', "Expires: 900"
        )
        self.assertEqual(
            listed(response),
            ["<sip:a@h>;q=0.7;expires=900", "<sip:b@h>;q=0.25;expires=60", "<sip:c@h>;audio;expires=900"],
        )
        held = office.store.lookup("bob@example.test", office.now)
        self.assertEqual([each.q for each in held], [700, 250, 1000])

    def test_fetch(self) -> None:
        office = Office()
        self.assertEqual(listed(office.register()), [])
        office.register("Contact: <sip:a@h>", "Contact: <sip:b@h>")
        office.now += 100
        response = office.register(cseq=9)
        self.assertEqual(response.status, 200)
        self.assertEqual(listed(response), ["<sip:a@h>;expires=3500", "<sip:b@h>;expires=3500"])

    def test_an_equal_contact_is_refreshed(self) -> None:
        office = Office()
        office.register("Contact: <sip:bob@H;line=1>", "Expires: 60")
        held = office.store.lookup("bob@example.test", office.now)
        office.register("Contact: <sip:%62ob@h>", "Expires: 90", cseq=2)
        (now_held,) = office.store.lookup("bob@example.test", office.now)
        self.assertEqual((now_held.contact, now_held.granted), ("sip:%62ob@h", 90))
        self.assertEqual(now_held.key, held[0].key)

    def test_a_refresh_shares_its_strings(self) -> None:
        """So that 10,000 bindings take no more memory after a day."""
        office = Office()
        headers = ("Contact: <sip:bob@192.0.2.4:5060>;audio", "User-Agent: phone/1.0")
        office.handle(register(*headers), "udp/192.0.2.1:5060/192.0.2.4:5060")
        (before,) = office.store.lookup("bob@example.test", office.now)
        office.handle(register(*headers, cseq=2), "udp/192.0.2.1:5060/192.0.2.4:" + "5060")
        (after,) = office.store.lookup("bob@example.test", office.now)
        self.assertIsNot(before, after)
        for name in ("contact", "key", "call_id", "params", "received", "user_agent"):
            self.assertIs(getattr(before, name), getattr(after, name), name)
        self.assertIs(before.key, before.contact)

    def test_remove(self) -> None:
        office = Office()
        office.register("Contact: <sip:a@h>", "Contact: <sip:b@h>")
        response = office.register("Contact: <sip:A@h>;expires=0", "Contact: <sip:a@H>;expires=0", cseq=2)
        self.assertEqual(listed(response), ["<sip:b@h>;expires=3600"])
        response = office.register("Contact: <sip:b@h>", "Expires: 0", cseq=3)
        self.assertEqual((response.status, listed(response)), (200, []))

    def test_remove_and_add(self) -> None:
        office = Office()
        office.register("Contact: <sip:a@h>")
        response = office.register("Contact: <sip:b@h>", "Contact: <sip:a@h>;expires=0", cseq=2)
        self.assertEqual(listed(response), ["<sip:b@h>;expires=3600"])

    def test_of_two_equal_contacts_the_later_counts(self) -> None:
        office = Office()
        response = office.register("Contact: <sip:a@H>;q=0.1, <sip:a@h>;q=0.2")
        self.assertEqual(listed(response), ["<sip:a@h>;q=0.2;expires=3600"])
        response = office.register("Contact: <sip:a@h>;expires=0, <sip:a@h>", cseq=2)
        self.assertEqual(listed(response), ["<sip:a@h>;expires=3600"])
        response = office.register("Contact: <sip:a@h>, <sip:a@h>;expires=0", cseq=3)
        self.assertEqual(listed(response), [])

    def test_all_contacts(self) -> None:
        office = Office()
        office.register("Contact: <sip:a@h>", "Contact: <sip:b@h>")
        response = office.register("Contact: *", "Expires: 0", cseq=2)
        self.assertEqual((response.status, listed(response)), (200, []))
        self.assertEqual(office.contacts(), [])

    def test_all_contacts_must_be_alone_and_expire(self) -> None:
        office = Office()
        office.register(BOB)
        for headers in (
            ("Contact: *",),
            ("Contact: *", "Expires: 1"),
            ("Contact: *", "Expires: nonsense"),
            ("Contact: *;expires=0",),
            ("Contact: *;expires=0", "Expires: 0"),
            ("Contact: *, <sip:a@h>", "Expires: 0"),
            ("Contact: <sip:a@h>", "Contact: *", "Expires: 0"),
            ("Contact: *", "Contact: *", "Expires: 0"),
        ):
            self.assertEqual(office.register(*headers, cseq=2).status, 400, headers)
        self.assertEqual(office.contacts(), ["sip:bob@192.0.2.4"])

    def test_other_schemes_are_kept(self) -> None:
        office = Office()
        response = office.register("Contact: mailto:bob@example.org, <tel:+1-555-1234>;q=0.1")
        self.assertEqual(
            listed(response),
            ["<mailto:bob@example.org>;expires=3600", "<tel:+1-555-1234>;q=0.1;expires=3600"],
        )

    def test_malformed(self) -> None:
        office = Office()
        for contact in (
            "<sip:>",
            "<sip:a@>",
            "<nonsense>",
            "<sip:a@h>;q=2",
            "<sip:a@h>;q=1.0001",
            '<sip:a@h>;x="\x01"',
            '<sip:a@h>;x="\x7f"',
            "<sip:\udcff@h>",
            '<sip:a@h>;x="\udcff"',
            "<sip:a@h:99999>",
            f"<sip:{'a' * MAX_BINDING}@h>",
            f"<sip:a@h>;x={'a' * MAX_BINDING}",
        ):
            response = office.register(f"Contact: {contact}")
            self.assertEqual(response.status, 400, contact)
            warning = response.get("warning") or ""
            self.assertTrue(warning.startswith('399 registrar "') and warning.count('"') == 2, warning)
        self.assertEqual(office.register(BOB, call_id="a\x07b").status, 400)
        self.assertEqual(office.register(BOB, call_id="a\udcffb").status, 400)
        self.assertEqual(office.register(BOB, call_id="a" * MAX_BINDING).status, 400)
        self.assertEqual(office.contacts(), [])

    def test_port_0(self) -> None:
        """Nothing listens there; where the contact is reached by its stream no port is used."""
        office = Office()
        for contact in ("sip:bob@h:0", "sip:bob@h:0;transport=udp", "sip:bob@h:00;transport=tcp"):
            response = office.register(f"Contact: <{contact}>")
            self.assertEqual((response.status, response.reason), (400, "Port 0 In Contact"), contact)
            self.assertEqual(response.get("warning"), '399 registrar "Port 0 In Contact"')
        by_udp = office.handle(register("Contact: <sip:bob@h:0>"), "udp/flow")
        self.assertEqual(by_udp.status, 400)
        by_stream = office.handle(register("Contact: <sip:bob@h:0;transport=tcp>"), "stream")
        self.assertEqual(by_stream.status, 200)
        removed = office.register("Contact: <sip:carol@h:0>;expires=0")
        self.assertEqual(removed.status, 200)

    def test_too_many_in_one_request(self) -> None:
        office = Office(RegistrarSettings(max_contacts=100))
        self.assertEqual(office.register(*[f"Contact: <sip:{n}@h>" for n in range(17)]).status, 400)
        self.assertEqual(office.register(*[f"Contact: <sip:{n}@h>" for n in range(16)]).status, 200)

    def test_user_agent(self) -> None:
        office = Office()
        agents = (("phone/1.0", "phone/1.0"), ("x" * 500, "x" * 128), ("\x1b[2J", ""), ("", ""))
        for cseq, (agent, kept) in enumerate(agents, 1):
            office.register(BOB, f"User-Agent: {agent}", cseq=cseq)
            (held,) = office.store.lookup("bob@example.test", office.now)
            self.assertEqual(held.user_agent, kept)

    def test_flow(self) -> None:
        office = Office()
        office.handle(register(BOB), "udp/a/b")
        self.assertEqual(office.store.lookup("bob@example.test", 1000.0)[0].received, "udp/a/b")
        office.handle(register(BOB, cseq=2), "7")
        self.assertEqual(office.store.lookup("bob@example.test", 1000.0)[0].received, "7")
        office.handle(register(BOB, cseq=3))
        self.assertEqual(office.store.lookup("bob@example.test", 1000.0)[0].received, "")


class OrderTests(TestCase):
    """Steps 6 and 7: CSeq within a Call-ID."""

    def test_out_of_order(self) -> None:
        office = Office()
        office.register(BOB, cseq=5)
        for headers in ((BOB,), (BOB + ";expires=0",), ("Contact: *", "Expires: 0")):
            self.assertEqual(office.register(*headers, cseq=4).status, 500)
        self.assertEqual(office.contacts(), ["sip:bob@192.0.2.4"])

    def test_another_call_id(self) -> None:
        office = Office()
        office.register(BOB, cseq=5)
        self.assertEqual(office.register(BOB, cseq=1, call_id="call-2").status, 200)
        self.assertEqual(office.register(BOB + ";expires=0", cseq=1, call_id="call-3").status, 200)
        self.assertEqual(office.contacts(), [])

    def test_all_or_nothing(self) -> None:
        office = Office()
        office.register("Contact: <sip:a@h>", cseq=5)
        response = office.register("Contact: <sip:b@h>, <sip:a@h>;q=0.5", cseq=5)
        self.assertEqual(response.status, 500)
        self.assertEqual(office.contacts(), ["sip:a@h"])

    def test_the_same_request_again(self) -> None:
        """Lost with the transaction, say by a restart: the same 200."""
        office = Office()
        first = office.register("Contact: <sip:a@h>, <sip:b@h>;q=0.5", cseq=5)
        again = office.register("Contact: <sip:a@h>, <sip:b@h>;q=0.5", cseq=5)
        self.assertEqual((again.status, listed(again)), (200, listed(first)))
        office.register("Contact: <sip:b@h>;expires=0", cseq=6)
        again = office.register("Contact: <sip:b@h>;expires=0", cseq=6)
        self.assertEqual((again.status, listed(again)), (200, ["<sip:a@h>;expires=3600"]))

    def test_a_late_request_raises_nothing(self) -> None:
        office = Office()
        office.register(BOB, cseq=5)
        office.register(BOB + ";expires=0", cseq=6)
        self.assertEqual(office.register(BOB, cseq=5).status, 500)
        office.now += 31.9
        self.assertEqual(office.register(BOB, cseq=5).status, 500)
        office.now += 0.2
        self.assertEqual(office.register(BOB, cseq=5).status, 200)


class LimitTests(TestCase):
    def test_max_contacts(self) -> None:
        office = Office(RegistrarSettings(max_contacts=2))
        office.register("Contact: <sip:a@h>", "Contact: <sip:b@h>")
        response = office.register("Contact: <sip:c@h>", cseq=2)
        self.assertEqual(
            (response.status, response.get("warning")), (403, '399 registrar "At most 2 contacts"')
        )
        self.assertEqual(office.register("Contact: <sip:a@h>", cseq=3).status, 200)
        self.assertEqual(office.register("Contact: <sip:a@h>;expires=0, <sip:c@h>", cseq=4).status, 200)
        self.assertEqual(office.contacts(), ["sip:b@h", "sip:c@h"])
        self.assertEqual(
            office.register(*[f"Contact: <sip:{n}@h>" for n in range(3)], aor="al@example.test").status, 403
        )


class AnswerTests(TestCase):
    def test_what_is_in_it(self) -> None:
        response = Office().register(BOB, "Expires: 600", cseq=7)
        self.assertEqual(
            response.to_bytes(),
            b"SIP/2.0 200 OK\r\n"
            b"Via: SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bK1\r\n"
            b"From: <sip:bob@example.test>;tag=f1\r\n"
            b"To: <sip:bob@example.test>;tag=t1\r\n"
            b"Call-ID: call-1\r\n"
            b"CSeq: 7 REGISTER\r\n"
            b"Content-Length: 0\r\n"
            b"Contact: <sip:bob@192.0.2.4>;expires=600\r\n"
            b"Date: Sun, 13 Mar 2011 07:06:40 GMT\r\n"
            b"Supported: path, outbound\r\n\r\n",
        )

    def test_the_date_goes_on(self) -> None:
        office = Office()
        request = register()
        for wall, text in ((0.0, "Thu, 01 Jan 1970 00:00:00 GMT"), (59.9, "Thu, 01 Jan 1970 00:00:59 GMT")):
            response = office.registrar.listing(request, (), wall, 0.0)
            self.assertEqual(response.get("date"), text)
        self.assertEqual(format_date(951827696.0), "Tue, 29 Feb 2000 12:34:56 GMT")

    def test_a_refusal_has_a_tag(self) -> None:
        response = Office().register(BOB, "Require: x")
        self.assertEqual(response.to.tag, "t1")

    def test_service_route(self) -> None:
        office = Office(RegistrarSettings(service_route=("sip:p2.example.test;lr", "sip:p1.example.test;lr")))
        expected = ["<sip:p2.example.test;lr>, <sip:p1.example.test;lr>"]
        self.assertEqual(office.register(BOB).get_all("service-route"), expected)
        self.assertEqual(office.register().get_all("service-route"), expected)
        self.assertEqual(office.register(BOB, "Expires: 1").get_all("service-route"), [])
        written = ("<sip:p2.example.test;lr>", "sip:p1.example.test;lr")
        office = Office(RegistrarSettings(service_route=written))
        self.assertEqual(office.register(BOB).get_all("service-route"), expected)


class PathTests(TestCase):
    """RFC 3327 section 5.3."""

    PATH = ("Path: <sip:p2.example.test;lr>, <sip:p1.example.test;lr>", "Path: <sip:p0.example.test;lr>")

    def test_it_is_stored_and_given_back(self) -> None:
        office = Office()
        response = office.register(BOB, *self.PATH, "Supported: timer, path")
        self.assertEqual(response.status, 200)
        self.assertEqual([f"Path: {value}" for value in response.get_all("path")], list(self.PATH))
        (held,) = office.store.lookup("bob@example.test", office.now)
        self.assertEqual(
            held.path,
            ("<sip:p2.example.test;lr>", "<sip:p1.example.test;lr>", "<sip:p0.example.test;lr>"),
        )
        again = office.register(BOB, *self.PATH, "Supported: path", cseq=2)
        self.assertEqual(again.status, 200)
        self.assertIs(office.store.lookup("bob@example.test", office.now)[0].path, held.path)
        office.register(BOB, cseq=3)
        self.assertEqual(office.store.lookup("bob@example.test", office.now)[0].path, ())

    def test_the_phone_does_not_support_it(self) -> None:
        office = Office(RegistrarSettings(strict_path=True))
        response = office.register(BOB, *self.PATH)
        self.assertEqual((response.status, response.get("unsupported")), (420, "path"))
        self.assertEqual(office.contacts(), [])
        self.assertEqual(office.register(BOB, *self.PATH, "Require: path").status, 200)
        lenient = Office()
        self.assertEqual(lenient.register(BOB, *self.PATH).status, 200)
        self.assertEqual(len(lenient.store.lookup("bob@example.test", 1000.0)[0].path), 3)

    def test_malformed(self) -> None:
        office = Office()
        for path in (
            "<tel:+1555>",
            "<sip:>",
            "<sip:p@h>, ,<sip:q@h>",
            '"\x01" <sip:p@h>',
            f"<sip:{'p' * 4096}@h>",
        ):
            response = office.register(BOB, f"Path: {path}", "Supported: path")
            self.assertIn(response.status, (400, 416), path)
        self.assertEqual(office.contacts(), [])

    def test_a_long_path_on_a_known_contact(self) -> None:
        office = Office()
        office.register(BOB)
        response = office.register(BOB, f"Path: <sip:{'p' * 4096}@h>", "Supported: path", cseq=2)
        self.assertEqual(response.status, 400)


class OutboundTests(TestCase):
    """RFC 5626 section 6."""

    INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"'
    TWO_HOPS = (
        "SIP/2.0/TCP 192.0.2.15;branch=z9hG4bKp",
        "SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK1",
    )
    SUPPORTED = "Supported: path, outbound"

    def flow(self, reg_id: object, contact: str = "sip:bob@192.0.2.2;transport=tcp", more: str = "") -> str:
        return f"Contact: <{contact}>;reg-id={reg_id};{self.INSTANCE}{more}"

    def test_a_flow(self) -> None:
        office = Office(RegistrarSettings(flow_timer=120))
        response = office.handle(register(self.flow(1), self.SUPPORTED), "3")
        self.assertEqual((response.status, response.get("require")), (200, "outbound"))
        self.assertEqual(response.get("flow-timer"), "120")
        self.assertEqual(
            listed(response),
            [f"<sip:bob@192.0.2.2;transport=tcp>;reg-id=1;{self.INSTANCE};expires=3600"],
        )
        (held,) = office.store.lookup("bob@example.test", office.now)
        self.assertEqual((held.reg_id, held.received, held.is_flow), (1, "3", True))

    def test_what_replaces_a_flow(self) -> None:
        """The same instance and reg-id, whatever the contact URI and Call-ID; nothing else."""
        office = Office()
        office.register(self.flow(1), self.SUPPORTED, call_id="c1", cseq=9)
        office.register(self.flow(2), self.SUPPORTED, call_id="c2", cseq=9)
        office.register("Contact: <sip:bob@192.0.2.2;transport=tcp>", call_id="c3")
        self.assertEqual(len(office.contacts()), 3)
        office.register(self.flow(1, "sip:bob@198.51.100.7"), self.SUPPORTED, call_id="c4")
        self.assertEqual(
            office.contacts(),
            ["sip:bob@198.51.100.7", "sip:bob@192.0.2.2;transport=tcp", "sip:bob@192.0.2.2;transport=tcp"],
        )
        office.register(self.flow(2, "sip:elsewhere@h", ";expires=0"), self.SUPPORTED, call_id="c5")
        self.assertEqual(office.contacts(), ["sip:bob@198.51.100.7", "sip:bob@192.0.2.2;transport=tcp"])

    def test_without_the_option_tag(self) -> None:
        """Directly connected: a flow too, but the answer requires nothing."""
        response = Office().register(self.flow(1))
        self.assertEqual(
            (response.status, response.get("require"), response.get("flow-timer")), (200, None, None)
        )

    def test_reg_id_without_an_instance_is_ignored(self) -> None:
        office = Office()
        response = office.register("Contact: <sip:bob@h>;reg-id=1", self.SUPPORTED)
        self.assertEqual((response.status, response.get("require")), (200, None))
        self.assertFalse(office.store.lookup("bob@example.test", office.now)[0].is_flow)

    def test_an_instance_without_reg_id(self) -> None:
        office = Office()
        response = office.register(f"Contact: <sip:bob@h>;{self.INSTANCE}", self.SUPPORTED)
        self.assertEqual((response.status, response.get("require")), (200, None))
        (held,) = office.store.lookup("bob@example.test", office.now)
        self.assertEqual((held.is_flow, held.instance), (False, self.INSTANCE.split('"')[1]))

    def test_the_first_hop(self) -> None:
        for path, status, required, is_flow in (
            (("Path: <sip:x@ep1.example.test;lr;ob>",), 200, "outbound", True),
            (("Path: <sip:p.example.test;lr>, <sip:x@ep1.example.test;lr;ob>",), 200, "outbound", True),
            (("Path: <sip:x@ep1.example.test;lr>",), 439, None, False),
            ((), 439, None, False),
        ):
            office = Office()
            response = office.register(self.flow(1), self.SUPPORTED, *path, via=self.TWO_HOPS)
            self.assertEqual((response.status, response.get("require")), (status, required))
            held = office.store.lookup("bob@example.test", office.now)
            self.assertEqual([each.is_flow for each in held], [True] if is_flow else [])

    def test_the_first_hop_without_the_option_tag(self) -> None:
        """reg-id is ignored: a contact like any other."""
        office = Office()
        response = office.register(self.flow(1), via=self.TWO_HOPS)
        self.assertEqual(response.status, 200)
        self.assertFalse(office.store.lookup("bob@example.test", office.now)[0].is_flow)

    def test_one_flow_a_request(self) -> None:
        office = Office()
        other = "Contact: <sip:other@h>"
        self.assertEqual(office.register(self.flow(1), other, self.SUPPORTED).status, 400)
        self.assertEqual(office.register(self.flow(1), self.flow(2), self.SUPPORTED).status, 400)
        self.assertEqual(office.contacts(), [])
        self.assertEqual(office.register(self.flow(1), other + ";expires=0", self.SUPPORTED).status, 200)
        two = self.flow(1, more=";expires=0"), self.flow(2, more=";expires=0")
        self.assertEqual(office.register(*two, self.SUPPORTED, cseq=2).status, 200)
        self.assertEqual(office.contacts(), [])

    def test_malformed(self) -> None:
        for reg_id in ("0", "-1", "1_0", "x", "2147483648", ""):
            self.assertEqual(Office().register(self.flow(reg_id), self.SUPPORTED).status, 400, reg_id)


class EventTests(TestCase):
    def test_changes(self) -> None:
        office = Office()
        aor = "bob@example.test"
        office.register(BOB)
        office.register(BOB, cseq=1)
        office.register(BOB, cseq=2)
        office.register(cseq=3)
        office.register(BOB + ";expires=0", cseq=4)
        office.register(BOB, cseq=1)
        contact = ("sip:bob@192.0.2.4",)
        self.assertEqual(
            office.events, [(aor, contact, "created"), (aor, contact, "refreshed"), (aor, (), "removed")]
        )

    def test_what_happens_without_a_request(self) -> None:
        office = Office()
        office.register(BOB)
        office.register("Contact: <sip:b@h>;expires=60", cseq=2)
        office.events.clear()
        office.registrar.expired(office.store.expire(office.now + 100, WALL))
        office.registrar.removed(office.store.remove("bob@example.test", None, office.now))
        office.registrar.removed(office.store.remove("bob@example.test", None, office.now))
        aor = "bob@example.test"
        self.assertEqual(office.events, [(aor, ("sip:bob@192.0.2.4",), "expired"), (aor, (), "removed")])

    def test_nobody_listens(self) -> None:
        registrar = Registrar(RegistrarSettings(), lambda: "t")
        gone = Removed("a", (Binding("sip:a@h", "sip:a@h", "c", 1, 0.0, 1),), ())
        registrar.expired([gone])
        registrar.removed(gone)
        applied = Applied(Change("a", 0.0), Outcome.REMOVED, ())
        self.assertEqual(registrar.answer(register(), applied, 0.0, WALL).status, 200)


class SubclassTests(TestCase):
    def test_decisions_are_methods(self) -> None:
        class Closed(Registrar):
            def grant(self, aor: str, contact: object, requested: int) -> int:
                if aor.startswith("guest"):
                    raise RegistrationRefused(403, "No Guests", [("retry-after", "60")])
                return min(requested, 90)

        registrar = Closed(RegistrarSettings(), lambda: "t")

        def decide(request: Request, aor: str) -> Response | Change:
            return registrar.decide(request, aor, (), 0.0, WALL)

        refused = decide(register(BOB), "guest1@example.test")
        assert isinstance(refused, Response)
        self.assertEqual(
            (refused.status, refused.reason, refused.get("retry-after")), (403, "No Guests", "60")
        )
        granted = decide(register(BOB), "bob@example.test")
        assert isinstance(granted, Change)
        self.assertEqual(granted.puts[0].granted, 90)


class LiberalTests(TestCase):
    def test_a_contact_without_brackets(self) -> None:
        """Its parameters are the header's, and so is what follows (RFC 3261 section 20.10)."""
        office = Office()
        response = office.register("Contact: sip:bob@h;transport=tcp")
        self.assertEqual(listed(response), ["<sip:bob@h>;transport=tcp;expires=3600"])

    def test_wild_spellings(self) -> None:
        request = request_of(
            b"REGISTER sip:example.test SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
            b"f:<sip:a@example.test>;tag=1\r\nt:<sip:a@example.test>\r\ni:1\r\nCSEQ:1 REGISTER\r\n"
            b"EXPIRES :60\r\nCONTACT\t: <sip:a@h> ; Q = .5\r\n\r\n"
        )
        self.assertEqual(listed(Office().handle(request)), ["<sip:a@h>;q=.5;expires=60"])
