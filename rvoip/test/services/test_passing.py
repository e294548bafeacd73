"""Media relays and session timers by configuration, in a role in memory."""

from __future__ import annotations

from typing import Any

from rvoip.common.errors import ConfigError
from rvoip.services.compose import SIPRole
from rvoip.services.passing import PassingService
from rvoip.test.mediacontrol.engine import FakeEngine
from rvoip.test.services.roles import RoleCase

ENGINE = "127.0.64.51"


def passing(role: SIPRole) -> PassingService:
    assert role.passing is not None
    return role.passing


class ConfigTests(RoleCase):
    def test_mistakes(self) -> None:
        for text, said in (
            ('rtpengine = "127.0.0.1:22222"', "proxy.rtpengine: '127.0.0.1:22222' is not udp:ADDRESS:PORT"),
            ('rtpengine = ["udp:127.0.0.1:1", "udp:host:1"]', "proxy.rtpengine: 'udp:host:1' has no numeric"),
            ("session_expires = 120\nmin_se = 300", "proxy.session_expires: is below min_se"),
        ):
            with self.assertRaises(ConfigError) as caught:
                self.make(f"[proxy]\n{text}\n")
            self.assertIn(said, str(caught.exception))

    def test_nothing_to_do(self) -> None:
        role = self.make()
        assert role.proxy is not None
        self.assertIsNone(role.proxy.passing)


class RunningTests(RoleCase):
    def start(self, more: str = "") -> SIPRole:
        self.engine = FakeEngine(ENGINE)
        port = self.reactor.listenUDP(22222, self.engine, ENGINE)
        self.addCleanup(port.stopListening)
        role = self.run_role(
            f'[proxy]\nrtpengine = "udp:{ENGINE}:22222"\n{more}[registrar]\nauthenticate = false\n'
        )
        self.alice = self.phone("alice@example.test", "127.0.64.21")
        self.bob = self.phone("bob@example.test", "127.0.64.22")
        for phone in (self.alice, self.bob):
            self.reactor.result_of(phone.register())
        return role

    def commands(self) -> list[str]:
        return [command for command, _ in self.engine.commands if command != "ping"]

    def established(self) -> Any:
        call = self.alice.call("sip:bob@example.test")
        self.reactor.result_of(call.established())
        return call

    def test_a_call(self) -> None:
        self.start()
        call = self.established()
        self.reactor.result_of(call.bye())
        self.reactor.advance(1.0)
        self.assertEqual(self.commands(), ["offer", "answer", "delete"])
        self.assertEqual(self.engine.calls, set())

    def test_ended_by_the_operator(self) -> None:
        """No BYE of the ends passes: the relay is told all the same."""
        self.start()
        self.established()
        ((call_id,),) = [self.engine.calls]
        (listed,) = self.client.ask("GET", "/v1/dialogs").json["dialogs"]
        self.assertEqual(self.client.ask("DELETE", f"/v1/dialogs/{listed['id']}").status, 200)
        self.reactor.advance(1.0)
        self.assertEqual(self.engine.calls, set())
        self.assertIn(("delete", call_id), self.engine.commands)

    def test_reload(self) -> None:
        """Relays come and go; a file with a mistake changes nothing."""
        role = self.start()
        path = self.folder / "role.toml"
        text = path.read_text()
        assert role.proxy is not None
        path.write_text(text.replace(f"udp:{ENGINE}:22222", "nonsense"))
        role.reload()
        self.established()
        self.assertEqual(self.commands(), ["offer", "answer"])
        path.write_text(text.replace(f"udp:{ENGINE}:22222", ""))
        role.reload()
        self.assertIsNone(role.proxy.passing)
        path.write_text(
            text.replace(f"udp:{ENGINE}:22222", "").replace("[proxy]\n", "[proxy]\nsession_expires = 600\n")
        )
        role.reload()
        self.established()
        self.assertEqual(self.commands(), ["offer", "answer"])
        (invite,) = [one for one in self.bob.received("INVITE") if one.get("session-expires")]
        self.assertEqual(invite.get("session-expires"), "600")

    def test_options(self) -> None:
        self.start('rtpengine_options = {ICE = "remove", flags = ["record-call"]}\n')
        self.established()
        offer = next(one for one in self.engine.arguments if one["command"] == b"offer")
        self.assertEqual((offer["ICE"], offer["flags"]), (b"remove", [b"loop-protect", b"record-call"]))
