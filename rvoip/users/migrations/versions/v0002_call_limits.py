"""Limits of the calls of an account, and what was called in a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "call_limits",
        sa.Column("aor", KEY, sa.ForeignKey("accounts.aor", ondelete="CASCADE"), primary_key=True),
        sa.Column("calls", sa.Integer),
        sa.Column("calls_a_minute", sa.Integer),
        sa.Column("calls_a_day", sa.Integer),
        sa.Column("minutes_a_day", sa.Integer),
        sa.Column("allow", sa.Text),
        sa.Column("group_name", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "call_days",
        sa.Column("day", KEY, primary_key=True),
        sa.Column("aor", KEY, primary_key=True),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )
