from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.uri import parse_uri
from rvoip.protocols.transport.dns_records import NAPTR, SRV, Answer, Outcome, Question, Record
from rvoip.protocols.transport.flow import Target
from rvoip.protocols.transport.selection import LocateError, Search, search_for_uri

ALL = ("UDP", "TCP", "TLS")

# The zone of RFC 3263 section 4.1 and 4.2, with addresses, and some domains with less.
ZONE: dict[tuple[str, str], list[Record]] = {
    ("example.com", "NAPTR"): [
        NAPTR(50, 50, "S", "SIPS+D2T", "_sips._tcp.example.com"),
        NAPTR(90, 50, "S", "SIP+D2T", "_sip._tcp.example.com"),
        NAPTR(100, 50, "S", "SIP+D2U", "_sip._udp.example.com"),
    ],
    ("_sips._tcp.example.com", "SRV"): [SRV(0, 1, 5061, "server1.example.com")],
    ("_sip._tcp.example.com", "SRV"): [
        SRV(0, 1, 5060, "server1.example.com"),
        SRV(1, 0, 5062, "server2.example.com"),
    ],
    ("_sip._udp.example.com", "SRV"): [SRV(0, 1, 5060, "server2.example.com")],
    ("server1.example.com", "A"): ["192.0.2.1"],
    ("server1.example.com", "AAAA"): ["2001:db8::1"],
    ("server2.example.com", "A"): ["192.0.2.2"],
    ("example.com", "A"): ["192.0.2.80"],
    # SRV and no NAPTR
    ("_sip._udp.srv.test", "SRV"): [SRV(0, 0, 5070, "server2.example.com")],
    ("_sips._tcp.srv.test", "SRV"): [SRV(0, 0, 5071, "server2.example.com")],
    # addresses only
    ("plain.test", "A"): ["192.0.2.9", "0.0.0.0", "224.0.0.1", "255.255.255.255", "0.1.2.3"],
    ("plain.test", "AAAA"): ["::", "ff02::1", "::ffff:192.0.2.9", "2001:db8::9"],
    # NAPTR that leads elsewhere, with records that must not be followed
    ("odd.test", "NAPTR"): [
        NAPTR(1, 1, "S", "SIP+D2S", "_sip._sctp.odd.test"),
        NAPTR(1, 2, "U", "SIP+D2U", "_sip._udp.odd.test"),
        NAPTR(1, 3, "S", "SIP+D2U", ""),
        NAPTR(1, 4, "S", "E2U+SIP", "_sip._udp.odd.test"),
        NAPTR(1, 5, "S", "SIP+D2T", "_sip._tcp.hoster.test"),
    ],
    ("_sip._tcp.hoster.test", "SRV"): [SRV(0, 0, 5060, "server1.example.com")],
    # NAPTR of which nothing can be used
    ("sctp.test", "NAPTR"): [NAPTR(1, 1, "S", "SIP+D2S", "_sip._sctp.sctp.test")],
    ("_sip._udp.sctp.test", "SRV"): [SRV(0, 0, 5060, "server2.example.com")],
    # NAPTR whose services have no SRV
    ("naptr.test", "NAPTR"): [NAPTR(1, 1, "S", "SIP+D2T", "_sip._tcp.naptr.test")],
    ("naptr.test", "A"): ["192.0.2.10"],
    # a service that is decidedly not there
    ("_sip._udp.closed.test", "SRV"): [SRV(0, 0, 0, "")],
    ("_sip._tcp.closed.test", "SRV"): [SRV(0, 0, 0, "")],
    ("_sips._tcp.closed.test", "SRV"): [SRV(0, 0, 0, "")],
    ("closed.test", "A"): ["192.0.2.11"],
    ("_sip._udp.half.test", "SRV"): [SRV(0, 0, 0, "")],
    ("_sip._tcp.half.test", "SRV"): [SRV(0, 0, 5060, "server1.example.com")],
    # SRV with bad targets
    ("_sip._udp.bad.test", "SRV"): [
        SRV(0, 0, 5060, "nowhere.test"),
        SRV(1, 0, 0, "server1.example.com"),
        SRV(2, 0, 5060, "192.0.2.77"),
        SRV(3, 0, 5060, "bad name.test"),
    ],
    ("zero.test", "A"): ["0.0.0.0"],
}


def answer(zone: Mapping[tuple[str, str], Sequence[Record]], question: Question) -> Answer:
    records = zone.get((question.name, question.kind))
    return Answer(Outcome.FOUND, tuple(records)) if records else Answer(Outcome.NONE)


def run(
    search: Search, zone: Mapping[tuple[str, str], Sequence[Record]] = ZONE, seed: int = 0
) -> tuple[list[Target], list[Question]]:
    """The targets, and all that was asked."""
    asked: list[Question] = []
    while search.wanted:
        asked += search.wanted
        search.answered({question: answer(zone, question) for question in search.wanted})
    return search.plan().order(random.Random(seed)), asked


def find(uri: str, supported: Sequence[str] = ALL, families: Sequence[int] = (4, 6)) -> list[str]:
    """The targets as text."""
    targets, _ = run(search_for_uri(parse_uri(uri), supported, families))
    return [f"{target}{' ' if target.server_name else ''}{target.server_name}" for target in targets]


class NumericTests(SynchronousTestCase):
    """RFC 3263 section 4.1: no question is asked for a numeric host."""

    def test_table(self) -> None:
        for uri, expected in (
            ("sip:192.0.2.4", "udp:192.0.2.4:5060"),
            ("sip:alice@192.0.2.4:5070", "udp:192.0.2.4:5070"),
            ("sip:[2001:DB8::4]", "udp:[2001:db8::4]:5060"),
            ("sip:[2001:db8::4]:5070;transport=TCP", "tcp:[2001:db8::4]:5070"),
            ("sip:192.0.2.4;transport=tls", "tls:192.0.2.4:5061"),
            ("sips:192.0.2.4", "tls:192.0.2.4:5061"),
            ("sips:192.0.2.4:5071;transport=tcp", "tls:192.0.2.4:5071"),
            ("sip:127.0.0.1", "udp:127.0.0.1:5060"),
        ):
            with self.subTest(uri=uri):
                search = search_for_uri(parse_uri(uri), ALL, (4, 6))
                self.assertEqual(search.wanted, ())
                self.assertEqual(find(uri), [expected])

    def test_what_is_supported_stands_in_for_udp(self) -> None:
        self.assertEqual(find("sip:192.0.2.4", ["TCP", "TLS"]), ["tcp:192.0.2.4:5060"])
        self.assertEqual(find("sip:192.0.2.4", ["TLS"]), ["tls:192.0.2.4:5061"])

    def test_unusable_addresses(self) -> None:
        for host in (
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[ff02::1]",
            "[::ffff:192.0.2.1]",
            "0.0.0.9",
        ):
            with self.subTest(host=host):
                error = self.assertRaises(LocateError, find, f"sip:{host}")
                self.assertEqual(error.status, 503)
        self.assertRaises(LocateError, find, "sip:192.0.2.1:0")

    def test_other_spellings_of_an_address_are_no_address(self) -> None:
        for host in ("127.1", "2130706433", "0x7f000001", "127.0.0.01", "1.2.3.4.5"):
            with self.subTest(host=host):
                search_or_error: object
                try:
                    search = search_for_uri(parse_uri(f"sip:{host}"), ALL, (4, 6))
                    search_or_error = search.wanted
                except LocateError as error:
                    search_or_error = error.status
                self.assertIn(search_or_error, (503, (Question(host, "NAPTR"),)))


class MaddrTests(SynchronousTestCase):
    def test_a_numeric_one_counts(self) -> None:
        self.assertEqual(find("sip:plain.test;maddr=192.0.2.50"), ["udp:192.0.2.50:5060"])
        self.assertEqual(find("sip:plain.test:5080;maddr=[2001:db8::50]"), ["udp:[2001:db8::50]:5080"])

    def test_tls_checks_the_host_all_the_same(self) -> None:
        self.assertEqual(find("sips:plain.test;maddr=192.0.2.50"), ["tls:192.0.2.50:5061 plain.test"])

    def test_any_other_is_ignored(self) -> None:
        for maddr in ("224.0.1.75", "255.255.255.255", "0.0.0.0", "evil.test", "[ff02::1]"):
            with self.subTest(maddr=maddr):
                self.assertEqual(find(f"sip:192.0.2.4;maddr={maddr}"), ["udp:192.0.2.4:5060"])


