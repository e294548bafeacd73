from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.transport.addresses import (
    ListenAddress,
    canonical_host,
    parse_listen,
    parse_networks,
    source_key,
    unusable,
)


class ListenTests(SynchronousTestCase):
    def test_good(self) -> None:
        for text, expected in {
            "udp:127.0.0.1:5060": ("UDP", "127.0.0.1", 5060),
            "TCP:0.0.0.0:0": ("TCP", "0.0.0.0", 0),
            "tls:[::1]:5061": ("TLS", "::1", 5061),
            "udp:[2001:DB8:0::1]:65535": ("UDP", "2001:db8::1", 65535),
            "udp:[fe80::1%eth0]:5060": ("UDP", "fe80::1%eth0", 5060),
        }.items():
            self.assertEqual(parse_listen(text), ListenAddress(*expected))

    def test_written_as_it_is_read(self) -> None:
        for text in ("udp:127.0.0.1:5060", "tls:[::1]:5061", "ws:127.0.0.1:8088", "wss:[::1]:8089"):
            self.assertEqual(str(parse_listen(text)), text)

    def test_bad(self) -> None:
        for text, said in {
            "": "udp:, tcp:, tls:, ws: or wss:",
            "127.0.0.1:5060": "udp:, tcp:, tls:, ws: or wss:",
            "sctp:127.0.0.1:5060": "udp:, tcp:, tls:, ws: or wss:",
            "udp": "udp:, tcp:, tls:, ws: or wss:",
            "udp:127.0.0.1": "has no port",
            "udp:[::1]": "has no port",
            "udp::5060": "has no port",
            "udp:127.0.0.1:65536": "0 to 65535",
            "udp:127.0.0.1:": "0 to 65535",
            "udp:127.0.0.1:5_0": "0 to 65535",
            "udp:127.0.0.1:٥٠٦٠": "0 to 65535",
            "udp:127.0.0.1:+1": "0 to 65535",
            "udp:example.test:5060": "not an IP address",
            "udp:127.1:5060": "not an IP address",
            "udp:::1:5060": "must stand around an IPv6 host",
            "udp:[127.0.0.1]:5060": "must stand around an IPv6 host",
        }.items():
            error = self.assertRaises(ValueError, parse_listen, text)
            self.assertIn(said, str(error), text)
            self.assertIn(repr(text), str(error))


class HostTests(SynchronousTestCase):
    def test_canonical(self) -> None:
        for text, expected in {
            "192.0.2.1": "192.0.2.1",
            "2001:DB8::0:1": "2001:db8::1",
            "fe80::1%eth0": "fe80::1%eth0",
            "example.test": None,
            "192.0.2.01": None,
            "1.2.3": None,
            "[::1]": None,
            "": None,
        }.items():
            self.assertEqual(canonical_host(text), expected, text)

    def test_what_is_never_sent_to(self) -> None:
        for host in (
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.255.255.250",
            "255.255.255.255",
            "::",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:224.0.0.1",
            "example.test",
            "localhost",
            "127.1",
            "2130706433",
            "0x7f000001",
            "<broadcast>",
            "",
        ):
            self.assertIsNotNone(unusable(host, 5060), host)
        for port in (0, -1, 65536, 2**40):
            self.assertIsNotNone(unusable("192.0.2.1", port), port)
        for host in ("192.0.2.1", "127.0.0.1", "2001:db8::1", "fe80::1%eth0", "::1"):
            self.assertIsNone(unusable(host, 5060), host)

    def test_one_source_is_an_address_or_a_64(self) -> None:
        self.assertEqual(source_key("192.0.2.1"), "192.0.2.1")
        self.assertEqual(source_key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64")
        self.assertEqual(source_key("2001:db8:1:2::9"), "2001:db8:1:2::/64")
        self.assertEqual(source_key("fe80::1%eth0"), "fe80::/64")

    def test_networks(self) -> None:
        self.assertEqual(
            [str(network) for network in parse_networks(["10.1.2.3/8", "192.0.2.1", "2001:db8::/32"])],
            ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"],
        )
        error = self.assertRaises(ValueError, parse_networks, ["10.0.0.0/8", "ten"])
        self.assertIn("'ten'", str(error))
