"""`[presence]`: the schema of what a registrar knows of its users beside where they are."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from rvoip.common.config import StoreURL
from rvoip.services.table import LONGEST, Count, Table

__all__ = ["PresenceListTable", "PresenceRuleTable", "PresenceTable"]

Decision = Literal["allow", "confirm", "polite", "deny"]
Package = Literal["presence", "dialog", "message-summary", "reg", "presence.winfo", "dialog.winfo"]


class PresenceRuleTable(Table):
    """`[[presence.rule]]`: what one user lets others see of presence and calls."""

    user: str
    """`USER@DOMAIN`, or a user of the first domain."""
    watcher: str
    """`USER@DOMAIN`, `*@DOMAIN` or `*`; the rule that says it most closely counts."""
    decision: Decision
    """`allow`; `confirm`: a pending subscription; `polite`: looks allowed and shows nobody; `deny`: 403."""


class PresenceListTable(Table):
    """`[[presence.list]]`: several users that are watched by one subscription (RFC 4662)."""

    name: str
    """`USER@DOMAIN` that is subscribed to."""
    owner: str
    """The only user who may."""
    members: list[str]
    """Users, as `USER@DOMAIN` or names of the owner's domain."""
    title: str = ""
    """What it is called for people."""


class PresenceTable(Table):
    """`[presence]`: who is there, who talks, what waits (RFC 3856, 4235, 3842, 3680); only if it is there."""

    store: StoreURL = "memory:"
    """`memory:` or `sqlite:PATH`: publications, and rules, lists and mailboxes that the API makes."""
    packages: list[Package] = field(
        default_factory=lambda: [
            "presence",
            "dialog",
            "message-summary",
            "reg",
            "presence.winfo",
            "dialog.winfo",
        ]
    )
    """Event packages that are answered here; what a proxy is asked of others goes to the phones."""
    authenticate: bool | None = None
    """Ask watchers and publishers for credentials, else believe their From; unset: as `[registrar]` does."""
    policy: Decision = "allow"
    """Who may see who is there where no rule says it; `allow`: whoever is of the same domain."""
    dialog_policy: Decision = "allow"
    """The same of busy lamps."""
    default_expires: Annotated[int, Meta(ge=1, le=LONGEST)] = 3600
    """Seconds of a subscription or publication that does not say."""
    min_expires: Annotated[int, Meta(ge=1, le=LONGEST)] = 60
    """Shorter ones are refused with 423."""
    max_expires: Annotated[int, Meta(ge=1, le=LONGEST)] = 86400
    """Longer ones are cut."""
    notify_interval: Annotated[float, Meta(ge=0, le=LONGEST)] = 1.0
    """Seconds between two NOTIFYs of one subscription, at least; what changes meanwhile is in the next."""
    max_subscriptions: Annotated[int, Meta(ge=1)] = 20000
    """Subscriptions in all, of 8 KiB each; above it 503."""
    max_watchers: Annotated[int, Meta(ge=1)] = 200
    """Subscriptions to one user in one package; above it 503."""
    max_watched: Annotated[int, Meta(ge=1)] = 500
    """Subscriptions of one watcher; above it 503."""
    subscribe_rate: Annotated[float, Meta(ge=0)] = 10.0
    """New subscriptions a second of one watcher, after 100 at once; 0: no limit."""
    publish_rate: Annotated[float, Meta(ge=0)] = 2.0
    """PUBLISH requests a second for one user, after 20 at once; 0: no limit."""
    max_publications: Annotated[int, Meta(ge=1)] = 10
    """Publications of one user in one package: one a device; more are refused with 403."""
    max_body: Annotated[int, Meta(ge=256)] = 16384
    """Octets of what is published; more are refused with 413."""
    max_members: Count = 200
    """Members of a list."""
    rule: list[PresenceRuleTable] = field(default_factory=list)
    """See `[[presence.rule]]`."""
    list_: list[PresenceListTable] = field(default_factory=list, name="list")
    """See `[[presence.list]]`."""
