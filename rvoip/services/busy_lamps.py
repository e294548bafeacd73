"""Busy lamps: the calls that pass the proxy, as presence shows them to watchers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rvoip.protocols.sip.address import parse_name_addr
from rvoip.protocols.sip.dialog_info import DialogState
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.calls import Call
from rvoip.proxy.lamps import Lamps
from rvoip.proxy.proxy import Proxy
from rvoip.proxy.targets import Destination, Refused

if TYPE_CHECKING:
    from rvoip.proxy.context import ResponseContext

__all__ = ["BusyLamps"]


class BusyLamps:
    """Watches a proxy for `set_dialogs` (of `Presence`), as its `lamps`."""

    def __init__(self, proxy: Proxy, set_dialogs: Callable[[str, tuple[DialogState, ...]], object]) -> None:
        self._proxy = proxy
        self.lamps = Lamps(set_dialogs)

    def responded(self, context: ResponseContext, response: Response) -> None:
        """A response to an INVITE went back."""
        request = context.transaction.request
        status = response.status
        if request.to.tag is not None or status == 100:
            return
        calls = self._proxy.calls
        if 200 <= status < 300 and (calls is None or not calls.knows(request, response)):
            # Nobody will see its end.
            self.lamps.over(request.call_id, request.from_.tag or "")
            return
        new, now = not self.lamps.knows(request), self._proxy.layer.now()
        if self.lamps.responded(request, response, _callees(context, status), now) and new:
            self._find_caller(request, context)

    def over(self, call: Call) -> None:
        """A call that was answered is over."""
        self.lamps.over(call.call_id, parse_name_addr(call.caller.value).tag or "")

    def _find_caller(self, request: Request, context: ResponseContext) -> None:
        """Who calls is known by credentials, or by calling from where that user has registered.

        What a From says lights nobody's lamp: anybody may write it.
        """
        proxy, incoming = self._proxy, context.incoming
        if incoming.user is not None:
            self.lamps.called_by(request, incoming.user)
            return
        sender = request.from_.uri
        if not isinstance(sender, SipURI) or not proxy.domains.serves(sender):
            return
        aor = proxy.domains.aor(sender)
        if incoming.trusted:
            self.lamps.called_by(request, aor)
            return
        found: Any = proxy.location.lookup(aor)
        if isinstance(found, Deferred):
            found.addCallback(self._registered, request, aor, incoming.flow)
            found.addErrback(_unknown)
        else:
            self._registered(found, request, aor, incoming.flow)

    def _registered(self, found: Iterable[Destination], request: Request, aor: str, flow: Flow) -> None:
        if any(one.is_at(flow) for one in found):
            self.lamps.called_by(request, aor)


def _callees(context: ResponseContext, status: int) -> list[str]:
    """The users of ours whose phones ring, or whose phone has the call."""
    found = []
    for branch in context.branches:
        client = branch.client
        if not branch.aor or client is None:
            continue
        if 200 <= client.status < 300 or (status < 200 and 100 < client.status < 200):
            found.append(branch.aor)
    return found


def _unknown(failure: Failure) -> None:
    """The location does not answer."""
    failure.trap(Refused)
