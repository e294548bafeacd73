"""a=crypto: what is read, what is refused and why, and what two sides agree on."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.errors import RTPBuildError
from rvoip.protocols.rtp.sdes import (
    CryptoLine,
    SDESError,
    accept,
    answer,
    new_key,
    offer,
    parse_crypto,
)
from rvoip.protocols.rtp.srtp import SecureLeg
from rvoip.protocols.rtp.suites import (
    AEAD_AES_256_GCM,
    AES_CM_128_HMAC_SHA1_32,
    AES_CM_128_HMAC_SHA1_80,
    MAX_LIFETIME,
    SUITES,
    MasterKey,
)
from rvoip.test.protocols.rtp.secure import rtp

KEY = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
"""The key of RFC 4568's first example."""
SECOND = "inline:" + base64.b64encode(bytes(range(30))).decode()
LINE = f"1 AES_CM_128_HMAC_SHA1_80 {KEY}"


def randomness(seed: str = "") -> Callable[[int], bytes]:
    """Octets that are other ones with each call."""
    count = iter(range(1000))
    return lambda length: hashlib.shake_128(f"{seed}{next(count)}".encode()).digest(length)


class ReadTests(SynchronousTestCase):
    def test_lines(self) -> None:
        table = [
            (LINE, 1, "AES_CM_128_HMAC_SHA1_80", [(b"", MAX_LIFETIME)], 0),
            (LINE + "|2^20|1:4", 1, "AES_CM_128_HMAC_SHA1_80", [(b"\0\0\0\1", 2**20)], 0),
            (LINE + "|2^48", 1, "AES_CM_128_HMAC_SHA1_80", [(b"", 2**48)], 0),
            (LINE + "|65536", 1, "AES_CM_128_HMAC_SHA1_80", [(b"", 65536)], 0),
            (LINE + "|1:1", 1, "AES_CM_128_HMAC_SHA1_80", [(b"\1", MAX_LIFETIME)], 0),
            (
                f"2 AES_CM_128_HMAC_SHA1_32 {KEY}|2^20|1:1;{SECOND}|2^20|2:1",
                2,
                "AES_CM_128_HMAC_SHA1_32",
                [(b"\1", 2**20), (b"\2", 2**20)],
                0,
            ),
            (
                f"2 AES_CM_128_HMAC_SHA1_32 {KEY}|1:1; {SECOND}|2:1",
                2,
                "AES_CM_128_HMAC_SHA1_32",
                [(b"\1", MAX_LIFETIME), (b"\2", MAX_LIFETIME)],
                0,
            ),
            (LINE + " WSH=1024", 1, "AES_CM_128_HMAC_SHA1_80", [(b"", MAX_LIFETIME)], 1024),
            (LINE + " -FOO=bar  -X", 1, "AES_CM_128_HMAC_SHA1_80", [(b"", MAX_LIFETIME)], 0),
            ("999999999" + LINE[1:], 999999999, "AES_CM_128_HMAC_SHA1_80", [(b"", MAX_LIFETIME)], 0),
            (LINE.replace("inline", "INLINE") + " ", 1, "AES_CM_128_HMAC_SHA1_80", [(b"", MAX_LIFETIME)], 0),
        ]
        for text, tag, suite, keys, window in table:
            line = parse_crypto(text)
            self.assertEqual((line.tag, line.suite.name, line.window), (tag, suite, window), text)
            self.assertEqual([(key.mki, key.lifetime) for key in line.keys], keys, text)
            self.assertEqual(parse_crypto(str(line)), line)
            self.assertEqual(line.keys[0].material, base64.b64decode(KEY[7:]))

    def test_padding_may_be_missing(self) -> None:
        """AES-256-GCM has 44 octets: base64 of them ends with "=", which some leave out."""
        text = base64.b64encode(bytes(range(44))).decode()
        for written in (text, text.rstrip("=")):
            line = parse_crypto(f"3 AEAD_AES_256_GCM inline:{written}")
            self.assertEqual(line.keys[0].material, bytes(range(44)))

    def test_refusals(self) -> None:
        table = [
            ("", "a crypto line that is malformed"),
            ("1 AES_CM_128_HMAC_SHA1_80", "a crypto line that is malformed"),
            ("٣" + LINE[1:], "a crypto line that is malformed"),
            ("1_0" + LINE[1:], "a crypto line that is malformed"),
            (LINE + "\r\na=x", "a crypto line that is malformed"),
            (LINE + "\x0bWSH=64", "a crypto line that is malformed"),
            ("9" * 10 + LINE[1:], "a crypto line that is malformed"),
            (LINE + " " + "x" * 5000, "a crypto line of more than 4096 characters"),
            (f"1 F8_128_HMAC_SHA1_80 {KEY}", "a crypto suite that is not known here"),
            (f"1 aes_cm_128_hmac_sha1_80 {KEY}", "a crypto suite that is not known here"),
            ("1 AES_CM_128_HMAC_SHA1_80 uri:x", "a key method other than inline"),
            ("1 AES_CM_128_HMAC_SHA1_80 inline", "a key method other than inline"),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:", "a key that is not base64"),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:A", "a key that is not base64"),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:A*B!", "a key that is not base64"),
            ("1 AES_CM_128_HMAC_SHA1_80 ;", "a crypto line without a key"),
            (LINE[:-4], "a key of a wrong length for AES_CM_128_HMAC_SHA1_80"),
            (f"1 AEAD_AES_128_GCM {KEY}", "a key of a wrong length for AEAD_AES_128_GCM"),
            (LINE + "|0", "a lifetime that is not between 2^16 and 2^48 packets"),
            (LINE + "|2^49", "a lifetime that is not between 2^16 and 2^48 packets"),
            (LINE + "|2^99", "a lifetime that is not between 2^16 and 2^48 packets"),
            (LINE + "|2^1", "a lifetime that is not between 2^16 and 2^48 packets"),
            (LINE + "|x", "a lifetime that is malformed"),
            (LINE + "|", "a lifetime that is malformed"),
            (LINE + "|2^20|1", "an MKI that is malformed"),
            (LINE + "|2^20|1:", "an MKI that is malformed"),
            (LINE + "|256:1", "an MKI that does not fit its length"),
            (LINE + "|1:0", "an MKI that does not fit its length"),
            (LINE + "|1:129", "an MKI that does not fit its length"),
            (LINE + "|" + "9" * 40 + ":20", "an MKI that is malformed"),
            (LINE + "|2^20|1:4|5", "a key with fields that are not known"),
            (f"{LINE};{SECOND}", "several keys that their MKI does not tell apart"),
            (f"{LINE}|1:1;{SECOND}|1:1", "several keys that their MKI does not tell apart"),
            (f"{LINE}|1:1;{SECOND}|2:2", "several keys that their MKI does not tell apart"),
            (LINE + ";inline:x" * 9, "a crypto line with more than 8 keys"),
            (LINE + " KDR=5", "KDR: keys that are derived anew while they are used"),
            (LINE + " UNENCRYPTED_SRTP", "UNENCRYPTED_SRTP: media that is not encrypted"),
            (LINE + " UNENCRYPTED_SRTCP", "UNENCRYPTED_SRTCP: reports that are not encrypted"),
            (LINE + " UNAUTHENTICATED_SRTP", "UNAUTHENTICATED_SRTP: media that is not authenticated"),
            (LINE + " FEC_ORDER=FEC_SRTP", "FEC_ORDER: forward error correction"),
            (LINE + f" FEC_KEY={KEY}", "FEC_KEY: forward error correction"),
            (LINE + " WSH=63", "a replay window of fewer than 64 or more than 32767 packets"),
            (LINE + " WSH=99999", "a replay window of fewer than 64 or more than 32767 packets"),
            (LINE + " FOO", "a session parameter that is not known here"),
        ]
        for text, reason in table:
            error = self.assertRaises(SDESError, parse_crypto, text)
            self.assertEqual(error.reason, reason, text)

    def test_a_reason_has_nothing_of_the_key(self) -> None:
        self.assertNotIn("WVNf", repr(parse_crypto(LINE)) + repr(parse_crypto(LINE).keys[0]))

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(
        st.one_of(
            st.text(max_size=200),
            st.lists(st.sampled_from([*LINE, LINE, "|", ":", ";", " ", "2^20", "WSH="]), max_size=20).map(
                "".join
            ),
        )
    )
    @example("1 AEAD_AES_256_GCM inline:" + "=" * 60)
    def test_any_text(self, text: str) -> None:
        """Nothing but SDESError comes out, and what is read reads the same when it is written."""
        try:
            line = parse_crypto(text)
        except SDESError:
            return
        self.assertEqual(parse_crypto(str(line)), line)


