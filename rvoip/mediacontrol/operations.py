"""The operations of a media server's API: one table for its clients, its server and its manual.

Each is a method of `IMediaServer`, which takes the path's parameters in their order, then the body or query
where there is one.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from rvoip.mediacontrol import schema

__all__ = ["CONTROL_PATH", "EVENTS_PATH", "OPERATIONS", "Operation", "operation"]

CONTROL_PATH: Final = "/v1/control"
"""Commands and events on one WebSocket."""
EVENTS_PATH: Final = "/v1/events"
"""Events alone, on a WebSocket."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9._~-]*", re.ASCII)


class Operation(Struct, frozen=True, eq=False, kw_only=True):
    """One operation."""

    name: str
    method: str
    path: str
    summary: str
    body: type[Struct] | None = None
    query: type[Struct] | None = None
    response: type[Struct] | None = None
    status: int = 204
    call: str = ""
    """The method of `IMediaServer`, where that is not `name`."""
    kind: str = ""
    """Which activity it stops: an argument of the method between those of the path."""

    @property
    def function(self) -> str:
        """The method of `IMediaServer`."""
        return self.call or self.name

    def target(self, parameters: tuple[str, ...], query: Struct | None = None) -> str:
        """The path with its parameters in it, and the query behind."""
        path = _template(self.path).format(
            *(each if _PLAIN.fullmatch(each) else quote(each, safe="") for each in parameters)
        )
        if query is None:
            return path
        values: dict[str, Any] = msgspec.to_builtins(query)
        return f"{path}?{urlencode(values)}" if values else path

    def arguments(self, parameters: list[str], value: Struct | None) -> list[Any]:
        """What the method of `IMediaServer` is called with."""
        given: list[Any] = list(parameters)
        if self.kind:
            given.insert(1, self.kind)
        return given if value is None else [*given, value]


_templates: dict[str, str] = {}


def _template(path: str) -> str:
    template = _templates.get(path)
    if template is None:
        template = _templates[path] = re.sub(r"\{\w+\}", "{}", path)
    return template


_ENDPOINT: Final = "/v1/endpoints/{endpoint}"
_CONFERENCE: Final = "/v1/conferences/{conference}"
_RECORDING: Final = "/v1/recordings/{recording}"


def _start(kind: str, body: type[Struct] | None, summary: str, name: str = "") -> Operation:
    return Operation(
        name=name or kind,
        method="POST",
        path=f"{_ENDPOINT}/{kind}",
        summary=summary,
        body=body,
        response=schema.Created,
        status=201,
    )


_STOPPED: Final = {
    "play": "Stop what is played",
    "collect": "Collect no more",
    "record": "End a recording",
    "echo": "Send nothing back any more",
    "moh": "End music on hold",
    "dtmf": "Send no more digits",
    "block_dtmf": "Let digits be heard again",
    "stream": "Close a WebSocket of audio",
}


