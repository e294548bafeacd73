"""The `[users]` table: where accounts are."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from rvoip.common.config import ConfigPath, StoreURL
from rvoip.services.table import Count, Seconds, Table

__all__ = ["HTTPSource", "LDAPSource", "Users"]


class HTTPSource(Table):
    """`[users.http]`: how a `source` is asked that is a URL."""

    token: str = ""
    """Bearer token that it asks for; empty: none."""
    token_file: ConfigPath = ""
    """File with the token."""
    ca: ConfigPath = ""
    """PEM file of the authorities that its certificate is checked against; empty: the system's."""


class LDAPSource(Table):
    """`[users.ldap]`: how a `source` is asked that is a directory."""

    base: str = ""
    """Name of the entry below which accounts are."""
    filter: str = "(uid={user})"
    """Filter that finds an account; `{user}` and `{realm}` are put in, escaped."""
    bind_dn: str = ""
    """Name to log in with; empty: none."""
    password: str = ""
    """Password of that name."""
    password_file: ConfigPath = ""
    """File with the password."""
    start_tls: bool = False
    """Encrypt an `ldap://` connection before anything else is sent."""
    ca: ConfigPath = ""
    """PEM file of the authorities that its certificate is checked against; empty: the system's."""
    md5: str = ""
    """Attribute with the HA1 for MD5, in hexadecimal."""
    sha256: str = ""
    """Attribute with the HA1 for SHA-256."""
    sha512_256: str = ""
    """Attribute with the HA1 for SHA-512-256."""
    clear_password: str = ""
    """Attribute with the password in clear text, of which all three are made."""


class Users(Table):
    """`[users]`: accounts."""

    store: StoreURL = "sqlite:users.db"
    """`sqlite:PATH` or `postgresql://USER:PASSWORD@HOST/NAME`."""
    source: str = ""
    """Where the accounts of phones are instead: `https://HOST/PATH` with `{user}` and `{realm}` in it, or \
`ldaps://HOST` or `ldap://HOST`. The store then has those of the API alone."""
    timeout: Annotated[float, Meta(ge=0.05, le=30)] = 2.0
    """Seconds that an answer of the source may take."""
    ttl: Seconds = 300.0
    """Seconds that an answer is used before the source is asked again."""
    negative_ttl: Seconds = 30.0
    """Seconds that somebody is believed to have no account."""
    stale: Annotated[float, Meta(ge=0)] = 3600.0
    """Seconds beyond `ttl` that an answer is used while the source gives no newer one."""
    entries: Annotated[int, Meta(ge=1)] = 20000
    """Accounts that are remembered, and as many names without one."""
    in_flight: Annotated[int, Meta(ge=1, le=1000)] = 16
    """Questions to the source under way at once."""
    waiting: Count = 500
    """Requests that wait for its answers; more get 503 with Retry-After."""
    http: HTTPSource = field(default_factory=HTTPSource)
    """See `[users.http]`."""
    ldap: LDAPSource = field(default_factory=LDAPSource)
    """See `[users.ldap]`."""
