"""The `[users] source` of the configuration: an API by HTTP, or a directory."""

from __future__ import annotations

import ipaddress
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import ssl

from rvoip.common.errors import ConfigError
from rvoip.common.http_auth import is_bearer
from rvoip.common.pem import PEMError, load_certificates
from rvoip.services.account_http import HTTPAccounts, is_template
from rvoip.services.users_table import Users
from rvoip.users.interfaces import IAccountSource
from rvoip.users.remote import RemoteLimits

__all__ = ["limits_of", "make_source"]

_SECRET: Final = 4096
"""Octets of a file with a token or a password."""


def limits_of(table: Users) -> RemoteLimits:
    """How much is asked and remembered, as `[users]` says."""
    return RemoteLimits(
        table.timeout,
        table.ttl,
        table.negative_ttl,
        table.stale,
        table.entries,
        table.in_flight,
        table.waiting,
    )


def make_source(reactor: Any, table: Users, file: str) -> IAccountSource | None:
    """What `[users] source` names, None when it names nothing; `ConfigError` for what cannot be meant."""
    if not table.source:
        return None
    try:
        parts = urlsplit(table.source)
        fits = bool(parts.hostname) and parts.port != 0 and parts.username is None and not parts.fragment
    except ValueError:
        fits = False
    if not fits or not (table.source.isascii() and table.source.isprintable() and " " not in table.source):
        raise ConfigError(
            file,
            "users.source",
            "is no URL of a source of accounts, without a user and a fragment",
            "write https://HOST/PATH?user={user}&realm={realm}, or ldaps://HOST",
        )
    if parts.scheme in ("http", "https"):
        return _http(reactor, table, parts, file)
    if parts.scheme in ("ldap", "ldaps"):
        return _ldap(reactor, table, parts, file)
    raise ConfigError(
        file,
        "users.source",
        f"{parts.scheme}: is none of the sources of accounts",
        "write https://... or ldaps://...",
    )


def _http(reactor: Any, table: Users, parts: SplitResult, file: str) -> IAccountSource:
    if not is_template(table.source):
        raise ConfigError(
            file, "users.source", "has no {user} behind the host", "write {user} where its name belongs"
        )
    if parts.scheme == "http" and not _is_near(parts.hostname or ""):
        raise ConfigError(
            file,
            "users.source",
            "would send what is as good as passwords in the clear",
            "write https://, except on this machine",
        )
    http = table.http
    token = _secret(http.token, http.token_file, file, "users.http.token")
    if token and not is_bearer(token):
        raise ConfigError(file, "users.http.token", "cannot be sent as a bearer token")
    return HTTPAccounts(
        reactor,
        table.source,
        token,
        table.timeout,
        table.in_flight,
        _trust(http.ca, file, "users.http.ca"),
    )


def _ldap(reactor: Any, table: Users, parts: SplitResult, file: str) -> IAccountSource:
    try:
        from rvoip.services.account_ldap import Directory, DirectorySettings, check_filter
    except ImportError:
        raise ConfigError(
            file, "users.source", "needs the package ldaptor", "pip install 'rvoip[ldap]'"
        ) from None
    ldap = table.ldap
    if parts.path not in ("", "/") or parts.query:
        raise ConfigError(
            file, "users.source", "of a directory is its address alone", "set base in [users.ldap]"
        )
    secure = parts.scheme == "ldaps" or ldap.start_tls
    if not secure and not _is_near(parts.hostname or ""):
        raise ConfigError(
            file,
            "users.source",
            "would send what is as good as passwords in the clear",
            "write ldaps://, or set start_tls in [users.ldap], except on this machine",
        )
    if parts.scheme == "ldaps" and ldap.start_tls:
        raise ConfigError(file, "users.ldap.start_tls", "is for ldap://; ldaps:// is encrypted already")
    if not (ldap.md5 or ldap.sha256 or ldap.sha512_256 or ldap.clear_password):
        raise ConfigError(
            file, "users.ldap.md5", "is empty", "name the attribute of an HA1, or set clear_password"
        )
    try:
        check_filter(ldap.filter)
    except ValueError as error:
        raise ConfigError(file, "users.ldap.filter", str(error)) from None
    password = _secret(ldap.password, ldap.password_file, file, "users.ldap.password")
    if bool(password) is not bool(ldap.bind_dn):
        # A name without a password is taken for nobody (RFC 4513 section 5.1.2), and that goes unseen.
        raise ConfigError(file, "users.ldap.bind_dn", "and the password go together", "set both or neither")
    settings = DirectorySettings(
        host=parts.hostname or "",
        port=parts.port or (636 if parts.scheme == "ldaps" else 389),
        tls="ldaps" if parts.scheme == "ldaps" else "start" if ldap.start_tls else "",
        base=ldap.base,
        filter=ldap.filter,
        bind_dn=ldap.bind_dn,
        password=password,
        hashes={
            name: attribute
            for name, attribute in (
                ("MD5", ldap.md5),
                ("SHA-256", ldap.sha256),
                ("SHA-512-256", ldap.sha512_256),
            )
            if attribute
        },
        clear_password=ldap.clear_password,
        timeout=table.timeout,
    )
    made: IAccountSource = Directory(reactor, settings, _trust(ldap.ca, file, "users.ldap.ca"))
    return made


def _is_near(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _secret(written: str, path: str, file: str, key: str) -> str:
    """The secret in the configuration (or its variable of the environment), or in a file."""
    if not path:
        return written
    if written:
        raise ConfigError(file, key, f"and {key.rpartition('.')[2]}_file are both set", "set one of them")
    try:
        with open(path, "rb") as source:
            text = source.read(_SECRET + 1).decode().strip("\r\n")
    except OSError as error:
        raise ConfigError(file, f"{key}_file", f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(file, f"{key}_file", "is no text") from None
    if not text or len(text) > _SECRET or not text.isprintable():
        raise ConfigError(file, f"{key}_file", "is not one line of text")
    return text


def _trust(path: str, file: str, key: str) -> Any:
    """What certificates are checked against."""
    if not path:
        return ssl.platformTrust()
    try:
        certificates = load_certificates(path)
    except PEMError as error:
        raise ConfigError(file, key, str(error)) from None
    return ssl.trustRootFromCertificates(
        [ssl.Certificate.loadPEM(one.public_bytes(Encoding.PEM)) for one in certificates]
    )
