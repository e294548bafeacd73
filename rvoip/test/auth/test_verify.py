"""Challenges, and verdicts on what comes back, over the arithmetic of the SIP package."""

from __future__ import annotations

import json
import os
from inspect import signature
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.auth.nonce import Freshness, NonceIssuer
from rvoip.auth.replay import ReplayWindow
from rvoip.auth.verify import ALGORITHMS, DigestVerifier, Kind, Verdict
from rvoip.protocols.sip import digest
from rvoip.protocols.sip.digest import DigestCredentials, answer, parse_challenge
from rvoip.users.passwords import HA1Set, ha1_set

SECRET = b"0123456789abcdef"
NOW = 1_800_000_000.0
REALM = "example.test"
URI = "sip:example.test"


class CountingArithmetic:
    """The arithmetic, counting how often it hashes and how much."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, int]] = []

    def ha2(self, algorithm: str, method: str, uri: str, qop: str | None, body: bytes, /) -> str:
        self.calls.append(("ha2", algorithm, len(method + uri) + (len(body) if qop == "auth-int" else 0)))
        return digest.ha2(algorithm, method, uri, qop, body)

    def response(
        self,
        algorithm: str,
        ha1: str,
        nonce: str,
        nc: str | None,
        cnonce: str | None,
        qop: str | None,
        ha2: str,
        /,
    ) -> str:
        self.calls.append(("response", algorithm, len(f"{ha1}{nonce}{nc}{cnonce}{qop}{ha2}")))
        return digest.response(algorithm, ha1, nonce, nc, cnonce, qop, ha2)


class CountingHA1s:
    """A user's hashes, counting how often they are read."""

    def __init__(self, inner: HA1Set) -> None:
        self.inner = inner
        self.reads = 0

    def of(self, algorithm: str, /) -> str:
        self.reads += 1
        return self.inner.of(algorithm)


class VerifierTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.verifier = DigestVerifier.with_secret(digest, SECRET)
        self.alice = ha1_set("alice", REALM, "pw")

    def credentials(
        self,
        algorithm: str = "MD5",
        qop: str | None = "auth",
        nc: int = 1,
        *,
        verifier: DigestVerifier | None = None,
        nonce: str | None = None,
        wall_now: float = NOW,
        username: str = "alice",
        realm: str = REALM,
        password: str = "pw",
        method: str = "REGISTER",
        uri: str = URI,
        body: bytes = b"",
    ) -> DigestCredentials:
        """What a phone answers, to a new challenge unless a nonce is given."""
        challenges = (verifier or self.verifier).challenges(realm, wall_now)
        parsed = [parse_challenge(text) for text in challenges]
        (challenge,) = [each for each in parsed if each is not None and each.algorithm == algorithm]
        if nonce is not None:
            challenge.nonce = nonce
        challenge.qop = () if qop is None else (qop,)
        made = answer(
            challenge,
            method=method,
            uri=uri,
            username=username,
            password=password,
            cnonce="0a4f113b",
            nc=nc,
            body=body,
        )
        assert made is not None
        return made

    def verdict(
        self,
        credentials: DigestCredentials | None,
        *,
        verifier: DigestVerifier | None = None,
        ha1s: Any = "alice",
        method: str = "REGISTER",
        body: bytes = b"",
        wall_now: float = NOW,
        realm: str = REALM,
        **options: Any,
    ) -> Verdict:
        found = self.alice if ha1s == "alice" else ha1s
        return (verifier or self.verifier).verify(
            realm, method, credentials, body, found, wall_now, **options
        )

    def assertOK(self, verdict: Verdict, user: str = "alice") -> None:
        self.assertEqual(verdict, Verdict(Kind.OK, user))

    def assertChallenged(self, verdict: Verdict, stale: bool = False, failure: bool = False) -> None:
        self.assertEqual(
            (verdict.kind, verdict.user, verdict.stale, verdict.is_failure),
            (Kind.CHALLENGE, "", stale, failure),
            verdict,
        )

    def assertBad(self, verdict: Verdict) -> None:
        self.assertEqual(
            (verdict.kind, verdict.user, verdict.stale, verdict.is_failure), (Kind.BAD, "", False, False)
        )
        self.assertTrue(verdict.reason)


