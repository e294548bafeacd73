"""The tables of `[proxy.limits]`: classes of numbers, and what users may call; read into rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import attrs
from msgspec import Meta, field

from rvoip.common.errors import ConfigError
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.proxy.limits import OTHER, NumberClass, NumberClasses, UserLimits
from rvoip.proxy.numbers import NumberPlan
from rvoip.proxy.pattern import Pattern, PatternError
from rvoip.services.table import Table

if TYPE_CHECKING:
    from rvoip.services.domains import Domains
    from rvoip.users.limits import AccountLimits

__all__ = ["LimitRules", "LimitsTable", "NumberClassTable", "UserGroupTable", "limit_rules"]

Limit = Annotated[int, Meta(ge=0, le=1_000_000)]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")


class NumberClassTable(Table):
    """`[[proxy.limits.class]]`: a class of numbers."""

    name: str
    """What `allow` calls it; `other` is what no class is for."""
    prefix: str | list[str] = field(default_factory=list)
    """What the numbers begin with; the longest of all counts. With `+` it is compared as E.164, else with \
what was dialled."""
    regex: str = ""
    """An expression that they match, as dialled or as E.164; these are looked at first, in their order."""


class UserGroupTable(Table):
    """`[[proxy.limits.group]]`: users who may do more, or less, than others; what is unset is as for all."""

    name: str
    """What `rvoip user limits --group` calls it."""
    users: list[str] = field(default_factory=list)
    """`USER@DOMAIN`, or users of the first domain."""
    calls: Limit | None = None
    """Calls at once; 0: no limit, also in what follows."""
    calls_a_minute: Limit | None = None
    """Calls begun in any 60 seconds."""
    calls_a_day: Limit | None = None
    """Calls begun in a day."""
    minutes_a_day: Limit | None = None
    """Minutes of talk in a day, after which no call may begin."""
    allow: list[str] | None = None
    """Classes of numbers that may be called."""


class LimitsTable(Table):
    """`[proxy.limits]`: how much each user may call numbers and addresses elsewhere, and which."""

    calls: Limit = 0
    """Calls at once; 0: no limit, also in what follows. It needs `record_route` and `dialogs`."""
    calls_a_minute: Limit = 0
    """Calls begun in any 60 seconds, answered or not."""
    calls_a_day: Limit = 0
    """Calls begun in a day, by the server's own time zone."""
    minutes_a_day: Limit = 0
    """Minutes of talk in a day, after which no call may begin."""
    allow: list[str] | None = None
    """Classes of numbers that may be called; unset: all."""
    emergency: list[str] = field(default_factory=lambda: ["112", "911", "999", "110"])
    """Numbers that are never limited or counted, as they are dialled."""
    class_: list[NumberClassTable] = field(default_factory=list, name="class")
    """See `[[proxy.limits.class]]`."""
    group: list[UserGroupTable] = field(default_factory=list)
    """See `[[proxy.limits.group]]`."""


@attrs.frozen
class LimitRules:
    """What the tables say. `members` are the groups of users by AOR."""

    classes: NumberClasses
    default: UserLimits
    groups: dict[str, UserLimits]
    members: dict[str, str]
    says_anything: bool = attrs.field(init=False)
    """Whether anybody is limited."""

    @says_anything.default
    def _says_anything(self) -> bool:
        return any(one.counts or one.allow is not None for one in (self.default, *self.groups.values()))

    def of(self, aor: str, special: AccountLimits | None) -> UserLimits:
        """The limits of a user about whom this is special."""
        group = self.members.get(aor)
        if special is not None and special.group is not None:
            group = special.group
        base = self.default if group is None else self.groups.get(group, self.default)
        if special is None:
            return base
        return UserLimits(
            base.calls if special.calls is None else special.calls,
            base.calls_a_minute if special.calls_a_minute is None else special.calls_a_minute,
            base.calls_a_day if special.calls_a_day is None else special.calls_a_day,
            base.minutes_a_day if special.minutes_a_day is None else special.minutes_a_day,
            base.allow if special.allow is None else special.allow,
        )


def limit_rules(table: LimitsTable, plan: NumberPlan, domains: Domains, file: str) -> LimitRules:
    """What the table says; `ConfigError` when there is a mistake in it."""
    classes: list[NumberClass] = []
    seen: dict[str, str] = {}
    for number, one in enumerate(table.class_):
        key = f"proxy.limits.class[{number}]"
        _check_name(one.name, {OTHER, *(known.name for known in classes)}, file, f"{key}.name")
        prefixes = [one.prefix] if isinstance(one.prefix, str) else one.prefix
        if not (one.regex or prefixes):
            raise ConfigError(file, key, "is of no numbers", "give it a prefix or a regex")
        for prefix in prefixes:
            if not prefix:
                raise ConfigError(file, f"{key}.prefix", "is empty", f"all further numbers are {OTHER!r}")
            if prefix in seen:
                reason = f"{prefix!r} is one of {seen[prefix]} too"
                raise ConfigError(file, f"{key}.prefix", reason, "keep one of them")
            seen[prefix] = one.name
        try:
            regex = Pattern(one.regex) if one.regex else None
        except PatternError as error:
            raise ConfigError(file, f"{key}.regex", str(error)) from None
        classes.append(NumberClass(one.name, prefixes, regex))
    names = {OTHER, *(one.name for one in classes)}
    default = UserLimits(
        table.calls,
        table.calls_a_minute,
        table.calls_a_day,
        table.minutes_a_day,
        _allowed(table.allow, names, file, "proxy.limits.allow"),
    )
    groups: dict[str, UserLimits] = {}
    members: dict[str, str] = {}
    for number, group in enumerate(table.group):
        key = f"proxy.limits.group[{number}]"
        _check_name(group.name, set(groups), file, f"{key}.name")
        allow = _allowed(group.allow, names, file, f"{key}.allow")
        groups[group.name] = UserLimits(
            default.calls if group.calls is None else group.calls,
            default.calls_a_minute if group.calls_a_minute is None else group.calls_a_minute,
            default.calls_a_day if group.calls_a_day is None else group.calls_a_day,
            default.minutes_a_day if group.minutes_a_day is None else group.minutes_a_day,
            default.allow if allow is None else allow,
        )
        for place, text in enumerate(group.users):
            aor = _aor(text, domains, file, f"{key}.users[{place}]")
            if aor in members:
                reason = f"{aor} is in {members[aor]} too"
                raise ConfigError(file, f"{key}.users[{place}]", reason, "keep one of them")
            members[aor] = group.name
    return LimitRules(NumberClasses(classes, plan, table.emergency), default, groups, members)


def _check_name(name: str, taken: set[str], file: str, key: str) -> None:
    if not _NAME.match(name):
        raise ConfigError(file, key, f"{name!r} is no name", "take letters, digits and . _ -")
    if name in taken:
        raise ConfigError(file, key, f"{name!r} is taken", "name it otherwise")


def _allowed(allow: list[str] | None, names: set[str], file: str, key: str) -> frozenset[str] | None:
    if allow is None:
        return None
    for name in allow:
        if name not in names:
            known = ", ".join(sorted(names))
            raise ConfigError(file, key, f"there is no class {name!r}", f"there are {known}")
    return frozenset(allow)


def _aor(text: str, domains: Domains, file: str, key: str) -> str:
    try:
        uri = parse_uri(f"sip:{text}" if "@" in text else f"sip:{text}@{domains.first}")
    except SIPParseError:
        uri = None
    if not isinstance(uri, SipURI) or not uri.user or not domains.serves(uri):
        raise ConfigError(file, key, f"{text!r} is no user of a domain served here")
    return domains.aor(uri)
