"""Whole descriptions: parsed, leniently and strictly, within limits; asked, edited and written."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.direction import Direction
from rvoip.protocols.sdp.errors import SDPBuildError, SDPError
from rvoip.protocols.sdp.lines import Bandwidth, Connection, Origin, Repeat, Timing, ZoneAdjustment
from rvoip.protocols.sdp.media import Media
from rvoip.protocols.sdp.session import Limits, SessionDescription, parse
from rvoip.protocols.sdp.transport import Setup
from rvoip.test.protocols.sdp.samples import (
    BROWSER,
    EVERYTHING,
    PHONE,
    crlf,
    edited,
    phone,
    with_section_lines,
)

HEAD = "v=0\no=- 1 1 IN IP4 192.0.2.1\n"


class ParseTests(SynchronousTestCase):
    """What stands where."""

    def test_every_kind_of_line(self) -> None:
        description = parse(EVERYTHING, strict=True)
        zones = (ZoneAdjustment(2882844526, "-1h"), ZoneAdjustment(2898848070, "0"))
        self.assertEqual(
            description,
            SessionDescription(
                version=0,
                origin=Origin("jdoe", "2890844526", 2890842807, "IN", "IP6", "2001:db8::1"),
                name="Seminar",
                information="On session descriptions",
                uri="http://www.example.com/seminars/sdp.pdf",
                emails=("j.doe@example.com (Jane Doe)", "Jane Doe <jane@example.com>"),
                phones=("+1 617 555-6011",),
                connection=Connection("IN", "IP4", "233.252.0.1", 127, 3),
                bandwidths=(Bandwidth("AS", 128), Bandwidth("CT", 1000)),
                times=(
                    Timing(
                        2873397496,
                        2873404696,
                        (Repeat("7d", "1h", ("0", "25h")), Repeat("604800", "3600", ("0", "90000"))),
                        zones,
                    ),
                    Timing(),
                ),
                key="prompt",
                attributes=(Attribute("recvonly"), Attribute("tool", "x")),
                media=(
                    Media(
                        kind="audio",
                        port=49170,
                        port_count=2,
                        protocol="RTP/AVP",
                        formats=("0",),
                        information="The talk",
                        connections=(
                            Connection("IN", "IP4", "233.252.0.2", 127),
                            Connection("IN", "IP4", "233.252.0.3", 127),
                        ),
                        bandwidths=(Bandwidth("TIAS", 64000),),
                        key="clear:x",
                        attributes=(Attribute("ptime", "20"),),
                    ),
                    Media("image", 0, "udptl", ("t38",)),
                    Media("message", 7654, "TCP/MSRP", ("*",)),
                ),
            ),
        )
        self.assertEqual(description.time_zones, zones)

    def test_written_as_read(self) -> None:
        for data in (PHONE, BROWSER, EVERYTHING):
            description = parse(data, strict=True)
            self.assertEqual(description.to_bytes(), data)
            self.assertEqual(str(description), data.decode())
            self.assertEqual(parse(data.decode()), description)
            self.assertEqual(hash(parse(data)), hash(description))

    def test_text_that_is_not_utf8_is_kept(self) -> None:
        data = PHONE.replace(b"s=-", b"s=Caf\xe9 \xc3\xa9\x7f\xc2\x85\xe2\x80\xa8\x0b\x1c")
        description = parse(data, strict=True)
        self.assertEqual(description.name, "Caf\udce9 \u00e9\x7f\x85\u2028\x0b\x1c")
        self.assertEqual(description.to_bytes(), data)
        self.assertEqual(parse(str(description)), description)

    def test_text_that_is_half_of_a_character(self) -> None:
        self.assertEqual(parse(PHONE.decode().replace("s=-", "s=\udcc3\udca9")).name, "\u00e9")
        self.assertRaises(SDPError, parse, PHONE.decode().replace("s=-", "s=\ud800"))

    def test_the_line_to_blame(self) -> None:
        for data, line in (
            (edited("IN IP4 192.0.2.1\r\nt", "IN\r\nt"), 4),
            (edited("m=audio 10018", "m=audio x"), 6),
            (edited("v=0", "v=1"), 1),
            (edited("a=ptime:20", "a="), 11),
            (edited("a=ptime:20", "nonsense"), 11),
            (edited("a=ptime:20", "a=x\0"), 11),
            (edited("a=ptime:20", "a=x\ry"), 11),
            (b"", 0),
            (b"v=0\r\ns=-\r\n", 0),
        ):
            error = self.assertRaises(SDPError, parse, data)
            self.assertEqual(error.line, line)
            self.assertEqual(str(error), f"line {line}: {error.reason}" if line else error.reason)

    def test_refused_in_any_case(self) -> None:
        for old, new in (
            ("v=0", "v=0\r\nv=0"),
            ("v=0", "v=00"),
            ("v=0", "V=0"),
            ("v=0", "v=\u0660"),
            ("v=0", "a=x\r\nv=0"),
            ("v=0", "m=audio 1 RTP/AVP 0\r\nv=0"),
            ("o=- 3622532974", "o=- 1 1 IN IP4 h\r\no=- 3622532974"),
            ("o=- 3622532974 3622532974 IN IP4 192.0.2.1\r\n", ""),
            ("s=-", "s=-\r\ns=-"),
            ("s=-", "u=a\r\nu=b"),
            ("s=-", "i=a\r\ni=b"),
            ("s=-", "k=a\r\nk=b"),
            ("s=-", " s=-"),
            ("s=-", "ss=-"),
            ("s=-", "\u00e4=-"),
            ("s=-", "=-"),
            ("s=-", "1=-"),
            ("t=0 0", "c=IN IP4 192.0.2.2\r\nt=0 0"),
            ("t=0 0", "r=7d 1h 0\r\nt=0 0"),
            ("t=0 0", "z=1 -1h\r\nt=0 0"),
            ("t=0 0", "t=0 0\r\nz=1 -1h\r\nz=1 -1h"),
            ("t=0 0", "t=0 0\r\nz=1 -1h\r\nr=7d 1h 0"),
            ("t=0 0", "b=AS\r\nt=0 0"),
            ("m=audio 10018", "m=audio 65536"),
            ("m=audio 10018", "m=audio 10018/0"),
            ("m=audio 10018", "m=audio 10018/"),
            ("m=audio 10018", "m=audio 1_0"),
            ("m=audio 10018", "m=audio \u0661"),
            ("m=audio 10018", "m=audio " + "9" * 5000),
            ("m=audio 10018", "m=\u00e4udio 10018"),
            ("m=audio 10018 RTP/AVP 8 0 101", "m=audio 10018"),
            ("a=sendrecv", "i=a\r\ni=b"),
            ("a=sendrecv", "k=a\r\nk=b"),
            ("a=sendrecv", "t=0 0"),
            ("a=sendrecv", "s=-"),
            ("a=sendrecv", "v=0"),
            ("a=sendrecv", "o=- 1 1 IN IP4 h"),
            ("a=sendrecv", "e=a@b"),
            ("a=sendrecv", "c=IN IP4"),
            ("a=sendrecv", "a=:x"),
        ):
            self.assertRaises(SDPError, parse, edited(old, new))


class LeniencyTests(SynchronousTestCase):
    """Each thing that phones get wrong, one by one; strict parsing refuses it."""

    def assert_lenient(self, data: bytes, written: bytes = PHONE) -> None:
        """``data`` is read like ``written``, but not strictly."""
        self.assertEqual(parse(data), parse(written))
        self.assertEqual(parse(data).to_bytes(), written)
        self.assertRaises(SDPError, parse, data, strict=True)

    def test_bare_line_feeds(self) -> None:
        self.assert_lenient(PHONE.replace(b"\r\n", b"\n"))
        self.assert_lenient(PHONE.replace(b"\r\n", b"\n", 3))

    def test_missing_last_line_end(self) -> None:
        self.assert_lenient(PHONE[:-2])
        self.assert_lenient(PHONE[:-1])
        self.assertRaises(SDPError, parse, PHONE[:-1] + b"\r")

    def test_blank_lines(self) -> None:
        self.assert_lenient(PHONE + b"\r\n")
        self.assert_lenient(b"\r\n" + PHONE.replace(b"\r\nm=", b"\r\n \t\r\nm="))

    def test_missing_name(self) -> None:
        self.assert_lenient(edited("s=-\r\n", ""))

    def test_missing_time(self) -> None:
        self.assert_lenient(edited("t=0 0\r\n", ""))

    def test_order_of_session_lines(self) -> None:
        self.assert_lenient(
            edited("s=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0", "t=0 0\r\nc=IN IP4 192.0.2.1\r\ns=-")
        )

    def test_fields_far_apart(self) -> None:
        self.assert_lenient(edited("RTP/AVP 8 0 101", "RTP/AVP  8 0  101 "))
        self.assert_lenient(edited("c=IN IP4", "c=IN  IP4"))
        self.assert_lenient(edited("c=IN IP4", "c= IN IP4"))
        self.assert_lenient(edited("t=0 0", "t=0  0 "))
        self.assert_lenient(
            edited("s=-", "s=-\r\nb=AS:64 "), edited("c=IN IP4 192.0.2.1", "c=IN IP4 192.0.2.1\r\nb=AS:64")
        )

    def test_missing_user_name(self) -> None:
        self.assert_lenient(edited("o=- ", "o="), edited("o=- ", "o="))

    def test_user_name_of_several_words(self) -> None:
        self.assert_lenient(edited("o=- ", "o=Front desk "), edited("o=- ", "o=Front desk "))

    def test_missing_formats(self) -> None:
        self.assert_lenient(PHONE + b"m=video 0 RTP/AVP\r\n", PHONE + b"m=video 0 RTP/AVP\r\n")

    def test_unknown_kinds_of_line(self) -> None:
        self.assert_lenient(edited("s=-", "s=-\r\nf=x\r\ny=0"))
        self.assert_lenient(PHONE + b"f=x\r\n")

    def test_other_order_is_read_strictly_too(self) -> None:
        data = PHONE + b"b=AS:64\r\nc=IN IP4 192.0.2.2\r\n"
        media = parse(data, strict=True).media[0]
        self.assertEqual(media.bandwidths, (Bandwidth("AS", 64),))
        self.assertEqual(media.lines()[1:3], ["c=IN IP4 192.0.2.2", "b=AS:64"])
        moved = edited("s=-\r\nc=IN IP4 192.0.2.1\r\n", "c=IN IP4 192.0.2.1\r\na=x\r\nb=AS:1\r\ns=-\r\n")
        description = parse(moved, strict=True)
        self.assertEqual(description.attributes, (Attribute("x"),))
        self.assertEqual(description.lines()[3:7], ["c=IN IP4 192.0.2.1", "b=AS:1", "t=0 0", "a=x"])


class StrictTests(SynchronousTestCase):
    """The four lines that every description has, in their order."""

    def test_order(self) -> None:
        parse(crlf(HEAD + "s=-\nt=0 0\n"), strict=True)
        parse(crlf("v=0\ni=x\no=- 1 1 IN IP4 h\nc=IN IP4 h\ns=\nb=AS:1\nt=0 0\nt=1 2\n"), strict=True)
        for text in (
            HEAD + "t=0 0\ns=-\n",
            "v=0\ns=-\no=- 1 1 IN IP4 h\nt=0 0\n",
            HEAD + "s=-\n",
            HEAD + "t=0 0\n",
            HEAD + "m=audio 1 RTP/AVP 0\ns=-\nt=0 0\n",
        ):
            self.assertRaises(SDPError, parse, crlf(text), strict=True)


class LimitTests(SynchronousTestCase):
    """Each limit, at and over it."""

    def assert_limit(self, limits: Limits, at: bytes, over: bytes, reason: str) -> None:
        self.assertEqual(parse(at, limits).to_bytes(), at)
        for data in (over, over.decode()):
            self.assertEqual(self.assertRaises(SDPError, parse, data, limits).reason, reason)

    def test_octets(self) -> None:
        reason = "the description is longer than 65536 octets"
        at = PHONE + b"a=" + b"x" * (65536 - len(PHONE) - 4) + b"\r\n"
        self.assert_limit(Limits(), at, at.replace(b"xx", b"xxx", 1), reason)
        # Counted in octets, not in characters.
        name = "\u00e9" * 40000
        self.assertEqual(
            self.assertRaises(SDPError, parse, PHONE.decode().replace("s=-", f"s={name}")).reason, reason
        )

    def test_lines(self) -> None:
        at = PHONE + b"c=IN IP4 192.0.2.1\r\n" * (2000 - PHONE.count(b"\n"))
        self.assertEqual(len(parse(at).media[0].connections), 2000 - PHONE.count(b"\n"))
        error = self.assertRaises(SDPError, parse, at + b"b=AS:1\r\n")
        self.assertEqual(error.reason, "there are more than 2000 lines")

    def test_media(self) -> None:
        at = PHONE + b"m=audio 0 RTP/AVP 0\r\n" * 15
        self.assert_limit(Limits(), at, at + b"m=audio 0 RTP/AVP 0\r\n", "there are more than 16 m= lines")

    def test_attributes(self) -> None:
        at = PHONE + b"a=x\r\n" * 1494
        self.assert_limit(Limits(), at, at + b"a=x\r\n", "there are more than 1500 attributes")

    def test_limits_are_arguments(self) -> None:
        for limits in (
            Limits(octets=len(PHONE) - 1),
            Limits(lines=PHONE.count(b"\n") - 1),
            Limits(media=0),
            Limits(attributes=5),
        ):
            self.assertRaises(SDPError, parse, PHONE, limits)
        self.assertEqual(parse(PHONE, Limits(len(PHONE), 12, 1, 6)), parse(PHONE))


class DefaultTests(SynchronousTestCase):
    """What a section does not say, the session says for it."""

    def test_direction(self) -> None:
        for session, section, direction in (
            ("", "", Direction.SENDRECV),
            ("a=recvonly\r\n", "", Direction.RECVONLY),
            ("a=recvonly\r\n", "a=sendrecv\r\n", Direction.SENDRECV),
            ("", "a=inactive\r\n", Direction.INACTIVE),
        ):
            data = edited("a=sendrecv\r\n", section)
            description = parse(edited("t=0 0\r\n", "t=0 0\r\n" + session, data))
            self.assertIs(description.direction_of(description.media[0]), direction)

    def test_a_direction_has_no_value_and_is_in_lower_case(self) -> None:
        for line in ("a=inactive:", "a=Inactive", "a=inactive2"):
            description = parse(edited("a=sendrecv", line))
            self.assertIsNone(description.media[0].own_direction)

    def test_connections(self) -> None:
        description = parse(EVERYTHING)
        self.assertEqual(
            [[c.address for c in description.connections_of(media)] for media in description.media],
            [["233.252.0.2", "233.252.0.3"], ["233.252.0.1"], ["233.252.0.1"]],
        )
        without = phone(connection=None)
        self.assertEqual(without.connections_of(without.media[0]), ())

    def test_dtls_and_ice(self) -> None:
        description = parse(BROWSER)
        audio, video = description.media
        self.assertEqual([f.text[:5] for f in description.fingerprints_of(audio)], ["4A:AD"])
        self.assertEqual([f.text[:5] for f in description.fingerprints_of(video)], ["FF:AD"])
        self.assertIs(description.setup_of(audio), Setup.ACTPASS)
        self.assertIs(description.setup_of(video), Setup.ACTIVE)
        self.assertEqual([e.id for e in description.extmaps_of(audio)], [1])
        self.assertEqual([e.id for e in description.extmaps_of(video)], [3])
        self.assertEqual(description.ice_options_of(audio), ("trickle", "ice2"))
        self.assertEqual(description.ice_ufrag_of(audio), "ETEn1v9DoTMB9J4r")
        self.assertEqual(description.ice_pwd_of(video), "mqyWsAjvtKwTGnvhPztQ9mIf")

    def test_ice_at_session_level(self) -> None:
        description = parse(edited("t=0 0\r\n", "t=0 0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=ice-lite\r\n"))
        media = description.media[0]
        self.assertEqual((description.ice_ufrag_of(media), description.ice_pwd_of(media)), ("u", "p"))
        self.assertTrue(description.ice_lite)
        self.assertEqual(description.ice_options_of(media), ())
        self.assertIsNone(parse(PHONE).ice_ufrag_of(media))

    def test_an_unreadable_value_of_a_section_does_not_fall_back(self) -> None:
        data = edited("a=setup:active", "a=setup:ACTIVE", BROWSER)
        data = edited("a=fingerprint:sha-1 FF", "a=fingerprint:sha-1 F", data)
        description = parse(data)
        self.assertIsNone(description.setup_of(description.media[1]))
        self.assertEqual(description.fingerprints_of(description.media[1]), ())

    def test_sections_by_mid(self) -> None:
        description = parse(BROWSER)
        self.assertEqual([(g.semantics, g.mids) for g in description.groups], [("BUNDLE", ("a1", "v1"))])
        self.assertIs(description.section("v1"), description.media[1])
        self.assertIsNone(description.section("x"))


class HoldTests(SynchronousTestCase):
    """Who holds whom, in both ways of saying it."""

    def test_by_direction(self) -> None:
        for direction, holds, held in (
            (Direction.SENDRECV, False, False),
            (Direction.SENDONLY, True, False),
            (Direction.RECVONLY, False, True),
            (Direction.INACTIVE, True, True),
        ):
            description = parse(PHONE).with_direction(direction)
            media = description.media[0]
            self.assertEqual((description.holds(media), description.held(media)), (holds, held))
            self.assertEqual(description.is_hold, holds)

    def test_by_direction_of_the_session(self) -> None:
        description = parse(edited("a=sendrecv\r\n", "")).adding(Attribute("sendonly"))
        self.assertTrue(description.is_hold)

    def test_by_null_address(self) -> None:
        for address, holds in (
            ("IP4 0.0.0.0", True),
            ("IP6 ::", True),
            ("IP6 a.invalid", True),
            ("IP4 192.0.2.9", False),
        ):
            for description in (
                parse(edited("c=IN IP4 192.0.2.1", f"c=IN {address}")),
                with_section_lines(f"c=IN {address}"),
            ):
                self.assertEqual(description.holds(description.media[0]), holds)
                self.assertFalse(description.held(description.media[0]))

    def test_one_address_of_two(self) -> None:
        description = with_section_lines("c=IN IP4 0.0.0.0", "c=IN IP4 192.0.2.9")
        self.assertFalse(description.holds(description.media[0]))

    def test_no_address(self) -> None:
        description = phone(connection=None)
        self.assertFalse(description.holds(description.media[0]))

    def test_a_null_address_beside_ice_is_no_hold(self) -> None:
        description = parse(BROWSER)
        self.assertFalse(description.holds(description.media[0]))
        self.assertFalse(description.is_hold)

    def test_rejected_sections_do_not_count(self) -> None:
        held = parse(PHONE).with_direction(Direction.SENDONLY)
        live = held.media[0].with_direction(Direction.SENDRECV)
        self.assertFalse(held.replace(media=(*held.media, live)).is_hold)
        self.assertTrue(held.replace(media=(*held.media, live.replace(port=0))).is_hold)
        self.assertFalse(held.replace(media=(live.replace(port=0),)).is_hold)
        self.assertFalse(held.replace(media=()).is_hold)


class EditTests(SynchronousTestCase):
    """Edits give new values and leave the old."""

    def test_values_do_not_change(self) -> None:
        description = parse(PHONE)
        self.assertRaises(AttributeError, setattr, description, "name", "x")
        self.assertRaises(AttributeError, setattr, description.media[0], "port", 1)
        self.assertRaises(AttributeError, setattr, description.media[0].attributes[0], "name", "x")
        description.with_direction(Direction.INACTIVE).next_version().replace(name="x")
        self.assertEqual(description.to_bytes(), PHONE)

    def test_replace(self) -> None:
        self.assertEqual(phone(name="x").to_bytes(), edited("s=-", "s=x"))
        self.assertRaises(TypeError, parse(PHONE).replace, nothing=1)

    def test_next_version(self) -> None:
        self.assertEqual(
            parse(PHONE).next_version().to_bytes(),
            edited("3622532974 3622532974", "3622532974 3622532975"),
        )

    def test_with_media(self) -> None:
        description = parse(PHONE)
        refused = description.with_media(0, description.media[0].rejected())
        self.assertEqual(refused.to_bytes(), PHONE[: PHONE.index(b"m=")] + b"m=audio 0 RTP/AVP 8\r\n")
        self.assertRaises(IndexError, description.with_media, 1, description.media[0])

    def test_with_connection(self) -> None:
        description = parse(EVERYTHING).with_connection(Connection.of("2001:db8::2"))
        for media in description.media:
            self.assertEqual(list(map(str, description.connections_of(media))), ["IN IP6 2001:db8::2"])

    def test_with_direction_clears_the_session(self) -> None:
        description = parse(EVERYTHING).with_direction(Direction.SENDONLY)
        self.assertEqual(description.attributes, (Attribute("tool", "x"),))
        self.assertEqual(
            [media.own_direction for media in description.media],
            [Direction.SENDONLY, None, Direction.SENDONLY],
        )

    def test_direction_keeps_its_place(self) -> None:
        data = edited("a=ptime:20\r\na=sendrecv", "a=sendrecv\r\na=ptime:20\r\na=inactive")
        description = parse(data).with_direction(Direction.RECVONLY)
        self.assertEqual(
            description.to_bytes(), edited("a=ptime:20\r\na=sendrecv", "a=recvonly\r\na=ptime:20")
        )

    def test_attributes(self) -> None:
        a, b, c = Attribute("a", "1"), Attribute("b"), Attribute("a", "2")
        description = phone(attributes=(a, b, c))
        for changed, attributes in (
            (description.adding(b, a), (a, b, c, b, a)),
            (description.without("a"), (b,)),
            (description.without("a", "b", "x"), ()),
            (description.with_attribute("a", 3), (Attribute("a", "3"), b)),
            (description.with_attribute("b", "x"), (a, Attribute("b", "x"), c)),
            (description.with_attribute("x"), (a, b, c, Attribute("x"))),
            (description.with_values("a", (4, 5)), (Attribute("a", "4"), Attribute("a", "5"), b)),
            (description.with_values("a", ()), (b,)),
        ):
            self.assertEqual(changed.attributes, attributes)

    def test_asking(self) -> None:
        description = phone(attributes=(Attribute("a"), Attribute("a", "1"), Attribute("a", "2")))
        self.assertTrue(description.has("a"))
        self.assertFalse(description.has("b"))
        self.assertEqual((description.value("a"), description.value("b")), ("1", None))
        self.assertEqual((description.values("a"), description.values("b")), (("1", "2"), ()))


class WriteTests(SynchronousTestCase):
    """Nothing is written that would read back as something else."""

    def test_refused(self) -> None:
        description = parse(PHONE)
        media = description.media[0]
        origin = description.origin
        for broken in (
            description.replace(name="x\r\na=injected"),
            description.replace(name="x\na=injected"),
            description.replace(name="x\ra=injected"),
            description.replace(name="x\0"),
            description.replace(name="\ud800"),
            description.replace(version=1),
            description.replace(times=()),
            description.replace(origin=Origin("-", "1 2", 3, "IN", "IP4", "h")),
            description.replace(origin=Origin("-", "1", -1, "IN", "IP4", "h")),
            description.replace(origin=Origin("-", "1", 1, "IN", "IP4", "")),
            description.replace(connection=Connection("IN", "IP4", "a b")),
            description.replace(connection=Connection("IN", "IP4", "h", None, 3)),
            description.replace(bandwidths=(Bandwidth("A:S", 1),)),
            description.replace(emails=("a\r\np=1",)),
            description.replace(times=(Timing(0, 0, (Repeat("7d", "1h", ()),)),)),
            description.adding(Attribute("")),
            description.adding(Attribute("a:b")),
            description.adding(Attribute("a", "b\r\nm=audio 1 RTP/AVP 0")),
            description.with_media(0, media.replace(port=65536)),
            description.with_media(0, media.replace(port=-1)),
            description.with_media(0, media.replace(kind="")),
            description.with_media(0, media.replace(protocol="RTP/AVP 0")),
            description.with_media(0, media.replace(formats=("0 8",))),
            description.with_media(0, media.replace(formats=("",))),
            description.with_media(0, media.replace(information="x\r\na=y")),
        ):
            self.assertRaises(SDPBuildError, str, broken)
            self.assertRaises(SDPBuildError, broken.to_bytes)
        self.assertIsInstance(
            self.assertRaises(SDPBuildError, description.replace(name="\0").to_bytes), ValueError
        )
        self.assertEqual(description.replace(origin=origin).to_bytes(), PHONE)

    def test_limits_are_for_reading(self) -> None:
        media = parse(PHONE).media[0]
        description = phone(media=(media,) * 20)
        self.assertEqual(description.to_bytes().count(b"m=audio"), 20)
