"""Bring a database of users to the tables of this version, whoever else starts at the same moment."""

from __future__ import annotations

import threading
from pathlib import Path

import sqlalchemy as sa

from rvoip.users.database import Database
from rvoip.users.errors import StoreError
from rvoip.users.schema import HEAD, VERSION_TABLE

__all__ = ["migrate"]

# Alembic's context is one a process.
_one_at_a_time = threading.Lock()


def migrate(database: Database) -> None:
    """Run the missing migrations in one transaction under the database's write lock.

    A second process waits for the first and then finds nothing to do. StoreError, with nothing changed, for a
    database of a newer version or with tables that are not ours; StoreBusy when the lock is not to be had.
    """
    with _one_at_a_time, database.writing() as connection:
        revision = _revision(connection, database)
        if revision == HEAD:
            return
        # A start that has nothing to migrate does not pay for this import.
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory
        from alembic.util.exc import CommandError

        config = Config()
        config.set_main_option(
            "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
        )
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if revision is not None and revision not in known:
            raise StoreError(
                f"{database.shown}: was written by a newer version of rvoip (its revision {revision[:20]}"
                f" is unknown, this version's is {HEAD})"
            )
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StoreError(f"{database.shown}: cannot be migrated: {error}") from error


def _revision(connection: sa.Connection, database: Database) -> str | None:
    """The revision of the tables; None for a database without any."""
    names = set(sa.inspect(connection).get_table_names())
    if VERSION_TABLE in names:
        version = sa.table(VERSION_TABLE, sa.column("version_num"))
        row = connection.execute(sa.select(version.c.version_num)).first()
        return None if row is None else str(row[0])
    # A file that has tables of something else is a wrong path, not a place to add ours to.
    if names and (database.is_sqlite or "accounts" in names):
        raise StoreError(f"{database.shown}: holds other tables and none of users")
    return None
