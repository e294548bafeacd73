from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.transport.dns_records import (
    MAX_ADDRESSES,
    MAX_ALIASES,
    MAX_RECORDS,
    NAPTR,
    SRV,
    Answer,
    Outcome,
    Question,
    Raw,
    host_name,
    interpret,
)

A = Question("a.test", "A")


class HostNameTests(SynchronousTestCase):
    def test_table(self) -> None:
        for text, expected in (
            ("example.com", "example.com"),
            ("EXAMPLE.com.", "example.com"),
            ("_sip._udp.example.com", "_sip._udp.example.com"),
            ("a-b.c1", "a-b.c1"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("a" * 63, "a" * 63),
            ("localhost", "localhost"),
            ("", None),
            (".", None),
            ("a..b", None),
            (".a", None),
            ("a" * 64, None),
            ("-a.test", None),
            ("a-.test", None),
            ("a b.test", None),
            ("a\n.test", None),
            ("bücher.example", None),
            ("a.٣", None),
            ("1.2.3", None),
            ("192.0.2.300", None),
            (".".join(["a" * 49] * 5), ".".join(["a" * 49] * 5)),
            (".".join(["a" * 50] * 5), None),
        ):
            with self.subTest(text=text):
                self.assertEqual(host_name(text), expected)


class InterpretTests(SynchronousTestCase):
    def test_found(self) -> None:
        raws = [
            Raw("a.test", "A", 300, "192.0.2.1"),
            Raw("a.test", "A", 60, "192.0.2.2"),
            Raw("a.test", "A", 60, "192.0.2.2"),
            Raw("other.test", "A", 1, "203.0.113.1"),
            Raw("a.test", "AAAA", 1, "2001:db8::1"),
        ]
        self.assertEqual(interpret(A, raws), Answer(Outcome.FOUND, ("192.0.2.1", "192.0.2.2"), 60))

    def test_none(self) -> None:
        self.assertEqual(interpret(A, []).outcome, Outcome.NONE)  # type: ignore[union-attr]
        self.assertEqual(interpret(A, [Raw("b.test", "A", 1, "192.0.2.1")]), Answer(Outcome.NONE))

    def test_aliases_within_the_answer(self) -> None:
        raws = [
            Raw("c.test", "A", 300, "192.0.2.1"),
            Raw("a.test", "CNAME", 200, "B.test."),
            Raw("b.test", "CNAME", 100, "c.test"),
        ]
        self.assertEqual(interpret(A, raws), Answer(Outcome.FOUND, ("192.0.2.1",), 100))

    def test_an_alias_that_must_be_asked_for(self) -> None:
        self.assertEqual(interpret(A, [Raw("a.test", "CNAME", 200, "b.test")]), "b.test")

    def test_loops(self) -> None:
        for raws in (
            [Raw("a.test", "CNAME", 1, "a.test")],
            [Raw("a.test", "CNAME", 1, "b.test"), Raw("b.test", "CNAME", 1, "a.test")],
            [Raw("a.test", "CNAME", 1, "seen.test")],
            [Raw("a.test", "CNAME", 1, "bad name")],
            [Raw("a.test", "CNAME", 1, "h0.test")]
            + [Raw(f"h{index}.test", "CNAME", 1, f"h{index + 1}.test") for index in range(MAX_ALIASES + 1)],
        ):
            with self.subTest(raws=raws):
                self.assertEqual(interpret(A, raws, frozenset({"seen.test"})), Answer(Outcome.FAILED))

    def test_bounds(self) -> None:
        raws = [Raw("a.test", "A", 1, f"10.0.{index}.1") for index in range(200)]
        found = interpret(A, raws)
        assert isinstance(found, Answer)
        self.assertEqual(len(found.records), MAX_ADDRESSES)
        raws = [Raw("a.test", "SRV", 1, SRV(200 - index, 0, 5060, f"h{index}")) for index in range(200)]
        found = interpret(Question("a.test", "SRV"), raws)
        assert isinstance(found, Answer)
        self.assertEqual(len(found.records), MAX_RECORDS)
        self.assertEqual(found.records[0], SRV(1, 0, 5060, "h199"), "the most wanted are kept")
        raws = [Raw("a.test", "NAPTR", 1, NAPTR(200 - index, 0, "S", "SIP+D2U", "x")) for index in range(200)]
        found = interpret(Question("a.test", "NAPTR"), raws)
        assert isinstance(found, Answer)
        self.assertEqual((len(found.records), found.records[0][0]), (MAX_RECORDS, 1))

    def test_addresses_are_canonical(self) -> None:
        raws = [Raw("a.test", "AAAA", 1, "2001:DB8:0::1"), Raw("a.test", "AAAA", 1, "nonsense")]
        found = interpret(Question("a.test", "AAAA"), raws)
        self.assertEqual(found, Answer(Outcome.FOUND, ("2001:db8::1",), 1))
