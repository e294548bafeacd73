"""Presence by HTTP: `/v1/presence`, `/v1/subscriptions`: who watches whom, rules, lists and mailboxes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from twisted.internet.defer import Deferred

from rvoip.common.http import API, Call
from rvoip.common.printable import printable
from rvoip.common.problem import HTTPError
from rvoip.protocols.dialog.subscription_server import ServerSubscription
from rvoip.protocols.sip.message_summary import Counts, MessageSummary
from rvoip.registrar.buddy_lists import Buddy, BuddyList
from rvoip.registrar.presence_policy import ANYBODY, Decision, Rule
from rvoip.services.callers import PRESENCE_READ, PRESENCE_WRITE
from rvoip.services.presence import PresenceService
from rvoip.services.presence_rules import address
from rvoip.services.store_errors import store_errors

__all__ = ["serve_presence"]

_Number = Annotated[int, Meta(ge=0, le=999_999)]


class Subscription(msgspec.Struct, frozen=True):
    """Somebody watches a user (RFC 6665). What cannot be printed is shown as an escape."""

    id: str
    package: str
    user: str
    """Who, or which list, is watched."""
    watcher: str
    state: str
    """`pending` or `active`."""
    expires: int
    """Seconds that are left."""


class SubscriptionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which to list."""

    user: str = ""
    """Only those to this user."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class SubscriptionList(msgspec.Struct, frozen=True):
    """Some of the subscriptions, and how many there are."""

    subscriptions: list[Subscription]
    total: int


class PresenceRule(msgspec.Struct, frozen=True):
    """What a watcher gets to see."""

    watcher: str
    decision: str
    configured: bool
    """Whether it is in the configuration, and can be changed only there."""


class Publication(msgspec.Struct, frozen=True):
    """What a device has published (RFC 3903)."""

    package: str
    content_type: str
    body: str
    expires: int
    """Seconds that are left."""
    publisher: str


class UserPresence(msgspec.Struct, frozen=True):
    """What is known of a user."""

    user: str
    publications: list[Publication]
    rules: list[PresenceRule]
    mailbox: str
    """The body of its message summary, or empty."""
    calls: int
    """Dialogs that its busy lamp shows, those that phones have published aside."""


class NewRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision."""

    decision: Literal["allow", "confirm", "polite", "deny"]


class NewMailbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What waits for a user."""

    new: _Number
    old: _Number = 0
    urgent_new: _Number = 0
    urgent_old: _Number = 0
    account: Annotated[str, Meta(max_length=256)] = ""
    """URI of the mailbox, that a phone calls to hear the messages."""


class NewList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Users that are watched as one."""

    owner: str
    members: Annotated[list[str], Meta(max_length=10_000)]
    title: Annotated[str, Meta(max_length=256)] = ""


class PresenceList(msgspec.Struct, frozen=True):
    """The same, as it is."""

    name: str
    owner: str
    members: list[str]
    title: str
    configured: bool
    """Whether it is in the configuration, and can be changed only there."""


