"""Bodies that are bombs for whoever opens them: SDP, multipart, XML, JSON, packed ones."""

from __future__ import annotations

import gzip
import json

from rvoip.test.hostile.case import CPU_S, HostileCase, register
from rvoip.test.hostile.server import DOMAIN
from rvoip.test.hostile.wire import Callee, Stream, request

LARGEST = 60_000
"""What fits into a datagram with the headers."""


def session(media: int, attributes: int = 0) -> bytes:
    """An SDP of so many m-lines, each with so many attributes."""
    lines = ["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0"]
    for _ in range(media):
        lines.append("m=audio 49170 RTP/AVP 0")
        lines += ["a=ptime:-1", "a=rtpmap:0 PCMU/" + "9" * 40][:attributes]
    return "\r\n".join([*lines, ""]).encode()


def nested(depth: int) -> bytes:
    """A multipart body in a multipart body, `depth` times."""
    body = b"Content-Type: text/plain\r\n\r\nhi"
    for level in range(depth):
        boundary = b"b%d" % level
        inner = b"--" + boundary + b"\r\n" + body + b"\r\n--" + boundary + b"--\r\n"
        body = b"Content-Type: multipart/mixed;boundary=" + boundary + b"\r\n\r\n" + inner
    return body.partition(b"\r\n\r\n")[2]


def parts(count: int) -> bytes:
    """A multipart body of so many parts."""
    return b"--b\r\n\r\nx\r\n" * count + b"--b--\r\n"


ENTITIES = b"""<?xml version="1.0"?>
<!DOCTYPE presence [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">
<!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;"><!ENTITY f SYSTEM "file:///etc/passwd">]>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@example.test">
<tuple id="&e;"><note>&f;</note></tuple></presence>
"""

BOMBS: dict[str, tuple[str, bytes]] = {
    "100 m-lines": ("application/sdp", session(100)),
    "2,000 m-lines": ("application/sdp", session(2000)),
    "bad numbers": ("application/sdp", session(100, 2)),
    "one line of SDP": ("application/sdp", b"v=0\r\na=" + b"fmtp:" * 11_000),
    "SDP of blank lines": ("application/sdp", b"\r\n" * 29_000),
    "50 levels": ("multipart/mixed;boundary=b49", nested(50)),
    "500 levels": ("multipart/mixed;boundary=b499", nested(500)),
    "5,000 parts": ("multipart/mixed;boundary=b", parts(5000)),
    "no boundary": ("multipart/mixed", parts(10)),
    "a long boundary": ("multipart/mixed;boundary=" + "b" * 5000, b"--b" * 9000),
    "XML entities": ("application/pidf+xml", ENTITIES),
    "deep JSON": ("application/json", b"[" * 50_000),
    "octets": ("application/octet-stream", bytes(range(256)) * 200),
}


class BombTests(HostileCase):
    """What no role here has a reason to open is not opened."""

    def test_to_the_server_itself(self) -> None:
        for name in self.servers:
            server = self.serve(name)
            for bomb, (kind, body) in BOMBS.items():
                for method in ("OPTIONS", "REGISTER", "PUBLISH", "INVITE"):
                    for transport in ("UDP", "TCP"):
                        wire = request(
                            method,
                            f"sip:{DOMAIN}",
                            f"Content-Type: {kind}",
                            body=body[:LARGEST],
                            transport=transport,
                        )
                        answers = self.exchange(server, wire, transport)
                        with self.subTest(server=name, bomb=bomb, method=method, transport=transport):
                            self.assertEqual(len(answers), 1)
                            self.assertTrue(
                                answers[0].status == 200 or 400 <= answers[0].status < 500, answers
                            )
                            self.assertNotIn(b"root:", answers[0].wire)

    def test_through_the_proxy(self) -> None:
        """They arrive as they are, octet for octet."""
        server = self.serve("proxy")
        with Callee("127.0.71.201", server.address) as bob:
            register(server, bob, "bob", f"<sip:bob@{bob.sent_by};transport=udp>")
            bob.answer()
            for kind, body in BOMBS.values():
                for method in ("INVITE", "MESSAGE"):
                    used = server.cpu()
                    wire = request(
                        method,
                        f"sip:bob@{DOMAIN}",
                        f"Content-Type: {kind}",
                        body=body[:LARGEST],
                        sent_by=bob.sent_by,
                    )
                    self.exchange(server, wire)
                    self.wait_for(lambda: any(each.body for each in bob.got))
                    (got,) = [each for each in bob.take() if each.method != "ACK"]
                    self.assertEqual(got.body, body[:LARGEST])
                    self.assertLess(server.cpu() - used, CPU_S)
        self.check_nothing_left(server)

    def test_ten_megabytes(self) -> None:
        """Over TCP: 413 when the length is told, and the connection ends; the octets are not kept."""
        body = b"x" * 10_000_000
        for name in self.servers:
            server = self.serve(name)
            self.exchange(
                server, request("OPTIONS", f"sip:{DOMAIN}", body=b"x" * LARGEST, transport="TCP"), "TCP"
            )
            before, used = server.pss(), server.cpu()
            for length, status in (("9999999", 413), ("10000000", 413), (None, None)):
                with Stream("127.0.71.200", server.address) as stream:
                    stream.send(request("OPTIONS", f"sip:{DOMAIN}", length=length, transport="TCP"))
                    if status is not None:
                        answer = stream.receive(2.0)
                        assert answer is not None
                        self.assertEqual(answer.status, status)
                    stream.send(body)
                    self.assertTrue(stream.closed(2.0))
            self.assertLess(server.pss() - before, 2 << 20)
            self.assertLess(server.cpu() - used, 3 * CPU_S)


