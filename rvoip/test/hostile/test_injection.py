"""SQL, log lines and dialled strings: what is data stays data."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from typing import ClassVar
from urllib.parse import quote

from rvoip.test.hostile.case import ATTACKER, PASSWORDS, QUICK, SERVERS, HostileCase, register
from rvoip.test.hostile.server import DOMAIN, Server
from rvoip.test.hostile.wire import Callee, Datagrams, Message, authorization, challenges, request

URI = f"sip:{DOMAIN}"


def make_stored(host: str) -> Server:
    """A proxy with registrar that keeps all in SQLite and asks nobody for credentials."""
    tables = '[registrar]\nauthenticate = false\n[location]\nstore = "sqlite:location.db"\n'
    return Server(host, "proxy", tables, sip=QUICK, users=PASSWORDS)


def make_json(host: str) -> Server:
    """One that logs in JSON, and everything that it can."""
    tables = '[registrar]\n[log]\nformat = "json"\nlevel = "debug"\nactivity = true\n'
    return Server(host, "proxy", tables, sip=QUICK, users=PASSWORDS)


def make_text(host: str) -> Server:
    """One that logs text, and everything that it can."""
    tables = '[registrar]\nauthenticate = false\n[log]\nlevel = "debug"\nactivity = true\n'
    return Server(host, "proxy", tables, sip=QUICK, users=PASSWORDS)


class SQLTests(HostileCase):
    """Every field that reaches a database (row 20)."""

    servers: ClassVar[dict[str, Callable[[str], Server]]] = {**SERVERS, "stored": make_stored}

    QUOTES = (
        "'",
        "''",
        "' OR '1'='1",
        "alice' --",
        "alice'/*",
        "x'; DROP TABLE account; --",
        "x'; DELETE FROM binding; --",
        "x' UNION SELECT * FROM account --",
        "x\\'; DROP TABLE binding; --",
        '"; DROP TABLE credential; --',
        "%' OR 1=1 --",
        "a_b%",
        "?1",
        ":aor",
        "\x00'; DROP TABLE account",
        "\u2019 OR 1=1",
        "1; ATTACH DATABASE 'x.db' AS x",
    )

    def tables(self, server: Server) -> dict[str, int]:
        """Every table of every database, with its rows."""
        found = {}
        for path in sorted(server.folder.glob("*.db")):
            database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)
            try:
                names = [
                    row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type='table'")
                ]
                for name in names:
                    (found[f"{path.name}:{name}"],) = database.execute(
                        f'SELECT count(*) FROM "{name}"'
                    ).fetchone()
            finally:
                database.close()
        return found

    def test_digest_usernames(self) -> None:
        """As username, realm, and in To and From: refused, and nothing is changed."""
        for name in ("proxy", "registrar"):
            server = self.serve(name)
            before = self.tables(server)
            self.assertGreaterEqual(len(before), 3)
            with Datagrams(ATTACKER, server.address) as phone:
                (asked,) = self.exchange(server, request("REGISTER", URI, to=f"<sip:alice@{DOMAIN}>"))
                challenge = challenges(asked)["MD5"]
                for text in self.QUOTES:
                    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
                    for credentials in (
                        authorization(challenge, escaped, "x", "REGISTER", URI),
                        authorization(challenge | {"realm": escaped}, "alice", "x", "REGISTER", URI),
                        authorization(
                            challenge, "alice", "x", "REGISTER", f"{URI};{escaped}", cnonce=escaped
                        ),
                    ):
                        wire = request(
                            "REGISTER",
                            URI,
                            f"Authorization: {credentials}",
                            sent_by=phone.sent_by,
                            to=f"<sip:alice@{DOMAIN}>",
                        )
                        for answer in self.exchange(server, wire):
                            self.assertIn(answer.status, (400, 401), wire)
            self.assertEqual(self.tables(server), before)

    def test_addresses(self) -> None:
        """In the addresses of REGISTER and of calls."""
        server = self.serve("stored")
        users = {name: rows for name, rows in self.tables(server).items() if name.startswith("users")}
        for text in self.QUOTES:
            user = quote(text, safe="'")
            aor = f"sip:{user}@{DOMAIN}"
            quoted = text.replace("\\", "").replace('"', "")
            wire = request(
                "REGISTER",
                URI,
                f"Contact: <sip:{user}@127.0.71.201:9>",
                to=f"<{aor}>",
                sender=f'"{quoted}" <{aor}>;tag={quote(text, safe="")}',
                call_id=quote(text, safe="'"),
            )
            for answer in self.exchange(server, wire):
                self.assertIn(answer.status, (200, 400), wire)
            for answer in self.exchange(server, request("OPTIONS", aor, to=f"<{aor}>")):
                self.assertIn(answer.status, (400, 404, 480, 482), wire)
            self.exchange(server, request("MESSAGE", f"sip:{text}@{DOMAIN}", to=f"<sip:{text}@{DOMAIN}>"))
        after = self.tables(server)
        self.assertEqual({name: rows for name, rows in after.items() if name.startswith("users")}, users)
        (bindings,) = [rows for name, rows in after.items() if name.endswith(":binding")]
        self.assertTrue(0 < bindings <= len(self.QUOTES))

    def test_the_api(self) -> None:
        server = self.serve("stored")
        before = self.tables(server)
        for text in self.QUOTES:
            name = quote(text, safe="")
            for method, path in (
                ("GET", f"/v1/users/{name}"),
                ("DELETE", f"/v1/users/{name}"),
                ("DELETE", f"/v1/users/{name}@{DOMAIN}"),
                ("GET", f"/v1/users?prefix={name}"),
                ("GET", f"/v1/users?after={name}&limit=1"),
                ("GET", f"/v1/users?limit={name}"),
                ("GET", f"/v1/bindings?prefix={name}"),
                ("GET", f"/v1/bindings/{name}/{name}"),
                ("DELETE", f"/v1/bindings/{name}"),
                ("DELETE", f"/v1/bindings/alice@{DOMAIN}/{name}"),
                ("DELETE", f"/v1/keys/{name}"),
                ("GET", f"/v1/ladders/{name}"),
            ):
                status, answer = server.api(method, path)
                self.assertTrue(status == 200 or 400 <= status < 500, (method, path, status, answer))
            document = {"user": "carol", "domain": f"{text}.test", "password": "secret secret"}
            status, answer = server.api("POST", "/v1/users", document)
            self.assertIn(status, (400, 422), answer)
        self.assertEqual(self.tables(server), before)
        # What is a name, however odd, is one: it is stored and found as it is.
        document = {"user": "o'brien", "domain": DOMAIN, "password": "it's a 'secret'"}
        self.assertEqual(server.api("POST", "/v1/users", document)[0], 201)
        self.assertEqual(server.api("GET", f"/v1/users/o'brien@{DOMAIN}")[0], 200)
        self.assertEqual(server.api("DELETE", f"/v1/users/o'brien@{DOMAIN}")[0], 204)


class LogTests(HostileCase):
    """Whatever is logged is one line of printable text (row 21)."""

    servers: ClassVar[dict[str, Callable[[str], Server]]] = {"json": make_json, "text": make_text}

    EVIL = (
        "\x1b[2J\x1b[31mred",
        "\x1b]0;title\x07",
        "\x9b31m",
        "a\x08\x08\x08b",
        "2026-01-01T00:00:00Z critical forged: line",
        "\x00\x01\x02",
        "\u2028forged",
        "\u202eright to left",
        "<script>alert(1)</script>",
        "{log_failure} {0.__class__} %s %n",
        "\udcff\udcfe",
        "a" * 9000,
        "\x7f\x85",
        'x" level="critical',
    )

    def attack(self, server: Server) -> None:
        """Odd text in each field that may be logged: in what is refused, and in what is not."""
        with Callee("127.0.71.201", server.address, 486) as bob:
            register(server, bob, "bob", f"<sip:bob@{bob.sent_by}>")
            bob.answer()
            for number, evil in enumerate(self.EVIL):
                self.exchange(server, request("OPTIONS", f"sip:{evil}", call_id=f"e{number}"))
                self.exchange(server, request(evil, URI))
                for method in ("INVITE", "OPTIONS"):
                    self.exchange(
                        server,
                        request(
                            method,
                            f"sip:bob@{DOMAIN}",
                            f"User-Agent: {evil}",
                            f"Subject: {evil}",
                            f'Contact: "{evil}" <sip:x@127.0.71.200>',
                            call_id=f"{evil}{number}{method}",
                            sender=f'"{evil}" <sip:{quote(evil, errors="replace")}@a>;tag=1',
                        ),
                    )
                    self.exchange(server, request(method, f"sip:bob@{DOMAIN}", f"Max-Forwards: {evil}"))
                    self.exchange(server, request(method, f"sip:bob@{DOMAIN}", cseq=f"{evil} {method}"))
                    self.exchange(server, request(method, f"sip:{evil}@{DOMAIN}"))
                aor = f"<sip:{quote(evil[:100], errors='replace')}@{DOMAIN}>"
                register_it = request(
                    "REGISTER",
                    URI,
                    f"Contact: <sip:a@127.0.71.201:{9000 + number}>",
                    f"User-Agent: {evil}",
                    to=aor,
                )
                self.exchange(server, register_it)
                self.exchange(server, request("REGISTER", URI, f"Authorization: Digest {evil}", to=aor))
                document = {"user": evil, "domain": evil, "password": evil}
                self.paths(server, evil, document)

    def paths(self, server: Server, evil: str, document: dict[str, str]) -> None:
        body = json.dumps(document).encode()
        server.api("POST", "/v1/users", body)
        server.api("GET", f"/v1/users/{quote(evil, errors='surrogateescape')}")
        server.api("GET", f"/{quote(evil[:200], errors='surrogateescape')}")

    def test_json(self) -> None:
        server = self.serve("json")
        self.attack(server)
        lines = server.out.read_bytes().split(b"\n")
        self.assertEqual(lines.pop(), b"")
        self.assertGreater(len(lines), 20)
        for line in lines:
            self.assertEqual([octet for octet in line if octet < 0x20 or octet == 0x7F], [])
            record = json.loads(line)
            self.assertIsInstance(record["message"], str)
            self.assertRegex(record["level"], "^(debug|info|warn|error|critical)$")
            text = line.decode()
            self.assertIsNone(re.search("[\x80-\x9f\u2028\u2029\u202a-\u202e]", text), text[:500])
            self.assertLess(len(line), 70_000)

    def test_text(self) -> None:
        server = self.serve("text")
        self.attack(server)
        text = server.out.read_bytes().decode()
        for line in text.splitlines():  # which knows of more line breaks than anybody
            self.assertRegex(
                line, r"^20\d\d-\d\d-\d\dT[\d:.]+Z (debug|info|warn|error|critical) [\w.]+: ", line[:300]
            )
            self.assertNotIn(" critical ", line[:60])
        self.assertIsNone(re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", text))

    def test_secrets(self) -> None:
        """Neither passwords nor what answers a challenge, in whatever is logged at debug level."""
        server = self.serve("json")
        with Datagrams("127.0.71.201", server.address) as phone:
            register(server, phone, "alice", f"<sip:alice@{phone.sent_by}>")
        server.api("POST", "/v1/users", {"user": "dora", "domain": "x y", "password": "dora's own secret"})
        self.exchange(
            server, request("REGISTER", URI, "Authorization: Digest username=a, response=feed0123456789")
        )
        for word in (*PASSWORDS.values(), "dora's own secret", "feed0123456789"):
            self.assertNotIn(word, server.log())


class DialledTests(HostileCase):
    """What was dialled is a name, never more (row 22)."""

    servers: ClassVar[dict[str, Callable[[str], Server]]] = {"open": SERVERS["open"]}

    DIALLED = (
        "300%0d%0aX:1",
        "300%0D%0AX-Trusted:%20yes%0D%0A",
        "300&x",
        "300%26x",
        "300;lr",
        "300%3blr",
        "300@evil",
        "300%40evil",
        "300%40evil.invalid%3btransport=tcp",
        "300?X=1",
        "300%3fX=1",
        "300%00",
        "300%20",
        "300/../x",
        "300%2e%2e%2f",
        "300:pw",
        "300$HOME",
        "300`id`",
        "300|x",
        "300%",
        "300%zz",
        "300<x>",
        "300%3cx%3e",
        "300\\x",
        "300,301",
        "300%2c301",
    )

    def test_nobody_is_called(self) -> None:
        """User 300 is registered; none of these is that user, and nothing arrives anywhere."""
        server = self.serve("open")
        with Callee("127.0.71.201", server.address) as phone:
            wire = request(
                "REGISTER",
                URI,
                f"Contact: <sip:300@{phone.sent_by}>",
                to=f"<sip:300@{DOMAIN}>",
                sent_by=phone.sent_by,
            )
            phone.send(wire)
            answer = phone.receive(2.0)
            assert answer is not None
            self.assertEqual(answer.status, 200)
            phone.answer()
            for number, dialled in enumerate(self.DIALLED):
                for method in ("INVITE", "MESSAGE"):
                    wire = request(
                        method,
                        f"sip:{dialled}@{DOMAIN}",
                        to=f"<sip:300@{DOMAIN}>",
                        call_id=f"{number}-{method}",
                    )
                    for answer in self.exchange(server, wire):
                        if answer.method == "" and answer.status >= 300:
                            self.assertTrue(answer.status < 500, (dialled, answer.wire))
                        self.assertNotIn("x", [name for name, _ in answer.headers])
            self.exchange(server, request("MESSAGE", f"sip:300@{DOMAIN}", call_id="last-"))
            self.wait_for(lambda: any(message.get("call-id") == "last-" for message in phone.got))
            self.check_arrived(phone.take())

    def check_arrived(self, got: list[Message]) -> None:
        """Only a password leaves it user 300, and does not arrive itself."""
        for message in got:
            number = message.get("call-id").partition("-")[0]
            self.assertEqual(message.uri, f"sip:300@{message.uri.partition('@')[2]}")
            self.assertIn("300" if number == "last" else self.DIALLED[int(number)], ("300", "300:pw"))

    def test_a_contact_that_is_a_command(self) -> None:
        """The same strings in a contact: what comes out is the contact as one URI, with its own host."""
        server = self.serve("open")
        with Callee("127.0.71.201", server.address) as phone:
            phone.answer()
            for number, dialled in enumerate(self.DIALLED):
                aor = f"sip:c{number}@{DOMAIN}"
                contact = f"Contact: <sip:{dialled}@{phone.sent_by}>"
                for answer in self.exchange(server, request("REGISTER", URI, contact, to=f"<{aor}>")):
                    self.assertIn(answer.status, (200, 400), answer.wire)
                self.exchange(server, request("MESSAGE", aor))
            self.exchange(server, request("OPTIONS", URI))
            for message in phone.take():
                self.assertNotIn("x-trusted", [name for name, _ in message.headers])
                self.assertNotIn("x", [name for name, _ in message.headers])
                self.assertRegex(message.head, r"^MESSAGE sip:[!-~]+ SIP/2\.0$")
