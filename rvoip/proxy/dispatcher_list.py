"""Kamailio's `dispatcher.list`: lines `SETID URI [FLAGS [PRIORITY [ATTRS]]]`.

Flags are those of its module: 1 inactive, 4 disabled, 8 probing; 2 (trying) and 16 (no DNS) mean nothing.
Of the attributes `weight`, `rweight` and `maxload` are used, and `duid` names the gateway; all are kept.
"""

from __future__ import annotations

import re

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.proxy.gateways import Gateway
from rvoip.proxy.health import ACTIVE, DISABLED, INACTIVE, PROBING

__all__ = ["DispatcherListError", "Entry", "read_dispatcher_list"]

_NUMBER = re.compile(r"-?[0-9]{1,9}\Z")

_INACTIVE, _DISABLED, _PROBING = 1, 4, 8


class DispatcherListError(ValueError):
    """A line is not one of a dispatcher list."""


class Entry:
    """One line: the gateway without its set, and the state that it begins in."""

    __slots__ = ("attrs", "limit", "name", "priority", "set_id", "state", "uri", "weight")

    def __init__(self, set_id: str, uri: SipURI, flags: int, priority: int, attrs: dict[str, str]) -> None:
        self.set_id = set_id
        self.uri = uri
        self.priority = priority
        self.attrs = attrs
        self.weight = _attribute(attrs, "weight", _attribute(attrs, "rweight", 1))
        self.limit = _attribute(attrs, "maxload", 0)
        self.name = attrs.get("duid") or _place(uri)
        self.state = ACTIVE
        if flags & _DISABLED:
            self.state = DISABLED
        elif flags & _INACTIVE:
            self.state = INACTIVE
        elif flags & _PROBING:
            self.state = PROBING

    def gateway(self, set_name: str) -> Gateway:
        """The gateway as one of a set; its state is for whoever knows the time to set."""
        return Gateway(
            set_name,
            self.name,
            self.uri,
            weight=self.weight,
            priority=self.priority,
            limit=self.limit,
            attrs=self.attrs,
        )


def read_dispatcher_list(text: str) -> list[Entry]:
    """The lines of a file. Raises `DispatcherListError` with the number of the line."""
    entries = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            entries.append(_entry(words))
        except ValueError as error:
            raise DispatcherListError(f"line {number}: {error}") from None
    return entries


def _entry(words: list[str]) -> Entry:
    if len(words) < 2:
        raise ValueError("expected SETID URI [FLAGS [PRIORITY [ATTRS]]]")
    set_id, address = words[0], words[1]
    if not _NUMBER.match(set_id):
        raise ValueError(f"{set_id!r} is no number of a set")
    try:
        uri = parse_uri(address)
    except SIPParseError as error:
        raise ValueError(f"{address!r}: {error.reason}") from None
    if not isinstance(uri, SipURI):
        raise ValueError(f"{address!r} is no SIP URI")
    numbers = [0, 0]
    for place, word in enumerate(words[2:4]):
        if not _NUMBER.match(word):
            raise ValueError(f"{word!r} is no number")
        numbers[place] = int(word)
    attrs: dict[str, str] = {}
    for pair in " ".join(words[4:]).strip("\"'").split(";"):
        name, _, value = pair.strip().partition("=")
        if name:
            attrs[name] = value
    return Entry(str(int(set_id)), uri, numbers[0], numbers[1], attrs)


def _attribute(attrs: dict[str, str], name: str, default: int) -> int:
    text = attrs.get(name, "")
    if not text:
        return default
    if not _NUMBER.match(text) or int(text) < 0:
        raise ValueError(f"{name}={text} is no number")
    return int(text)


def _place(uri: SipURI) -> str:
    """host:port and a transport that is not the usual one."""
    host = f"[{uri.host}]" if ":" in uri.host else uri.host
    text = host if uri.port is None else f"{host}:{uri.port}"
    return f"{text};{uri.transport}" if uri.transport not in (None, "udp") else text
