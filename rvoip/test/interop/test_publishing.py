"""Events to brokers that are not ours: what they hear, and what becomes of it while they are away."""

from __future__ import annotations

from rvoip.test.interop.brokers import NATS, Broker, Mosquitto, RabbitMQ
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN, Role


class PublishingTests(InteropTestCase):
    """Each broker hears of a registration and a call, and after a restart of what it missed."""

    limit = 90

    def publish(self, broker: Broker) -> Role:
        self.addCleanup(broker.close)
        return self.role(tables={"events": f'url = "{broker.url}"'})

    def check(self, broker: Mosquitto | NATS | RabbitMQ, separator: str, prefix: str) -> None:
        broker.subscribe()
        role = self.publish(broker)
        role.expected.append(r"\[events\]")
        bob = self.sipp("uas", name="bob")
        self.binds(role, "bob", bob.contact)
        self.sipp("uac", role.address, name="alice").succeed()

        def kinds() -> list[str]:
            return [event["kind"] for _, event in broker.heard()]

        until(lambda: "call.ended" in kinds(), "the call is heard of")
        self.assertEqual(kinds(), ["registration.created", "call.answered", "call.ended"])
        for topic, event in broker.heard():
            self.assertEqual(topic, prefix + event["kind"].replace(".", separator))
            self.assertEqual(event["role"], "proxy")
        self.assertEqual(broker.heard()[0][1]["aor"], f"bob@{DOMAIN}")
        # While it is away calls go on; what it has missed it is told once it is back.
        broker.close()
        self.binds(role, "carol", bob.contact, name="while-away")
        broker.start()
        broker.subscribe()
        seen = until_heard(broker, "carol")
        self.assertEqual(seen["kind"], "registration.created")
        self.assertEqual(role.get("/v1/status")["bindings"], 2)

    def test_mosquitto(self) -> None:
        self.check(Mosquitto(self.folder, self.host()), "/", "rvoip/")

    def test_nats(self) -> None:
        self.check(NATS(self.folder, self.host()), ".", "rvoip.")

    def test_rabbitmq(self) -> None:
        self.check(RabbitMQ(self.folder, self.host()), ".", "")


def until_heard(broker: Mosquitto | NATS | RabbitMQ, user: str) -> dict[str, object]:
    """The event of a user's registration, when it has come."""

    def found() -> list[dict[str, object]]:
        return [event for _, event in broker.heard() if event.get("aor") == f"{user}@{DOMAIN}"]

    until(lambda: bool(found()), f"{user} is heard of", 30)
    return found()[0]
