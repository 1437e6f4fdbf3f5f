"""A process in the background on a lead: stood still and let go by signals, heard, measured, ended.

Knows processes, signals and lines of JSON; knows nothing of what the child does, or when it may.

It never outlives whoever started it, killed with SIGKILL or not. A child that runs sees its input
end, and leaves. One that stands still sees nothing; but it has a process group of its own in the
session of its parent. When that parent goes, nobody is left who could let the group go on, and
the system does: it sends SIGHUP and SIGCONT (POSIX.1-2017, _Exit, "orphaned process group"). In a
session of its own, its group would be orphaned from the beginning, and stand still for ever.

    ChildError      it cannot be started, or not be measured; one sentence
"""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from afterword_trainer import durable

logger = logging.getLogger(__name__)

MAX_LINE: Final = 1 << 16  # bytes of a record; the longest has a sample of a hundred characters
MAX_HEARD: Final = 1 << 18  # bytes at a time: a child that floods waits for us, not we for it
MAX_LOG: Final = 1 << 20  # bytes of what it writes to its standard error, and as many before
LOOK_S: Final = 0.02  # between two looks at a process that has been told to end
KILLED_S: Final = 1.0  # after SIGKILL; only a disk that hangs can keep a process so long


class ChildError(Exception):
    """The child cannot be started or measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the child has cost so far, its own children included."""

    cpu_s: float
    resident: int  # bytes of memory


class Child:
    """A process that was started and is not yet known to have ended."""

    def __init__(
        self, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it; what it writes to standard error is added to `log`.

        Raises ChildError, durable.StateError.
        """
        errors = durable.continue_log(log, at_most=MAX_LOG)
        try:
            self._process = _started(command, errors, environment)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise ChildError(f"{command[0]}: it cannot be started ({reason})") from error
        finally:
            os.close(errors)
        assert self._process.stdout
        os.set_blocking(self._process.stdout.fileno(), False)
        self._lines = _Lines()
        self._stands_still = False

    @property
    def pid(self) -> int:
        """Of the process, and of its group."""
        return self._process.pid

    @property
    def stands_still(self) -> bool:
        """Whether it was stopped last, and not let go."""
        return self._stands_still

    def stop(self) -> None:
        """Have it stand still, with all that it started."""
        if not self._stands_still:
            self._stands_still = True
            self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go."""
        if self._stands_still:
            self._stands_still = False
            self._signal(signal.SIGCONT)

    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while there is something to wait for."""
        if self._process.returncode is None and self._process.poll() is not None:
            # What it has started goes with it.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        return self._process.returncode

    def records(self) -> list[dict[str, Any]]:
        """The objects it has written since the last look, one a line; all else is passed over."""
        assert self._process.stdout
        found: list[dict[str, Any]] = []
        n_heard = 0
        while n_heard < MAX_HEARD:
            try:
                data = os.read(self._process.stdout.fileno(), 1 << 16)
            except BlockingIOError:
                break
            if not data:
                break
            n_heard += len(data)
            for line in self._lines.feed(data):
                with suppress(ValueError, RecursionError):
                    value = json.loads(line)
                    if isinstance(value, dict):
                        found.append(value)
        return found

    async def measure(self) -> Usage | None:
        """What it has cost; None if it has ended. Raises ChildError."""
        # All processes of the machine are looked through for its children: some milliseconds.
        return await asyncio.to_thread(_usage, self.pid)

    async def end(self, grace_s: float) -> None:
        """Have it gone: asked first, killed after `grace_s`. Whoever is cancelled here kills it."""
        try:
            if self.exit_code() is None:
                self._signal(signal.SIGTERM)
                self.go_on()  # else it would not hear
                await self._wait(grace_s)
        finally:
            if self.exit_code() is None:
                self._signal(signal.SIGKILL)
        await self._wait(KILLED_S)
        if self.exit_code() is None:
            logger.error("process %d does not end, though it was killed", self.pid)

    def close(self) -> None:
        """Give back its pipes, for it has ended."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()

    def _signal(self, number: int) -> None:
        # As long as it was not waited for, its number belongs to no other group.
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def _wait(self, seconds: float) -> None:
        while self.exit_code() is None and seconds > 0:
            await asyncio.sleep(LOOK_S)
            seconds -= LOOK_S


def _started(
    command: Sequence[str], errors: int, environment: Mapping[str, str] | None
) -> "subprocess.Popen[bytes]":
    def start(**group: Any) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
            close_fds=True,
            cwd="/",  # it shall keep no disk busy
            env=environment,
            **group,
        )

    if sys.version_info >= (3, 11):
        return start(process_group=0)
    # Before 3.11 there was no other way; this one call takes no lock that a thread could hold.
    return start(preexec_fn=os.setpgrp)


class _Lines:
    """Bytes to lines, none longer than `MAX_LINE`: the rest of such a one is thrown away."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_too_long = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`."""
        *ended, self._rest = (self._rest + data).split(b"\n")
        if ended and self._is_too_long:
            del ended[0]
            self._is_too_long = False
        if len(self._rest) > MAX_LINE:
            self._rest = b""
            self._is_too_long = True
        return [line for line in ended if len(line) <= MAX_LINE]


def _usage(pid: int) -> Usage | None:
    import psutil

    try:
        leader = psutil.Process(pid)
        cpu_s, resident = _cost(leader)
        for process in leader.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                more_s, more = _cost(process)
                cpu_s += more_s
                resident += more
    except psutil.NoSuchProcess:  # a zombie is none either
        return None
    except psutil.Error as error:
        raise ChildError(
            f"process {pid} cannot be measured here ({type(error).__name__})"
        ) from error
    return Usage(cpu_s=cpu_s, resident=resident)


def _cost(process: Any) -> tuple[float, int]:
    """Seconds of processor, those of children that have ended included; bytes."""
    with process.oneshot():
        times = process.cpu_times()
        spent = times.user + times.system + times.children_user + times.children_system
        return float(spent), int(process.memory_info().rss)
