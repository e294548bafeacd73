"""The lines that are not attributes: text to value and back, and what is refused."""

from __future__ import annotations

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.grammar import decimal, fields, number, quote
from rvoip.protocols.sdp.lines import Bandwidth, Connection, Origin, Repeat, Timing, ZoneAdjustment, seconds

# What int() and str.isdigit() would take for a number.
NOT_NUMBERS = (
    "",
    " 1",
    "1 ",
    "+1",
    "-1",
    "1_0",
    "0x10",
    "1e3",
    "1.0",
    "\u0661\u0662",
    "\u00b2",
    "\uff11",
    "9" * 5000,
    "1\n",
)


class NumberTests(SynchronousTestCase):
    """Digits are ASCII and few."""

    def test_values(self) -> None:
        for text, value in (("0", 0), ("007", 7), ("65535", 65535), (str(2**64 - 1), 2**64 - 1)):
            self.assertEqual(number(text, "n"), value)

    def test_not_numbers(self) -> None:
        for text in (*NOT_NUMBERS, str(2**64)):
            self.assertRaises(SDPError, number, text, "n")

    def test_range(self) -> None:
        self.assertEqual(number("1", "n", 1, 1), 1)
        for text in ("0", "2"):
            error = self.assertRaises(SDPError, number, text, "port", 1, 1)
            self.assertEqual(error.reason, f"port is not a number from 1 to 1: '{text}'")

    def test_decimals(self) -> None:
        for text, value in (("20", 20.0), ("0.125", 0.125), ("29.97", 29.97)):
            self.assertEqual(decimal(text, "d", 100), value)
        for text in (
            *(t for t in NOT_NUMBERS if t != "1.0"),
            "0",
            "0.0",
            ".5",
            "5.",
            "1.2.3",
            "101",
            "inf",
            "nan",
        ):
            self.assertRaises(SDPError, decimal, text, "d", 100)

    def test_quoting_is_short_and_printable(self) -> None:
        self.assertEqual(quote("a\r\nb\u2028\udcff"), r"'a\r\nb\u2028\udcff'")
        self.assertEqual(len(quote("x" * 65536)), 45)

    def test_only_spaces_separate(self) -> None:
        self.assertEqual(fields(" a  b\u00a0c\x1cd\u2003e "), ["a", "b\u00a0c\x1cd\u2003e"])


class OriginTests(SynchronousTestCase):
    """o= lines."""

    def test_both_ways(self) -> None:
        for text, value in (
            ("- 20518 0 IN IP4 203.0.113.1", Origin("-", "20518", 0, "IN", "IP4", "203.0.113.1")),
            ("jdoe 0012 7 IN IP6 2001:db8::1", Origin("jdoe", "0012", 7, "IN", "IP6", "2001:db8::1")),
            (
                "J\u00f6rg at home 18446744073709551615 18446744073709551615 IN IP4 h",
                Origin("J\u00f6rg at home", str(2**64 - 1), 2**64 - 1, "IN", "IP4", "h"),
            ),
            ("2987933123 2987933123 IN IP4 h", Origin("", "2987933123", 2987933123, "IN", "IP4", "h")),
            ("Mr. 5a3f 1 IN IP4 h", Origin("Mr.", "5a3f", 1, "IN", "IP4", "h")),
        ):
            self.assertEqual(Origin.parse(text), value)
            self.assertEqual(str(value), text)

    def test_trailing_spaces(self) -> None:
        self.assertEqual(Origin.parse("- 1 1 IN IP4 h  "), Origin("-", "1", 1, "IN", "IP4", "h"))

    def test_refused(self) -> None:
        for text in (
            "",
            "-",
            "- 1 1 IN IP4",
            "- 1 2 IN IP4",
            "a5 1 IN IP4 h",
            " a5 1 IN IP4 h",
            "- 1 1  IP4 h",
            "- 1 -1 IN IP4 h",
            "- 1 1_0 IN IP4 h",
            "- 1 18446744073709551616 IN IP4 h",
            "- 1 \u0661 IN IP4 h",
            "- 1 1 IN IP4 h\x0bx",
            "- 1 1 IN IP4 \u00e9",
        ):
            self.assertRaises(SDPError, Origin.parse, text)


