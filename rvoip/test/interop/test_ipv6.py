"""Phones over IPv6; calls between them, and between IPv6 and IPv4."""

from __future__ import annotations

import socket

from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.baresip import Baresip
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.roles import DOMAIN, Role

BOB = f"sip:bob@{DOMAIN}"


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


class IPv6Tests(InteropTestCase):
    """The role listens on ::1 too, which is where the phones are."""

    def both(self) -> tuple[Role, str]:
        """A role with IPv4 and IPv6, and host:port of the latter."""
        address = f"[::1]:{free_port('::1')}"
        return self.role(listen=[f"udp:{address}", f"tcp:{address}"]), address

    def phone(self, user: str, address: str, transport: str) -> Baresip:
        """A baresip with IPv6 only."""
        phone = Baresip(
            self.folder,
            "::1",
            f"{user}@{DOMAIN}",
            outbound=f"sip:{address};transport={transport}",
            transport=transport,
        )
        self.addCleanup(phone.close)
        phone.registered()
        return phone

    def test_call(self) -> None:
        """Both over IPv6, one UDP, one TCP."""
        role, address = self.both()
        alice, bob = self.phone("alice", address, "udp"), self.phone("bob", address, "tcp")
        self.assertIn("@[::1]:", role.listed("bob")[0]["contact"])
        alice.call(BOB)
        call_id = bob.rings()
        bob.answer()
        alice.talks()
        alice.hears()
        bob.hears()
        bob.hold()
        alice.receives(r"^INVITE [^\0]*^a=sendonly")
        bob.resume()
        bob.hears()
        bob.hang_up()
        alice.hung_up()
        self.assertTrue(all("[::1]" in message["source"] for message in role.ladder(call_id)))

    def test_between_families(self) -> None:
        """From IPv4 to IPv6 and back; a dialog has a Record-Route value for each."""
        role, address = self.both()
        for name, caller, callee, place in (
            ("4to6", "", "::1", address),
            ("6to4", "::1", "", role.address),
        ):
            waiting = self.sipp("uas", host=callee, calls=10, name=f"callee-{name}")
            self.binds(role, "bob", waiting.contact, address=place)
            (contact,) = role.listed("bob")
            calling = self.sipp(
                "uac",
                role.address if place == address else address,
                host=caller,
                calls=10,
                name=f"caller-{name}",
            )
            calling.succeed()
            waiting.succeed()
            for invite in waiting.received("^INVITE "):
                values = [line for line in invite.split("\n") if line.startswith("Record-Route: ")]
                self.assertEqual(["[::1]" in value for value in values], [callee == "::1", caller == "::1"])
            removed = role.rvoip("binding", "remove", f"bob@{DOMAIN}", contact["contact"])
            self.assertEqual(removed.returncode, 0, removed)


if not _has_ipv6():
    del IPv6Tests  # a machine without it has nothing to test; that is not a peer that is missing
