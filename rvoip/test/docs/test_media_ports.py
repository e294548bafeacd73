"""The examples of docs/reference/media-ports.md run, and it names what can be chosen."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from twisted.trial.unittest import TestCase

from rvoip.protocols.rtp.addresses import pack_addresses
from rvoip.protocols.rtp.choose import BACK_ENDS
from rvoip.test.docs.test_pages import page


class MediaPortsPage(TestCase):
    def test_the_examples_run(self) -> None:
        blocks = re.findall(r"^```python\n(.*?)^```", page("reference/media-ports.md"), re.M | re.S)
        self.assertEqual(len(blocks), 3)
        names: dict[str, Any] = {}
        for block in blocks[:2]:
            exec(compile(block, "docs/reference/media-ports.md", "exec"), names)
        port = names["port"]
        self.addCleanup(port.stop)
        if port.descriptor >= 0:  # the relay of the page, with the datagrams of the page
            there = port.open("127.0.0.1")
            names["peers"] = np.full(8, names["rtcp"])
            names["destinations"] = pack_addresses([port.address(there)] * 8)
            batch = port.receive()
            self.assertEqual((batch.count, batch.buffer.shape), (3, (3, 172)))
            names["relay"](batch)
            relayed = port.receive()
            self.assertEqual(set(relayed.sockets.tolist()), {there})
            self.assertEqual(relayed.lengths.tolist(), [172, 172, 12])
        exec(compile(blocks[2], "docs/reference/media-ports.md", "exec"), names)

    def test_every_back_end_is_in_the_table(self) -> None:
        for name in BACK_ENDS:
            self.assertRegex(page("reference/media-ports.md"), rf"(?m)^\| `{name}` \|")
