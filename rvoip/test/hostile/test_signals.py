"""SIGTERM and SIGHUP while phones are busy."""

from __future__ import annotations

import signal
import ssl
import threading
import time
from collections.abc import Callable
from typing import Self

from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.hostile.case import ATTACKER, PASSWORDS, QUICK, register
from rvoip.test.hostile.server import DOMAIN, Server, own_host
from rvoip.test.hostile.wire import (
    Datagrams,
    Message,
    Stream,
    authorization,
    by_call,
    challenges,
    request,
    response,
)
from rvoip.testing.certificates import Authority

BOB = f"sip:bob@{DOMAIN}"


class SignalCase(SynchronousTestCase):
    """Each test has a server of its own: most of them end it."""

    def serve(self, tables: str = "[registrar]\n", **more: object) -> Server:
        server = Server(own_host(), tables=tables, sip=QUICK, users=PASSWORDS, **more)  # type: ignore[arg-type]
        self.addCleanup(server.close)
        return server

    def start(self, server: Server) -> Server:
        server.start()
        server.add_users()
        return server

    def phone(self, server: Server, host: str = ATTACKER) -> Datagrams:
        made = Datagrams(host, server.address)
        self.addCleanup(made.socket.close)
        return made

    def ask(self, phone: Datagrams, wire: bytes, patience: float = 2.0) -> Message:
        phone.send(wire)
        answer = phone.wait(by_call(Message(wire).get("call-id")), patience)
        assert answer is not None, f"no answer to {wire[:60]!r}"
        return answer


