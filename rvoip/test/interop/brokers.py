"""Brokers of messages on loopback ports of their own, and what they have been told."""

from __future__ import annotations

import json
import os
import socket
from itertools import pairwise
from pathlib import Path
from typing import Any

from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.processes import Process, peer, run, until

__all__ = ["Mosquitto", "NATS", "RabbitMQ"]


class Broker:
    """A broker that keeps its files in FOLDER/NAME; it may be ended and started again on its port."""

    name = ""
    scheme = ""
    command: list[str]
    environment: dict[str, str]

    def __init__(self, folder: Path, host: str) -> None:
        self.host = host
        self.port = free_port(host)
        self.folder = folder / self.name
        self.folder.mkdir()
        self.environment = {}
        self.prepare()
        self.start()

    @property
    def url(self) -> str:
        """What a configuration says."""
        return f"{self.scheme}://guest:guest@{self.host}:{self.port}"

    def prepare(self) -> None:
        """Write files, and `command`."""
        raise AssertionError("each broker has its own")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self.process = Process(self.name, self.command, self.folder, environment=self.environment)
        until(self.answers, f"{self.name} answers", 30)

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            socket.create_connection((self.host, self.port), 1).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """End it at once."""
        self.process.kill()


class Mosquitto(Broker):
    """mosquitto, with mosquitto_sub as the subscriber."""

    name = "mosquitto"
    scheme = "mqtt"

    def prepare(self) -> None:
        """See `Broker`."""
        config = self.folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} {self.host}\nallow_anonymous true\npersistence false\n")
        self.command = [peer("mosquitto"), "-c", str(config)]
        self.environment = {"PATH": os.environ["PATH"]}

    def subscribe(self) -> None:
        """Hear all that is published from now on."""
        # Lines at once, also to a file.
        command = [
            peer("stdbuf"),
            "-oL",
            peer("mosquitto_sub"),
            "-h",
            self.host,
            "-p",
            str(self.port),
            "-t",
            "rvoip/#",
            "-q",
            "1",
        ]
        self.subscriber = Process("mosquitto_sub", [*command, "-F", "%t %p", "-d"], self.folder)
        self.subscriber.wait_for("received SUBACK")

    def heard(self) -> list[tuple[str, dict[str, Any]]]:
        """Topics and events."""
        lines = [line.partition(" ") for line in self.subscriber.output.split("\n")]
        return [(topic, json.loads(text)) for topic, _, text in lines if topic.startswith("rvoip/")]


class NATS(Broker):
    """nats-server; the subscriber is a socket, as its protocol is text."""

    name = "nats-server"
    scheme = "nats"

    def prepare(self) -> None:
        """See `Broker`."""
        self.command = [peer("nats-server"), "-a", self.host, "-p", str(self.port)]
        self.command += ["--user", "guest", "--pass", "guest"]

    def subscribe(self) -> None:
        """Hear all that is published from now on."""
        self.socket = socket.create_connection((self.host, self.port), 5)
        self.socket.sendall(b'CONNECT {"user": "guest", "pass": "guest"}\r\nSUB rvoip.> 1\r\nPING\r\n')
        self.data = b""
        until(lambda: b"PONG" in self._read(), "the subscription")

    def _read(self) -> bytes:
        self.socket.settimeout(0.05)
        try:
            self.data += self.socket.recv(65536)
        except TimeoutError:
            return self.data
        return self.data

    def heard(self) -> list[tuple[str, dict[str, Any]]]:
        """Subjects and events."""
        lines = self._read().decode().split("\r\n")
        pairs = pairwise(lines)
        return [(head.split(" ")[1], json.loads(body)) for head, body in pairs if head.startswith("MSG ")]

    def close(self) -> None:
        """End it, and the subscriber."""
        if hasattr(self, "socket"):
            self.socket.close()
        super().close()


class RabbitMQ(Broker):
    """rabbitmq-server as the user that runs the test, without plugins; pika is the subscriber."""

    name = "rabbitmq"
    scheme = "amqp"

    def prepare(self) -> None:
        """See `Broker`."""
        config = self.folder / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.1 = {self.host}:{self.port}\nloopback_users = none\n")
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / ".erlang.cookie").write_text("rvoip-tests")
        (self.folder / ".erlang.cookie").chmod(0o400)
        self.environment = {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"rvoip{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(config.with_suffix("")),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_DIST_PORT": str(free_port("127.0.0.1")),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(free_port("127.0.0.1")),
        }
        # The one in the path changes to a user of its own.
        peer("rabbitmq-server")
        self.command = ["/usr/lib/rabbitmq/bin/rabbitmq-server"]

    def close(self) -> None:
        """End it, and the name server of Erlang, which leaves the group of its processes."""
        super().close()
        port = self.environment["ERL_EPMD_PORT"]
        until(lambda: "Killed" in run(["epmd", "-port", port, "-kill"], self.folder).stdout, "its end")

    def subscribe(self) -> None:
        """Hear all that is published from now on."""
        import pika

        parameters = pika.ConnectionParameters(self.host, self.port)
        self.connection = pika.BlockingConnection(parameters)
        self.channel = self.connection.channel()
        self.channel.exchange_declare("rvoip", exchange_type="topic", durable=True)
        self.channel.queue_declare("heard", durable=True)
        self.channel.queue_bind("heard", "rvoip", "#")
        self.got: list[tuple[str, dict[str, Any]]] = []

    def heard(self) -> list[tuple[str, dict[str, Any]]]:
        """Routing keys and events."""
        while True:
            method, _, body = self.channel.basic_get("heard", auto_ack=True)
            if method is None:
                return self.got
            self.got.append((method.routing_key, json.loads(body)))
