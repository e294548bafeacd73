"""Nonces used twice, made up or taken elsewhere, and who tells whether there is such a user."""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
import random
import time

from rvoip.test.hostile.case import ATTACKER, PASSWORDS, HostileCase
from rvoip.test.hostile.server import DOMAIN, Server
from rvoip.test.hostile.wire import (
    ALGORITHMS,
    Datagrams,
    Message,
    Stream,
    authorization,
    by_call,
    challenges,
    request,
)

URI = f"sip:{DOMAIN}"


class DigestCase(HostileCase):
    def ask(
        self,
        phone: Datagrams | Stream,
        user: str = "alice",
        credentials: str | None = None,
        cseq: int = 1,
        *headers: str,
    ) -> Message:
        """The answer to a REGISTER that asks for the bindings of a user."""
        given = [] if credentials is None else [f"Authorization: {credentials}"]
        aor = f"<sip:{user}@{DOMAIN}>"
        wire = request(
            "REGISTER",
            URI,
            *given,
            *headers,
            sent_by=phone.sent_by,
            transport=phone.transport,
            sender=f"{aor};tag=1",
            to=aor,
            cseq=f"{cseq} REGISTER",
        )
        phone.send(wire)
        answer = phone.wait(by_call(Message(wire).get("call-id")), 2.0)
        self.assertIsNotNone(answer)
        assert answer is not None
        return answer

    def challenge(self, phone: Datagrams | Stream, algorithm: str = "SHA-256") -> dict[str, str]:
        answer = self.ask(phone)
        self.assertEqual(answer.status, 401)
        return challenges(answer)[algorithm]

    def answer(
        self, challenge: dict[str, str], nc: str = "00000001", user: str = "alice", **more: str
    ) -> str:
        return authorization(challenge, user, PASSWORDS[user], "REGISTER", URI, nc, **more)

    def assert_stale(self, message: Message) -> None:
        """It is asked again, with a new nonce, and told that the password was right."""
        self.assertEqual(message.status, 401)
        for challenge in challenges(message).values():
            self.assertEqual(challenge.get("stale", "").lower(), "true", challenge)


