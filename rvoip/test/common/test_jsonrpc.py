"""JSON-RPC 2.0: the examples of its specification, and what callers do wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.jsonrpc import BATCH_LIMIT, RPCError, RPCMethods


class RPCTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.methods = RPCMethods()
        self.notified: list[Any] = []
        self.waiting: Deferred[int] = Deferred()

        def subtract(minuend: int, subtrahend: int) -> int:
            return minuend - subtrahend

        def refuse(code: int) -> None:
            raise RPCError(code, "no", {"why": "because"})

        def break_down() -> None:
            raise ZeroDivisionError("a secret")

        async def later() -> int:
            return await self.waiting

        for name, function in (
            ("subtract", subtract),
            ("sum", lambda *numbers: sum(numbers)),
            ("notify", lambda *what: self.notified.append(what)),
            ("get_data", lambda: ["hello", 5]),
            ("refuse", refuse),
            ("break_down", break_down),
            ("later", later),
            ("surrogate", lambda: "\udcff"),
        ):
            self.methods.add(name, function)

    def ask(self, content: Any, permit: Callable[[str], RPCError | None] = lambda name: None) -> Any:
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        answer = self.successResultOf(Deferred.fromCoroutine(self.methods.answer(content, permit)))
        return None if answer is None else json.loads(answer)

    def code(self, content: Any) -> tuple[int, Any]:
        answer = self.ask(content)
        self.assertEqual(set(answer), {"jsonrpc", "error", "id"})
        return answer["error"]["code"], answer["id"]

    def test_positional_and_named(self) -> None:
        """Section 7, "rpc call with positional parameters" and "named parameters"."""
        for params, result in (
            ([42, 23], 19),
            ([23, 42], -19),
            ({"subtrahend": 23, "minuend": 42}, 19),
        ):
            asked = {"jsonrpc": "2.0", "method": "subtract", "params": params, "id": 1}
            self.assertEqual(self.ask(asked), {"jsonrpc": "2.0", "result": result, "id": 1})

    def test_notification(self) -> None:
        self.assertIsNone(self.ask({"jsonrpc": "2.0", "method": "notify", "params": [1, 2]}))
        self.assertEqual(self.notified, [(1, 2)])
        for method in ("nobody", "break_down", "subtract"):
            self.assertIsNone(self.ask({"jsonrpc": "2.0", "method": method}))
        self.flushLoggedErrors(ZeroDivisionError)

    def test_errors(self) -> None:
        for content, code, id_ in (
            (b'{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', -32700, None),
            (b"\xff", -32700, None),
            (b"", -32700, None),
            (b"[" * 100_000, -32700, None),
            ({"jsonrpc": "2.0", "method": 1, "params": "bar"}, -32600, None),
            ({"jsonrpc": "1.0", "method": "sum", "id": 1}, -32600, None),
            ({"method": "sum", "id": 1}, -32600, None),
            ({"jsonrpc": "2.0", "method": "sum", "id": {}}, -32600, None),
            ({"jsonrpc": "2.0", "method": "sum", "id": True}, -32600, None),
            ({"jsonrpc": "2.0", "method": "sum", "params": 5, "id": 1}, -32600, None),
            ([], -32600, None),
            (5, -32600, None),
            ([1] * (BATCH_LIMIT + 1), -32600, None),
            ({"jsonrpc": "2.0", "method": "foobar", "id": "1"}, -32601, "1"),
            ({"jsonrpc": "2.0", "method": "subtract", "params": [1], "id": 2}, -32602, 2),
            ({"jsonrpc": "2.0", "method": "subtract", "params": {"x": 1}, "id": None}, -32602, None),
            ({"jsonrpc": "2.0", "method": "refuse", "params": [404], "id": 3}, 404, 3),
            ({"jsonrpc": "2.0", "method": "surrogate", "id": 4}, -32603, None),
        ):
            self.assertEqual(self.code(content), (code, id_), content)

    def test_a_failure_says_nothing(self) -> None:
        answer = self.ask({"jsonrpc": "2.0", "method": "break_down", "id": 1})
        self.assertEqual(answer["error"], {"code": -32603, "message": "Internal error"})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_batch(self) -> None:
        """Section 7, "rpc call Batch"."""
        answers = self.ask(
            [
                {"jsonrpc": "2.0", "method": "sum", "params": [1, 2, 4], "id": "1"},
                {"jsonrpc": "2.0", "method": "notify", "params": [7]},
                {"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": "2"},
                {"foo": "boo"},
                {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
                {"jsonrpc": "2.0", "method": "get_data", "id": "9"},
            ]
        )
        self.assertEqual(
            [one.get("result", one.get("error", {}).get("code")) for one in answers],
            [7, 19, -32600, -32601, ["hello", 5]],
        )
        self.assertEqual([one["id"] for one in answers], ["1", "2", None, "5", "9"])
        self.assertEqual([one["error"]["code"] for one in self.ask([1, 2, 3])], [-32600] * 3)
        self.assertIsNone(self.ask([{"jsonrpc": "2.0", "method": "notify"}] * 2))

    def test_later(self) -> None:
        content = json.dumps({"jsonrpc": "2.0", "method": "later", "id": 1}).encode()
        answer = Deferred.fromCoroutine(self.methods.answer(content))
        self.assertNoResult(answer)
        self.waiting.callback(7)
        self.assertEqual(json.loads(self.successResultOf(answer) or b"")["result"], 7)

    def test_permission(self) -> None:
        asked = {"jsonrpc": "2.0", "method": "get_data", "id": 1}
        refused = self.ask(asked, lambda name: RPCError(403, f"not {name}"))
        self.assertEqual(refused["error"], {"code": 403, "message": "not get_data"})

    def test_names(self) -> None:
        self.assertRaises(ValueError, self.methods.add, "sum", sum)
        self.assertEqual(self.methods.names[:2], ["break_down", "get_data"])
