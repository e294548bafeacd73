"""Endpoints and conferences of the fake media server, as a test may look at them."""

from __future__ import annotations

from typing import Any

from rvoip.mediacontrol import schema
from rvoip.mediacontrol.ownership import FencingToken
from rvoip.testing.media_sdp import choose

__all__ = ["FakeConference", "FakeEndpoint"]


class FakeEndpoint:
    """An endpoint, as a test may look at it."""

    def __init__(self, id_: str, port: int, request: schema.CreateEndpoint, now: float) -> None:
        self.id = id_
        self.port = port
        self.lease = request.lease
        self.codecs = choose(request.codecs)
        self.made = now
        self.state: Any = "offering"
        self.version = 1
        self.offering = False
        """Whether an offer of ours waits for an answer."""
        self.offers: list[str] = []
        """The peer's offers and answers, in order."""
        self.remote = ""
        self.codec = ""
        self.direction = "sendrecv"
        self.bridge = ""
        self.fence: FencingToken | None = None
        self.received = schema.StreamReport()
        """What statistics say; a test may set it."""
        self.sent = schema.StreamReport()
        self.mos: float | None = None

    def report(
        self, host: str, now: float, conferences: list[str], activities: list[schema.Activity]
    ) -> schema.EndpointReport:
        """How it is."""
        return schema.EndpointReport(
            id=self.id,
            state=self.state,
            lease=self.lease,
            local=f"{host}:{self.port}",
            remote=self.remote,
            codec=self.codec,
            direction=self.direction,
            seconds=round(now - self.made, 3),
            received=self.received,
            sent=self.sent,
            mos=self.mos,
            bridge=self.bridge,
            conferences=conferences,
            activities=activities,
        )


class FakeConference:
    """A conference, as a test may look at it."""

    def __init__(self, id_: str, request: schema.CreateConference) -> None:
        self.id = id_
        self.name = request.name
        self.rate = request.rate
        self.lease = request.lease
        self.locked = False
        self.max_members: int | None = None
        self.members: dict[str, schema.Member] = {}
        self.fence: FencingToken | None = None
