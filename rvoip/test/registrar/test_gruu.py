"""GRUUs: what they name, and what they do not show (RFC 5627)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.registrar.binding import Applied, Binding, Change
from rvoip.registrar.gruu import Device, Gruus, public_gruu
from rvoip.registrar.registrar import Registrar
from rvoip.registrar.settings import RegistrarSettings
from rvoip.registrar.stores.memory import MemoryStore

AOR = "alice@example.test"
INSTANCE = "<urn:uuid:F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6>"
SECRET = b"0123456789abcdef"


def uri(text: str) -> SipURI:
    found = parse_uri(text)
    assert isinstance(found, SipURI)
    return found


class GruuTests(SynchronousTestCase):
    """Both kinds, and what is none."""

    def setUp(self) -> None:
        self.gruus = Gruus(SECRET)

    def read(self, text: str) -> Device | None:
        found = uri(text)
        return self.gruus.read(found, found.aor)

    def test_public(self) -> None:
        """The address-of-record and the instance-id, escaped where a parameter needs it."""
        text = public_gruu(AOR, INSTANCE)
        self.assertEqual(text, f"sip:{AOR};gr=urn:uuid:F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6")
        self.assertEqual(self.read(text), Device(AOR, INSTANCE.strip("<>").lower(), b""))
        odd = public_gruu(AOR, '<urn:x:a b;"é>')
        self.assertEqual(odd, f"sip:{AOR};gr=urn:x:a%20b%3B%22%C3%A9")
        self.assertEqual(self.read(odd), Device(AOR, 'urn:x:a b;"é', b""))

    def test_temporary(self) -> None:
        """It shows neither the user nor the device, is another one each time, and is known again."""
        first, second = (self.gruus.temporary(AOR, INSTANCE, "call", serial) for serial in (1, 2))
        self.assertNotEqual(first, second)
        for text in (first, second):
            for secret in ("alice", "urn", "f81d4fae"):
                self.assertNotIn(secret, text.lower())
            self.assertRegex(text, r"^sip:tgruu\.[a-z2-7]+@example\.test;gr$")
            self.assertEqual(
                self.read(text), Device(AOR, INSTANCE.strip("<>").lower(), Gruus.registration("call"))
            )
        self.assertEqual(self.gruus.temporary(AOR, INSTANCE, "call", 1), first)

    def test_what_is_none(self) -> None:
        """Made up, changed, of another secret or domain: nobody."""
        real = self.gruus.temporary(AOR, INSTANCE, "call", 1)
        user = real[4:].partition("@")[0]
        flipped = user[:-3] + ("a" if user[-3] != "a" else "b") + user[-2:]
        for text in (
            f"sip:{AOR}",
            "sip:alice@example.test;gr",
            "sip:tgruu.@example.test;gr",
            "sip:tgruu.aaaa@example.test;gr",
            "sip:tgruu.!!!!@example.test;gr",
            "sip:tgruu.\u00e9@example.test;gr",
            f"sip:{flipped}@example.test;gr",
            f"sip:{user}aa@example.test;gr",
            f"sip:{user}@other.test;gr",
        ):
            self.assertIsNone(self.read(text), text)
        self.gruus.use(SECRET[::-1])
        self.assertIsNone(self.read(real))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567", max_size=200))
    def test_nobody_makes_one(self, text: str) -> None:
        """Whatever is written there."""
        self.assertIsNone(self.read(f"sip:tgruu.{text}@example.test;gr"))

    def test_bindings(self) -> None:
        """Those of the device, the latest first; a temporary one needs the same registration."""

        def binding(contact: str, call_id: str, deadline: float, instance: str = INSTANCE) -> Binding:
            params = f';+sip.instance="{instance}"' if instance else ""
            return Binding(contact, contact, call_id, 1, deadline, 60, params=params)

        old, new = binding("sip:a@1", "one", 100.0), binding("sip:a@2", "two", 110.0, INSTANCE.lower())
        other, none = binding("sip:a@3", "one", 120.0, "<urn:x>"), binding("sip:a@4", "one", 120.0, "")
        device = Device(AOR, INSTANCE.strip("<>").lower(), b"")
        bindings = (old, new, other, none)
        self.assertEqual(self.gruus.of(device, bindings), [new, old])
        once = device._replace(registration=Gruus.registration("one"))
        self.assertEqual(self.gruus.of(once, bindings), [old])


class RegistrarTests(SynchronousTestCase):
    """Who is told of them."""

    def contact(self, supported: str, params: str, gruus: bool = True) -> str:
        registrar = Registrar(RegistrarSettings(gruu=gruus), lambda: "tag")
        if gruus:
            registrar.gruus = Gruus(SECRET)
        request = parse_message(
            (
                "REGISTER sip:example.test SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\n"
                f"From: <sip:{AOR}>;tag=1\r\nTo: <sip:{AOR}>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n"
                f"Contact: <sip:alice@10.0.0.1>{params}\r\n{supported}Content-Length: 0\r\n\r\n"
            ).encode()
        )
        assert isinstance(request, Request)
        store = MemoryStore()
        change = registrar.decide(request, AOR, (), 0.0, 0.0, "")
        assert isinstance(change, Change), change
        applied = store.apply(change)
        assert isinstance(applied, Applied)
        answer = registrar.answer(request, applied, 0.0, 1000.0)
        self.assertEqual("gruu" in answer.option_tags("supported"), gruus)
        return str(answer.get("contact"))

    def test_who_asks(self) -> None:
        """Only contacts of devices, and only for those who understand it."""
        instance = f';+sip.instance="{INSTANCE}"'
        shown = self.contact("Supported: gruu\r\n", instance)
        self.assertIn(f';pub-gruu="{public_gruu(AOR, INSTANCE)}";temp-gruu="sip:tgruu.', shown)
        self.assertIn("gruu", self.contact("Require: gruu\r\nSupported: path, gruu\r\n", instance))
        for supported, params, gruus in (
            ("", instance, True),
            ("Supported: path\r\n", instance, True),
            ("Supported: gruu\r\n", "", True),
            ("Supported: gruu\r\n", instance, False),
        ):
            self.assertNotIn("gruu", self.contact(supported, params, gruus))

    def test_what_a_phone_says_of_it_is_not_kept(self) -> None:
        """RFC 5627 section 5.1."""
        shown = self.contact("", ';pub-gruu="sip:boss@example.test;gr=x";temp-gruu="sip:x;gr";x=y')
        self.assertTrue(shown.startswith("<sip:alice@10.0.0.1>;x=y;expires="), shown)
