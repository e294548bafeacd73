"""Who may watch whom: rules of each presentity, and what holds without one (RFC 3856 section 6.4)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

import attrs

__all__ = ["ANYBODY", "Decision", "PresencePolicy", "Rule"]

ANYBODY: Final = "*"
"""The watcher of a rule for all who have none of their own; "*@domain" is all of a domain."""


class Decision(Enum):
    """What a watcher gets."""

    ALLOW = "allow"
    """The state."""
    CONFIRM = "confirm"
    """A pending subscription, until the presentity has decided."""
    POLITE = "polite"
    """A subscription that looks active and shows somebody who is not there."""
    DENY = "deny"
    """Nothing."""


@attrs.frozen
class Rule:
    """What `presentity` ("user@domain") has decided for `watcher`: an AOR, "*@domain" or "*"."""

    presentity: str
    watcher: str
    decision: Decision


_DEFAULTS: Final = MappingProxyType(
    {"presence": Decision.CONFIRM, "dialog": Decision.ALLOW, "message-summary": Decision.DENY}
)


class PresencePolicy:
    """Rules by presentity, and defaults by package; a package without one is for the presentity alone.

    Rules are of presence and dialogs. A default of ALLOW holds within the presentity's own domain.
    `max_rules` bounds those of one presentity.
    """

    def __init__(self, defaults: Mapping[str, Decision] = _DEFAULTS, *, max_rules: int = 1000) -> None:
        self.defaults = dict(defaults)
        self._max_rules = max_rules
        self._rules: dict[str, dict[str, Decision]] = {}

    def decision(self, package: str, presentity: str, watcher: str) -> Decision:
        """What `watcher`, an AOR or "" for somebody unknown, gets of `presentity` in `package`."""
        if watcher == presentity:
            return Decision.ALLOW
        default = self.defaults.get(package, Decision.DENY)
        if package not in ("presence", "dialog"):
            return default
        rules = self._rules.get(presentity)
        domain = watcher.rpartition("@")[2]
        if rules:
            for which in (watcher, f"*@{domain}", ANYBODY) if watcher else (ANYBODY,):
                if which in rules:
                    return rules[which]
        if default is Decision.ALLOW and domain != presentity.rpartition("@")[2]:
            return Decision.DENY
        return default

    def rules(self, presentity: str) -> tuple[Rule, ...]:
        """The rules of a presentity, sorted by watcher."""
        rules = self._rules.get(presentity, {})
        return tuple([Rule(presentity, watcher, rules[watcher]) for watcher in sorted(rules)])

    def has_room(self, presentity: str, watcher: str) -> bool:
        """Whether one more rule may be made, or this one changed."""
        rules = self._rules.get(presentity, {})
        return watcher in rules or len(rules) < self._max_rules

    def put(self, rule: Rule) -> None:
        """Make or change a rule."""
        self._rules.setdefault(rule.presentity, {})[rule.watcher] = rule.decision

    def drop(self, presentity: str, watcher: str) -> bool:
        """Remove a rule; whether there was one."""
        rules = self._rules.get(presentity, {})
        found = rules.pop(watcher, None) is not None
        if not rules:
            self._rules.pop(presentity, None)
        return found