class ChallengeTests(VerifierTestCase):
    def test_every_algorithm_in_order(self) -> None:
        """RFC 8760 section 2.4: one header field an algorithm, the one that is preferred first."""
        made = self.verifier.challenges(REALM, NOW)
        nonce = made[0].split('nonce="')[1].split('"')[0]
        self.assertEqual(
            made,
            [
                f'Digest realm="example.test", nonce="{nonce}", algorithm={algorithm}, qop="auth,auth-int"'
                for algorithm in ALGORITHMS
            ],
        )
        order = ("SHA-256", "MD5")
        verifier = DigestVerifier.with_secret(digest, SECRET, algorithms=order, qop=("auth",))
        parsed = [parse_challenge(text) for text in verifier.challenges(REALM, NOW, stale=True)]
        self.assertEqual([each.algorithm for each in parsed if each], list(order))
        self.assertEqual([(each.stale, each.qop) for each in parsed if each], [(True, ("auth",))] * 2)

    def test_a_new_nonce_each_time(self) -> None:
        made = {self.verifier.challenges(REALM, NOW)[0] for _ in range(100)}
        self.assertEqual(len(made), 100)

    def test_realms_are_quoted(self) -> None:
        for realm in ('The "Acme" PBX', "back\\slash", "Bücher"):
            parsed = parse_challenge(self.verifier.challenges(realm, NOW)[0])
            assert parsed is not None
            self.assertEqual(parsed.realm, realm)
        for realm in ("", "a\r\nX: 1", "a\0"):
            self.assertRaises(ValueError, self.verifier.challenges, realm, NOW)

    def test_many_realms_take_no_room(self) -> None:
        for number in range(2500):
            self.verifier.challenges(f"r{number}", NOW)
        self.assertLessEqual(len(self.verifier._starts), 1000)

    def test_refused_settings(self) -> None:
        for options in (
            {"algorithms": ()},
            {"algorithms": ("MD5", "MD5")},
            {"algorithms": ("MD5-sess",)},
            {"algorithms": ("SHA-1",)},
            {"qop": ()},
            {"qop": ("auth", "auth")},
            {"qop": ("auth-conf",)},
        ):
            self.assertRaises(ValueError, DigestVerifier.with_secret, digest, SECRET, **options)
        self.assertRaises(ValueError, DigestVerifier.with_secret, digest, b"short")
        self.assertRaises(
            ValueError, DigestVerifier, digest, NonceIssuer(SECRET), ReplayWindow(), secret=b"short"
        )


