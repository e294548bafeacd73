"""Ask a web service where calls go.

For each request that begins something the proxy posts what it knows, as JSON, and does what the answer says:

    {"action": "default"}
    {"action": "refuse", "status": 403, "reason": "Not in the night"}
    {"action": "route", "targets": [["sip:+49301@192.0.2.1"], ["sip:+49301@192.0.2.2"]], "go_on": [408, 503]}

Targets of one list ring at once, the lists come one after the other. The proxy goes on with other requests
while it waits. A service that does not answer in time, or not in this form, is no reason to lose calls: then
the proxy decides as it would without it.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec
import treq
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.client import Agent, HTTPConnectionPool
from zope.interface import implementer

from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.proxy.interfaces import IRouter
from rvoip.proxy.targets import Destination, Refused, Targets

TIMEOUT = 1.0
LONGEST = 64 * 1024

log = Logger()


class Decision(msgspec.Struct, forbid_unknown_fields=True):
    """The answer of the service."""

    action: str = "default"
    status: int = 403
    reason: str | None = None
    targets: list[list[str]] = []
    go_on: list[int] | None = None


@implementer(IRouter)
class HTTPPolicy:
    """Posts to the URL in the environment variable POLICY_URL."""

    def __init__(self, reactor: Any) -> None:
        self.url = os.environ.get("POLICY_URL", "http://127.0.0.1:8000/route")
        self.reactor = reactor
        self.pool = HTTPConnectionPool(reactor)
        self.pool.maxPersistentPerHost = 8
        self.client = treq.client.HTTPClient(Agent(reactor, connectTimeout=TIMEOUT, pool=self.pool))

    async def route(self, request: Request, context: Any) -> Targets | None:
        """See `IRouter`."""
        question = {
            "method": request.method,
            "uri": request.uri_text,
            "from": request.from_.uri_text,
            "call_id": request.call_id,
            "user": context.user,
            "source": context.flow.remote[0],
        }
        asking = Deferred.fromCoroutine(self.ask(question))
        try:
            return decided(await asking.addTimeout(TIMEOUT, self.reactor))
        except Refused:
            raise
        except Exception as error:  # whatever is wrong with the service
            log.warn("no decision for {call_id}: {error}", call_id=request.call_id, error=repr(error))
            return None

    async def ask(self, question: dict[str, Any]) -> Decision:
        """Post a question; ValueError for an answer that is none."""
        response = await self.client.post(self.url, json=question, allow_redirects=False)
        body = bytearray()
        await treq.collect(response, lambda data: body.extend(data[: LONGEST - len(body)]))
        if response.code != 200:
            raise ValueError(f"status {response.code}")
        return msgspec.json.decode(bytes(body), type=Decision)


def decided(decision: Decision) -> Targets | None:
    """What the proxy is to do."""
    if decision.action == "refuse":
        if not 400 <= decision.status < 700:
            raise ValueError(f"{decision.status} refuses nothing")
        raise Refused(decision.status, decision.reason)
    if decision.action != "route":
        return None
    groups = [[Destination(sip_uri(text)) for text in group] for group in decision.targets]
    go_on = None if decision.go_on is None else frozenset(decision.go_on)
    return Targets(groups, go_on=go_on, members_only=True)


def sip_uri(text: str) -> SipURI:
    """The URI; ValueError for one of another kind."""
    uri = parse_uri(text)
    if not isinstance(uri, SipURI):
        raise ValueError(f"{text!r} is no SIP URI")
    return uri
