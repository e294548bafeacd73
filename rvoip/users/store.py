"""The user store: accounts, credentials, logins and API keys in one database. Every call blocks.

The command line uses this class as it is; servers use `rvoip.users.async_store.AsyncUserStore`, which runs it
in threads.

**What is kept of a password.** An account that a phone uses has its HA1s, because digest needs them, and at
first nothing else: hashing is 3 us an account where Argon2id is 160 ms, so that ten thousand accounts are
imported in a second. A login to an API with the same password is checked against the HA1; when it is right,
its Argon2id hash is stored and later logins are checked against that. An account made with ``digest=False``
has an Argon2id hash alone, cannot be used by a phone, and is what an administrator should have: its password
survives the theft of the database. A new password or an import drops the old hash.

**Usernames.** Phones name themselves "alice" or "alice@example.test" in a digest, and hash what they send, so
an account has credentials for both in the realm of its domain; in other realms for the first.
"""

from __future__ import annotations

import contextlib
import hmac
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from rvoip.users import schema
from rvoip.users.accounts import Account, check_password, check_realm, join_aor, split_aor
from rvoip.users.database import Database
from rvoip.users.errors import AccountError, DuplicateAccount, StoreBusy, UnknownAccount
from rvoip.users.importing import read_lines
from rvoip.users.keys import KeyTable
from rvoip.users.limits import LimitTable
from rvoip.users.migrate import migrate
from rvoip.users.passwords import HA1Set, PasswordHash, ha1_set
from rvoip.users.records import Changes, Credential, ImportResult, Page, Snapshot

__all__ = ["UserStore"]

MAX_PAGE = 1000
MAX_REALMS = 16
_IMPORT_BATCH = 500
_LOOKUP_BATCH = 500
# How many changes are remembered; who is further behind reads everything anew.
_KEPT_CHANGES = 5000

_a = schema.accounts.c
_c = schema.credentials.c
_h = schema.changes.c

_Keys = list[tuple[str, str]]
_ANYTHING: _Keys = [("", "")]


