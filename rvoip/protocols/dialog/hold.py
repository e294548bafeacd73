"""Hold and what becomes of it in an answer (RFC 3264 section 8.4, RFC 6337 section 5.3).

Whoever holds says so about the streams that it receives; what it sends meanwhile is music or nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from rvoip.protocols.dialog.descriptions import versioned
from rvoip.protocols.sdp.direction import DIRECTIONS, Direction
from rvoip.protocols.sdp.lines import Connection
from rvoip.protocols.sdp.media import Media
from rvoip.protocols.sdp.session import SessionDescription

__all__ = ["answer_directions", "flow", "held_by_peer", "hold", "offered_direction", "resume"]


def hold(
    local: SessionDescription, *, inactive: bool = False, null_address: bool = False
) -> SessionDescription:
    """The offer, in its next version, that puts the peer on hold.

    Each stream that was received becomes sendonly, or inactive when it was not sent, or when `inactive` is
    asked for (nothing will be sent to the peer, no music). `null_address` also sets the addresses to
    0.0.0.0 or ::, for peers that know the hold of RFC 2543 alone; RFC 3264 section 8.4 advises against it.
    """

    def held(_: int, media: Media) -> Media:
        sends = local.direction_of(media).sends and not inactive
        changed = media.with_direction(Direction.of(sends, False))
        if not null_address:
            return changed
        connections = tuple(map(_null, local.connections_of(media)))
        return changed.replace(connections=connections)

    return versioned(local, _each(local, held))


def resume(local: SessionDescription, before: SessionDescription | None = None) -> SessionDescription:
    """The offer that takes the peer back: directions and addresses are those of `before`, our description
    before the hold. Without it, and for sections that it has not, directions become sendrecv and addresses
    stay as they are.
    """

    def resumed(place: int, media: Media) -> Media:
        if before is None or place >= len(before.media):
            return media.with_direction(Direction.SENDRECV)
        old = before.media[place]
        changed = media.with_direction(before.direction_of(old))
        return changed.replace(connections=old.connections)

    made = _each(local, resumed)
    if before is not None:
        made = made.replace(connection=before.connection)
    return versioned(local, made)


def held_by_peer(remote: SessionDescription) -> bool:
    """Whether the peer holds every stream, in the old or the new way; False where there is none."""
    return remote.is_hold


def offered_direction(description: SessionDescription, media: Media) -> Direction:
    """The direction of a stream that is meant: with a null address its writer receives nothing."""
    direction = description.direction_of(media)
    return Direction.of(direction.sends, not description.holds(media))


def answer_directions(offer: SessionDescription, answer: SessionDescription) -> SessionDescription:
    """The answer with directions that the offer permits (RFC 3264 section 6.1).

    A direction in `answer` is what we would like: sendrecv answers sendonly as recvonly, inactive as
    inactive. An answer that holds the peer itself keeps doing so (RFC 6337 section 5.3). The version is not
    changed, for this is one step in making the answer.
    """
    sections = []
    for place, media in enumerate(answer.media):
        if not media.is_rejected and place < len(offer.media):
            offered = offered_direction(offer, offer.media[place])
            media = media.with_direction(offered.answer(answer.direction_of(media)))
        sections.append(media)
    return answer.without(*DIRECTIONS).replace(media=tuple(sections))


def flow(local: SessionDescription, remote: SessionDescription, place: int) -> Direction:
    """Which way media goes on the stream at that place once both agree, seen from the local side.

    Leniency: a peer that answers sendonly with sendrecv, as those of RFC 2543 do, is taken as if it had
    answered recvonly.
    """
    if place >= min(len(local.media), len(remote.media)):
        return Direction.INACTIVE
    ours, theirs = local.media[place], remote.media[place]
    if ours.is_rejected or theirs.is_rejected:
        return Direction.INACTIVE
    here, there = offered_direction(local, ours), offered_direction(remote, theirs)
    return Direction.of(here.sends and there.receives, here.receives and there.sends)


def _null(connection: Connection) -> Connection:
    address = "::" if connection.address_type == "IP6" else "0.0.0.0"
    return Connection(connection.network_type, connection.address_type, address)


def _each(local: SessionDescription, change: Callable[[int, Media], Media]) -> SessionDescription:
    """A copy with the change in each section that is in use, and no direction at session level."""
    sections = tuple(
        media if media.is_rejected else change(place, media) for place, media in enumerate(local.media)
    )
    return local.without(*DIRECTIONS).replace(media=sections)
