"""A phone on a desk, without sound: it holds calls, transfers them, and goes where it is transferred."""

from __future__ import annotations

from typing import Any

from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.descriptions import versioned
from rvoip.protocols.dialog.dialog import Dialog
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.hold import answer_directions, hold, resume
from rvoip.protocols.dialog.identified import IdentifiedAgent
from rvoip.protocols.dialog.invite_client import ClientInvite
from rvoip.protocols.dialog.invite_server import ServerInvite
from rvoip.protocols.dialog.refer_client import ClientRefer
from rvoip.protocols.dialog.refer_server import ReferServer, ServerRefer
from rvoip.protocols.dialog.session import Session
from rvoip.protocols.sdp.build import audio_offer
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.session import SessionDescription, parse
from rvoip.protocols.sip.message import Message, Response
from rvoip.protocols.sip.transfer_headers import Replaces


class DeskCall(Session):
    """A call that can be put on hold."""

    agent: Desk
    local: SessionDescription | None = None
    """Our description, as it was sent last."""

    def answer(self, offer: Body) -> Body:
        """Ours, with the directions that the offer permits: a peer that holds us hears nothing."""
        try:
            theirs = parse(offer.content)
        except SDPError:
            raise Refused(488) from None
        made = answer_directions(theirs, self.agent.description())
        self.local = versioned(self.local, made)
        return Body(self.local.to_bytes())

    def offer_received(self, offer: Body, message: Message) -> Body:
        return self.answer(offer)

    async def hold(self) -> None:
        """Put the peer on hold."""
        await self.change(hold(self.local or self.agent.description()))

    async def resume(self) -> None:
        """Take the peer back."""
        await self.change(resume(self.local or self.agent.description()))

    async def change(self, offer: SessionDescription) -> None:
        """Offer it; `RequestRefused` where the peer will not have it, and all stays as it was."""
        await self.reinvite(Body(offer.to_bytes()))
        self.local = offer


class DeskInvite(ClientInvite):
    """A call that we make, by ourselves or because a REFER asks for it."""

    refer: ServerRefer | None = None

    def progressed(self, response: Response, session: Session | None) -> None:
        self.tell(response.status)

    def accepted(self, session: Session) -> None:
        if isinstance(session, DeskCall):
            session.local = session.agent.description()
        self.tell(200)

    def failed(self, response: Response | None, reason: str) -> None:
        self.tell(503 if response is None else response.status)

    def tell(self, status: int) -> None:
        """Tell whoever sent us there how it goes."""
        if self.refer is not None:
            self.refer.progress(status)


class Transfer(ClientRefer):
    """A transfer: when the other two talk, we hang up."""

    session: Session

    def ended(self, outcome: str, status: int, reason: str) -> None:
        if outcome == "succeeded":
            self.session.bye()


class Desk(IdentifiedAgent):
    """The phone."""

    session = DeskCall
    client_invite = DeskInvite
    host = "192.0.2.1"
    address = "sip:desk@example.test"

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        ReferServer(self, self.refer_received)

    def description(self) -> SessionDescription:
        """What we offer, and answer where nothing forbids it."""
        return audio_offer(self.host, 40000, session_id=1, version=1)

    def call(self, uri: str, **more: Any) -> ClientInvite:
        """Call somebody."""
        offer = Body(self.description().to_bytes())
        return self.invite(uri, from_=f"<{self.address}>", body=offer, **more)

    def invite_received(self, invite: ServerInvite) -> None:
        """Pick up. With Replaces in it, it takes the place of a call of ours, which is hung up by that."""
        session = invite.session
        if invite.offer is None or not isinstance(session, DeskCall):
            raise Refused(488)
        invite.accept(session.answer(invite.offer))

    def transfer(self, session: Session, uri: str) -> None:
        """Have the peer call somebody else."""
        self.send_on(session, Transfer(self, uri, referred_by=self.address))

    def join_up(self, session: Session, consulted: Session) -> None:
        """Have two peers of ours talk to each other: the first takes our place with the second."""
        dialog: Dialog = consulted.dialog
        ours = Replaces(dialog.call_id, to_tag=dialog.remote_tag, from_tag=dialog.local_tag)
        self.send_on(session, Transfer(self, dialog.remote_target, referred_by=self.address, replaces=ours))

    def send_on(self, session: Session, transfer: Transfer) -> None:
        """Send the REFER within the call."""
        transfer.session = session
        transfer.send(session.dialog)

    def refer_received(self, refer: ServerRefer) -> None:
        """Go where the peer of a call sends us; nobody else may."""
        session = refer.session
        if session is None or refer.triggered.method != "INVITE":
            raise Refused(603)
        refer.accept()
        same = ("Session-ID", self.identifier(session.dialog).continued().header)
        made = DeskInvite(
            self,
            refer.triggered.uri,
            from_=f"<{self.address}>",
            body=Body(self.description().to_bytes()),
            headers=(*refer.triggered.headers, same),
        )
        made.refer = refer
        made.start()
