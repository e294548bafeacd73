"""The methods of `IMediaServer` as operations of the API: what all clients have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rvoip.mediacontrol import schema
from rvoip.mediacontrol.operations import OPERATIONS, Operation, operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from rvoip.mediacontrol.events import AnyEvent
    from rvoip.mediacontrol.ownership import FencingToken

__all__ = ["MediaCommands"]

_CREATE_ENDPOINT = operation("create_endpoint")
_ENDPOINTS = operation("endpoints")
_STATISTICS = operation("statistics")
_DELETE_ENDPOINT = operation("delete_endpoint")
_ANSWER = operation("answer")
_OFFER = operation("offer")
_MAKE_OFFER = operation("make_offer")
_ROLLBACK = operation("rollback")
_BRIDGE = operation("bridge")
_UNBRIDGE = operation("unbridge")
_CREATE_CONFERENCE = operation("create_conference")
_UPDATE_CONFERENCE = operation("update_conference")
_DELETE_CONFERENCE = operation("delete_conference")
_JOIN = operation("join")
_LEAVE = operation("leave")
_PLAY = operation("play")
_COLLECT = operation("collect")
_RECORD = operation("record")
_ECHO = operation("echo")
_MOH = operation("moh")
_SEND_DTMF = operation("send_dtmf")
_BLOCK_DTMF = operation("block_dtmf")
_STREAM = operation("stream")
_RECORDING = operation("recording")
_DELETE_RECORDING = operation("delete_recording")
_PAUSE_RECORDING = operation("pause_recording")
_RESUME_RECORDING = operation("resume_recording")
_CREATE_LEASE = operation("create_lease")
_RENEW_LEASE = operation("renew_lease")
_STATS = operation("stats")
_STOPS = {each.kind: each for each in OPERATIONS if each.kind}


class MediaCommands:
    """Each method of `IMediaServer`; a client has to say how an operation is performed, and subscribe."""

    def perform(
        self, what: Operation, parameters: tuple[str, ...], value: Any, fence: FencingToken | None
    ) -> Deferred[Any]:
        """Perform an operation: `value` is its body or its query. Fires with its response, or None."""
        raise TypeError(f"{type(self).__name__} has no way to perform an operation")

    def subscribe(
        self, observer: Callable[[AnyEvent], None], missed: Callable[[str], None] | None = None
    ) -> Callable[[], None]:
        """See `IMediaServer`."""
        raise TypeError(f"{type(self).__name__} has no events")

    def create_endpoint(
        self, request: schema.CreateEndpoint, fence: FencingToken | None = None
    ) -> Deferred[schema.Endpoint]:
        """See `IMediaServer`."""
        return self.perform(_CREATE_ENDPOINT, (), request, fence)

    def endpoints(
        self, query: schema.EndpointQuery, fence: FencingToken | None = None
    ) -> Deferred[schema.EndpointList]:
        """See `IMediaServer`."""
        return self.perform(_ENDPOINTS, (), query, fence)

    def statistics(self, endpoint: str, fence: FencingToken | None = None) -> Deferred[schema.EndpointReport]:
        """See `IMediaServer`."""
        return self.perform(_STATISTICS, (endpoint,), None, fence)

    def delete_endpoint(
        self, endpoint: str, fence: FencingToken | None = None
    ) -> Deferred[schema.EndpointReport]:
        """See `IMediaServer`."""
        return self.perform(_DELETE_ENDPOINT, (endpoint,), None, fence)

    def answer(
        self, endpoint: str, request: schema.Answer, fence: FencingToken | None = None
    ) -> Deferred[None]:
        """See `IMediaServer`."""
        return self.perform(_ANSWER, (endpoint,), request, fence)

    def offer(
        self, endpoint: str, request: schema.Offer, fence: FencingToken | None = None
    ) -> Deferred[schema.Description]:
        """See `IMediaServer`."""
        return self.perform(_OFFER, (endpoint,), request, fence)

    def make_offer(
        self, endpoint: str, request: schema.MakeOffer, fence: FencingToken | None = None
    ) -> Deferred[schema.Description]:
        """See `IMediaServer`."""
        return self.perform(_MAKE_OFFER, (endpoint,), request, fence)

    def rollback(self, endpoint: str, fence: FencingToken | None = None) -> Deferred[None]:
        """See `IMediaServer`."""
        return self.perform(_ROLLBACK, (endpoint,), None, fence)

    def bridge(
        self, request: schema.CreateBridge, fence: FencingToken | None = None
    ) -> Deferred[schema.Created]:
        """See `IMediaServer`."""
        return self.perform(_BRIDGE, (), request, fence)

    def unbridge(self, bridge: str, fence: FencingToken | None = None) -> Deferred[None]:
        """See `IMediaServer`."""
        return self.perform(_UNBRIDGE, (bridge,), None, fence)

    def create_conference(
        self, request: schema.CreateConference, fence: FencingToken | None = None
    ) -> Deferred[schema.Created]:
        """See `IMediaServer`."""
        return self.perform(_CREATE_CONFERENCE, (), request, fence)

    def update_conference(
        self, conference: str, request: schema.Conference, fence: FencingToken | None = None
    ) -> Deferred[None]:
        """See `IMediaServer`."""
        return self.perform(_UPDATE_CONFERENCE, (conference,), request, fence)

    def delete_conference(self, conference: str, fence: FencingToken | None = None) -> Deferred[None]:
        """See `IMediaServer`."""
        return self.perform(_DELETE_CONFERENCE, (conference,), None, fence)

    def join(
        self, conference: str, endpoint: str, request: schema.Member, fence: FencingToken | None = None
    ) -> Deferred[None]:
        """See `IMediaServer`."""
        return self.perform(_JOIN, (conference, endpoint), request, fence)

    def leave(self, conference: str, endpoint: str, fence: FencingToken | None = None) -> Deferred[None]:
        """See `IMediaServer`."""
        return self.perform(_LEAVE, (conference, endpoint), None, fence)

    def play(
        self, endpoint: str, request: schema.Play, fence: FencingToken | None = None
    ) -> Deferred[schema.Created]:
        """See `IMediaServer`."""
        return self.perform(_PLAY, (endpoint,), request, fence)

    def collect(
        self, endpoint: str, request: schema.Collect, fence: FencingToken | None = None
    ) -> Deferred[schema.Created]:
        """See `IMediaServer`."""
        return self.perform(_COLLECT, (endpoint,), request, fence)

    def record(
        self, endpoint: str, request: schema.Record, fence: FencingToken | None = None
    ) -> Deferred[schema.Created]:
        """See `IMediaServer`."""
        return self.perform(_RECORD, (endpoint,), request, fence)

    def echo(self, endpoint: str, fence: FencingToken | None = None) -> Deferred[schema.Created]:
        """See `IMediaServer`."""
        return self.perform(_ECHO, (endpoint,), None, fence)

    def moh(self, endpoint: str, fence: FencingToken | None = None) -> Deferred[schema.Created]:
        """See `IMediaServer`."""
        return self.perform(_MOH, (endpoint,), None, fence)

    def send_dtmf(
        self, endpoint: str, request: schema.Dtmf, fence: FencingToken | None = None
    ) -> Deferred[schema.Created]:
        """See `IMediaServer`."""
        return self.perform(_SEND_DTMF, (endpoint,), request, fence)

    def block_dtmf(self, endpoint: str, fence: FencingToken | None = None) -> Deferred[schema.Created]:
        """See `IMediaServer`."""
        return self.perform(_BLOCK_DTMF, (endpoint,), None, fence)

    def stream(
        self, endpoint: str, request: schema.Stream, fence: FencingToken | None = None
    ) -> Deferred[schema.Created]:
        """See `IMediaServer`."""
        return self.perform(_STREAM, (endpoint,), request, fence)

    def stop(
        self, endpoint: str, kind: schema.ActivityKind, activity: str, fence: FencingToken | None = None
    ) -> Deferred[None]:
        """See `IMediaServer`."""
        return self.perform(_STOPS[kind], (endpoint, activity), None, fence)

    def recording(self, recording: str, fence: FencingToken | None = None) -> Deferred[schema.Recording]:
        """See `IMediaServer`."""
        return self.perform(_RECORDING, (recording,), None, fence)

    def delete_recording(self, recording: str, fence: FencingToken | None = None) -> Deferred[None]:
        """See `IMediaServer`."""
        return self.perform(_DELETE_RECORDING, (recording,), None, fence)

    def pause_recording(
        self, recording: str, request: schema.Pause, fence: FencingToken | None = None
    ) -> Deferred[None]:
        """See `IMediaServer`."""
        return self.perform(_PAUSE_RECORDING, (recording,), request, fence)

    def resume_recording(self, recording: str, fence: FencingToken | None = None) -> Deferred[None]:
        """See `IMediaServer`."""
        return self.perform(_RESUME_RECORDING, (recording,), None, fence)

    def create_lease(
        self, request: schema.CreateLease, fence: FencingToken | None = None
    ) -> Deferred[schema.Lease]:
        """See `IMediaServer`."""
        return self.perform(_CREATE_LEASE, (), request, fence)

    def renew_lease(self, lease: str, fence: FencingToken | None = None) -> Deferred[schema.Lease]:
        """See `IMediaServer`."""
        return self.perform(_RENEW_LEASE, (lease,), None, fence)

    def stats(self, fence: FencingToken | None = None) -> Deferred[schema.Stats]:
        """See `IMediaServer`."""
        return self.perform(_STATS, (), None, fence)
