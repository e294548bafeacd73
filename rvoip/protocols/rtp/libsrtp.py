"""One native call for a packet: libsrtp, in place, at any address of a buffer of ours.

`pylibsrtp.Session` copies each packet in and out and takes 1500 octets at most; the functions of libsrtp that
it wraps work in place. They are used here directly, on its own compiled binding: half of the time, no copy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import pylibsrtp
from pylibsrtp import _binding

from rvoip.protocols.rtp.errors import RTPBuildError
from rvoip.protocols.rtp.suites import (
    AEAD_AES_128_GCM,
    AEAD_AES_256_GCM,
    AES_256_CM_HMAC_SHA1_32,
    AES_256_CM_HMAC_SHA1_80,
    AES_CM_128_HMAC_SHA1_32,
    AES_CM_128_HMAC_SHA1_80,
    MasterKey,
)

__all__ = [
    "AUTH",
    "EXPIRED",
    "OK",
    "REPLAY",
    "Inbound",
    "Outbound",
    "Session",
    "ints",
    "octets",
    "remove_stream",
]

_lib: Final = _binding.lib
_ffi: Final = _binding.ffi

OK: Final = 0
AUTH: Final = frozenset((7, 8))
"""What libsrtp returns for a packet that is not authentic: authentication and cipher failures."""
REPLAY: Final = frozenset((9, 10, 26))
"""... for one that was received before, or is too old to know that."""
EXPIRED: Final = 15
"""... for a key that has protected as many packets as it may."""

Process = Callable[[Any, Any, Any], int]
"""`call(session, address, address of the length) -> status`; works in place and updates the length."""

_PROFILES: Final = {
    AES_CM_128_HMAC_SHA1_80: _lib.srtp_profile_aes128_cm_sha1_80,
    AES_CM_128_HMAC_SHA1_32: _lib.srtp_profile_aes128_cm_sha1_32,
    AES_256_CM_HMAC_SHA1_80: _lib.srtp_profile_aes128_cm_sha1_80,
    AES_256_CM_HMAC_SHA1_32: _lib.srtp_profile_aes128_cm_sha1_32,
    AEAD_AES_128_GCM: _lib.srtp_profile_aead_aes_128_gcm,
    AEAD_AES_256_GCM: _lib.srtp_profile_aead_aes_256_gcm,
}
# The two first fields of srtp_crypto_policy_t (libsrtp 2: cipher type, key and salt in octets) of AES-256 in
# counter mode, which has no profile in DTLS and so none in libsrtp.
_AES_ICM_256: Final = (5, 46)


class Session:
    """The state of libsrtp for the streams of one direction that one master key protects.

    `native` is the first argument of the calls; it lives as long as this object does.
    """

    __slots__ = ("native", "protect", "protect_control", "unprotect", "unprotect_control", "_session")

    _direction: int = pylibsrtp.Policy.SSRC_ANY_INBOUND

    def __init__(self, key: MasterKey, window: int) -> None:
        """`window` is how many packets may come out of order, 64 to 32767."""
        if not 64 <= window <= 0x7FFF:
            raise RTPBuildError("a replay window has 64 to 32767 packets")
        policy = pylibsrtp.Policy(ssrc_type=self._direction, srtp_profile=_PROFILES[key.suite])
        if key.suite in (AES_256_CM_HMAC_SHA1_80, AES_256_CM_HMAC_SHA1_32):
            for part in (policy._policy.rtp, policy._policy.rtcp):
                fields = _ffi.cast("int *", _ffi.addressof(part))
                fields[0], fields[1] = _AES_ICM_256
        policy.key = key.material
        policy.window_size = window
        self._session = pylibsrtp.Session(policy)
        self.native: Any = self._session._srtp[0]
        self.protect: Process = _lib.srtp_protect
        self.protect_control: Process = _lib.srtp_protect_rtcp
        self.unprotect: Process = _lib.srtp_unprotect
        self.unprotect_control: Process = _lib.srtp_unprotect_rtcp


class Inbound(Session):
    """Of what a peer sends: a stream begins with the first authentic packet of its source."""

    __slots__ = ()


class Outbound(Session):
    """Of what we send: a stream begins with the first packet of its source."""

    __slots__ = ()

    _direction = pylibsrtp.Policy.SSRC_ANY_OUTBOUND


def octets(buffer: Any) -> Any:
    """The address of a writable buffer of octets; `address + n` is that of octet n. Keeps it alive."""
    return _ffi.from_buffer("unsigned char[]", buffer, require_writable=True)


def ints(buffer: Any) -> Any:
    """The address of a writable buffer of `int32`, as the calls want the lengths. Keeps it alive."""
    return _ffi.from_buffer("int[]", buffer, require_writable=True)


def remove_stream(session: Session, ssrc: int) -> None:
    """Forget one stream of a session; nothing happens where there is none."""
    _lib.srtp_remove_stream(session.native, int.from_bytes(ssrc.to_bytes(4, "big"), sys.byteorder))
