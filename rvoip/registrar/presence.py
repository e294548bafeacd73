"""Presence and the other event packages of a registrar: what is known, who may see it, what documents say it.

State only: who runs PUBLISH and the subscriptions asks here for answers and documents, and is told by
`changed(package, resource)` that a document is another one now. All addresses are AORs ("user@domain").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred

from rvoip.protocols.sip import dialog_info, message_summary, pidf, reginfo, winfo
from rvoip.protocols.sip.dialog_info import DialogState
from rvoip.protocols.sip.message_summary import MessageSummary, parse_message_summary
from rvoip.protocols.sip.rlmi import Instance, Resource, ResourceList, list_body
from rvoip.registrar.binding import Binding
from rvoip.registrar.buddy_lists import BuddyList, BuddyLists
from rvoip.registrar.composition import compose_dialogs, compose_presence, compose_summary, nobody_there
from rvoip.registrar.compositor import PARSERS, Compositor, CompositorSettings
from rvoip.registrar.errors import StoreError
from rvoip.registrar.interfaces import IPresenceStore
from rvoip.registrar.presence_changes import DropList, DropRule, Mailbox, PresenceChange
from rvoip.registrar.presence_policy import Decision, PresencePolicy, Rule
from rvoip.registrar.publication import PublicationChange, Publish, Published
from rvoip.registrar.registration_state import RegistrationState
from rvoip.registrar.watchers import WatcherTable

__all__ = ["CONTENT_TYPES", "PACKAGES", "Document", "Presence"]

CONTENT_TYPES: Final = {
    "presence": pidf.CONTENT_TYPE,
    "dialog": dialog_info.CONTENT_TYPE,
    "message-summary": message_summary.CONTENT_TYPE,
    "reg": reginfo.CONTENT_TYPE,
    "presence.winfo": winfo.CONTENT_TYPE,
    "dialog.winfo": winfo.CONTENT_TYPE,
}
"""Of the documents of each package. A list of resources is multipart/related."""

PACKAGES: Final = tuple(CONTENT_TYPES)
"""What Allow-Events says."""

Lookup = Callable[[str, float], tuple[Binding, ...] | Deferred[tuple[Binding, ...]]]


@attrs.frozen
class Document:
    """The body of a NOTIFY."""

    content_type: str
    body: bytes


class Presence:
    """All of it. `store` provides `IPresenceStore`; `lookup` gives the bindings of an AOR.

    `new_etag` gives entity tags that nobody can guess. `changed` hears the package and the AOR of what has
    another document now; `exists` says whether an AOR is one of ours, for the members of lists.
    """

    def __init__(
        self,
        store: IPresenceStore,
        lookup: Lookup,
        new_etag: Callable[[], str],
        *,
        changed: Callable[[str, str], object],
        settings: CompositorSettings | None = None,
        policy: PresencePolicy | None = None,
        exists: Callable[[str], bool] = lambda aor: True,
    ) -> None:
        self.store = store
        self.policy = policy or PresencePolicy()
        self.watchers = WatcherTable()
        self.lists = BuddyLists()
        self.compositor = Compositor(settings or CompositorSettings(), new_etag)
        self._lookup = lookup
        self._changed = changed
        self._exists = exists
        self._registrations = RegistrationState()
        self._dialogs: dict[str, tuple[DialogState, ...]] = {}
        self._mailboxes: dict[str, MessageSummary] = {}

    def open(self, now: float, wall_now: float) -> None:
        """Take over what was stored; blocks. Raises StoreError."""
        stored = self.store.open(now, wall_now)
        self.compositor.load(stored.publications)
        for rule in stored.rules:
            self.policy.put(rule)
        for each in stored.lists:
            self.lists.put(each)
        for mailbox in stored.mailboxes:
            self._mailboxes[mailbox.aor] = parse_message_summary(mailbox.summary)

    def close(self) -> Deferred[None] | None:
        """Write what was taken, then close."""
        return self.store.close()

    def expire(self, now: float) -> None:
        """Drop what is over; to be called about once a second."""
        over = self.compositor.expire(now)
        for package, presentity in dict.fromkeys((each.package, each.presentity) for each in over):
            self._tell(package, presentity)
        if over:
            self.store.expire(now)
        for package, presentity in self.watchers.expire(now):
            self._tell(f"{package}.winfo", presentity)

    # -- publications

    def publish(self, publish: Publish, now: float) -> Published | Deferred[Published]:
        """What to answer a PUBLISH that was authenticated; a 200 once it is stored."""
        decision = self.compositor.decide(publish, now)
        if isinstance(decision, Published):
            return decision
        change = decision
        try:
            written = self.store.write(change)
        except StoreError:
            return self._not_published(change)
        if written is None:
            return self._published(change)
        answered: Deferred[Published] = written.addCallbacks(
            lambda _: self._published(change), lambda failure: self._not_published(change, failure)
        )
        return answered

    def _published(self, change: PublicationChange) -> Published:
        self.compositor.apply(change)
        touched = change.put or change.drop
        if change.modified and touched is not None:
            self._tell(touched.package, touched.presentity)
        return change.answer

    def _not_published(self, change: PublicationChange, failure: Any = None) -> Published:
        self.compositor.abandon(change)
        if failure is not None:
            failure.trap(StoreError)
        return Published(503, reason="Presence Store Unavailable", more=(("Retry-After", "5"),))

    # -- what others tell

    def bindings_changed(self, aor: str, bindings: tuple[Binding, ...], kind: str) -> None:
        """A `rvoip.registrar.registrar.Listener`: the reg package follows the registrar."""
        if self._registrations.changed(aor, bindings, kind):
            self._tell("reg", aor)

    def set_dialogs(self, aor: str, dialogs: Iterable[DialogState]) -> None:
        """The dialogs of an AOR that are known here; none when it has none."""
        known = tuple(dialogs)
        if self._dialogs.get(aor, ()) == known:
            return
        if known:
            self._dialogs[aor] = known
        else:
            self._dialogs.pop(aor, None)
        self._tell("dialog", aor)

    def dialogs(self, aor: str) -> tuple[DialogState, ...]:
        """Those that `set_dialogs` was told last."""
        return self._dialogs.get(aor, ())

    def mailbox(self, aor: str) -> MessageSummary | None:
        """What `set_mailbox` was told last."""
        return self._mailboxes.get(aor)

    def set_mailbox(self, aor: str, summary: MessageSummary | None) -> Deferred[None] | None:
        """What waits for an AOR, stored; None when nothing is known any more."""

        def done() -> None:
            if summary is None:
                self._mailboxes.pop(aor, None)
            else:
                self._mailboxes[aor] = summary
            self._tell("message-summary", aor)

        return self._write(Mailbox(aor, b"" if summary is None else summary.to_bytes()), done)

    # -- policy and lists

    def decision(self, package: str, resource: str, watcher: str) -> Decision:
        """What a watcher (AOR, "" for somebody unknown) gets of a resource: an AOR, or that of a list."""
        found = self.lists.get(resource)
        if found is not None:
            allowed = package == "presence" and watcher == found.owner
            return Decision.ALLOW if allowed else Decision.DENY
        return self.policy.decision(package, resource, watcher)

    def set_rule(self, rule: Rule) -> Deferred[None] | None:
        """Decide for a watcher. StoreError when there are too many rules, or it cannot be stored."""
        if not self.policy.has_room(rule.presentity, rule.watcher):
            raise StoreError(f"{rule.presentity} has as many rules as are allowed")

        def done() -> None:
            self.policy.put(rule)
            self._decided(rule.presentity)

        return self._write(rule, done)

    def drop_rule(self, presentity: str, watcher: str) -> Deferred[None] | None:
        """Withdraw a decision."""

        def done() -> None:
            if self.policy.drop(presentity, watcher):
                self._decided(presentity)

        return self._write(DropRule(presentity, watcher), done)

    def set_list(self, new: BuddyList) -> Deferred[None] | None:
        """Make or change a list. StoreError when it is too long, or cannot be stored."""
        if len(new.members) > self.lists.max_members:
            raise StoreError(f"a list has at most {self.lists.max_members} members")

        def done() -> None:
            self.lists.put(new)
            self._changed("presence", new.aor)

        return self._write(new, done)

    def drop_list(self, aor: str) -> Deferred[None] | None:
        """Remove a list."""

        def done() -> None:
            if self.lists.drop(aor):
                self._changed("presence", aor)

        return self._write(DropList(aor), done)

    def _write(self, change: PresenceChange, done: Callable[[], None]) -> Deferred[None] | None:
        written = self.store.write(change)
        if written is None:
            done()
            return None
        return written.addCallback(lambda _: done())

    def _decided(self, presentity: str) -> None:
        """Whoever runs the subscriptions asks for the decisions anew."""
        self._tell("presence", presentity)
        self._tell("dialog", presentity)

    # -- watchers

    def watched(
        self,
        package: str,
        presentity: str,
        id_: str,
        uri: str,
        *,
        pending: bool,
        expires: int,
        now: float,
        display_name: str = "",
    ) -> bool:
        """A subscription began, goes on or was authorised; False, and nothing noted, beyond the bound."""
        if not self.watchers.has_room(package, presentity, id_):
            return False
        if self.watchers.subscribed(
            package,
            presentity,
            id_,
            uri,
            pending=pending,
            expires=expires,
            now=now,
            display_name=display_name,
        ):
            self._changed(f"{package}.winfo", presentity)
        return True

    def unwatched(self, package: str, presentity: str, id_: str, event: str, now: float) -> None:
        """A subscription ended for this reason (RFC 6665 section 4.1.3)."""
        if self.watchers.ended(package, presentity, id_, event, now):
            self._changed(f"{package}.winfo", presentity)
        if package == "reg" and not self.watchers.watched(package, presentity):
            self._registrations.forget(presentity)

    # -- documents

    def document(
        self, package: str, resource: str, watcher: str, now: float, version: int = 0
    ) -> Document | Deferred[Document] | None:
        """What a NOTIFY to this watcher says; None when it may see nothing, or of an unknown package.

        `version` counts the documents of one subscription, from 0 on.
        """
        decision = self.decision(package, resource, watcher)
        if decision is Decision.DENY:
            return None
        found = self.lists.get(resource)
        if found is not None:
            return self._list_document(found, watcher, now, version)
        shown = decision is Decision.ALLOW
        if package == "reg":
            bindings = self._lookup(resource, now)
            if isinstance(bindings, Deferred):
                return bindings.addCallback(lambda given: self._reg_document(resource, given, version, now))
            return self._reg_document(resource, bindings, version, now)
        if package in PARSERS:
            return Document(CONTENT_TYPES[package], self._state(package, resource, shown, now, version))
        template = package.removesuffix(".winfo")
        if package in CONTENT_TYPES and template in PARSERS:
            info = self.watchers.info(template, resource, version, now)
            return Document(winfo.CONTENT_TYPE, info.to_bytes())
        return None

    def _state(self, package: str, aor: str, shown: bool, now: float, version: int) -> bytes:
        published = self.compositor.publications(package, aor, now) if shown else ()
        entity = f"sip:{aor}"
        if package == "presence":
            return (compose_presence(entity, published) if shown else nobody_there(entity)).to_bytes()
        if package == "dialog":
            known = self._dialogs.get(aor, ()) if shown else ()
            return compose_dialogs(entity, published, known, version).to_bytes()
        return compose_summary(published, self._mailboxes.get(aor) if shown else None).to_bytes()

    def _reg_document(self, aor: str, bindings: tuple[Binding, ...], version: int, now: float) -> Document:
        self._registrations.watch(aor, bindings)
        info = self._registrations.info(aor, bindings, version, now)
        return Document(reginfo.CONTENT_TYPE, info.to_bytes())

    def _list_document(self, found: BuddyList, watcher: str, now: float, version: int) -> Document:
        """The state of each member as the owner of the list may see it (RFC 4662 section 5)."""
        domain = found.aor.rpartition("@")[2]
        resources = []
        parts: dict[str, tuple[str, bytes]] = {}
        for number, member in enumerate(found.members):
            decision = self.policy.decision("presence", member.aor, watcher)
            if not self._exists(member.aor):
                instance = Instance("1", "terminated", "noresource")
            elif decision is Decision.DENY:
                instance = Instance("1", "terminated", "rejected")
            elif decision is Decision.CONFIRM:
                instance = Instance("1", "pending")
            else:
                cid = f"{number}.{version}@{domain}"
                shown = decision is Decision.ALLOW
                parts[cid] = (pidf.CONTENT_TYPE, self._state("presence", member.aor, shown, now, 0))
                instance = Instance("1", "active", "", cid)
            resources.append(Resource(f"sip:{member.aor}", member.name, (instance,)))
        state = ResourceList(f"sip:{found.aor}", tuple(resources), version, True, found.name)
        return Document(*list_body(state, parts, domain))

    def _tell(self, package: str, aor: str) -> None:
        self._changed(package, aor)
        if package == "presence":
            for list_aor in self.lists.containing(aor):
                self._changed("presence", list_aor)