class NegotiationTests(SynchronousTestCase):
    def test_media_of_both_sides(self) -> None:
        for name in SUITES:
            offered = offer(randomness("a"), [name])
            theirs = answer([str(line) for line in offered], randomness("b"))
            ours = accept(offered, [str(theirs.line)])
            self.assertEqual((ours.receive, theirs.receive), ((theirs.send,), (ours.send,)))
            caller, callee = (
                SecureLeg(side.receive, side.send, window=side.window) for side in (ours, theirs)
            )
            self.assertEqual(callee.unprotect(caller.protect(rtp(1)) or b""), rtp(1))
            self.assertEqual(caller.unprotect(callee.protect(rtp(1)) or b""), rtp(1))

    def test_an_offer_has_each_suite_once(self) -> None:
        lines = offer(randomness())
        self.assertEqual([(line.tag, line.suite.name) for line in lines], list(enumerate(SUITES, 1)))
        self.assertEqual(len({line.keys[0].material for line in lines}), len(lines))
        self.assertEqual(lines[0].suite, AEAD_AES_256_GCM)

    def test_the_offer_decides_the_order(self) -> None:
        second = LINE.replace("1 AES_CM_128_HMAC_SHA1_80", "7 AES_CM_128_HMAC_SHA1_32")
        self.assertEqual(answer([LINE, second], randomness()).line.suite, AES_CM_128_HMAC_SHA1_80)
        self.assertEqual(answer([second, LINE], randomness()).line.tag, 7)
        only = answer([LINE, second], randomness(), ["AES_CM_128_HMAC_SHA1_32"])
        self.assertEqual((only.line.tag, only.line.suite), (7, AES_CM_128_HMAC_SHA1_32))

    def test_unusable_lines_are_passed_over(self) -> None:
        lines = ["rubbish", LINE + " KDR=1", f"3 NEW_SUITE {KEY}", "4" + LINE[1:]]
        self.assertEqual(answer(lines, randomness()).line.tag, 4)
        error = self.assertRaises(SDESError, answer, lines[:3], randomness())
        self.assertEqual(
            error.reason,
            "a crypto line that is malformed; KDR: keys that are derived anew while they are used;"
            " a crypto suite that is not known here",
        )
        self.assertEqual(self.assertRaises(SDESError, answer, [], randomness()).reason, "no crypto line")
        refused = self.assertRaises(SDESError, answer, [LINE], randomness(), ["AEAD_AES_128_GCM"])
        self.assertEqual(refused.reason, "a crypto suite that is not allowed here")
        self.assertRaises(SDESError, answer, ["x"] * 32 + [LINE], randomness())

    def test_a_window_that_was_asked_for(self) -> None:
        self.assertEqual(answer([LINE + " WSH=4096"], randomness()).window, 4096)
        self.assertEqual(answer([LINE + " WSH=64"], randomness()).window, 128)

    def test_answers_that_fit_no_offer(self) -> None:
        offered = offer(randomness(), ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"])
        table: list[tuple[list[str], str]] = [
            ([], "an answer that has not exactly one crypto line"),
            ([LINE, LINE], "an answer that has not exactly one crypto line"),
            (["9" + LINE[1:]], "an answer with a tag that was not offered"),
            (["2" + LINE[1:]], "an answer with another suite than its tag was offered with"),
            (["x"], "a crypto line that is malformed"),
        ]
        for lines, reason in table:
            self.assertEqual(self.assertRaises(SDESError, accept, offered, lines).reason, reason)
        self.assertEqual(accept(offered, [LINE]).send, offered[0].keys[0])

    def test_randomness_that_is_none(self) -> None:
        self.assertRaises(RTPBuildError, new_key, AES_CM_128_HMAC_SHA1_80, lambda n: b"")

    def test_a_line_of_ours_is_written_as_the_rfc_has_it(self) -> None:
        key = MasterKey.cut(AES_CM_128_HMAC_SHA1_80, base64.b64decode(KEY[7:]), b"\0\0\0\1", 2**20)
        line = CryptoLine(1, AES_CM_128_HMAC_SHA1_80, (key,), 64)
        self.assertEqual(str(line), LINE + "|2^20|1:4 WSH=64")
