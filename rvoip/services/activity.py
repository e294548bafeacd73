"""A log line for each registration and call, for whoever watches."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.logger import Logger

from rvoip.common.events import EventBus, Subscription
from rvoip.proxy.events import Answered, HungUp

__all__ = ["RegistrationChanged", "log_activity"]

_log = Logger()


@attrs.frozen
class RegistrationChanged:
    """Bindings of an address-of-record changed: `kind` is "created", "refreshed", "removed" or "expired"."""

    aor: str
    contacts: tuple[str, ...]
    kind: str


def log_activity(bus: EventBus) -> list[Subscription[Any]]:
    """Write a line for each of these events until the subscriptions are cancelled."""
    return [
        bus.subscribe(RegistrationChanged, _registration, name="activity"),
        bus.subscribe(Answered, _answered, name="activity"),
        bus.subscribe(HungUp, _hung_up, name="activity"),
    ]


def _registration(event: RegistrationChanged) -> None:
    if event.kind != "refreshed":
        _log.info(
            "registration {kind}: {aor} at {contacts}",
            kind=event.kind,
            aor=event.aor,
            contacts=", ".join(event.contacts) or "no contact",
        )


def _answered(event: Answered) -> None:
    _log.info(
        "call {caller} -> {callee}: {status} {reason} after {after}",
        caller=event.caller,
        callee=event.callee,
        status=event.status,
        reason=event.reason,
        after=f"{event.after:.2f} s",
        call_id=event.call_id,
    )


def _hung_up(event: HungUp) -> None:
    if event.status < 300:  # else whoever got the BYE knew of no call, and who sent it may not have had one
        _log.info("call hung up by {sender}", sender=event.sender, call_id=event.call_id)
