"""What an operator does while calls go on: reload, end a call, look at the way of one, count them."""

from __future__ import annotations

import csv
import json
import signal
import time

from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.case import HOST, InteropTestCase
from rvoip.test.interop.collector import Collector
from rvoip.test.interop.postgresql import PostgreSQLServer
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN, Role

BOB = f"sip:bob@{DOMAIN}"


class ReloadTests(InteropTestCase):
    """SIGHUP while there is traffic."""

    def test_no_call_fails(self) -> None:
        """50 calls a second, and twice a second another configuration, or a broken one."""
        role = self.role(tables={"log": "activity = false", "trace": "keep = 50", "service": "drain_max = 5"})
        bob = self.sipp("uas", calls=250, rate=50)
        self.binds(role, "bob", bob.contact)
        alice = self.sipp("uac", role.address, calls=250, rate=50, keys={"callee": "bob"}, patience=40)
        text = role.config.read_text()
        for number in range(10):
            changed = text.replace("keep = 50", f"keep = {50 + number}")
            changed = changed.replace("[registrar]\n", f"[registrar]\nmax_contacts = {10 + number}\n")
            if number % 5 == 4:
                changed += "[nonsense]\n"
            role.config.write_text(changed)
            mark = role.process.mark
            role.hang_up()
            role.process.wait_for("Configuration (not )?reloaded", after=mark)
            time.sleep(0.5)
        alice.succeed()
        bob.succeed()
        role.expected.append("Configuration not reloaded")
        self.assertEqual(role.process.output.count("Configuration reloaded"), 8)


class RestartTests(InteropTestCase):
    """A new process on the same sockets."""

    def test_no_call_fails(self) -> None:
        """20 calls a second over two restarts; a phone with a call up hangs up at the third process."""
        role = self.role(
            tables={"log": "activity = false", "service": "drain_max = 10"}, activated=True, name="first"
        )
        carol, dave = self.baresip(role, "carol"), self.baresip(role, "dave")
        carol.call(f"sip:dave@{DOMAIN}")
        dave.rings()
        dave.answer()
        carol.talks()
        dave.talks()
        bob = self.sipp("uas", calls=160, rate=20, patience=40)
        self.binds(role, "bob", bob.contact)
        alice = self.sipp("uac", role.address, calls=160, rate=20, patience=40)
        for _ in range(2):
            time.sleep(2.0)
            self.assertEqual(role.process.stop(), -signal.SIGTERM)
            role.restart()
        alice.succeed()
        bob.succeed()
        carol.hang_up()
        dave.hung_up()


class CallTests(InteropTestCase):
    """Calls between phones."""

    def test_a_call_is_ended(self) -> None:
        """Each phone takes the BYE for one of the other's; the record says who did it."""
        role = self.role(tables={"records": 'csv = "calls.csv"\njsonl = "calls.jsonl"'})
        alice, bob = self.baresip(role, "alice"), self.pjsip(role, "bob", "tcp")
        alice.call(BOB)
        bob.rings()
        bob.answer()
        alice.talks()
        bob.talks()
        done = role.rvoip("status", "dialogs", "--json")
        (dialog,) = json.loads(done.stdout)
        self.assertIn("sip:alice@", dialog["caller"]["name"])
        self.assertTrue(dialog["callee"]["address"].startswith("tcp:"))
        done = role.rvoip("dialog", "end", dialog["id"])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("200 from the caller, 200 from the callee", done.stdout)
        alice.hung_up()
        bob.hung_up()
        self.assertEqual(json.loads(role.rvoip("dialog", "list", "--json").stdout), [])
        file = role.folder / "calls.csv"
        until(lambda: len(file.read_text().splitlines()) == 2, "a record")
        (row,) = csv.DictReader(file.read_text().splitlines())
        self.assertEqual((row["call_id"], row["end"]), (dialog["call_id"], "operator"))
        self.assertGreater(float(row["duration"]), 0.0)

    def test_a_call_that_was_held(self) -> None:
        """After re-INVITEs of both ends the CSeq numbers still fit."""
        role = self.role()
        alice, bob = self.baresip(role, "alice", "tcp"), self.baresip(role, "bob", "tls")
        alice.call(BOB)
        bob.rings()
        bob.answer()
        alice.talks()
        bob.talks()
        alice.hold()
        bob.receives(r"^INVITE [^\0]*^a=sendonly")
        bob.hold()
        alice.receives("^INVITE ")
        (dialog,) = role.get("/v1/dialogs")["dialogs"]
        done = role.rvoip("dialog", "end", dialog["id"][:6])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        alice.hung_up()
        bob.hung_up()


