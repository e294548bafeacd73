"""How the command reaches a server's API, and what it says when it cannot."""

from __future__ import annotations

import argparse
import os
import socket
import threading
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from unittest import mock

from twisted.trial.unittest import TestCase

from rvoip.cli import api
from rvoip.cli.errors import CommandError
from rvoip.services.http import DEFAULT_LISTEN
from rvoip.test.cli.running import FakeServer

HOST = "127.21.6.1"


def connect(**given: str) -> api.API:
    names = ("config", "url", "token", "ca", "certificate", "private_key")
    return api.connect(argparse.Namespace(role="proxy", **{name: given.get(name) for name in names}))


class ServerTests(TestCase):
    """Against a server that answers as it is told."""

    def setUp(self) -> None:
        self.server = FakeServer(HOST, {"GET /v1/x": (200, {"a": 1}), "GET /v1/x?b=c%26d": (200, [])})
        serving = self.server.serving()
        serving.__enter__()
        self.addCleanup(serving.__exit__, None, None, None)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def config(self, text: str) -> str:
        file = self.folder / "rvoip.toml"
        file.write_text(f"[http]\n{text}\n", encoding="utf-8")
        return str(file)

    def said(self, call: Any) -> str:
        """The one line of a call that fails."""
        error = self.assertRaises(CommandError, call)
        self.assertNotIn("\n", str(error))
        return str(error)

    def test_by_url_and_by_configuration(self) -> None:
        self.assertEqual(connect(url=self.server.url).get("/v1/x"), {"a": 1})
        address = self.server.url.removeprefix("http://")
        self.assertEqual(connect(config=self.config(f'listen = "{address}"')).get("/v1/x"), {"a": 1})

    def test_a_query_is_escaped(self) -> None:
        self.assertEqual(connect(url=self.server.url).get("/v1/x", b="c&d", empty="", none=None), [])

    def test_a_role_of_a_common_file(self) -> None:
        address = self.server.url.removeprefix("http://")
        file = self.config(f'listen = "127.0.0.1:1"\n[proxy.http]\nlisten = "{address}"')
        self.assertEqual(connect(config=file).get("/v1/x"), {"a": 1})

    def test_a_token(self) -> None:
        self.server.token = "s3cret"
        address = self.server.url.removeprefix("http://")
        refused = self.said(lambda: connect(url=self.server.url).get("/v1/x"))
        self.assertEqual(
            refused,
            f"{self.server.url}: a token is needed; use --token, RVOIP_TOKEN or --config (401)",
        )
        self.assertIn("401", self.said(lambda: connect(url=self.server.url, token="wrong").get("/v1/x")))
        file = self.config(f'listen = "{address}"\ntoken = "s3cret"')
        for reached in (connect(url=self.server.url, token="s3cret"), connect(config=file)):
            self.assertEqual(reached.get("/v1/x"), {"a": 1})
        with mock.patch.dict(os.environ, {"RVOIP_TOKEN": "s3cret"}):
            self.assertEqual(connect(url=self.server.url).get("/v1/x"), {"a": 1})
        with mock.patch.dict(os.environ, {"RVOIP_TOKEN": "other"}):
            self.assertEqual(connect(url=self.server.url, token="s3cret").get("/v1/x"), {"a": 1})
        self.assertEqual(
            self.said(lambda: connect(url=self.server.url, token="\u00e9")), "the token is not ASCII"
        )
        self.assertIn(
            "header", self.said(lambda: connect(url=self.server.url, token="a\r\nb: c").get("/v1/x"))
        )

    def test_problems_are_told(self) -> None:
        self.assertEqual(
            self.said(lambda: connect(url=self.server.url).get("/v1/y")),
            f"{self.server.url}: nothing at /v1/y (404)",
        )
        self.assertEqual(connect(url=self.server.url).get("/v1/y", missing=[]), [])
        for body, told in [
            (b"<html>", "Internal Server Error"),
            (b"[]", "Internal Server Error"),
            (b'{"title":"Oh\\n"}', "Oh\\n"),
        ]:
            self.server.answers["GET /v1/bad"] = (500, body)
            self.assertEqual(
                self.said(lambda: connect(url=self.server.url).get("/v1/bad")),
                f"{self.server.url}: {told} (500)",
            )

    def test_an_answer_that_is_none_of_ours(self) -> None:
        self.server.answers["GET /v1/x"] = (200, b"<html>")
        self.assertIn("no JSON", self.said(lambda: connect(url=self.server.url).get("/v1/x")))

    def test_pages(self) -> None:
        self.server.answers |= {
            "GET /v1/l?limit=500": (200, {"l": [1, 2], "next": "b"}),
            "GET /v1/l?after=b&limit=500": (200, {"l": [3], "next": "c"}),
            "GET /v1/l?after=c&limit=500": (200, {"l": [], "next": ""}),
        }
        reached = connect(url=self.server.url)
        self.assertEqual(list(reached.pages("/v1/l", "l")), [1, 2, 3])
        self.server.answers["GET /v1/l?after=c&limit=500"] = (200, {"l": [4], "next": "c"})
        self.assertIn("does not end", self.said(lambda: list(reached.pages("/v1/l", "l"))))

    def test_an_answer_that_is_too_large(self) -> None:
        self.patch(api, "ANSWER_LIMIT", 1 << 20)
        self.server.answers["GET /v1/x"] = (200, b"1" * ((1 << 20) + 1))
        self.assertIn("larger than 1 MiB", self.said(lambda: connect(url=self.server.url).get("/v1/x")))

    def test_segments(self) -> None:
        self.assertEqual(api.segment("alice@example.test"), "alice@example.test")
        self.assertEqual(api.segment("sip:a/b?c#d%\u00e9"), "sip%3Aa%2Fb%3Fc%23d%25%C3%A9")


