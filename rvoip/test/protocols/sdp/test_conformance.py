"""Descriptions of the RFCs, of sdp-transform and in SIP torture messages, read from $CONFORMANCE_DIR.

Its layout: sdp/index-rfc.json names the files of sdp/rfc; sdp/sdp-transform has X.sdp beside X.parsed.json;
sip/rfc4475 and sip/rfc5118 have one message a file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.protocols.sdp.attributes import Attributed
from rvoip.protocols.sdp.compare import equivalent, same_version
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.ice import Candidate
from rvoip.protocols.sdp.lines import Connection
from rvoip.protocols.sdp.media import Media
from rvoip.protocols.sdp.problems import problems
from rvoip.protocols.sdp.session import SessionDescription, parse

CONFORMANCE_DIR = os.environ.get("CONFORMANCE_DIR")

# Printed as examples and no descriptions for all that: a place holder or an impossible number for a port, or
# nothing at all after the kind of media.
NO_DESCRIPTIONS = {
    "rfc/rfc5245-02.sdp": "m= port is not a number from 0 to 65535: '$NAT-PUB-1.PORT'",
    "rfc/rfc5245-04.sdp": "m= port is not a number from 0 to 65535: '$R-PUB-1.PORT'",
    "rfc/rfc8839-02.sdp": "m= port is not a number from 0 to 65535: '$NAT-PUB-1.PORT'",
    "rfc/rfc8839-04.sdp": "m= port is not a number from 0 to 65535: '$R-PUB-1.PORT'",
    "rfc/rfc6871-03.sdp": "m= port is not a number from 0 to 65535: '66544'",
    "rfc/rfc7006-01.sdp": "m= port is not a number from 0 to 65535: '66544'",
    "rfc/rfc8859-10.sdp": "m= port is not a number from 0 to 65535: '560024'",
    "rfc/rfc8859-09.sdp": "m= has 1 fields instead of 4 or more: 'audio'",
}
# Misprints that are read like those of a phone, but not strictly.
MISPRINTED = {
    "rfc/rfc7006-02.sdp": "o= has 5 fields instead of 6",
    "rfc/rfc7006-03.sdp": "o= has 5 fields instead of 6",
    "rfc/rfc7006-04.sdp": "o= has 5 fields instead of 6",
    "rfc/rfc8859-07.sdp": "m= has no formats",
}
# Files whose attributes the RFC misprints or abbreviates, besides those whose long lines it folds.
UNREADABLE = {
    "rfc/rfc5245-01.sdp": ["candidate"],
    "rfc/rfc5245-03.sdp": ["candidate"],
    "rfc/rfc8859-05.sdp": ["crypto"],
}

# The order of RFC 8866 section 5, as the first letters of lines.
CANONICAL = re.compile(r"vosi?u?e*p*c?b*(?:tr*z?)+k?a*(?:mi?c*b*k?a*)*\Z")


def in_canonical_order(data: bytes) -> bool:
    """Whether the lines are in the order that RFC 8866 demands, so that writing gives the same octets."""
    return CANONICAL.match("".join(line[:1] for line in data.decode().split("\r\n"))) is not None


@cache
def root() -> Path:
    """The folder of the data."""
    return Path(CONFORMANCE_DIR or "")


def rfc_descriptions() -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each entry of the index with the octets of its file."""
    index = json.loads((root() / "sdp/index-rfc.json").read_text(encoding="utf-8"))
    for entry in index["descriptions"]:
        yield entry, (root() / "sdp" / entry["file"]).read_bytes()


def fixtures() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """Name, octets and expected values of each description of sdp-transform."""
    for path in sorted((root() / "sdp/sdp-transform").glob("*.sdp")):
        parsed = json.loads(path.with_suffix(".parsed.json").read_text(encoding="utf-8"))
        yield path.name, path.read_bytes(), parsed


