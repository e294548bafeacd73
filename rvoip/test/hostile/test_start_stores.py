"""Databases that are damaged, too new, of somebody else, or nowhere.

What is in them is after the start that failed what it was before, octet for octet.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from rvoip.test.hostile.starts import Case, StartCase, listening
from rvoip.test.hostile.stored import STORED, used


def spoilt(name: str, at: int, octets: bytes = b"\xde\xad\xbe\xef" * 64) -> Callable[[Path], None]:
    """With some octets overwritten."""

    def prepare(folder: Path) -> None:
        used(folder)
        with (folder / name).open("r+b") as file:
            file.seek(at)
            file.write(octets)

    return prepare


def replaced(name: str, octets: bytes) -> Callable[[Path], None]:
    """With other content altogether."""

    def prepare(folder: Path) -> None:
        used(folder)
        (folder / name).write_bytes(octets)

    return prepare


def changed(name: str, statement: str) -> Callable[[Path], None]:
    """After a statement."""

    def prepare(folder: Path) -> None:
        used(folder)
        database = sqlite3.connect(folder / name)
        database.execute(statement)
        database.commit()
        database.close()

    return prepare


def others(name: str) -> Callable[[Path], None]:
    """A database of another program."""

    def prepare(folder: Path) -> None:
        used(folder)
        (folder / name).unlink()
        database = sqlite3.connect(folder / name)
        database.execute("CREATE TABLE songs (title TEXT)")
        database.execute("INSERT INTO songs VALUES ('precious')")
        database.commit()
        database.close()

    return prepare


def truncated(name: str) -> Callable[[Path], None]:
    """With its second half gone."""

    def prepare(folder: Path) -> None:
        used(folder)
        octets = (folder / name).read_bytes()
        (folder / name).write_bytes(octets[: len(octets) // 2])

    return prepare


class DamagedTests(StartCase):
    def test_users(self) -> None:
        name = "users.db"
        self.check(
            [
                Case(f"{name}: the file is not a SQLite database", STORED, spoilt(name, 0)),
                Case(f"{name}: the database is damaged", STORED, spoilt(name, 100)),
                Case(f"{name}: the database is damaged", STORED, spoilt(name, 4096)),
                Case(f"{name}: the database is damaged", STORED, truncated(name), role="registrar"),
                Case(f"{name}: the file is not a SQLite database", STORED, replaced(name, b"text\n" * 900)),
                Case(f"{name}: holds other tables and none of users", STORED, others(name)),
                Case(
                    f"{name}: was written by a newer version",
                    STORED,
                    changed(name, "UPDATE users_version SET version_num = '9999'"),
                ),
            ]
        )

    def test_location(self) -> None:
        name = "location.db"
        self.check(
            [
                Case(f"{name} is damaged, or no SQLite database", STORED, spoilt(name, 0)),
                Case(f"{name} is damaged", STORED, spoilt(name, 100)),
                Case(f"{name} is damaged", STORED, spoilt(name, 4096), role="registrar"),
                Case(f"{name} is damaged", STORED, truncated(name)),
                Case(f"{name} holds something else than bindings", STORED, others(name)),
                Case(f"{name} is of a newer version", STORED, changed(name, "PRAGMA user_version = 99")),
            ]
        )

    def test_places(self) -> None:
        """Nowhere, or something that is no file."""

        def folder(where: Path) -> None:
            (where / "users.db").mkdir()

        self.check(
            [
                Case("users.db: is not a file", STORED, folder),
                Case(
                    "its folder does not exist", listening() + '[users]\nstore = "sqlite:no/such/users.db"\n'
                ),
                Case(
                    "location.db: No such file or directory",
                    listening() + '[location]\nstore = "sqlite:no/such/location.db"\n',
                ),
                Case("rvoip.toml: users.store: ", listening() + '[users]\nstore = "mysql:x"\n', early=True),
                Case("rvoip.toml: location.store: ", listening() + '[location]\nstore = "db"\n', early=True),
                Case("proxy.key: is no key", STORED, replaced("proxy.key", b"\xff\xfe")),
            ]
        )
