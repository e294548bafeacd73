"""How a route changes the number or name that was dialled before it sends the request on."""

from __future__ import annotations

import re

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.uri import SipURI, escape_user, parse_uri
from rvoip.proxy.numbers import NumberPlan, bare_number
from rvoip.proxy.pattern import Pattern, PatternError, expand

__all__ = ["Rewrite", "TargetURI", "dialled", "harmless"]

_NUMBERLIKE = re.compile(r"\+?[0-9\-.() /]+\Z")
_PLAIN = re.compile(r"[0-9A-Za-z+*#._\-]+\Z")
_PLAIN_PARAMS = re.compile(r"[0-9A-Za-z+*#._\-;=:]*\Z")


def dialled(uri: SipURI) -> str:
    """The user part as it was meant: unescaped, without the parameters of a telephone number (RFC 3966)."""
    user = uri.user_unescaped or ""
    number, semicolon, _ = user.partition(";")
    return number if semicolon and _NUMBERLIKE.match(number) else user


def harmless(uri: SipURI) -> SipURI:
    """The URI, if what was dialled may go to a gateway, without the separators of a written number.

    There it becomes part of a dial string, in which other characters may mean something: `SIPParseError` for
    those that no number and no name needs.
    """
    user = uri.user_unescaped or ""
    number = dialled(uri)
    if not number:
        return uri
    params = user[len(number) :]
    plain = number if _PLAIN.match(number) else bare_number(number)
    if plain is None or not _PLAIN_PARAMS.match(params):
        raise SIPParseError("Unexpected characters in the number")
    made = escape_user(plain) + params
    return uri if made == uri.user else uri.replace(user=made)


class Rewrite:
    """What becomes of the user part, in this order: `form`, `replace` by `pattern`, `strip`, `add`.

    `form` is "" (as dialled), "e164" or "national"; a user part that is no number stays as it is. `replace`
    takes the place of the whole user part, with ``\\1`` for a group of `pattern`; without a pattern or
    where it does not match nothing is replaced. `strip` characters go from the front, `add` goes there.
    """

    __slots__ = ("add", "form", "pattern", "plan", "replace", "strip")

    def __init__(
        self,
        plan: NumberPlan,
        form: str = "",
        pattern: Pattern | None = None,
        replace: str = "",
        strip: int = 0,
        add: str = "",
    ) -> None:
        if replace:
            if pattern is None:
                raise PatternError("replace needs a regex")
            expand(replace, [""] * (pattern.groups + 1))
        self.plan = plan
        self.form = form
        self.pattern = pattern
        self.replace = replace
        self.strip = strip
        self.add = add

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.form or self.replace or self.strip or self.add)

    def user(self, user: str) -> str:
        """The new user part of an unescaped one."""
        if self.form == "e164":
            user = self.plan.e164(user) or bare_number(user) or user
        elif self.form == "national":
            user = self.plan.national_form(user) or user
        if self.replace and self.pattern is not None:
            groups = self.pattern.search(user)
            if groups is not None:
                user = expand(self.replace, groups)
        return self.add + user[self.strip :]

    def uri(self, uri: SipURI) -> SipURI:
        """The URI with its new user part; it stays as it is when there is nothing to do or no user."""
        if not self.changes or not uri.user:
            return uri
        old = dialled(uri)
        new = self.user(old)
        if new == old or not new:
            return uri
        return uri.replace(user=new if _PLAIN.match(new) else escape_user(new))


class TargetURI:
    r"""The `to` of a route: a SIP URI, in which ``\1`` stands for a group of the route's regex.

    One without a user part keeps that of the request. Raises `PatternError` or `SIPParseError`.
    """

    __slots__ = ("_groups", "_uri", "text")

    def __init__(self, text: str, groups: int = 0) -> None:
        self.text = text
        self._groups = "\\" in text
        self._uri = _sip(expand(text, ["1"] * (groups + 1)) if self._groups else text)

    def __repr__(self) -> str:
        return f"<TargetURI {self.text}>"

    @property
    def keeps_user(self) -> bool:
        """Whether the user part of the request stays."""
        return self._uri.user is None

    def uri(self, request: SipURI, groups: tuple[str | None, ...] = ()) -> SipURI:
        """The new Request-URI for one with this URI (already rewritten). `SIPParseError` when it is none."""
        made = self._uri
        if self._groups:
            made = _sip(expand(self.text, [_escaped(group) for group in groups] or [""]))
        if made.user is None and request.user is not None:
            made = made.replace(user=request.user)
        return made


def _escaped(group: str | None) -> str:
    text = group or ""
    return text if _PLAIN.match(text) else escape_user(text)


def _sip(text: str) -> SipURI:
    uri = parse_uri(text)
    if not isinstance(uri, SipURI):
        raise SIPParseError(f"{text!r} is no SIP URI")
    return uri
