"""Who rings and who talks, as busy lamps show it: the dialogs of each user of ours (RFC 4235).

A machine that is shown INVITEs, the responses that went back, and which calls are over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2s
from typing import Final

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.dialog_info import DialogState, Participant
from rvoip.protocols.sip.message import Request, Response

__all__ = ["Lamps"]

_RINGING: Final = 600.0
"""Seconds without a response after which an INVITE counts as over whose end was not seen."""

_ANONYMOUS: Final = Participant("sip:anonymous@anonymous.invalid", "Anonymous")

_PRIVATE: Final = frozenset(("id", "user", "header"))

Key = tuple[str, str]


class _Call:
    """One INVITE and what came of it; `users` are the AORs whose lamp it lights, and on which side."""

    __slots__ = ("caller", "callee", "from_tag", "heard", "id", "state", "to_tag", "users")

    def __init__(self, request: Request) -> None:
        call_id, self.from_tag = request.call_id, request.from_.tag or ""
        name = f"{call_id}\n{self.from_tag}"
        self.id = blake2s(name.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        private = request.has("privacy") and not _PRIVATE.isdisjoint(
            one.strip().lower() for value in request.get_all("privacy") for one in value.split(";")
        )
        self.caller = _ANONYMOUS if private else _participant(request.from_)
        self.callee = _participant(request.to)
        self.state = ""
        self.to_tag = ""
        self.heard = 0.0
        self.users: dict[str, bool] = {}


class Lamps:
    """`changed` gets an AOR and all its dialogs each time that they change. `most` bounds the calls.

    A call is named by Call-ID and From tag.
    """

    def __init__(self, changed: Callable[[str, tuple[DialogState, ...]], object], most: int = 20_000) -> None:
        self.most = most
        self._changed = changed
        self._calls: dict[Key, _Call] = {}
        self._lit: dict[str, dict[Key, DialogState]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def knows(self, request: Request) -> bool:
        """Whether the INVITE was seen already."""
        return _key(request) in self._calls

    def responded(self, request: Request, response: Response, callees: Iterable[str], now: float) -> bool:
        """An INVITE that begins a call rings, or is answered, at the phones of `callees`, AORs of ours.

        Whether it is a call that is to be shown now; a final response other than 2xx ends that.
        """
        key = _key(request)
        status = response.status
        if status >= 300:
            self.over(*key)
            return False
        call = self._calls.get(key)
        if call is None:
            if len(self._calls) >= self.most:
                return False
            call = self._calls[key] = _Call(request)
        call.heard = now
        if status >= 200:
            call.state = "confirmed"
        elif call.state != "confirmed":
            call.state = "early"
        call.to_tag = response.to.tag or call.to_tag
        rung = dict.fromkeys(callees, False)
        users = {aor: True for aor, calls in call.users.items() if calls}
        if status < 200:
            users.update({aor: False for aor in call.users if aor not in users})
        for aor in [one for one in call.users if one not in users and one not in rung]:
            self._put_out(key, aor)  # another phone has the call
        for aor in rung:
            users.setdefault(aor, False)
        call.users = users
        self._show(key, call)
        return True

    def called_by(self, request: Request, aor: str) -> None:
        """Who called is known now to be this user of ours."""
        key = _key(request)
        call = self._calls.get(key)
        if call is not None:
            call.users[aor] = True
            self._show(key, call)

    def over(self, call_id: str, from_tag: str) -> None:
        """A call is over, or was never answered."""
        key = (call_id, from_tag)
        call = self._calls.pop(key, None)
        for aor in () if call is None else call.users:
            self._put_out(key, aor)

    def expire(self, now: float) -> None:
        """Forget what rings for too long: its end was not seen."""
        late = now - _RINGING
        for key in [key for key, call in self._calls.items() if call.state == "early" and call.heard <= late]:
            self.over(*key)

    def _show(self, key: Key, call: _Call) -> None:
        for aor, calls in call.users.items():
            state = _state(key[0], call, aor, calls)
            lit = self._lit.setdefault(aor, {})
            if lit.get(key) != state:
                lit[key] = state
                self._changed(aor, tuple(lit.values()))

    def _put_out(self, key: Key, aor: str) -> None:
        lit = self._lit.get(aor)
        if lit is None or lit.pop(key, None) is None:
            return
        if not lit:
            del self._lit[aor]
        self._changed(aor, tuple(lit.values()))


def _state(call_id: str, call: _Call, aor: str, calls: bool) -> DialogState:
    own = Participant(f"sip:{aor}")
    return DialogState(
        call.id,
        call.state,
        call_id,
        call.from_tag if calls else call.to_tag,
        call.to_tag if calls else call.from_tag,
        "initiator" if calls else "recipient",
        local=own,
        remote=call.callee if calls else call.caller,
    )


def _participant(address: NameAddr) -> Participant:
    return Participant(address.uri_text, address.display or "")


def _key(request: Request) -> Key:
    return request.call_id, request.from_.tag or ""
