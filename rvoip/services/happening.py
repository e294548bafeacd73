"""What happens in a role, in words that a web service is told: plain values of events."""

from __future__ import annotations

from typing import Any

from rvoip.proxy.events import Answered
from rvoip.proxy.limits import Limited
from rvoip.services.activity import RegistrationChanged
from rvoip.services.calls import CallOver
from rvoip.services.record import text_of, uri_of

__all__ = ["of_answer", "of_end", "of_limit", "of_registration"]


def of_registration(event: RegistrationChanged) -> dict[str, Any]:
    """`contacts` are those that are registered now."""
    return {
        "kind": f"registration.{event.kind}",
        "aor": text_of(event.aor),
        "contacts": [text_of(contact) for contact in event.contacts],
    }


def of_answer(event: Answered) -> dict[str, Any]:
    """`after` is seconds since the INVITE came."""
    return {
        "kind": "call.answered" if event.status < 300 else "call.refused",
        "call_id": text_of(event.call_id),
        "caller": text_of(event.caller),
        "callee": text_of(event.callee),
        "uri": text_of(event.uri),
        "user": text_of(event.user),
        "source": event.source,
        "destination": event.destination,
        "status": event.status,
        "reason": text_of(event.reason),
        "after": round(event.after, 3),
    }


def of_end(event: CallOver) -> dict[str, Any]:
    """Times are wall time, seconds since 1970; `duration` is seconds since it was answered."""
    call = event.call
    return {
        "kind": "call.ended",
        "call_id": text_of(call.call_id),
        "caller": uri_of(call.caller.value),
        "callee": uri_of(call.callee.value),
        "uri": text_of(call.uri),
        "user": text_of(call.user),
        "source": call.caller.address,
        "destination": call.callee.address,
        "end": event.why,
        "began": round(event.began, 3),
        "answered": round(event.answered, 3),
        "ended": round(event.ended, 3),
        "duration": round(max(0.0, event.ended - event.answered), 3),
    }


def of_limit(event: Limited) -> dict[str, Any]:
    """`limit` is what was reached: "class", "calls", "minute", "day" or "minutes"; `most` how many."""
    return {
        "kind": "call.limited",
        "call_id": text_of(event.call_id),
        "user": text_of(event.user),
        "limit": event.what,
        "most": event.limit,
        "class": event.number_class,
        "uri": text_of(event.uri),
        "source": event.source,
    }
