"""The state of a list of resources in one body: RLMI and what it refers to (RFC 4662 section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.mime import Part, build_multipart
from rvoip.protocols.sip.xml import Element, number, parse_xml

__all__ = ["CONTENT_TYPE", "Instance", "Resource", "ResourceList", "list_body", "parse_rlmi"]

CONTENT_TYPE: Final = "application/rlmi+xml"
NAMESPACE: Final = "urn:ietf:params:xml:ns:rlmi"

STATES: Final = ("active", "pending", "terminated")
_ROOT_ID: Final = "list"


@attrs.frozen
class Instance:
    """One subscription behind the list; ``cid`` names the part with its state, "" when there is none."""

    id: str
    state: str
    reason: str = ""
    cid: str = ""


@attrs.frozen
class Resource:
    """A member of the list, whose ``name`` is for people."""

    uri: str
    name: str = ""
    instances: tuple[Instance, ...] = ()


@attrs.frozen
class ResourceList:
    """The members of the list ``uri``: all of them, or when not ``full`` those that have changed."""

    uri: str
    resources: tuple[Resource, ...] = ()
    version: int = 0
    full: bool = True
    name: str = ""

    def to_bytes(self) -> bytes:
        """The document that the body begins with."""
        root = Element(
            NAMESPACE,
            "list",
            {
                "uri": self.uri,
                "version": str(self.version),
                "fullState": "true" if self.full else "false",
            },
        )
        if self.name:
            root.add("name", self.name)
        for each in self.resources:
            element = root.add("resource", uri=each.uri)
            if each.name:
                element.add("name", each.name)
            for instance in each.instances:
                added = element.add("instance", id=instance.id, state=instance.state)
                if instance.reason:
                    added.attributes["reason"] = instance.reason
                if instance.cid:
                    added.attributes["cid"] = instance.cid
        return root.to_bytes()


def list_body(state: ResourceList, parts: Mapping[str, tuple[str, bytes]], domain: str) -> tuple[str, bytes]:
    """The Content-Type and the octets of a multipart/related body (RFC 4662 section 5.5).

    `parts` are (Content-Type, body) by the cid of their instances; `domain` completes the Content-ID of the
    list itself.
    """
    root = f"{_ROOT_ID}@{domain}"
    first = Part.of(CONTENT_TYPE, state.to_bytes(), content_id=root)
    others = [Part.of(type_, octets, content_id=cid) for cid, (type_, octets) in parts.items()]
    kind, body = build_multipart([first, *others], "related")
    return f'{kind};type="{CONTENT_TYPE}";start="<{root}>"', body


def parse_rlmi(data: bytes) -> ResourceList:
    """The list in a document; `SIPParseError` when it is none."""
    root = parse_xml(data)
    if (root.namespace, root.name) != (NAMESPACE, "list"):
        raise SIPParseError("No RLMI")
    uri, version, full = root.get("uri").strip(), number(root.get("version")), root.get("fullState")
    if not uri or version is None or full not in ("true", "false", "1", "0"):
        raise SIPParseError("RLMI Without URI, Version Or fullState")
    resources = tuple([_resource(each) for each in root.all("resource")])
    return ResourceList(uri, resources, version, full in ("true", "1"), root.content("name"))


def _resource(element: Element) -> Resource:
    uri = element.get("uri").strip()
    if not uri:
        raise SIPParseError("RLMI Resource Without URI")
    instances = []
    for each in element.all("instance"):
        id_, state = each.get("id"), each.get("state")
        if not id_ or state not in STATES:
            raise SIPParseError("Bad Instance In RLMI")
        instances.append(Instance(id_, state, each.get("reason"), each.get("cid")))
    return Resource(uri, element.content("name"), tuple(instances))