class DomainTests(SynchronousTestCase):
    """RFC 3263 sections 4.1 and 4.2 over ZONE."""

    def test_table(self) -> None:
        one = ["tls:192.0.2.1:5061 example.com", "tls:[2001:db8::1]:5061 example.com"]
        tcp = ["tcp:192.0.2.1:5060", "tcp:[2001:db8::1]:5060", "tcp:192.0.2.2:5062"]
        for uri, supported, expected in (
            ("sip:example.com", ALL, [*one, *tcp, "udp:192.0.2.2:5060"]),
            ("sip:EXAMPLE.com.", ALL, [*one, *tcp, "udp:192.0.2.2:5060"]),
            ("sip:example.com", ("UDP", "TCP"), [*tcp, "udp:192.0.2.2:5060"]),
            ("sip:example.com", ("UDP",), ["udp:192.0.2.2:5060"]),
            ("sips:example.com", ALL, one),
            ("sips:example.com;transport=tcp", ALL, one),
            ("sip:example.com;transport=udp", ALL, ["udp:192.0.2.2:5060"]),
            ("sip:example.com;transport=tcp", ALL, tcp),
            ("sip:example.com:5099", ALL, ["udp:192.0.2.80:5099"]),
            ("sip:example.com:5099;transport=tcp", ALL, ["tcp:192.0.2.80:5099"]),
            ("sips:example.com:5099", ALL, ["tls:192.0.2.80:5099 example.com"]),
            ("sip:srv.test", ALL, ["udp:192.0.2.2:5070", "tls:192.0.2.2:5071 srv.test"]),
            ("sip:srv.test", ("TLS", "UDP"), ["tls:192.0.2.2:5071 srv.test", "udp:192.0.2.2:5070"]),
            ("sips:srv.test", ALL, ["tls:192.0.2.2:5071 srv.test"]),
            ("sip:plain.test", ALL, ["udp:192.0.2.9:5060", "udp:[2001:db8::9]:5060"]),
            ("sips:plain.test", ALL, ["tls:192.0.2.9:5061 plain.test", "tls:[2001:db8::9]:5061 plain.test"]),
            ("sip:plain.test;transport=tcp", ALL, ["tcp:192.0.2.9:5060", "tcp:[2001:db8::9]:5060"]),
            ("sip:odd.test", ALL, ["tcp:192.0.2.1:5060", "tcp:[2001:db8::1]:5060"]),
            ("sip:sctp.test", ALL, ["udp:192.0.2.2:5060"]),
            ("sip:naptr.test", ALL, ["tcp:192.0.2.10:5060"]),
            ("sip:half.test", ALL, ["tcp:192.0.2.1:5060", "tcp:[2001:db8::1]:5060"]),
            ("sip:bad.test", ALL, ["udp:192.0.2.77:5060"]),
        ):
            with self.subTest(uri=uri, supported=supported):
                self.assertEqual(find(uri, supported), expected)

    def test_families(self) -> None:
        self.assertEqual(
            find("sip:plain.test", families=(6, 4)), ["udp:[2001:db8::9]:5060", "udp:192.0.2.9:5060"]
        )
        self.assertEqual(find("sip:plain.test", families=(6,)), ["udp:[2001:db8::9]:5060"])

    def test_nothing_found(self) -> None:
        for uri, reason in (
            ("sip:nowhere.test", "nowhere.test has no address for SIP over UDP or TCP or TLS"),
            ("sips:nowhere.test", "nowhere.test has no address for SIP over TLS"),
            ("sip:closed.test", "closed.test offers no SIP over UDP or TCP or TLS"),
            ("sip:zero.test", "zero.test: 0.0.0.0 is not the address of one host"),
        ):
            with self.subTest(uri=uri):
                error = self.assertRaises(LocateError, find, uri)
                self.assertEqual((error.status, error.reason), (503, reason))

    def test_what_cannot_be_followed(self) -> None:
        for uri, supported, status in (
            ("tel:+15551234", ALL, 416),
            ("mailto:alice@example.com", ALL, 416),
            ("sips:example.com", ("UDP", "TCP"), 480),
            ("sips:example.com;transport=udp", ALL, 503),
            ("sip:example.com;transport=ws", ALL, 503),
            ("sip:example.com", (), 503),
            ("sip:192.0.2.1", (), 503),
            ("sips:example.com", (), 480),
            ("sip:example.com;transport=sctp", ALL, 503),
            ("sip:example.com;transport=tls", ("UDP", "TCP"), 503),
            ("sip:a..b", ALL, 503),
            (f"sip:{'a' * 64}.test", ALL, 503),
            (f"sip:{'a.' * 127}test", ALL, 503),
            ("sip:a-.test", ALL, 503),
            ("sip:example.123", ALL, 503),
        ):
            with self.subTest(uri=uri):
                error = self.assertRaises(LocateError, search_for_uri, parse_uri(uri), supported, (4, 6))
                self.assertEqual(error.status, status)

    def test_what_is_asked(self) -> None:
        _, asked = run(search_for_uri(parse_uri("sip:plain.test"), ALL, (4, 6)))
        self.assertEqual(
            asked,
            [
                Question("plain.test", "NAPTR"),
                Question("_sip._udp.plain.test", "SRV"),
                Question("_sip._tcp.plain.test", "SRV"),
                Question("_sips._tcp.plain.test", "SRV"),
                Question("plain.test", "A"),
                Question("plain.test", "AAAA"),
            ],
        )
        _, asked = run(search_for_uri(parse_uri("sip:plain.test:5060"), ALL, (4,)))
        self.assertEqual(asked, [Question("plain.test", "A")])
        _, asked = run(search_for_uri(parse_uri("sip:srv.test;transport=udp"), ALL, (4,)))
        self.assertEqual(asked, [Question("_sip._udp.srv.test", "SRV"), Question("server2.example.com", "A")])


