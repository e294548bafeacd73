"""REGISTERs for tests, and what they are answered."""

from __future__ import annotations

from itertools import count

from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.registrar.binding import Applied, Change
from rvoip.registrar.registrar import Registrar
from rvoip.registrar.settings import RegistrarSettings
from rvoip.registrar.stores.memory import MemoryStore

WALL = 1_300_000_000.5
"""Wall time of the tests: Sun, 13 Mar 2011 07:06:40 GMT."""


def request_of(text: str | bytes) -> Request:
    """The request in `text`, as it comes from the transport."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    message = parse_message(data)
    assert isinstance(message, Request)
    check(message)
    return message


def register(
    *headers: str,
    aor: str = "bob@example.test",
    call_id: str = "call-1",
    cseq: int = 1,
    via: tuple[str, ...] = ("SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bK1",),
    to: str | None = None,
) -> Request:
    """A REGISTER with `headers` ("Contact: <sip:bob@192.0.2.4>") besides the mandatory ones."""
    lines = [
        "REGISTER sip:example.test SIP/2.0",
        *[f"Via: {value}" for value in via],
        "Max-Forwards: 70",
        f"From: <sip:{aor}>;tag=f1",
        f"To: {to or f'<sip:{aor}>'}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} REGISTER",
        *headers,
        "Content-Length: 0",
    ]
    return request_of("\r\n".join(lines) + "\r\n\r\n")


class Office:
    """A registrar with a memory store: what a role does, in one call a request."""

    def __init__(self, settings: RegistrarSettings | None = None, **kwargs: object) -> None:
        tags = count(1)
        self.events: list[tuple[str, tuple[str, ...], str]] = []
        self.registrar = Registrar(
            settings or RegistrarSettings(),
            lambda: f"t{next(tags)}",
            on_change=lambda aor, bindings, kind: self.events.append(
                (aor, tuple([each.contact for each in bindings]), kind)
            ),
            **kwargs,  # type: ignore[arg-type]
        )
        self.store = MemoryStore()
        self.now = 1000.0

    def handle(self, request: Request, flow: str = "") -> Response:
        """The response to a REGISTER."""
        aor = self.registrar.address_of_record(request)
        if isinstance(aor, Response):
            return aor
        held = self.store.lookup(aor, self.now)
        decision = self.registrar.decide(request, aor, held, self.now, WALL, flow)
        if isinstance(decision, Response):
            return decision
        assert isinstance(decision, Change)
        applied = self.store.apply(decision)
        assert isinstance(applied, Applied)
        return self.registrar.answer(request, applied, self.now, WALL)

    def register(self, *headers: str, **kwargs: object) -> Response:
        """The response to `register(...)`."""
        return self.handle(register(*headers, **kwargs))  # type: ignore[arg-type]

    def contacts(self, aor: str = "bob@example.test") -> list[str]:
        """The contact URIs of the AOR."""
        return [each.contact for each in self.store.lookup(aor, self.now)]


def listed(response: Response) -> list[str]:
    """The Contact values of a response."""
    return response.get_all("contact")
