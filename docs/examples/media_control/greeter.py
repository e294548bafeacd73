"""Greets a caller, asks for a digit, and bridges whoever presses 1 with the desk."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from rvoip.mediacontrol.events import AnyEvent, DtmfEvent
from rvoip.mediacontrol.schema import Answer, Collect, CreateBridge, CreateEndpoint, Play


class Greeter:
    """`server` is an `IMediaServer`: one at a URL, a pool's, rtpengine, or the fake."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.results: dict[str, Deferred[str]] = {}
        server.subscribe(self.heard)

    def heard(self, event: AnyEvent) -> None:
        """A collection has come to an end."""
        if isinstance(event, DtmfEvent) and event.collect in self.results:
            self.results.pop(event.collect).callback(event.digits)

    async def greet(self, offer: str) -> tuple[str, str]:
        """Take a call: the endpoint, and the answer to its offer."""
        caller = await self.server.create_endpoint(CreateEndpoint(sdp=offer))
        await self.server.play(caller.id, Play(source="welcome.wav", barge_in=True))
        return caller.id, caller.sdp

    async def ask(self, caller: str) -> str:
        """The digit that the caller presses, or nothing."""
        collection = await self.server.collect(caller, Collect(max_digits=1, first_timeout=10.0))
        self.results[collection.id] = Deferred()
        return await self.results[collection.id]

    async def connect(self, caller: str, ring: Any) -> str:
        """Bridge the caller with the desk; `ring` sends an offer there and returns its answer."""
        desk = await self.server.create_endpoint(CreateEndpoint())
        await self.server.answer(desk.id, Answer(sdp=await ring(desk.sdp)))
        bridge = await self.server.bridge(CreateBridge(endpoints=[caller, desk.id]))
        return str(bridge.id)