class FailureTests(SynchronousTestCase):
    def outcome(self, uri: str, broken: Mapping[tuple[str, str], Outcome]) -> list[Target] | str:
        search = search_for_uri(parse_uri(uri), ALL, (4,))
        while search.wanted:
            search.answered(
                {
                    question: Answer(broken[question]) if question in broken else answer(ZONE, question)
                    for question in search.wanted
                }
            )
        try:
            return search.plan().order(random.Random(1))
        except LocateError as error:
            self.assertEqual(error.status, 503)
            return error.reason

    def test_naptr_that_fails_is_no_naptr(self) -> None:
        for outcome in (Outcome.FAILED, Outcome.TIMEOUT):
            found = self.outcome("sip:srv.test", {("srv.test", "NAPTR"): outcome})
            self.assertEqual(found[0], Target("UDP", "192.0.2.2", 5070))

    def test_srv_that_fails_for_one_transport(self) -> None:
        found = self.outcome("sip:srv.test", {("_sip._udp.srv.test", "SRV"): Outcome.TIMEOUT})
        self.assertEqual(found, [Target("TLS", "192.0.2.2", 5071, "srv.test")])

    def test_srv_that_fails_does_not_fall_back_to_the_address(self) -> None:
        found = self.outcome("sip:plain.test", {("_sip._udp.plain.test", "SRV"): Outcome.FAILED})
        self.assertEqual(found, "DNS has no answer for plain.test")

    def test_addresses_that_fail(self) -> None:
        self.assertEqual(
            self.outcome("sip:srv.test", {("server2.example.com", "A"): Outcome.TIMEOUT}),
            "DNS does not answer for srv.test",
        )
        found = self.outcome("sip:example.com;transport=tcp", {("server1.example.com", "A"): Outcome.TIMEOUT})
        self.assertEqual(found, [Target("TCP", "192.0.2.2", 5062)])


