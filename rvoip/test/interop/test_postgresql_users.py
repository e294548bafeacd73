"""Accounts in PostgreSQL, shared by two roles, made and changed with `rvoip user`."""

from __future__ import annotations

import secrets

from rvoip.test.interop.addresses import address
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.postgresql import PostgreSQLServer
from rvoip.test.interop.processes import run, until
from rvoip.test.interop.roles import DOMAIN, Role, command

_HOSTS = (address(1), address(2))


class PostgreSQLUsersTests(InteropTestCase):
    """Both nodes have accounts and bindings there."""

    limit = 90

    def setUp(self) -> None:
        """Start the server, and the nodes."""
        super().setUp()
        self.server = PostgreSQLServer(self.folder, address(5))
        self.addCleanup(self.server.close)

    def node(self, number: int) -> Role:
        """A registrar and proxy without a file of its own."""
        store = f'store = "{self.server.url}"'
        return self.role(
            _HOSTS[number],
            {"users": store, "location": store, "proxy": f'secret_file = "{self.folder}/proxy.key"'},
            users=("alice", "bob"),
            name=f"node-{number}",
        )

    def test_accounts(self) -> None:
        """Who was imported registers and calls; a new password holds on the other node soon."""
        one = self.node(0)
        self.assertEqual(self.server.execute("SELECT count(*) FROM accounts"), "2")
        other = self.node(1)
        alice, bob = self.baresip(one, "alice"), self.baresip(other, "bob")
        alice.call(f"sip:bob@{DOMAIN}")
        bob.rings()
        bob.answer()
        alice.talks()
        alice.hang_up()
        bob.hung_up()
        word = secrets.token_hex(8)
        changed = run(
            command("user", "passwd", f"alice@{DOMAIN}", "--password-stdin", "--config", str(one.config)),
            self.folder,
            stdin=f"{word}\n",
        )
        self.assertEqual(changed.returncode, 0, changed)

        def registers() -> bool:
            phone = self.sipp(
                "register",
                other.address,
                name=f"register-{secrets.token_hex(4)}",
                users=[("alice", word)],
                keys={"contact": f"{address(40)}:5070", "expires": "600"},
            )
            return phone.process.wait(30) == 0

        until(registers, "the new password holds", patience=30)
