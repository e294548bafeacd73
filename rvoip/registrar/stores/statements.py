"""The SQL of the file of bindings."""

from __future__ import annotations

from functools import cache
from typing import Final

APPLICATION_ID: Final = 0x72766C6F
SCHEMA_VERSION: Final = 1

# A tombstone is a row with granted = 0. The clock's correction is what wall time has jumped by since the
# process that wrote the rows was started: expires_at + correction is wall time.
SCHEMA: Final = """
BEGIN;
CREATE TABLE binding (
    aor TEXT NOT NULL,
    key TEXT NOT NULL,
    contact TEXT NOT NULL,
    params TEXT NOT NULL,
    call_id TEXT NOT NULL,
    cseq INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    expires_at REAL NOT NULL,
    q INTEGER NOT NULL,
    path TEXT NOT NULL,
    received TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    PRIMARY KEY (aor, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE clock (correction REAL NOT NULL) STRICT;
INSERT INTO clock VALUES (0.0);
PRAGMA application_id = 1920363631;
PRAGMA user_version = 1;
COMMIT;
"""

_READ: Final = (
    "SELECT aor, key, contact, params, call_id, cseq, granted, expires_at, q, path, received, user_agent"
    " FROM binding"
)
LOAD: Final = f"{_READ} WHERE granted > 0 ORDER BY aor"
READ_AOR: Final = f"{_READ} WHERE aor = ?"
WRITE: Final = "INSERT OR REPLACE INTO binding VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
FORGET: Final = "DELETE FROM binding WHERE aor = ? AND key = ?"
SWEEP_END: Final = "SELECT aor, key FROM binding WHERE (aor, key) > (?, ?) ORDER BY aor, key LIMIT 1 OFFSET ?"
SWEEP: Final = "DELETE FROM binding WHERE (aor, key) > (?, ?) AND (aor, key) <= (?, ?) AND expires_at <= ?"
SWEEP_REST: Final = "DELETE FROM binding WHERE (aor, key) > (?, ?) AND expires_at <= ?"


@cache
def compare_and_set(rows: int) -> str:
    """The statement that writes `rows` bindings of different AORs, each unless it is stale or one too many.

    Parameters: twelve a row, now, max_contacts, now; times are those of the rows. It is one for many rows
    because sqlite3 gives up the interpreter's lock at each statement, and a busy reactor is slow to give it
    back. Of one put it says what `compare_and_set.objection` says, but not why it refuses.
    """
    values = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"] * rows)
    return (
        f"INSERT INTO binding SELECT * FROM (VALUES {values}) AS new"  # noqa: S608  placeholders only
        " WHERE (SELECT count(*) FROM binding AS other WHERE other.aor = new.column1"
        " AND other.key <> new.column2 AND other.granted > 0 AND other.expires_at > ?) < ?"
        " ON CONFLICT (aor, key) DO UPDATE SET contact = excluded.contact, params = excluded.params,"
        " call_id = excluded.call_id, cseq = excluded.cseq, granted = excluded.granted,"
        " expires_at = excluded.expires_at, q = excluded.q, path = excluded.path,"
        " received = excluded.received, user_agent = excluded.user_agent"
        " WHERE binding.call_id <> excluded.call_id OR excluded.cseq > binding.cseq"
        " OR binding.expires_at <= ?"
    )
