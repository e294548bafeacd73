"""Rules and lists of presence that the configuration has, beside those that the store keeps."""

from __future__ import annotations

from collections.abc import Callable

from rvoip.common.errors import ConfigError
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.registrar.buddy_lists import Buddy, BuddyList
from rvoip.registrar.presence import Presence
from rvoip.registrar.presence_policy import ANYBODY, Decision, Rule
from rvoip.services.domains import Domains
from rvoip.services.presence_table import PresenceTable

__all__ = ["ConfiguredRules", "address"]


def address(text: str, domains: Domains, domain: str = "") -> str:
    """The address-of-record that `user`, `user@domain` or a SIP URI means; ValueError when it is none."""
    if not text.lower().startswith(("sip:", "sips:")):
        text = f"sip:{text}" if "@" in text else f"sip:{text}@{domain or domains.first}"
    try:
        uri = parse_uri(text)
    except SIPParseError as error:
        raise ValueError(error.reason) from None
    if not isinstance(uri, SipURI) or not uri.user:
        raise ValueError(f"{text!r} is no address of a user")
    return domains.aor(uri) if domains.serves(uri) else uri.aor


class ConfiguredRules:
    """What `[[presence.rule]]` and `[[presence.list]]` say; `ConfigError` for what makes no sense."""

    def __init__(self, table: PresenceTable, domains: Domains, file: str) -> None:
        self._domains = domains
        self._file = file
        self.rules: dict[tuple[str, str], Rule] = {}
        self.lists: dict[str, BuddyList] = {}
        for number, each in enumerate(table.rule):
            key = f"presence.rule[{number}]"
            user = self._own(each.user, f"{key}.user")
            watcher = each.watcher
            if watcher != ANYBODY and not watcher.startswith("*@"):
                watcher = self._read(watcher, f"{key}.watcher", user.rpartition("@")[2])
            if (user, watcher) in self.rules:
                raise ConfigError(file, key, f"{user} has a rule for {watcher} already")
            self.rules[user, watcher] = Rule(user, watcher, Decision(each.decision))
        for number, found in enumerate(table.list_):
            key = f"presence.list[{number}]"
            name = self._own(found.name, f"{key}.name")
            owner = self._own(found.owner, f"{key}.owner")
            if name in self.lists:
                raise ConfigError(file, f"{key}.name", f"{name} is there twice")
            if len(found.members) > table.max_members:
                raise ConfigError(
                    file, f"{key}.members", f"has {len(found.members)} members", "see presence.max_members"
                )
            domain = owner.rpartition("@")[2]
            members = dict.fromkeys(self._read(one, f"{key}.members", domain) for one in found.members)
            self.lists[name] = BuddyList(name, owner, tuple(Buddy(one) for one in members), found.title)

    def _read(self, text: str, key: str, domain: str = "") -> str:
        try:
            return address(text, self._domains, domain)
        except ValueError as error:
            raise ConfigError(self._file, key, str(error)) from None

    def _own(self, text: str, key: str) -> str:
        aor = self._read(text, key)
        if aor.rpartition("@")[2] not in {*self._domains.names, self._domains.first}:
            raise ConfigError(self._file, key, f"{text!r} is no user of a domain served here")
        return aor

    def use(
        self, presence: Presence, before: ConfiguredRules | None, changed: Callable[[str], object]
    ) -> None:
        """Have them count in place of those `before`; `changed` hears each address that is touched.

        What the file says hides what the store says of the same; what it says no more is gone, and what was
        hidden is there again once the store is read anew, at the next start.
        """
        touched: dict[str, None] = {}
        old_rules = before.rules if before is not None else {}
        for place, rule in old_rules.items():
            if place not in self.rules:
                presence.policy.drop(*place)
                touched[rule.presentity] = None
        for place, rule in self.rules.items():
            if old_rules.get(place) != rule:
                presence.policy.put(rule)
                touched[rule.presentity] = None
        old_lists = before.lists if before is not None else {}
        for name in old_lists:
            if name not in self.lists:
                presence.lists.drop(name)
                touched[name] = None
        for name, found in self.lists.items():
            if old_lists.get(name) != found:
                presence.lists.put(found)
                touched[name] = None
        for aor in touched:
            changed(aor)
