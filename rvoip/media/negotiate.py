"""Offers and answers of one leg (RFC 3264): whose turn it is, what was agreed, what stays as it was.

One audio stream is taken, all else is refused by port 0. Sections keep their order and formats their numbers
as long as the leg lives. Nothing changes when an offer or an answer is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from rvoip.codecs.policy import Choice, Policy
from rvoip.codecs.registry import codec_key
from rvoip.media.agreed import Agreed, Ice, Local
from rvoip.media.audio_section import Offered, answer_section, bundled, offer_section, read_answer
from rvoip.media.errors import NegotiationError
from rvoip.media.transport_terms import Unacceptable
from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.direction import Direction
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.lines import Origin
from rvoip.protocols.sdp.media import Media
from rvoip.protocols.sdp.session import SessionDescription, parse

__all__ = ["Negotiation"]

NOT_ACCEPTABLE, BAD_REQUEST, PENDING = 488, 400, 491


class _State(Struct, frozen=True, kw_only=True):
    """What a rollback returns to."""

    local: Local
    wanted: Direction
    agreed: Agreed | None
    description: SessionDescription | None
    numbers: Mapping[str, int]


class Negotiation:
    """The descriptions that a leg has sent and received."""

    def __init__(self, local: Local, wanted: Direction = Direction.SENDRECV) -> None:
        """Begin with nothing agreed; `wanted` is what answers strive for."""
        self.local = local
        self.wanted = wanted
        self.agreed: Agreed | None = None
        self.description: SessionDescription | None = None
        """What we have last sent."""
        self._numbers: Mapping[str, int] = {}
        self._offered: Offered | None = None
        self._before: _State | None = None

    @property
    def pending(self) -> bool:
        """Whether an offer of ours waits for its (final) answer."""
        return self._offered is not None

    @property
    def held(self) -> bool:
        """Whether the peer has put us on hold."""
        return self.agreed is not None and self.agreed.held

    # The peer offers

    def answer(self, offer: bytes | str | SessionDescription) -> SessionDescription:
        """Answer an offer; `agreed` is what it comes to, None when the peer has ended the stream.

        Raises NegotiationError: 400 for what is no description, 488 for one that cannot be met, 491 while an
        offer of ours is open.
        """
        if self._offered is not None:
            raise NegotiationError(PENDING, "an offer of ours is open")
        description = _read(offer)
        section, agreed, ice = self._choose(description)
        sections = [_refused(media) for media in description.media]
        attributes: list[Attribute] = []
        if section is not None and agreed is not None:
            sections[agreed.index] = section
            if bundled(description, description.media[agreed.index]):
                attributes.append(Attribute("group", f"BUNDLE {agreed.mid}"))
        return self._settle(sections, attributes, ice, agreed)

    def _choose(self, description: SessionDescription) -> tuple[Media | None, Agreed | None, Ice | None]:
        """The first audio section that can be met; the one that is in use goes before all others."""
        before = self.agreed
        audio = [index for index, media in enumerate(description.media) if media.kind.lower() == "audio"]
        if before is not None and before.index in audio:
            audio.remove(before.index)
            audio.insert(0, before.index)
        live = [index for index in audio if not description.media[index].is_rejected]
        reasons = []
        for index in live:
            same = before if before is not None and before.index == index else None
            try:
                return answer_section(self.local, description, index, self.wanted, same)
            except Unacceptable as error:
                reasons.append(f"the audio {error}")
        if audio and not live and self.description is not None:
            return None, None, None
        raise NegotiationError(NOT_ACCEPTABLE, reasons[0] if reasons else "no audio is offered")

    # We offer

    def offer(self, wanted: Direction | None = None, policy: Policy | None = None) -> SessionDescription:
        """Make an offer, the first or a further one, with another direction or other codecs if given.

        Until its answer has come, or `rollback`, there can be no other. Raises NegotiationError: 491 while
        one is open, 488 where there is nothing to offer.
        """
        if self._offered is not None:
            raise NegotiationError(PENDING, "an offer of ours is open")
        before = _State(
            local=self.local,
            wanted=self.wanted,
            agreed=self.agreed,
            description=self.description,
            numbers=self._numbers,
        )
        local = msgspec.structs.replace(self.local, policy=policy) if policy is not None else self.local
        direction = wanted or self.wanted
        try:
            offered = offer_section(local, direction, self.agreed, self._numbers)
        except Unacceptable as error:
            raise NegotiationError(NOT_ACCEPTABLE, f"the audio {error}") from None
        sections: list[Media] = []
        attributes: list[Attribute] = []
        if self.description is not None:
            sections = [_refused(media) for media in self.description.media]
            group = self.description.value("group")
            if group is not None and self.agreed is not None:
                attributes.append(Attribute("group", group))
        if offered.index < len(sections):
            sections[offered.index] = offered.media
        else:
            sections.append(offered.media)
        self.local, self.wanted = local, direction
        self._before, self._offered = before, offered
        return self._settle(sections, attributes, offered.ice, self.agreed)

    def receive_answer(self, answer: bytes | str | SessionDescription, final: bool = True) -> Agreed:
        """Take the answer to our offer.

        Early answers (`final` false) of the branches of a fork may follow each other, and each is read
        against the same offer; the final one ends it. Raises NegotiationError: 400 for what is no description
        or answers nothing, 488 for one that cannot be met; a final one that cannot be is rolled back.
        """
        offered, before = self._offered, self._before
        if offered is None or before is None:
            raise NegotiationError(BAD_REQUEST, "there is no offer that this could answer")
        try:
            agreed = read_answer(self.local, offered, _read(answer), before.agreed)
        except Unacceptable as error:
            if final:
                self.rollback()
            raise NegotiationError(NOT_ACCEPTABLE, f"the audio {error}") from None
        self.agreed = agreed
        self._numbers = _numbered(before.numbers, agreed.choices)
        if final:
            self._offered = self._before = None
        return agreed

    def rollback(self) -> None:
        """Take our offer back, because it was refused (488) or came at the wrong time (491)."""
        before = self._before
        if before is None:
            return
        version = self.description.origin.session_version if self.description is not None else 0
        self.local, self.wanted, self.agreed = before.local, before.wanted, before.agreed
        self._numbers = before.numbers
        self._offered = self._before = None
        if before.description is None:
            self.description = None
        else:
            # Numbers of versions are not used twice: the peer has seen this one.
            self.description = _with_version(before.description, version)

    def _settle(
        self,
        sections: list[Media],
        attributes: list[Attribute],
        ice: Ice | None,
        agreed: Agreed | None,
    ) -> SessionDescription:
        local = self.local
        host = agreed.local_host if agreed is not None else local.hosts[0]
        if ice is not None and ice.lite:
            attributes.append(Attribute("ice-lite"))
        last = self.description
        version = last.origin.session_version if last is not None else 1
        family = "IP6" if ":" in host else "IP4"
        connections = next((media.connections for media in sections if media.connections), ())
        made = SessionDescription(
            origin=Origin(local.username, str(local.session_id), version, "IN", family, host),
            name=local.name,
            connection=connections[0] if connections else None,
            attributes=tuple(attributes),
            media=tuple(media.replace(connections=()) for media in sections),
        )
        if made.connection is None and last is not None:
            made = made.replace(connection=last.connection)
        if last is not None and made != last:
            made = _with_version(made, version + 1)
        self.description = made
        if self._offered is None:
            self.agreed = agreed
            if agreed is not None:
                self._numbers = _numbered(self._numbers, agreed.choices)
        return made


def _read(description: bytes | str | SessionDescription) -> SessionDescription:
    if isinstance(description, SessionDescription):
        return description
    try:
        return parse(description)
    except SDPError as error:
        raise NegotiationError(BAD_REQUEST, f"no session description: {error}") from None


def _refused(media: Media) -> Media:
    refused = media.rejected()
    return refused if refused.formats else refused.replace(formats=("0",))


def _with_version(description: SessionDescription, version: int) -> SessionDescription:
    origin = description.origin
    return description.replace(origin=msgspec.structs.replace(origin, session_version=version))


def _numbered(numbers: Mapping[str, int], choices: tuple[Choice, ...]) -> Mapping[str, int]:
    """Payload types by format, with those of `choices`, each of which stands for one format alone."""
    new = {
        codec_key(choice.codec.name, choice.codec.clock_rate, choice.codec.channels): (
            choice.receive_payload_type
        )
        for choice in choices
    }
    kept = {key: number for key, number in numbers.items() if number not in new.values()}
    return {**kept, **new}
