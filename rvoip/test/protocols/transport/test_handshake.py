"""Which requests open a WebSocket, and what the others are told."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.transport.handshake import Refusal, WebSocketRules

GOOD = {
    b"host": b"example.test",
    b"upgrade": b"websocket",
    b"connection": b"keep-alive, Upgrade",
    b"sec-websocket-version": b"13",
    b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
    b"sec-websocket-protocol": b"sip",
}


def judge(
    rules: WebSocketRules | None = None, method: bytes = b"GET", target: bytes = b"/", **change: bytes | None
) -> int:
    """The status of the answer; headers are changed or left out (None) by name with underscores."""
    headers = dict(GOOD)
    for name, value in change.items():
        key = name.replace("_", "-").encode()
        if value is None:
            headers.pop(key)
        else:
            headers[key] = value
    refusal = (rules or WebSocketRules()).judge(method, target, list(headers.items()))
    return 101 if refusal is None else refusal.status


class RuleTests(SynchronousTestCase):
    def test_good(self) -> None:
        self.assertEqual(judge(), 101)
        self.assertEqual(judge(upgrade=b"WebSocket", connection=b"upgrade"), 101)
        self.assertEqual(judge(sec_websocket_protocol=b"msrp, sip"), 101)
        for target in (b"/ws", b"/sip", b"/?token=1", b"/ws?"):
            self.assertEqual(judge(target=target), 101, target)

    def test_bad(self) -> None:
        self.assertEqual(judge(method=b"POST"), 405)
        for target in (b"/other", b"*", b"//", b"/ws/", b"http://example.test/", b"/\xff"):
            self.assertEqual(judge(target=target), 404, target)
        for change in (
            {"upgrade": None},
            {"upgrade": b"h2c"},
            {"connection": None},
            {"connection": b"close"},
            {"sec_websocket_version": None},
            {"sec_websocket_version": b"8"},
            {"sec_websocket_version": b"13, 8"},
        ):
            self.assertEqual(judge(**change), 426, change)
        for change in (
            {"sec_websocket_key": None},
            {"sec_websocket_key": b"short=="},
            {"sec_websocket_key": b"dGhlIHNhbXBsZSBub25jZQ==\x85"},
            {"sec_websocket_key": "dGhlIHNhbXBsZSBub25jZ\u0660==".encode()},
            {"sec_websocket_protocol": None},
            {"sec_websocket_protocol": b"sipx, xsip"},
        ):
            self.assertEqual(judge(**change), 400, change)

    def test_two_keys(self) -> None:
        headers = [*GOOD.items(), (b"sec-websocket-key", GOOD[b"sec-websocket-key"])]
        refusal = WebSocketRules().judge(b"GET", b"/", headers)
        assert refusal is not None
        self.assertEqual(refusal.status, 400)

    def test_origins(self) -> None:
        """Whoever names none is no browser; every origin that is named must be let in."""
        listed = WebSocketRules(["https://app.example.test", "HTTP://localhost:8080/"])
        for origin, status in (
            (None, 101),
            (b"https://app.example.test", 101),
            (b"https://APP.example.test", 101),
            (b"http://localhost:8080", 101),
            (b"https://app.example.test:8443", 403),
            (b"http://app.example.test", 403),
            (b"https://app.example.test.evil.test", 403),
            (b"https://evil.test", 403),
            (b"null", 403),
            (b"", 403),
        ):
            change = {} if origin is None else {"origin": origin}
            self.assertEqual(judge(listed, **change), status, origin)
        self.assertEqual(judge(origin=b"https://app.example.test"), 403, "none is let in by default")
        self.assertEqual(judge(WebSocketRules(["*"]), origin=b"https://evil.test"), 101)
        headers = [*GOOD.items(), (b"origin", b"http://localhost:8080"), (b"origin", b"https://evil.test")]
        refusal = listed.judge(b"GET", b"/", headers)
        assert refusal is not None
        self.assertEqual(refusal.status, 403)

    def test_the_site_is_named(self) -> None:
        """For whoever has to write it into `ws_origins`; what else it may be stays in one line."""
        for origin, shown in (
            (b"https://evil.test", "https://evil.test"),
            (b"\xff\n\x1b[31m", "\\xff\\n\\x1b[31m"),
            (b"x" * 5000, "x" * 100),
        ):
            refusal = WebSocketRules().judge(b"GET", b"/", [*GOOD.items(), (b"origin", origin)])
            assert refusal is not None
            self.assertEqual(refusal.reason, f"scripts of {shown} are not let in: see ws_origins")

    def test_origins_change(self) -> None:
        rules = WebSocketRules()
        rules.origins = ["https://app.example.test"]
        self.assertEqual(judge(rules, origin=b"https://app.example.test"), 101)

    def test_an_answer(self) -> None:
        self.assertEqual(
            Refusal(405, "a WebSocket is opened with GET", (("Allow", "GET"),)).to_bytes(),
            b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: 31\r\nConnection: close\r\n\r\na WebSocket is opened with GET\n",
        )