class UserStore:
    """Accounts in the database at `url` (``sqlite:PATH`` or ``postgresql://...``).

    `wall_clock` gives wall time in seconds, for the times that are stored. Each method raises StoreError when
    the database fails, StoreBusy when another process holds its lock for more than `busy_timeout` seconds,
    and AccountError for what the caller gave; after any of them the database is as it was before.
    """

    def __init__(
        self,
        url: str,
        *,
        busy_timeout: float = 5.0,
        wall_clock: Callable[[], float] = time.time,
        password_hash: PasswordHash | None = None,
    ) -> None:
        self._database = Database(url, busy_timeout=busy_timeout)
        self._wall_clock = wall_clock
        self._password_hash = password_hash or PasswordHash()
        self._keys = KeyTable(self._database, wall_clock)
        self.add_key = self._keys.add
        self.find_key = self._keys.find
        self.list_keys = self._keys.list
        self.remove_key = self._keys.remove
        self.touch_key = self._keys.touch
        self.limits = LimitTable(self._database)

    def wall_now(self) -> float:
        """The wall time by which this store stamps, in seconds."""
        return self._wall_clock()

    def open(self) -> UserStore:
        """Make or migrate the database; returns the store itself. StoreError is one line for the operator."""
        self._database.open()
        migrate(self._database)
        return self

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def __enter__(self) -> UserStore:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    # Accounts

    def add(
        self, account: Account, password: str, *, realms: Sequence[str] = (), digest: bool = True
    ) -> Account:
        """Store a new account and return it as stored; DuplicateAccount when its AOR or a username is taken.

        Its credentials hold in the realm of its domain and in `realms`; with `digest` False there are none.
        """
        password = check_password(password)
        held = list(dict.fromkeys([account.domain, *map(check_realm, realms)])) if digest else []
        if len(held) > MAX_REALMS:
            raise AccountError(f"an account has at most {MAX_REALMS} realms")
        login_hash = None if digest else self._password_hash.hash(password)
        rows = _credential_rows(account.user, account.domain, held, password)
        now = self._wall_clock()
        with self._database.writing() as connection:
            if _row(connection, account.aor) is not None:
                raise DuplicateAccount(f"{account.aor} exists already")
            values = {**_account_values(account), "login_hash": login_hash, "created": now, "changed": now}
            connection.execute(schema.accounts.insert(), values)
            _insert_credentials(connection, rows)
            _log(connection, _keys_of(rows))
        return _account(values)

    def set_password(self, aor: str, password: str) -> None:
        """Give the account another password, in each realm that it has; UnknownAccount.

        An account without credentials (``digest=False``) stays without.
        """
        password = check_password(password)
        aor = join_aor(*split_aor(aor))
        with self._database.reading() as connection:
            realms = _realms(connection, aor)
        # Argon2id takes its time; not while the lock is held.
        login_hash = None if realms else self._password_hash.hash(password)
        with self._database.writing() as connection:
            if _row(connection, aor) is None:
                raise UnknownAccount(f"there is no account {aor}")
            realms = _realms(connection, aor)
            rows = _credential_rows(*split_aor(aor), realms, password)
            connection.execute(schema.credentials.delete().where(_c.aor == aor))
            _insert_credentials(connection, rows)
            self._change(connection, aor, login_hash=None if realms else login_hash)
            _log(connection, _keys_of(rows))

    def update(
        self,
        aor: str,
        *,
        enabled: bool | None = None,
        roles: Iterable[str] | None = None,
        display_name: str | None = None,
    ) -> Account:
        """Change what is not None and return the account as stored; UnknownAccount."""
        aor = join_aor(*split_aor(aor))
        with self._database.writing() as connection:
            row = _row(connection, aor)
            if row is None:
                raise UnknownAccount(f"there is no account {aor}")
            old = _account(row._mapping)
            new = Account(
                old.user,
                old.domain,
                old.enabled if enabled is None else enabled,
                old.roles if roles is None else frozenset(roles),
                old.display_name if display_name is None else display_name,
                old.created,
                self._wall_clock(),
            )
            self._change(connection, aor, **_account_values(new))
            if new.enabled != old.enabled:
                _log(connection, _credential_keys(connection, aor))
        return new

    def remove(self, aor: str) -> None:
        """Remove the account, its credentials and its API keys; UnknownAccount."""
        aor = join_aor(*split_aor(aor))
        with self._database.writing() as connection:
            keys = _credential_keys(connection, aor)
            if not connection.execute(schema.accounts.delete().where(_a.aor == aor)).rowcount:
                raise UnknownAccount(f"there is no account {aor}")
            _log(connection, keys)

    def get(self, aor: str) -> Account | None:
        """The account, or None; AccountError for what is no AOR."""
        aor = join_aor(*split_aor(aor))
        with self._database.reading() as connection:
            row = _row(connection, aor)
        return None if row is None else _account(row._mapping)

    def list(self, prefix: str = "", after: str = "", limit: int = 100) -> Page:
        """Up to `limit` (1 to 1000) accounts whose AOR begins with `prefix`, from behind `after`."""
        if not (prefix + after).isprintable() and prefix + after:
            raise AccountError("a prefix is printable text")
        limit = max(1, min(limit, MAX_PAGE))
        query = sa.select(*schema.accounts.c).order_by(_a.aor).limit(limit + 1)
        if prefix:
            # A range of the key; no character of an AOR is as high as the last one of Unicode.
            query = query.where(_a.aor >= prefix, _a.aor < prefix + chr(sys.maxunicode))
        if after:
            query = query.where(_a.aor > after)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        accounts = tuple(_account(row._mapping) for row in rows[:limit])
        return Page(accounts, accounts[-1].aor if len(rows) > limit else "")

    def count(self) -> int:
        """How many accounts there are."""
        with self._database.reading() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(schema.accounts)) or 0)

    def import_many(self, lines: Iterable[bytes]) -> ImportResult:
        """Add or change one account a line of ``user:domain:password``, all or, on an error, none.

        An account that exists gets the password and keeps the rest. AccountError names the line, also
        one for an account that another line is for. The write lock is held for the length of the import.
        """
        counts = [0, 0, 0]
        domains: set[str] = set()
        parsed = read_lines(lines)
        with self._database.writing() as connection:
            while batch := {(user, domain): password for user, domain, password in _take(parsed)}:
                domains.update([domain for _, domain in batch])
                for index, count in enumerate(self._import_batch(connection, batch)):
                    counts[index] += count
            if counts[0] or counts[1]:
                _log(connection, _ANYTHING)
        added, changed, unchanged = counts
        return ImportResult(added, changed, unchanged, frozenset(domains))

    def _import_batch(
        self, connection: sa.Connection, batch: dict[tuple[str, str], str]
    ) -> tuple[int, int, int]:
        """How many were added, changed and left as they were."""
        aors = [join_aor(*key) for key in batch]
        known = set(connection.scalars(sa.select(_a.aor).where(_a.aor.in_(aors))))
        held: dict[str, list[tuple[str, str, HA1Set]]] = {}
        for row in connection.execute(sa.select(*schema.credentials.c).where(_c.aor.in_(aors))):
            held.setdefault(row.aor, []).append((row.username, row.realm, _ha1_set(row)))
        now = self._wall_clock()
        accounts: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        changed = []
        for (user, domain), password in batch.items():
            aor = join_aor(user, domain)
            if aor not in known:
                values = _account_values(Account(user, domain))
                accounts.append({**values, "login_hash": None, "created": now, "changed": now})
                rows += _credential_rows(user, domain, [domain], password)
            elif (user, domain, ha1_set(user, domain, password)) not in held.get(aor, ()):
                changed.append(aor)
                realms = list(dict.fromkeys([domain, *(realm for _, realm, _ in held.get(aor, ()))]))
                rows += _credential_rows(user, domain, realms, password)
        if accounts:
            connection.execute(schema.accounts.insert(), accounts)
        if changed:
            connection.execute(schema.credentials.delete().where(_c.aor.in_(changed)))
            self._change(connection, *changed, login_hash=None)
        _insert_credentials(connection, rows)
        return len(accounts), len(changed), len(batch) - len(accounts) - len(changed)

    def _change(self, connection: sa.Connection, *aors: str, **values: Any) -> None:
        values["changed"] = self._wall_clock()
        connection.execute(schema.accounts.update().where(_a.aor.in_(aors)).values(values))

    # Logins

    def login(self, aor: str, password: str) -> Account | None:
        """The enabled account whose password this is, else None; one Argon2id's work either way."""
        try:
            user, domain = split_aor(aor)
            password = check_password(password)
        except AccountError:
            self._password_hash.verify(None, "no such account")
            return None
        aor = join_aor(user, domain)
        with self._database.reading() as connection:
            row = _row(connection, aor)
            key = sa.and_(_c.realm == domain, _c.username == user, _c.aor == aor)
            stored = connection.execute(sa.select(*schema.credentials.c).where(key)).first()
        given = ha1_set(user, domain, password)
        if row is not None and row.login_hash is not None:
            right = self._password_hash.verify(row.login_hash, password)
            outdated = right and self._password_hash.is_outdated(row.login_hash)
        else:
            right = outdated = stored is not None and hmac.compare_digest(
                given.packed, _ha1_set(stored).packed
            )
            if not right:
                self._password_hash.verify(None, password)
        if row is None or not right or not row.enabled:
            return None
        if outdated:
            login_hash = self._password_hash.hash(password)
            # A login does not fail for want of the lock: the next one stores the hash.
            with contextlib.suppress(StoreBusy):
                self._keep_login_hash(aor, row.login_hash, stored, login_hash)
        return _account(row._mapping)

    def _keep_login_hash(
        self, aor: str, old: str | None, stored: sa.Row[Any] | None, login_hash: str
    ) -> None:
        """Store the hash of a password that was right, unless it was changed meanwhile."""
        unchanged = sa.and_(_a.aor == aor, _a.login_hash.is_(None) if old is None else _a.login_hash == old)
        if stored is not None:
            same = sa.and_(_c.aor == aor, _c.realm == stored.realm, _c.sha256 == stored.sha256)
            unchanged = sa.and_(unchanged, sa.exists().where(same))
        with self._database.writing() as connection:
            connection.execute(schema.accounts.update().where(unchanged).values(login_hash=login_hash))

    # Credentials

    def find_credentials(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], HA1Set]:
        """The HA1s of each (username, realm) that belongs to an enabled account; the others are missing."""
        usernames: dict[str, list[str]] = {}
        for username, realm in keys:
            if username.isprintable() and realm.isprintable():
                usernames.setdefault(realm, []).append(username)
        found = {}
        query = _LOOKUP if self._database.is_sqlite else _LOOKUP_POSTGRESQL
        with self._database.reading() as connection:
            for realm, names in usernames.items():
                for start in range(0, len(names), _LOOKUP_BATCH):
                    some = json.dumps(names[start : start + _LOOKUP_BATCH])
                    for row in connection.execute(query, {"realm": realm, "names": some}):
                        made = _ha1_set(row)
                        if row.exists:
                            found[row.asked, realm] = made
        return found

    def snapshot(self, limit: int) -> Snapshot:
        """Every credential under a plain username, if they are at most `limit`, with their revision.

        Those under "user@domain" are left out: few phones use them.
        """
        plain = (
            sa.func.instr(_c.username, "@") == 0 if self._database.is_sqlite else ~_c.username.contains("@")
        )
        with self._database.reading() as connection:
            revision = _revision(connection)
            count = connection.scalar(sa.select(sa.func.count()).select_from(schema.accounts)) or 0
            if count > limit:
                return Snapshot(revision, None)
            rows = connection.execute(_ENABLED_CREDENTIALS.where(plain).limit(limit + 1)).all()
        if len(rows) > limit:
            return Snapshot(revision, None)
        made: list[Credential] = [(row.username, sys.intern(row.realm), _ha1_set(row)) for row in rows]
        return Snapshot(revision, tuple(made))

    def changes_since(self, revision: int) -> Changes:
        """The credentials that were written after `revision`, by any process."""
        with self._database.reading() as connection:
            query = sa.select(_h.revision, _h.realm, _h.username).where(_h.revision > revision)
            rows = connection.execute(query.order_by(_h.revision).limit(_KEPT_CHANGES + 1)).all()
            if not rows:
                return Changes(revision, ())
            latest = _revision(connection)
        keys = tuple((row.username, row.realm) for row in rows)
        # A row that is missing between was deleted as too old.
        if rows[0].revision != revision + 1 or rows[-1].revision != latest or _ANYTHING[0] in keys:
            return Changes(latest, None)
        return Changes(latest, keys)


