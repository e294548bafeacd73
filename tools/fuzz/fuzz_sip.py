"""Feed the SIP parser with broken messages and say whether it held.

    .venv/bin/python tools/fuzz/fuzz_sip.py [--inputs 100000] [--seed 1] [--limit 0.05] [--keep FOLDER]

Each input is a message of $CONFORMANCE_DIR (if it is set) or of this file, broken by a generator that the
seed and the number of the input decide: --only N makes input N again. It is parsed, checked, read header by
header, written, answered, and cut into pieces for the stream framer. An input fails when

- an exception other than `SIPParseError` escapes,
- it takes more than --limit seconds of processor time,
- what is written of a message or of a value is read as something else,
- a message that is refused cannot be answered, or one that is accepted cannot be used,
- a stream means something else when it comes in other pieces.

Failures of one kind are reported once, cut down to what fails alone; --keep writes their octets into files.
The exit status is 1 when there were any.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from rvoip.protocols.sip.address import NameAddr, Via
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.framing import KeepAlive, StreamError, StreamFramer
from rvoip.protocols.sip.headers import HEADERS
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.mime import parse_multipart
from rvoip.protocols.sip.reader import Limits, parse_message
from rvoip.protocols.sip.uri import SipURI, equivalent, parse_uri

HANG_S = 2.0
"""Seconds of processor time after which an input is interrupted."""

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

_WIDE = Limits(message=10**7, header=10**7, headers=10**5, vias=10**5, routes=10**5)
"""Limits that let through whatever a message becomes when it is written."""

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

# Reading


class Wrong(Exception):
    """The parser did something that it must not do."""


def exercise(data: bytes, cuts: random.Random) -> None:
    """All that a server does with what comes in; raises whatever is wrong."""
    try:
        message = parse_message(data)
    except SIPParseError as error:
        answerable(error)
    else:
        read(message)
        written(message)
        try:
            check(message)
        except SIPParseError as error:
            if error.message is not message:
                raise Wrong("what check refuses is not in its error") from None
            answerable(error)
        else:
            checked(message)
    framed(data, cuts)


def answerable(error: SIPParseError) -> None:
    """A request that is refused can be answered with the status that it deserves."""
    if not 400 <= error.status < 700:
        raise Wrong(f"a refusal with status {error.status}")
    if isinstance(error.message, Request):
        try:
            answer = respond(error.message, error.status, to_tag="t")
        except SIPParseError as second:
            raise Wrong(f"it cannot be refused: {second.reason}") from None
        parse_message(answer.to_bytes(), _WIDE)


def read(message: Request | Response) -> None:
    """Every header by its type."""
    for name in {*message.names, "via", "contact", "date"}:
        with contextlib.suppress(SIPParseError):
            message.values(name)
        with contextlib.suppress(SIPParseError):
            found = message.typed(name)
            for value in found if isinstance(found, list) else [found]:
                if value is not None:
                    one(name, value)
    for ask in (
        *(
            lambda: message.via.branch,
            lambda: message.vias,
            lambda: message.from_.tag,
            lambda: message.to.uri,
        ),
        *(
            lambda: message.call_id,
            lambda: message.cseq,
            lambda: message.max_forwards,
            lambda: message.expires,
        ),
        *(
            lambda: message.content_length,
            lambda: message.option_tags("require"),
            lambda: message.content_type,
        ),
    ):
        with contextlib.suppress(SIPParseError):
            ask()
    text = message.get("content-type")
    if text is not None:
        with contextlib.suppress(SIPParseError):
            parse_multipart(text, message.body)
    if isinstance(message, Request):
        uri(message.uri_text)


def one(name: str, value: object) -> None:
    """What a value writes is read as the same value."""
    text = str(value)
    if isinstance(value, NameAddr):
        uri(value.uri_text)
    entry = HEADERS.get(name)
    if entry is None:
        return
    try:
        again = entry.parser(text)
    except SIPParseError as error:
        raise Wrong(f"{name}: {text!r} is written and not read: {error.reason}") from None
    if isinstance(value, Via) and isinstance(again, Via):
        same = (again.sent_by, again.transport, again.params) == (
            value.sent_by,
            value.transport,
            value.params,
        )
    else:
        same = str(again) == text
    if not same:
        raise Wrong(f"{name}: {text!r} is read as {str(again)!r}")


def uri(text: str) -> None:
    """A URI and all that is asked of it."""
    try:
        found = parse_uri(text)
    except SIPParseError:
        return
    again = parse_uri(str(found))
    if str(again) != str(found) or not equivalent(found, again):
        raise Wrong(f"the URI {text!r} is not equal to what it writes")
    _ = found.aor
    if isinstance(found, SipURI):
        _ = (found.user_unescaped, found.transport, found.loose, found.for_request_line().with_params(lr=""))


def written(message: Request | Response) -> None:
    """What is written is read as the same message, line by line."""
    octets = message.to_bytes()
    try:
        again = parse_message(octets, _WIDE)
    except SIPParseError as error:
        raise Wrong(f"what was written is not read: {error.reason}") from None
    if (again.names, again.lines, again.start_line) != (message.names, message.lines, message.start_line):
        raise Wrong("what was written is read as other lines")
    if again.body != message.body:
        raise Wrong("what was written has another body")
    if octets.partition(b"\r\n\r\n")[0].count(b"\n") != len(message.lines):
        raise Wrong("a line became two")


def checked(message: Request | Response) -> None:
    """What elements do with what they accept."""
    try:
        _ = (message.via.sent_by, message.from_.tag, message.to.tag, message.call_id, message.cseq.number)
        if isinstance(message, Request):
            _ = message.uri
            serve(message.copy())
    except SIPParseError as error:
        raise Wrong(f"what was accepted cannot be used: {error.reason}") from None


def serve(request: Request) -> None:
    """Stamp a request as the transport does, forward it, and answer it."""
    vias = request.get_all("via")
    request.stamp_via("2001:db8::7", 5070)
    stamped = request.get_all("via")
    request.insert("via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx")
    request.remove_first_value("via")
    forwarded = parse_message(request.to_bytes(), _WIDE)
    if forwarded.get_all("via") != stamped or len(stamped) != len(vias):
        raise Wrong("a Via was changed by one that was put before it")
    received = forwarded.via.received
    if received not in (None, "2001:db8::7") or (received is None and forwarded.via.host != "2001:db8::7"):
        raise Wrong(f"the stamped Via says received={received}")
    response = parse_message(respond(request, 200, to_tag="t").to_bytes(), _WIDE)
    check(response, _WIDE)
    if response.get_all("via") != stamped:
        raise Wrong("the response has other Via values")


def framed(data: bytes, cuts: random.Random) -> None:
    """A stream means the same in one piece and in many."""
    whole = frames([data])
    for style in (1, 40, 2000):
        if style == 1 and len(data) > 3000:
            continue
        if frames(list(pieces(data, style, cuts))) != whole:
            raise Wrong(f"a stream in pieces of up to {style} octets is read as something else")
    for frame in whole[0][:100]:  # a stream of ten thousand tiny messages would only measure their number
        if isinstance(frame, bytes):
            with contextlib.suppress(SIPParseError):
                parse_message(frame)


def pieces(data: bytes, most: int, cuts: random.Random) -> Iterator[bytes]:
    """`data` in pieces of random size."""
    start = 0
    while start < len(data):
        end = start + cuts.randint(1, most)
        yield data[start:end]
        start = end


def frames(parts: list[bytes]) -> tuple[list[bytes | KeepAlive], int | None]:
    """The messages in the stream, and the status of the error that ended it."""
    framer = StreamFramer()
    found: list[bytes | KeepAlive] = []
    for part in parts:
        try:
            found += framer.receive(part)
        except StreamError as error:
            answerable(error)
            return found + error.completed, error.status
        if framer.pending > 2 * 65_536:
            raise Wrong(f"the framer holds {framer.pending} octets")
    return found, None


# Running


class Hang(BaseException):
    """An input took so long that it was interrupted."""


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise Hang


def trouble(data: bytes, seed: int, limit: float) -> str | None:
    """What is wrong with an input, in a line whose beginning tells kinds apart; None when nothing is."""
    try:
        taken = cpu_time(data, seed)
        if taken > limit:
            # A machine has its moments: the best of three counts.
            taken = min(taken, cpu_time(data, seed), cpu_time(data, seed))
    except Hang:
        return f"hang: more than {HANG_S} s"
    except Wrong as wrong:
        return f"wrong: {wrong}"
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}: {error}"
    return f"slow: {taken * 1000:.0f} ms" if taken > limit else None


def cpu_time(data: bytes, seed: int) -> float:
    """Seconds of processor time that an input takes."""
    cuts = random.Random(seed)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    gc.disable()
    start = time.thread_time()
    try:
        exercise(data, cuts)
    finally:
        taken = time.thread_time() - start
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        gc.enable()
    return taken


def kind_of(line: str) -> str:
    """What stays the same of a failure when the input shrinks."""
    return line.partition(":")[0] if line.startswith(("hang", "slow")) else line[:60].partition("'")[0]


def shrink(data: bytes, seed: int, limit: float, kind: str, budget: int = 400) -> bytes:
    """A smaller input that fails in the same way."""
    step = len(data) // 2
    while step and budget > 0:
        start = 0
        while start < len(data) and budget > 0:
            shorter = data[:start] + data[start + step :]
            budget -= 1
            line = trouble(shorter, seed, limit)
            if line is not None and kind_of(line) == kind:
                data = shorter
            else:
                start += step
        step //= 2
    return data


def run(inputs: int, seed: int, limit: float, only: int | None = None, keep: Path | None = None) -> list[str]:
    """Try the inputs; returns a report a kind of failure."""
    messages = corpus()
    previous = signal.signal(signal.SIGVTALRM, _interrupt)
    found: dict[str, str] = {}
    try:
        for number in range(inputs) if only is None else [only]:
            data = make(seed, number, messages)
            line = trouble(data, seed, limit)
            if line is None or kind_of(line) in found:
                continue
            small = shrink(data, seed, limit, kind_of(line))
            found[kind_of(line)] = f"input {number} of seed {seed}: {line}\n    {small[:2000]!r}"
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{seed}-{number}.sip").write_bytes(small)
    finally:
        signal.signal(signal.SIGVTALRM, previous)
    return list(found.values())


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Feed the SIP parser with broken messages.")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=0.05, help="seconds of processor time an input")
    parser.add_argument("--only", type=int, help="try this input alone")
    parser.add_argument("--keep", type=Path, help="write failing inputs into this folder")
    chosen = parser.parse_args(arguments)
    began = time.perf_counter()
    failures = run(chosen.inputs, chosen.seed, chosen.limit, chosen.only, chosen.keep)
    took = time.perf_counter() - began
    for failure in failures:
        print(failure)
    count = 1 if chosen.only is not None else chosen.inputs
    print(f"fuzz_sip: {count} inputs of seed {chosen.seed} in {took:.0f} s, {len(failures)} kinds of failure")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
