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
import random
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from sip_inputs import corpus, make

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

_WIDE = Limits(message=10**7, header=10**7, headers=10**5, vias=10**5, routes=10**5)
"""Limits that let through whatever a message becomes when it is written."""


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