_ENABLED_CREDENTIALS = (
    sa.select(_c.username, _c.realm, _c.md5, _c.sha256, _c.sha512_256)
    .join_from(schema.credentials, schema.accounts, _c.aor == _a.aor)
    .where(_a.enabled)
)


def _lookup_of(asked: sa.ColumnElement[str]) -> sa.Select[*tuple[Any, ...]]:
    """One row for each name that is asked for, whether it is there or not: both take the same time."""
    enabled = sa.exists().where(_a.aor == _c.aor, _a.enabled)
    found = sa.and_(_c.realm == sa.bindparam("realm", type_=sa.Text), _c.username == asked, enabled)
    hashes = [
        sa.func.coalesce(column, sa.literal(bytes(size), sa.LargeBinary)).label(column.name)
        for column, size in ((_c.md5, 16), (_c.sha256, 32), (_c.sha512_256, 32))
    ]
    outer = asked.table.outerjoin(schema.credentials, found)
    return sa.select(asked.label("asked"), _c.username.is_not(None).label("exists"), *hashes).select_from(
        outer
    )


# The names come as a JSON array: one parameter and one statement, however many they are.
_NAMES = sa.bindparam("names", type_=sa.Text)
_LOOKUP = _lookup_of(sa.func.json_each(_NAMES).table_valued("value").c.value)
_LOOKUP_POSTGRESQL = _lookup_of(
    sa.func.json_array_elements_text(sa.cast(_NAMES, sa.JSON)).table_valued("value").c.value
)


