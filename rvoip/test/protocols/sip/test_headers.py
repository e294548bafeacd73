"""The table of headers: complete, and what it gives for headers that are there, absent or unknown."""

from __future__ import annotations

import importlib
import pkgutil

from twisted.trial.unittest import SynchronousTestCase

import rvoip.test.protocols.sip
from rvoip.protocols.sip.address import CSeq, NameAddr, Via
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.headers import HEADERS
from rvoip.protocols.sip.names import DISPLAY, LISTS, SINGLE
from rvoip.test.protocols.sip.samples import HeaderTable, invite

RFC_3261 = """
Accept Accept-Encoding Accept-Language Alert-Info Allow Authentication-Info Authorization Call-ID
Call-Info Contact Content-Disposition Content-Encoding Content-Language Content-Length Content-Type CSeq
Date Error-Info Expires From In-Reply-To Max-Forwards Min-Expires MIME-Version Organization Priority
Proxy-Authenticate Proxy-Authorization Proxy-Require Record-Route Reply-To Require Retry-After Route
Server Subject Supported Timestamp To Unsupported User-Agent Via Warning WWW-Authenticate
"""
EXTENSIONS = """
Path Service-Route Session-Expires Min-SE RAck RSeq Refer-To Referred-By Replaces Join Target-Dialog
Event Allow-Events Subscription-State SIP-ETag SIP-If-Match P-Asserted-Identity P-Preferred-Identity
Privacy Diversion History-Info Reason Identity Session-ID Security-Client Security-Server
Security-Verify Geolocation Max-Breadth Flow-Timer Remote-Party-ID User-to-User Accept-Contact
Reject-Contact Request-Disposition Feature-Caps Info-Package Recv-Info Resource-Priority Refer-Sub
"""
# Values without a structure that is looked into, and what every message has: tested here and in test_address.
PLAIN = {
    "call-id",
    "geolocation",
    "organization",
    "server",
    "subject",
    "user-agent",
    "from",
    "to",
    "via",
    "cseq",
}
# Several lines, but no commas: the commas in them belong to one value.
LINES = {"authorization", "identity", "proxy-authenticate", "proxy-authorization", "www-authenticate"}


def tabulated() -> set[str]:
    """The headers for which some module here has rows that are read, written and refused."""
    good: set[str] = set()
    for module in pkgutil.iter_modules(rvoip.test.protocols.sip.__path__):
        if module.name.endswith("_headers"):
            loaded = importlib.import_module(f"{rvoip.test.protocols.sip.__name__}.{module.name}")
            for value in vars(loaded).values():
                if isinstance(value, type) and issubclass(value, HeaderTable):
                    good |= {row[0].lower() for row in value.good} | {row[0].lower() for row in value.bad}
    return good


class CompletenessTests(SynchronousTestCase):
    """Nothing that is promised is missing."""

    def test_rfc_3261(self) -> None:
        """Every header of RFC 3261 section 20 has a type."""
        self.assertEqual({name.lower() for name in RFC_3261.split()} - HEADERS.keys(), set())

    def test_extensions(self) -> None:
        """So have those of the extensions that registrars, proxies, B2BUAs and borders read."""
        self.assertEqual({name.lower() for name in EXTENSIONS.split()} - HEADERS.keys(), set())

    def test_names(self) -> None:
        """Each has a spelling of its own."""
        self.assertEqual(HEADERS.keys() - DISPLAY.keys(), set())

    def test_several(self) -> None:
        """What may stand in one line with commas is a list; nothing that is a list may stand only once."""
        several = {name for name, entry in HEADERS.items() if entry.several}
        self.assertEqual(several - LISTS, LINES)
        self.assertEqual((LISTS & HEADERS.keys()) - several, set())
        self.assertEqual(several & SINGLE, set())
        self.assertEqual(LISTS & SINGLE, set())

    def test_tables(self) -> None:
        """Every header with a structure stands in one of the tables of this folder."""
        self.assertEqual(HEADERS.keys() - tabulated(), PLAIN | {"content-length"})


class ParseHeaderTests(SynchronousTestCase):
    """What `Message.typed` gives."""

    def test_unknown(self) -> None:
        """A header nobody knows is a list of texts, one a line, commas untouched."""
        message = invite("X-Odd: a, b", "x-odd:  c \t", "X-ODD:")
        self.assertEqual(message.typed("x-odd"), ["a, b", "c", ""])
        self.assertEqual(message.typed("x-absent"), [])

    def test_text(self) -> None:
        """Headers that are text are one text or None."""
        message = invite("s: Need more boxes", "Organization: ", "User-Agent: Softphone/1.0 (x)")
        self.assertEqual(message.typed("subject"), "Need more boxes")
        self.assertEqual(message.typed("organization"), "")
        self.assertEqual(message.typed("user-agent"), "Softphone/1.0 (x)")
        self.assertIsNone(message.typed("server"))
        self.assertEqual(message.typed("call-id"), "a84b4c76e66710@pc33.atlanta.example.com")

    def test_geolocation(self) -> None:
        """Opaque: the texts between the commas."""
        text = "<cid:target123@atlanta.example.com>, <https://ls.example.com/a,b>;x=y"
        self.assertEqual(
            invite(f"Geolocation: {text}").typed("geolocation"),
            ["<cid:target123@atlanta.example.com>", "<https://ls.example.com/a,b>;x=y"],
        )

    def test_several_lines(self) -> None:
        """Values of all lines in order, compact names included."""
        message = invite("k: path,timer", "Supported: 100rel", "SUPPORTED:")
        self.assertEqual(message.typed("supported"), ["path", "timer", "100rel"])

    def test_mandatory(self) -> None:
        """Those that have properties of their own give the same values."""
        message = invite()
        self.assertEqual(message.typed("cseq"), CSeq(314159, "INVITE"))
        self.assertIs(message.typed("from"), message.from_)
        self.assertEqual(message.typed("to"), NameAddr("sip:bob@biloxi.example.com", "Bob"))

    def test_via_beside_vias(self) -> None:
        """Reading all Via values and the topmost do not disturb each other, in either order."""
        for first in ("typed", "via"):
            message = invite("Via: SIP/2.0/TCP b")
            if first == "typed":
                message.typed("via")
            self.assertIsInstance(message.via, Via)
            self.assertEqual([via.transport for via in message.typed("via")], ["UDP", "TCP"])
            self.assertIsInstance(message.via, Via)

    def test_cached_until_changed(self) -> None:
        """A value is read once; each way of changing the header forgets it."""
        message = invite("Session-Expires: 90")
        self.assertIs(message.typed("session-expires"), message.typed("session-expires"))
        message.set("session-expires", "91")
        self.assertEqual(message.typed("session-expires").seconds, 91)
        message.remove("session-expires")
        self.assertIsNone(message.typed("session-expires"))
        message.add("session-expires", "92")
        self.assertEqual(message.typed("session-expires").seconds, 92)
        self.assertEqual(message.typed("supported"), [])
        message.insert("supported", "a")
        self.assertEqual(message.typed("supported"), ["a"])
        message.insert("supported", "b, c")
        self.assertEqual(message.typed("supported"), ["b", "c", "a"])
        message.remove_first_value("supported")
        self.assertEqual(message.typed("supported"), ["c", "a"])

    def test_error_is_repeated(self) -> None:
        """A bad value is not remembered as a good one."""
        message = invite("Session-Expires: x")
        for _ in range(2):
            self.assertRaises(SIPParseError, message.typed, "session-expires")
