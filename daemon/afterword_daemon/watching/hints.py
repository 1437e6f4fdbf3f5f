"""Hints gathered until it is quiet: editors save in bursts, and a checkout changes thousands.

Knows names and times; knows neither files nor watchers. Hints come from the watcher's thread,
questions from the reader's.

    hints    |  | ||      |            | | | | | | | | | | | | |
    due              (1)      (1)                          (2)

    (1) quiet for so long    (2) a steady stream: some seconds after its first hint
"""

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

MOST_DELAY_S: Final = 10.0  # a log that is written all the time is looked at this often
MOST_NAMES: Final = 20_000  # then looking at everything is cheaper than keeping them
TICK_S: Final = 0.25  # what comes due within one is told together


@dataclass(frozen=True, slots=True)
class Hinted:
    """What is to be looked at now."""

    everything: bool = False
    # Folders, and the names in each that are due; "" is the folder itself.
    folders: Mapping[str, Collection[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.everything or bool(self.folders)


class Hints:
    """What may have changed. `clock` counts seconds, from wherever."""

    def __init__(self, clock: Callable[[], float], wake: Callable[[], None]) -> None:
        """`wake` is called, in the thread of the hint, where nothing was waiting before."""
        self.quiet_s = 2.0
        self._clock = clock
        self._wake = wake
        self._lock = threading.Lock()
        self._names: dict[tuple[str, str], tuple[float, float]] = {}  # first hint, last one
        self._lost: tuple[float, float] | None = None  # the same of events lost
        self.n_lost = 0  # times that events were lost

    def hint(self, folder: str, name: str) -> None:
        """Something happened to this name in this folder."""
        now = self._clock()
        with self._lock:
            wakes = not self._names and not self._lost
            if self._lost:  # it will be seen anyhow, when it is quiet
                self._lost = self._lost[0], now
                return
            first, _ = self._names.get((folder, name), (now, now))
            self._names[folder, name] = first, now
            if len(self._names) > MOST_NAMES:
                self._everything(now)
        if wakes:
            self._wake()

    def lost(self) -> None:
        """Something happened, nobody knows where."""
        now = self._clock()
        with self._lock:
            wakes = not self._names and not self._lost
            self.n_lost += 1
            self._everything(now)
        if wakes:
            self._wake()

    def waits(self, folder: str, name: str) -> bool:
        """Whether this name is not quiet yet."""
        with self._lock:
            return (folder, name) in self._names

    def due_in(self) -> float | None:
        """Seconds until something is due, in whole ticks; None while nothing is."""
        now = self._clock()
        with self._lock:
            times = [*self._names.values(), *([self._lost] if self._lost else ())]
            if not times:
                return None
            soonest = min(map(self._due_at, times))
        return max(0.0, soonest - now) + TICK_S

    def take(self) -> Hinted:
        """What is due; it waits no longer."""
        now = self._clock()
        with self._lock:
            if self._lost:
                if self._due_at(self._lost) > now:
                    return Hinted()
                self._lost = None
                return Hinted(everything=True)
            folders: dict[str, set[str]] = {}
            due = [key for key, times in self._names.items() if self._due_at(times) <= now]
            for folder, name in due:
                del self._names[folder, name]
                folders.setdefault(folder, set()).add(name)
            return Hinted(folders=folders)

    def _everything(self, now: float) -> None:
        first = self._lost[0] if self._lost else now
        self._lost = first, now
        self._names.clear()

    def _due_at(self, times: tuple[float, float]) -> float:
        first, last = times
        return min(last + self.quiet_s, first + max(MOST_DELAY_S, self.quiet_s))