class TerminateTests(SignalCase):
    def ringing(self, server: Server) -> tuple[Datagrams, Datagrams, Message]:
        """A call that rings: the caller, the phone, and the INVITE as it got there."""
        alice, bob = self.phone(server), self.phone(server, "127.0.71.201")
        register(server, bob, "bob", f"<sip:bob@{bob.sent_by}>")
        alice.send(request("INVITE", BOB, call_id="ringing", sent_by=alice.sent_by))
        invite = bob.wait(lambda message: message.method == "INVITE", 2.0)
        assert invite is not None
        bob.send(response(invite, 180, "Ringing"))
        self.assertIsNotNone(alice.wait(by_call("ringing", 180), 2.0))
        return alice, bob, invite

    def draining(self, server: Server) -> None:
        server.signal(signal.SIGTERM)
        ends = time.monotonic() + 5.0
        while "Draining" not in server.log():
            self.assertLess(time.monotonic(), ends)
            time.sleep(0.01)

    def test_drain(self) -> None:
        """New work is refused, what was begun is finished, then the process is gone."""
        server = self.start(self.serve())
        alice, bob, invite = self.ringing(server)
        connection = Stream(ATTACKER, server.address)
        self.addCleanup(connection.socket.close)
        self.draining(server)
        stranger = self.phone(server)
        for method, uri in (
            ("INVITE", BOB),
            ("OPTIONS", f"sip:{DOMAIN}"),
            ("REGISTER", f"sip:{DOMAIN}"),
            ("MESSAGE", BOB),
        ):
            answer = self.ask(stranger, request(method, uri, sent_by=stranger.sent_by))
            self.assertEqual(answer.status, 503, method)
            self.assertTrue(5 <= int(answer.get("retry-after")) <= 30, answer.wire)
        connection.send(request("OPTIONS", f"sip:{DOMAIN}", transport="TCP", sent_by=connection.sent_by))
        answer_by_tcp = connection.receive(2.0)
        assert answer_by_tcp is not None
        self.assertEqual(answer_by_tcp.status, 503)
        self.assertEqual(bob.drain(0.0), [])
        self.assertTrue(server.alive)
        # The call that rings is answered.
        began = time.monotonic()
        bob.send(response(invite, 200, "OK", f"Contact: <sip:bob@{bob.sent_by}>"))
        accepted = alice.wait(by_call("ringing"), 2.0)
        assert accepted is not None
        self.assertEqual(accepted.status, 200)
        # It is waited for until it ends.
        time.sleep(1.5)
        self.assertTrue(server.alive)
        self.hang_up(alice, bob, accepted)
        self.assertEqual(server.wait(5.0), -signal.SIGTERM)
        self.assertLess(time.monotonic() - began, 6.5)
        self.assertNotIn("Traceback", server.log())
        self.assertEqual(server.log().count("Draining: no new work is taken"), 1)

    def test_within_a_dialog(self) -> None:
        """While it drains, a call that is up is waited for, and can be ended."""
        server = self.start(self.serve())
        alice, bob, invite = self.ringing(server)
        bob.send(response(invite, 200, "OK", f"Contact: <sip:bob@{bob.sent_by}>"))
        accepted = alice.wait(by_call("ringing"), 2.0)
        assert accepted is not None
        self.draining(server)
        self.assertIn("calls that are up: 1", server.log())
        time.sleep(1.5)
        self.hang_up(alice, bob, accepted)
        self.assertEqual(server.wait(5.0), -signal.SIGTERM)

    def hang_up(self, alice: Datagrams, bob: Datagrams, accepted: Message) -> None:
        routes = [f"Route: {value}" for value in reversed(accepted.all("record-route"))]
        bye = request(
            "BYE",
            f"sip:bob@{bob.sent_by}",
            *routes,
            call_id="ringing",
            to=accepted.get("to"),
            sent_by=alice.sent_by,
            cseq="2 BYE",
        )
        alice.send(bye)
        got = bob.wait(lambda message: message.method == "BYE", 2.0)
        assert got is not None
        bob.send(response(got, 200, "OK"))
        over = alice.wait(lambda message: message.get("cseq") == "2 BYE", 2.0)
        assert over is not None
        self.assertEqual(over.status, 200)

    def test_what_does_not_end(self) -> None:
        """A call that rings on is waited for as long as `drain_max` says, not longer."""
        server = self.start(self.serve("[registrar]\n[service]\ndrain_max = 1.5\n"))
        self.ringing(server)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(8.0), -signal.SIGTERM)
        took = time.monotonic() - began
        self.assertTrue(1.4 < took < 4.5, took)

    def test_second_signal(self) -> None:
        """It ends at once."""
        server = self.start(self.serve())
        self.ringing(server)
        self.draining(server)
        time.sleep(0.3)
        self.assertTrue(server.alive)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(5.0), -signal.SIGTERM)
        self.assertLess(time.monotonic() - began, 1.0)

    def test_idle(self) -> None:
        """Nothing to wait for; registrations are stored, and are there again."""
        server = self.start(self.serve('[registrar]\n[location]\nstore = "sqlite:location.db"\n'))
        bob = self.phone(server, "127.0.71.201")
        register(server, bob, "bob", f"<sip:bob@{bob.sent_by}>")
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(5.0), -signal.SIGTERM)
        self.assertLess(time.monotonic() - began, 2.5)
        left = {path.name for path in server.folder.iterdir()}
        self.assertEqual(
            {name for name in left if "-wal" in name or "-shm" in name or ".sock" in name}, set()
        )
        server.start()
        status, answer = server.api("GET", f"/v1/bindings/bob@{DOMAIN}")
        self.assertEqual((status, len(answer["bindings"])), (200, 1))


class Traffic:
    """A phone that registers without pause, in a thread; `failed` are the answers that were not due."""

    def __init__(self, server: Server, user: str) -> None:
        self._phone = Datagrams("127.0.71.202", server.address)
        self._user = user
        self.done = 0
        self.failed: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._phone.socket.close()

    def _run(self) -> None:
        given: list[str] = []
        challenge: dict[str, str] = {}
        count = cseq = 0
        while not self._over.is_set():
            cseq += 1
            if challenge:
                count += 1
                password, uri = PASSWORDS[self._user], f"sip:{DOMAIN}"
                credentials = authorization(challenge, self._user, password, "REGISTER", uri, f"{count:08x}")
                given = [f"Authorization: {credentials}"]
            aor = f"<sip:{self._user}@{DOMAIN}>"
            wire = request(
                "REGISTER",
                f"sip:{DOMAIN}",
                f"Contact: <sip:{self._user}@{self._phone.sent_by}>",
                *given,
                sent_by=self._phone.sent_by,
                sender=f"{aor};tag=t",
                to=aor,
                call_id="traffic",
                cseq=f"{cseq} REGISTER",
            )
            self._phone.send(wire)
            answer = self._phone.wait(lambda message: message.status >= 200, 2.0)
            if answer is None:
                self.failed.append("nothing")
            elif answer.status == 401:
                if count > 1:
                    self.failed.append(answer.head)
                challenge, count = challenges(answer)["MD5"], 0
            elif answer.status != 200:
                self.failed.append(answer.head)
            else:
                self.done += 1


