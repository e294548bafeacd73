"""Two ways to a secure leg: keys in the session description, and a browser's ICE and DTLS."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from rvoip.protocols.rtp import sdes
from rvoip.protocols.rtp.candidate import Credentials, host_candidates
from rvoip.protocols.rtp.dtls import DTLSHandshake, DTLSKeys, DTLSOutput, DTLSSend
from rvoip.protocols.rtp.dtls_context import DTLSContext
from rvoip.protocols.rtp.fingerprint import parse_fingerprint
from rvoip.protocols.rtp.ice import Address, Answer, IceLite, IceOutput, Selected
from rvoip.protocols.rtp.srtp import SecureLeg


def answer_a_phone(crypto_lines: Sequence[str]) -> tuple[SecureLeg, str]:
    """The leg for an offer with `a=crypto` lines, and the line of our answer; or SDESError."""
    agreed = sdes.answer(crypto_lines, secrets.token_bytes)
    return SecureLeg(agreed.receive, agreed.send, window=agreed.window), str(agreed.line)


class BrowserLeg:
    """A leg of a browser on one port, ours: told of datagrams, it says what is to be sent."""

    def __init__(self, context: DTLSContext, local: Address, offer: dict[str, list[str]]) -> None:
        """`offer` has the values of ice-ufrag and fingerprint of the browser's description."""
        self.local = local
        self.credentials = Credentials.make(secrets.token_bytes)
        candidates = host_candidates([(*local, None)])
        self.ice = IceLite(self.credentials, candidates)
        self.ice.set_remote(offer["ice-ufrag"][0])
        self.dtls = DTLSHandshake(context, "server", map(parse_fingerprint, offer["fingerprint"]))
        self.leg: SecureLeg | None = None
        self.remote: Address | None = None
        self.answer = [
            "a=ice-lite",
            "a=setup:passive",
            "a=rtcp-mux",
            f"a=ice-ufrag:{self.credentials.ufrag}",
            f"a=ice-pwd:{self.credentials.password}",
            f"a=fingerprint:{context.identity.fingerprint()}",
            *(f"a=candidate:{candidate}" for candidate in candidates),
        ]

    def receive(self, datagram: bytes, source: Address, now: float) -> tuple[list[DTLSSend], bytes | None]:
        """What is to be sent where, and the RTP packet, if the datagram was one."""
        first = datagram[0] if datagram else 255
        if first < 4:
            return self._sends(self.ice.receive(datagram, 1, self.local, source, now)), None
        if 20 <= first < 64:
            known = self.ice.knows(1, self.local, source)
            return self._sends(self.dtls.receive(datagram, source, now, validated=known)), None
        return [], self.leg.unprotect(datagram) if self.leg else None

    def timeout(self, now: float) -> list[DTLSSend]:
        """To be called when the earlier one of `ice.deadline` and `dtls.deadline` is reached."""
        return self._sends([*self.ice.timeout(now), *self.dtls.timeout(now)])

    def _sends(self, outputs: Sequence[IceOutput | DTLSOutput]) -> list[DTLSSend]:
        sends = []
        for output in outputs:
            match output:
                case DTLSSend():
                    sends.append(output)
                case Answer():
                    sends.append(DTLSSend(output.remote, output.datagram))
                case Selected():
                    self.remote = output.remote
                case DTLSKeys():
                    self.leg = SecureLeg(output.receive, output.send)
        return sends
