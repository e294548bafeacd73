"""The SQL of the table of bindings in PostgreSQL."""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final = (
    (
        # A tombstone is a row with granted = 0.
        """CREATE TABLE rvoip_binding (
            aor text COLLATE "C" NOT NULL,
            key text COLLATE "C" NOT NULL,
            contact text NOT NULL,
            params text NOT NULL,
            call_id text NOT NULL,
            cseq bigint NOT NULL,
            granted bigint NOT NULL,
            expires_at double precision NOT NULL,
            q integer NOT NULL,
            path text NOT NULL,
            received text NOT NULL,
            user_agent text NOT NULL,
            PRIMARY KEY (aor, key)
        ) WITH (fillfactor = 80)""",
        "CREATE INDEX rvoip_binding_expires_at ON rvoip_binding (expires_at)",
    ),
)
"""The statements that lead from each version of the schema to the next; the first one from nothing."""

# A number that no other program is likely to lock.
LOCK_SCHEMA: Final = "SELECT pg_advisory_xact_lock(x'72766c6f63'::bigint)"
MAKE_VERSION: Final = "CREATE TABLE IF NOT EXISTS rvoip_location_version (version integer NOT NULL)"
READ_VERSION: Final = "SELECT max(version) FROM rvoip_location_version HAVING max(version) IS NOT NULL"
WRITE_VERSION: Final = "INSERT INTO rvoip_location_version VALUES (%s)"

READ_DURABILITY: Final = "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes')"
READ_COMMIT: Final = "SELECT current_setting('synchronous_commit')"
STRONG_COMMIT: Final = "SET SESSION synchronous_commit = on"
CLOCK: Final = "SELECT extract(epoch FROM clock_timestamp())::double precision"

# In one order, so that no two wait for each other.
LOCK: Final = (
    "SELECT pg_advisory_xact_lock(lock) FROM (SELECT unnest(%s::bigint[]) AS lock ORDER BY 1) AS locks"
)

_COLUMNS: Final = (
    "aor, key, contact, params, call_id, cseq, granted, expires_at, q, path, received, user_agent"
)
READ: Final = (
    f"SELECT {_COLUMNS}, extract(epoch FROM clock_timestamp())::double precision"  # noqa: S608  constants only
    " FROM rvoip_binding WHERE aor = ANY(%s) AND expires_at > %s"
)
WRITE: Final = (
    "INSERT INTO rvoip_binding SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[],"
    " %s::text[], %s::bigint[], %s::bigint[], %s::double precision[], %s::integer[], %s::text[],"
    " %s::text[], %s::text[])"
    " ON CONFLICT (aor, key) DO UPDATE SET contact = excluded.contact, params = excluded.params,"
    " call_id = excluded.call_id, cseq = excluded.cseq, granted = excluded.granted,"
    " expires_at = excluded.expires_at, q = excluded.q, path = excluded.path,"
    " received = excluded.received, user_agent = excluded.user_agent"
)
DELETE: Final = (
    "DELETE FROM rvoip_binding USING unnest(%s::text[], %s::text[]) AS gone (aor, key)"
    " WHERE rvoip_binding.aor = gone.aor AND rvoip_binding.key = gone.key"
)
EXPIRE: Final = (
    "DELETE FROM rvoip_binding WHERE (aor, key) IN (SELECT aor, key FROM rvoip_binding"  # noqa: S608
    f" WHERE expires_at <= %s LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING {_COLUMNS}"
)
AORS: Final = (
    "SELECT DISTINCT aor FROM rvoip_binding WHERE aor >= %s AND aor > %s AND starts_with(aor, %s)"
    " AND granted > 0 AND expires_at > %s ORDER BY aor LIMIT %s"
)
COUNT: Final = "SELECT count(DISTINCT aor), count(*) FROM rvoip_binding WHERE granted > 0"
