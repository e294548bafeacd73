"""The one response that goes back when all branches have failed (RFC 3261 section 16.7 steps 6 and 7)."""

from __future__ import annotations

from collections.abc import Iterable

from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.message import Response
from rvoip.proxy.branch import Branch
from rvoip.proxy.identity import answered_session

__all__ = ["best_response"]


def best_response(
    transaction: ServerTransaction, chosen: Branch | None, status: int, branches: Iterable[Branch]
) -> Response:
    """The response of the chosen branch, which ended with `status`; one of our own where it got none."""
    request = transaction.request
    response = None if chosen is None or chosen.response is None else chosen.response
    if response is not None and response.status != status:
        response = None
    if status == 430 and request.to.tag is None and (chosen is None or chosen.destination.instance):
        # Which flow of a user's device failed is nothing to the caller (RFC 5626 section 7); who came by our
        # Path has others to try (section 5.3).
        response, status = None, 480
    elif status == 503 and response is not None:
        # It speaks of one server behind us, not of us (step 6).
        response, status = None, 500
    if response is None:
        return respond(request, status, to_tag=transaction.stateless_tag, headers=answered_session(request))
    if status == 401 or status == 407:
        _gather_challenges(response, branches)
    return response


def _gather_challenges(response: Response, branches: Iterable[Branch]) -> None:
    """All branches' challenges go into the one response (section 16.7 step 7)."""
    for branch in branches:
        other = branch.response
        if other is response or other is None or other.status not in (401, 407):
            continue
        for name in ("www-authenticate", "proxy-authenticate"):
            for value in other.get_all(name):
                response.add(name, value)