class WeightTests(SynchronousTestCase):
    """RFC 2782: priority is an order, weight a proportion."""

    def zone(self, *records: tuple[int, int]) -> dict[tuple[str, str], list[Record]]:
        zone: dict[tuple[str, str], list[Record]] = {
            ("_sip._udp.w.test", "SRV"): [
                SRV(priority, weight, 5060, f"h{index}.test")
                for index, (priority, weight) in enumerate(records)
            ]
        }
        for index in range(len(records)):
            zone[f"h{index}.test", "A"] = [f"192.0.2.{index}"]
        return zone

    def firsts(self, *records: tuple[int, int], draws: int = 4000) -> tuple[Counter[int], Counter[int]]:
        """How often each record came first, and second."""
        search = search_for_uri(parse_uri("sip:w.test;transport=udp"), ALL, (4,))
        run(search, self.zone(*records))
        rng = random.Random(7)
        first: Counter[int] = Counter()
        second: Counter[int] = Counter()
        for _ in range(draws):
            order = [int(target.host.rpartition(".")[2]) for target in search.plan().order(rng)]
            self.assertEqual(sorted(order), list(range(len(records))))
            first[order[0]] += 1
            second[order[1]] += 1
        return first, second

    def test_proportion(self) -> None:
        first, second = self.firsts((0, 10), (0, 30), (0, 60), draws=20_000)
        # A number from 0 to 100 is drawn, so that the first of the list has 11 of 101 chances.
        for index, share in enumerate((11 / 101, 30 / 101, 60 / 101)):
            self.assertTrue(abs(first[index] / 20_000 - share) < 0.015, first)
        # Given the first, the others keep their proportion.
        share = 11 / 101 * 31 / 91 + 60 / 101 * 30 / 41
        self.assertTrue(abs(second[1] / 20_000 - share) < 0.015, second)

    def test_weight_zero_is_a_small_chance(self) -> None:
        first, _ = self.firsts((0, 0), (0, 99))
        self.assertTrue(10 <= first[0] <= 90, first)

    def test_all_weights_zero(self) -> None:
        first, _ = self.firsts((0, 0), (0, 0), (0, 0))
        self.assertEqual(sum(first.values()), 4000)

    def test_priority_goes_before_weight(self) -> None:
        first, second = self.firsts((1, 100), (0, 1))
        self.assertEqual((first, second), (Counter({1: 4000}), Counter({0: 4000})))

    def test_addresses_of_one_server_share_the_load(self) -> None:
        zone = {
            ("m.test", "A"): ["192.0.2.1", "192.0.2.2"],
            ("m.test", "AAAA"): ["2001:db8::1", "2001:db8::2"],
        }
        search = search_for_uri(parse_uri("sip:m.test:5060"), ALL, (6, 4))
        run(search, zone)
        rng = random.Random(3)
        firsts = Counter(search.plan().order(rng)[0].host for _ in range(1000))
        self.assertEqual(set(firsts), {"2001:db8::1", "2001:db8::2"})
        self.assertTrue(400 < firsts["2001:db8::1"] < 600)
        self.assertEqual(len(search.plan().order(rng)), 4)

    def test_the_seed_decides(self) -> None:
        search = search_for_uri(parse_uri("sip:w.test;transport=udp"), ALL, (4,))
        run(search, self.zone((0, 1), (0, 2), (0, 3), (1, 0), (1, 5)))
        orders = [search.plan().order(random.Random(5)) for _ in range(3)]
        self.assertEqual(orders[0], orders[1])
        self.assertEqual(orders[0], orders[2])


names = st.sampled_from(
    ["a.test", "b.test", "", ".", "192.0.2.1", "x y", "_sip._udp.a.test", "a" * 70, "::1"]
)
records = st.one_of(
    st.builds(SRV, st.integers(0, 3), st.integers(0, 65535), st.integers(0, 65535), names),
    st.builds(
        NAPTR,
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from("SAU"),
        st.sampled_from(["SIP+D2U", "x"]),
        names,
    ),
    st.sampled_from(["192.0.2.1", "0.0.0.0", "::1", "2001:db8::1", "nonsense", "ff02::1"]),
)


class AnyAnswerTests(SynchronousTestCase):
    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(st.tuples(st.sampled_from(list(Outcome)), st.lists(records, max_size=40)), max_size=30),
        st.sampled_from(["sip:a.test", "sips:a.test", "sip:a.test:5060", "sip:a.test;transport=tcp"]),
    )
    def test_it_ends_in_targets_or_an_error(
        self, given_answers: list[tuple[Outcome, list[Record]]], uri: str
    ) -> None:
        search = search_for_uri(parse_uri(uri), ALL, (4, 6))
        stages = 0
        while search.wanted:
            stages += 1
            answers = {}
            for question in search.wanted:
                outcome, found = given_answers.pop() if given_answers else (Outcome.NONE, [])
                answers[question] = Answer(outcome, tuple(found))
            search.answered(answers)
        self.assertLessEqual(stages, 3)
        try:
            targets = search.plan().order(random.Random(1))
        except LocateError:
            return
        self.assertTrue(targets)
        self.assertLessEqual(len(targets), 64)
        self.assertEqual(len(set(targets)), len(targets))
        for target in targets:
            self.assertTrue(0 < target.port < 65536)
            self.assertNotIn(target.host, ("0.0.0.0", "ff02::1", "nonsense"))
            self.assertEqual(target.server_name, "a.test" if target.transport == "TLS" else "")
