"""What one description of a session requires of the next (RFC 3264 sections 6 and 8)."""

from __future__ import annotations

from rvoip.protocols.sdp.compare import equivalent, same_version
from rvoip.protocols.sdp.session import SessionDescription

__all__ = ["answer_problem", "offer_problem", "unchanged", "versioned"]


def versioned(previous: SessionDescription | None, wanted: SessionDescription) -> SessionDescription:
    """What to send in place of `wanted` after `previous`, our last description in this dialog.

    It has the o= line of `previous`, with a version that is one higher when it means something else; when it
    does not, it is `previous` itself, for what has the same version must be identical (section 8).
    """
    if previous is None:
        return wanted
    made = wanted.replace(origin=previous.origin)
    return previous if equivalent(previous, made) else made.next_version()


def unchanged(previous: SessionDescription | None, new: SessionDescription) -> bool:
    """Whether the peer's new description asks for nothing new, as in a refresh of the session.

    Leniency: the version alone does not decide, for some peers change the rest and leave it as it was.
    """
    return previous is not None and same_version(previous, new) and equivalent(previous, new)


def answer_problem(offer: SessionDescription, answer: SessionDescription) -> str | None:
    """Why a description cannot be the answer to an offer (section 6); None when it can.

    An answerer may choose another RTP profile than the one offered: some do, and RFC 5939 is about it.
    """
    if len(answer.media) != len(offer.media):
        return f"{len(answer.media)} media sections answer {len(offer.media)}"
    for place, (offered, answered) in enumerate(zip(offer.media, answer.media), 1):
        if answered.kind != offered.kind:
            return f"media section {place} answers {offered.kind} with {answered.kind}"
        if answered.is_rejected:
            continue
        if offered.is_rejected:
            return f"media section {place} accepts what was not offered"
        if answered.protocol != offered.protocol and not (answered.is_rtp and offered.is_rtp):
            return f"media section {place} answers {offered.protocol} with {answered.protocol}"
    return None


def offer_problem(previous: SessionDescription | None, offer: SessionDescription) -> str | None:
    """Why a description cannot be an offer after `previous`, the last one of the same side; None when it can.

    A section keeps its place for ever, with port 0 once it is not used any more (section 8.2).
    """
    if previous is not None and len(offer.media) < len(previous.media):
        return f"{len(offer.media)} media sections follow {len(previous.media)}"
    return None
