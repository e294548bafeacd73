"""Hypothesis strategies for SIP values and messages."""

from __future__ import annotations

from hypothesis import strategies as st

from rvoip.protocols.sip.address import CSeq, NameAddr, Via
from rvoip.protocols.sip.grammar import Params, quote
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.names import COMPACT, DISPLAY, KNOWN
from rvoip.protocols.sip.uri import OpaqueURI, SipURI, TelURI, escape_user

TOKEN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~"

tokens = st.text(TOKEN, min_size=1, max_size=8)
# Any octets as the parser decodes them, without what ends a line.
octets = st.binary(max_size=12)
lines = octets.map(lambda data: data.translate(None, b"\r\n").decode("utf-8", "surrogateescape"))
# Text that may stand in a quoted-string: anything at all.
texts = st.text(max_size=8) | st.sampled_from(['"', "\\", "a, b", "<x>;y", "\x00", "\u212a", "\u2028"])
written_texts = texts.map(lambda text: text.translate({0x0A: None, 0x0D: None})).filter(
    lambda text: not any(0xD800 <= ord(char) <= 0xDFFF for char in text)
)

ports = st.none() | st.integers(0, 65535)
labels = st.from_regex(r"[a-z0-9_][a-z0-9_\-]{0,6}", fullmatch=True)
hosts = (
    st.lists(labels, min_size=1, max_size=3).map(".".join)
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(str)
)

plain_values = st.text(TOKEN + "[]:/@=$&?()", min_size=1, max_size=6)
param_values = st.none() | st.just("") | plain_values | written_texts.map(quote)


@st.composite
def params(draw: st.DrawFn, without: tuple[str, ...] = ()) -> Params:
    """Parameters of a header, names in lower case."""
    names = draw(st.lists(tokens.map(str.lower), max_size=3, unique=True))
    return {name: draw(param_values) for name in names if name not in without}


# Parts of a URI: what needs it is escaped.
users = st.text(max_size=8).map(escape_user).filter(bool) | st.text(
    "abcXYZ019-_.!~*'()&=+$,;?/#", min_size=1, max_size=8
)
uri_words = st.text("abcXYZ019-_.!~*'()[]/:&+$", min_size=1, max_size=6)
uri_pairs = st.lists(st.tuples(uri_words, st.none() | uri_words), max_size=3).map(tuple)
uri_headers = st.lists(
    st.tuples(
        st.text("abcXYZ019-", min_size=1, max_size=5),
        st.text("abc/?:+$", max_size=5)
        | st.text(max_size=5).map(escape_user).map(lambda t: t.replace("&", "%26")),
    ),
    max_size=2,
).map(tuple)
sip_uris = st.builds(
    SipURI,
    st.sampled_from(["sip", "sips"]),
    st.none() | users,
    hosts,
    ports,
    uri_pairs,
    uri_headers,
).flatmap(
    lambda uri: (
        st.just(uri)
        if uri.user is None
        else st.none().map(lambda _: uri)
        | st.text("abc&=+$,", max_size=4).map(
            lambda secret: SipURI(uri.scheme, uri.user, uri.host, uri.port, uri.params, uri.headers, secret)
        )
    )
)
tel_uris = st.builds(TelURI, st.from_regex(r"\+?[0-9][0-9\-.()]{0,8}", fullmatch=True), uri_pairs)
opaque_uris = st.builds(
    OpaqueURI,
    st.sampled_from(["http", "urn", "mailto", "X+y"]),
    st.text("abc/:?#@;,&=%0", min_size=1, max_size=10),
)
uris = sip_uris | tel_uris | opaque_uris

name_addrs = st.builds(NameAddr, uris, written_texts, params())
transports = st.sampled_from(["UDP", "TCP", "TLS", "WS", "SCTP", "X-ODD"])
vias = st.builds(Via, transports, hosts, ports, params())
cseqs = st.builds(CSeq, st.integers(0, 2**32 - 1), tokens)
methods = st.sampled_from(["INVITE", "ACK", "REGISTER", "OPTIONS"]) | tokens

_SPELLINGS = sorted(KNOWN) + [name.swapcase() for name in sorted(DISPLAY.values())]
header_names = st.sampled_from(_SPELLINGS) | tokens


@st.composite
def header_lines(draw: st.DrawFn) -> tuple[str, str]:
    """(canonical name, line) of any header but Content-Length, with any text after the colon."""
    spelled = draw(header_names)
    lowered = spelled.lower()
    name = COMPACT.get(lowered, lowered)
    if name == "content-length":
        spelled = name = "x-length"
    return name, f"{spelled}:{draw(lines)}"


@st.composite
def messages(draw: st.DrawFn) -> Request | Response:
    """A request or response with any header lines and any body."""
    headers = draw(st.lists(header_lines(), min_size=1, max_size=6))
    # A line that is only blanks after a fold would not be one; none here begins with a blank.
    names, texts_ = [name for name, _ in headers], [line for _, line in headers]
    body = draw(st.binary(max_size=30))
    if draw(st.booleans()):
        return Request(draw(methods), str(draw(uris)), names, texts_, body)
    return Response(draw(st.integers(100, 699)), draw(lines), names, texts_, body)
