"""Other names of users: aliases, and the numbers under which they are called from outside (DIDs)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.proxy.numbers import NumberPlan
from rvoip.proxy.rewrite import dialled

__all__ = ["AliasError", "Aliases", "alias_target", "read_aliases"]


class AliasError(ValueError):
    """An alias, or a file of them, cannot be read."""


def alias_target(text: str) -> SipURI:
    """The URI that an alias stands for: "sip:bob@example.net", or the same without its scheme."""
    try:
        uri = parse_uri(text if text.lower().startswith(("sip:", "sips:")) else f"sip:{text}")
    except SIPParseError as error:
        raise AliasError(f"{text!r} is no address: {error.reason}") from None
    if not isinstance(uri, SipURI) or uri.user is None:
        raise AliasError(f"{text!r} is no USER@DOMAIN")
    return uri


class Aliases:
    """What names stand for.

    A name is `USER@DOMAIN`, or only the user part, which then counts in every domain served here. A number
    is found however it was dialled, when it is written as E.164.
    """

    def __init__(self, names: Mapping[str, Iterable[SipURI]], plan: NumberPlan) -> None:
        self._targets: dict[str, tuple[SipURI, ...]] = {}
        self._plan = plan
        for name, targets in names.items():
            self._targets[_key(name)] = tuple(targets)

    def __len__(self) -> int:
        return len(self._targets)

    def find(self, uri: SipURI, aor: str) -> tuple[SipURI, ...]:
        """What a Request-URI stands for, maybe nothing; `aor` is its user in a domain of ours."""
        targets = self._targets
        if not targets or uri.user is None:
            return ()
        found = targets.get(aor)
        if found is not None:
            return found
        user = dialled(uri)
        number = self._plan.e164(user)
        names = [user] if number is None or number == user else [user, number]
        domain = aor.rpartition("@")[2]
        for name in names:
            found = targets.get(f"{name}@{domain}") or targets.get(name)
            if found is not None:
                return found
        return ()


def _key(name: str) -> str:
    user, at, domain = name.rpartition("@")
    if not at:
        return name
    return f"{user}@{domain.lower().rstrip('.')}"


def read_aliases(text: str) -> dict[str, tuple[SipURI, ...]]:
    """The aliases of a file: lines `NAME,TARGET[,TARGET...]`; `#` begins a comment. Raises `AliasError`."""
    found: dict[str, tuple[SipURI, ...]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = [word.strip() for word in line.partition("#")[0].split(",")]
        if words == [""]:
            continue
        if len(words) < 2 or not all(words):
            raise AliasError(f"line {number}: expected NAME,TARGET")
        try:
            found[words[0]] = tuple([alias_target(word) for word in words[1:]])
        except AliasError as error:
            raise AliasError(f"line {number}: {error}") from None
    return found
