"""The daemon as a language server has it: there most of the time, and never in the way.

Knows the event loop, how often to try again, and who waits for which answer; knows nothing of
models or editors. While there is no daemon every answer is None, and the link goes on trying.
"""

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from afterword_trainer.paths import Paths

from afterword_daemon import discreet, protocol, starting
from afterword_daemon.protocol import (
    Ask,
    Cancel,
    Changed,
    Complete,
    Completed,
    Failed,
    Frames,
    Order,
    ProtocolError,
    ToClient,
    ToDaemon,
    Told,
    Welcome,
    frame,
)
from afterword_daemon.starting import (
    ANSWER_S,
    COMMAND,
    GREETING_S,
    DaemonError,
    DyingError,
    LostError,
    NotRunningError,
    RefusedError,
)

logger = logging.getLogger(__name__)

FIRST_S, LAST_S = 0.2, 10.0  # between attempts to connect again: twice as long each time
BROKEN_S: Final = 60.0  # the longest between attempts to start what does not come up, or dies soon
YOUNG_S: Final = 10.0  # a daemon that ends sooner may do so each time it is asked
DYING: Final = 2  # times in a row; once is an accident
MAX_UNSENT: Final = 1 << 20  # bytes that wait for a daemon that does not read


class Link:
    """The daemon as seen from an event loop: there most of the time, and never in the way."""

    def __init__(
        self,
        paths: Paths,
        *,
        client: str,
        changed: Callable[[Changed | None], None] = lambda _: None,
        spawn: bool = True,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """`changed` hears what the daemon is about: once after each greeting and from then on.

        It hears None when the daemon is gone. After a greeting the daemon knows no documents.
        """
        self._paths = paths
        self._client = client
        self._changed = changed
        self._spawn = spawn
        self._command = command
        self._ids = itertools.count(1)
        self._wire: _Wire | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._may_start = spawn
        self._may_replace = spawn  # once: what we start may be of another version too
        self.problem: DaemonError | None = None  # why there is no daemon; None: there is one

    def start(self) -> None:
        """Begin to connect; from within the event loop."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    @property
    def is_connected(self) -> bool:
        """Whether a request would reach a daemon."""
        return self._wire is not None

    @property
    def n_unsent(self) -> int:
        """Bytes that the daemon has yet to read."""
        return self._wire.n_unsent if self._wire else 0

    async def complete(self, request: Complete, *, timeout_s: float) -> Completed | None:
        """The answer, or None if nobody gave one; its id is ours to choose.

        A caller who is cancelled cancels the request.
        """
        try:
            answer = await self._ask(
                msgspec.structs.replace(request, id=next(self._ids)), timeout_s
            )
        except DaemonError:
            return None
        return answer if isinstance(answer, Completed) else None

    async def ask(
        self, what: Order, document: str = "", *, timeout_s: float = ANSWER_S
    ) -> dict[str, Any]:
        """The daemon's answer. Raises NotRunningError, LostError or RefusedError."""
        ask = Ask(id=next(self._ids), what=what, document=document)
        answer = await self._ask(ask, timeout_s)
        return answer.facts if isinstance(answer, Told) else {}

    def send(self, message: ToDaemon) -> bool:
        """Say what wants no answer; whether it is on its way."""
        wire = self._wire
        if wire is None or wire.n_unsent > MAX_UNSENT:
            return False
        try:
            wire.send(message)
        except ValueError:  # text that is no Unicode: nothing can be said of it
            return False
        return True

    async def close(self) -> None:
        """Hang up at once, and stop trying."""
        if self._keeper:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None

    async def _ask(self, request: Complete | Ask, timeout_s: float) -> Completed | Told:
        wire = self._wire
        if wire is None:
            raise self.problem or NotRunningError()
        answer: asyncio.Future[Completed | Told] = asyncio.get_running_loop().create_future()
        wire.awaited[request.id] = answer
        try:
            if not self.send(request):
                raise LostError("the daemon does not read; see: afterword doctor")
            return await asyncio.wait_for(answer, timeout_s)
        except asyncio.TimeoutError as error:
            raise LostError("the daemon does not answer; see: afterword doctor") from error
        finally:
            if wire.awaited.pop(request.id, None) and answer.cancelled():
                self.send(Cancel(id=request.id))

    async def _keep(self) -> None:
        """Be connected, and be so again soon after a daemon was lost."""
        pause_s, n_died = FIRST_S, 0
        while True:
            try:
                if await self._served():
                    pause_s, n_died = FIRST_S, 0
                else:
                    n_died += 1
                self._note(
                    LostError("the connection to the daemon broke")
                    if n_died < DYING
                    else DyingError(n_died)
                )
                self._tell(None)
            except DaemonError as error:
                self._note(error)
            except Exception as error:  # whatever it is, there may be a daemon again soon
                logger.error("the link to the daemon failed: %s", discreet.without_text(error))
                self._note(LostError("the connection to the daemon failed; see the log"))
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # not all editors at once
            pause_s = min(2 * pause_s, BROKEN_S if self._may_start else LAST_S)

    async def _served(self) -> bool:
        """Be connected once, until the daemon is lost; False if that was too soon to be well."""
        wire = await self._greeted()
        since = time.monotonic()
        self.problem, self._may_start = None, self._spawn
        self._wire = wire
        try:
            wire.hear(self._tell)
            await wire.lost.wait()
        finally:
            wire.abort()
            self._wire = None
        # One that was told to end is not to be started again by those who did not ask.
        self._may_start = self._spawn and not wire.was_ended
        return wire.was_ended or time.monotonic() - since > YOUNG_S

    def _tell(self, state: Changed | None) -> None:
        try:
            self._changed(state)
        except Exception as error:  # the listener's own; the link is none the worse for it
            logger.error("who was told of the daemon failed: %s", discreet.without_text(error))

    def _note(self, error: DaemonError) -> None:
        if type(error) is not type(self.problem):  # once, and not at every attempt
            logger.warning("no daemon: %s", error)
        self.problem = error

    async def _greeted(self) -> "_Wire":
        loop = asyncio.get_running_loop()
        steps = starting.reached(self._paths, spawn=self._may_start, command=self._command)
        connected = await starting.in_steps(steps)
        try:
            _, wire = await loop.create_unix_connection(_Wire, sock=connected)
        except OSError as error:
            raise LostError("the connection to the daemon broke") from error
        try:
            wire.send(starting.hello(self._client))
            try:
                welcome = await asyncio.wait_for(wire.welcome, GREETING_S)
            except asyncio.TimeoutError as error:
                raise LostError("the daemon does not answer; see: afterword doctor") from error
            if welcome.protocol == protocol.PROTOCOL_VERSION:
                return wire
            if not self._may_replace or welcome.protocol > protocol.PROTOCOL_VERSION:
                raise starting.skew(welcome)
            self._may_replace = False
            wire.send(Ask(id=0, what="drain"))
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(wire.lost.wait(), ANSWER_S)
        except BaseException:
            wire.abort()
            raise
        wire.abort()
        self._may_start = True
        return await self._greeted()


class _Wire(asyncio.Protocol):
    """One connection of a `Link`: bytes in, messages to whoever waits for them."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._frames = Frames[ToClient](ToClient)
        self._transport: asyncio.Transport | None = None
        self._changed: Callable[[Changed | None], None] | None = None
        self._last: Changed | None = None
        self.awaited: dict[int, asyncio.Future[Completed | Told]] = {}
        self.welcome: asyncio.Future[Welcome] = loop.create_future()
        self.lost = asyncio.Event()
        self.was_ended = False  # by somebody's wish

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.feed(data):
                self._deliver(message)
        except ProtocolError as error:
            logger.warning("the daemon said what is no message: %s", error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        gone = LostError("the daemon hung up")
        if not self.welcome.done():
            self.welcome.set_exception(gone)
            self.welcome.exception()  # seen, should nobody wait for it
        for answer in self.awaited.values():
            if not answer.done():
                answer.set_exception(gone)
        self.lost.set()

    @property
    def n_unsent(self) -> int:
        """Bytes that the daemon has yet to read."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    def send(self, message: ToDaemon) -> None:
        """Raises ValueError for text that is no Unicode."""
        data = frame(message)
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def hear(self, changed: Callable[[Changed | None], None]) -> None:
        """Pass on what the daemon tells about itself, what it told already first."""
        self._changed = changed
        if self._last:
            changed(self._last)

    def abort(self) -> None:
        """Hang up; what was not sent is dropped."""
        if self._transport:
            self._transport.abort()

    def _deliver(self, message: ToClient) -> None:
        match message:
            case Welcome():
                if not self.welcome.done():
                    self.welcome.set_result(message)
            case Changed():
                self._last = message
                self.was_ended |= message.state == "draining"
                if self._changed:
                    self._changed(message)
            case Completed() | Told() | Failed():
                future = self.awaited.get(message.id)
                if future is None or future.done():
                    return  # nobody waits any more
                if isinstance(message, Failed):
                    future.set_exception(RefusedError(message))
                else:
                    future.set_result(message)