def sip_bodies() -> Iterator[tuple[Path, bytes, dict[str, Any]]]:
    """File, body and expected values of each torture message that carries a description."""
    for folder in ("rfc4475", "rfc5118"):
        index = json.loads((root() / "sip" / folder / "index.json").read_text(encoding="utf-8"))
        for message in index["messages"]:
            path = root() / "sip" / folder / message["file"]
            # The archive of RFC 5118 has bare line feeds throughout.
            head, body, *_ = *re.split(rb"\r\n\r\n|\n\n", path.read_bytes(), maxsplit=1), b""
            length = re.search(rb"(?im)^(?:content-length|l)\s*:\s*([0-9]+)\s*$", head)
            if length:
                body = body[: int(length[1])]
            if body and re.search(rb"(?im)^(?:content-type|c)\s*:\s*application/sdp", head):
                yield path, body, message.get("parsed", {})


def plain(value: Any) -> Any:
    """A value without what is absent, and with numbers as text: "2" and 2 are the same port."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def address(connection: Connection | None) -> Any:
    if connection is None:
        return None
    return {"version": connection.address_type[2:], "ip": str(connection).rpartition(" ")[2]}


def candidate(value: Candidate) -> Any:
    return {
        "foundation": value.foundation,
        "component": value.component,
        "transport": value.transport,
        "priority": value.priority,
        "ip": value.address,
        "port": value.port,
        "type": value.kind,
        "raddr": value.related_address,
        "rport": value.related_port,
        "tcptype": value.tcp_type,
        **dict(value.extensions),
    }


def rtcp(media: Media) -> Any:
    value = media.rtcp
    if value is None:
        return None
    where = value.connection
    if where is None:
        return {"port": value.port}
    return {
        "port": value.port,
        "netType": where.network_type,
        "ipVer": where.address_type[2:],
        "address": where.address,
    }


def simulcast(media: Media) -> Any:
    value = media.simulcast
    if value is None:
        return None
    words = str(value).split(" ")
    return dict(zip(("dir1", "list1", "dir2", "list2"), words, strict=False))


def extmaps(level: Attributed) -> Any:
    return [
        {
            "value": e.id,
            "direction": e.direction.value if e.direction else None,
            "encrypt-uri": e.uri if e.encrypted_uri else None,
            "uri": e.encrypted_uri or e.uri,
            "config": (
                (e.extension_attributes or "").partition(" ")[2]
                if e.encrypted_uri
                else e.extension_attributes
            )
            or None,
        }
        for e in level.extmaps
    ]


def fingerprint(level: Attributed) -> Any:
    """The hash in the case in which it is written."""
    digests = {f.algorithm: f.text for f in level.fingerprints}
    return [
        {"type": kind, "hash": text if digests.get(kind) == text.upper() else digests}
        for kind, _, text in (value.partition(" ") for value in level.values("fingerprint"))
    ]


def flag(name: str) -> Callable[[Attributed], Any]:
    return lambda level: name if level.has(name) else None


# What either level says under the names of sdp-transform. A single value there is a list of one here.
EITHER: dict[str, Callable[[Any], Any]] = {
    "direction": lambda level: level.own_direction.value if level.own_direction else None,
    "iceUfrag": lambda level: level.ice_ufrag,
    "icePwd": lambda level: level.ice_pwd,
    "iceOptions": lambda level: " ".join(level.ice_options) or None,
    "setup": lambda level: level.setup,
    "fingerprint": fingerprint,
    "ext": extmaps,
    "description": lambda level: level.information,
    "bandwidth": lambda level: [{"type": b.kind, "limit": b.value} for b in level.bandwidths],
    "extmapAllowMixed": flag("extmap-allow-mixed"),
}
SESSION: dict[str, Callable[[SessionDescription], Any]] = {
    **EITHER,
    "version": lambda s: s.version,
    "origin": lambda s: {
        "username": s.origin.username,
        "sessionId": s.origin.session_id,
        "sessionVersion": s.origin.session_version,
        "netType": s.origin.network_type,
        "ipVer": s.origin.address_type[2:],
        "address": s.origin.address,
    },
    "name": lambda s: s.name,
    "uri": lambda s: s.uri,
    "email": lambda s: s.emails,
    "connection": lambda s: address(s.connection),
    "timing": lambda s: {"start": s.times[0].start, "stop": s.times[0].stop},
    "groups": lambda s: [{"type": g.semantics, "mids": " ".join(g.mids)} for g in s.groups],
    "icelite": flag("ice-lite"),
}
MEDIA: dict[str, Callable[[Media], Any]] = {
    **EITHER,
    "type": lambda m: m.kind,
    "port": lambda m: m.port,
    "protocol": lambda m: m.protocol,
    "payloads": lambda m: " ".join(m.formats),
    "connection": lambda m: address(m.connections[0]) if m.connections else None,
    "rtp": lambda m: [
        {"payload": r.payload_type, "codec": r.encoding, "rate": r.clock_rate, "encoding": r.parameters}
        for r in m.rtpmaps
    ],
    "fmtp": lambda m: [{"payload": f.format, "config": f.text} for f in m.fmtps],
    "ptime": lambda m: m.ptime,
    "maxptime": lambda m: m.maxptime,
    "rtcp": rtcp,
    "rtcpMux": flag("rtcp-mux"),
    "rtcpRsize": flag("rtcp-rsize"),
    "rtcpFb": lambda m: [
        {"payload": f.format, "type": f.kind, "subtype": f.parameters}
        for f in m.rtcp_fb
        if f.kind != "trr-int"
    ],
    "rtcpFbTrrInt": lambda m: [
        {"payload": f.format, "value": f.parameters} for f in m.rtcp_fb if f.kind == "trr-int"
    ],
    "candidates": lambda m: list(map(candidate, m.candidates)),
    "endOfCandidates": flag("end-of-candidates"),
    "crypto": lambda m: [
        {"id": c.tag, "suite": c.suite, "config": ";".join(map(str, c.keys))} for c in m.cryptos
    ],
    "mid": lambda m: m.mid,
    "msid": lambda m: [{"id": x.stream, "appdata": x.track} for x in m.msids],
    "ssrcs": lambda m: [{"id": x.ssrc, "attribute": x.name, "value": x.value} for x in m.ssrcs],
    "ssrcGroups": lambda m: [
        {"semantics": g.semantics, "ssrcs": " ".join(map(str, g.ssrcs))} for g in m.ssrc_groups
    ],
    "rids": lambda m: [
        {"id": r.id, "direction": r.direction, "params": str(r).partition(f" {r.direction} ")[2] or None}
        for r in m.rids
    ],
    "simulcast": simulcast,
    "bundleOnly": flag("bundle-only"),
    "sctpPort": lambda m: m.sctp_port if m.has("sctp-port") else None,
    "sctpmap": lambda m: (
        m.sctpmap
        and {"sctpmapNumber": m.sctpmap.port, "app": m.sctpmap.protocol, "maxMessageSize": m.sctpmap.streams}
    ),
    "maxMessageSize": lambda m: m.max_message_size,
    "connectionType": lambda m: m.connection_reuse,
    "label": lambda m: m.label,
    "content": lambda m: ",".join(m.content) or None,
    "framerate": lambda m: m.value("framerate"),
    "control": lambda m: m.value("control"),
}


def alike(ours: Any, theirs: Any) -> tuple[Any, Any]:
    """Both sides in one form: absent lists as empty ones, single values as lists of one."""
    if isinstance(ours, list | tuple):
        theirs = [] if theirs is None else theirs if isinstance(theirs, list) else [theirs]
    return plain(ours), plain(theirs)


if CONFORMANCE_DIR:

    class RFCTests(SynchronousTestCase):
        """What the RFCs print."""

        def test_complete_descriptions_are_read_strictly(self) -> None:
            count = 0
            for entry, data in rfc_descriptions():
                name = entry["file"]
                if entry["complete"] and name not in NO_DESCRIPTIONS and name not in MISPRINTED:
                    self.assertEqual([str(m) for m in parse(data, strict=True).media], entry["media"], name)
                    count += 1
            self.assertEqual(count, 236)

        def test_all_others_are_read_leniently(self) -> None:
            count = 0
            for entry, data in rfc_descriptions():
                name = entry["file"]
                if name in MISPRINTED:
                    error = self.assertRaises(SDPError, parse, data, strict=True)
                    self.assertEqual(error.reason, MISPRINTED[name])
                elif entry["complete"]:
                    continue
                self.assertEqual([str(m) for m in parse(data).media], entry["media"], name)
                count += 1
            self.assertEqual(count, 56)

        def test_what_is_no_description_is_refused(self) -> None:
            for entry, data in rfc_descriptions():
                if entry["file"] in NO_DESCRIPTIONS:
                    for strict in (False, True):
                        error = self.assertRaises(SDPError, parse, data, strict=strict)
                        self.assertEqual(error.reason, NO_DESCRIPTIONS[entry["file"]])

        def test_round_trip(self) -> None:
            identical = 0
            for entry, data in rfc_descriptions():
                if entry["file"] in NO_DESCRIPTIONS:
                    continue
                description = parse(data)
                written = description.to_bytes()
                self.assertEqual(parse(written, strict=entry["file"] not in MISPRINTED), description)
                self.assertTrue(equivalent(parse(written), description))
                if in_canonical_order(data):
                    self.assertEqual(written, data, entry["file"])
                    identical += 1
                else:
                    self.assertEqual(sorted(set(data.split(b"\r\n")) - set(written.split(b"\r\n"))), [])
            self.assertEqual(identical, 195)

        def test_attributes_are_readable(self) -> None:
            for entry, data in rfc_descriptions():
                if entry["file"] in NO_DESCRIPTIONS or entry["printed_folded"]:
                    continue
                description = parse(data)
                lines = description.lines()
                names = [re.split("[=:]", lines[p.line - 1])[1] for p in problems(description)]
                self.assertEqual(names, UNREADABLE.get(entry["file"], []), entry["file"])

        def test_offers_and_answers_of_rfc_4317(self) -> None:
            """Its files are offers and answers in turn, by two users who count their versions up."""
            for entry, data in rfc_descriptions():
                if entry["rfc"] == 4317:
                    description = parse(data, strict=True)
                    self.assertTrue(same_version(description, parse(data)))
                    self.assertFalse(same_version(description, description.next_version()))

    class SDPTransformTests(SynchronousTestCase):
        """What sdp-transform reads from its fixtures."""

        def test_same_values(self) -> None:
            seen: set[str] = set()
            for name, data, parsed in fixtures():
                description = parse(data)
                if "timing" not in parsed:
                    parsed["timing"] = {"start": 0, "stop": 0}
                for key, ask in SESSION.items():
                    ours, theirs = alike(ask(description), parsed.get(key))
                    self.assertEqual(ours, theirs, f"{name}: {key}")
                self.assertEqual(len(description.media), len(parsed["media"]))
                for media, section in zip(description.media, parsed["media"], strict=True):
                    for key, question in MEDIA.items():
                        ours, theirs = alike(question(media), section.get(key))
                        self.assertEqual(ours, theirs, f"{name}: {media}: {key}")
                    seen |= section.keys()
            # No question is asked in vain.
            self.assertEqual(MEDIA.keys() - seen, set())

        def test_round_trip(self) -> None:
            for name, data, _ in fixtures():
                description = parse(data)
                written = description.to_bytes()
                self.assertEqual(parse(written, strict=True), description, name)
                canonical = b"\r\n".join(data.splitlines()) + b"\r\n"
                if in_canonical_order(canonical):
                    self.assertEqual(written, canonical, name)

    class SIPBodyTests(SynchronousTestCase):
        """The bodies of the SIP torture messages."""

        def test_bodies(self) -> None:
            count = 0
            for path, body, parsed in sip_bodies():
                description = parse(body)
                self.assertEqual(parse(description.to_bytes()), description)
                self.assertEqual(problems(description), [], path.name)
                if "sdp_c" in parsed:
                    self.assertEqual(str(description.connection), parsed["sdp_c"])
                if "media_c" in parsed:
                    self.assertEqual(
                        [str(c) for media in description.media for c in media.connections], parsed["media_c"]
                    )
                count += 1
            self.assertEqual(count, 22)

else:

    class ConformanceTests(SynchronousTestCase):
        """Stands for the tests above."""

        def test_conformance(self) -> None:
            raise SkipTest("CONFORMANCE_DIR is not set")
