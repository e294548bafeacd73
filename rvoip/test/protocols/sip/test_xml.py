"""XML within bounds: what is read, what is refused, and that what is written reads the same."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip import xml
from rvoip.protocols.sip.errors import SIPBuildError, SIPParseError
from rvoip.protocols.sip.xml import Element, number, parse_xml

BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<presence>&b;</presence>"""
FILE = b"""<!DOCTYPE foo [<!ENTITY xxe SYSTEM "file:///etc/passwd">]><foo>&xxe;</foo>"""
PARAMETER = b"""<!DOCTYPE foo [<!ENTITY % x SYSTEM "http://127.0.0.1/x.dtd"> %x;]><foo/>"""
EXTERNAL = b"""<!DOCTYPE foo SYSTEM "http://127.0.0.1/x.dtd"><foo/>"""

names = st.sampled_from(("a", "b-c", "d.e", "\N{LATIN SMALL LETTER E WITH ACUTE}", "_"))
spaces = st.sampled_from(("urn:root", "urn:other", "", "urn:&<>\"'"))
texts = st.text(st.characters(codec="utf-8"), max_size=12)


def elements(children: st.SearchStrategy[list[Element]]) -> st.SearchStrategy[Element]:
    keys = st.one_of(names, st.builds("{{{}}}{}".format, st.sampled_from(("urn:root", "urn:x")), names))
    return st.builds(Element, spaces, names, st.dictionaries(keys, texts, max_size=3), texts, children)


trees = st.recursive(
    elements(st.just([])), lambda inner: elements(st.lists(inner, max_size=3)), max_leaves=12
)


def cleaned(text: str) -> str:
    return xml._IMPOSSIBLE.sub("\N{REPLACEMENT CHARACTER}", text)


def as_written(element: Element) -> Element:
    """What is to be read of it."""
    attributes = {key: cleaned(value) for key, value in element.attributes.items()}
    children = [as_written(each) for each in element.children]
    return Element(element.namespace, element.name, attributes, cleaned(element.text), children)


class ReadingTests(SynchronousTestCase):
    def test_tree(self) -> None:
        root = parse_xml(
            b'<r xmlns="urn:r" xmlns:x="urn:x" a="1" x:b="2"> text <x:c>1</x:c>tail<c> 2 </c><c/></r>'
        )
        self.assertEqual((root.namespace, root.name, root.text), ("urn:r", "r", " text "))
        self.assertEqual(root.attributes, {"a": "1", "{urn:x}b": "2"})
        self.assertEqual([each.text for each in root.all("c")], [" 2 ", ""])
        self.assertEqual(root.content("c"), "2")
        self.assertEqual(root.content("c", "urn:x"), "1")
        self.assertEqual(root.content("d"), "")
        self.assertIsNone(root.find("d"))

    def test_character_references_are_read(self) -> None:
        self.assertEqual(
            parse_xml(b"<a>&lt;&amp;&#233;<![CDATA[<b>]]></a>").text,
            "<&\N{LATIN SMALL LETTER E WITH ACUTE}<b>",
        )

    def test_a_declared_encoding_counts_for_nothing(self) -> None:
        text = '<?xml version="1.0" encoding="x-none"?><a>\N{SNOWMAN}</a>'
        self.assertEqual(parse_xml(text.encode()).text, "\N{SNOWMAN}")

    def test_refused(self) -> None:
        for data in (
            BOMB,
            FILE,
            PARAMETER,
            EXTERNAL,
            b"<!DOCTYPE a><a/>",
            b"",
            b"text",
            b"<a>",
            b"<a/><b/>",
            b"<a>&x;</a>",
            b"<a>&#0;</a>",
            b"<a>&#xD800;</a>",
            b"<a b='1' b='2'/>",
            b"<x:a/>",
            b"<a>\xff</a>",
            b"<a>\0</a>",
            b"<a>" * (xml.MAX_DEPTH + 1),
            b"<a>" + b"<b/>" * xml.MAX_ELEMENTS + b"</a>",
            b"<a " + b" ".join([b"b%d=''" % index for index in range(40)]) + b"/>",
            b"<a>" + b" " * xml.MAX_OCTETS + b"</a>",
        ):
            began = time.process_time()
            error = self.assertRaises(SIPParseError, parse_xml, data)
            self.assertLess(time.process_time() - began, 0.3)
            self.assertIn(error.status, (400, 413))
            self.assertTrue(error.reason.isprintable())

    def test_bounds_are_within_reach(self) -> None:
        parse_xml(b"<a>" * xml.MAX_DEPTH + b"</a>" * xml.MAX_DEPTH)
        parse_xml(b"<a>" + b"<b/>" * (xml.MAX_ELEMENTS - 1) + b"</a>")

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.binary(max_size=200))
    def test_any_octets(self, data: bytes) -> None:
        try:
            parse_xml(data)
        except SIPParseError:
            pass

    def test_number(self) -> None:
        for text, expected in (
            ("0", 0),
            (" 12\n", 12),
            ("4294967295", 4294967295),
            ("12345678901", None),
            ("", None),
            ("-1", None),
            ("1_0", None),
            ("\N{ARABIC-INDIC DIGIT ONE}", None),
            ("1.5", None),
        ):
            self.assertEqual(number(text), expected, text)


class WritingTests(SynchronousTestCase):
    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(trees)
    def test_what_is_written_reads_the_same(self, tree: Element) -> None:
        self.assertEqual(parse_xml(tree.to_bytes()), as_written(tree))

    def test_prefixes(self) -> None:
        root = Element("urn:r", "r")
        root.children = [Element("urn:x", "a"), Element("urn:y", "b")]
        text = root.to_bytes({"urn:x": "ex", "urn:y": "ex"}).decode()
        self.assertIn('<r xmlns="urn:r" xmlns:ex="urn:x" xmlns:n2="urn:y"><ex:a/><n2:b/></r>', text)

    def test_what_would_break_out(self) -> None:
        for name in ("", "a b", "a/", "<a", "a>", "1", "-a", 'a"'):
            self.assertRaises(SIPBuildError, Element("", name).to_bytes)
            self.assertRaises(SIPBuildError, Element("", "a", {name: ""}).to_bytes)