class RecordTests(InteropTestCase):
    """Records of calls in PostgreSQL."""

    limit = 90

    def test_the_database_dies(self) -> None:
        """Calls go on, their records wait, and each is there once when it is back."""
        database = PostgreSQLServer(self.folder, self.host())
        self.addCleanup(database.close)
        role = self.role(tables={"records": f'sql = "{database.url}"', "log": "activity = false"})
        for name in ("before", "during"):
            bob = self.sipp("uas", name=f"uas-{name}", calls=20)
            self.binds(role, "bob", bob.contact, name=f"register-{name}")
            alice = self.sipp("uac", role.address, name=f"uac-{name}", calls=20)
            alice.succeed()
            bob.succeed()
            if name == "before":
                until(lambda: database.execute("SELECT count(*) FROM calls") == "20", "records", 30)
                database.kill()
        role.said("Records of calls: ")
        role.expected.append("Records of calls: ")
        database.start()
        until(lambda: database.execute("SELECT count(*) FROM calls") == "40", "the other records", 30)
        found = database.execute('SELECT count(DISTINCT call_id), min("end"), max(status) FROM calls')
        self.assertEqual(found, "40|bye|200")


class LadderTests(InteropTestCase):
    """One ladder for the way through several elements."""

    def test_kamailio_tells_of_its_messages(self) -> None:
        """Its siptrace sends HEP3 to us: a call that it forwards to us is seen from one end to the other."""
        port = free_port(HOST)
        role = self.role(tables={"trace": f'hep_listen = "{HOST}:{port}"'})
        kamailio = self.kamailio(f"sip:{role.address}", trace=f"sip:{HOST}:{port}")
        bob = self.sipp("uas")
        self.binds(role, "bob", bob.contact)
        alice = self.sipp("uac", kamailio.address, keys={"callee": "bob"})
        alice.succeed()
        bob.succeed()
        (call_id,) = {
            line.split(": ")[1]
            for one in alice.sent("^INVITE ")
            for line in one.splitlines()
            if line.startswith("Call-ID")
        }
        hops = until(lambda: self.hops(role, call_id, "INVITE (SDP)"), "messages of Kamailio")
        self.assertEqual(
            hops,
            [
                (alice.contact, kamailio.address),
                (kamailio.address, role.address),
                (role.address, bob.contact),
            ],
        )
        self.assertEqual(
            self.hops(role, call_id, "200 OK (BYE)"),
            [
                (bob.contact, role.address),
                (role.address, kamailio.address),
                (kamailio.address, alice.contact),
            ],
        )
        drawn = role.rvoip("ladder", call_id, "--width", "160").stdout
        for place in (alice.contact, kamailio.address, role.address, bob.contact):
            self.assertIn(place.partition(":")[0], drawn)

    def test_a_collector_understands_us(self) -> None:
        """What sipcapture reads of our HEP3 is what went over the wire."""
        collector = Collector(self.folder, self.host())
        self.addCleanup(collector.close)
        role = self.role(tables={"trace": f'hep = "udp:{collector.address}"\nhep_id = 7'})
        bob = self.sipp("uas")
        self.binds(role, "bob", bob.contact)
        alice = self.sipp("uac", role.address)
        alice.succeed()
        bob.succeed()
        wanted = [
            (what, place) for what in ("INVITE", "ACK", "BYE") for place in (alice.contact, role.address)
        ]
        wanted += [(what, place) for what in ("180", "200", "200") for place in (bob.contact, role.address)]
        call_id = role.get("/v1/ladders")["calls"][0]["call_id"]

        def seen() -> list[tuple[str, str]]:
            return sorted(one[:2] for one in collector.captured if one.call_id == call_id)

        until(lambda: len(seen()) >= len(wanted), "the messages of the call")
        self.assertEqual(seen(), sorted(wanted))

    def hops(self, role: Role, call_id: str, summary: str) -> list[tuple[str, str]]:
        """From where to where a message went, once all three have been told of."""
        found = [
            (one["source"], one["destination"]) for one in role.ladder(call_id) if one["summary"] == summary
        ]
        return found if len(found) == 3 else []
