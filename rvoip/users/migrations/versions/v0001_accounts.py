"""Accounts, digest credentials, API keys and the log of changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "accounts",
        sa.Column("aor", KEY, primary_key=True),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("login_hash", sa.Text),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("changed", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "credentials",
        sa.Column("realm", KEY, primary_key=True),
        sa.Column("username", KEY, primary_key=True),
        sa.Column("aor", KEY, sa.ForeignKey("accounts.aor", ondelete="CASCADE"), nullable=False),
        sa.Column("md5", sa.LargeBinary(16), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("sha512_256", sa.LargeBinary(32), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_credentials_aor", "credentials", ["aor"])
    op.create_table(
        "api_keys",
        sa.Column("prefix", KEY, primary_key=True),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("owner", KEY, sa.ForeignKey("accounts.aor", ondelete="CASCADE")),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.Column("last_used", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_api_keys_owner", "api_keys", ["owner"])
    op.create_table(
        "credential_changes",
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("realm", sa.Text, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
