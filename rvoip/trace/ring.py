"""The messages of the last calls, in memory that is bounded three times: by calls, messages and octets."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final, TypedDict

import msgspec

from rvoip.common.printable import printable
from rvoip.protocols.sip.grammar import format_host_port
from rvoip.protocols.sip.message import Request
from rvoip.trace.reading import label, parties, read, readable, status_of

__all__ = ["LONGEST", "CallSummary", "LadderMessage", "MessageRing"]

LONGEST: Final = 8192
"""Octets that are kept of one message. An INVITE with everything that browsers put into it has 6,000."""

_MESSAGE_COST: Final = 200
"""Octets of memory for a message beside its own."""

_CALL_COST: Final = 400

# wall time, whether we sent it, transport, our end, the peer's end, the message, who saw it (0: we)
_Kept = tuple[float, bool, str, str, tuple[str, int], bytes, int]


class LadderMessage(TypedDict):
    """One message of a call, as the API shows it and `rvoip.trace.ladder.draw` takes it."""

    at: float
    """Wall time, seconds since 1970."""
    direction: str
    """"in" when it was received, "out" when it was sent, "seen" when another element has told of it."""
    transport: str
    """As in Via."""
    source: str
    """`host:port`, and so `destination`."""
    destination: str
    size: int
    """Octets that went over the wire, also when not all are kept."""
    summary: str
    """Method, or status and reason; printable."""
    text: str
    """The message without credentials and keys."""


class CallSummary(msgspec.Struct, frozen=True):
    """One call of which messages are kept."""

    call_id: str
    from_: str = msgspec.field(name="from")
    """URI of From in the call's first message."""
    to: str
    started: float
    """Wall time of its first message, seconds since 1970."""
    messages: int
    """How many there were; of a very long call not all are kept."""
    status: int
    """Status of the last response to the request that the call began with, 0 before there was one."""


