"""At the daemon's place: it notes what it hears, and answers when a test wants it to."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import TypeVar

from afterword_daemon import endpoint, protocol
from afterword_daemon.protocol import (
    Ask,
    Changed,
    Complete,
    Completed,
    Frames,
    Hello,
    Item,
    ToClient,
    ToDaemon,
    Told,
    Welcome,
    frame,
)
from afterword_trainer.paths import Paths

TIMEOUT_S = 20.0  # ends a test that hangs

Kind = TypeVar("Kind")


class Listening(asyncio.Protocol):
    """A daemon for one client, which learns nothing and always has the same idea."""

    def __init__(self, text: str = "ver rose slowly") -> None:
        self.heard: list[ToDaemon] = []
        self.unanswered: list[Complete] = []
        self.answers = True  # False: requests wait in `unanswered`
        self.greets = True  # False: so does the greeting
        self.news = Changed(state="ready", model="one")  # told with the greeting
        self._hello: Hello | None = None
        self._text = text
        self._frames = Frames[ToDaemon](ToDaemon)
        self._accepting: asyncio.Server | None = None
        self.transport: asyncio.Transport | None = None

    async def open(self, paths: Paths) -> None:
        """Be found where a client of these paths looks for its daemon."""
        listener = endpoint.listen(paths)
        loop = asyncio.get_running_loop()
        self._accepting = await loop.create_unix_server(lambda: self, sock=listener.socket)
        version = protocol.PROTOCOL_VERSION
        endpoint.announce(paths, listener, protocol=version, started=time.time())

    def close(self) -> None:
        """Hang up."""
        if self.transport:
            self.transport.abort()
        if self._accepting:
            self._accepting.close()

    def all(self, kind: type[Kind]) -> list[Kind]:
        """What was heard of a kind."""
        return [message for message in self.heard if isinstance(message, kind)]

    def say(self, message: ToClient) -> None:
        assert self.transport
        self.transport.write(frame(message))

    def greet(self) -> None:
        """Answer the greeting; ready from here on."""
        self.greets = True
        version, build = protocol.PROTOCOL_VERSION, endpoint.build()
        self.say(Welcome(protocol=version, build=build, pid=os.getpid()))
        self.say(self.news)

    def answer(self, request: Complete) -> None:
        item = Item(id=str(request.id), text=self._text)
        self.say(Completed(id=request.id, items=(item,), model="one"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            self.heard.append(message)
            match message:
                case Hello() if self.greets:
                    self.greet()
                case Complete() if self.answers:
                    self.answer(message)
                case Complete():
                    self.unanswered.append(message)
                case Ask():
                    self.say(Told(id=message.id))


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until something is true."""
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)