class AcceptedTests(VerifierTestCase):
    def test_every_algorithm_and_qop(self) -> None:
        body = b"v=0\r\n"
        for algorithm in ALGORITHMS:
            for qop in ("auth", "auth-int"):
                credentials = self.credentials(algorithm, qop, body=body)
                self.assertOK(self.verdict(credentials, body=body))

    def test_published_vectors(self) -> None:
        """RFC 2617 section 3.5, RFC 7616 section 3.9; SHA-512-256 as FIPS 180-4 has it, not as printed."""
        folder = os.environ.get("CONFORMANCE_DIR")
        if not folder:
            raise SkipTest("CONFORMANCE_DIR is not set")

        class AnyNonce(NonceIssuer):
            def check(self, nonce: str, wall_now: float, source: str = "") -> tuple[Freshness, int]:
                return Freshness.FRESH, 1

        vectors = json.loads(Path(folder, "vectors", "digest.json").read_text(encoding="utf-8"))["vectors"]
        for vector in vectors:
            printed = vector["response"]
            ours = printed if vector["recomputed_ok"] else vector["note"].rsplit(" ", 1)[-1]
            for response, is_right in {ours: True, printed: printed == ours}.items():
                verifier = DigestVerifier(digest, AnyNonce(SECRET), ReplayWindow(), secret=SECRET)
                credentials = DigestCredentials(
                    vector["username"],
                    vector["realm"],
                    vector["nonce"],
                    vector["uri"],
                    response,
                    vector["algorithm"],
                    vector["cnonce"],
                    None,
                    vector["qop"],
                    vector["nc"],
                )
                verdict = verifier.verify(
                    vector["realm"],
                    vector["method"],
                    credentials,
                    vector["body"].encode(),
                    ha1_set(vector["username"], vector["realm"], vector["password"]),
                    NOW,
                )
                self.assertEqual(verdict.kind is Kind.OK, is_right, vector["source"])

    def test_the_nonce_is_used_again_with_the_next_count(self) -> None:
        first = self.credentials()
        self.assertOK(self.verdict(first))
        for count in (2, 3, 0x1F, 0x1E):
            self.assertOK(self.verdict(self.credentials(nonce=first.nonce, nc=count)))

    def test_the_full_username(self) -> None:
        """A phone may name itself user@domain; its hashes are those of that name."""
        full = ha1_set("alice@example.test", REALM, "pw")
        self.assertOK(self.verdict(self.credentials(username="alice@example.test"), ha1s=full))
        other = ha1_set("alice@other.test", REALM, "pw")
        self.assertOK(
            self.verdict(self.credentials(username="alice@other.test"), ha1s=other), "alice@other.test"
        )

    def test_names_in_any_case(self) -> None:
        """The algorithm's name is a token, which is compared without case."""
        credentials = self.credentials("SHA-256")
        credentials.algorithm = "sha-256"
        self.assertOK(self.verdict(credentials))

    def test_without_qop(self) -> None:
        """RFC 2069: the nonce is good for one request."""
        credentials = self.credentials(qop=None)
        self.assertEqual((credentials.qop, credentials.nc), (None, None))
        self.assertOK(self.verdict(credentials))
        self.assertChallenged(self.verdict(credentials), stale=True)
        self.assertChallenged(self.verdict(self.credentials(nonce=credentials.nonce)), stale=True)

    def test_the_uri(self) -> None:
        """Any that is there, unless the caller compares it with the Request-URI."""
        asked: list[str] = []

        def matches(uri: str) -> bool:
            asked.append(uri)
            return uri == URI

        self.assertOK(self.verdict(self.credentials(uri="sip:elsewhere.test")))
        self.assertOK(self.verdict(self.credentials(), uri_matches=matches))
        self.assertBad(self.verdict(self.credentials(uri="sip:elsewhere.test"), uri_matches=matches))
        self.assertEqual(asked, [URI, "sip:elsewhere.test"])

    def test_non_ascii(self) -> None:
        ha1s = ha1_set("jäsøn", REALM, "пароль")
        self.assertOK(self.verdict(self.credentials(username="jäsøn", password="пароль"), ha1s=ha1s), "jäsøn")


