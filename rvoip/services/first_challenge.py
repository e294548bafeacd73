"""The 401 to a REGISTER that comes without credentials, written from its octets.

Half of what a registrar with authentication receives are such requests, and so is a flood: each is answered
the same way and leaves nothing behind. In its common form one is answered here, before it is parsed, for a
third of the cost. What differs from that form in any way is left to the general way, which gives the same
answer; a test holds this to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rvoip.auth.verify import DigestVerifier
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow
from rvoip.protocols.transport.intake import AMPLIFICATION
from rvoip.services.authenticate import Authenticator
from rvoip.services.domains import Domains

__all__ = ["FirstChallenge"]

# A request of lines that nobody would refuse, whatever is in them but for the five that are read below.
# Everything else is for the general way: what is malformed, folded, spelt otherwise, credentials, routes.
_HARMLESS = re.compile(
    rb"[^\r\n]+\r\n(?:(?:"
    rb"(?:Via|From|To|Call-ID|CSeq|User-Agent|Supported|Allow|Allow-Events|Accept):[^\x00-\x1f\x7f]*"
    rb"|Max-Forwards: [0-9]{1,3}"
    rb"|Expires: [0-9]{1,9}"
    rb"|Content-Length: 0"
    rb"|Contact: (?:\"[^\"\\\x00-\x1f\x7f]*\" ?)?<[!#-;=?-~]+>"
    rb"(?:;[\w.+\-]+(?:=(?:[\w.+\-]+|\"<[!#-;=?-~]*>\"))?)*"
    rb")\r\n)*\r\n"
).fullmatch
_ONCE = (b"\r\nVia:", b"\r\nFrom:", b"\r\nTo:", b"\r\nCall-ID:", b"\r\nCSeq:", b"\r\nContent-Length:")
_ONCE_AT_MOST = (b"\r\nMax-Forwards:", b"\r\nExpires:", b"\r\nContact:")
_VIA = re.compile(
    rb"\r\n(Via: SIP/2\.0/UDP [A-Za-z0-9][A-Za-z0-9.\-]*(?::(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}))?"
    rb"(?:;[A-Za-z\-]+(?:=[\w.\-]+)?)*?);rport"
    rb"((?:;[A-Za-z\-]+(?:=[\w.\-]+)?)*)\r\n"
)
_FROM = re.compile(rb"\r\n(From: (?:\"[^\"\\\r\n]*\" ?)?<sip:[\w.+\-]+@[\w.\-]+>;tag=[\w.\-]+)\r\n")
_TO = re.compile(rb"\r\n(To: (?:\"[^\"\\\r\n]*\" ?)?<sip:[\w.+\-]+@([\w.\-]+)>)\r\n")
_CALL_ID = re.compile(rb"\r\n(Call-ID: [!-~]+)\r\n")
_CSEQ = re.compile(rb"\r\n(CSeq: [0-9]{1,9} REGISTER)\r\n")
_BRANCH = b";branch=z9hG4bK"
_LONGEST = 4096


class FirstChallenge:
    """Answers datagrams for `Intake.early`: True when one is answered, False to have it go on."""

    def __init__(
        self,
        verifier: DigestVerifier,
        authenticator: Authenticator,
        domains: Domains,
        transactions: TransactionLayer,
        wall: Callable[[], float],
        secret: str,
    ) -> None:
        self._challenges = verifier.challenges
        self._authenticator = authenticator
        self._transactions = transactions
        self._wall = wall
        self._secret = secret
        self._realms = {name.encode(): name for name in domains.names}
        self._request_lines = frozenset(b"REGISTER sip:%s SIP/2.0" % name for name in self._realms)

    def __call__(self, data: bytes, address: tuple[str, int], flow: Flow) -> bool:
        """Answer a REGISTER of the common form that has no credentials."""
        if data[:9] != b"REGISTER " or b"\r\nAuthorization:" in data or self._transactions.admit is not None:
            return False
        answer = self.answer(data, address)
        if answer is None:
            return False
        transactions = self._transactions
        transactions.requests["REGISTER"] += 1
        self._authenticator.challenged += 1
        try:
            flow.send(answer)
        except FlowError:
            transactions.unsent += 1
        else:
            transactions.responses_sent[4] += 1
        return True

    def answer(self, data: bytes, address: tuple[str, int]) -> bytes | None:
        """The 401 to the request in `data`, or None when it is for the general way."""
        if data[: data.find(b"\r\n")] not in self._request_lines or len(data) > _LONGEST:
            return None
        if _HARMLESS(data) is None or b"baresip" in data.lower():  # which can take one challenge only
            return None
        for name in _ONCE:
            if data.count(name) != 1:
                return None
        for name in _ONCE_AT_MOST:
            if data.count(name) > 1:
                return None
        via, from_, to = _VIA.search(data), _FROM.search(data), _TO.search(data)
        call_id, cseq = _CALL_ID.search(data), _CSEQ.search(data)
        if via is None or from_ is None or to is None or call_id is None or cseq is None:
            return None
        realm = self._realms.get(to[2].lower())
        head, tail = via.groups()
        if realm is None or via[0].count(b"branch=") != 1 or _BRANCH not in via[0] or b";received" in via[0]:
            return None
        source, port = address
        tag = hash((self._secret, via[0], call_id[1])) & 0xFFFFFFFFFFFFFFFF
        challenges = "\r\nWWW-Authenticate: ".join(self._challenges(realm, self._wall(), False, source))
        answer = (
            b"SIP/2.0 401 Unauthorized\r\n%s;rport=%d;received=%s%s\r\n%s\r\n%s;tag=%016x\r\n%s\r\n%s\r\n"
            b"WWW-Authenticate: %s\r\nContent-Length: 0\r\n\r\n"
        ) % (
            head,
            port,
            source.encode(),
            tail,
            from_[1],
            to[1],
            tag,
            call_id[1],
            cseq[1],
            challenges.encode(),
        )
        return answer if len(answer) <= AMPLIFICATION * len(data) else None