class HangUpTests(SignalCase):
    def reload(self, server: Server, text: str, says: str) -> None:
        """Write the configuration, send SIGHUP and wait for the line in the log."""
        before = server.log().count(says)
        server.config.write_text(text, encoding="utf-8")
        server.signal(signal.SIGHUP)
        ends = time.monotonic() + 5.0
        while server.log().count(says) == before:
            self.assertTrue(server.alive)
            self.assertLess(time.monotonic(), ends, server.log()[-1000:])
            time.sleep(0.01)

    def test_under_traffic(self) -> None:
        """Thirty of them, good and broken ones, and no registration fails."""
        server = self.start(self.serve())
        with Traffic(server, "alice") as traffic:
            for number in range(30):
                if number % 3 == 2:
                    broken = ("[sip\n", "[sip]\nt1 = 'x'\n", "[nothing]\n")[number // 3 % 3]
                    self.reload(server, server.text + broken, "Configuration not reloaded: rvoip.toml: ")
                else:
                    more = f"min_expires = {60 + number}\n"
                    self.reload(server, server.text + more, "Configuration reloaded from rvoip.toml")
                time.sleep(0.05)
        self.assertEqual(traffic.failed, [])
        self.assertGreater(traffic.done, 50)
        self.assertNotIn("Traceback", server.log())

    def test_what_changes(self) -> None:
        """Rules of a good file hold from now on; a broken one changes nothing, and is told of."""
        server = self.start(self.serve("[registrar]\nauthenticate = false\n"))
        bob = self.phone(server)

        def granted(seconds: int) -> int:
            aor = f"<{BOB}>"
            wire = request(
                "REGISTER",
                f"sip:{DOMAIN}",
                f"Contact: <sip:bob@{bob.sent_by}>;expires={seconds}",
                sent_by=bob.sent_by,
                sender=f"{aor};tag=1",
                to=aor,
            )
            return self.ask(bob, wire).status

        self.assertEqual(granted(70), 200)
        self.reload(server, server.text + "min_expires = 100\n", "Configuration reloaded")
        self.assertEqual(granted(70), 423)
        self.reload(
            server,
            server.text + "min_expires = 10\nmax_contact = 3\n",
            "rvoip.toml: registrar.max_contact: unknown key; did you mean max_contacts?",
        )
        self.assertEqual(granted(70), 423)
        server.config.unlink()
        server.signal(signal.SIGHUP)
        self.until(lambda: "cannot be read" in server.log())
        self.assertEqual(granted(70), 423)

    def until(self, true: Callable[[], bool]) -> None:
        ends = time.monotonic() + 5.0
        while not true():
            self.assertLess(time.monotonic(), ends)
            time.sleep(0.01)

    def test_certificates(self) -> None:
        """New connections see the new certificate; those that are open do not notice."""
        authority = Authority()
        server = self.serve('[registrar]\n[tls]\ncertificate = "t.pem"\nprivate_key = "t.key"\n', tls=True)
        authority.issue("old.test").write(server.folder, "t")
        self.start(server)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE

        def shown(stream: Stream) -> bytes:
            assert isinstance(stream.socket, ssl.SSLSocket)
            return stream.socket.getpeercert(True) or b""

        def served(stream: Stream) -> bool:
            stream.send(request("OPTIONS", f"sip:{DOMAIN}", transport="TLS", sent_by=stream.sent_by))
            answer = stream.receive(2.0)
            return answer is not None and answer.status == 200

        with Stream(ATTACKER, server.tls_address, context) as first:
            self.assertTrue(served(first))
            self.assertIn(b"old.test", shown(first))
            authority.issue("new.test").write(server.folder, "t")
            self.reload(server, server.text, "Configuration reloaded")
            self.assertTrue(served(first))
            with Stream(ATTACKER, server.tls_address, context) as second:
                self.assertIn(b"new.test", shown(second))
                (server.folder / "t.pem").write_text("nothing", encoding="utf-8")
                self.reload(server, server.text, "t.pem: no PEM certificate")
                self.assertTrue(served(first))
                self.assertTrue(served(second))
            with Stream(ATTACKER, server.tls_address, context) as third:
                self.assertIn(b"new.test", shown(third))
                self.assertTrue(served(third))
