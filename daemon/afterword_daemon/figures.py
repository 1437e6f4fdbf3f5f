"""What the daemon counts and measures of itself, for `status`: answers, processor, memory.

Knows figures, and where every file of the daemon's lies; knows nothing of what was asked. None of
it takes longer than reading a small file, because somebody may be typing.
"""

import os
import time
from collections import Counter, deque
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
from afterword_trainer import durable, remembering
from afterword_trainer.durable import StateError
from afterword_trainer.paths import Paths

from afterword_daemon import (
    config,
    endpoint,
    forgetting,
    learning,
    lookout,
    pause,
    tally,
    trainee,
)
from afterword_daemon.protocol import Latency, Processor
from afterword_daemon.watching.messages import INDEX

USAGE: Final = "processor.json"  # where `Meter` keeps its sum
N_LATENCIES: Final = 1000  # the last ones, for percentiles
MAX_FILE: Final = 4096  # bytes of what `Meter` stores; more was not written by it
UNASKED: Final = {"no-model", "disabled", "manual", "long-line"}  # answers that no model gave


class Answers:
    """How requests ended, and how long the answers of the model took."""

    def __init__(self) -> None:
        self.by_reason: Counter[str] = Counter()
        self._latencies_s: deque[float] = deque(maxlen=N_LATENCIES)

    @property
    def n(self) -> int:
        """Requests."""
        return self.by_reason.total()

    def add(self, reason: str, latency_s: float | None = None) -> None:
        """Count a request; without a latency if it was not answered."""
        self.by_reason[reason] += 1
        if latency_s is not None and reason not in UNASKED:  # which would flatter
            self._latencies_s.append(latency_s)

    def latency(self) -> Latency | None:
        """Percentiles of the last ones; None if there were none."""
        ordered = sorted(self._latencies_s)
        if not ordered:
            return None
        return Latency(
            p50=ordered[len(ordered) // 2] * 1e3, p95=ordered[len(ordered) * 95 // 100] * 1e3
        )


class Meter:
    """Seconds of processor: of this process, and on this day of those before it too."""

    def __init__(self, path: Path) -> None:
        """`path` is where the sum of a day is kept from one daemon to the next."""
        self._path = path
        self._day = date.today().isoformat()
        self._others_s = 0.0  # of this day, by daemons before this one
        self._earlier_s = 0.0  # of this process, on days before this one
        with suppress(StateError, msgspec.DecodeError):  # none yet, or damaged: it begins anew
            stored = msgspec.json.decode(durable.read(path, at_most=MAX_FILE), type=_Sum)
            if stored.day == self._day:
                self._others_s = max(0.0, stored.seconds)

    def read(self) -> Processor:
        """The figures as they are now. To be called once a day at least."""
        now_s = time.process_time()
        if (today := date.today().isoformat()) != self._day:
            self._day, self._others_s, self._earlier_s = today, 0.0, now_s
        return Processor(today=self._others_s + now_s - self._earlier_s, since_start=now_s)

    def save(self) -> None:
        """Store the day's sum. Raises durable.StateError."""
        stored = _Sum(day=self._day, seconds=self.read().today)
        durable.replace(self._path, msgspec.json.encode(stored))


class _Sum(msgspec.Struct):
    day: str  # ISO 8601
    seconds: float


def resident() -> int:
    """Bytes of memory that this process occupies."""
    with suppress(OSError, ValueError):
        n_pages = Path("/proc/self/statm").read_bytes().split()[1]
        return int(n_pages) * os.sysconf("SC_PAGE_SIZE")
    import psutil  # for other systems than Linux

    return int(psutil.Process().memory_info().rss)


def files_of(paths: Paths, socket: Path | None) -> dict[str, str]:
    """Every file of the daemon's, by what is in it; it need not be there yet."""
    return {
        "socket": str(socket or ""),
        "endpoint": str(endpoint.note_of(paths)),
        "lock": str(endpoint.lock_of(paths)),
        "counts": str(paths.data / tally.NAME),
        "usage": str(paths.data / USAGE),
        "pause": str(pause.file_of(paths)),
        "settings": str(config.path_of(paths)),
        "models": str(paths.models),
        "memory": str(remembering.path_of(paths)),
        "index": str(paths.data / INDEX),
        "learning": str(paths.data / learning.NAME),
        "forgetting": str(paths.data / forgetting.NAME),
        "log": str(paths.logs / endpoint.LOG),
        "crashes": str(paths.logs / "daemon.err"),
        "reader's log": str(paths.logs / lookout.ERRORS),
        "training log": str(paths.logs / trainee.ERRORS),
    }
