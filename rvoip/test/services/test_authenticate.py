"""Who is challenged how."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import TestCase

from rvoip.auth.verify import DigestVerifier
from rvoip.protocols.sip import digest
from rvoip.protocols.sip.build import request
from rvoip.protocols.sip.message import Response
from rvoip.services.authenticate import Authenticator
from rvoip.services.domains import Domains

VIA = "SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKaa55aa55aa55aa55;rport=5060;received=192.0.2.7"
ALGORITHMS = ("MD5", "SHA-256", "SHA-512-256")


class ChallengeTests(TestCase):
    """One challenge an algorithm, but for phones that cannot take that."""

    def challenges(self, user_agent: str | None, via: str = VIA, reliable: bool = False) -> list[str] | None:
        """The algorithms that a REGISTER without credentials is asked for; None when it is not answered."""
        verifier = DigestVerifier.with_secret(digest, bytes(32), algorithms=ALGORITHMS)
        credentials: Any = None
        domains = Domains(["example.test"], [("127.0.0.1", 5060)])
        authenticator = Authenticator(verifier, credentials, domains, lambda: 1000.0)
        headers = [("Via", via)]
        if user_agent is not None:
            headers.append(("User-Agent", user_agent))
        made = request(
            "REGISTER",
            "sip:example.test",
            from_="<sip:alice@example.test>;tag=1",
            to="<sip:alice@example.test>",
            call_id="c",
            cseq=1,
            headers=headers,
        )
        answers: list[Response | None] = []
        transaction: Any = SimpleNamespace(
            request=made,
            flow=SimpleNamespace(remote=("127.0.0.2", 5060), reliable=reliable, transport=via[8:11].rstrip()),
            stateless_tag="t",
            respond_stateless=answers.append,
            abandon=lambda: answers.append(None),
        )
        self.assertIsNone(authenticator.authenticate_registration(transaction, "example.test"))
        (answer,) = answers
        if answer is None:
            return None
        self.assertTrue(reliable or len(answer.to_bytes()) <= 3 * len(made.to_bytes()))
        self.assertEqual(answer.status, 401)
        found = [digest.parse_challenge(value) for value in answer.get_all("www-authenticate")]
        return [challenge.algorithm for challenge in found if challenge is not None]

    def test_all_algorithms_are_offered(self) -> None:
        for user_agent in (None, "", "PJSUA v2.15", "not baresip", "Linphone/5.2 (belle-sip/5.2)"):
            self.assertEqual(self.challenges(user_agent), list(ALGORITHMS), user_agent)

    def test_baresip_is_offered_the_first_alone(self) -> None:
        for user_agent in ("baresip v1.0.0 (x86_64/linux)", "baresip", "Baresip v4.9.0 (arm64/Android)"):
            self.assertEqual(self.challenges(user_agent), ["MD5"], user_agent)

    def test_a_browser_s_library_reads_the_last(self) -> None:
        for transport in ("WS", "WSS"):
            via = f"SIP/2.0/{transport} a.invalid;branch=z9hG4bK1"
            self.assertEqual(self.challenges("JsSIP 3.13.8", via, True), list(reversed(ALGORITHMS)))

    def test_a_small_datagram_is_not_answered_at_length(self) -> None:
        """Its source may be forged: three challenges would make us a means to flood somebody."""
        self.assertEqual(self.challenges(None, "SIP/2.0/UDP a;branch=z9hG4bK1"), ["MD5", "SHA-256"])
        self.assertEqual(self.challenges(None, "SIP/2.0/TCP a;branch=z9hG4bK1", True), list(ALGORITHMS))
