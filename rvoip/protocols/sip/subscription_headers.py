"""Events and publications: Event, Subscription-State (RFC 6665 section 8.2), entity tags (RFC 3903)."""

from __future__ import annotations

import attrs

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import (
    LARGEST_SECONDS,
    Params,
    format_params,
    head_and_params,
    is_token,
    take_number,
    take_text,
    token_or_quoted,
)

__all__ = [
    "Event",
    "SubscriptionState",
    "parse_entity_tag",
    "parse_event",
    "parse_event_type",
    "parse_subscription_state",
]


@attrs.frozen
class Event:
    """An Event value: ``presence.winfo;id=7`` has package "presence", template "winfo" and id "7".

    All are compared octet by octet (RFC 6665 section 8.2.1). ``template`` is "" without one and holds
    the dots where several are applied.
    """

    package: str
    template: str = ""
    id: str | None = None
    params: Params = attrs.field(factory=dict)

    @property
    def type(self) -> str:
        """Package and templates as they stand in Allow-Events."""
        return f"{self.package}.{self.template}" if self.template else self.package

    def __str__(self) -> str:
        id_ = "" if self.id is None else f";id={token_or_quoted(self.id)}"
        return f"{self.type}{id_}{format_params(self.params)}"


def parse_event(text: str) -> Event:
    """An Event value; `SIPParseError` when it is none."""
    head, params = head_and_params(text)
    package, _, template = parse_event_type(head).partition(".")
    return Event(package, template, take_text(params, "id"), params)


def parse_event_type(text: str) -> str:
    """One Allow-Events value: an event package with its templates, as written."""
    if not is_token(text) or "" in text.split("."):
        raise SIPParseError("Bad event package")
    return text


@attrs.frozen
class SubscriptionState:
    """A Subscription-State value (RFC 6665 section 8.2.3); ``expires`` and ``retry_after`` in seconds.

    ``state`` is "active", "pending", "terminated" or another token in lower case.
    """

    state: str
    reason: str | None = None
    expires: int | None = None
    retry_after: int | None = None
    params: Params = attrs.field(factory=dict)

    def __str__(self) -> str:
        parts = [self.state]
        if self.reason is not None:
            parts.append(f"reason={token_or_quoted(self.reason)}")
        if self.expires is not None:
            parts.append(f"expires={self.expires}")
        if self.retry_after is not None:
            parts.append(f"retry-after={self.retry_after}")
        return ";".join(parts) + format_params(self.params)


def parse_subscription_state(text: str) -> SubscriptionState:
    """A Subscription-State value; `SIPParseError` when it is none."""
    head, params = head_and_params(text)
    if not is_token(head):
        raise SIPParseError("Bad Subscription-State")
    reason = take_text(params, "reason")
    return SubscriptionState(
        head.lower(),
        None if reason is None else reason.lower(),
        take_number(params, "expires", LARGEST_SECONDS),
        take_number(params, "retry-after", LARGEST_SECONDS),
        params,
    )


def parse_entity_tag(text: str) -> str:
    """A SIP-ETag, SIP-If-Match or Suppress-If-Match value, as written ("*" in the last)."""
    if not is_token(text):
        raise SIPParseError("Bad entity tag")
    return text
