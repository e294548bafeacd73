"""Legs and descriptions that the tests of negotiation use."""

from __future__ import annotations

from functools import cache
from typing import Any

from rvoip.codecs.policy import Policy
from rvoip.codecs.registry import Registry, built_in
from rvoip.media.agreed import Ice, Keying, Local
from rvoip.media.errors import NegotiationError
from rvoip.protocols.sdp.ice import Candidate
from rvoip.protocols.sdp.security import Fingerprint

FINGERPRINT = Fingerprint("sha-256", bytes(range(32)))
PRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
UGLY = "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:tooshort"


@cache
def registry() -> Registry:
    return Registry(built_in())


def local(**changes: Any) -> Local:
    values: dict[str, Any] = {
        "hosts": ("198.51.100.1", "2001:db8::1"),
        "port": 20000,
        "session_id": 7,
        "policy": Policy(allow=("PCMA", "PCMU", "L16")),
        "registry": registry(),
    }
    return Local(**{**values, **changes})


def keyed(**changes: Any) -> Local:
    """A leg that can do SDES and DTLS; its keys are no secret."""
    return local(
        keying=Keying(random=lambda count: bytes(range(count)), fingerprints=(FINGERPRINT,)), **changes
    )


def our_ice(restart: bool) -> Ice:
    host = Candidate("1", 1, "udp", 2130706431, "198.51.100.1", 20000, "host")
    control = Candidate("1", 2, "udp", 2130706430, "198.51.100.1", 20001, "host")
    ufrag = "renewed1" if restart else "ours1234"
    return Ice(ufrag=ufrag, pwd="ourpassword0123456789ab", candidates=(host, control), lite=True)


def described(*lines: str, host: str = "192.0.2.1", version: int = 1, top: tuple[str, ...] = ()) -> bytes:
    """A description whose sections are `lines`; a line without "=" is an attribute."""
    family = "IP6" if ":" in host else "IP4"
    head = ["v=0", f"o=- 1 {version} IN IP4 192.0.2.1", "s=-", f"c=IN {family} {host}", "t=0 0", *top]
    body = [line if line[1:2] == "=" else f"a={line}" for line in lines]
    return "".join(f"{line}\r\n" for line in [*head, *body]).encode()


PHONE = ("m=audio 10018 RTP/AVP 8 0 101", "rtpmap:101 telephone-event/8000", "fmtp:101 0-15", "ptime:20")


def refusal(call: Any, *arguments: Any, **keywords: Any) -> NegotiationError:
    """The error that a call raises."""
    try:
        call(*arguments, **keywords)
    except NegotiationError as error:
        return error
    raise AssertionError("it was not refused")
