"""The machine as whoever keeps a child at work needs it: clocks, gauges, a thread, processes.

The one seam of `learning` and `forgetting`: a test puts a machine of its own in its place, whose
week passes in a second. Knows nothing of what a child does, or when it may.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from afterword_daemon import conditions
from afterword_daemon.child import Child, Usage
from afterword_daemon.conditions import Gauges

# For a worker that is told to end, until it is killed.
GRACE_S: Final = 2.0
HURRY_S: Final = 0.3  # when the daemon itself has to be gone within a second


class Worker(Protocol):
    """A child at work, see `child.Child`."""

    @property
    def stands_still(self) -> bool: ...
    def stop(self) -> None: ...
    def go_on(self) -> None: ...
    def exit_code(self) -> int | None: ...
    def records(self) -> list[dict[str, Any]]: ...
    async def measure(self) -> Usage | None: ...
    async def end(self, grace_s: float) -> None: ...
    def close(self) -> None: ...


class Machine(Protocol):
    """Clocks, what the machine tells, and processes on it."""

    def monotonic(self) -> float: ...
    def wall(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...
    async def elsewhere(self, work: Callable[[], None]) -> None:
        """Do what a disk may keep waiting."""

    async def read(self, folder: Path, own_load: float) -> Gauges: ...
    def start(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Worker:
        """Raises ChildError, durable.StateError."""


class ThisMachine:
    """The one we are on."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def elsewhere(self, work: Callable[[], None]) -> None:
        await asyncio.to_thread(work)

    async def read(self, folder: Path, own_load: float) -> Gauges:
        return await asyncio.to_thread(conditions.read, folder, own_load=own_load)

    def start(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Worker:
        return Child(command, log=log, environment=environment)
