"""Broken SIP messages for `fuzz_sip.py`: what they are made of, and the ways in which they are broken."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

from rvoip.protocols.sip.headers import HEADERS

__all__ = ["corpus", "make"]

CALL = b"""INVITE sips:b%61b:pw@[2001:db8::9:1]:5061;transport=tls;lr;x=%2c SIP/2.0\r
Via: SIP/2.0/TLS pc33.example.com:5061;branch=z9hG4bKnashds8;rport;received=192.0.2.1, \
SIP / 2.0 / UDP [::1] ; a="b;c"\r
v: SIP/2.0/TCP 192.0.2.7\r
Route: <sip:p1.example.com;lr>,\r
 "Proxy, \\"two\\"" <sip:192.0.2.2:5070;lr>;x\r
Max-Forwards: 70\r
From: "Alice \\"A\\" \xe4\xb8\xad" <sip:alice@example.com;user=phone?Subject=x%20y>;tag=1928301774\r
t: sip:bob@example.com;tag=a\r
Call-ID: a84b4c76e66710@pc33.example.com\r
CSeq: 314159 INVITE\r
Contact: <sip:alice@192.0.2.4:5066;gr=urn:uuid:1>;q=0.7;expires=3600;+sip.instance="<urn:uuid:1>", \
tel:+1-555\r
Proxy-Authorization: Digest username="al\\"ice", realm="example.com", nonce="abc,=", uri="sip:b", \
response="00000000000000000000000000000000", algorithm=SHA-256, qop=auth, nc=00000001, cnonce="x"\r
P-Asserted-Identity: "A" <sip:a@example.com>, <tel:+15551234567;phone-context=+1>\r
Session-Expires: 1800;refresher=uac\r
Replaces: x@y;to-tag=1;from-tag=2;early-only\r
Content-Type: multipart/mixed;boundary="b-1"\r
Content-Length: 94\r
\r
--b-1\r
Content-Type: application/sdp\r
\r
v=0\r
\r
--b-1\r
Content-Type: text/plain\r
\r
x\r
--b-1--\r
"""
REGISTER = b"""REGISTER sip:example.com SIP/2.0\r
Via: SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bK1;rport\r
From: <sip:a@example.com>;tag=1\r
To: <sip:a@example.com>\r
Call-ID: 1\r
CSeq: 2 REGISTER\r
Contact: *\r
Expires: 0\r
Authorization: Digest username="a", realm="r", nonce="n", uri="sip:example.com", response="0"\r
l: 0\r
\r
"""
CHALLENGE = b"""SIP/2.0 401 Unauthorized\r
Via: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bK1;rport=5060;received=192.0.2.4\r
From: <sip:a@example.com>;tag=1\r
To: <sip:a@example.com>;tag=2\r
Call-ID: 1\r
CSeq: 2 REGISTER\r
WWW-Authenticate: Digest realm="r", nonce="n", qop="auth,auth-int", algorithm=MD5, stale=true, \
opaque="", domain="sip:x"\r
WWW-Authenticate: Digest realm="r", nonce="n", algorithm=SHA-512-256\r
Warning: 370 devnull "Choose \\"one\\""\r
Date: Sat, 13 Nov 2010 23:29:00 GMT\r
Retry-After: 18000 (in \\(a\\) meeting (really));duration=3600\r
Content-Length: 0\r
\r
"""
VALUES = """
Accept: application/sdp;level=1;q=0.5, text/*, */*;q=0.01
Accept-Contact: *;audio;require;class="<business>"
Accept-Encoding: gzip;q=1.0, identity
Accept-Language: da, en-gb;q=0.8
Accept-Resource-Priority: dsn.flash-override, wps.0
Alert-Info: <http://www.example.com/sounds/moo.wav>;info=alert-autoanswer
Allow: INVITE, ACK, OPTIONS
Allow-Events: presence, message-summary.winfo
Authentication-Info: qop=auth, rspauth="6629fae49393a05397450978507c4ef1", cnonce="0a4f113b", nc=00000001
Call-Info: <http://example.com/alice/photo.jpg> ;purpose=icon, <cid:1>
Content-Disposition: session;handling=optional
Content-Encoding: gzip
Content-Language: fr
Diversion: "x" <sip:a@b>;reason=unconditional;counter=1;privacy=off
Event: presence.winfo;id=1
Feature-Caps: *;+sip.616
Geolocation: <cid:target123@example.com>
History-Info: <sip:a@b?Reason=SIP%3Bcause%3D302>;index=1.1;rc=1
Identity: eyJ.eyJ.sig;info=<https://example.com/a.crt>;alg=ES256
In-Reply-To: 70710@saturn.example.com, 17320@saturn.example.com
Info-Package: foo
Max-Breadth: 60
MIME-Version: 1.0
Min-Expires: 60
Min-SE: 90
P-Associated-URI: <sip:a@b>
Path: <sip:p@example.com;lr;ob>
Privacy: id;header
RAck: 776656 1 INVITE
Reason: SIP ;cause=200 ;text="Call completed elsewhere", Q.850;cause=16
Record-Route: <sip:p1.example.com;lr;ftag=1>
Refer-To: <sip:d@e?Replaces=12345%40192.0.2.9%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE>
Referred-By: <sip:r@example.com>;cid="20398823.2UWQFN309shb3@example.com"
Remote-Party-ID: "A" <sip:a@b>;party=calling;privacy=full
Resource-Priority: dsn.flash
RSeq: 988789
Security-Client: digest, ipsec-3gpp;q=0.1;alg=hmac-sha-1-96
Session-ID: ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2
SIP-ETag: kwj449x
Subscription-State: active;expires=600000;retry-after=1;reason=noresource
Supported: 100rel, path,
Target-Dialog: x;local-tag=1;remote-tag=2
Timestamp: 54.21 0.3
User-to-User: 56a390;encoding=hex
X-Unknown: any = "thing" <x>
""".strip().split("\n")
"""A value of each header that is read, which `broad` puts into messages."""

NUMBERS = (
    *(b"0", b"-1", b"+1", b"1_0", b"00000000000000000001", b"65535", b"65536", b"2147483648", b"4294967295"),
    *(
        b"4294967296",
        b"18446744073709551616",
        b"9" * 20,
        b"9" * 5000,
        b"0x10",
        b"1e9",
        b"1.5",
        b"0.1234",
        b"",
    ),
    *("\u0661\u0662".encode(), "\u00b2".encode(), "\uff11".encode(), b"NaN", b"inf"),
)
PIECES = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n ",
        b"\r\n\t",
        b"\r\n\r\n",
        b"\n\n",
        b"\0",
        b"\x0b",
        b"\x0c",
        b"\x1c",
        b"\x7f",
    ),
    *("\u0085".encode(), "\u2028".encode(), "\u00a0".encode(), "\ufeff".encode(), "\u212a".encode(), b"\xff"),
    *(b"\xc3", b"\xed\xa0\x80", b" ", b"\t", b"  ", b'"', b'\\"', b"\\", b"'", b"<", b">", b"<>", b"[", b"]"),
    *(
        b"(",
        b")",
        b",",
        b",,",
        b";",
        b";;",
        b":",
        b"::",
        b"=",
        b"==",
        b"@",
        b"?",
        b"&",
        b"%",
        b"%0d%0a",
        b"%00",
    ),
    *(b"%zz", b"%25", b"/", b"*", b"//", b"..", b"SIP/2.0", b"sip:", b"sips:", b"tel:", b"mailto:x", b";lr"),
    *(b";tag=", b";branch=", b";branch=z9hG4bK", b";rport=1", b";received=::1", b";maddr=224.0.0.1", b";q=2"),
    *(
        b"Content-Length: 7\r\n",
        b"l:0\r\n",
        b"Content-Length : 1\r\n",
        b"Via: x\r\n",
        b"CSeq: 1 ACK\r\n",
        b"[::1]",
    ),
    *(
        b"Content-Type: multipart/mixed;boundary=x\r\n",
        b"--x\r\n",
        b"--b-1\r\n",
        b"::ffff:1.2.3.4",
        b"Digest ",
    ),
)
REPEATED = (
    b"A",
    b"0",
    b" ",
    b"\t",
    b",",
    b";",
    b"<",
    b'"',
    b"\\",
    b"(",
    b"[",
    b"%41",
    b";a=b",
    b"a,",
    b"\r\n ",
    b'""',
    b"\xff",
)


def corpus() -> list[bytes]:
    """Messages to start from."""
    found = [CALL, REGISTER, CHALLENGE]
    half = len(VALUES) // 2
    found += [broad(VALUES[:half]), broad(VALUES[half:])]
    folder = os.environ.get("CONFORMANCE_DIR")
    if folder:
        found += [path.read_bytes() for path in sorted(Path(folder, "sip").rglob("*.dat"))]
        found += [path.read_bytes() for path in sorted(Path(folder, "sip").rglob("*.sip"))]
    return found


def broad(values: list[str]) -> bytes:
    """A request with all these header lines."""
    return REGISTER[:-2] + "".join(f"{value}\r\n" for value in values).encode() + b"\r\n"


# Breaking


def make(seed: int, number: int, messages: list[bytes]) -> bytes:
    """Input `number`."""
    source = random.Random(f"{seed}:{number}")
    data = bytearray(source.choice(messages))
    for _ in range(source.choice((1, 1, 2, 2, 3, 5, 8))):
        data = source.choice(_CHANGES)(source, data, messages)
    return bytes(data[:70_000])


def _place(source: random.Random, data: bytearray) -> slice:
    start = source.randrange(len(data) + 1)
    return slice(start, min(len(data), start + source.choice((0, 1, 1, 2, 8, 40))))


def _octet(source: random.Random, data: bytearray, messages: list[bytes]) -> bytearray:
    data[_place(source, data)] = source.randbytes(source.choice((0, 1, 1, 2)))
    return data


def _piece(source: random.Random, data: bytearray, messages: list[bytes]) -> bytearray:
    data[_place(source, data)] = source.choice(PIECES)
    return data


def _repetition(source: random.Random, data: bytearray, messages: list[bytes]) -> bytearray:
    data[_place(source, data)] = source.choice(REPEATED) * source.choice((2, 10, 100, 1000, 10_000))
    return data


def _number(source: random.Random, data: bytearray, messages: list[bytes]) -> bytearray:
    places = [index for index, octet in enumerate(data) if 0x30 <= octet <= 0x39]
    if places:
        start = end = source.choice(places)
        while end < len(data) and 0x30 <= data[end] <= 0x39:
            end += 1
        data[start:end] = source.choice(NUMBERS)
    return data


def _lines(source: random.Random, data: bytearray, messages: list[bytes]) -> bytearray:
    lines = data.split(b"\r\n")
    one, two = source.randrange(len(lines)), source.randrange(len(lines))
    kind = source.randrange(5)
    if kind == 0:
        lines[one], lines[two] = lines[two], lines[one]
    elif kind == 1:
        lines.insert(two, lines[one])
    elif kind == 2:
        del lines[one]
    elif kind == 3:
        lines[one:one] = [lines[one]] * source.choice((2, 40, 300))
    else:
        # The value of one header under the name of another.
        name = source.choice(list(HEADERS)).encode()
        lines[one] = bytearray(name + b":" + bytes(lines[one].partition(b":")[2]))
    return bytearray(b"\r\n".join(lines))


def _value(source: random.Random, data: bytearray, messages: list[bytes]) -> bytearray:
    lines = data.split(b"\r\n")
    lines.insert(source.randrange(1, len(lines) + 1), bytearray(source.choice(VALUES).encode()))
    return bytearray(b"\r\n".join(lines))


def _other(source: random.Random, data: bytearray, messages: list[bytes]) -> bytearray:
    other = source.choice(messages)
    data[source.randrange(len(data) + 1) :] = other[source.randrange(len(other) + 1) :]
    return data


def _repeated_range(source: random.Random, data: bytearray, messages: list[bytes]) -> bytearray:
    place = _place(source, data)
    data[place.stop : place.stop] = data[place] * source.choice((1, 2, 30, 500))
    return data


def _line_ends(source: random.Random, data: bytearray, messages: list[bytes]) -> bytearray:
    return data.replace(b"\r\n", source.choice((b"\n", b"\r", b"\n\r", b"\r\n\r\n")))


_CHANGES: tuple[Callable[[random.Random, bytearray, list[bytes]], bytearray], ...] = (
    *(_octet, _octet, _piece, _piece, _piece, _piece, _repetition, _number, _number, _lines, _lines),
    *(_value, _other, _repeated_range, _line_ends),
)
