"""What a digest verifier is handed: the arithmetic, the credentials of a request, a user's hashes."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Arithmetic", "Credentials", "HA1s"]


class Arithmetic(Protocol):
    """The hashing of digest (RFC 7616 section 3.4), for the algorithms that the verifier offers.

    Results are lower-case hexadecimal digits. A module with two such functions will do.
    """

    def ha2(self, algorithm: str, method: str, uri: str, qop: str | None, body: bytes, /) -> str:
        """H(method:uri), and with the qop "auth-int" H(method:uri:H(body))."""
        ...

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
        """H(ha1:nonce:nc:cnonce:qop:ha2), and without a qop H(ha1:nonce:ha2)."""
        ...


class Credentials(Protocol):
    """The directives of one Authorization or Proxy-Authorization value, unquoted; None for those left out."""

    @property
    def username(self) -> str: ...
    @property
    def realm(self) -> str: ...
    @property
    def nonce(self) -> str: ...
    @property
    def uri(self) -> str: ...
    @property
    def response(self) -> str: ...
    @property
    def algorithm(self) -> str:
        """ "MD5" where none was given (RFC 7616 section 3.4)."""
        ...

    @property
    def cnonce(self) -> str | None: ...
    @property
    def qop(self) -> str | None: ...
    @property
    def nc(self) -> str | None:
        """The text as sent."""
        ...


class HA1s(Protocol):
    """One user's H(user:realm:password) by each algorithm."""

    def of(self, algorithm: str, /) -> str:
        """Lower-case hexadecimal digits, for "MD5", "SHA-256" or "SHA-512-256"."""
        ...
