"""The way to the daemon: connect, start one if there is none, ask, and hear what it tells.

Knows the greeting, frames and time-outs; knows nothing of models or editors. `Connection` waits
for its answers, as a command does. `Link` keeps nobody waiting, as a language server must: while
there is no daemon it answers None and goes on trying.

    DaemonError
    + NotRunningError    there is no daemon, and none was to be started
    + StartError         one was started and did not come up
    + SkewError          the one there is speaks another protocol, and must not be replaced now
    + LostError          it went away, or did not answer in time
    + RefusedError       it answered that it will not
"""

import asyncio
import itertools
import logging
import os
import random
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import astuple
from typing import Any, Final, Literal, TypeVar

import msgspec
from afterword_trainer import durable
from afterword_trainer.durable import LockedError, StateError
from afterword_trainer.paths import Paths

from afterword_daemon import endpoint, protocol
from afterword_daemon.endpoint import Socket
from afterword_daemon.protocol import (
    Ask,
    Cancel,
    Changed,
    Complete,
    Completed,
    Failed,
    Frames,
    Hello,
    ProtocolError,
    ToClient,
    ToDaemon,
    Told,
    Welcome,
    frame,
)

logger = logging.getLogger(__name__)

START_S: Final = 10.0  # from no daemon to one that answers; it takes half a second
GREETING_S: Final = 2.0  # a daemon that loads another model may be silent for a moment
ANSWER_S: Final = 5.0  # for a command; nobody waits longer without an explanation
SETTLED_S: Final = 600.0  # a newer daemon is not replaced before it has run so long
FIRST_S, LAST_S = 0.2, 10.0  # between attempts to connect again: twice as long each time
BROKEN_S: Final = 60.0  # the longest between attempts to start what does not come up, or dies soon
MAX_UNSENT: Final = 1 << 20  # bytes that wait for a daemon that does not read

What = Literal[
    "status", "stats", "why", "pause", "resume", "reload", "forget", "clear-stats", "drain", "stop"
]
# What a daemon is started with, followed by a descriptor to report on and the six paths.
COMMAND: Final = (sys.executable, "-m", "afterword_daemon.process")

Answer = TypeVar("Answer")
Steps = Generator[float, None, Answer]  # yields seconds to wait before it is asked to go on


class DaemonError(Exception):
    """What was asked of the daemon did not happen; a sentence for the user."""


class NotRunningError(DaemonError):
    """There is no daemon."""

    def __init__(self) -> None:
        super().__init__("the daemon is not running; start it with: afterword start")


class StartError(DaemonError):
    """The daemon did not start."""


class SkewError(DaemonError):
    """Daemon and client are of different versions."""


class LostError(DaemonError):
    """The daemon went away or is silent."""


