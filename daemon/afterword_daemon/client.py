"""The daemon as a command has it: each question waits for its answer.

Knows frames and time-outs; knows nothing of models. How a daemon is found or started, and what
can go wrong with it, is `starting`; what keeps nobody waiting is `link`.
"""

import itertools
import os
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import msgspec
from afterword_trainer.durable import LockedError
from afterword_trainer.paths import Paths

from afterword_daemon import endpoint, protocol, starting
from afterword_daemon.endpoint import Socket
from afterword_daemon.link import Link
from afterword_daemon.protocol import (
    Ask,
    Changed,
    Complete,
    Completed,
    Failed,
    Frames,
    Order,
    ProtocolError,
    Status,
    ToClient,
    ToDaemon,
    Told,
    Welcome,
    frame,
)
from afterword_daemon.protocol import Order as What
from afterword_daemon.starting import (
    ANSWER_S,
    COMMAND,
    GREETING_S,
    PAUSE_S,
    Answer,
    DaemonError,
    LostError,
    NotRunningError,
    RefusedError,
    SkewError,
    StartError,
)

# One place from which to import all that can be had of a daemon.
__all__ = [
    "COMMAND",
    "Connection",
    "DaemonError",
    "Link",
    "LostError",
    "NotRunningError",
    "RefusedError",
    "SkewError",
    "StartError",
    "What",
    "stop",
]


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
            connection = cls(
                starting.at_once(starting.reached(paths, spawn=spawn, command=command))
            )
            try:
                welcome = connection._greet(client)
                if welcome.protocol == protocol.PROTOCOL_VERSION:
                    return connection
                if not may_replace or welcome.protocol > protocol.PROTOCOL_VERSION:
                    raise starting.skew(welcome)
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
            time.sleep(PAUSE_S)

    def ask(
        self, what: Order, document: str = "", *, timeout_s: float = ANSWER_S
    ) -> dict[str, Any]:
        """The daemon's answer. Raises LostError or RefusedError."""
        id = next(self._ids)
        self.send(Ask(id=id, what=what, document=document))
        told = self._receive(Told, timeout_s, id)
        return told.facts

    def status(self, *, timeout_s: float = ANSWER_S) -> Status:
        """How the daemon is, of whichever build. Raises LostError or RefusedError."""
        try:
            return msgspec.convert(self.ask("status", timeout_s=timeout_s), Status)
        except msgspec.ValidationError as error:
            what = "the daemon tells what this program does not understand; try: afterword restart"
            raise LostError(what) from error

    def complete(self, request: Complete, *, timeout_s: float = ANSWER_S) -> Completed:
        """The answer; its id is ours to choose. Raises LostError or RefusedError."""
        id = next(self._ids)
        self.send(msgspec.structs.replace(request, id=id))
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
        self.send(starting.hello(client))
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


Stopped = Literal["", "asked", "forced"]
GOING_S = 1.5  # for a daemon to be gone that is ending already, or was sent a signal


def stop(paths: Paths, *, client: str) -> Stopped:
    """End the daemon, of whatever version, and wait until it is gone; how, "" if there was none.

    One that does not answer is sent SIGTERM and then SIGKILL. Another may have come up by then,
    begun by somebody else. Raises LostError if it does not end.
    """
    told, pid = endpoint.read(paths), endpoint.holder(paths)
    was_asked = False
    try:
        connected = starting.at_once(starting.reached(paths, spawn=False, command=()))
    except NotRunningError:
        if pid is None:
            return ""
    except LostError:
        if pid is None:
            raise
    else:
        with Connection(connected) as connection, suppress(LostError):  # it may be ending already
            connection._greet(client)
            connection._end("stop")
            was_asked = True
    if pid is not None:
        if _is_gone(paths, pid, ANSWER_S if was_asked else GOING_S):
            return "asked"
        if _is_forced_out(paths, pid):
            return "forced"
        raise LostError(f"the daemon, process {pid}, does not end; end it with: kill -9 {pid}")
    try:
        with endpoint.claimed(paths, wait_s=ANSWER_S):
            return "asked"
    except LockedError as error:
        now = endpoint.read(paths)
        if told and now and now.pid != told.pid:
            return "asked"
        raise LostError(str(error)) from error


def _is_gone(paths: Paths, pid: int, within_s: float) -> bool:
    """Whether that process lets go of the lock in time; another one may have it then."""
    deadline = time.monotonic() + within_s
    while endpoint.holder(paths) == pid:
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_S)
    return True


def _is_forced_out(paths: Paths, pid: int) -> bool:
    """End the process that holds the lock, if it is this user's; whether it is gone."""
    import psutil  # 6 ms, and seldom needed

    try:
        # From here on a process that gets the same number is told from this one and left alone.
        process = psutil.Process(pid)
        if process.uids().effective != os.geteuid() or endpoint.holder(paths) != pid:
            return endpoint.holder(paths) != pid
        for send in (process.terminate, process.kill):
            send()
            if _is_gone(paths, pid, GOING_S):
                return True
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        pass
    return False
