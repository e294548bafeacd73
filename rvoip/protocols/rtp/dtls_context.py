"""What handshakes of DTLS-SRTP have in common: certificate, profiles, ciphers, cookies; who is the client."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import Final, Literal

from OpenSSL import SSL

from rvoip.protocols.rtp.errors import RTPBuildError
from rvoip.protocols.rtp.fingerprint import Identity
from rvoip.protocols.rtp.suites import (
    AEAD_AES_128_GCM,
    AEAD_AES_256_GCM,
    AES_CM_128_HMAC_SHA1_32,
    AES_CM_128_HMAC_SHA1_80,
    Suite,
)

__all__ = ["DEFAULT_PROFILES", "MTU", "DTLSContext", "Role", "answer_setup", "role_of"]

Role = Literal["client", "server"]

DEFAULT_PROFILES: Final = (
    AEAD_AES_256_GCM,
    AEAD_AES_128_GCM,
    AES_CM_128_HMAC_SHA1_80,
    AES_CM_128_HMAC_SHA1_32,
)
MTU: Final = 1200
"""Octets of the longest datagram."""

_DTLS_1_2: Final = 0xFEFD
_CIPHERS: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:"
    b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA"
)


def role_of(ours: str, theirs: str) -> Role:
    """What our `a=setup` and that of the peer come to; RTPBuildError where they come to nothing."""
    if ours == "active" and theirs in ("passive", "actpass"):
        return "client"
    if ours == "passive" and theirs in ("active", "actpass"):
        return "server"
    if ours == "actpass" and theirs in ("active", "passive"):
        return "server" if theirs == "active" else "client"
    raise RTPBuildError("setup attributes that do not fit each other")


def answer_setup(offered: str, *, prefer: Literal["active", "passive"] = "active") -> str:
    """Our `a=setup` to that of an offer (RFC 5763 section 5, which prefers active)."""
    chosen = {"actpass": prefer, "active": "passive", "passive": "active"}.get(offered)
    if chosen is None:
        raise RTPBuildError("a setup attribute that cannot be answered")
    return chosen


class DTLSContext:
    """What the handshakes of a process have in common: our certificate, the profiles, the secret of cookies.

    `profiles` are in order of preference; `cookies` (`random(n)` gives n octets that nobody can guess) is
    for peers whose address no ICE has checked: a client must show that it receives at its address before
    anything is kept of it (RFC 6347 section 4.2.1). It takes a round trip.
    """

    def __init__(
        self,
        identity: Identity,
        profiles: Sequence[Suite] = DEFAULT_PROFILES,
        *,
        mtu: int = MTU,
        cookies: Callable[[int], bytes] | None = None,
    ) -> None:
        if not profiles or not all(suite.profile for suite in profiles):
            raise RTPBuildError("profiles that DTLS-SRTP does not have")
        if not 256 <= mtu <= 16384:
            raise RTPBuildError("an MTU of 256 to 16384 octets is needed")
        self.identity = identity
        self.profiles = tuple(profiles)
        self.mtu = mtu
        self.cookies = cookies is not None
        self._secret = cookies(32) if cookies else b""
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_min_proto_version(_DTLS_1_2)
        context.set_cipher_list(_CIPHERS)
        context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        # Any certificate gets through; it is held against the fingerprints before keys are taken.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.use_certificate(identity.certificate)
        context.use_privatekey(identity.key)
        context.set_tlsext_use_srtp(":".join(suite.openssl for suite in profiles).encode())
        context.set_cookie_generate_callback(self._cookie)
        context.set_cookie_verify_callback(
            lambda peer, cookie: hmac.compare_digest(self._cookie(peer), cookie)
        )
        self._context = context

    def _cookie(self, connection: SSL.Connection) -> bytes:
        return hmac.digest(self._secret, repr(connection.get_app_data()).encode(), "sha256")

    def connection(self, role: Role) -> SSL.Connection:
        """A new association without a socket."""
        connection = SSL.Connection(self._context, None)
        if role == "server":
            connection.set_accept_state()
        else:
            connection.set_connect_state()
        connection.set_ciphertext_mtu(self.mtu)
        return connection