class RefusedError(DaemonError):
    """The daemon's answer is `Failed`."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message or f"the daemon refused the request: {failed.code}")
        self.code = failed.code


# -- for commands ------------------------------------------------------------------------------


class Connection:
    """A conversation with the daemon in which each question waits for its answer."""

    def __init__(self, connection: Socket) -> None:
        """Over a connected socket; most want `open`."""
        self._socket = connection
        self._frames = Frames[ToClient](ToClient)
        self._arrived: deque[ToClient] = deque()
        self._ids = itertools.count(1)
        self.changed: Changed | None = None  # what the daemon last told about itself

    @classmethod
    def open(
        cls, paths: Paths, *, spawn: bool, client: str, command: Sequence[str] = COMMAND
    ) -> "Connection":
        """Greet the daemon; with `spawn`, start one where there is none, and replace an old one.

        Raises NotRunningError, StartError, SkewError or LostError.
        """
        give_up = time.monotonic() + GREETING_S
        may_replace = spawn
        while True:
            connection = cls(_at_once(_reached(paths, spawn=spawn, command=command)))
            try:
                welcome = connection._greet(client)
                if welcome.protocol == protocol.PROTOCOL_VERSION:
                    return connection
                if not may_replace or not _gives_way(paths, welcome):
                    raise SkewError(_skew(welcome))
                may_replace = False  # what we start may be of another version too
                connection._end("drain")
            except LostError:
                # It may have been on its way out, and then there is another one soon, or none.
                if time.monotonic() > give_up:
                    connection.close()
                    raise
            except SkewError:
                connection.close()
                raise
            connection.close()
            time.sleep(_PAUSE_S)

    def ask(self, what: What, document: str = "", *, timeout_s: float = ANSWER_S) -> dict[str, Any]:
        """The daemon's answer. Raises LostError or RefusedError."""
        id = next(self._ids)
        self.send(Ask(id=id, what=what, document=document))
        told = self._receive(Told, timeout_s, id)
        return told.facts

    def complete(self, before: str, *, timeout_s: float = ANSWER_S, **fields: Any) -> Completed:
        """What could follow `before`; `fields` as in `Complete`. Raises LostError, RefusedError."""
        id = next(self._ids)
        fields.setdefault("document", "")
        self.send(Complete(id=id, before=before, **fields))
        return self._receive(Completed, timeout_s, id)

    def send(self, message: ToDaemon) -> None:
        """Say what wants no answer. Raises LostError; ValueError for text that is no Unicode."""
        data = frame(message)
        try:
            self._socket.settimeout(ANSWER_S)
            self._socket.sendall(data)
        except OSError as error:
            raise LostError("the connection to the daemon broke; try again") from error

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _greet(self, client: str) -> Welcome:
        self.send(_hello(client))
        return self._receive(Welcome, GREETING_S)

    def _end(self, what: Literal["drain", "stop"]) -> None:
        """Ask it to end and wait until it hangs up, whatever it says in whichever version."""
        self.send(Ask(id=next(self._ids), what=what))
        self._socket.settimeout(ANSWER_S)
        try:
            while self._socket.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        except OSError as error:
            raise LostError("the daemon does not end; see: afterword doctor") from error

    def _receive(self, kind: type[Answer], timeout_s: float, id: int | None = None) -> Answer:
        """The next message of this kind and id; others that come before it are passed over."""
        deadline = time.monotonic() + timeout_s
        while True:
            while not self._arrived:
                self._receive_some(deadline)
            message = self._arrived.popleft()
            if isinstance(message, Changed):
                self.changed = message
            elif isinstance(message, Failed) and message.id == id:
                raise RefusedError(message)
            elif isinstance(message, kind) and getattr(message, "id", None) == id:
                return message

    def _receive_some(self, deadline: float) -> None:
        try:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._socket.recv(1 << 16)
            self._arrived.extend(self._frames.feed(data))
        except TimeoutError as error:
            raise LostError("the daemon does not answer; see: afterword doctor") from error
        except (OSError, ProtocolError) as error:
            raise LostError("the connection to the daemon broke; try again") from error
        if not data:
            raise LostError("the daemon hung up; try again, or see: afterword logs")


def stop(paths: Paths, *, client: str) -> bool:
    """End the daemon, of whatever version, and wait until it is gone; False if there was none.

    Raises LostError if it does not end.
    """
    try:
        connected = _at_once(_reached(paths, spawn=False, command=()))
    except NotRunningError:
        return False
    with Connection(connected) as connection, suppress(LostError):  # it may be ending already
        connection._greet(client)
        connection._end("stop")
    try:
        with endpoint.claimed(paths, wait_s=ANSWER_S):
            return True
    except LockedError as error:
        raise LostError(str(error)) from error


