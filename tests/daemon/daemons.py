"""Real daemons in homes of their own, with a tiny real model; and raw clients that misbehave.

Run as a script it is a daemon with some constants changed and an engine that obeys marks in the
text: for what else would take minutes, another version, or bad luck.
"""

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from afterword_daemon import client, endpoint, protocol
from afterword_daemon.client import Connection
from afterword_daemon.protocol import Complete, Frames, Hello, ToClient, frame
from afterword_trainer.paths import Paths

TIMEOUT_S = 20.0  # ends a test that hangs; nothing here should take a tenth of it

# What the engine of an odd daemon does with a text that ends so.
WAIT = "<wait>"  # it answers when nobody wants the answer any more
FAIL = "<fail>"  # it fails, and quotes the text in doing so
DIE = "<die>"  # the process is gone, as when a library crashes
UNFIT = "you-unfit"  # a model that it cannot run


def paths_in(home: Path) -> Paths:
    """All that a daemon has, in one folder; the base model, if any, is in `home/base`."""
    return Paths.from_environment(
        {"AFTERWORD_HOME": str(home), "AFTERWORD_BASE": str(home / "base")}
    )


def odd(**changes: Any) -> tuple[str, ...]:
    """A command for a daemon in which constants are others: `odd(server__LOOK_S=0.1)`."""
    return (sys.executable, __file__, json.dumps(changes))


def connect(paths: Paths, *command: str) -> Connection:
    """A greeted connection to the daemon of these paths, started if need be."""
    return Connection.open(paths, spawn=True, client="afterword", command=command or client.COMMAND)


def request(before: str, document: str = "one", **fields: Any) -> Complete:
    """What could follow `before`? Whoever asks it chooses the id."""
    return Complete(id=0, document=document, before=before, **fields)


def pid_of(paths: Paths) -> int:
    """The process that says it serves these paths."""
    note = endpoint.read(paths)
    assert note
    return note.pid


def lives(pid: int) -> bool:
    """Whether there is such a process; one that waits for its parent to notice its end is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(condition: Callable[[], bool], within_s: float = TIMEOUT_S) -> bool:
    """Whether it becomes true, looked at often."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return condition()


def clear_up(paths: Paths) -> None:
    """Nothing that a test started outlives it."""
    note = endpoint.read(paths)
    with suppress(client.DaemonError):
        client.stop(paths, client="afterword")
    if note and str(paths.data).encode() in _command_line(note.pid):
        os.kill(note.pid, signal.SIGKILL)
    for place in endpoint.candidates(paths):
        with suppress(OSError):
            place.unlink()


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


class Raw:
    """A client that may say anything."""

    def __init__(self, paths: Paths, *, greets: bool = True) -> None:
        connected = endpoint.connect(paths)
        assert connected
        self.socket = connected
        self.socket.settimeout(TIMEOUT_S)
        self.frames = Frames[ToClient](ToClient)
        if greets:
            hello = Hello(
                protocol=protocol.PROTOCOL_VERSION, build=endpoint.build(), client="afterword"
            )
            try:
                self.say(hello)
            except OSError:
                self.socket.close()
                raise

    def hears(self) -> Iterator[ToClient]:
        """Messages until the daemon hangs up."""
        with suppress(ConnectionError):
            while data := self.socket.recv(1 << 16):
                yield from self.frames.feed(data)

    def say(self, message: protocol.ToDaemon) -> None:
        """One message."""
        self.socket.sendall(frame(message))

    def hears_some(self) -> "list[ToClient]":
        """What arrives together with the next bytes; nothing if the daemon hangs up."""
        with suppress(ConnectionError):
            return list(self.frames.feed(self.socket.recv(1 << 16)))
        return []

    def answer(self, id: int) -> "ToClient":
        """The message with this id."""
        return next(m for m in self.hears() if getattr(m, "id", None) == id)

    def change(self, state: str) -> "ToClient":
        """The news that the daemon is in this state."""
        return next(m for m in self.hears() if isinstance(m, protocol.Changed) and m.state == state)

    def was_dropped(self) -> bool:
        """Whether the daemon hangs up in time, having said whatever it says."""
        for _ in self.hears():
            pass
        return True


@contextmanager
def raw(paths: Paths, *, greets: bool = True) -> Iterator[Raw]:
    """A raw connection that is closed afterwards."""
    one = Raw(paths, greets=greets)
    try:
        yield one
    finally:
        one.socket.close()


def foreigner(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """Python that runs as another user, which only root can arrange."""
    become = "import os, socket, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    return subprocess.Popen(
        [sys.executable, "-c", become + code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd="/",
    )


# -- the odd daemon ----------------------------------------------------------------------------


def _be_odd(changes: dict[str, Any]) -> None:
    from afterword_daemon import engine
    from afterword_daemon.engine import Engine, Superseded
    from afterword_trainer.model.bundle import Bundle, BundleError

    class OddEngine(Engine):
        def __init__(self, bundle: Bundle | None, *given: Any, **named: Any) -> None:
            if bundle and bundle.id == UNFIT:
                raise BundleError(UNFIT, "it cannot be run here", "rest")
            super().__init__(bundle, *given, **named)

        async def complete(
            self, request: protocol.Complete, superseded: Callable[[], bool], *, learn: bool = True
        ) -> protocol.Completed:
            if request.before.endswith(FAIL):
                raise KeyError(request.before)
            if request.before.endswith(DIE):
                os._exit(1)
            if request.before.endswith(WAIT):
                while True:
                    await asyncio.sleep(0.001)
                    if superseded():
                        raise Superseded
            return await super().complete(request, superseded, learn=learn)

    engine.Engine = OddEngine  # type: ignore[misc]
    for name, value in changes.items():
        module, _, constant = name.partition("__")
        home = importlib.import_module(f"afterword_daemon.{module}")
        assert hasattr(home, constant), f"{name}: there is no such constant to change"
        setattr(home, constant, value)


if __name__ == "__main__":
    from afterword_daemon import process

    _be_odd(json.loads(sys.argv[1]))
    sys.exit(process.main(sys.argv[2:]))
