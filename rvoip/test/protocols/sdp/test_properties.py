"""For any value and any text: reading is the inverse of writing, and nothing but `SDPError` gets out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.compare import equivalent
from rvoip.protocols.sdp.direction import Direction
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.formats import ExtMap, Fmtp, RtcpFeedback, RtpMap
from rvoip.protocols.sdp.ice import Candidate
from rvoip.protocols.sdp.lines import Bandwidth, Connection, Origin, Repeat, Timing, ZoneAdjustment
from rvoip.protocols.sdp.media import Media
from rvoip.protocols.sdp.problems import MEDIA_LEVEL, SESSION_LEVEL, problems
from rvoip.protocols.sdp.security import Crypto, CryptoKey, Fingerprint
from rvoip.protocols.sdp.session import SessionDescription, parse
from rvoip.protocols.sdp.streams import Group, Msid, Rid, Simulcast, SimulcastStream, SsrcAttribute, SsrcGroup
from rvoip.protocols.sdp.transport import Rtcp, SctpMap, Setup
from rvoip.test.protocols.sdp.samples import BROWSER, EVERYTHING, PHONE

derandomized = settings(derandomize=True, deadline=None, max_examples=100)
fewer = settings(derandomize=True, deadline=None, max_examples=40)

numbers = st.integers(0, 2**64 - 1)
ports = st.integers(0, 65535)
tokens = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="/:;=,|~"),
    min_size=1,
    max_size=8,
)
# Any text of a line, with the octets that are not UTF-8 as surrogate escapes.
texts = st.binary(max_size=20).map(
    lambda octets: octets.translate(None, b"\r\n\0").decode("utf-8", "surrogateescape")
)
printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)
typed_times = st.from_regex(r"-?[0-9]{1,9}[dhms]?", fullmatch=True)


def tuples(of: st.SearchStrategy[Any], low: int = 0, high: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, min_size=low, max_size=high).map(tuple)


def maybe(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | of


origins = st.builds(
    Origin, tokens | st.just("two words"), tokens, numbers, tokens, tokens, tokens
) | st.builds(Origin, st.just(""), numbers.map(str), numbers, tokens, tokens, tokens)
connections = (
    st.builds(Connection, st.just("IN"), st.just("IP4"), tokens, maybe(st.integers(0, 255)))
    | st.builds(Connection, st.just("IN"), st.just("IP4"), tokens, st.integers(0, 255), st.integers(1, 65535))
    | st.builds(Connection, st.just("IN"), st.just("IP6"), tokens, st.none(), maybe(st.integers(1, 65535)))
    | st.builds(Connection, st.just("PSTN"), tokens, printable)
)
bandwidths = st.builds(Bandwidth, tokens, numbers)
repeats = st.builds(Repeat, typed_times, typed_times, tuples(typed_times, 1))
zones = st.builds(ZoneAdjustment, numbers, typed_times)
times = st.builds(Timing, numbers, numbers, tuples(repeats), tuples(zones))
streams = tuples(
    tuples(
        st.builds(SimulcastStream, st.from_regex("[A-Za-z0-9_-]+", fullmatch=True), st.booleans()),
        1,
    ),
    1,
)
keys = st.builds(
    CryptoKey,
    st.binary(min_size=1, max_size=40),
    maybe(st.from_regex(r"2\^[0-9]{1,2}|[0-9]{1,9}", fullmatch=True)),
) | st.builds(
    CryptoKey, st.binary(min_size=30, max_size=30), st.none() | st.just("2^20"), numbers, st.integers(1, 128)
)

VALUES: dict[Callable[[str], object], st.SearchStrategy[object]] = {
    Origin.parse: origins,
    Connection.parse: connections,
    Bandwidth.parse: bandwidths,
    Repeat.parse: repeats,
    Timing.parse: st.builds(Timing, numbers, numbers),
    RtpMap.parse: st.builds(RtpMap, st.integers(0, 127), tokens, st.none())
    | st.builds(RtpMap, st.integers(0, 127), tokens, st.integers(1, 2**32 - 1), maybe(tokens)),
    Fmtp.parse: st.builds(Fmtp, tokens, st.lists(printable, min_size=1).map(" ".join)),
    RtcpFeedback.parse: st.builds(
        RtcpFeedback, tokens, tokens, maybe(st.lists(printable, min_size=1).map(" ".join))
    ),
    ExtMap.parse: st.builds(
        ExtMap,
        st.integers(1, 4351),
        printable,
        maybe(st.sampled_from(Direction)),
        maybe(st.lists(printable, min_size=1).map(" ".join)),
    ),
    Candidate.parse: st.builds(
        Candidate,
        printable,
        st.integers(1, 256),
        tokens,
        st.integers(1, 2**31 - 1),
        printable,
        ports,
        tokens,
        maybe(printable),
        maybe(ports),
        maybe(tokens),
        tuples(st.tuples(tokens.filter(lambda name: name not in ("raddr", "rport", "tcptype")), printable)),
    ),
    Fingerprint.parse: st.builds(Fingerprint, st.just("sha-x"), st.binary(min_size=1, max_size=64))
    | st.builds(Fingerprint, st.just("sha-256"), st.binary(min_size=32, max_size=32)),
    Crypto.parse: st.builds(
        Crypto, st.integers(0, 999_999_999), st.just("X"), tuples(keys, 1), tuples(tokens)
    )
    | st.builds(
        Crypto,
        st.integers(0, 999_999_999),
        st.just("AES_CM_128_HMAC_SHA1_80"),
        tuples(st.builds(CryptoKey, st.binary(min_size=30, max_size=30)), 1),
    ),
    SsrcAttribute.parse: st.builds(SsrcAttribute, st.integers(0, 2**32 - 1), tokens, maybe(texts)),
    SsrcGroup.parse: st.builds(SsrcGroup, tokens, tuples(st.integers(0, 2**32 - 1))),
    Msid.parse: st.builds(Msid, printable, maybe(printable)),
    Group.parse: st.builds(Group, tokens, tuples(printable)),
    Rid.parse: st.builds(
        Rid,
        tokens,
        st.sampled_from(["send", "recv"]),
        tuples(tokens),
        tuples(st.tuples(tokens.filter(lambda name: name != "pt"), st.just("") | tokens)),
    ),
    Simulcast.parse: st.builds(Simulcast, streams, st.just(()) | streams)
    | st.builds(Simulcast, st.just(()), streams),
    Rtcp.parse: st.builds(Rtcp, ports, maybe(connections)),
    SctpMap.parse: st.builds(SctpMap, ports, tokens, maybe(ports)),
    Setup.parse: st.sampled_from(Setup),
    Attribute.parse: st.builds(Attribute, tokens, maybe(texts)),
    Media.parse: st.builds(Media, tokens, ports, printable, tuples(printable), maybe(st.integers(1, 65535))),
}

attributes = st.builds(Attribute, tokens, maybe(texts)) | st.sampled_from(
    [a for d in (PHONE, BROWSER) for m in parse(d).media for a in m.attributes]
)
media = st.builds(
    Media,
    tokens,
    ports,
    printable,
    tuples(printable),
    maybe(st.integers(1, 65535)),
    maybe(texts),
    tuples(connections),
    tuples(bandwidths),
    maybe(texts),
    tuples(attributes, 0, 6),
)
descriptions = st.builds(
    SessionDescription,
    origins,
    texts,
    maybe(texts),
    maybe(texts),
    tuples(texts),
    tuples(texts),
    maybe(connections),
    tuples(bandwidths),
    tuples(times, 1),
    maybe(texts),
    tuples(attributes),
    tuples(media),
)

# What looks a little like the value of an attribute.
fielded = st.from_regex(r"[0-9a-z ]{0,9}([ :;/|=,][0-9A-Za-z.]{0,9}){0,8}", fullmatch=True)

# Descriptions with a few octets changed, moved or taken away.
mutated = st.builds(
    lambda data, cuts, insert: data[: cuts[0]] + insert + data[cuts[1] :],
    st.sampled_from([PHONE, BROWSER, EVERYTHING]),
    st.tuples(st.integers(0, 900), st.integers(0, 900)),
    st.binary(max_size=6)
    | st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b"m=", b"\r\nm=audio 1 RTP/AVP 0\r\n", b"=", b":"]),
)


class ValueTests(SynchronousTestCase):
    """Written and read again."""

    def test_values(self) -> None:
        for reader, values in VALUES.items():
            self.check(reader, values)

    def check(self, reader: Callable[[str], object], values: st.SearchStrategy[object]) -> None:
        @given(values)
        @fewer
        def written_and_read(value: object) -> None:
            self.assertEqual(reader(str(value)), value)

        written_and_read()

    @given(descriptions)
    @derandomized
    def test_descriptions(self, description: SessionDescription) -> None:
        data = description.to_bytes()
        self.assertEqual(parse(data), description)
        self.assertEqual(parse(str(description)), description)
        self.assertEqual(parse(data).to_bytes(), data)
        self.assertEqual(parse(data.replace(b"\r\n", b"\n")), description)
        self.assertTrue(
            equivalent(description, parse(data).next_version())
            or description.origin.session_version == 2**64 - 1
        )

    @given(descriptions, st.randoms(use_true_random=False))
    @derandomized
    def test_the_order_of_attributes_does_not_matter(
        self, description: SessionDescription, random: Any
    ) -> None:
        shuffled = []
        for section in description.media:
            others = [
                a for a in section.attributes if a.name != "crypto" and a.name not in ("sendrecv", "recvonly")
            ]
            turned = list(others)
            random.shuffle(turned)
            shuffled.append(
                (section.replace(attributes=tuple(others)), section.replace(attributes=tuple(turned)))
            )
        one = description.replace(media=tuple(a for a, _ in shuffled))
        two = description.replace(media=tuple(b for _, b in shuffled))
        self.assertTrue(equivalent(one, two))


class TextTests(SynchronousTestCase):
    """Read, whatever it is."""

    def check(self, data: bytes | str) -> None:
        """What is read is written and read again as the same; what is not raises `SDPError`."""
        try:
            description = parse(data)
        except SDPError:
            return
        self.assertEqual(parse(description.to_bytes()), description)
        problems(description)
        self.assertTrue(equivalent(description, description))
        for section in description.media:
            for accessor in (
                "codecs",
                "payload_types",
                "ptime",
                "candidates",
                "cryptos",
                "simulcast",
                "sctp_port",
            ):
                getattr(section, accessor)
            description.holds(section)

    @given(mutated)
    @settings(derandomize=True, deadline=None, max_examples=1000)
    def test_nearly_a_description(self, data: bytes) -> None:
        self.check(data)
        self.check(data.decode("latin-1"))

    @given(st.binary(max_size=200))
    @derandomized
    def test_anything(self, data: bytes) -> None:
        self.check(data)
        self.check(b"v=0\r\no=- 1 1 IN IP4 h\r\n" + data)

    @given(st.text(max_size=200))
    @derandomized
    def test_any_text(self, text: str) -> None:
        self.check(text)
        self.check("v=0\r\no=- 1 1 IN IP4 h\r\n" + text)

    def test_any_value(self) -> None:
        for reader in {*VALUES, *MEDIA_LEVEL.values(), *SESSION_LEVEL.values(), ZoneAdjustment.parse_all}:
            self.check_reader(reader)

    def check_reader(self, reader: Callable[[str], object]) -> None:
        @given(st.text(max_size=40) | fielded)
        @fewer
        def read(text: str) -> None:
            try:
                value = reader(text)
            except SDPError:
                return
            if not isinstance(value, tuple | int | float):
                self.assertEqual(reader(str(value)), value)

        read()
