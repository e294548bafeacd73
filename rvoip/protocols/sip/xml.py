"""XML as event packages use it: elements with namespaces, read without DTD and entities, within bounds.

What is read was written by a stranger. A document type declaration is refused, so there is nothing to expand
and nothing to fetch; depth, octets, elements and attributes have limits. Only UTF-8 is read (RFC 3863 section
4.1.1 wants it from everybody who sends).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from xml.parsers import expat

from rvoip.protocols.sip.errors import SIPBuildError, SIPParseError

__all__ = ["MAX_DEPTH", "MAX_ELEMENTS", "MAX_OCTETS", "Element", "number", "parse_xml"]

MAX_OCTETS: Final = 65_536
MAX_DEPTH: Final = 32
MAX_ELEMENTS: Final = 2_000
_MAX_ATTRIBUTES: Final = 32

XML: Final = "http://www.w3.org/XML/1998/namespace"

# What XML 1.0 cannot have, not even as a reference.
_IMPOSSIBLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Far from all that XML forbids in a name, but all that would break out of it.
_NAME = re.compile(r"""[^\s0-9.<>&"'/=?!:;{}-][^\s<>&"'/=?!:;{}]*\Z""")
_NUMBER = re.compile(r"\s*([0-9]{1,10})\s*\Z", re.ASCII)


class Element:
    """An element: its namespace and name, its attributes, its children, and the text before the first child.

    Attributes without a namespace go by their name, others by ``{namespace}name``. Text between children is
    not kept: no package here means anything by it.
    """

    __slots__ = ("attributes", "children", "name", "namespace", "text")

    def __init__(
        self,
        namespace: str,
        name: str,
        attributes: Mapping[str, str] | None = None,
        text: str = "",
        children: Iterable[Element] = (),
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.attributes: dict[str, str] = dict(attributes or {})
        self.text = text
        self.children: list[Element] = list(children)

    def __repr__(self) -> str:
        return f"<Element {{{self.namespace}}}{self.name} {self.attributes} {len(self.children)} children>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Element):
            return NotImplemented
        return (
            (self.namespace, self.name, self.attributes, self.text.strip(), self.children)
            == (other.namespace, other.name, other.attributes, other.text.strip(), other.children)
        )  # fmt: skip

    __hash__ = None  # type: ignore[assignment]

    def get(self, attribute: str, default: str = "") -> str:
        """The value of an attribute."""
        return self.attributes.get(attribute, default)

    def find(self, name: str, namespace: str | None = None) -> Element | None:
        """The first child of this name, in the same namespace or the one given."""
        return next(self.all(name, namespace), None)

    def all(self, name: str, namespace: str | None = None) -> Iterator[Element]:
        """All children of this name, in the same namespace or the one given."""
        wanted = self.namespace if namespace is None else namespace
        return (child for child in self.children if child.name == name and child.namespace == wanted)

    def content(self, name: str, namespace: str | None = None) -> str:
        """The text of the first child of this name without blanks around it, "" without one."""
        found = self.find(name, namespace)
        return "" if found is None else found.text.strip()

    def add(self, name: str, text: str = "", /, **attributes: str) -> Element:
        """Append a child in the same namespace and return it; ``_`` in the name of an attribute means "-"."""
        given = {key.replace("_", "-"): value for key, value in attributes.items()}
        child = Element(self.namespace, name, given, text)
        self.children.append(child)
        return child

    def to_bytes(self, prefixes: Mapping[str, str] | None = None) -> bytes:
        """The document of which this is the root; `prefixes` are preferred ones, namespace to prefix."""
        return _Writer(self, prefixes or {}).document()


def number(text: str) -> int | None:
    """A number of up to ten digits in a text or attribute, else None."""
    match = _NUMBER.match(text)
    return int(match[1]) if match else None


def parse_xml(data: bytes) -> Element:
    """The root of a document; `SIPParseError` (400) for what is no XML, or not within the bounds."""
    if len(data) > MAX_OCTETS:
        raise SIPParseError("XML Too Large", 413)
    return _Reader().read(data)


class _Reader:
    """Builds the tree; expat calls back."""

    def __init__(self) -> None:
        self._root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def read(self, data: bytes) -> Element:
        # With an encoding given here that of the declaration counts for nothing.
        parser = expat.ParserCreate("UTF-8", " ")
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.EntityDeclHandler = _refuse_doctype
        parser.ExternalEntityRefHandler = _refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            raise SIPParseError(f"Bad XML In Line {error.lineno}") from None
        if self._root is None:
            raise SIPParseError("Bad XML")
        return self._root

    def _start(self, full_name: str, given: list[str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH or len(given) > 2 * _MAX_ATTRIBUTES:
            raise SIPParseError("XML Too Complex")
        namespace, _, name = full_name.rpartition(" ")
        attributes = {}
        for key, value in zip(given[::2], given[1::2]):
            place, _, local = key.rpartition(" ")
            attributes[f"{{{place}}}{local}" if place else local] = value
        element = Element(namespace, name, attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _end(self, full_name: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        if not self._open[-1].children:
            self._open[-1].text += text


def _refuse_doctype(*_: object) -> int:
    raise SIPParseError("XML With A DTD")


class _Writer:
    """Writes a tree; namespaces are declared at the root, whose own is the default one."""

    def __init__(self, root: Element, preferred: Mapping[str, str]) -> None:
        self._root = root
        self._default = root.namespace
        self._prefixes = {XML: "xml"}
        self._parts: list[str] = []
        used = {"xml"}
        for namespace in dict.fromkeys(_prefixed(root, self._default)):
            if namespace == XML:
                continue
            prefix = preferred.get(namespace, "")
            if not prefix or prefix in used:
                prefix = f"n{len(self._prefixes)}"
            used.add(prefix)
            self._prefixes[namespace] = prefix

    def document(self) -> bytes:
        """The whole of it."""
        declared = [f' xmlns="{_attribute(self._default)}"'] if self._default else []
        for namespace, prefix in self._prefixes.items():
            if namespace != XML:
                declared.append(f' xmlns:{prefix}="{_attribute(namespace)}"')
        self._element(self._root, self._default, "".join(declared))
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{"".join(self._parts)}\n'.encode()

    def _element(self, element: Element, default: str, declared: str = "") -> None:
        """`default` is the default namespace around the element."""
        namespace = element.namespace
        name = _checked(element.name)
        if namespace != default:
            if namespace in self._prefixes:
                name = f"{self._prefixes[namespace]}:{name}"
            else:
                declared = f' xmlns="{_attribute(namespace)}"'  # none, or that of the root again
                default = namespace
        parts = self._parts
        parts.append(f"<{name}{declared}")
        for key, value in element.attributes.items():
            if key[:1] == "{":
                place, _, local = key[1:].partition("}")
                key = f"{self._prefixes[place]}:{_checked(local)}"
            else:
                _checked(key)
            parts.append(f' {key}="{_attribute(value)}"')
        if not element.text and not element.children:
            parts.append("/>")
            return
        parts.append(f">{_escaped(element.text)}")
        for child in element.children:
            self._element(child, default)
        parts.append(f"</{name}>")


def _prefixed(element: Element, default: str) -> Iterator[str]:
    """The namespaces that need a prefix: of elements that are not in the default one, and of attributes."""
    if element.namespace not in (default, ""):
        yield element.namespace
    for key in element.attributes:
        if key[:1] == "{":
            yield key[1:].partition("}")[0]
    for child in element.children:
        yield from _prefixed(child, default)


def _checked(name: str) -> str:
    if _NAME.match(name):
        return name
    raise SIPBuildError(f"{name!r} is no name of XML")


def _escaped(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    return _IMPOSSIBLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _attribute(text: str) -> str:
    return _escaped(text).replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;")