class ReplayTests(DigestCase):
    def test_the_same_count_again(self) -> None:
        """Each pair of nonce and count is good once, in every algorithm and from any port."""
        for name in ("proxy", "registrar"):
            server = self.serve(name)
            with Datagrams(ATTACKER, server.address) as phone, Datagrams(ATTACKER, server.address) as other:
                for algorithm in ALGORITHMS:
                    challenge = self.challenge(phone, algorithm)
                    credentials = self.answer(challenge)
                    self.assertEqual(self.ask(phone, "alice", credentials).status, 200)
                    for socket in (phone, other, phone):
                        self.assert_stale(self.ask(socket, "alice", credentials))
                    # Another cnonce does not make the count another one.
                    self.assert_stale(self.ask(phone, "alice", self.answer(challenge)))
                    self.assertEqual(self.ask(phone, "alice", self.answer(challenge, "00000002")).status, 200)
                    self.assert_stale(self.ask(phone, "alice", self.answer(challenge, "00000001")))
                    # A high one, one that comes late, and each again.
                    for nc, status in (
                        ("00000100", 200),
                        ("000000ff", 200),
                        ("000000FF", 401),
                        ("00000100", 401),
                    ):
                        self.assertEqual(
                            self.ask(phone, "alice", self.answer(challenge, nc)).status, status, nc
                        )
                    for nc in ("00000003", "ffffffff", "ffffffff"):
                        self.ask(phone, "alice", self.answer(challenge, nc))
                    self.assert_stale(self.ask(phone, "alice", self.answer(challenge, "00000101")))

    def test_without_a_count(self) -> None:
        """RFC 2069 knows no count: such a nonce is good once."""
        server = self.serve("proxy")
        with Datagrams(ATTACKER, server.address) as phone:
            challenge = self.challenge(phone, "MD5")
            ha1 = self.md5(f"alice:{DOMAIN}:{PASSWORDS['alice']}")
            ha2 = self.md5(f"REGISTER:{URI}")
            response = self.md5(f"{ha1}:{challenge['nonce']}:{ha2}")
            old = f'Digest username="alice", realm="{DOMAIN}", nonce="{challenge["nonce"]}", uri="{URI}"'
            old = f'{old}, response="{response}"'
            self.assertEqual(self.ask(phone, "alice", old).status, 200)
            self.assert_stale(self.ask(phone, "alice", old))
            self.assert_stale(self.ask(phone, "alice", self.answer(challenge, "00000009")))
            # The downgrade is not to be had with a better algorithm.
            self.assertEqual(self.ask(phone, "alice", f"{old}, algorithm=SHA-256").status, 400)

    def md5(self, text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    def test_from_another_source(self) -> None:
        """A nonce is good where it was given to; whoever overhears the answer is somewhere else."""
        server = self.serve("proxy")
        with Datagrams(ATTACKER, server.address) as phone, Datagrams("127.0.71.199", server.address) as thief:
            challenge = self.challenge(phone)
            self.assert_stale(self.ask(thief, "alice", self.answer(challenge)))
            self.assertEqual(self.ask(phone, "alice", self.answer(challenge)).status, 200)

    def test_for_another_method_body_or_user(self) -> None:
        server = self.serve("proxy")
        with Datagrams(ATTACKER, server.address) as phone:
            challenge = self.challenge(phone)
            wrong = authorization(challenge, "alice", PASSWORDS["alice"], "INVITE", URI)
            self.assertEqual(self.ask(phone, "alice", wrong).status, 401)
            # Bob's password is no key to alice's bindings.
            challenge = self.challenge(phone)
            self.assertEqual(self.ask(phone, "alice", self.answer(challenge, user="bob")).status, 403)

    def test_an_old_one_after_a_restart(self) -> None:
        """What was used before is not good again because the server has forgotten it."""
        server = self.serve("proxy")
        with Datagrams(ATTACKER, server.address) as phone:
            credentials = self.answer(self.challenge(phone))
            self.assertEqual(self.ask(phone, "alice", credentials).status, 200)
            server.kill()
            server.start()
            self.assert_stale(self.ask(phone, "alice", credentials))


class PredictionTests(DigestCase):
    def test_made_up(self) -> None:
        """Nonces that look like ours, or are others of ours put together."""
        server = self.serve("proxy")
        with Datagrams(ATTACKER, server.address) as phone:
            nonces = [self.challenge(phone)["nonce"] for _ in range(20)]
            self.assertEqual(len(set(nonces)), 20)
            challenge = self.challenge(phone)
            first, second = nonces[0], nonces[1]
            for forged in (
                "",
                "x",
                "\u0661" * 32,
                "A" * 32,
                first[:-1],
                first + "A",
                first[:16] + second[16:],
                self.next_one(first, 1),
                self.next_one(first, 1 << 40),
                first.swapcase(),
                first[:31] + ("A" if first[31] != "A" else "B"),
                "=" * 32,
                first + "=" * 8,
                " " + first,
            ):
                answer = self.ask(phone, "alice", self.answer(challenge | {"nonce": forged}))
                self.assertIn(answer.status, (400, 401), forged)
            self.assertEqual(self.ask(phone, "alice", self.answer(challenge)).status, 200)

    def next_one(self, nonce: str, step: int) -> str:
        """The nonce with its number or time moved on, under the same signature."""
        octets = base64.urlsafe_b64decode(nonce)
        payload = (int.from_bytes(octets[:12], "big") + step).to_bytes(12, "big")
        return base64.urlsafe_b64encode(payload + octets[12:]).decode()

    def test_bits_do_not_repeat(self) -> None:
        """What cannot be known of the next nonce: its signature differs in about half of the bits."""
        server = self.serve("proxy")
        with Datagrams(ATTACKER, server.address) as phone:
            signed = [
                int.from_bytes(base64.urlsafe_b64decode(self.challenge(phone)["nonce"])[12:], "big")
                for _ in range(100)
            ]
        differing = [(one ^ other).bit_count() for one, other in itertools.pairwise(signed)]
        self.assertTrue(38 < sum(differing) / len(differing) < 58, differing)


class EnumerationTests(DigestCase):
    """Nobody learns by asking who has an account (row 19)."""

    ROUNDS = 200

    def guess(
        self, server: Server, phone: Datagrams, user: str, challenge: dict[str, str]
    ) -> tuple[Message, float]:
        """A wrong password, and the seconds until the answer."""
        wrong = authorization(challenge, user, "wrong", "REGISTER", URI)
        aor = f"<sip:{user}@{DOMAIN}>"
        wire = request(
            "REGISTER", URI, f"Authorization: {wrong}", sent_by=phone.sent_by, sender=f"{aor};tag=1", to=aor
        )
        began = time.perf_counter()
        phone.send(wire)
        answer = phone.receive(2.0)
        took = time.perf_counter() - began
        self.assertIsNotNone(answer)
        assert answer is not None
        return answer, took

    def test_answers_and_times(self) -> None:
        for name in ("proxy", "registrar"):
            server = self.serve(name)
            with Datagrams(ATTACKER, server.address) as phone:
                challenge = self.challenge(phone, "MD5")
                for _ in range(3):  # chance alone, and a busy machine, fail one now and then
                    p = self.compare(server, phone, challenge)
                    if p > 0.01:
                        break
                self.assertGreater(p, 0.01)

    def compare(self, server: Server, phone: Datagrams, challenge: dict[str, str]) -> float:
        chance = random.Random(19)
        times: dict[bool, list[float]] = {True: [], False: []}
        shapes: dict[bool, set[tuple[int, int, int]]] = {True: set(), False: set()}
        for _ in range(20):
            self.guess(server, phone, "alice", challenge)
        for _ in range(self.ROUNDS):
            order = [True, False]
            chance.shuffle(order)
            for known in order:
                user = "alice" if known else f"u{chance.randrange(1000, 9999)}"
                answer, took = self.guess(server, phone, user, challenge)
                times[known].append(took)
                shapes[known].add((answer.status, len(answer.headers), len(answer.wire) - 2 * len(user)))
        self.assertEqual(shapes[True], shapes[False])
        return rank_test(times[True], times[False])

    def test_without_credentials(self) -> None:
        """The first answer tells nothing either, octet for octet but for what is random."""
        for name in ("proxy", "registrar"):
            server = self.serve(name)
            with Datagrams(ATTACKER, server.address) as phone:
                shapes = set()
                for user in ("alice", "nobod", "a%20b", "bob12", "--'--"):
                    answer = self.ask(phone, user)
                    names = tuple(header for header, _ in answer.headers)
                    shapes.add((answer.status, names, len(answer.wire)))
                self.assertEqual(len(shapes), 1, shapes)

    def test_right_password_of_somebody_else(self) -> None:
        """403 for whoever it is, also for nobody."""
        server = self.serve("proxy")
        with Datagrams(ATTACKER, server.address) as phone:
            for user in ("bob", "nobody", "x"):
                challenge = self.challenge(phone)
                self.assertEqual(self.ask(phone, user, self.answer(challenge)).status, 403)

    def test_work(self) -> None:
        """The same work, counted in CPU, for 600 guesses each."""
        server = self.serve("proxy")
        with Datagrams(ATTACKER, server.address) as phone:
            challenge = self.challenge(phone, "MD5")
            spent: dict[bool, float] = {}
            for known, user in ((True, "alice"), (False, "nobod"), (True, "alice"), (False, "nobod")):
                used = server.cpu()
                for _ in range(300):
                    self.guess(server, phone, user, challenge)
                spent[known] = spent.get(known, 0.0) + server.cpu() - used
        self.assertLess(abs(spent[True] - spent[False]), 0.25 * max(spent.values()) + 0.04, spent)


def rank_test(one: list[float], other: list[float]) -> float:
    """The two-sided p of the rank-sum test (Mann-Whitney), by its normal approximation."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    total = sum(rank for rank, (_, which) in enumerate(ranked, 1) if which == 0)
    n, m = len(one), len(other)
    u = total - n * (n + 1) / 2
    z = (u - n * m / 2) / (n * m * (n + m + 1) / 12) ** 0.5
    return math.erfc(abs(z) / math.sqrt(2))
