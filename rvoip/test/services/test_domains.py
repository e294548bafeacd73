"""Tests of which names and addresses are our own."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.services.domains import Domains


def uri(text: str) -> SipURI:
    """A SIP URI."""
    found = parse_uri(text)
    assert isinstance(found, SipURI)
    return found


class DomainsTests(SynchronousTestCase):
    """Names count with any port, addresses only with one that is listened on."""

    def setUp(self) -> None:
        """Serve two domains on two addresses."""
        self.domains = Domains(["Example.Test", "b.test."], [("127.0.0.1", 5060), ("::1", 5070)])

    def test_serves(self) -> None:
        """Our names and addresses, and nothing that looks like them."""
        for text, ours in (
            ("sip:a@example.test", True),
            ("sip:a@EXAMPLE.test:9999", True),
            ("sip:a@b.test", True),
            ("sip:a@example.test.", True),
            ("sip:a@example.testy.", False),
            ("sip:a@sub.example.test", False),
            ("sip:127.0.0.1", True),
            ("sip:127.0.0.1:5060", True),
            ("sip:127.0.0.1:5061", False),
            ("sips:127.0.0.1", False),
            ("sip:127.0.0.2", False),
            ("sip:[::1]:5070", True),
            ("sip:[::1]", False),
        ):
            self.assertEqual(self.domains.serves(uri(text)), ours, text)

    def test_is_self(self) -> None:
        """A Route with a domain of ours is not known by name."""
        self.assertTrue(self.domains.is_self(uri("sip:127.0.0.1;lr")))
        self.assertFalse(self.domains.is_self(uri("sip:example.test;lr")))

    def test_aor(self) -> None:
        """An address stands for the first domain."""
        self.assertEqual(self.domains.aor(uri("sip:a@127.0.0.1;x=y")), "a@example.test")
        self.assertEqual(self.domains.aor(uri("sip:%61@b.test:5060")), "a@b.test")
        self.assertEqual(self.domains.aor(uri("sip:[::1]:5070")), "example.test")
        self.assertEqual(self.domains.domain(uri("sip:a@127.0.0.1")), "example.test")

    def test_a_fully_qualified_name(self) -> None:
        """The dot at its end makes no other domain, and no other user."""
        self.assertEqual(self.domains.aor(uri("sip:a@example.test.:5060")), "a@example.test")
        self.assertEqual(self.domains.aor(uri("sip:b.test.")), "b.test")
        self.assertEqual(self.domains.domain(uri("sip:a@b.test.")), "b.test")

    def test_any_address(self) -> None:
        """Listening on any address, whether one is ours is asked; else it is not."""
        asked: list[tuple[str, int]] = []

        def is_local(host: str, port: int) -> bool:
            asked.append((host, port))
            return host == "192.0.2.1"

        self.domains.listen_on([("127.0.0.1", 5060)], is_local)
        self.assertFalse(self.domains.is_self(uri("sip:192.0.2.1")))
        self.assertEqual(asked, [])
        self.domains.listen_on([("0.0.0.0", 5060)], is_local)
        self.assertTrue(self.domains.is_self(uri("sip:192.0.2.1")))
        self.assertFalse(self.domains.is_self(uri("sip:192.0.2.2")))
        self.assertEqual(asked, [("192.0.2.1", 5060), ("192.0.2.2", 5060)])

    def test_without_names(self) -> None:
        """The address is the domain."""
        domains = Domains([], [("127.0.0.1", 5060)])
        self.assertEqual(domains.aor(uri("sip:a@127.0.0.1")), "a@127.0.0.1")
