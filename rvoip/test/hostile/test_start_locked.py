"""Databases that somebody else holds, and file systems with no room or no leave to write."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rvoip.test.hostile.server import Server, own_host, run_role
from rvoip.test.hostile.starts import Case, StartCase, listening, mounted
from rvoip.test.hostile.stored import HOLD, STORED, TABLES, used


class LockedTests(StartCase):
    def test_held_by_another_process(self) -> None:
        """Another process is in a transaction and stays there: given a few seconds, then it is said."""
        with ThreadPoolExecutor(2) as pool:
            looks = [
                pool.submit(self.look, "users.db", "users.db: the database is locked by another process"),
                pool.submit(self.look, "location.db", "location.db is locked by another process"),
            ]
        for look in looks:
            look.result()

    def look(self, name: str, words: str) -> None:
        folder = self.folder()
        used(folder)
        held = {path.name: path.read_bytes() for path in folder.iterdir()}
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder / name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with holder:
            assert holder.stdout is not None
            self.assertEqual(holder.stdout.readline(), b"held\n")
            end = run_role("proxy", folder, STORED)
            self.check_end(Case(words, STORED), end)
            assert holder.stdin is not None
            holder.stdin.close()
        # Compared when nobody holds it: closing a file ends the locks of a process that looks at it.
        for each, octets in held.items():
            self.assertEqual((folder / each).read_bytes(), octets, each)

    def test_two_servers(self) -> None:
        """A second server on the same bindings would not see what the first one changes."""
        folder = self.folder()
        server = Server(own_host(), tables=TABLES, folder=folder)
        self.addCleanup(server.close)
        server.start()
        config = server.text.replace(f":{server.address[1]}", ":0").replace("http.sock", "other.sock")
        end = run_role("proxy", folder, config)
        self.check_end(Case("location.db is in use by another process", config), end)
        self.assertIsNotNone(server.options())


class NoRoomTests(StartCase):
    def test_read_only(self) -> None:
        """A folder in which nothing can be made, and databases that cannot be written."""
        for prepare, config, words in (
            (None, listening(http="none"), "users.db: "),
            (used, STORED.replace("unix:http.sock", "none"), "cannot be"),
        ):
            folder = self.folder()
            with mounted(folder, "size=4m"):
                if prepare is not None:
                    prepare(folder)
                (folder / "rvoip.toml").write_text(config, encoding="utf-8")
                before = {path.name: path.read_bytes() for path in folder.iterdir()}
                subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
                end = run_role("proxy", folder, None)
                self.check_end(Case(words, config), end)
                self.assertEqual({path.name: path.read_bytes() for path in folder.iterdir()}, before)

    def test_full(self) -> None:
        """No room for a new database, or for one more page of a used one."""
        for prepare, words in ((None, "users.db: "), (used, "")):
            folder = self.folder()
            with mounted(folder, "size=256k"):
                if prepare is not None:
                    prepare(folder)
                (folder / "rvoip.toml").write_text(STORED.replace("unix:http.sock", "none"), encoding="utf-8")
                before = {path.name: path.read_bytes() for path in folder.iterdir()}
                self.fill(folder)
                end = run_role("proxy", folder, None)
                self.check_end(Case(words, None), end)
                for name, octets in before.items():
                    self.assertEqual((folder / name).read_bytes(), octets)

    def fill(self, folder: Path) -> None:
        with (folder / "ballast").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                return


class StaleTests(StartCase):
    def test_what_a_killed_server_left(self) -> None:
        """Its socket, its lock file and its -wal files keep nobody from starting."""
        folder = self.folder()
        for _ in range(2):
            server = Server(own_host(), tables=TABLES, folder=folder)
            self.addCleanup(server.close)
            server.start()
            self.assertEqual(server.api("GET", "/v1/status")[0], 200)
            server.kill()
            self.assertTrue((folder / "http.sock").is_socket())
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            self.assertRaises(ConnectionRefusedError, client.connect, str(folder / "http.sock"))
        self.assertTrue(os.path.exists(folder / "location.db"))