class ConnectionTests(SynchronousTestCase):
    """c= lines."""

    def test_both_ways(self) -> None:
        for text, value in (
            ("IN IP4 192.0.2.1", Connection("IN", "IP4", "192.0.2.1")),
            ("IN IP4 host.example.com", Connection("IN", "IP4", "host.example.com")),
            ("IN IP4 224.2.1.1/127", Connection("IN", "IP4", "224.2.1.1", 127)),
            ("IN IP4 224.2.1.1/127/3", Connection("IN", "IP4", "224.2.1.1", 127, 3)),
            ("IN IP6 FF15::101/3", Connection("IN", "IP6", "FF15::101", None, 3)),
            ("PSTN E164 +441134960123", Connection("PSTN", "E164", "+441134960123")),
            ("PSTN - a/b", Connection("PSTN", "-", "a/b")),
        ):
            self.assertEqual(Connection.parse(text), value)
            self.assertEqual(str(value), text)

    def test_refused(self) -> None:
        for text in (
            "",
            "IN",
            "IN IP4",
            "IN IP4 a b",
            "IN IP4 /127",
            "IN IP4 224.2.1.1/256",
            "IN IP4 224.2.1.1/",
            "IN IP4 224.2.1.1/1/0",
            "IN IP4 224.2.1.1/1/1/1",
            "IN IP6 FF15::101/3/1",
            "IN IP6 FF15::101/1_0",
            "IN IP4 1.1.1.1\x00",
            "IN IP4 \u0661.1.1.1",
        ):
            self.assertRaises(SDPError, Connection.parse, text)

    def test_address(self) -> None:
        for text, address in (
            ("IN IP4 192.0.2.1", ip_address("192.0.2.1")),
            ("IN IP4 224.2.1.1/127", ip_address("224.2.1.1")),
            ("IN IP6 ::ffff:192.0.2.1", ip_address("::ffff:192.0.2.1")),
            ("IN IP4 0xC0000201", None),
            ("IN IP4 host.example.com", None),
            ("PSTN E164 1", None),
        ):
            self.assertEqual(Connection.parse(text).ip, address)

    def test_null(self) -> None:
        for text, null in (
            ("IN IP4 0.0.0.0", True),
            ("IN IP6 ::", True),
            ("IN IP6 0:0:0:0:0:0:0:0", True),
            ("IN IP6 anonymous.invalid", True),
            ("IN IP4 192.0.2.1", False),
            ("IN IP4 invalid.example.com", False),
            ("PSTN E164 invalid", False),
        ):
            self.assertEqual(Connection.parse(text).is_null, null, text)

    def test_of_host(self) -> None:
        for host, text in (
            ("192.0.2.1", "IN IP4 192.0.2.1"),
            ("2001:db8::1", "IN IP6 2001:db8::1"),
            ("a.example", "IN IP4 a.example"),
        ):
            self.assertEqual(str(Connection.of(host)), text)


class BandwidthTests(SynchronousTestCase):
    """b= lines."""

    def test_both_ways(self) -> None:
        for text, value in (("AS:64", Bandwidth("AS", 64)), ("X-YZ:0", Bandwidth("X-YZ", 0))):
            self.assertEqual(Bandwidth.parse(text), value)
            self.assertEqual(str(value), text)

    def test_refused(self) -> None:
        for text in (
            "",
            "AS",
            ":64",
            "AS:",
            "AS: 64",
            "A S:64",
            "AS:-1",
            "AS:1_0",
            "A\u00a0:1",
            "AS:" + "9" * 5000,
        ):
            self.assertRaises(SDPError, Bandwidth.parse, text)


class TimeTests(SynchronousTestCase):
    """t=, r= and z= lines."""

    def test_both_ways(self) -> None:
        for text, value in (("0 0", Timing()), ("2873397496 2873404696", Timing(2873397496, 2873404696))):
            self.assertEqual(Timing.parse(text), value)
            self.assertEqual(str(value), text)

    def test_repeats(self) -> None:
        value = Repeat.parse("7d 1h 0 25h")
        self.assertEqual(value, Repeat("7d", "1h", ("0", "25h")))
        self.assertEqual(str(value), "7d 1h 0 25h")

    def test_zones(self) -> None:
        zones = ZoneAdjustment.parse_all("2882844526 -1h 2898848070 0")
        self.assertEqual(zones, (ZoneAdjustment(2882844526, "-1h"), ZoneAdjustment(2898848070, "0")))
        timing = Timing(1, 2, (Repeat("1d", "1h", ("0",)),), zones)
        self.assertEqual(timing.lines(), ["t=1 2", "r=1d 1h 0", "z=2882844526 -1h 2898848070 0"])

    def test_seconds(self) -> None:
        for text, value in (
            ("7d", 604800),
            ("25h", 90000),
            ("-1h", -3600),
            ("30m", 1800),
            ("5s", 5),
            ("0", 0),
        ):
            self.assertEqual(seconds(text), value)

    def test_refused(self) -> None:
        for reader, texts in (
            (Timing.parse, ("", "0", "0 0 0", "0 -1", "a b", "1_0 0", "0 " + "9" * 21)),
            (Repeat.parse, ("", "7d", "7d 1h", "7d 1h x", "7w 1h 0", "7d 1h \u0661", "7d 1h 1_0")),
            (ZoneAdjustment.parse_all, ("", "1", "1 2 3", "-1 0", "1 1w", "1 --1h")),
        ):
            for text in texts:
                self.assertRaises(SDPError, reader, text)
