"""The reader's two pipes: messages in, and messages out, of which few wait.

Knows descriptors and threads; knows nothing of what is said. Whoever sends waits while the daemon
does not read, and hears at once when it is over.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO, Final

from afterword_daemon.protocol import Frames, ProtocolError
from afterword_daemon.watching.messages import FromReader, ToReader, frame

MOST_WAITING: Final = 2 << 20  # bytes; one message more may, however long it is
_CHUNK: Final = 1 << 16  # bytes


class Ended(Exception):
    """The daemon is gone, or wants this process gone."""


class Outlet:
    """Messages on their way to the daemon, written by a thread of their own."""

    def __init__(self, stream: BinaryIO, gone: Callable[[], None]) -> None:
        """`gone` is called, in that thread, when nobody reads any more."""
        self._stream = stream
        self._gone = gone
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._n_waiting = 0  # bytes
        self._ended = False
        threading.Thread(target=self._run, name="outlet", daemon=True).start()

    def send(self, message: FromReader) -> None:
        """Send a message when there is room for it. Raises Ended; ValueError as `frame` does."""
        data = frame(message)
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._n_waiting <= MOST_WAITING)
            if self._ended:
                raise Ended
            self._waiting.append(data)
            self._n_waiting += len(data)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all of it is on its way."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or not self._n_waiting)

    def end(self) -> None:
        """Send nothing more, and let nobody wait."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or bool(self._waiting))
                if self._ended:
                    return
                data = self._waiting.popleft()
            try:
                self._stream.write(data)
                self._stream.flush()
            except OSError:
                self._gone()
                return
            with self._changed:
                self._n_waiting -= len(data)
                self._changed.notify_all()


def listen(descriptor: int, hear: Callable[[ToReader], None]) -> None:
    """Hear messages until there will be no more, or what arrives is none."""
    frames = Frames[ToReader](ToReader)
    try:
        while data := os.read(descriptor, _CHUNK):
            for message in frames.feed(data):
                hear(message)
    except (OSError, ProtocolError):
        return
