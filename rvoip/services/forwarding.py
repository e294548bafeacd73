"""Call forwarding as the configuration says it (`rvoip.proxy.interfaces.IForwarding`)."""

from __future__ import annotations

from collections.abc import Iterable

from zope.interface import implementer

from rvoip.common.errors import ConfigError
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.proxy.forwarding import Forwarding
from rvoip.proxy.interfaces import IForwarding
from rvoip.services.domains import Domains
from rvoip.services.table import Seconds, Table

__all__ = ["ConfiguredForwarding", "ForwardTable"]


class ForwardTable(Table):
    """`[[proxy.forward]]`: where the calls of a user go; URIs, or names and numbers in the user's domain."""

    user: str
    """`USER@DOMAIN`, or a user of the first domain."""
    always: str = ""
    """All calls."""
    busy: str = ""
    """Calls that find the user busy."""
    no_answer: str = ""
    """Calls that nobody answers within `after` seconds."""
    unreachable: str = ""
    """Calls that reach no phone of the user, for want of one that is registered or lives."""
    after: Seconds = 20.0
    """Seconds that phones ring before `no_answer` counts."""


@implementer(IForwarding)
class ConfiguredForwarding:
    """See `IForwarding`."""

    def __init__(self, tables: Iterable[ForwardTable], domains: Domains, file: str) -> None:
        """`ConfigError` for what is no user or no URI, or a user who is there twice."""
        self._rules: dict[str, Forwarding] = {}
        for number, table in enumerate(tables):
            key = f"proxy.forward[{number}]"
            user = _uri(table.user, domains.first, file, f"{key}.user")
            if not domains.serves(user) or user.user is None:
                raise ConfigError(file, f"{key}.user", f"{table.user!r} is no user of a domain served here")
            aor = domains.aor(user)
            if aor in self._rules:
                raise ConfigError(file, f"{key}.user", f"{aor} is there twice")
            if not (table.always or table.busy or table.no_answer or table.unreachable):
                raise ConfigError(
                    file, key, "forwards nothing", "name always, busy, no_answer or unreachable"
                )
            domain = domains.domain(user)

            def target(name: str, text: str, key: str = key, domain: str = domain) -> SipURI | None:
                return _uri(text, domain, file, f"{key}.{name}") if text else None

            self._rules[aor] = Forwarding(
                target("always", table.always),
                target("busy", table.busy),
                target("no_answer", table.no_answer),
                target("unreachable", table.unreachable),
                table.after,
            )

    def __len__(self) -> int:
        return len(self._rules)

    def of(self, aor: str) -> Forwarding | None:
        """See `IForwarding`."""
        return self._rules.get(aor)


def _uri(text: str, domain: str, file: str, key: str) -> SipURI:
    """A SIP URI as it is; a user or number of a domain, or USER@DOMAIN, as one."""
    if not text.lower().startswith(("sip:", "sips:")):
        text = f"sip:{text}" if "@" in text else f"sip:{text}@{domain}"
    try:
        uri = parse_uri(text)
    except SIPParseError as error:
        raise ConfigError(file, key, error.reason) from None
    if not isinstance(uri, SipURI) or not uri.user:
        raise ConfigError(file, key, f"{text!r} is no SIP URI of a user")
    return uri
