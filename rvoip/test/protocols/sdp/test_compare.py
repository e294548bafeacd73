"""When two descriptions mean the same."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sdp.compare import equivalent, same_session, same_version
from rvoip.protocols.sdp.session import SessionDescription, parse
from rvoip.test.protocols.sdp.samples import BROWSER, EVERYTHING, PHONE, edited

KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"


def with_attributes(*lines: str) -> SessionDescription:
    """The phone's description with those attributes in its section, besides its own."""
    return parse(PHONE + "".join(f"a={line}\r\n" for line in lines).encode())


class VersionTests(SynchronousTestCase):
    """o= lines."""

    def test_versions_of_one_session(self) -> None:
        one = parse(PHONE)
        two = one.next_version()
        self.assertTrue(same_version(one, parse(PHONE)))
        self.assertFalse(same_version(one, two))
        self.assertTrue(same_session(one, two))
        self.assertTrue(equivalent(one, two))

    def test_other_sessions(self) -> None:
        one = parse(PHONE)
        for old, new in (
            ("o=- ", "o=x "),
            ("o=- 3622532974 ", "o=- 3622532975 "),
            ("3622532974 IN IP4 192.0.2.1", "3622532974 IN IP4 192.0.2.2"),
        ):
            two = parse(edited(old, new))
            self.assertFalse(same_session(one, two))
            self.assertFalse(same_version(one, two))
            self.assertFalse(equivalent(one, two))


class EquivalenceTests(SynchronousTestCase):
    """The rest."""

    def test_with_itself(self) -> None:
        for data in (PHONE, BROWSER, EVERYTHING):
            self.assertTrue(equivalent(parse(data), parse(data)))
        self.assertFalse(equivalent(parse(PHONE), parse(BROWSER)))

    def test_same_meaning(self) -> None:
        for old, new in (
            ("s=-", "s= "),
            ("s=-", "s="),
            ("a=sendrecv\r\n", ""),
            ("a=ptime:20\r\na=sendrecv", "a=sendrecv\r\na=ptime:20"),
            ("a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000", "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000"),
            ("a=rtpmap:8 PCMA/8000\r\n", ""),
            ("PCMU/8000", "pcmu/8000/1"),
            ("telephone-event", "Telephone-Event"),
            ("c=IN IP4 192.0.2.1\r\nt=0 0\r\n", "t=0 0\r\n"),
            ("m=audio 10018", "m=audio 10018/1"),
        ):
            data = edited(old, new)
            if old.startswith("c="):
                data += b"c=IN IP4 192.0.2.1\r\n"
            self.assertTrue(equivalent(parse(PHONE), parse(data)), new)
            self.assertTrue(equivalent(parse(data), parse(PHONE)), new)

    def test_other_meaning(self) -> None:
        for old, new in (
            ("s=-", "s=x"),
            ("s=-", "s=-\r\ni=x"),
            ("s=-", "s=-\r\nu=x"),
            ("s=-", "s=-\r\ne=x"),
            ("s=-", "s=-\r\np=x"),
            ("t=0 0", "t=0 1"),
            ("t=0 0", "t=0 0\r\nk=x"),
            ("t=0 0", "t=0 0\r\na=x"),
            ("t=0 0", "b=AS:1\r\nt=0 0"),
            ("c=IN IP4 192.0.2.1", "c=IN IP4 192.0.2.2"),
            ("m=audio", "m=video"),
            ("10018", "10019"),
            ("10018", "10018/2"),
            ("RTP/AVP", "RTP/SAVP"),
            ("AVP 8 0 101", "AVP 0 8 101"),
            ("AVP 8 0 101", "AVP 8 0"),
            ("a=sendrecv", "a=sendonly"),
            ("a=ptime:20", "a=ptime:30"),
            ("a=ptime:20", "a=ptime"),
            ("a=ptime:20\r\n", ""),
            ("a=ptime:20", "a=ptime:20\r\na=ptime:20"),
            ("PCMU/8000", "PCMU/16000"),
            ("telephone-event", "x"),
            ("a=fmtp:101 0-15", "a=fmtp:101 0-16"),
            ("a=sendrecv", "a=sendrecv\r\nb=AS:1"),
            ("a=sendrecv", "a=sendrecv\r\nk=x"),
            ("a=sendrecv", "a=sendrecv\r\ni=x"),
            ("a=sendrecv", "a=sendrecv\r\nm=audio 0 RTP/AVP 0"),
        ):
            self.assertFalse(equivalent(parse(PHONE), parse(edited(old, new))), new)
            self.assertFalse(equivalent(parse(edited(old, new)), parse(PHONE)), new)

    def test_attribute_values(self) -> None:
        candidate = "candidate:1 1 {} 2130706431 192.0.2.1 3478 typ host"
        for one, two, same in (
            (["fmtp:96 a=1; B=2"], ["fmtp:96 b=2;a=1;"], True),
            (["fmtp:96 a=1"], ["fmtp:96 a=2"], False),
            (
                ["fingerprint:SHA-1 " + ":".join(["aB"] * 20)],
                ["fingerprint:sha-1 " + ":".join(["Ab"] * 20)],
                True,
            ),
            (["fingerprint:broken"], ["fingerprint:Broken"], False),
            ([candidate.format("UDP")], [candidate.format("udp")], True),
            ([candidate.format("UDP")], [candidate.format("tcp")], False),
            (["simulcast:send 1 recv 2"], ["simulcast:recv 2 send 1"], True),
            (["ice-options:a b"], ["ice-options:b a"], True),
            (["x"], ["x:"], False),
            (["rtcp-fb:96 nack", "rtcp-fb:96 ccm fir"], ["rtcp-fb:96 ccm fir", "rtcp-fb:96 nack"], True),
            (
                [f"crypto:1 X inline:{KEY}", f"crypto:2 Y inline:{KEY}"],
                [f"crypto:2 Y inline:{KEY}", f"crypto:1 X inline:{KEY}"],
                False,
            ),
        ):
            self.assertEqual(equivalent(with_attributes(*one), with_attributes(*two)), same, (one, two))

    def test_session_level_stands_for_the_sections(self) -> None:
        at_session = parse(edited("t=0 0", "t=0 0\r\na=setup:active\r\na=ice-ufrag:u"))
        self.assertTrue(equivalent(at_session, with_attributes("setup:active", "ice-ufrag:u")))
        self.assertFalse(equivalent(at_session, with_attributes("setup:passive", "ice-ufrag:u")))
        self.assertFalse(equivalent(at_session, parse(PHONE)))

    def test_session_direction_stands_for_the_sections(self) -> None:
        at_session = parse(edited("a=sendrecv\r\n", "", edited("t=0 0", "t=0 0\r\na=inactive")))
        self.assertTrue(equivalent(at_session, parse(edited("a=sendrecv", "a=inactive"))))
        self.assertFalse(equivalent(at_session, parse(PHONE)))

    def test_order_of_sections(self) -> None:
        description = parse(BROWSER)
        turned = description.replace(media=description.media[::-1])
        self.assertFalse(equivalent(description, turned))
