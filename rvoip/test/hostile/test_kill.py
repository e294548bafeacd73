"""Signal 9 after and in the midst of registrations: what was acknowledged is there, what was removed is not.

`RVOIP_KILL_REGISTRATIONS` says how many there are; `make soak` asks for 10,000.
"""

from __future__ import annotations

import os
import random
import select
import threading
import time
from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.hostile.case import ATTACKER
from rvoip.test.hostile.server import DOMAIN, Server, own_host
from rvoip.test.hostile.wire import Datagrams, Message, request

COUNT = int(os.environ.get("RVOIP_KILL_REGISTRATIONS", "500"))
KILLS = 3
FIRST_ANSWER_S = 5.0
WINDOW = 100
"""Requests under way at once."""

TABLES = '[registrar]\nauthenticate = false\n[location]\nstore = "sqlite:location.db"\n'


class Fleet:
    """Phones that register and unregister, and know what was acknowledged.

    `bound` and `unbound` are users whose last acknowledged change was that; `in_doubt` those with a change
    that was asked for and not answered.
    """

    def __init__(self, server: Server) -> None:
        self._phone = Datagrams(ATTACKER, server.address)
        self._cseq: dict[str, int] = {}
        self.bound: set[str] = set()
        self.unbound: set[str] = set()
        self.in_doubt: set[str] = set()
        self.refused: list[str] = []

    def close(self) -> None:
        self._phone.socket.close()

    def _change(self, user: str, bind: bool) -> bytes:
        cseq = self._cseq[user] = self._cseq.get(user, 0) + 1
        aor = f"<sip:{user}@{DOMAIN}>"
        return request(
            "REGISTER",
            f"sip:{DOMAIN}",
            f"Contact: <sip:{user}@{self._phone.sent_by}>;expires={3600 if bind else 0}",
            sent_by=self._phone.sent_by,
            sender=f"{aor};tag=1",
            to=aor,
            call_id=f"{user}-{'bind' if bind else 'free'}-{cseq}",
            cseq=f"{cseq} REGISTER",
        )

    def run(self, changes: Iterable[tuple[str, bool]], until: float) -> None:
        """Ask for changes until they are all answered, or nothing is answered any more, or it is late."""
        waiting: set[str] = set()
        source = iter(changes)
        more = True
        while time.monotonic() < until and (more or waiting):
            while more and len(waiting) < WINDOW:
                user, bind = next(source, ("", False))
                if not user:
                    more = False
                    break
                if user in waiting:
                    continue
                waiting.add(user)
                self.in_doubt.add(user)
                self._phone.send(self._change(user, bind))
            if not select.select([self._phone.socket], [], [], 1.0)[0]:
                return  # nobody is there
            for message in self._phone.drain():
                self._answered(message, waiting)

    def _answered(self, message: Message, waiting: set[str]) -> None:
        user, kind, _ = message.get("call-id").split("-")
        waiting.discard(user)
        self.in_doubt.discard(user)
        if message.status != 200:
            self.refused.append(message.head)
            return
        self.bound.discard(user)
        self.unbound.discard(user)
        (self.bound if kind == "bind" else self.unbound).add(user)


class KillTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(own_host(), tables=TABLES)
        self.addCleanup(self.server.close)
        self.server.start()
        self.fleet = Fleet(self.server)
        self.addCleanup(self.fleet.close)

    def bindings(self) -> set[str]:
        """The users that the server has a binding of."""
        found: set[str] = set()
        after = ""
        while True:
            status, answer = self.server.api("GET", f"/v1/bindings?limit=500&after={after}")
            self.assertEqual(status, 200)
            found |= {binding["aor"].partition("@")[0] for binding in answer["bindings"]}
            after = answer["next"]
            if not after:
                return found

    def restart(self) -> None:
        began = time.monotonic()
        self.server.start(wait=False)
        self.assertLess(self.server.wait_for_answer(began), FIRST_ANSWER_S)

    def check(self) -> None:
        held = self.bindings()
        lost = self.fleet.bound - held - self.fleet.in_doubt
        risen = self.fleet.unbound & held - self.fleet.in_doubt
        self.assertEqual((sorted(lost)[:5], sorted(risen)[:5]), ([], []))
        self.assertEqual(held - self.fleet.bound - self.fleet.in_doubt, set())
        self.assertNotIn("Traceback", self.server.log())

    def test_after(self) -> None:
        """All are acknowledged, a tenth is removed again, then the process dies."""
        users = [f"u{number}" for number in range(COUNT)]
        self.fleet.run([(user, True) for user in users], time.monotonic() + 60.0)
        self.fleet.run([(user, False) for user in users[::10]], time.monotonic() + 60.0)
        self.assertEqual((self.fleet.refused, self.fleet.in_doubt), ([], set()))
        self.assertEqual(len(self.fleet.bound), COUNT - len(users[::10]))
        self.server.kill()
        self.restart()
        self.check()
        # And it takes up where it was: a phone that refreshes is one binding, not two.
        self.fleet.run([(user, True) for user in users[:50]], time.monotonic() + 10.0)
        self.assertEqual(self.fleet.refused, [])
        self.check()

    def test_under_load(self) -> None:
        """The process dies while changes come and go, three times."""
        chance = random.Random(9)
        users = [f"u{number}" for number in range(COUNT)]

        def forever() -> Iterable[tuple[str, bool]]:
            while True:
                yield chance.choice(users), chance.random() < 0.7

        self.fleet.run([(user, True) for user in users], time.monotonic() + 60.0)
        self.assertEqual(self.fleet.refused, [])
        for _ in range(KILLS):
            killer = threading.Timer(chance.uniform(0.2, 0.8), self.server.kill)
            killer.start()
            self.fleet.run(forever(), time.monotonic() + 10.0)
            killer.join()
            self.assertFalse(self.server.alive)
            self.restart()
            self.check()
            # Who is in doubt asks again, as a phone does.
            self.fleet.run([(user, True) for user in sorted(self.fleet.in_doubt)], time.monotonic() + 10.0)
            self.assertEqual(self.fleet.in_doubt, set())
            self.check()
