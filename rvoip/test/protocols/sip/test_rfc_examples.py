"""The messages that are printed in sixty RFCs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.headers import HEADERS, parse_header
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.test.conformance import GIVEN, messages, octets

FOLDER = "sip/rfc-examples"

# Complete messages whose Contact the RFC breaks off with " . . .": no element may guess the rest.
UNCHECKED = {f"rfc3608/rfc3608-00{number}-REGISTER.sip" for number in (1, 2, 3)}

# Headers of complete messages that the RFC misprints, and how.
ELIDED = "broken off with dots"
TRAILING = "a comma with nothing after it"
WORDS = "words in place of a value"
MISPRINTED: dict[tuple[str, str], str] = {
    ("rfc3261/rfc3261-013-INVITE.sip", "content-disposition"): "no semicolon between two parameters",
    ("rfc3327/rfc3327-001-REGISTER.sip", "supported"): ELIDED,
    **{
        (f"rfc3327/rfc3327-{file}.sip", "path"): ELIDED
        for file in (
            "002-REGISTER",
            "003-REGISTER",
            "004-REGISTER",
            "005-200",
            "006-200",
            "007-200",
            "008-200",
        )
    },
    ("rfc3428/rfc3428-003-200.sip", "via"): "two semicolons with nothing between them",
    ("rfc3515/rfc3515-001-REFER.sip", "refer-to"): WORDS,
    ("rfc3515/rfc3515-003-NOTIFY.sip", "subscription-state"): WORDS,
    ("rfc3515/rfc3515-007-REFER.sip", "refer-to"): WORDS,
    ("rfc3515/rfc3515-009-NOTIFY.sip", "subscription-state"): WORDS,
    **{(file, "contact"): ELIDED for file in UNCHECKED},
    ("rfc3608/rfc3608-004-200.sip", "service-route"): ELIDED,
    ("rfc3608/rfc3608-005-200.sip", "service-route"): ELIDED,
    ("rfc3608/rfc3608-006-200.sip", "service-route"): ELIDED,
    ("rfc3608/rfc3608-007-INVITE.sip", "route"): ELIDED,
    ("rfc3608/rfc3608-008-INVITE.sip", "route"): ELIDED,
    ("rfc3608/rfc3608-009-INVITE.sip", "route"): ELIDED,
    ("rfc3608/rfc3608-010-INVITE.sip", "record-route"): ELIDED,
    ("rfc3665/rfc3665-003-REGISTER.sip", "authorization"): "no comma between two directives",
    ("rfc4458/rfc4458-004-302.sip", "contact"): "a backslash and blanks where a line of the URI is broken",
    ("rfc4458/rfc4458-005-302.sip", "contact"): "a backslash and blanks where a line of the URI is broken",
    ("rfc6050/rfc6050-003-INVITE.sip", "proxy-authorization"): "no scheme",
    ("rfc7118/rfc7118-008-ACK.sip", "route"): TRAILING,
    **{
        (f"rfc8068/rfc8068-{number:03d}-INVITE.sip", "accept"): TRAILING
        for number in (*range(1, 7), *range(8, 13))
    },
    ("rfc8068/rfc8068-007-BYE.sip", "accept"): TRAILING,
    ("rfc8068/rfc8068-013-INVITE.sip", "accept"): TRAILING,
}


def complete() -> Iterator[tuple[str, dict[str, Any], Request | Response]]:
    """Name, index entry and message of each that the index calls complete."""
    for entry in messages(FOLDER):
        if entry["complete"]:
            yield entry["file"], entry, parse_message(octets(FOLDER, entry["file"]))


class CompleteTests(SynchronousTestCase):
    """Messages that are printed whole."""

    def test_parsed(self) -> None:
        """All of them are SIP, with the start line and the body that the index says."""
        count = 0
        for file, entry, message in complete():
            count += 1
            self.assertEqual(message.start_line.rstrip(), entry["start_line"].rstrip(), file)
            self.assertEqual(len(message.body), entry["body_bytes"], file)
            if message.has("content-length"):
                self.assertEqual(message.content_length, len(message.body), file)
        self.assertGreaterEqual(count, 741)

    def test_checked(self) -> None:
        """All pass the check but those whose Contact is no Contact."""
        refused = set()
        for file, _, message in complete():
            try:
                check(message)
            except SIPParseError:
                refused.add(file)
        self.assertEqual(refused, UNCHECKED)

    def test_headers(self) -> None:
        """Every header of every message can be read, but for the misprints."""
        unread = set()
        for file, _, message in complete():
            for name in set(message.names):
                try:
                    message.typed(name)
                except SIPParseError:
                    unread.add((file, name))
        self.assertEqual(unread, set(MISPRINTED))

    def test_values_read_back(self) -> None:
        """What a value writes of itself reads back to that value, for every header of every message."""
        for file, _, message in complete():
            for name in set(message.names) & HEADERS.keys():
                if (file, name) in MISPRINTED:
                    continue
                value = parse_header(message, name)
                changed = message.copy()
                changed.remove(name)
                for one in value if isinstance(value, list) else [value]:
                    changed.add(name, str(one))
                again = parse_header(changed, name)
                if name.endswith(("authorization", "authenticate")):
                    # No equality of their own: compared as they are written.
                    value, again = [str(one) for one in value], [str(one) for one in again]
                self.assertEqual(again, value, f"{file}: {name}")

    def test_written_back(self) -> None:
        """Octet for octet where no line is continued, else with the continued lines joined."""
        same = 0
        for file, _, message in complete():
            data = octets(FOLDER, file)
            written = message.to_bytes()
            head = data.partition(b"\r\n\r\n")[0]
            if b"\r\n " not in head and b"\r\n\t" not in head:
                same += 1
                self.assertEqual(written, data, file)
                continue
            again = parse_message(written)
            self.assertEqual(
                (again.start_line, again.lines, again.body), (message.start_line, message.lines, message.body)
            )
            self.assertEqual(again.to_bytes(), written, file)
        self.assertGreater(same, 100)


class IncompleteTests(SynchronousTestCase):
    """Messages with values elided, bodies left out, lines missing."""

    def test_survived(self) -> None:
        """Nothing but `SIPParseError` comes of any of them, whatever is read."""
        count = 0
        for entry in messages(FOLDER):
            if entry["complete"]:
                continue
            count += 1
            try:
                message: Message | None = parse_message(octets(FOLDER, entry["file"]))
            except SIPParseError as error:
                message = error.message
            if message is None:
                continue
            message.to_bytes()
            for read in (check, *[lambda m, n=name: m.typed(n) for name in message.names]):
                try:
                    read(message)
                except SIPParseError as error:
                    self.assertGreaterEqual(error.status, 400)
        self.assertGreater(count, 300)


if not GIVEN:
    del CompleteTests, IncompleteTests
