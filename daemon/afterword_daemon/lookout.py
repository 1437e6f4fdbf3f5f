"""The reader as the daemon sees it: a child that watches folders and tells what was saved.

Started when there is something to watch, ended when there is not, started again if it dies, later
each time. While the daemon has enough to learn it is not listened to, and waits. Knows processes
and messages; knows nothing of memories, and of files no more than what it is told.
"""

import asyncio
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple
from typing import Final

from afterword_trainer import durable
from afterword_trainer.durable import StateError
from afterword_trainer.paths import Paths

from afterword_daemon import protocol
from afterword_daemon.protocol import ProtocolError
from afterword_daemon.watching import messages
from afterword_daemon.watching.messages import (
    Anew,
    Failing,
    Folder,
    FromReader,
    Gone,
    Hello,
    Look,
    Rescan,
    Saved,
    Settled,
    Stored,
    ToReader,
)

logger = logging.getLogger(__name__)

# What a reader is started with, followed by the six paths.
COMMAND: Final = (sys.executable, "-m", "afterword_daemon.watching")
ERRORS: Final = "reader.err"  # in the folder of logs: what a reader says when it fails
AGAIN_S: Final = (1.0, 5.0, 30.0, 300.0)  # until it is started again, by how often it has died
REFUSED_S: Final = 30.0  # the same at most where the disk refuses: somebody may be making room
SOUND_S: Final = 60.0  # one that lived for so long was sound, and what killed it is new
END_S: Final = 2.0  # for one that was told to end
MOST_ERRORS: Final = 1 << 16  # bytes of what a reader that dies has to say
MOST_UNREAD: Final = 1 << 18  # bytes in our buffer; the rest waits in the pipe, and then over there

Report = Hello | Anew | Saved | Gone | Settled


class Lookout:
    """A reader, while there is something to watch."""

    def __init__(
        self,
        paths: Paths,
        tell: Callable[[Report], None],
        *,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """`tell` hears all but how folders are watched; `Hello` first, of each reader."""
        self.folders: dict[str, Folder] = {}  # as they are watched, by their path
        self.problem = ""  # why there is no reader; "" if there is one, or none is wanted
        self._paths = paths
        self._tell = tell
        self._command = command
        self._look: Look | None = None
        self._process: Process | None = None
        self._failing: Failing | None = None  # what this one said last
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()  # of readers that were told to end
        self._may_tell = asyncio.Event()
        self._may_tell.set()

    def watch(self, look: Look | None) -> None:
        """Watch this from now on; None: nothing, at once."""
        if look == self._look:
            return
        self._look = look
        if look is None:
            self._stop()
        elif self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep())
        else:
            # Of folders that are watched no more nothing will be said.
            self.folders = {
                path: self.folders[path] for path in look.folders if path in self.folders
            }
            self._say(look)

    def stored(self, number: int) -> None:
        """What was told up to this number is safe on disk."""
        self._say(Stored(number=number))

    def rescan(self) -> None:
        """Look at everything now."""
        self._say(Rescan())

    def listen(self, may_tell: bool) -> None:
        """Whether it may go on telling."""
        if may_tell:
            self._may_tell.set()
        else:
            self._may_tell.clear()

    @property
    def pid(self) -> int | None:
        """Of the reader; None if there is none."""
        return self._process.pid if self._process else None

    async def close(self) -> None:
        """End it."""
        self._look = None
        self._stop()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _stop(self) -> None:
        if self._task:
            self._ending.add(self._task)
            self._task.add_done_callback(self._ending.discard)
            self._task.cancel()
            self._task = None
        self.folders = {}
        self.problem = ""

    def _say(self, message: ToReader) -> None:
        process = self._process
        if process and process.stdin and not process.stdin.is_closing():
            process.stdin.write(messages.frame(message))

    async def _keep(self) -> None:
        """Have one, and another one if it dies."""
        while self._ending:  # two of them would write one index
            await asyncio.wait(self._ending)
        n_deaths = 0
        while True:
            began = time.monotonic()
            self._failing = None
            try:
                await self._run()
                what = "it ended"
            except StateError as error:  # its own log, before there is a reader
                what = ""
                self._failing = Failing(detail=str(error), cause=durable.without_path(error))
            except (OSError, ProtocolError) as error:
                what = type(error).__name__
            if time.monotonic() - began > SOUND_S:
                n_deaths = 0
            pause_s = AGAIN_S[min(n_deaths, len(AGAIN_S) - 1)]
            n_deaths += 1
            problem = "the process that reads watched folders died; see: afterword logs"
            if self._failing:
                pause_s = min(pause_s, REFUSED_S)
                problem, what = self._failing.detail, self._failing.cause
            # Of a disk that refuses it is said once, not at every try.
            if not self._failing or problem != self.problem:
                logger.error("the reader of folders failed (%s); again in %g s", what, pause_s)
            self.problem = problem
            await asyncio.sleep(pause_s)

    async def _run(self) -> None:
        """One reader, from its start to its end. Raises OSError, StateError or ProtocolError."""
        look = self._look
        assert look
        errors = durable.continue_log(self._paths.logs / ERRORS, at_most=MOST_ERRORS)
        try:
            process = await asyncio.create_subprocess_exec(
                *(*self._command, *map(str, astuple(self._paths))),
                stdin=PIPE,
                stdout=PIPE,
                stderr=errors,
                cwd="/",  # it shall keep no disk busy
                limit=MOST_UNREAD,
            )
        finally:
            os.close(errors)
        self._process = process
        try:
            self._say(look)
            await self._hear(process)
        finally:
            try:
                await _end(process)
            finally:
                self._process = None

    async def _hear(self, process: Process) -> None:
        assert process.stdout
        frames = protocol.Frames[FromReader](FromReader)
        while data := await process.stdout.read(1 << 16):
            for message in frames.feed(data):
                await self._may_tell.wait()
                match message:
                    case Folder():
                        self.folders[message.path] = message
                    case Failing():
                        self._failing = message
                    case Hello() if message.version != messages.READER_VERSION:
                        raise ProtocolError("the reader on disk is of another version")
                    case Hello() | Anew():  # it has done nothing yet that could fail
                        self._tell(message)
                    case _:
                        self._is_well()
                        self._tell(message)

    def _is_well(self) -> None:
        if self.problem:
            logger.info("folders are read again")
        self.problem = ""


async def _end(process: Process) -> None:
    """Have it end by itself, which it does when nobody speaks to it; else not by itself."""
    if process.stdin:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), END_S)
    except asyncio.TimeoutError:
        pass
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
