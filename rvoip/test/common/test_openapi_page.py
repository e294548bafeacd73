"""The page of an API: everything of its document, and nothing that a browser would run."""

from __future__ import annotations

from html.parser import HTMLParser

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.openapi import document
from rvoip.common.openapi_page import page
from rvoip.common.routing import Route
from rvoip.test.services.roles import RoleCase

_VOID = {"meta", "html", "tr", "td", "th"}
"""Elements whose end may be left out."""


class Reader(HTMLParser):
    """Texts, links and anchors; fails on what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links |= {value or "" for name, value in attrs if name in ("href", "src")}
        self.anchors |= {value or "" for name, value in attrs if name == "id"}
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(content: bytes) -> Reader:
    reader = Reader()
    reader.feed(content.decode("utf-8"))
    reader.close()
    assert reader.open == [], reader.open
    return reader


class Thing(msgspec.Struct):
    """A <script>thing</script>."""

    name: str
    kinds: list[str]


class PageTests(SynchronousTestCase):
    def test_what_it_holds_is_text(self) -> None:
        def handler() -> None: ...

        route = Route("POST", "/v1/<b>/{x}", handler, name="n", summary="<script>1</script>", body=Thing)
        reader = read(page(document("a & b <i>", "1", "<script>2</script>", [route])))
        self.assertNotIn("script", reader.tags)
        for text in ("a & b <i> 1", "<script>1</script>", "<script>2</script>", "/v1/<b>/{x}"):
            self.assertIn(text, reader.text)
        self.assertIn("list of string", reader.text)
        self.assertIn("#Thing", reader.links)


class ServedTests(RoleCase):
    def test_all_of_a_proxy(self) -> None:
        """Open to all, as what it says is the same everywhere."""
        role = self.run_role('[http]\ntoken = "t0ken"\n')
        answer = self.client.ask("GET", "/v1/docs")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("default-src 'none'", answer.headers["content-security-policy"])
        reader = read(answer.body)
        for route in role.http.api.routes:
            self.assertIn(f"{route.method}{route.path}", reader.text)
            self.assertIn(route.summary, reader.text)
            for scope in route.scopes:
                self.assertIn(scope, reader.text)
        inside = {link[1:] for link in reader.links if link.startswith("#")}
        self.assertEqual(inside - reader.anchors, set())
        self.assertEqual({link for link in reader.links if not link.startswith("#")}, {"openapi.json"})
