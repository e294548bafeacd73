"""Tests of what a running role takes from a changed configuration."""

from __future__ import annotations

from rvoip.services.config import load
from rvoip.test.services.roles import RoleCase

OPEN = "[registrar]\nauthenticate = false\n"


class ReloadTests(RoleCase):
    """Registrations before and after."""

    def test_rules_of_registration(self) -> None:
        """Both the answer to a new registration and that to a refresh follow the new Service-Route."""
        role = self.run_role(OPEN, "registrar")
        phone = self.phone("bob@example.test", "127.0.0.8")
        first = self.reactor.result_of(phone.register())
        path = self.folder / "role.toml"
        text = path.read_text(encoding="utf-8") + 'service_route = ["sip:edge.example.test;lr"]\n'
        path.write_text(text, encoding="utf-8")
        role.apply(load(str(path), "registrar", {}), str(path))
        refresh = self.reactor.result_of(phone.register())
        other = self.reactor.result_of(self.phone("al@example.test", "127.0.0.7").register())
        route = ["<sip:edge.example.test;lr>"]
        self.assertEqual([one.values("service-route") for one in (first, refresh, other)], [[], route, route])
