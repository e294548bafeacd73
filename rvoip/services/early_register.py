"""What a registrar is sent all day, answered before it is parsed.

That is the REGISTER without credentials, which gets a 401 and leaves nothing behind, and the one that
answers the challenge, or needs not, and only refreshes the binding that its phone has. Together they are most
of the traffic, and the first is what a flood is made of. In their plain form both are answered here for half
of the cost or less. Whatever differs is left to the general way, which gives the same answer; tests hold this
to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from twisted.python.failure import Failure

from rvoip.auth.verify import DigestVerifier, Kind
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.digest import DigestCredentials
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow
from rvoip.protocols.transport.intake import AMPLIFICATION
from rvoip.registrar.binding import Applied, Change, Outcome
from rvoip.registrar.errors import StoreError
from rvoip.registrar.refresh import contact_lines, refreshed_binding
from rvoip.services.domains import Domains
from rvoip.services.plain_register import PlainRegister, read
from rvoip.services.registration import Registration
from rvoip.users.interfaces import ICredentials
from rvoip.users.passwords import HA1Set

__all__ = ["EarlyRegister"]

# A contact that nobody would refuse.
_CONTACT = re.compile(
    r'(?:"[^"\\]*" ?)?<[!#-;=?-~]+>(?:;[\w.+\-]+(?:=(?:[\w.+\-]+|"<[!#-;=?-~]*>"))?)*', re.ASCII
).fullmatch
# One whose URI is an IPv4 address and names a transport, and nothing that changes where it leads.
_PLAIN_CONTACT = re.compile(
    r"<sip:[\w.+\-]+@([0-9.]+)(?::[0-9]{1,5})?(?:;(?:transport=[A-Za-z]+|ob|line=\w+|rinstance=\w+))*>",
    re.ASCII,
).fullmatch
_DIRECTIVES: Final = frozenset("username realm nonce uri response algorithm cnonce qop nc".split())


class EarlyRegister:
    """Answers datagrams for `Intake.early`: True when one is answered, False to have it go on.

    `wall` tells the wall time and `now` the monotonic, in seconds. Where the `registration` asks nobody for
    credentials none are looked at. What `passes` does not let in, by its User-Agent and flow, goes the
    general way.
    """

    def __init__(
        self,
        verifier: DigestVerifier,
        credentials: ICredentials,
        domains: Domains,
        transactions: TransactionLayer,
        registration: Registration,
        now: Callable[[], float],
        wall: Callable[[], float],
        passes: Callable[[str, Flow], bool] = lambda agent, flow: True,
    ) -> None:
        self._challenges = verifier.challenges
        self._verify = verifier.verify
        self._authenticator = registration.authenticator
        self._credentials = credentials
        self._transactions = transactions
        self._registration = registration
        self._now = now
        self._wall = wall
        self._passes = passes
        self._realms = frozenset(domains.names)
        self._request_lines = frozenset(f"REGISTER sip:{name} SIP/2.0" for name in self._realms)

    def __call__(self, data: bytes, address: tuple[str, int], flow: Flow) -> bool:
        """Answer a REGISTER of the plain form."""
        if data[:9] != b"REGISTER " or self._transactions.admit is not None:
            return False
        register = read(data, self._request_lines)
        if register is None or register.domain not in self._realms:
            return False
        if not self._passes(register.fields.get("User-Agent", ""), flow):
            return False
        authenticator = self._authenticator
        if authenticator is None or "Authorization" in register.fields:
            return self._refresh(register, data, address, flow)
        answer = self._challenge(register, data, address)
        if answer is None:
            return False
        self._transactions.requests["REGISTER"] += 1
        authenticator.challenged += 1
        self._send(answer, flow)
        return True

    def _challenge(self, register: PlainRegister, data: bytes, address: tuple[str, int]) -> bytes | None:
        """The 401, or None when this is for the general way."""
        fields = register.fields
        expires = fields.get("Expires", "0")
        if not expires.isdigit() or len(expires) > 9:
            return None
        if "Contact" in fields and _CONTACT(fields["Contact"]) is None:
            return None
        if "baresip" in fields.get("User-Agent", "").lower():  # which can take one challenge only
            return None
        source, port = address
        tag = self._transactions.tag_of(register.branch, register.call_id)
        challenges = "\r\nWWW-Authenticate: ".join(
            self._challenges(register.domain, self._wall(), False, source)
        )
        answer = (
            f"SIP/2.0 401 Unauthorized\r\nVia: {register.via};rport={port};received={source}"
            f"{register.via_params}\r\nFrom: {register.from_}\r\nTo: {register.to};tag={tag}\r\n"
            f"Call-ID: {register.call_id}\r\nCSeq: {register.cseq} REGISTER\r\n"
            f"WWW-Authenticate: {challenges}\r\nContent-Length: 0\r\n\r\n"
        ).encode()
        return answer if len(answer) <= AMPLIFICATION * len(data) else None

    def _send(self, answer: bytes, flow: Flow) -> None:
        transactions = self._transactions
        try:
            flow.send(answer)
        except FlowError:
            transactions.unsent += 1
        else:
            transactions.responses_sent[answer[8] - 48] += 1  # SIP/2.0 200

    def _refresh(self, register: PlainRegister, data: bytes, address: tuple[str, int], flow: Flow) -> bool:
        """Answer with 200 what is sure to get one; the credentials are looked at last, for they count."""
        registration = self._registration
        fields = register.fields
        contact = fields.get("Contact", "")
        plain = _PLAIN_CONTACT(contact)
        if plain is None or plain[1] != address[0] or not registration.is_short:
            return False
        if self._transactions.was_answered(register.key):
            return False  # it comes again
        store = registration.store
        if not store.at_once:
            return False  # it would have to be asked twice
        now = self._now()
        aor = f"{register.user}@{register.domain}"
        bindings = store.lookup(aor, now)
        if len(bindings) != 1:
            return False
        settings = registration.registrar.settings
        fresh = refreshed_binding(
            bindings[0],
            contact,
            fields.get("Expires", ""),
            fields.get("User-Agent", ""),
            register.call_id,
            register.cseq,
            now,
            "",
            settings,
        )
        if fresh is None or (self._authenticator is not None and not self._is_right(register, address[0])):
            return False
        self._transactions.requests["REGISTER"] += 1
        change = Change(aor, now, (fresh,), (), register.call_id, register.cseq, settings.max_contacts)
        try:
            applied = store.apply(change)
        except StoreError:
            self._failed(Failure(), register, data, address, flow)
            return True
        if type(applied) is Applied:
            self._applied(applied, register, data, address, flow)
        else:
            applied.addCallback(self._applied, register, data, address, flow)
            applied.addErrback(self._failed, register, data, address, flow)
        return True

    def _is_right(self, register: PlainRegister, source: str) -> bool:
        """Whether the credentials are; what is wrong with them the general way finds again, and says."""
        user, domain = register.user, register.domain
        text = register.fields.get("Authorization", "")
        credentials = _credentials(text, user, domain)
        if credentials is None:
            return False
        found = self._credentials.lookup(user, domain)
        if found is None:
            return False
        if type(found) is not HA1Set:
            waiting: Any = found
            waiting.addErrback(lambda _: None)  # the general way asks too, and deals with it
            return False
        verdict = self._verify(domain, "REGISTER", credentials, b"", found, self._wall(), source=source)
        if verdict.kind is not Kind.OK:
            return False
        assert self._authenticator is not None
        self._authenticator.accepted += 1
        return True

    def _applied(
        self, applied: Applied, register: PlainRegister, data: bytes, address: tuple[str, int], flow: Flow
    ) -> None:
        registration = self._registration
        registrar = registration.registrar
        transactions = self._transactions
        now = self._now()
        # Where nobody is vouched for, nothing is kept: see `Registration`.
        keep = self._authenticator is not None
        if applied.outcome is not Outcome.REFRESHED:
            # Another request was quicker.
            request = _request(data, address)
            response = registrar.answer(request, applied, now, self._wall())
            if keep:
                transactions.keep_answer(register.key, response.to_bytes(), now)
            transactions.reply(request, flow, response)
            return
        source, port = address
        tag = registrar.new_tag() if keep else transactions.tag_of(register.branch, register.call_id)
        answer = (
            f"SIP/2.0 200 OK\r\nVia: {register.via};rport={port};received={source}{register.via_params}\r\n"
            f"From: {register.from_}\r\nTo: {register.to};tag={tag}\r\n"
            f"Call-ID: {register.call_id}\r\nCSeq: {register.cseq} REGISTER\r\n"
            f"{contact_lines(applied.bindings, now)}\r\n{registration.last_lines(self._wall())}\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode("utf-8", "surrogateescape")
        if registrar.on_change is not None:
            registrar.on_change(applied.change.aor, applied.bindings, "refreshed")
        if keep:
            transactions.keep_answer(register.key, answer, now)
        self._send(answer, flow)

    def _failed(
        self, failure: Failure, register: PlainRegister, data: bytes, address: tuple[str, int], flow: Flow
    ) -> None:
        failure.trap(StoreError)
        request = _request(data, address)
        transactions = self._transactions
        response = self._registration.not_stored(request, transactions.stateless_tag(request))
        if self._authenticator is not None:
            transactions.keep_answer(register.key, response.to_bytes(), self._now())
        transactions.reply(request, flow, response)


def _request(data: bytes, address: tuple[str, int]) -> Request:
    """The request in octets that are known to be one."""
    request = parse_message(data)
    assert isinstance(request, Request)
    request.stamp_via(*address)
    return request


def _credentials(text: str, user: str, domain: str) -> DigestCredentials | None:
    """The Digest credentials of this user with one qop; None for others, and where anything is escaped."""
    if text[:7] != "Digest " or "\\" in text:
        return None
    pieces = text[7:].split(",")
    try:
        given: dict[str, str] = dict([piece.strip(" ").split("=", 1) for piece in pieces])
        if given["username"] != f'"{user}"' or given["realm"] != f'"{domain}"':
            return None
        quoted = (given["nonce"], given["uri"], given["response"], given["cnonce"])
        qop = given["qop"]
        algorithm = given.get("algorithm", "MD5")
        count = given["nc"]
    except (KeyError, ValueError):
        return None
    if len(given) != len(pieces) or not given.keys() <= _DIRECTIVES:
        return None  # one of them twice, or one that nobody knows
    for value in quoted:
        if value[:1] != '"' or value.find('"', 1) != len(value) - 1 or len(value) < 3:
            return None
    nonce, uri, response, cnonce = quoted
    return DigestCredentials(
        user,
        domain,
        nonce[1:-1],
        uri[1:-1],
        response[1:-1].lower(),
        _bare(algorithm),
        cnonce[1:-1],
        None,
        _bare(qop),
        count,
    )


def _bare(value: str) -> str:
    """Some clients quote what should be a token."""
    return value[1:-1] if value[:1] == value[-1:] == '"' else value
