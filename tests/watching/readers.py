"""A reader as the daemon has one, and the daemon's side of it, as simple as it can be."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import psutil
from afterword_daemon.protocol import Frames
from afterword_daemon.watching import reader
from afterword_daemon.watching.messages import (
    Anew,
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
    frame,
)
from afterword_trainer.paths import Paths

PATIENCE_S = 60.0
_marks = count()
QUIET_S = 0.05
READER = ("-m", "afterword_daemon.watching")


def odd(*statements: str) -> tuple[str, ...]:
    """What starts a reader in which something is otherwise: Python that is run before it."""
    code = ["import runpy, sys", *statements, "runpy.run_module(sys.argv.pop(1), None, '__main__')"]
    return "-c", "\n".join(code), "afterword_daemon.watching"


class Memory:
    """What a daemon holds: the texts that it was told, by path."""

    def __init__(self, name: str = "one") -> None:
        self.id = name
        self.texts: dict[str, str] = {}
        self.log: list[tuple[str, str]] = []  # what was said of which file, in order
        self.last: dict[str, Saved] = {}
        self.said: list[str] = []  # every text
        self.folders: dict[str, Folder] = {}
        self.settled: list[Settled] = []
        self.number = 0
        self.n_anew = 0
        self.n_folders = 0  # times that something was said of how folders are watched
        self._doubtful: set[str] | None = None  # held, and not told since the reader began anew

    def take(self, message: FromReader) -> None:
        match message:
            case Hello():
                self.number = 0
            case Anew():
                self.n_anew += 1
                self._doubtful = set(self.texts)
            case Saved():
                assert message.number == self.number + 1
                self.number = message.number
                self.texts[message.path] = message.text
                self.last[message.path] = message
                self.said.append(message.text)
                self.log.append(("saved", message.path))
                (self._doubtful or set()).discard(message.path)
            case Gone():
                assert message.number == self.number + 1
                self.number = message.number
                self.texts.pop(message.path, None)
                self.log.append(("gone", message.path))
            case Folder():
                self.folders[message.path] = message
                self.n_folders += 1
            case Settled():
                self.settled.append(message)
                for path in self._doubtful or ():
                    del self.texts[path]
                self._doubtful = None


class Conversation:
    """The daemon's side, whatever the reader is."""

    memory: Memory

    def say(self, message: ToReader) -> None:
        raise NotImplementedError

    def hear(self, seconds: float) -> bool:
        """Hear what is said by then; whether anything was."""
        raise NotImplementedError

    def trouble(self) -> str:
        """Why nothing will be said any more."""
        raise NotImplementedError

    def look(
        self,
        *folders: Path,
        quiet_s: float = QUIET_S,
        most: int = 1_000_000,
        ignore: Sequence[str] = (),
    ) -> None:
        """Have folders looked at, and hear of them until that has been told."""
        n_settled = len(self.memory.settled)
        self.ask(*folders, quiet_s=quiet_s, most=most, ignore=ignore)
        self.hear_until(lambda: len(self.memory.settled) > n_settled)

    def ask(
        self,
        *folders: Path,
        quiet_s: float = QUIET_S,
        most: int = 1_000_000,
        ignore: Sequence[str] = (),
    ) -> None:
        """Have folders looked at."""
        self.say(
            Look(
                folders=tuple(map(str, folders)),
                ignore=tuple(ignore),
                quiet_s=quiet_s,
                most_characters=most,
                memory=self.memory.id,
            )
        )

    def rescan(self) -> None:
        """Have everything looked at again, and hear of it until that has been told."""
        n_settled = len(self.memory.settled)
        self.say(Rescan())
        self.hear_until(lambda: len(self.memory.settled) > n_settled)

    def stored(self) -> None:
        """What was told is on the daemon's disk."""
        self.say(Stored(number=self.memory.number))

    def hear_until(self, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Hear until something is so; it has to be some time."""
        end = time.monotonic() + patience_s
        while not condition():
            left = end - time.monotonic()
            assert left > 0, f"still not so: {self.memory.log[-5:]} {self.memory.folders}"
            self.hear(min(left, 1.0))
            assert not self.trouble()

    def hear_texts(self, texts: dict[str, str], patience_s: float = PATIENCE_S) -> None:
        """Hear until the memory holds these, by path."""
        end = time.monotonic() + patience_s
        while self.memory.texts != texts and time.monotonic() < end:
            self.hear(0.2)
        held = self.memory.texts
        differ = {
            path: (texts.get(path), held.get(path))  # as it is to be, and as it is
            for path in {*texts, *held}
            if texts.get(path) != held.get(path)
        }
        assert not differ, f"{differ} {self.memory.log[-5:]} {self.memory.folders}"

    def hear_of(self, path: Path) -> None:
        """Write something there and hear of it: all that was to be told before has been."""
        text = f"mark {next(_marks)}"
        path.write_text(text)
        self.hear_until(lambda: self.memory.texts.get(str(path)) == text)


class ThreadReader(Conversation):
    """The reader's loop in a thread, which starts faster than a process does."""

    def __init__(
        self,
        paths: Paths,
        memory: Memory,
        before: Callable[[FromReader], None] = lambda message: None,
        **seams: Any,
    ) -> None:
        """`before` is called with each message; the reader waits for it."""
        self.memory = memory
        self._said: SimpleQueue[FromReader] = SimpleQueue()

        def send(message: FromReader) -> None:
            before(message)
            self._said.put(message)

        self._reader = reader.Reader(paths, send, **seams)
        self._failed: list[Exception] = []
        self.is_running = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._reader.run()
        except Exception as error:
            self._failed.append(error)

    def say(self, message: ToReader) -> None:
        self._reader.hear(message)

    def hear(self, seconds: float) -> bool:
        try:
            self.memory.take(self._said.get(timeout=seconds))
        except Empty:
            return False
        return True

    def trouble(self) -> str:
        return "".join(map(repr, self._failed))

    def end(self) -> None:
        self.is_running = False
        self._reader.end()
        self._thread.join()
        self._reader.close()
        assert not self._failed


class Process(Conversation):
    """A reader's process, and what it was heard to say."""

    def __init__(
        self, paths: Paths, memory: Memory, *command: str, under: Sequence[str] = ()
    ) -> None:
        """`under` is a command that runs it, and looks on."""
        self.memory = memory
        places = [str(getattr(paths, field.name)) for field in fields(Paths)]
        self.process = subprocess.Popen(
            [*under, sys.executable, *(command or READER), *places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self._frames = Frames[FromReader](FromReader)

    def say(self, message: ToReader) -> None:
        assert self.process.stdin
        self.process.stdin.write(frame(message))

    def hear(self, seconds: float) -> bool:
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return False
        data = os.read(self.process.stdout.fileno(), 1 << 20)
        for message in self._frames.feed(data):
            self.memory.take(message)
        return bool(data)

    def trouble(self) -> str:
        return "" if self.process.poll() is None else f"ended: {self.errors()}"

    def errors(self) -> str:
        assert self.process.stderr
        return self.process.stderr.read().decode()

    def resident(self) -> int:
        """Bytes of memory that it takes."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.close()

    def end(self) -> str:
        """Let it end as the daemon does; what it wrote to its log."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)
        errors = self.errors()
        self.close()
        return errors

    def close(self) -> None:
        """Whatever it does, it is over."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe and not pipe.closed:
                pipe.close()


def paths_in(home: Path) -> Paths:
    """A home of its own, as AFTERWORD_HOME makes one."""
    return Paths.from_environment({"AFTERWORD_HOME": str(home)})