class NoServerTests(TestCase):
    """What is in the way of reaching one."""

    def setUp(self) -> None:
        # The path of a Unix socket has 107 bytes at most, and trial's folders may be deeper than that.
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)

    def said(self, **given: str) -> str:
        error = self.assertRaises(CommandError, lambda: connect(**given).get("/v1/x"))
        self.assertNotIn("\n", str(error))
        return str(error)

    def config(self, text: str) -> str:
        file = self.folder / "rvoip.toml"
        file.write_text(f"[http]\n{text}\n", encoding="utf-8")
        return str(file)

    def test_the_default_is_that_of_the_roles(self) -> None:
        self.assertEqual(api.DEFAULT_LISTEN, DEFAULT_LISTEN)

    def test_nobody_listens(self) -> None:
        with socket.socket() as taken:
            taken.bind((HOST, 0))
            url = f"http://{HOST}:{taken.getsockname()[1]}"
            self.assertEqual(self.said(url=url), f"{url}: no server listens there")
        self.assertEqual(
            self.said(config=self.config('listen = "unix:api.sock"')),
            f"unix:{self.folder}/api.sock: no server listens there",
        )

    def test_a_server_that_says_nothing(self) -> None:
        self.patch(api, "TIMEOUT", 0.05)
        with socket.socket() as silent:
            silent.bind((HOST, 0))
            silent.listen()
            url = f"http://{HOST}:{silent.getsockname()[1]}"
            self.assertEqual(self.said(url=url), f"{url}: no answer within 0.05 seconds")

    def test_a_server_of_something_else(self) -> None:
        with socket.socket() as other:
            other.bind((HOST, 0))
            other.listen()

            def answer() -> None:
                connection, _ = other.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"SIP/2.0 400 Bad\r\n\r\n")

            thread = threading.Thread(target=answer)
            thread.start()
            self.addCleanup(thread.join)
            url = f"http://{HOST}:{other.getsockname()[1]}"
            self.assertIn("SIP/2.0", self.said(url=url))

    def test_urls_that_are_none(self) -> None:
        for url in ("127.0.0.1:8080", "ftp://x", "http://", "http://x/path", "http://x:99999", "http://[::1"):
            self.assertTrue(self.said(url=url).startswith(f"{url}: "))

    def test_a_configuration_without_an_api(self) -> None:
        self.assertEqual(
            self.said(config=self.config('listen = "none"')).removeprefix(f"{self.folder}/rvoip.toml: "),
            'http.listen: is "none", so the server has no API',
        )
        self.assertIn("has no port", self.said(config=self.config('listen = "127.0.0.1"')))

    def test_files_of_tls(self) -> None:
        (self.folder / "text").write_text("nothing", encoding="utf-8")
        for options, reason in [
            ({"ca": "/nope"}, "/nope: No such file or directory"),
            ({"ca": f"{self.folder}/text"}, f"{self.folder}/text: no PEM certificate"),
            ({"certificate": "/nope"}, "/nope: No such file or directory"),
            ({"certificate": f"{self.folder}/text"}, f"{self.folder}/text: no PEM certificate with its key"),
        ]:
            self.assertEqual(self.said(url=f"https://{HOST}:1", **options), reason)
