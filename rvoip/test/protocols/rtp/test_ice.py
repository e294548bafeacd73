"""ICE-lite: checks that are answered, pairs that are chosen and given up, and how little a stranger gets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.candidate import (
    Candidate,
    Credentials,
    candidate_priority,
    host_candidates,
    parse_candidate,
)
from rvoip.protocols.rtp.errors import RTPBuildError, RTPError
from rvoip.protocols.rtp.ice import (
    MAX_PAIRS,
    Address,
    Answer,
    ConsentLost,
    IceLite,
    IceOutput,
    IceRefusal,
    Selected,
)
from rvoip.protocols.rtp.stun import (
    BINDING,
    ERROR,
    INDICATION,
    REQUEST,
    SUCCESS,
    Attribute,
    Message,
    build_message,
    mapped_address,
    parse_message,
)

LOCAL = ("192.0.2.1", 20000)
PEER = ("198.51.100.7", 5000)
OTHER = ("198.51.100.8", 6000)
TRANSACTION = bytes(range(12))
SAFE = 1845501695
"""The priority of a reflexive candidate."""


def randomness() -> Callable[[int], bytes]:
    """Octets that are other ones with each call."""
    count = iter(range(1000))
    return lambda length: hashlib.shake_128(str(next(count)).encode()).digest(length)


class IceTestCase(SynchronousTestCase):
    """A lite agent and what a full one sends to it."""

    def setUp(self) -> None:
        self.random = randomness()
        self.credentials = Credentials.make(self.random)
        self.agent = IceLite(self.credentials, host_candidates([(*LOCAL, LOCAL[1] + 1)]))

    def check(
        self,
        *more: tuple[int, bytes],
        credentials: Credentials | None = None,
        remote: str = "remote",
        nominate: bool = False,
        priority: int | None = SAFE,
        password: str = "",
        controlling: bool = True,
        **options: bool,
    ) -> bytes:
        """A check as a full agent sends it."""
        credentials = credentials or self.credentials
        attributes = [(Attribute.USERNAME, f"{credentials.ufrag}:{remote}".encode())]
        if priority is not None:
            attributes.append((Attribute.PRIORITY, priority.to_bytes(4, "big")))
        role = Attribute.ICE_CONTROLLING if controlling else Attribute.ICE_CONTROLLED
        attributes.append((role, bytes(8)))
        if nominate:
            attributes.append((Attribute.USE_CANDIDATE, b""))
        key = (password or credentials.password).encode()
        return build_message(BINDING, REQUEST, TRANSACTION, [*attributes, *more], key=key, **options)

    def receive(
        self, datagram: bytes, now: float = 1.0, remote: Address = PEER, component: int = 1
    ) -> list[IceOutput]:
        """What comes of a datagram."""
        return self.agent.receive(datagram, component, LOCAL, remote, now)

    def answered(self, outputs: list[IceOutput], remote: Address = PEER, component: int = 1) -> Message:
        """The message that was sent back."""
        [answer] = [output for output in outputs if isinstance(output, Answer)]
        self.assertEqual((answer.component, answer.local, answer.remote), (component, LOCAL, remote))
        message = parse_message(answer.datagram)
        self.assertEqual(message.transaction, TRANSACTION)
        return message

    def assertRefused(self, outputs: list[IceOutput], status: int) -> Message:
        message = self.answered(outputs)
        code = message.get(Attribute.ERROR_CODE) or bytes(4)
        self.assertEqual((message.kind, 100 * code[2] + code[3]), (ERROR, status))
        self.assertEqual(len(outputs), 1)
        return message


class CheckTests(IceTestCase):
    def test_a_check_is_answered(self) -> None:
        for remote in (PEER, ("2001:db8::9", 7)):
            for sha256 in (False, True):
                message = self.answered(self.receive(self.check(sha256=sha256), remote=remote), remote)
                self.assertEqual((message.kind, mapped_address(message)), (SUCCESS, remote))
                self.assertTrue(message.fingerprint)
                self.assertTrue(message.authentic(self.credentials.password.encode()))
                self.assertEqual(bool(message.signed_sha256), sha256)
            self.assertTrue(self.agent.knows(1, LOCAL, remote))
        self.assertFalse(self.agent.knows(1, LOCAL, OTHER))
        self.assertFalse(self.agent.knows(2, LOCAL, PEER))
        self.assertEqual(self.agent.selected, {})
        self.assertEqual(self.agent.refused, IceRefusal())

    def test_refusals(self) -> None:
        username = (Attribute.USERNAME, b"a:b")
        bare = build_message(BINDING, REQUEST, TRANSACTION, [username, (0x8022, bytes(12))])
        self.assertFalse(self.assertRefused(self.receive(bare), 400).signed)
        unnamed = build_message(BINDING, REQUEST, TRANSACTION, key=b"k")
        self.assertRefused(self.receive(unnamed), 400)
        self.assertRefused(self.receive(self.check(password="x" * 24)), 401)
        self.assertRefused(self.receive(self.check(credentials=Credentials("wrong", "x" * 24))), 401)
        wrong = self.receive(self.check((0x7ABC, b"")))
        message = self.assertRefused(wrong, 420)
        self.assertEqual(message.get(Attribute.UNKNOWN_ATTRIBUTES), b"\x7a\xbc")
        self.assertTrue(message.authentic(self.credentials.password.encode()))
        self.assertRefused(self.receive(self.check(priority=None)), 400)
        conflict = self.assertRefused(self.receive(self.check(controlling=False)), 487)
        self.assertTrue(conflict.authentic(self.credentials.password.encode()))
        self.assertEqual(self.agent.pairs, {})
        self.assertEqual(self.agent.refused, IceRefusal(bad_request=4, unauthorized=2, role_conflict=1))

    def test_the_ufrag_of_the_peer(self) -> None:
        """Before its description is here any is taken, and then only its own."""
        self.assertEqual(self.answered(self.receive(self.check(remote="early"))).kind, SUCCESS)
        self.agent.set_remote("late")
        self.assertRefused(self.receive(self.check(remote="early")), 401)
        self.assertEqual(self.answered(self.receive(self.check(remote="late"))).kind, SUCCESS)

    def test_what_is_not_answered(self) -> None:
        keep_alive = build_message(BINDING, INDICATION, TRANSACTION)
        self.assertEqual(self.receive(keep_alive), [])
        self.assertEqual(self.agent.refused, IceRefusal())
        for datagram in (
            build_message(BINDING, SUCCESS, TRANSACTION),
            build_message(BINDING, ERROR, TRANSACTION),
            build_message(3, REQUEST, TRANSACTION),
        ):
            self.assertEqual(self.receive(datagram), [])
        for datagram in (b"", b"\0", b"\0" * 20, self.check()[:-1]):
            self.assertEqual(self.receive(datagram), [])
        self.assertEqual(self.agent.refused, IceRefusal(unexpected=3, malformed=4))


class NominationTests(IceTestCase):
    def test_a_regular_nomination(self) -> None:
        self.receive(self.check(), 1.0)
        outputs = self.receive(self.check(nominate=True), 1.1)
        self.assertIsInstance(outputs[0], Answer)
        self.assertEqual(outputs[1:], [Selected(1, LOCAL, PEER)])
        self.assertEqual(len(self.receive(self.check(nominate=True), 1.2)), 1)
        self.receive(self.check(remote="x"), 5.0)
        self.assertEqual(self.agent.selected[1].remote, PEER)
        self.assertEqual(self.agent.selected[1].kind, "prflx")

    def test_components_are_apart(self) -> None:
        self.receive(self.check(nominate=True))
        rtcp = self.receive(self.check(nominate=True), remote=(PEER[0], 5001), component=2)
        self.assertEqual(rtcp[1:], [Selected(2, LOCAL, (PEER[0], 5001))])
        self.assertEqual(self.agent.selected[1].remote, PEER)

    def test_an_aggressive_nomination(self) -> None:
        """All checks nominate: the best pair counts, and it does not flap."""
        low = self.check(nominate=True, priority=100)
        high = self.check(nominate=True, priority=SAFE)
        self.assertEqual(self.receive(low, 1.0)[1:], [Selected(1, LOCAL, PEER)])
        self.assertEqual(self.receive(high, 1.1, OTHER)[1:], [Selected(1, LOCAL, OTHER)])
        for turn in range(5):
            self.assertEqual(self.receive(low, 2.0 + turn)[1:], [])
            self.assertEqual(self.receive(high, 2.5 + turn, OTHER)[1:], [])

    def test_another_nomination(self) -> None:
        """The peer left its network: what it nominates now counts although it is not as good."""
        high, low = self.check(nominate=True, priority=SAFE), self.check(nominate=True, priority=100)
        self.receive(high, 1.0)
        self.receive(self.check(priority=SAFE), 1.5)  # nominated no longer
        self.assertEqual(self.receive(low, 2.0, OTHER)[1:], [Selected(1, LOCAL, OTHER)])
        self.receive(high, 3.0)
        self.assertEqual(self.agent.selected[1].remote, PEER)
        self.assertEqual(self.receive(low, 3.5, OTHER)[1:], [])
        self.assertEqual(self.receive(low, 13.5, OTHER)[1:], [Selected(1, LOCAL, OTHER)])  # silent for long

    def test_candidates_of_the_description(self) -> None:
        told = Candidate("1", 1, 2130706431, *PEER)
        self.agent.set_remote("remote", [told] * 300)
        self.receive(self.check(nominate=True))
        pair = self.agent.selected[1]
        ours = candidate_priority("host", 1)
        self.assertEqual((pair.kind, pair.priority), ("host", (ours << 32) + 2 * ours))
        many = [Candidate("1", 1, 1, f"192.0.2.{n}", n) for n in range(1000)]
        self.agent.set_remote("remote", many)
        self.assertEqual(len(self.agent._remote), 128)


class ConsentTests(IceTestCase):
    def test_silence(self) -> None:
        self.assertIsNone(self.agent.deadline)
        self.receive(self.check(nominate=True), 1.0)
        self.receive(self.check(nominate=True), 2.0, OTHER, 2)
        self.assertEqual(self.agent.deadline, 31.0)
        self.receive(self.check(), 21.0)
        self.assertEqual(self.agent.deadline, 32.0)
        self.assertEqual(self.agent.timeout(31.9), [])
        self.assertEqual(self.agent.timeout(32.0), [ConsentLost(2, OTHER)])
        self.assertFalse(self.agent.knows(2, LOCAL, OTHER))
        self.assertEqual(self.agent.deadline, 51.0)
        self.assertEqual(self.agent.timeout(60.0), [ConsentLost(1, PEER)])
        self.assertIsNone(self.agent.deadline)
        self.assertEqual(self.receive(self.check(nominate=True), 61.0)[1:], [Selected(1, LOCAL, PEER)])

    def test_only_the_authentic_counts(self) -> None:
        self.receive(self.check(nominate=True), 1.0)
        self.receive(self.check(password="x" * 24), 20.0)
        self.receive(build_message(BINDING, INDICATION, TRANSACTION), 20.0)
        self.receive(self.check(controlling=False), 20.0)
        self.assertEqual(self.agent.deadline, 31.0)

    def test_peers_that_do_not_ask_again(self) -> None:
        self.agent.consent = 0.0
        self.receive(self.check(nominate=True), 1.0)
        self.assertIsNone(self.agent.deadline)
        self.assertEqual(self.agent.timeout(1e6), [])


class RestartTests(IceTestCase):
    def test_media_goes_on_meanwhile(self) -> None:
        self.agent.set_remote("remote")
        self.receive(self.check(nominate=True), 1.0)
        self.receive(self.check(), 1.0, ("203.0.113.1", 1))
        fresh = Credentials.make(self.random)
        self.agent.restart(fresh, 10.0)
        self.assertEqual([pair.remote for pair in self.agent.pairs.values()], [PEER])
        old = self.check(nominate=True)
        # with the old credentials: consent, but no new pair and no choice
        self.assertEqual(self.answered(self.receive(old, 20.0)).kind, SUCCESS)
        self.assertEqual(self.agent.deadline, 50.0)
        self.receive(old, 21.0, OTHER)
        self.assertFalse(self.agent.knows(1, LOCAL, OTHER))
        self.assertEqual(self.agent.selected[1].remote, PEER)
        # with the new ones, and another ufrag of the peer, it nominates anew
        new = self.check(credentials=fresh, remote="again", nominate=True, priority=1)
        self.assertEqual(self.receive(new, 22.0, OTHER)[1:], [Selected(1, LOCAL, OTHER)])
        self.assertRefused(self.receive(old, 41.0), 401)


class LimitTests(IceTestCase):
    def test_no_answer_is_long(self) -> None:
        """Whoever forges an address gets no more than twice of what was sent, and few answers at that."""
        sent = answered = answers = 0
        requests = [
            build_message(BINDING, REQUEST, TRANSACTION, fingerprint=False),
            build_message(BINDING, REQUEST, TRANSACTION),
            build_message(BINDING, REQUEST, TRANSACTION, [(Attribute.USERNAME, b"a:b")]),
            self.check(password="x" * 24),
            self.check((0x7000, b""), password="x" * 24),
        ]
        for number in range(2000):
            request = requests[number % len(requests)]
            for output in self.receive(request, 1.0 + number / 1000, ("203.0.113.5", number)):
                assert isinstance(output, Answer)
                self.assertLessEqual(len(output.datagram), 2 * len(request))
                answered += len(output.datagram)
                answers += 1
            sent += len(request)
        self.assertLessEqual(answers, 20)
        self.assertLess(answered, sent / 10)
        self.assertGreater(self.agent.refused.limited, 1500)
        self.assertEqual(self.agent.pairs, {})

    def test_a_flood_does_not_reach_the_peer(self) -> None:
        self.receive(self.check(nominate=True), 1.0)
        for number in range(5000):
            self.receive(self.check(password="x" * 24), 2.0, ("203.0.113.5", number))
        self.assertEqual(self.answered(self.receive(self.check(), 2.0)).kind, SUCCESS)

    def test_the_peer_is_limited_too(self) -> None:
        self.receive(self.check())
        answers = sum(len(self.receive(self.check(), 2.0)) for _ in range(500))
        self.assertEqual(answers, 40)
        self.assertEqual(len(self.receive(self.check(), 3.0)), 1)

    def test_pairs_are_bounded(self) -> None:
        self.receive(self.check(nominate=True), 1.0)
        for number in range(200):
            self.receive(self.check(), 2.0 + number, ("203.0.113.5", 1 + number))
        self.assertEqual(len(self.agent.pairs), MAX_PAIRS)
        self.assertTrue(self.agent.knows(1, LOCAL, PEER))
        self.assertTrue(self.agent.knows(1, LOCAL, ("203.0.113.5", 200)))
        self.assertFalse(self.agent.knows(1, LOCAL, ("203.0.113.5", 1)))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255), st.floats(0, 100)), max_size=30))
    def test_any_octets(self, changes: list[tuple[int, int, float]]) -> None:
        """A check with octets changed is never a success, and nothing is raised."""
        good = self.check(nominate=True)
        agent = IceLite(self.credentials)
        for place, value, now in changes:
            place %= len(good)
            bad = good[:place] + bytes((value,)) + good[place + 1 :]
            outputs = agent.receive(bad, 1, LOCAL, PEER, now)
            if bad[:-8] != good[:-8]:  # the fingerprint, at the end, is optional
                self.assertFalse([one for one in outputs if isinstance(one, Selected)])
            agent.receive(bad[:place], 1, LOCAL, PEER, now)
            agent.timeout(now)


class CandidateTests(SynchronousTestCase):
    def test_priorities(self) -> None:
        """RFC 8445 section 5.1.2.1; the numbers are those that everybody's descriptions have."""
        self.assertEqual(candidate_priority("host", 1), 2130706431)
        self.assertEqual(candidate_priority("host", 2), 2130706430)
        self.assertEqual(candidate_priority("srflx", 1), 1694498815)
        self.assertEqual(candidate_priority("prflx", 1, 0), 110 << 24 | 255)

    def test_candidates_of_ours(self) -> None:
        found = host_candidates([("192.0.2.1", 20000, 20001), ("2001:db8::1", 20000, None)])
        self.assertEqual(
            [str(one) for one in found],
            [
                "1 1 udp 2130706431 192.0.2.1 20000 typ host",
                "1 2 udp 2130706430 192.0.2.1 20001 typ host",
                "2 1 udp 2130706175 2001:db8::1 20000 typ host",
            ],
        )
        told = host_candidates([("10.0.0.1", 20000, None)], advertised=lambda host: "198.51.100.1")
        self.assertEqual([one.address for one in told], ["198.51.100.1"])
        self.assertRaises(ValueError, host_candidates, [("media.example", 20000, None)])

    def test_lines(self) -> None:
        lines = [
            "1 1 UDP 2130706431 10.0.1.1 8998 typ host",
            "2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 10.0.1.1 rport 8998",
            "842163049 1 udp 1677729535 2001:db8::5 0 typ srflx raddr :: rport 0 generation 0 ufrag E7X",
            "1 1 udp 2122260223 0f5a.local 9 typ host generation 0",
            "+/a 256 tcp 4294967295 192.0.2.1 9 typ host tcptype active",
        ]
        for line in lines:
            self.assertEqual(str(parse_candidate(line)), line)
            self.assertEqual(parse_candidate(f"candidate:{line}"), parse_candidate(line))

    def test_no_lines(self) -> None:
        good = "1 1 UDP 2130706431 10.0.1.1 8998 typ host"
        for bad in (
            "",
            good[:-5],
            good + " raddr",
            good + " \n",
            good + "\r\na=x",
            good.replace("1 1", "1 0"),
            good.replace("1 1", "1 257"),
            good.replace("1 1", "1 \N{ARABIC-INDIC DIGIT ONE}"),
            good.replace("2130706431", "0"),
            good.replace("2130706431", "4294967296"),
            good.replace("8998", "65536"),
            good.replace("8998", "8_9"),
            "1" * 33 + good[1:],
            good + " a b" * 17,
        ):
            self.assertRaises(RTPError, parse_candidate, bad)

    def test_credentials(self) -> None:
        one, other = (Credentials.make(randomness()) for _ in range(2))
        self.assertEqual((one, len(one.ufrag), len(one.password)), (other, 8, 24))
        self.assertNotIn(one.password, repr(one))
        for ufrag, password in (
            ("abc", "x" * 22),
            ("abcd", "x" * 21),
            ("ab:d", "x" * 22),
            ("a" * 257, "x" * 22),
        ):
            self.assertRaises(RTPBuildError, Credentials, ufrag, password)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.one_of(
            st.text(max_size=100),
            st.lists(
                st.sampled_from(["1 ", "udp ", "10.0.0.1 ", "9 ", "typ ", "host", " a b"]), max_size=12
            ).map("".join),
        )
    )
    def test_any_text(self, text: str) -> None:
        try:
            candidate = parse_candidate(text)
        except RTPError:
            return
        self.assertEqual(parse_candidate(str(candidate)), candidate)
