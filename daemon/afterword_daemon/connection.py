"""One client's connection to the daemon: frames, the greeting, and what it may cost.

Knows bytes, messages as such and limits; knows nothing of what they ask for: that is the handler's.
No client can do harm to another: each has bounds on what it may leave half sent, leave unread and
say at once, and whoever exceeds one is hung up on.
"""

import asyncio
import logging
from collections.abc import Iterator
from itertools import islice
from typing import Final, Protocol

from afterword_daemon import endpoint, protocol
from afterword_daemon.protocol import (
    Ask,
    Frames,
    Hello,
    ProtocolError,
    ToClient,
    ToDaemon,
    frame,
)

logger = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 32  # messages of one client before the others' turn; under a millisecond
MAX_UNREAD: Final = 1 << 20  # bytes that a client lets wait, beside what the kernel holds
READ_S: Final = 5.0  # from the first byte of a message to its last, and from connecting to Hello


class Handler(Protocol):
    """Who decides, and does what is asked."""

    def admit(self, client: "Client") -> bool:
        """Whether there is room for one more."""

    def greet(self, client: "Client", hello: Hello) -> None:
        """Answer the first message."""

    def handle(self, client: "Client", message: ToDaemon) -> None:
        """Do what any other message asks for."""

    def leave(self, client: "Client") -> None:
        """It is gone; also called for one that was not admitted."""


class Client(asyncio.Protocol):
    """Bytes in, messages to the handler; messages out; and the limits of both."""

    def __init__(self, handler: Handler, number: int) -> None:
        """`number` tells it from the others, in the log."""
        self.number = number
        self.is_served = False  # greeted, and in our protocol
        self._handler = handler
        self._frames = Frames[ToDaemon](ToDaemon)
        self._arrived: Iterator[ToDaemon] = iter(())
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._was_greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not endpoint.is_ours(transport.get_extra_info("socket")):
            self.drop("a process of another user")
        elif not self._handler.admit(self):
            self.drop("one too many")
        else:
            self._set_deadline()

    def data_received(self, data: bytes) -> None:
        self._arrived = self._frames.feed(data)
        self._hear_some()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        self._handler.leave(self)

    def send(self, message: ToClient) -> None:
        """Send, without ever waiting for the client to read."""
        if self._transport is None or self._is_gone:
            return
        self._transport.write(frame(message))
        if self._transport.get_write_buffer_size() > MAX_UNREAD:
            self.drop("it does not read")

    def hang_up(self) -> None:
        """When all is sent."""
        if self._transport:
            self._transport.close()

    def drop(self, reason: str) -> None:
        """Hang up now."""
        if self._transport:
            logger.warning("client %d dropped: %s", self.number, reason)
            self._transport.abort()

    @property
    def _is_gone(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def _hear_some(self) -> None:
        """A few of the messages that have arrived; before the rest, the other clients' turn."""
        if self._is_gone:
            return
        n_taken = 0
        try:
            for message in islice(self._arrived, MAX_AT_ONCE):
                self._clear_deadline()  # here alone: a byte now and then buys no more time
                self._hear(message)
                n_taken += 1
                if self._is_gone:
                    return
        except ProtocolError as error:
            self.drop(str(error))
            return
        assert self._transport
        if n_taken == MAX_AT_ONCE:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._hear_some)
            return
        self._transport.resume_reading()
        if self._frames.is_partial and not self._deadline:
            self._set_deadline()

    def _hear(self, message: ToDaemon) -> None:
        if self.is_served:
            self._handler.handle(self, message)
        elif not self._was_greeted and isinstance(message, Hello):
            self._was_greeted = True
            self.is_served = message.protocol == protocol.PROTOCOL_VERSION
            self._handler.greet(self, message)
        elif self._was_greeted and isinstance(message, Ask) and message.what in ("drain", "stop"):
            self._handler.handle(self, message)
        else:
            self.drop("no greeting in our protocol")

    def _set_deadline(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(READ_S, self.drop, "half a message")

    def _clear_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