class MessageRing:
    """Keeps the messages of the last `keep` (at least 1) Call-IDs, up to `per_call` of each.

    Of a longer call the first and the last ones are kept. When all messages take more than about
    `most_bytes` of memory, the calls that began first are forgotten. What is kept is what went over the
    wire, secrets included; they are taken out when a message is shown.
    """

    __slots__ = ("_calls", "_keep", "_left_out", "_most_bytes", "_order", "_per_call", "size")

    def __init__(self, keep: int, per_call: int = 64, most_bytes: int = 8 * 1024 * 1024) -> None:
        self._keep = keep
        self._per_call = per_call
        self._most_bytes = most_bytes
        self._calls: dict[str, list[_Kept]] = {}
        self._order: deque[str] = deque()
        self._left_out: dict[str, int] = {}
        self.size = 0
        """Octets of memory that the messages take, about."""

    def __len__(self) -> int:
        return len(self._calls)

    def resize(self, keep: int) -> None:
        """Keep the last `keep` (at least 1) calls from now on."""
        self._keep = keep
        while len(self._order) > keep:
            self._forget_oldest()

    def add(
        self,
        call_id: str,
        wall_now: float,
        outgoing: bool,
        transport: str,
        local: str,
        remote: tuple[str, int],
        data: bytes,
        node: int = 0,
    ) -> None:
        """Keep a message: `local` is our end, `host:port`, `remote` the peer's.

        `node` is the number of another element that saw it: then it went from `local` to `remote`.

        This runs for each message of a call, so it keeps what it is given and looks at nothing.
        """
        call = self._calls.get(call_id)
        if call is None:
            call = self._begin(call_id)
        size = len(data)
        if size > LONGEST:
            data = _cut(data)
            size = len(data)
        call.append((wall_now, outgoing, transport, local, remote, data, node))
        self.size += size + _MESSAGE_COST
        if len(call) > self._per_call:
            self._thin(call_id, call)
        if self.size > self._most_bytes:
            self._shrink()

    def _begin(self, call_id: str) -> list[_Kept]:
        if len(self._order) >= self._keep:
            self._forget_oldest()
        call: list[_Kept] = []
        self._calls[call_id] = call
        self._order.append(call_id)
        self.size += _CALL_COST + len(call_id)
        return call

    def _thin(self, call_id: str, call: list[_Kept]) -> None:
        """Leave one message out, from between the first ones and the last ones."""
        self.size -= len(call.pop(self._per_call // 2)[5]) + _MESSAGE_COST
        self._left_out[call_id] = self._left_out.get(call_id, 0) + 1

    def _shrink(self) -> None:
        while self.size > self._most_bytes and self._order:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        call_id = self._order.popleft()
        size = _CALL_COST + len(call_id)
        for kept in self._calls.pop(call_id):
            size += len(kept[5]) + _MESSAGE_COST
        self.size -= size
        if self._left_out:
            self._left_out.pop(call_id, None)

    # For the operator.

    def calls(self, limit: int = 100) -> list[CallSummary]:
        """Up to `limit` calls, the one that began last first."""
        return [self._summary(call_id) for call_id in islice(reversed(self._order), max(0, limit))]

    def messages(self, call_id: str) -> list[LadderMessage]:
        """The kept messages of a call in their order; none when it is not known.

        `call_id` is a Call-ID, or one as `calls` shows it: with escapes for what cannot be printed.
        """
        return list(self._shown(_seen_once(self._calls.get(self._known(call_id), []))))

    def left_out(self, call_id: str) -> int:
        """How many messages of a call are not kept: they came after the first half of `messages`."""
        return self._left_out.get(self._known(call_id), 0)

    def _known(self, call_id: str) -> str:
        if call_id not in self._calls and "\\" in call_id:
            for known in self._calls:
                if printable(known) == call_id:
                    return known
        return call_id

    def _summary(self, call_id: str) -> CallSummary:
        call = self._calls[call_id]
        first = read(call[0][5])
        from_, to = parties(first)
        status = 0
        if isinstance(first, Request):
            for kept in reversed(call):
                # What we answered, or were answered: in between there are the answers of others.
                if kept[1] != call[0][1]:
                    status = status_of(kept[5], first.method)
                    if status:
                        break
        return CallSummary(
            call_id=printable(call_id),
            from_=from_,
            to=to,
            started=call[0][0],
            messages=len(call) + self._left_out.get(call_id, 0),
            status=status,
        )

    @staticmethod
    def _shown(call: list[_Kept]) -> Iterator[LadderMessage]:
        for at, outgoing, transport, local, remote, data, node in call:
            peer = format_host_port(*remote)
            yield LadderMessage(
                at=at,
                direction="seen" if node else "out" if outgoing else "in",
                transport=transport,
                source=local if outgoing else peer,
                destination=peer if outgoing else local,
                size=_size(data),
                summary=label(read(data)),
                text=readable(data),
            )


def _cut(data: bytes) -> bytes:
    return data[:LONGEST] + b"\r\n[%d more octets]" % (len(data) - LONGEST)


def _seen_once(call: list[_Kept]) -> list[_Kept]:
    """The messages of a call in the order of time, each once though both its ends have told of it.

    What goes from one element to another is the same octets at both. Of a retransmission each end tells
    again, so of each message there are as many as the end that tells of most.
    """
    if not any(kept[6] for kept in call):
        return call
    counts: dict[tuple[bytes, int], int] = {}
    seen: set[tuple[bytes, int]] = set()
    once = []
    for kept in sorted(call, key=lambda one: (one[0], one[6])):
        data, node = kept[5], kept[6]
        number = counts[data, node] = counts.get((data, node), 0) + 1
        if (data, number) not in seen:
            seen.add((data, number))
            once.append(kept)
    return once


def _size(data: bytes) -> int:
    """How many octets a kept message had."""
    if len(data) <= LONGEST:
        return len(data)
    return LONGEST + int(data[LONGEST:].split()[0].removeprefix(b"["))
