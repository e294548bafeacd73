"""What a store of presence keeps beside publications, and the changes that it is told to write."""

from __future__ import annotations

import attrs

from rvoip.registrar.buddy_lists import BuddyList
from rvoip.registrar.presence_policy import Rule
from rvoip.registrar.publication import PublicationChange, StoredPublication

__all__ = ["DropList", "DropRule", "Mailbox", "PresenceChange", "StoredPresence"]


@attrs.frozen
class DropRule:
    """A rule is withdrawn."""

    presentity: str
    watcher: str


@attrs.frozen
class DropList:
    """A list is gone."""

    aor: str


@attrs.frozen
class Mailbox:
    """What waits for `aor`: a body of the message-summary package, b"" when nothing is known any more."""

    aor: str
    summary: bytes


PresenceChange = PublicationChange | Rule | DropRule | BuddyList | DropList | Mailbox
"""What is written as a whole or not at all."""


@attrs.frozen
class StoredPresence:
    """All that was stored before."""

    publications: tuple[StoredPublication, ...] = ()
    rules: tuple[Rule, ...] = ()
    lists: tuple[BuddyList, ...] = ()
    mailboxes: tuple[Mailbox, ...] = ()
