"""Two registrars that are proxies too, on one Redis or PostgreSQL: calls across, and what outages cost.

An outage lasts for RVOIP_OUTAGE_SECONDS.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from rvoip.test.interop.addresses import address
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.phone import hear
from rvoip.test.interop.postgresql import PostgreSQLServer
from rvoip.test.interop.processes import until
from rvoip.test.interop.redis import RedisServer
from rvoip.test.interop.relay import Relay
from rvoip.test.interop.roles import DOMAIN, Role
from rvoip.test.interop.sipp import SIPp

_OUTAGE = float(os.environ.get("RVOIP_OUTAGE_SECONDS", "4"))
_BEFORE = 0.5
_AFTER = 5.0
_LATE = 2.0
"""Of the seconds after an outage the last ones: by then all is as it was before."""
_USERS = tuple(f"u{number:03}" for number in range(240))
_HOSTS = (address(1), address(2))
_PATIENCE = 20


class SharedLocation:
    """To be mixed into the case of each kind of store."""

    limit: ClassVar[int] = int(90 + _OUTAGE)
    server: Any

    def node(
        self, number: int, url: str, users: tuple[str, ...], more: Mapping[str, str] | None = None
    ) -> Role:
        """A registrar and proxy with the store at `url`, and `more` tables."""
        role: Role = self.role(  # type: ignore[attr-defined]
            _HOSTS[number],
            {"location": f'store = "{url}"', "log": "", "trace": "", **(more or {})},
            users=users,
            name=f"node-{number}",
        )
        role.expected.append("Registrations are refused")
        return role

    def nodes(self, users: tuple[str, ...] = ("alice", "bob")) -> tuple[Role, Role]:
        """Two of them."""
        return self.node(0, self.server.url, users), self.node(1, self.server.url, users)

    def test_call(self: Any) -> None:
        """Two phones that are registered on different ones call each other, one way and the other."""
        one, other = self.nodes()
        alice, bob = self.baresip(one, "alice"), self.baresip(other, "bob")
        for role in (one, other):
            for user in ("alice", "bob"):
                self.assertEqual(len(role.bindings(user)), 1)
        for caller, callee in ((alice, bob), (bob, alice)):
            caller.call(f"sip:{callee.user}@{DOMAIN}")
            callee.rings()
            callee.answer()
            caller.talks()
            callee.talks()
            hear(caller, callee)
            caller.hang_up()
            callee.hung_up()
            alice.forget()
            bob.forget()

    def test_removal(self: Any) -> None:
        """What an operator takes away at one node is gone at the other."""
        one, other = self.nodes()
        self.binds(one, "alice", f"{address(40)}:5070")
        self.assertEqual(len(other.bindings("alice")), 1)
        done = other.rvoip("binding", "remove", f"alice@{DOMAIN}")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(one.bindings("alice"), [])

    def test_expiry(self: Any) -> None:
        """What ends is gone for both, and one of them says so."""
        more = {"registrar": "min_expires = 1", "log": "activity = true"}
        nodes = [self.node(number, self.server.url, ("alice", "bob"), more) for number in range(2)]
        registering = self.sipp(
            "register",
            nodes[0].address,
            users=[("alice", "pw-alice")],
            keys={"contact": f"{address(40)}:5070", "expires": "3"},
        )
        registering.succeed()
        self.assertEqual([len(node.bindings("alice")) for node in nodes], [1, 1])
        said = f"registration expired: alice@{DOMAIN}"
        until(lambda: sum([node.process.output.count(said) for node in nodes]), "its end is told")
        self.assertEqual([node.bindings("alice") for node in nodes], [[], []])
        time.sleep(2.5)  # each looks for what is over once a second
        self.assertEqual(sum([node.process.output.count(said) for node in nodes]), 1)

    def load(self: Any, role: Role) -> SIPp:
        """Registrations, all through the outage."""
        seconds = _BEFORE + _OUTAGE + _AFTER
        started: SIPp = self.sipp(
            "register",
            role.address,
            name=f"sipp-{role.name}",
            calls=len(_USERS),
            rate=len(_USERS) / seconds,
            users=[(user, f"pw-{user}") for user in _USERS],
            keys={"contact": f"{address(99)}:{7000 + _HOSTS.index(role.host)}", "expires": "3600"},
            patience=int(seconds + _PATIENCE),
        )
        return started

    def outage(
        self: Any, nodes: tuple[Role, Role], begin: Callable[[], object], end: Callable[[], object]
    ) -> None:
        """Registrations at both nodes, an outage amidst: none that was acknowledged is lost."""
        loads = [self.load(role) for role in nodes]
        time.sleep(_BEFORE)
        begin()
        time.sleep(_OUTAGE)
        for node in nodes:
            self.assertNotIn("answers again", node.process.output)
        end()
        for load in loads:
            load.process.wait(_OUTAGE + _AFTER + _PATIENCE + 10)
        refused = sum([len(load.received("^SIP/2.0 503 ")) for load in loads])
        self.assertGreater(refused, 5)
        lists = [self.all_listed(role) for role in nodes]
        self.assertEqual(lists[0], lists[1])
        for load in loads:
            acknowledged = self.acknowledged(load)
            self.assertEqual(acknowledged - lists[0], set(), "what was acknowledged is there")
            last = int(len(_USERS) * _LATE / (_BEFORE + _OUTAGE + _AFTER))
            late = {user for user, _ in acknowledged if int(user[1:]) >= len(_USERS) - last}
            self.assertGreater(len(late), 0.8 * last, "the last ones are registered again")

    def acknowledged(self, load: SIPp) -> set[tuple[str, str]]:
        """(user, contact) of what was answered 200."""
        found = set()
        for text in load.received("^SIP/2.0 200 "):
            user = re.search(r"^To: <sip:(u\d+)@", text, re.M)
            assert user is not None
            found.add((user[1], f"{address(99)}:{7000 + int(load.name[-1])}"))
        return found

    def all_listed(self, role: Role) -> set[tuple[str, str]]:
        """(user, contact) of all bindings."""
        return {
            (one["aor"].partition("@")[0], re.sub(r".*@|;.*", "", one["contact"])) for one in role.listed()
        }


class RedisTests(SharedLocation, InteropTestCase):
    """On a Redis with appendfsync always."""

    def setUp(self) -> None:
        """Start the server."""
        super().setUp()
        self.server = RedisServer(self.folder, address(5))
        self.addCleanup(self.server.close)

    def test_partition(self) -> None:
        """One node is cut off: it refuses, the other goes on; healed, both go on."""
        relay = Relay(address(6), (self.server.host, self.server.port))
        self.addCleanup(relay.close)
        nodes = (
            self.node(0, self.server.url_by(relay.host, relay.port), _USERS),
            self.node(1, self.server.url, _USERS),
        )
        self.outage(nodes, relay.cut, relay.heal)

    def test_frozen(self) -> None:
        """The server stands still: both refuse, and what it finds in its sockets later does no harm."""
        self.outage(self.nodes(_USERS), self.server.freeze, self.server.thaw)

    def test_killed(self) -> None:
        """Signal 9, and started again after a while."""
        self.outage(self.nodes(_USERS), self.server.kill, self.server.start)

    def test_a_call_is_refused(self) -> None:
        """Without the store nobody can be looked up: 503, and the phone is not told that nobody is there."""
        one, other = self.nodes()
        alice, _ = self.baresip(one, "alice"), self.baresip(other, "bob")
        self.server.kill()
        until(lambda: one.process.wait_for("Registrations are refused"), "the loss is noticed")
        alice.call(f"sip:bob@{DOMAIN}")
        alice.failed(503)

    def test_not_durable(self) -> None:
        """A role does not start on a server that may forget; one line says why."""
        self.server.ask("CONFIG", "SET", "appendfsync", "everysec")
        with self.assertRaisesRegex(AssertionError, "may lose registrations: it has appendfsync everysec"):
            self.node(0, self.server.url, ("alice",))


class PostgreSQLTests(SharedLocation, InteropTestCase):
    """On a PostgreSQL."""

    def setUp(self) -> None:
        """Start the server."""
        super().setUp()
        self.server = PostgreSQLServer(self.folder, address(5))
        self.addCleanup(self.server.close)

    def test_partition(self) -> None:
        """One node is cut off: it refuses, the other goes on; healed, both go on."""
        relay = Relay(address(6), (self.server.host, self.server.port))
        self.addCleanup(relay.close)
        nodes = (
            self.node(0, self.server.url_by(relay.host, relay.port), _USERS),
            self.node(1, self.server.url, _USERS),
        )
        self.outage(nodes, relay.cut, relay.heal)

    def test_frozen(self) -> None:
        """The server stands still: both refuse."""
        self.outage(self.nodes(_USERS), self.server.freeze, self.server.thaw)

    def test_killed(self) -> None:
        """Signal 9, and started again after a while."""
        self.outage(self.nodes(_USERS), self.server.kill, self.server.start)
