"""Feed the SDP parser with broken descriptions and say whether anything but `SDPError` got out.

    .venv/bin/python tools/fuzz/fuzz_sdp.py [--count 100000] [--seed 1] [--limit 0.05]

With atheris installed it searches by coverage (--count inputs, 0 for no end); without, it mutates
descriptions by a seeded generator, so that a failure can be had again. The seeds are those of
$CONFORMANCE_DIR, if it is set, and a few of its own. An input fails when an exception other than `SDPError`
escapes, when what was read is not written and read as the same, or when it takes more than --limit seconds of
processor time. The failing input is printed; the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

atheris: Any = None
try:
    atheris = importlib.import_module("atheris")
except ImportError:
    pass

with atheris.instrument_imports(include=["rvoip"]) if atheris else contextlib.nullcontext():
    from rvoip.protocols.sdp.compare import equivalent
    from rvoip.protocols.sdp.errors import SDPError
    from rvoip.protocols.sdp.problems import problems
    from rvoip.protocols.sdp.session import Limits, parse

PHONE = b"""v=0\r
o=- 3622532974 3622532974 IN IP4 192.0.2.1\r
s=-\r
i=x\r
u=http://example.com/\r
e=a@example.com\r
p=+1 617 555-6011\r
c=IN IP4 233.252.0.1/127/3\r
b=AS:64\r
t=2873397496 2873404696\r
r=7d 1h 0 25h\r
z=2882844526 -1h 2898848070 0\r
k=prompt\r
a=group:BUNDLE a\r
a=fingerprint:sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB\r
m=audio 10018/2 RTP/SAVPF 8 0 101\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-15\r
a=ptime:20\r
a=mid:a\r
a=rtcp:53020 IN IP6 2001:db8::1\r
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r
a=candidate:1 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 10.0.1.1 rport 8998 generation 0\r
a=extmap:1/sendonly urn:ietf:params:rtp-hdrext:toffset x\r
a=rtcp-fb:* nack pli\r
a=ssrc:1399694169 cname:x\r
a=ssrc-group:FID 1 2\r
a=rid:1 send pt=97,98;max-width=1280\r
a=simulcast:send 1,~4;2 recv c\r
a=setup:actpass\r
a=sctp-port:5000\r
a=msid:a b\r
a=sendrecv\r
"""
PIECES = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"  ",
    b"=",
    b":",
    b"/",
    b";",
    b",",
    b"|",
    b"a=",
    b"m=audio 1 RTP/AVP 0\r\n",
    b"c=IN IP4 0.0.0.0\r\n",
    b"t=0 0\r\n",
    b"0",
    b"-1",
    b"1_0",
    b"65536",
    b"9" * 40,
    b"9" * 5000,
    "\u0661".encode(),
    "\u00b2".encode(),
    "\u2028".encode(),
    b"\x0b",
    b"\x1c",
    b"\xff",
)
WIDE = Limits(octets=10 * 65536, lines=20_000, media=1000, attributes=20_000)


def seeds() -> list[bytes]:
    """Descriptions to start from."""
    found = [PHONE]
    folder = os.environ.get("CONFORMANCE_DIR")
    if folder:
        found += [path.read_bytes() for path in sorted(Path(folder, "sdp").glob("*/*.sdp"))]
    return found


def mutate(source: random.Random, corpus: list[bytes]) -> bytes:
    """A description with one to eight changes: octets, pieces, lines and halves of others."""
    data = bytearray(source.choice(corpus))
    for _ in range(source.randint(1, 8)):
        at = source.randrange(len(data) + 1)
        end = min(len(data), at + source.choice((1, 1, 2, 8, 40)))
        kind = source.randrange(6)
        if kind == 0:
            data[at:end] = b""
        elif kind == 1:
            data[at:at] = source.choice(PIECES)
        elif kind == 2:
            data[at:end] = source.choice(PIECES)
        elif kind == 3 and at < len(data):
            data[at] ^= 1 << source.randrange(8)
        elif kind == 4:
            lines = data.split(b"\n")
            one, two = source.randrange(len(lines)), source.randrange(len(lines))
            lines[one], lines[two] = lines[two], lines[one]
            data = bytearray(b"\n".join(lines))
        else:
            other = source.choice(corpus)
            data[at:] = other[source.randrange(len(other)) :]
    return bytes(data)


def check(data: bytes) -> None:
    """Read, write, compare and ask; whatever is wrong raises."""
    try:
        description = parse(data)
    except SDPError:
        with contextlib.suppress(SDPError):
            parse(data.decode("latin-1"), strict=True)
        return
    written = description.to_bytes()
    if parse(written, WIDE) != description:
        raise AssertionError("what was written is read as something else")
    if not equivalent(description, parse(written, WIDE)):
        raise AssertionError("a description is not equivalent to itself")
    problems(description)
    for media in description.media:
        for name in dir(type(media)):
            if isinstance(getattr(type(media), name), property):
                getattr(media, name)
        description.holds(media)
        description.held(media)


def timed_check(data: bytes, limit: float) -> None:
    """`check` within that much processor time."""
    start = time.thread_time()
    check(data)
    took = time.thread_time() - start
    if took > limit:
        raise AssertionError(f"it took {took:.3f} s")


def mutation_run(count: int, seed: int, limit: float) -> int:
    """Seeded mutation; the exit status."""
    source = random.Random(seed)
    corpus = seeds()
    for number in range(count):
        data = mutate(source, corpus)
        try:
            timed_check(data, limit)
        except Exception as error:
            print(f"input {number} of seed {seed}: {error!r}\n{data!r}")
            return 1
    print(f"{count} inputs of seed {seed} from {len(corpus)} descriptions: no failure")
    return 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=0.05)
    arguments = parser.parse_args()
    if atheris is None:
        return mutation_run(arguments.count, arguments.seed, arguments.limit)
    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(seeds()):
            Path(corpus, f"{number}.sdp").write_bytes(data)
        options = [f"-atheris_runs={arguments.count}", f"-seed={arguments.seed}", "-max_len=65536"]
        options += [f"-artifact_prefix={tempfile.gettempdir()}/", corpus]
        atheris.Setup([sys.argv[0], *options], lambda data: timed_check(data, arguments.limit))
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