class RefusedTests(VerifierTestCase):
    def test_no_credentials(self) -> None:
        self.assertChallenged(self.verdict(None))

    def test_wrong_password(self) -> None:
        for algorithm in ALGORITHMS:
            for qop in ("auth", "auth-int", None) if algorithm == "MD5" else ("auth", "auth-int"):
                credentials = self.credentials(algorithm, qop, password="wrong")
                self.assertChallenged(self.verdict(credentials), failure=True)

    def test_what_was_signed_is_what_counts(self) -> None:
        """Another method, uri, count, cnonce, qop, algorithm or, with auth-int, body than was hashed."""
        self.assertChallenged(self.verdict(self.credentials(), method="INVITE"), failure=True)
        for name, value in (
            ("uri", "sip:other.test"),
            ("nc", "00000002"),
            ("cnonce", "0a4f113c"),
            ("qop", "auth-int"),
            ("algorithm", "SHA-256"),
            ("username", "bob"),
            ("response", "0" * 32),
            ("response", "0"),
            ("response", "0" * 64),
            ("response", "é" * 32),
            ("response", "\ud800"),
        ):
            credentials = self.credentials()
            setattr(credentials, name, value)
            ha1s = ha1_set("bob", REALM, "pw2") if name == "username" else self.alice
            self.assertChallenged(self.verdict(credentials, ha1s=ha1s), failure=True)
        body = self.credentials(qop="auth-int", body=b"v=0")
        self.assertChallenged(self.verdict(body, body=b"v=1"), failure=True)
        self.assertOK(self.verdict(body, body=b"v=0"))

    def test_another_realm(self) -> None:
        credentials = self.credentials(realm="other.test")
        self.assertChallenged(self.verdict(credentials, ha1s=ha1_set("alice", "other.test", "pw")))

    def test_an_algorithm_that_is_not_offered(self) -> None:
        """No downgrade: where SHA-256 alone is offered, MD5 is not taken, though the password is right."""
        strict = DigestVerifier.with_secret(digest, SECRET, algorithms=("SHA-256",))
        credentials = self.credentials("SHA-256", verifier=strict)
        self.assertOK(self.verdict(credentials, verifier=strict))
        weak = self.credentials(nonce=self.credentials("SHA-256", verifier=strict).nonce)
        self.assertChallenged(self.verdict(weak, verifier=strict))
        for name in ("MD5-sess", "SHA-256-sess", "SHA-1", "", "md", "MD5 "):
            credentials = self.credentials()
            credentials.algorithm = name
            self.assertChallenged(self.verdict(credentials))

    def test_a_qop_that_is_not_offered(self) -> None:
        strict = DigestVerifier.with_secret(digest, SECRET, qop=("auth-int",))
        self.assertOK(self.verdict(self.credentials(qop="auth-int", verifier=strict), verifier=strict))
        self.assertChallenged(self.verdict(self.credentials(qop="auth", verifier=strict), verifier=strict))
        self.assertBad(self.verdict(self.credentials(qop=None, verifier=strict), verifier=strict))
        for qop in ("", "AUTH", "auth,auth-int", "auth-conf"):
            credentials = self.credentials()
            credentials.qop = qop
            self.assertChallenged(self.verdict(credentials))

    def test_no_qop_but_with_md5(self) -> None:
        for algorithm in ("SHA-256", "SHA-512-256"):
            self.assertBad(self.verdict(self.credentials(algorithm, qop=None)))

    def test_counts(self) -> None:
        """Eight hexadecimal digits, from 1 on."""
        for nc in (
            None,
            "",
            "1",
            "0000001",
            "000000001",
            "0000000g",
            "0x000001",
            "+0000001",
            " 0000001",
            "0000_001",
            "00000001\n",
            "\u0660" * 7 + "\u0661",
            "00000000",
            "0" * 5000,
        ):
            credentials = self.credentials()
            credentials.nc = nc
            self.assertBad(self.verdict(credentials))

    def test_incomplete(self) -> None:
        for name in ("username", "nonce", "uri", "response", "cnonce"):
            for value in ("", None) if name == "cnonce" else ("",):
                credentials = self.credentials()
                setattr(credentials, name, value)
                self.assertBad(self.verdict(credentials))

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.data())
    def test_nothing_escapes(self, data: st.DataObject) -> None:
        """Whatever the directives hold, there is a verdict, and it is not OK."""
        text = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
            ["auth", "auth-int", "00000001"]
        )
        credentials = self.credentials()
        credentials.response = "0" * 32
        for name in data.draw(
            st.sets(st.sampled_from(tuple(signature(DigestCredentials).parameters)), min_size=1)
        ):
            setattr(credentials, name, data.draw(text))
        verdict = self.verdict(credentials, ha1s=data.draw(st.sampled_from([self.alice, None])))
        self.assertIn(verdict.kind, (Kind.CHALLENGE, Kind.BAD))
        self.assertFalse(verdict.stale)


