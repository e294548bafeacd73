"""The listings of docs/reference/secure-media.md."""

from __future__ import annotations

import importlib.util
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import rvoip
from rvoip.protocols.rtp import sdes
from rvoip.protocols.rtp.dtls import DTLSHandshake, DTLSKeys, DTLSOutput, DTLSSend
from rvoip.protocols.rtp.dtls_context import DTLSContext
from rvoip.protocols.rtp.fingerprint import Identity
from rvoip.protocols.rtp.srtp import SecureLeg
from rvoip.protocols.rtp.stun import BINDING, REQUEST, Attribute, build_message, parse_message
from rvoip.test.protocols.rtp.secure import rtp

DOCS = Path(rvoip.__file__).parent.parent / "docs"
LOCAL, BROWSER = ("192.0.2.1", 20_000), ("198.51.100.7", 5_000)
WALL = datetime(2026, 1, 1, tzinfo=UTC)


class SecureMediaPageTests(SynchronousTestCase):
    def setUp(self) -> None:
        path = DOCS / "examples" / "secure_media" / "legs.py"
        if not path.exists():
            raise SkipTest("the examples are in a checkout only")
        spec = importlib.util.spec_from_file_location("secure_media_example", path)
        assert spec is not None and spec.loader is not None
        self.example: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.example)

    def test_a_phone(self) -> None:
        offered = sdes.offer(secrets.token_bytes)
        leg, line = self.example.answer_a_phone([str(one) for one in offered])
        agreed = sdes.accept(offered, [line])
        phone = SecureLeg(agreed.receive, agreed.send)
        self.assertEqual(leg.unprotect(phone.protect(rtp(1))), rtp(1))
        self.assertEqual(phone.unprotect(leg.protect(rtp(1))), rtp(1))
        self.assertRaises(sdes.SDESError, self.example.answer_a_phone, ["1 NULL inline:x"])

    def test_a_browser(self) -> None:
        """A check, a nomination, a handshake, a packet; and the handshake of a stranger, who gets nothing."""
        ours, theirs = Identity.make(WALL), Identity.make(WALL)
        offer = {"ice-ufrag": ["remote"], "fingerprint": [str(theirs.fingerprint())]}
        leg = self.example.BrowserLeg(DTLSContext(ours), LOCAL, offer)
        self.assertIn("a=candidate:1 1 udp 2130706431 192.0.2.1 20000 typ host", leg.answer)
        check = build_message(
            BINDING,
            REQUEST,
            bytes(12),
            [
                (Attribute.USERNAME, f"{leg.credentials.ufrag}:remote".encode()),
                (Attribute.PRIORITY, bytes((1, 2, 3, 4))),
                (Attribute.ICE_CONTROLLING, bytes(8)),
                (Attribute.USE_CANDIDATE, b""),
            ],
            key=leg.credentials.password.encode(),
        )
        client = DTLSHandshake(DTLSContext(theirs), "client", [ours.fingerprint()])
        [hello] = client.start(LOCAL, 1.0)
        assert isinstance(hello, DTLSSend)
        self.assertEqual(leg.receive(hello.datagram, BROWSER, 1.0), ([], None))
        [answer], _ = leg.receive(check, BROWSER, 1.0)
        self.assertEqual((answer.remote, parse_message(answer.datagram).kind), (BROWSER, 2))
        self.assertEqual(leg.remote, BROWSER)
        outputs: list[DTLSOutput] = [hello]
        keys = None
        while outputs:
            output = outputs.pop(0)
            if isinstance(output, DTLSSend):
                for sent in leg.receive(output.datagram, BROWSER, 1.1)[0]:
                    outputs += client.receive(sent.datagram, LOCAL, 1.1, validated=True)
            else:
                keys = output
        assert isinstance(keys, DTLSKeys)
        browser = SecureLeg(keys.receive, keys.send)
        self.assertEqual(leg.receive(browser.protect(rtp(1)), BROWSER, 1.2), ([], rtp(1)))
        self.assertEqual(browser.unprotect(leg.leg.protect(rtp(1))), rtp(1))
        self.assertEqual(leg.receive(b"", BROWSER, 1.3), ([], None))
        self.assertEqual(leg.timeout(40.0), [])
