"""The SQLite file of presence: schema, statements, transactions of many changes. Everything here blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from rvoip.registrar.buddy_lists import Buddy, BuddyList
from rvoip.registrar.errors import StoreError
from rvoip.registrar.presence_changes import DropList, DropRule, Mailbox, PresenceChange, StoredPresence
from rvoip.registrar.presence_policy import Decision, Rule
from rvoip.registrar.publication import PublicationChange, StoredPublication
from rvoip.registrar.stores.sqlite_file import SQLiteFile

__all__ = ["PresenceFile"]

_SCHEMA: Final = """
BEGIN;
CREATE TABLE publication (
    package TEXT NOT NULL,
    presentity TEXT NOT NULL,
    etag TEXT NOT NULL,
    content_type TEXT NOT NULL,
    body BLOB NOT NULL,
    granted INTEGER NOT NULL,
    expires_at REAL NOT NULL,
    publisher TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (package, presentity, etag)
) STRICT, WITHOUT ROWID;
CREATE INDEX publication_expires_at ON publication (expires_at);
CREATE TABLE rule (
    presentity TEXT NOT NULL,
    watcher TEXT NOT NULL,
    decision TEXT NOT NULL,
    PRIMARY KEY (presentity, watcher)
) STRICT, WITHOUT ROWID;
CREATE TABLE list (aor TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE member (
    list TEXT NOT NULL REFERENCES list (aor),
    place INTEGER NOT NULL,
    aor TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (list, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE mailbox (aor TEXT PRIMARY KEY, summary BLOB NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA application_id = 1920364659;
PRAGMA user_version = 1;
COMMIT;
"""


class PresenceFile(SQLiteFile):
    """One open file of presence. Rows say in wall time when a publication ends."""

    HOLDS = "presence"
    KEPT_IN_MEMORY = "memory: keeps presence in memory"
    APPLICATION_ID = 0x72767073
    SCHEMA = _SCHEMA

    _offset = 0.0  # added to monotonic seconds it gives what a row says

    def open(self, now: float, wall_now: float) -> StoredPresence:
        """Open or create the file, delete what is over, and read the rest."""
        try:
            connection = self.open_file()
            self._offset = wall_now - now
            connection.execute("DELETE FROM publication WHERE expires_at <= ?", (wall_now,))
            return self._read(connection)
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error | OSError):
                raise self._error(error) from None
            raise

    def _read(self, connection: sqlite3.Connection) -> StoredPresence:
        publications = [
            StoredPublication(package, of, etag, kind, body, granted, ends - self._offset, by, number)
            for package, of, etag, kind, body, granted, ends, by, number in connection.execute(
                "SELECT package, presentity, etag, content_type, body, granted, expires_at, publisher, number"
                " FROM publication ORDER BY number"
            )
        ]
        rules = [
            Rule(presentity, watcher, Decision(decision))
            for presentity, watcher, decision in connection.execute("SELECT * FROM rule")
        ]
        members: dict[str, list[Buddy]] = {}
        for of, aor, name in connection.execute("SELECT list, aor, name FROM member ORDER BY list, place"):
            members.setdefault(of, []).append(Buddy(aor, name))
        lists = [
            BuddyList(aor, owner, tuple(members.get(aor, ())), name)
            for aor, owner, name in connection.execute("SELECT aor, owner, name FROM list")
        ]
        mailboxes = [Mailbox(*row) for row in connection.execute("SELECT aor, summary FROM mailbox")]
        return StoredPresence(tuple(publications), tuple(rules), tuple(lists), tuple(mailboxes))

    def write(self, changes: Sequence[PresenceChange]) -> list[StoreError | None]:
        """Make changes in one transaction, in order; returns what came of each, after the commit."""
        results: list[StoreError | None] = []

        def work(connection: sqlite3.Connection) -> None:
            for change in changes:
                connection.execute("SAVEPOINT one")
                try:
                    self._make(connection, change)
                    results.append(None)
                except (
                    ValueError,
                    TypeError,
                    OverflowError,
                    sqlite3.DataError,
                    sqlite3.IntegrityError,
                ) as error:
                    results.append(StoreError(f"{self.path}: {error}"))
                    connection.execute("ROLLBACK TO one")
                connection.execute("RELEASE one")

        self._transact(work)
        return results

    def _make(self, connection: sqlite3.Connection, change: PresenceChange) -> None:
        execute = connection.execute
        match change:
            case PublicationChange():
                drop, put = change.drop, change.put
                if drop is not None:
                    execute(
                        "DELETE FROM publication WHERE package = ? AND presentity = ? AND etag = ?",
                        (drop.package, drop.presentity, drop.etag),
                    )
                if put is not None:
                    execute(
                        "INSERT INTO publication VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        (
                            put.package,
                            put.presentity,
                            put.etag,
                            put.content_type,
                            put.body,
                            put.granted,
                            put.deadline + self._offset,
                            put.publisher,
                            put.number,
                        ),
                    )
            case Rule():
                execute(
                    "INSERT OR REPLACE INTO rule VALUES (?, ?, ?)",
                    (change.presentity, change.watcher, change.decision.value),
                )
            case DropRule():
                execute(
                    "DELETE FROM rule WHERE presentity = ? AND watcher = ?",
                    (change.presentity, change.watcher),
                )
            case BuddyList():
                self._drop_list(connection, change.aor)
                execute("INSERT INTO list VALUES (?, ?, ?)", (change.aor, change.owner, change.name))
                connection.executemany(
                    "INSERT INTO member VALUES (?, ?, ?, ?)",
                    [
                        (change.aor, place, member.aor, member.name)
                        for place, member in enumerate(change.members)
                    ],
                )
            case DropList():
                self._drop_list(connection, change.aor)
            case Mailbox():
                if change.summary:
                    execute("INSERT OR REPLACE INTO mailbox VALUES (?, ?)", (change.aor, change.summary))
                else:
                    execute("DELETE FROM mailbox WHERE aor = ?", (change.aor,))

    def _drop_list(self, connection: sqlite3.Connection, aor: str) -> None:
        connection.execute("DELETE FROM member WHERE list = ?", (aor,))
        connection.execute("DELETE FROM list WHERE aor = ?", (aor,))

    def sweep(self, now: float) -> None:
        """Delete publications that are over."""
        self._transact(
            lambda connection: connection.execute(
                "DELETE FROM publication WHERE expires_at <= ?", (now + self._offset,)
            )
        )
