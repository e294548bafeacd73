"""The thread that writes recordings: what the recorder hands out goes in, what became of it comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from queue import SimpleQueue
from threading import Thread

from rvoip.media.errors import MediaError
from rvoip.media.recorder import Begin, Closed, Done, Failed, Write, WriterAnswer, WriterInput
from rvoip.media.recording_file import IRecordingFile, RecordingFolder

__all__ = ["RecordingWriter"]

_BATCH = 32
"""Answers that are given together, where more is waiting."""


class RecordingWriter:
    """One thread for all recordings of a folder. The recorder bounds what waits here."""

    def __init__(self, folder: RecordingFolder, answer: Callable[[list[WriterAnswer]], None]) -> None:
        """Answer by `answer`, which is called in the thread: a server passes it on to its own."""
        self._folder = folder
        self._answer = answer
        self._files: dict[str, IRecordingFile] = {}
        self._queue: SimpleQueue[WriterInput | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="recordings", daemon=True)

    def start(self) -> None:
        """Begin; what was handed over before is done then."""
        self._thread.start()

    def hand_over(self, inputs: Iterable[WriterInput]) -> None:
        """Have these done in their order; returns at once."""
        for item in inputs:
            self._queue.put(item)

    def stop(self, timeout: float | None = None) -> bool:
        """Finish what was handed over, close all files, end the thread; say whether that came to an end."""
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        running = True
        while running:
            answers: list[WriterAnswer] = []
            item = self._queue.get()
            while True:
                if item is None:
                    running = False
                    break
                if (answer := self._do(item)) is not None:
                    answers.append(answer)
                if self._queue.empty() or len(answers) >= _BATCH:
                    break
                item = self._queue.get()
            if not running:
                answers += [self._closed(id) for id in list(self._files)]
            if answers:
                self._answer(answers)

    def _do(self, item: WriterInput) -> WriterAnswer | None:
        try:
            if isinstance(item, Begin):
                self._files[item.id] = self._folder.create(item.id, item.format, item.rate, item.channels)
            elif item.id not in self._files:
                # It has failed, and what was under way then still comes.
                return None
            elif isinstance(item, Write):
                self._files[item.id].write(item.data)
            else:
                return self._closed(item.id)
        except (OSError, MediaError) as error:
            if item.id in self._files:
                self._closed(item.id)
            return Failed(item.id, _reason(error))
        return Done(item.id)

    def _closed(self, id: str) -> WriterAnswer:
        try:
            return Closed(id, self._files.pop(id).close())
        except OSError as error:
            return Failed(id, _reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or "the disk failed").lower()
    return str(error)
