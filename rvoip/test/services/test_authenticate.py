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

ALGORITHMS = ("MD5", "SHA-256", "SHA-512-256")


class ChallengeTests(TestCase):
    """One challenge an algorithm, but for phones that cannot take that."""

    def challenges(self, user_agent: str | None) -> list[str]:
        """The algorithms that a REGISTER without credentials is asked for."""
        verifier = DigestVerifier.with_secret(digest, bytes(32), algorithms=ALGORITHMS)
        credentials: Any = None
        domains = Domains(["example.test"], [("127.0.0.1", 5060)])
        authenticator = Authenticator(verifier, credentials, domains, lambda: 1000.0)
        headers = [] if user_agent is None else [("User-Agent", user_agent)]
        made = request(
            "REGISTER",
            "sip:example.test",
            from_="<sip:alice@example.test>;tag=1",
            to="<sip:alice@example.test>",
            call_id="c",
            cseq=1,
            headers=headers,
        )
        answers: list[Response] = []
        transaction: Any = SimpleNamespace(
            request=made,
            flow=SimpleNamespace(remote=("127.0.0.2", 5060)),
            stateless_tag="t",
            respond_stateless=answers.append,
        )
        self.assertIsNone(authenticator.authenticate_registration(transaction, "example.test"))
        (answer,) = answers
        self.assertEqual(answer.status, 401)
        found = [digest.parse_challenge(value) for value in answer.get_all("www-authenticate")]
        return [challenge.algorithm for challenge in found if challenge is not None]

    def test_all_algorithms_are_offered(self) -> None:
        for user_agent in (None, "", "PJSUA v2.15", "not baresip", "Linphone/5.2 (belle-sip/5.2)"):
            self.assertEqual(self.challenges(user_agent), list(ALGORITHMS), user_agent)

    def test_baresip_is_offered_the_first_alone(self) -> None:
        for user_agent in ("baresip v1.0.0 (x86_64/linux)", "baresip", "Baresip v4.9.0 (arm64/Android)"):
            self.assertEqual(self.challenges(user_agent), ["MD5"], user_agent)
