"""Watcher information: who watches a resource, and with what success (RFC 3857, RFC 3858)."""

from __future__ import annotations

from typing import Final

import attrs

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.xml import Element, number, parse_xml

__all__ = ["CONTENT_TYPE", "Watcher", "WatcherInfo", "WatcherList", "parse_winfo"]

CONTENT_TYPE: Final = "application/watcherinfo+xml"
NAMESPACE: Final = "urn:ietf:params:xml:ns:watcherinfo"

STATUSES: Final = ("pending", "active", "waiting", "terminated")
EVENTS: Final = (
    "subscribe",
    "approved",
    "deactivated",
    "probation",
    "rejected",
    "timeout",
    "giveup",
    "noresource",
)


@attrs.frozen
class Watcher:
    """One watcher. ``expiration`` is the seconds that are left, ``duration`` those since it subscribed."""

    uri: str
    id: str
    status: str
    event: str
    display_name: str = ""
    expiration: int | None = None
    duration: int | None = None


@attrs.frozen
class WatcherList:
    """The watchers of one resource in one package."""

    resource: str
    package: str
    watchers: tuple[Watcher, ...] = ()


@attrs.frozen
class WatcherInfo:
    """Lists of watchers: whole ones, or when not ``full`` those watchers that have changed."""

    lists: tuple[WatcherList, ...]
    version: int = 0
    full: bool = True

    def to_bytes(self) -> bytes:
        """The document."""
        state = "full" if self.full else "partial"
        root = Element(NAMESPACE, "watcherinfo", {"version": str(self.version), "state": state})
        for each in self.lists:
            element = root.add("watcher-list", resource=each.resource, package=each.package)
            for watcher in each.watchers:
                _add_watcher(element, watcher)
        return root.to_bytes()


def parse_winfo(data: bytes) -> WatcherInfo:
    """The watchers in a document; `SIPParseError` when it is none."""
    root = parse_xml(data)
    if (root.namespace, root.name) != (NAMESPACE, "watcherinfo"):
        raise SIPParseError("No watcherinfo")
    version, state = number(root.get("version")), root.get("state")
    if version is None or state not in ("full", "partial"):
        raise SIPParseError("watcherinfo Without Version Or State")
    lists = []
    for element in root.all("watcher-list"):
        resource, package = element.get("resource").strip(), element.get("package").strip()
        if not resource or not package:
            raise SIPParseError("Bad List In watcherinfo")
        lists.append(
            WatcherList(resource, package, tuple([_watcher(each) for each in element.all("watcher")]))
        )
    return WatcherInfo(tuple(lists), version, state == "full")


def _watcher(element: Element) -> Watcher:
    status, event, id_ = element.get("status"), element.get("event"), element.get("id")
    uri = element.text.strip()
    if status not in STATUSES or event not in EVENTS or not id_ or not uri:
        raise SIPParseError("Bad Watcher In watcherinfo")
    return Watcher(
        uri,
        id_,
        status,
        event,
        element.get("display-name"),
        number(element.get("expiration")),
        number(element.get("duration-subscribed")),
    )


def _add_watcher(element: Element, watcher: Watcher) -> None:
    added = element.add("watcher", watcher.uri, id=watcher.id, status=watcher.status, event=watcher.event)
    if watcher.display_name:
        added.attributes["display-name"] = watcher.display_name
    if watcher.expiration is not None:
        added.attributes["expiration"] = str(watcher.expiration)
    if watcher.duration is not None:
        added.attributes["duration-subscribed"] = str(watcher.duration)