def _take(parsed: Iterable[tuple[str, str, str]]) -> Iterable[tuple[str, str, str]]:
    return itertools.islice(parsed, _IMPORT_BATCH)


def _row(connection: sa.Connection, aor: str) -> sa.Row[Any] | None:
    return connection.execute(sa.select(*schema.accounts.c).where(_a.aor == aor)).first()


def _account(values: Any) -> Account:
    return Account(
        values["username"],
        values["domain"],
        values["enabled"],
        frozenset(values["roles"].split()),
        values["display_name"],
        values["created"],
        values["changed"],
    )


def _account_values(account: Account) -> dict[str, Any]:
    return {
        "aor": account.aor,
        "username": account.user,
        "domain": account.domain,
        "display_name": account.display_name,
        "enabled": account.enabled,
        "roles": " ".join(sorted(account.roles)),
    }


def _ha1_set(row: Any) -> HA1Set:
    return HA1Set.from_bytes(row.md5 + row.sha256 + row.sha512_256)


def _credential_rows(user: str, domain: str, realms: Iterable[str], password: str) -> list[dict[str, Any]]:
    aor = join_aor(user, domain)
    rows = []
    for realm in realms:
        for username in (user, aor) if realm == domain else (user,):
            packed = ha1_set(username, realm, password).packed
            rows.append(
                {
                    "realm": realm,
                    "username": username,
                    "aor": aor,
                    "md5": packed[:16],
                    "sha256": packed[16:48],
                    "sha512_256": packed[48:],
                }
            )
    return rows