# -- for a language server ---------------------------------------------------------------------


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
        self._next_replacement = 0.0  # what we start may be of another version too
        self.problem: DaemonError | None = None  # why there is no daemon; None: there is one

    def start(self) -> None:
        """Begin to connect; from within the event loop."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    @property
    def is_connected(self) -> bool:
        """Whether a request would reach a daemon."""
        return self._wire is not None

    async def complete(self, request: Complete, *, timeout_s: float = 1.0) -> Completed | None:
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
        self, what: What, document: str = "", *, timeout_s: float = ANSWER_S
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
        pause_s = FIRST_S
        while True:
            try:
                wire = await self._greeted()
            except DaemonError as error:
                self._note(error)
            else:
                self.problem, self._may_start = None, self._spawn
                since = time.monotonic()
                try:
                    await self._served_by(wire)
                finally:
                    wire.abort()
                    self._wire = None
                # One that was told to end is not to be started again by those who did not ask.
                self._may_start = self._spawn and not wire.was_ended
                self.problem = LostError("the connection to the daemon broke")
                self._changed(None)
                if time.monotonic() - since > LAST_S:
                    pause_s = FIRST_S  # else it dies as soon as it is asked, and time must pass
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # not all editors at once
            pause_s = min(2 * pause_s, BROKEN_S if self._may_start else LAST_S)

    async def _served_by(self, wire: "_Wire") -> None:
        self._wire = wire
        wire.hear(self._changed)
        await wire.lost.wait()

    def _note(self, error: DaemonError) -> None:
        if type(error) is not type(self.problem):  # once, and not at every attempt
            logger.warning("no daemon: %s", error)
        self.problem = error

    async def _greeted(self) -> "_Wire":
        loop = asyncio.get_running_loop()
        steps = _reached(self._paths, spawn=self._may_start, command=self._command)
        connected = await _in_steps(steps)
        try:
            _, wire = await loop.create_unix_connection(_Wire, sock=connected)
        except OSError as error:
            raise LostError("the connection to the daemon broke") from error
        try:
            wire.send(_hello(self._client))
            try:
                welcome = await asyncio.wait_for(wire.welcome, GREETING_S)
            except asyncio.TimeoutError as error:
                raise LostError("the daemon does not answer; see: afterword doctor") from error
            if welcome.protocol == protocol.PROTOCOL_VERSION:
                return wire
            is_too_soon = time.monotonic() < self._next_replacement
            if not self._spawn or is_too_soon or not _gives_way(self._paths, welcome):
                raise SkewError(_skew(welcome))
            self._next_replacement = time.monotonic() + SETTLED_S
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
                self._take(message)
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

    def _take(self, message: ToClient) -> None:
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


# -- connect or start --------------------------------------------------------------------------

_PAUSE_S = 0.02  # between two looks at what somebody else is doing


def _at_once(steps: Steps[Answer]) -> Answer:
    """The result, waiting where there is something to wait for."""
    while True:
        try:
            time.sleep(next(steps))
        except StopIteration as end:
            answer: Answer = end.value
            return answer


async def _in_steps(steps: Steps[Answer]) -> Answer:
    """The same in an event loop. Whoever is cancelled here leaves nothing half done."""
    try:
        while True:
            pause_s = next(steps)
            await asyncio.sleep(pause_s)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    finally:
        steps.close()


def _reached(paths: Paths, *, spawn: bool, command: Sequence[str]) -> Steps[Socket]:
    """Steps to a connection. Raises NotRunningError or StartError."""
    deadline = time.monotonic() + START_S
    while True:
        with suppress(BlockingIOError):  # it is there, and others are before us
            if connection := endpoint.connect(paths):
                return connection
            if not spawn:
                raise NotRunningError
            try:
                with durable.locked(endpoint.start_lock_of(paths)):
                    # Who held it before may have started one.
                    if connection := endpoint.connect(paths):
                        return connection
                    yield from _started(paths, command, deadline)
                    continue
            except LockedError:
                pass  # somebody is starting one
            except StateError as error:
                raise StartError(str(error)) from error
        if time.monotonic() > deadline:
            raise StartError(
                f"{paths.data}: no daemon has come up within {START_S:g} seconds; "
                "see: afterword doctor"
            )
        yield _PAUSE_S


def _started(paths: Paths, command: Sequence[str], deadline: float) -> Steps[None]:
    """Steps to a daemon that is ready, or that found another one. Raises StartError."""
    errors = durable.continue_log(paths.logs / "daemon.err", at_most=1 << 16)
    reports, reports_to = os.pipe()
    process = None
    try:
        os.set_blocking(reports, False)
        try:
            process = subprocess.Popen(
                [*command, str(reports_to), *map(str, astuple(paths))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[reports_to],
                cwd="/",  # it shall keep no disk busy
                start_new_session=True,  # what ends the editor's terminal shall not end it
            )
        except OSError as error:
            raise StartError(f"{command[0]}: cannot be started ({error.strerror})") from error
        finally:
            os.close(reports_to)
        report = b""
        while report not in (endpoint.READY, endpoint.OTHER):
            if time.monotonic() > deadline:
                reason = f"it was not ready within {START_S:g} seconds; see: afterword logs"
                raise StartError(f"the daemon cannot start: {reason}")
            try:
                part = os.read(reports, 1 << 16)
            except BlockingIOError:
                yield 0.005
                continue
            if not part:
                reason = report.decode(errors="replace")
                reason = reason or f"it ended; see {paths.logs / 'daemon.err'}"
                raise StartError(f"the daemon cannot start: {reason}")
            report += part
    finally:
        os.close(reports)
        os.close(errors)
        if process is not None:
            # It is only the daemon's parent, and gone as soon as there is a daemon.
            process.kill()
            process.wait()


def _hello(client: str) -> Hello:
    return Hello(protocol=protocol.PROTOCOL_VERSION, build=endpoint.build(), client=client)


def _gives_way(paths: Paths, welcome: Welcome) -> bool:
    """Whether a daemon of another protocol may be ended for one of ours.

    An older one always. A newer one only when it has run for a while: else two installations of
    different age would replace each other's daemon for ever.
    """
    note = endpoint.read(paths)
    age_s = time.time() - note.started if note else SETTLED_S
    return welcome.protocol < protocol.PROTOCOL_VERSION or not 0 <= age_s < SETTLED_S


def _skew(welcome: Welcome) -> str:
    return (
        f"the daemon speaks protocol {welcome.protocol} and this program "
        f"{protocol.PROTOCOL_VERSION}; bring both to the same version, then: afterword restart"
    )