class StaleTests(VerifierTestCase):
    """Right password, nonce that will not do: stale=true, so that the phone tries again by itself."""

    def test_replay(self) -> None:
        credentials = self.credentials()
        self.assertOK(self.verdict(credentials))
        for _ in range(3):
            self.assertChallenged(self.verdict(credentials), stale=True)

    def test_every_replay_is_refused(self) -> None:
        """Row 18: of 1000 pairs of nonce and count, in any order, none is taken twice."""
        first = self.credentials()
        sent = [self.credentials(nonce=first.nonce, nc=count) for count in range(1, 40)]
        sent += [self.credentials() for _ in range(200)]
        self.assertEqual([self.verdict(each).kind for each in sent], [Kind.OK] * len(sent))
        again = [self.verdict(each) for each in reversed(sent)]
        self.assertEqual({(each.kind, each.stale) for each in again}, {(Kind.CHALLENGE, True)})

    def test_a_forgotten_nonce_is_not_replayable(self) -> None:
        verifier = DigestVerifier.with_secret(digest, SECRET, max_nonces=4)
        sent = [self.credentials(verifier=verifier) for _ in range(40)]
        self.assertEqual([self.verdict(each, verifier=verifier).kind for each in sent], [Kind.OK] * 40)
        for each in sent:
            self.assertChallenged(self.verdict(each, verifier=verifier), stale=True)

    def test_expired(self) -> None:
        credentials = self.credentials()
        self.assertChallenged(self.verdict(credentials, wall_now=NOW + 300.1), stale=True)
        self.assertOK(self.verdict(credentials, wall_now=NOW + 299.9))

    def test_expired_and_wrong(self) -> None:
        credentials = self.credentials(password="wrong")
        self.assertChallenged(self.verdict(credentials, wall_now=NOW + 301), failure=True)

    def test_a_clock_that_leaps(self) -> None:
        """An hour either way costs each phone one more challenge and nothing else."""
        for leap in (3600.0, -3600.0):
            verifier = DigestVerifier.with_secret(digest, SECRET)
            before = self.credentials(verifier=verifier)
            self.assertOK(self.verdict(before, verifier=verifier))
            late = self.credentials(verifier=verifier)
            after = NOW + leap
            self.assertChallenged(self.verdict(late, verifier=verifier, wall_now=after), stale=True)
            fresh = self.credentials(verifier=verifier, wall_now=after)
            self.assertOK(self.verdict(fresh, verifier=verifier, wall_now=after))
            # And back again: what was used is not taken a second time.
            self.assertChallenged(self.verdict(before, verifier=verifier), stale=True)

    def test_a_nonce_of_another_server(self) -> None:
        """Or of the time before a restart: the right password gets a new nonce without a question."""
        other = DigestVerifier.with_secret(digest, SECRET + b"x")
        self.assertChallenged(self.verdict(self.credentials(verifier=other)), stale=True)
        self.assertChallenged(self.verdict(self.credentials(nonce="chosen")), stale=True)
        self.assertChallenged(self.verdict(self.credentials(nonce="chosen", password="x")), failure=True)

    def test_a_nonce_bound_to_its_source(self) -> None:
        challenge = parse_challenge(self.verifier.challenges(REALM, NOW, source="192.0.2.1")[0])
        assert challenge is not None
        credentials = self.credentials(nonce=challenge.nonce)
        self.assertChallenged(self.verdict(credentials, source="192.0.2.2"), stale=True)
        self.assertOK(self.verdict(credentials, source="192.0.2.1"))

    def test_a_wrong_password_uses_nothing_up(self) -> None:
        """Guesses with a phone's nonce do not make the phone's own request a replay, nor fill the window."""
        right = self.credentials()
        for _ in range(50):
            guess = self.credentials(nonce=right.nonce, password="guess")
            self.assertChallenged(self.verdict(guess), failure=True)
        self.assertEqual(len(self.verifier._replay), 0)
        self.assertOK(self.verdict(right))
        self.assertEqual(len(self.verifier._replay), 1)


class EqualWorkTests(VerifierTestCase):
    """Row 19: neither the answer nor the work tells whether a user exists."""

    def test_unknown_users(self) -> None:
        arithmetic = CountingArithmetic()
        verifier = DigestVerifier.with_secret(arithmetic, SECRET)
        for algorithm in ALGORITHMS:
            for qop in ("auth", "auth-int"):
                for wall_now in (NOW, NOW + 1000):
                    seen = []
                    for ha1s in (self.alice, None):
                        credentials = self.credentials(algorithm, qop, password="guess", body=b"x" * 100)
                        arithmetic.calls.clear()
                        verdict = self.verdict(
                            credentials, verifier=verifier, ha1s=ha1s, body=b"x" * 100, wall_now=wall_now
                        )
                        seen.append((verdict, list(arithmetic.calls)))
                    self.assertEqual(seen[0], seen[1])
                    self.assertEqual([call[0] for call in seen[0][1]], ["ha2", "response"])

    def test_a_known_users_hashes_are_read_once(self) -> None:
        counting = CountingHA1s(self.alice)
        self.assertOK(self.verdict(self.credentials(), ha1s=counting))
        self.assertEqual(counting.reads, 1)

    def test_nobodys_hashes_open_nothing(self) -> None:
        """Even an answer made with the hashes of nobody is wrong."""
        nobody = self.verifier._nobody
        for algorithm in ALGORITHMS:
            self.assertEqual(len(nobody.of(algorithm)), len(self.alice.of(algorithm)))
            credentials = self.credentials(algorithm)
            credentials.response = digest.response(
                algorithm,
                nobody.of(algorithm),
                credentials.nonce,
                credentials.nc,
                credentials.cnonce,
                "auth",
                digest.ha2(algorithm, "REGISTER", URI, "auth", b""),
            )
            self.assertChallenged(self.verdict(credentials, ha1s=None), failure=True)

    def test_another_secret_has_other_nobodies(self) -> None:
        other = DigestVerifier.with_secret(digest, SECRET + b"x")
        self.assertNotEqual(other._nobody.of("MD5"), self.verifier._nobody.of("MD5"))
