"""The tables of a user store. A change here needs a migration, and `HEAD` moves to it."""

from __future__ import annotations

import sqlalchemy as sa

__all__ = [
    "HEAD",
    "VERSION_TABLE",
    "accounts",
    "api_keys",
    "call_days",
    "call_limits",
    "changes",
    "credentials",
    "metadata",
]

#: The revision of migrations/versions/ that makes these tables.
HEAD = "0002"

#: Where Alembic keeps the revision; its usual name may be another library's in a shared database.
VERSION_TABLE = "users_version"

metadata = sa.MetaData()

# Keys compare byte by byte, as SQLite does by default: prefixes are ranges.
_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("aor", _KEY, primary_key=True),
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("domain", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    # Names in order, with a space between.
    sa.Column("roles", sa.Text, nullable=False),
    # Argon2id in the PHC string format; NULL until an API login was made with the digest password.
    sa.Column("login_hash", sa.Text),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("changed", sa.Float, nullable=False),
    sqlite_with_rowid=False,
)

# One row for each digest username of an account in each of its realms.
credentials = sa.Table(
    "credentials",
    metadata,
    sa.Column("realm", _KEY, primary_key=True),
    sa.Column("username", _KEY, primary_key=True),
    sa.Column("aor", _KEY, sa.ForeignKey("accounts.aor", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("md5", sa.LargeBinary(16), nullable=False),
    sa.Column("sha256", sa.LargeBinary(32), nullable=False),
    sa.Column("sha512_256", sa.LargeBinary(32), nullable=False),
    sqlite_with_rowid=False,
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("prefix", _KEY, primary_key=True),
    sa.Column("sha256", sa.LargeBinary(32), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("owner", _KEY, sa.ForeignKey("accounts.aor", ondelete="CASCADE"), index=True),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
    sa.Column("last_used", sa.Float, nullable=False),
    sqlite_with_rowid=False,
)

# Which credentials were written, so that a cache in any process follows. An empty realm and username say that
# anything may have changed. Revisions are never used twice, also when old rows are deleted.
changes = sa.Table(
    "credential_changes",
    metadata,
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("realm", sa.Text, nullable=False),
    sa.Column("username", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)

# What is special about the limits of an account's calls; NULL: as the configuration says.
call_limits = sa.Table(
    "call_limits",
    metadata,
    sa.Column("aor", _KEY, sa.ForeignKey("accounts.aor", ondelete="CASCADE"), primary_key=True),
    sa.Column("calls", sa.Integer),
    sa.Column("calls_a_minute", sa.Integer),
    sa.Column("calls_a_day", sa.Integer),
    sa.Column("minutes_a_day", sa.Integer),
    # Names in order, with a space between.
    sa.Column("allow", sa.Text),
    sa.Column("group_name", sa.Text),
    sqlite_with_rowid=False,
)

# What users have called in a day, "2026-11-24": how often, and for how many seconds.
call_days = sa.Table(
    "call_days",
    metadata,
    sa.Column("day", _KEY, primary_key=True),
    sa.Column("aor", _KEY, primary_key=True),
    sa.Column("calls", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sqlite_with_rowid=False,
)
