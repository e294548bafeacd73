"""Attributes in their order, and how sessions and media are asked for them (RFC 8866 section 5.13)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec
from msgspec import Struct

from rvoip.protocols.sdp.direction import DIRECTIONS, Direction
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.formats import ExtMap
from rvoip.protocols.sdp.grammar import fields
from rvoip.protocols.sdp.security import Fingerprint
from rvoip.protocols.sdp.transport import Setup

__all__ = ["SECRET_NAMES", "Attribute", "Attributed"]

_Value = TypeVar("_Value")

# Their values are keys; a description in a log or a traceback shows that they are there and no more.
SECRET_NAMES = frozenset({"crypto", "ice-pwd", "key-mgmt", "acap"})


class Attribute(Struct, frozen=True, gc=False):
    """One a= line: "a=name:value", or "a=name" where value is None. Both are kept as written."""

    name: str
    value: str | None = None

    @classmethod
    def parse(cls, text: str) -> Attribute:
        """Read what stands after "a="."""
        name, colon, value = text.partition(":")
        if not colon:
            name = name.rstrip(" \t")
        if not name:
            raise SDPError("a= has no attribute name")
        return cls(name, value if colon else None)

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value}"

    def __repr__(self) -> str:
        value = "..." if self.name in SECRET_NAMES and self.value else self.value
        return f"Attribute({self.name!r})" if value is None else f"Attribute({self.name!r}, {value!r})"


class Attributed:
    """What a description and its media have in common: attributes.

    Accessors answer from values that can be read and pass over those that cannot, as a receiver does with
    what it does not understand; `problems.problems` names them. Those here may stand at either level, and
    answer for the one they are asked of: `SessionDescription` has the like of them that apply its defaults to
    a section.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def attributes(self) -> tuple[Attribute, ...]:
            """The a= lines in their order."""

    def has(self, name: str) -> bool:
        """Whether there is such an attribute, with a value or without."""
        return any(attribute.name == name for attribute in self.attributes)

    def value(self, name: str) -> str | None:
        """The first value of that name; None without one."""
        for attribute in self.attributes:
            if attribute.name == name and attribute.value is not None:
                return attribute.value
        return None

    def values(self, name: str) -> tuple[str, ...]:
        """All values of that name, in order."""
        return tuple(
            attribute.value
            for attribute in self.attributes
            if attribute.name == name and attribute.value is not None
        )

    def read(self, name: str, reader: Callable[[str], _Value]) -> tuple[_Value, ...]:
        """All values of that name that ``reader`` takes, without those for which it raises `SDPError`."""
        found = []
        for attribute in self.attributes:
            if attribute.name == name and attribute.value is not None:
                try:
                    found.append(reader(attribute.value))
                except SDPError:
                    continue
        return tuple(found)

    def read_first(self, name: str, reader: Callable[[str], _Value]) -> _Value | None:
        """The first value of that name that ``reader`` takes; None without one."""
        found = self.read(name, reader)
        return found[0] if found else None

    @property
    def own_direction(self) -> Direction | None:
        """The direction written at this level; None where none is."""
        for attribute in self.attributes:
            if attribute.value is None and attribute.name in DIRECTIONS:
                return DIRECTIONS[attribute.name]
        return None

    @property
    def ice_ufrag(self) -> str | None:
        """The ICE user name fragment (RFC 8839 section 5.4)."""
        return self.value("ice-ufrag")

    @property
    def ice_pwd(self) -> str | None:
        """The ICE password (RFC 8839 section 5.4)."""
        return self.value("ice-pwd")

    @property
    def ice_options(self) -> tuple[str, ...]:
        """ICE extensions that are in use (RFC 8839 section 5.6): trickle, ice2."""
        return tuple(fields(self.value("ice-options") or ""))

    @property
    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """Certificate hashes (RFC 8122 section 5)."""
        return self.read("fingerprint", Fingerprint.parse)

    @property
    def setup(self) -> Setup | None:
        """Who opens the connection (RFC 4145 section 4)."""
        return self.read_first("setup", Setup.parse)

    @property
    def extmaps(self) -> tuple[ExtMap, ...]:
        """RTP header extensions (RFC 8285 section 5)."""
        return self.read("extmap", ExtMap.parse)

    def replace(self, **changes: Any) -> Self:
        """A copy with fields of other values."""
        return msgspec.structs.replace(self, **changes)  # type: ignore[type-var]

    def adding(self, *attributes: Attribute) -> Self:
        """A copy with further attributes at the end."""
        return self.replace(attributes=(*self.attributes, *attributes))

    def without(self, *names: str) -> Self:
        """A copy without the attributes of these names."""
        return self.replace(attributes=tuple(a for a in self.attributes if a.name not in names))

    def with_attribute(self, name: str, value: object = None) -> Self:
        """A copy in which that attribute occurs once, as the text of that value, where it first stood."""
        return self._with({name}, [Attribute(name, None if value is None else str(value))])

    def with_values(self, name: str, values: Iterable[object]) -> Self:
        """A copy in which that attribute occurs once a value, from where it first stood on."""
        return self._with({name}, [Attribute(name, str(value)) for value in values])

    def with_direction(self, direction: Direction) -> Self:
        """A copy with that direction."""
        return self._with(DIRECTIONS.keys(), [Attribute(direction.value)])

    def _with(self, names: Iterable[str], new: list[Attribute]) -> Self:
        before: list[Attribute] = []
        after: list[Attribute] = []
        side = before
        for attribute in self.attributes:
            if attribute.name in names:
                side = after
            else:
                side.append(attribute)
        return self.replace(attributes=(*before, *new, *after))