def _stop(kind: str) -> Operation:
    return Operation(
        name=f"stop_{kind}",
        call="stop",
        kind=kind,
        method="DELETE",
        path=f"{_ENDPOINT}/{kind}/{{activity}}",
        summary=_STOPPED[kind],
    )


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        name="create_endpoint",
        method="POST",
        path="/v1/endpoints",
        summary="Make an endpoint, which answers an offer or makes one",
        body=schema.CreateEndpoint,
        response=schema.Endpoint,
        status=201,
    ),
    Operation(
        name="endpoints",
        method="GET",
        path="/v1/endpoints",
        summary="List endpoints",
        query=schema.EndpointQuery,
        response=schema.EndpointList,
        status=200,
    ),
    Operation(
        name="statistics",
        method="GET",
        path=_ENDPOINT,
        summary="How an endpoint is",
        response=schema.EndpointReport,
        status=200,
    ),
    Operation(
        name="delete_endpoint",
        method="DELETE",
        path=_ENDPOINT,
        summary="End an endpoint; its final statistics",
        response=schema.EndpointReport,
        status=200,
    ),
    Operation(
        name="answer",
        method="PUT",
        path=f"{_ENDPOINT}/answer",
        summary="The peer's answer; repeatable until it is final",
        body=schema.Answer,
    ),
    Operation(
        name="offer",
        method="PUT",
        path=f"{_ENDPOINT}/offer",
        summary="The peer's new offer; our answer",
        body=schema.Offer,
        response=schema.Description,
        status=200,
    ),
    Operation(
        name="make_offer",
        method="POST",
        path=f"{_ENDPOINT}/offer",
        summary="A new offer of ours",
        body=schema.MakeOffer,
        response=schema.Description,
        status=200,
    ),
    Operation(
        name="rollback",
        method="DELETE",
        path=f"{_ENDPOINT}/offer",
        summary="Our new offer was refused: back to what was",
    ),
    Operation(
        name="bridge",
        method="POST",
        path="/v1/bridges",
        summary="Let two endpoints hear each other",
        body=schema.CreateBridge,
        response=schema.Created,
        status=201,
    ),
    Operation(
        name="unbridge", method="DELETE", path="/v1/bridges/{bridge}", summary="Part two endpoints again"
    ),
    Operation(
        name="create_conference",
        method="POST",
        path="/v1/conferences",
        summary="Make a conference",
        body=schema.CreateConference,
        response=schema.Created,
        status=201,
    ),
    Operation(
        name="update_conference",
        method="PUT",
        path=_CONFERENCE,
        summary="Lock or limit a conference",
        body=schema.Conference,
    ),
    Operation(name="delete_conference", method="DELETE", path=_CONFERENCE, summary="End a conference"),
    Operation(
        name="join",
        method="PUT",
        path=f"{_CONFERENCE}/members/{{endpoint}}",
        summary="Make an endpoint a member, or change how it takes part",
        body=schema.Member,
    ),
    Operation(
        name="leave",
        method="DELETE",
        path=f"{_CONFERENCE}/members/{{endpoint}}",
        summary="Take a member out",
    ),
    _start("play", schema.Play, "Play to the peer"),
    _start("collect", schema.Collect, "Collect digits"),
    _start("record", schema.Record, "Record"),
    _start("echo", None, "Send back what comes"),
    _start("moh", None, "Music on hold"),
    _start("dtmf", schema.Dtmf, "Send digits", "send_dtmf"),
    _start("block_dtmf", None, "Keep digits from being heard and recorded"),
    _start("stream", schema.Stream, "Audio both ways over a WebSocket"),
    *(_stop(kind) for kind in schema.ACTIVITIES),
    Operation(
        name="recording",
        method="GET",
        path=_RECORDING,
        summary="How a recording is",
        response=schema.Recording,
        status=200,
    ),
    Operation(name="delete_recording", method="DELETE", path=_RECORDING, summary="Delete a recording"),
    Operation(
        name="pause_recording",
        method="POST",
        path=f"{_RECORDING}/pause",
        summary="Pause a recording",
        body=schema.Pause,
    ),
    Operation(
        name="resume_recording",
        method="POST",
        path=f"{_RECORDING}/resume",
        summary="Go on with a paused recording",
    ),
    Operation(
        name="create_lease",
        method="POST",
        path="/v1/leases",
        summary="Make a lease",
        body=schema.CreateLease,
        response=schema.Lease,
        status=201,
    ),
    Operation(
        name="renew_lease",
        method="PUT",
        path="/v1/leases/{lease}",
        summary="Renew a lease: it runs anew",
        response=schema.Lease,
        status=200,
    ),
    Operation(
        name="stats",
        method="GET",
        path="/v1/stats",
        summary="How the server is doing",
        response=schema.Stats,
        status=200,
    ),
)

_BY_NAME: Final = {each.name: each for each in OPERATIONS}


def operation(name: str) -> Operation:
    """The operation of this name; KeyError when there is none."""
    return _BY_NAME[name]
