"""LSP's frames over the process's own pipes, on the event loop.

Knows frames, pipes and their limits; what is in a frame is for whoever handles it. pygls reads
with a pool of threads, three hand-overs for each message, and writes blocking: an editor that
stops reading would stop the server. Here both are non-blocking, and what waits is bounded. A file
or a terminal, where the loop cannot wait, is read by a thread and written to with blocking: nobody
edits through one.
"""

import asyncio
import ctypes
import os
import re
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

MOST_BYTES_IN_FRAME: Final = 64 << 20  # no document that is served is as long
MOST_BYTES_IN_HEADER: Final = 8 << 10
MANY_BYTES: Final = 1 << 20  # of a body, of which three copies were made and are gone
MOST_BYTES_UNREAD: Final = 8 << 20  # by an editor that has stopped reading; it is left then


class Frames:
    """Bytes as they arrive, in whatever portions; bodies as they are complete.

    What is no frame is passed over to the next header that can be one.
    """

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._n_body: int | None = None  # bytes of the body that has begun

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that `data` completes."""
        self._waiting += data
        while True:
            if self._n_body is None and not self._header():
                return
            if self._n_body is None:
                continue
            if len(self._waiting) < self._n_body:
                return
            body = bytes(self._waiting[: self._n_body])
            del self._waiting[: self._n_body]
            self._n_body = None
            yield body

    def _header(self) -> bool:
        """Read one block of header lines; False if none is complete."""
        end = self._waiting.find(b"\r\n\r\n")
        if end < 0:
            if len(self._waiting) > MOST_BYTES_IN_HEADER:
                del self._waiting[:-MOST_BYTES_IN_HEADER]
            return False
        # The last one counts: what stands before it is the rest of something that was no frame.
        lengths = _LENGTH.findall(self._waiting, max(0, end - MOST_BYTES_IN_HEADER), end)
        if lengths and int(lengths[-1]) <= MOST_BYTES_IN_FRAME:
            self._n_body = int(lengths[-1])
        del self._waiting[: end + 4]
        return True


class Pipes(asyncio.Protocol):
    """An editor at the other end of two pipes. `left` is set when it is gone, or to be left."""

    def __init__(self, handle: Callable[[bytes], None]) -> None:
        """`handle` is given the body of each message."""
        self._loop = asyncio.get_running_loop()
        self._handle = handle
        self._frames = Frames()
        self._bodies: deque[bytes] = deque()
        self._has_ended = False  # the editor will say no more
        self._in: asyncio.ReadTransport | None = None
        self._out: asyncio.WriteTransport | None = None
        self._out_fd = -1
        self.left = asyncio.Event()

    async def open(self, in_fd: int, out_fd: int) -> None:
        """Begin to read and to write."""
        self._out_fd = out_fd
        if _is_pipe(out_fd):
            pipe = os.fdopen(out_fd, "wb", buffering=0, closefd=False)
            self._out, _ = await self._loop.connect_write_pipe(lambda: _Out(self.left), pipe)
        else:
            os.set_blocking(out_fd, True)  # a shell may have left its terminal otherwise
        if _is_pipe(in_fd):
            pipe = os.fdopen(in_fd, "rb", buffering=0, closefd=False)
            self._in, _ = await self._loop.connect_read_pipe(lambda: self, pipe)
        else:  # a file or a terminal, which the loop cannot wait for
            threading.Thread(target=self._read, args=(in_fd,), daemon=True).start()

    def write(self, data: bytes) -> None:
        """Send it without waiting; the name is the one that pygls looks for."""
        if self.left.is_set():
            return
        if self._out is None:
            self._write_all(data)
            return
        self._out.write(data)
        if self._out.get_write_buffer_size() > MOST_BYTES_UNREAD:
            self.left.set()

    def _write_all(self, data: bytes) -> None:
        """Half a frame would be the beginning of the next one."""
        try:
            while data:
                data = data[os.write(self._out_fd, data) :]
        except OSError:
            self.left.set()

    def close(self) -> None:
        """Leave the editor, at once; what it has not read by now is dropped."""
        self.left.set()
        if self._in:
            self._in.close()
        if self._out and not self._out.is_closing():
            self._out.abort()

    def data_received(self, data: bytes) -> None:
        was_empty = not self._bodies
        self._bodies.extend(self._frames.feed(data))
        if was_empty and self._bodies:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_ended = True
        if not self._bodies:
            self.left.set()

    def _next(self) -> None:
        """Handle one message. The others wait for the loop's next turn.

        A request takes its first steps in that turn, so it sees the document as it was when it
        was sent, whatever changes came behind it in the same portion.
        """
        self._handle(self._bodies[0])
        if len(self._bodies.popleft()) > MANY_BYTES:
            _give_back()
        if self._bodies and not self.left.is_set():
            self._loop.call_soon(self._next)
        elif self._has_ended:
            self.left.set()

    def _read(self, fd: int) -> None:
        with suppress(RuntimeError):  # the loop has ended
            while data := os.read(fd, 1 << 16):
                self._loop.call_soon_threadsafe(self.data_received, data)
            self._loop.call_soon_threadsafe(self.connection_lost, None)


class _Out(asyncio.BaseProtocol):
    """Sees the editor close its end."""

    def __init__(self, left: asyncio.Event) -> None:
        self._left = left

    def connection_lost(self, exc: Exception | None) -> None:
        self._left.set()


_LENGTH: Final = re.compile(rb"content-length:[ \t]*([0-9]{1,10})(?![0-9])", re.IGNORECASE)


def _give_back() -> None:
    """Have the C library return what is free, if it knows how to: 9 MB after a text of 10, 0.4 ms.

    It keeps as much as the largest piece that was ever freed, in case it is wanted again.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _is_pipe(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
