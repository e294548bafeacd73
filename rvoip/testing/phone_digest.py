"""How a test phone answers challenges (RFC 3261 section 22)."""

from __future__ import annotations

from collections.abc import Callable

from rvoip.protocols.sip.digest import DigestChallenge, answer, parse_challenge
from rvoip.protocols.sip.message import Request, Response

__all__ = ["Credentials"]

_HEADERS = {
    401: ("www-authenticate", "authorization"),
    407: ("proxy-authenticate", "proxy-authorization"),
}


class Credentials:
    """The user's name and password, and the nonces that were given for them."""

    def __init__(self, username: str, password: str, cnonce: Callable[[], str]) -> None:
        self.username = username
        self.password = password
        self._cnonce = cnonce
        self._nonces: dict[tuple[int, str], tuple[DigestChallenge, int]] = {}

    def answer(self, request: Request, response: Response, *, stale_only: bool) -> bool:
        """
        Add to `request` what the challenges of `response` ask for; False when none can be answered.

        The first challenge whose algorithm is known is taken, of another scheme or a later one none; with
        `stale_only`, only one that says that nothing but the nonce was wrong.
        """
        header, answered = _HEADERS.get(response.status, ("", ""))
        if not header or not self.password:
            return False
        for value in response.get_all(header):
            challenge = parse_challenge(value)
            if challenge is None or (stale_only and not challenge.stale):
                continue
            request.remove(answered)
            if self._add(request, answered, challenge, 1):
                self._nonces[response.status, challenge.realm] = (challenge, 1)
                return True
        return False

    def answer_again(self, request: Request) -> None:
        """Add credentials with the nonces that were given before, and counts that rise."""
        for key, (challenge, count) in self._nonces.items():
            if self._add(request, _HEADERS[key[0]][1], challenge, count + 1):
                self._nonces[key] = (challenge, count + 1)

    def _add(self, request: Request, header: str, challenge: DigestChallenge, count: int) -> bool:
        credentials = answer(
            challenge,
            method=request.method,
            uri=request.uri_text,
            username=self.username,
            password=self.password,
            cnonce=self._cnonce(),
            nc=count,
            body=request.body,
        )
        if credentials is None:
            return False
        request.add(header, str(credentials))
        return True
