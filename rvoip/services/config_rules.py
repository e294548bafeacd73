"""What no type of the schema says: values that do not fit each other, or that nothing can use."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rvoip.common.errors import ConfigError
from rvoip.common.http_auth import TOKEN_LIMIT, is_bearer
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import is_host
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.protocols.transport.addresses import ListenAddress, parse_listen
from rvoip.protocols.transport.resolver import parse_server

if TYPE_CHECKING:
    from rvoip.services.config import Config, Proxy, Registrar
    from rvoip.services.presence_table import PresenceTable
    from rvoip.services.upstream_table import UpstreamTable

__all__ = ["check_rules", "listen_addresses"]

_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9.\-\[\]:_]+\Z").match
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]+\Z").match
_BLANKS: Final = re.compile(r"[\x00-\x20\x7f]").search


def check_rules(config: Config, file: str) -> None:
    """Raise `ConfigError` for the first value that cannot be meant."""
    _check_sip(config, file)
    _check_auth(config, file)
    token = config.http.token
    if token and not is_bearer(token):
        raise ConfigError(
            file,
            "http.token",
            "cannot be sent as a bearer token",
            f"take up to {TOKEN_LIMIT - 7} ASCII letters, digits and . _ ~ + / = : -",
        )
    if config.registrar is not None:
        _check_registrar(config.registrar, file)
    if config.presence is not None:
        table = config.registrar
        if table is not None and table.upstream is not None and not table.authenticate:
            # Nobody is known to this server itself, so anybody could say and watch what he likes.
            raise ConfigError(
                file, "presence", "of a front end needs credentials here", "set [registrar] authenticate"
            )
        _check_times(config.presence, "presence", file)
    _check_proxy(config.proxy, file)
    _check_stores(config, file)


def _check_proxy(table: Proxy, file: str) -> None:
    """Keys that would do nothing without others."""
    if table.topology_hiding and not table.record_route:
        raise ConfigError(file, "proxy.topology_hiding", "needs record_route", "set that to true")
    if table.stateless and table.topology_hiding:
        raise ConfigError(
            file,
            "proxy.stateless",
            "does nothing with topology_hiding, whose Vias are kept in transactions",
            "set one of them to false",
        )
    if table.ring and table.fork != "sequential":
        raise ConfigError(file, "proxy.ring", 'needs fork = "sequential"', "set that, or leave ring out")
    most = [table.limits.calls, *(group.calls or 0 for group in table.limits.group)]
    if any(most) and not (table.record_route and table.dialogs):
        raise ConfigError(file, "proxy.limits.calls", "needs record_route and dialogs", "set both")
    for number, tree in enumerate(table.enum):
        if not _is_domain(tree):
            raise ConfigError(file, f"proxy.enum[{number}]", f"{tree!r} is no domain", 'as in "e164.arpa"')


def _check_sip(config: Config, file: str) -> None:
    sip = config.sip
    addresses = listen_addresses(config, file)
    for number, domain in enumerate(sip.domains):
        if not _is_domain(domain):
            reason = f"{domain!r} is no domain"
            raise ConfigError(
                file, f"sip.domains[{number}]", reason, "write a host name or an address, as in example.net"
            )
    for number, origin in enumerate(sip.ws_origins):
        if origin != "*" and not _ORIGIN(origin):
            reason = f"{origin!r} is no origin"
            raise ConfigError(
                file, f"sip.ws_origins[{number}]", reason, "write https://host or https://host:port"
            )
    for number, server in enumerate(sip.dns):
        try:
            parse_server(server)
        except ValueError as error:
            raise ConfigError(file, f"sip.dns[{number}]", str(error)) from None
    if any(one.transport in ("TLS", "WSS") for one in addresses) and not (
        config.tls.certificate and config.tls.private_key
    ):
        raise ConfigError(
            file,
            "tls.certificate",
            "a tls: or wss: address needs a certificate",
            "set certificate and private_key",
        )


def _is_domain(text: str) -> bool:
    name = text.removesuffix(".")
    # IPv6 addresses are written as `SipURI.host` has them, without brackets.
    return len(name) <= 253 and (is_host(name) or (":" in name and _IPV6(name) is not None))


def _check_auth(config: Config, file: str) -> None:
    listed: tuple[tuple[str, Sequence[str]], ...] = (
        ("auth.algorithms", config.auth.algorithms),
        ("auth.qop", config.auth.qop),
    )
    for key, names in listed:
        if not names:
            raise ConfigError(file, key, "is empty", "name at least one")
        if len(set(names)) != len(names):
            raise ConfigError(file, key, "names one twice", "name each once")


def _check_registrar(table: Registrar, file: str) -> None:
    _check_times(table, "registrar", file)
    if table.upstream is not None:
        _check_upstream(table.upstream, file)
    for number, route in enumerate(table.service_route):
        bare = route[1:-1] if route.startswith("<") and route.endswith(">") else route
        if not _is_sip_uri(bare):
            reason = f"{route!r} is no sip: or sips: URI"
            raise ConfigError(
                file, f"registrar.service_route[{number}]", reason, "write it as in sip:edge.example.net;lr"
            )


def _check_upstream(table: UpstreamTable, file: str) -> None:
    if not _is_sip_uri(table.uri):
        reason = f"{table.uri!r} is no sip: or sips: URI"
        raise ConfigError(file, "registrar.upstream.uri", reason, "write it as in sip:registrar.example.net")
    if table.contact and not (_is_sip_uri(f"sip:{table.contact}") and set(table.contact).isdisjoint("@;?")):
        reason = f"{table.contact!r} is no host:port"
        raise ConfigError(file, "registrar.upstream.contact", reason, "write it as in edge.example.net:5060")


def _is_sip_uri(text: str) -> bool:
    try:
        return not _BLANKS(text) and isinstance(parse_uri(text), SipURI) and not set(text) & set('<>,"')
    except SIPParseError:
        return False


def _check_times(table: Registrar | PresenceTable, name: str, file: str) -> None:
    if table.min_expires > table.max_expires:
        raise ConfigError(file, f"{name}.min_expires", "is above max_expires", "lower it")
    if table.default_expires < table.min_expires:
        raise ConfigError(
            file,
            f"{name}.default_expires",
            f"{table.default_expires} is below min_expires, {table.min_expires}",
            "raise it",
        )


def _check_stores(config: Config, file: str) -> None:
    """Bindings, and presence, need a database file of their own."""
    own = [("location.store", config.location.store)]
    if config.presence is not None:
        own.append(("presence.store", config.presence.store))
    known = {
        place: key
        for key, url in (("users.store", config.users.store), ("records.sql", config.records.sql))
        if (place := _database(url))
    }
    for key, url in own:
        place = _database(url)
        if place in known:
            raise ConfigError(file, key, f"is the file of {known[place]}", "name another one")
        if place:
            known[place] = key


def _database(url: str) -> str:
    """The file of an SQLite store, "" for another one."""
    return os.path.realpath(url.removeprefix("sqlite:")) if url.startswith("sqlite:") else ""


def listen_addresses(config: Config, file: str) -> list[ListenAddress]:
    """The parsed `[sip] listen`; `ConfigError` for one that is none."""
    addresses = []
    for number, text in enumerate(config.sip.listen):
        try:
            addresses.append(parse_listen(text))
        except ValueError as error:
            raise ConfigError(file, f"sip.listen[{number}]", str(error)) from None
    if not addresses:
        raise ConfigError(file, "sip.listen", "is empty", "name at least one address")
    return addresses
