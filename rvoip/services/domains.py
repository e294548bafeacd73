"""Which names and addresses are this element's own (`rvoip.proxy.interfaces.IDomains`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from zope.interface import classImplements

from rvoip.protocols.sip.grammar import format_host
from rvoip.protocols.sip.uri import SipURI
from rvoip.proxy.interfaces import IDomains

__all__ = ["Domains"]


class Domains:
    """The domains served, and the listening addresses, which stand for the first of them.

    A name that is served counts with any port or none; an IP address only together with a port that is
    listened on (none means the scheme's default).
    """

    def __init__(self, names: Iterable[str], addresses: Iterable[tuple[str, int]]) -> None:
        self.names = [name.lower().rstrip(".") for name in names]
        self._names = frozenset(self.names)
        self._addresses: frozenset[tuple[str, int]] = frozenset()
        self._is_local: Callable[[str, int], bool] | None = None
        self.listen_on(addresses)

    def listen_on(
        self, addresses: Iterable[tuple[str, int]], is_local: Callable[[str, int], bool] | None = None
    ) -> None:
        """The listening addresses, (host, port), once the ports are known.

        `is_local` tells of a numeric host and port whether they are ours: where "any address" is listened
        on, the addresses do not say.
        """
        self._addresses = frozenset((host.lower(), port) for host, port in addresses)
        wild = any(host in ("0.0.0.0", "::") for host, _ in self._addresses)
        self._is_local = is_local if wild else None

    @property
    def first(self) -> str:
        """The domain that the listening addresses stand for; the first address when none is named."""
        if self.names:
            return self.names[0]
        return min(self._addresses)[0] if self._addresses else "localhost"

    def serves(self, uri: SipURI) -> bool:
        """See `IDomains`."""
        return _bare(uri.host) in self._names or self.is_self(uri)

    def is_self(self, uri: SipURI) -> bool:
        """See `IDomains`."""
        port = uri.port
        if port is None:
            port = 5061 if uri.secure or uri.transport == "tls" else 5060
        if (uri.host, port) in self._addresses:
            return True
        return self._is_local is not None and self._is_local(uri.host, port)

    def domain(self, uri: SipURI) -> str:
        """The served domain that the URI's host is or stands for."""
        host = _bare(uri.host)
        return host if host in self._names else self.first

    def aor(self, uri: SipURI) -> str:
        """See `IDomains`."""
        if uri.host in self._names:
            return uri.aor
        host = _bare(uri.host)
        if host in self._names:
            return uri.replace(host=host).aor
        user = uri.aor.rpartition("@")[0]
        first = format_host(self.first)
        return f"{user}@{first}" if user else first


def _bare(host: str) -> str:
    """A host without the dot that a fully qualified name may end with."""
    return host[:-1] if host.endswith(".") else host


# Not by a decorator, with which mypyc would leave the class to the interpreter.
classImplements(Domains, IDomains)