class PresenceLists(msgspec.Struct, frozen=True):
    """Lists, by their names."""

    lists: list[PresenceList]
    total: int


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose to show, and how many."""

    owner: str = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


def serve_presence(api: API, service: PresenceService | None) -> None:
    """Add the routes; without `[presence]` they are 404."""
    _serve_watching(api, service)
    _serve_rules(api, service)
    _serve_lists(api, service)


def _serve_watching(api: API, service: PresenceService | None) -> None:
    @api.route(
        "GET",
        "/v1/subscriptions",
        query=SubscriptionQuery,
        response=SubscriptionList,
        scopes=(PRESENCE_READ,),
    )
    def list_subscriptions(call: Call, query: SubscriptionQuery) -> SubscriptionList:
        """List who watches whom."""
        if service is None:
            return SubscriptionList([], 0)
        found = iter(service.server)
        if query.user:
            user = _aor(service, query.user)
            found = iter([each for each in service.server if each.resource == user])
        return SubscriptionList([_shown(each) for each in islice(found, query.limit)], len(service.server))

    @api.route("GET", "/v1/presence/{aor}", response=UserPresence, scopes=(PRESENCE_READ,))
    def get_presence(call: Call, aor: str) -> UserPresence:
        """Show what is known of a user: publications, rules, mailbox."""
        there = _there(service)
        user, presence, now = _aor(there, aor), there.presence, there.now()
        mailbox = presence.mailbox(user)
        return UserPresence(
            user,
            [
                Publication(
                    package,
                    each.content_type,
                    each.body.decode("utf-8", "replace"),
                    max(0, int(each.deadline - now)),
                    printable(each.publisher),
                )
                for package in ("presence", "dialog", "message-summary")
                for each in presence.compositor.publications(package, user, now)
            ],
            [
                PresenceRule(each.watcher, each.decision.value, there.has_configured(user, each.watcher))
                for each in presence.policy.rules(user)
            ],
            "" if mailbox is None else mailbox.to_bytes().decode(),
            len(presence.dialogs(user)),
        )

    @api.route("PUT", "/v1/presence/{aor}/mailbox", body=NewMailbox, scopes=(PRESENCE_WRITE,))
    async def set_mailbox(call: Call, aor: str, body: NewMailbox) -> None:
        """Say what waits for a user; its message lamp follows (RFC 3842)."""
        there = _there(service)
        if not body.account.isprintable():
            raise HTTPError(400, "account cannot be printed")
        counts = Counts(body.new, body.old, body.urgent_new, body.urgent_old)
        summary = MessageSummary(body.new > 0, body.account, {"voice-message": counts})
        user = _aor(there, aor)
        await _must_be_a_user(there, user)
        await _written(lambda: there.presence.set_mailbox(user, summary))

    @api.route("DELETE", "/v1/presence/{aor}/mailbox", scopes=(PRESENCE_WRITE,))
    async def drop_mailbox(call: Call, aor: str) -> None:
        """Forget what waits for a user."""
        there = _there(service)
        user = _aor(there, aor)
        await _written(lambda: there.presence.set_mailbox(user, None))


def _serve_rules(api: API, service: PresenceService | None) -> None:
    @api.route("PUT", "/v1/presence/{aor}/rules/{watcher}", body=NewRule, scopes=(PRESENCE_WRITE,))
    async def set_rule(call: Call, aor: str, watcher: str, body: NewRule) -> None:
        """Decide what a watcher sees of a user: one who waits is let in, or told that he is not wanted.

        `watcher` is an address, `*@DOMAIN` or `*`.
        """
        there = _there(service)
        rule = Rule(_aor(there, aor), _watcher(there, watcher), Decision(body.decision))
        if there.has_configured(rule.presentity, rule.watcher):
            raise HTTPError(409, "the configuration has that rule")
        if not there.presence.policy.has_room(rule.presentity, rule.watcher):
            raise HTTPError(409, f"{rule.presentity} has as many rules as are allowed")
        await _must_be_a_user(there, rule.presentity)
        await _written(lambda: there.presence.set_rule(rule))

    @api.route("DELETE", "/v1/presence/{aor}/rules/{watcher}", scopes=(PRESENCE_WRITE,))
    async def drop_rule(call: Call, aor: str, watcher: str) -> None:
        """Withdraw a decision."""
        there = _there(service)
        user, who = _aor(there, aor), _watcher(there, watcher)
        if there.has_configured(user, who):
            raise HTTPError(409, "the configuration has that rule")
        if not any(each.watcher == who for each in there.presence.policy.rules(user)):
            raise HTTPError(404, f"{printable(user)} has no rule for {printable(who)}")
        await _written(lambda: there.presence.drop_rule(user, who))


def _serve_lists(api: API, service: PresenceService | None) -> None:
    @api.route("GET", "/v1/lists", query=ListQuery, response=PresenceLists, scopes=(PRESENCE_READ,))
    def list_lists(call: Call, query: ListQuery) -> PresenceLists:
        """List the lists of users that are watched as one."""
        if service is None:
            return PresenceLists([], 0)
        owner = _aor(service, query.owner) if query.owner else ""
        found = [each for each in service.presence.lists if owner in ("", each.owner)]
        return PresenceLists([_listed(service, each) for each in found[: query.limit]], len(found))

    @api.route("GET", "/v1/lists/{name}", response=PresenceList, scopes=(PRESENCE_READ,))
    def get_list(call: Call, name: str) -> PresenceList:
        """Show a list of users that is watched as one."""
        there = _there(service)
        found = there.presence.lists.get(_aor(there, name))
        if found is None:
            raise HTTPError(404, f"there is no list {printable(name)}")
        return _listed(there, found)

    @api.route("PUT", "/v1/lists/{name}", body=NewList, scopes=(PRESENCE_WRITE,))
    async def set_list(call: Call, name: str, body: NewList) -> None:
        """Make or change a list (RFC 4662); only its owner may watch it."""
        there = _there(service)
        aor, owner = _aor(there, name), _aor(there, body.owner)
        if there.has_list(aor):
            raise HTTPError(409, "the configuration has that list")
        if len(body.members) > there.presence.lists.max_members:
            raise HTTPError(400, f"a list has at most {there.presence.lists.max_members} members")
        domain = owner.rpartition("@")[2]
        members = tuple(
            Buddy(one) for one in dict.fromkeys(_aor(there, each, domain) for each in body.members)
        )
        await _written(lambda: there.presence.set_list(BuddyList(aor, owner, members, body.title)))

    @api.route("DELETE", "/v1/lists/{name}", scopes=(PRESENCE_WRITE,))
    async def drop_list(call: Call, name: str) -> None:
        """Remove a list; who watches it is told."""
        there = _there(service)
        aor = _aor(there, name)
        if there.has_list(aor):
            raise HTTPError(409, "the configuration has that list")
        if there.presence.lists.get(aor) is None:
            raise HTTPError(404, f"there is no list {printable(name)}")
        await _written(lambda: there.presence.drop_list(aor))


def _listed(service: PresenceService, found: BuddyList) -> PresenceList:
    members = [each.aor for each in found.members]
    return PresenceList(found.aor, found.owner, members, found.name, service.has_list(found.aor))


def _there(service: PresenceService | None) -> PresenceService:
    if service is None:
        raise HTTPError(404, "there is no [presence] here")
    return service


def _aor(service: PresenceService, text: str, domain: str = "") -> str:
    try:
        return address(text, service.domains, domain)
    except ValueError as error:
        raise HTTPError(400, printable(str(error))) from None


async def _must_be_a_user(service: PresenceService, aor: str) -> None:
    """What nobody has would be kept for ever: raise 404 for it."""
    with store_errors():
        known = service.is_user(aor)
        if not (known if isinstance(known, bool) else await known):
            raise HTTPError(404, f"there is no user {printable(aor)}")


def _watcher(service: PresenceService, text: str) -> str:
    return text if text == ANYBODY or text.startswith("*@") else _aor(service, text)


async def _written(write: Callable[[], Deferred[None] | None]) -> None:
    with store_errors():
        waiting: Awaitable[Any] | None = write()
        if waiting is not None:
            await waiting


def _shown(each: ServerSubscription) -> Subscription:
    watcher = each.user.user if each.user is not None and each.user.user else each.watcher
    return Subscription(
        each.id,
        each.package.name,
        printable(each.resource),
        printable(watcher),
        each.state.lower(),
        each.expires_in(),
    )