class PackedTests(HostileCase):
    """A packed body is refused by whoever would have to unpack it (RFC 3261 section 8.2.3)."""

    def test_gzip(self) -> None:
        bomb = gzip.compress(b"\0" * 20_000_000)
        for name in self.servers:
            server = self.serve(name)
            for method in ("OPTIONS", "REGISTER"):
                for line in (
                    "Content-Encoding: gzip",
                    "e: gzip",
                    "Content-Encoding: deflate, gzip",
                    "e:GZIP",
                ):
                    wire = request(method, f"sip:{DOMAIN}", line, "Content-Type: application/sdp", body=bomb)
                    (answer,) = self.exchange(server, wire)
                    self.assertEqual(
                        (answer.status, answer.get("accept-encoding")), (415, "identity"), wire[:400]
                    )

    def test_not_packed(self) -> None:
        for name in self.servers:
            server = self.serve(name)
            wire = request("OPTIONS", f"sip:{DOMAIN}", "Content-Encoding: identity", body=b"x")
            (answer,) = self.exchange(server, wire)
            self.assertEqual(answer.status, 200)

    def test_the_http_api(self) -> None:
        server = self.serve("proxy")
        before = server.pss()
        bomb = gzip.compress(b"[" * 20_000_000)
        status, _ = server.api("POST", "/v1/users", bomb, {"Content-Encoding": "gzip"})
        self.assertEqual(status, 415)
        self.assertLess(server.pss() - before, 2 << 20)


class JSONTests(HostileCase):
    """What the HTTP API does with documents that break readers."""

    def test_documents(self) -> None:
        server = self.serve("proxy")
        good = {"user": "u", "domain": DOMAIN, "password": "p" * 12}
        documents = [
            b"[" * 1000 + b"]" * 1000,
            b"[" * 100_000,
            b'{"user":' * 1000 + b"1" + b"}" * 1000,
            b'{"user": "' + b"x" * 100_000 + b'"}',
            b'{"user": ' + b"9" * 5000 + b"}",
            b'{"user": 1e999, "domain": null, "password": NaN}',
            json.dumps(good | {"roles": [[[[[]]]]]}).encode(),
            json.dumps(good | {"unknown": 1}).encode(),
            json.dumps(good | {"user": "a\0b\r\nX: y"}).encode(),
            json.dumps(good | {"user": "\ud800"}).encode(),
            json.dumps(good | {"domain": "a" * 10_000}).encode(),
            json.dumps(good | {"password": "p" * 60_000}).encode(),
            b'{"user": "a", "user": "b"}',
            b"\xff\xfe\x00",
            b"",
            b"null",
        ]
        for document in documents:
            used = server.cpu()
            status, answer = server.api("POST", "/v1/users", document)
            self.assertTrue(400 <= status < 500, (status, answer, document[:80]))
            self.assertLess(server.cpu() - used, CPU_S)
        status, listed = server.api("GET", "/v1/users")
        self.assertEqual({user["user"] for user in listed["users"]}, {"alice", "bob"})

    def test_too_much(self) -> None:
        server = self.serve("proxy")
        before = server.pss()
        status, _ = server.api("POST", "/v1/users", b" " * 20_000_000)
        self.assertEqual(status, 413)
        self.assertLess(server.pss() - before, 2 << 20)