def _insert_credentials(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    try:
        connection.execute(schema.credentials.insert(), rows)
    except IntegrityError:
        # Two domains may share a realm, but not two users of one name in it.
        for row in rows:
            key = sa.and_(_c.realm == row["realm"], _c.username == row["username"], _c.aor != row["aor"])
            holder = connection.scalar(sa.select(_c.aor).where(key))
            if holder is not None:
                raise DuplicateAccount(
                    f"{holder} has the username {row['username']} in the realm {row['realm']} already"
                ) from None
        raise


def _realms(connection: sa.Connection, aor: str) -> list[str]:
    return list(connection.scalars(sa.select(_c.realm).where(_c.aor == aor).distinct().order_by(_c.realm)))


def _credential_keys(connection: sa.Connection, aor: str) -> _Keys:
    rows = connection.execute(sa.select(_c.username, _c.realm).where(_c.aor == aor))
    return [(row.username, row.realm) for row in rows]


def _keys_of(rows: list[dict[str, Any]]) -> _Keys:
    return [(row["username"], row["realm"]) for row in rows]


def _log(connection: sa.Connection, keys: _Keys) -> None:
    """Say in the log of changes that these (username, realm) were written, from the commit on."""
    if not keys:
        return
    values = [{"realm": realm, "username": username} for username, realm in keys]
    connection.execute(schema.changes.insert(), values)
    connection.execute(schema.changes.delete().where(_h.revision <= _revision(connection) - _KEPT_CHANGES))


def _revision(connection: sa.Connection) -> int:
    return int(connection.scalar(sa.select(sa.func.max(_h.revision))) or 0)
