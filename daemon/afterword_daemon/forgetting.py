"""Paths that the user wants forgotten, and the child that takes each out of the weights.

What is asked for holds at once, before any child is started: nothing reads the path again, and the
memory lets go of it. Then `trainer forget` deletes every model that has seen it and makes the one
in use anew, one path after another and behind everything else that runs; but it waits for no idle
hour, as a person asked. Each path stands in a file until it is done, so that a daemon that ends, or
is killed, is followed by one that goes on: its child leaves with it, and the same command goes on
from there.

Knows paths and what the child says; knows no memory, no model and no connection.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from afterword_trainer import durable
from afterword_trainer.durable import StateError
from afterword_trainer.forgotten import Forgotten
from afterword_trainer.paths import Paths
from afterword_trainer.registry import Registry
from msgspec import Meta

from afterword_daemon import trainee
from afterword_daemon.child import ChildError
from afterword_daemon.machine import HURRY_S, Machine, ThisMachine, Worker
from afterword_daemon.protocol import Forgot, name_of, path_of
from afterword_daemon.trainee import Said

logger = logging.getLogger(__name__)

NAME: Final = "forgetting.json"  # in the folder of data; 0600, as all of it
MOST_WAITING: Final = 1000  # paths; a person names them one by one
MOST_TRIES: Final = 3  # of one path; then somebody has to look at it
SLICE_S: Final = 0.5  # between two looks at what the child says
AGAIN_S: Final = 60.0  # until the next try, when the trainer had to give way to another
SILENT_S: Final = 3600.0  # without a word of the child: it hangs; it speaks at every step
MOST_BYTES: Final = 8 << 20  # of the file


class ForgettingError(Exception):
    """A path cannot be forgotten; one sentence with its remedy."""


class Forgetting:
    """What waits to be forgotten, and the one child that is at it."""

    def __init__(
        self,
        paths: Paths,
        *,
        tell: Callable[[str], None] = lambda _: None,
        command: Sequence[str] = trainee.FORGET,
        machine: Machine | None = None,
    ) -> None:
        """`tell` hears, in the event loop, of every change: "", or what came of a path."""
        self.share: float | None = None  # of making weights anew, 0 to 1; None: not begun
        self._paths = paths
        self._tell = tell
        self._command = tuple(command)
        self._machine: Machine = machine or ThisMachine()
        self._state, is_damaged = _load(paths.data / NAME)
        if is_damaged:
            with suppress(StateError):
                durable.set_aside(paths.data / NAME)
                durable.replace(paths.data / NAME, msgspec.json.encode(self._state))
        self._put_aside: set[str] = set()  # paths that failed; they have to be asked for again
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def is_busy(self) -> bool:
        """Whether anything is being forgotten, or waits for it."""
        return self._next() is not None

    @property
    def last(self) -> Forgot | None:
        """What came of the last path."""
        return self._state.last

    async def ask(self, path: str) -> None:
        """Have a file or folder forgotten. Raises ForgettingError, durable.StateError.

        Then it is on disk that nothing reads it again, and what is still to be done.
        """
        await asyncio.to_thread(_check, path, self._paths)
        waiting, name = self._state.waiting, name_of(path)
        one = next((one for one in waiting if one.path == name), None) or _Waiting(path=name)
        one.tries = 0
        if one not in waiting:
            if len(waiting) >= MOST_WAITING:
                raise ForgettingError(f"{MOST_WAITING} paths wait to be forgotten; ask again later")
            waiting.append(one)
        try:
            await self._write()
            await asyncio.to_thread(lambda: Forgotten.load(self._paths).add(path))
            await asyncio.to_thread(_drop_damaged, self._paths)
        except StateError:
            if one in waiting:  # whoever asked is told so, and may ask again
                waiting.remove(one)
            with suppress(StateError):
                await self._write()
            raise
        self._put_aside.discard(name)
        self._changed.set()

    async def run(self) -> None:
        """Forget for as long as the daemon lives; cancelled, it leaves no child behind."""
        last = self._state.last
        for one in self._state.waiting:
            if one.tries >= MOST_TRIES and not (last and last.how == "died"):  # else it is told
                await self._end(self._failed(one, "daemons were killed while they were at it"))
                break
        while True:
            waiting = self._next()
            if waiting is None:
                await self._changed.wait()
                self._changed.clear()
                continue
            waiting.tries += 1  # written down first: one that kills us is not tried for ever
            with suppress(StateError):  # then it is, until the disk has room
                await self._write()
            self._tell("")
            end = await self._forget(waiting)
            self.share = None
            if end:
                await self._end(end)

    async def _end(self, end: Forgot) -> None:
        logger.info("forgetting ended: %s", end.how)
        self._state.last = msgspec.structs.replace(end, when=self._machine.wall())
        with suppress(StateError):  # then it is done once more
            await self._write()
        self._tell(end.sentence)

    def _next(self) -> "_Waiting | None":
        for one in self._state.waiting:
            if one.tries < MOST_TRIES and one.path not in self._put_aside:
                return one
        return None

    # -- one path ------------------------------------------------------------------------------

    async def _forget(self, waiting: "_Waiting") -> Forgot | None:
        """From the start of a child to its end; None if another path has to be first."""
        said, n_before = Said(), waiting.tries - 1
        try:
            worker = self._machine.start(
                [*self._command, "--", path_of(waiting.path)],
                log=self._paths.logs / trainee.ERRORS,
                environment=trainee.environment(self._paths),
            )
        except (ChildError, StateError) as error:
            return self._failed(waiting, str(error))
        try:
            excess = await self._attend(worker, said)
        except asyncio.CancelledError:  # the daemon ends, which is no fault of the path's
            waiting.tries = n_before
            with suppress(StateError):
                if self._paths.data.is_dir():  # who removed it wants it to stay so
                    durable.replace(self._paths.data / NAME, msgspec.json.encode(self._state))
            raise
        finally:
            await worker.end(HURRY_S)
            worker.close()
        code = worker.exit_code()
        if code == 0 and not excess:
            self._state.waiting.remove(waiting)
            return trainee.forgot(said, is_first=n_before == 0)
        if code == trainee.GAVE_WAY and not excess:
            waiting.tries = n_before  # somebody else is at work on models
            await self._machine.sleep(AGAIN_S)
            return None
        if self._state.waiting[-1] is not waiting:
            # What was asked for meanwhile has ended the making of weights. The path that comes
            # last makes them for all.
            self._state.waiting.remove(waiting)
            self._state.waiting.append(waiting)
            return None
        return self._failed(waiting, excess or trainee.how_it_ended(code, self._paths))

    async def _attend(self, worker: Worker, said: Said) -> str:
        """Listen until the child has ended; how it has gone too far, "" if it has not."""
        heard_at = self._machine.monotonic()
        while worker.exit_code() is None:
            await self._machine.sleep(SLICE_S)
            if records := worker.records():
                heard_at = self._machine.monotonic()
                said.take(records)
                if said.share and said.share != self.share:
                    self.share = said.share
                    self._tell("")
            with suppress(ChildError):  # where none can be measured, its own limit has to do
                usage = await worker.measure()
                if usage and usage.resident > trainee.MOST_MEMORY:
                    return f"it took {usage.resident >> 20:,} MB of memory"
            if self._machine.monotonic() - heard_at > SILENT_S:
                return "it found no end by itself"
        while records := worker.records():
            said.take(records)
        return ""

    def _failed(self, waiting: "_Waiting", why: str) -> Forgot:
        logger.error("a path could not be forgotten, try %d", waiting.tries)
        self._put_aside.add(waiting.path)
        sentence = f"it is not read any more, but models may still know it: {why}"
        return Forgot(how="died", sentence=f"{sentence}; to try again: trainer forget PATH")

    # -- on disk -------------------------------------------------------------------------------

    async def _write(self) -> None:
        async with self._writing:  # else an older state could come last
            data = msgspec.json.encode(self._state)
            try:
                await asyncio.to_thread(durable.replace, self._paths.data / NAME, data)
            except StateError as error:
                logger.error("what waits cannot be stored: %s", durable.without_path(error))
                raise


def stored(paths: Paths) -> tuple[int, Forgot | None]:
    """How many paths wait, and what came of the last one, by what is on disk."""
    state, _ = _load(paths.data / NAME)
    return len(state.waiting), state.last


def _drop_damaged(paths: Paths) -> None:
    """Delete what was set aside: it may name the path, or hold its text, and nobody can look."""
    for damaged in durable.aside(paths.data):
        durable.retire(damaged)


def _check(path: str, paths: Paths) -> None:
    """Raises ForgettingError for a path of which nobody has ever heard: it may be misspelt."""
    if "\0" in path:  # which the system refuses to look for
        raise ForgettingError(f"{path!r}: no path has a NUL in it; check the spelling")
    is_known = os.path.lexists(path) or Forgotten.load(paths).holds(path)
    if not (is_known or any(Registry.load(paths).below(path))):
        raise ForgettingError(
            f"{name_of(path)}: it is not there and was never learned; check the spelling"
        )


class _Waiting(msgspec.Struct, kw_only=True):
    path: str  # absolute, as `protocol.name_of` names it
    tries: Annotated[int, Meta(ge=0)] = 0  # that did not end well


class _State(msgspec.Struct, kw_only=True):
    version: Literal[1] = 1
    waiting: Annotated[list[_Waiting], Meta(max_length=MOST_WAITING)] = []
    last: Forgot | None = None


def _load(path: Path) -> tuple[_State, bool]:
    """What is on disk, and whether that is damaged; then something may have been lost."""
    try:
        return msgspec.json.decode(durable.read(path, at_most=MOST_BYTES), type=_State), False
    except (msgspec.DecodeError, durable.DamagedError):
        return _State(last=Forgot(how="died", sentence=_LOST)), True
    except StateError:
        return _State(), False  # none yet


_LOST: Final = (
    f"{NAME} is damaged, so models may still know what was to be forgotten; to try again: trainer "
    "forget PATH"
)
