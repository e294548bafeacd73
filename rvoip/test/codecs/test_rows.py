"""Rows of streams: given out, taken back, given out again, and never more than there may be."""

from __future__ import annotations

import gc
import weakref

import numpy as np
from twisted.trial.unittest import SkipTest, TestCase

from rvoip.codecs import rows as rows_module
from rvoip.codecs.errors import CodecError
from rvoip.codecs.g711 import PCMU
from rvoip.codecs.g722 import G722
from rvoip.codecs.rows import StreamRows
from rvoip.test.codecs.agreement import speech


class Rows(TestCase):
    def test_rows_are_used_again(self) -> None:
        rows = StreamRows()
        self.assertEqual([rows.place(name) for name in "abc"], [0, 1, 2])
        rows.remove(1)
        self.assertEqual(len(rows), 2)
        self.assertEqual(rows.place("d"), 1)
        self.assertEqual(rows.place("e"), 3)
        self.assertEqual([rows[row] for row in range(4)], list("adce"))

    def test_an_empty_row_is_refused(self) -> None:
        rows = StreamRows()
        rows.place("a")
        rows.remove(0)
        for row in (0, 1, -1):
            self.assertRaises(CodecError, rows.remove, row)
            self.assertRaises(CodecError, rows.of, np.array([row]), 1)
        rows.place("a")
        self.assertRaises(CodecError, rows.of, np.array([0]), 2)

    def test_there_is_a_bound(self) -> None:
        self.patch(rows_module, "MAX_STREAMS", 3)
        encoders = PCMU.encoders()
        for _ in range(3):
            encoders.add()
        self.assertRaises(CodecError, encoders.add)
        encoders.remove(0)
        self.assertEqual(encoders.add(), 0)

    def test_removing_clears(self) -> None:
        codec = G722()
        if missing := codec.missing():
            raise SkipTest(missing)
        encoders = codec.encoders()
        row = encoders.add()
        pcm = speech(codec, 1, 3)[0]
        first, _ = encoders.encode(np.array([row]), pcm[:1])
        encoders.encode(np.array([row]), pcm[1:2])
        gone = weakref.ref(encoders[row])
        encoders.remove(row)
        gc.collect()
        self.assertIsNone(gone())
        self.assertEqual(encoders.add(), row)
        again, _ = encoders.encode(np.array([row]), pcm[:1])
        self.assertEqual(again.tolist(), first.tolist())
