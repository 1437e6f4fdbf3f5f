"""What became of suggestions: counts by day and by how sure the model was; no text, ever.

The counts are kept on this machine for `stats`. They also tell how often a suggestion is accepted
that the model calls so probable, and from enough of them the gate learns to ask for more, or less.
Knows numbers and ids; knows neither suggestions nor documents.
"""

import json
import threading
import time
from bisect import bisect
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from afterword_trainer import durable

from afterword_daemon.protocol import MAX_CHARACTERS, Event

NAME: Final = "counts.json"  # in the folder of data
EDGES: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # where bins begin
ENOUGH: Final = 200  # shown: an hour or two; below it nothing is corrected
TRUST: Final = 50  # imagined suggestions per bin that came true as stated
FADE: Final = 1000  # suggestions per bin that count; older ones fade, for habits change
SAVE_S: Final = 60.0  # a disk is asked once a minute, and a crash loses no more
MOST_OPEN: Final = 512  # offers whose end is waited for; more is a client that tells of none
MOST_DAYS: Final = 400  # a year to look back at
MOST_BYTES: Final = 1 << 20  # of the file; `MOST_DAYS` take a twentieth of it
VERSION: Final = 1


@dataclass(slots=True)
class Day:
    """Counts of one day."""

    shown: int = 0  # a suggestion that is merely typed along counts once
    accepted: int = 0
    partly: int = 0  # accepted by the word or the line
    rejected: int = 0
    characters: int = 0  # that came by accepting


class Tally:
    """Counts that outlive the process."""

    def __init__(self, path: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        """Counts go on from those at `path`, if they can be read; None keeps them nowhere."""
        self._path = path
        self._clock = clock
        self._days: dict[str, Day] = {}
        self._bins = [_Bin() for _ in EDGES]
        self._open: OrderedDict[str, _Offer] = OrderedDict()  # by the suggestion's id
        self._changed = False
        self._saved = clock()  # when
        self._storing = threading.Lock()
        self._edition = 0  # of what is on disk, or on its way there
        if path:
            self._load(path)

    def offered(self, suggestion: str, probability: float) -> None:
        """A suggestion went out, and is `probability` likely to be what comes next."""
        self._open.setdefault(suggestion, _Offer(probability))
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)

    def count(self, suggestion: str, event: Event, characters: int = 0) -> None:
        """Something happened to a suggestion. One that is not known, or no more, counts nothing."""
        offer = self._open.get(suggestion)
        if offer is None or offer.settled:
            return
        day = self._today()
        if not offer.shown:
            offer.shown = True
            day.shown += 1
            self._bin(offer.probability).add(offer.probability)
        match event:
            case "accepted":
                offer.settled = True
                day.accepted += 1
                self._bin(offer.probability).accepted += 1
            case "partly":
                day.partly += not offer.partly
                offer.partly = True
            case "rejected":
                offer.settled = True
                day.rejected += 1
        # A client may count what it will; a suggestion is no longer than this.
        day.characters += min(max(characters, 0), MAX_CHARACTERS)
        self._changed = True

    def gate(self, min_probability: float) -> float:
        """The stated probability from which on about `min_probability` are accepted.

        From 200 suggestions on, each bin of stated probability counts as if 50 more had come true
        as stated, so that little evidence moves little. The gate moves no further than to half,
        or by a quarter up: people do not take every right suggestion, and what is never shown
        could never prove itself again.
        """
        if sum(bin.shown for bin in self._bins) < ENOUGH or not min_probability:
            return min_probability
        stated_below, accepted_below = 0.0, 0.0
        stated, accepted = 1.0, 1.0
        for bin in self._bins:
            if not bin.shown:
                continue
            stated = bin.stated / bin.shown
            accepted = (bin.accepted + TRUST * stated) / (bin.shown + TRUST)
            if accepted >= min_probability:
                break
            stated_below, accepted_below = stated, max(accepted, accepted_below)
        else:
            stated, accepted = 1.0, 1.0
        share = (min_probability - accepted_below) / (accepted - accepted_below)
        gate = stated_below + share * (stated - stated_below)
        return min(max(gate, min_probability / 2), min_probability + 0.25, 1.0)

    def facts(self) -> dict[str, Any]:
        """For people and programs."""
        days = {day: asdict(counts) for day, counts in sorted(self._days.items())}
        names = [field.name for field in fields(Day)]
        return {
            "total": {name: sum(day[name] for day in days.values()) for name in names},
            "days": days,
            "calibration": [
                {"stated": bin.stated / bin.shown, "shown": bin.shown, "accepted": bin.accepted}
                for bin in self._bins
                if bin.shown
            ],
        }

    def clear(self) -> None:
        """Forget all counts, on disk too. Raises durable.StateError."""
        self._days.clear()
        self._bins = [_Bin() for _ in EDGES]
        self._changed = False
        self._edition += 1
        if self._path:
            with self._storing:
                durable.retire(self._path)

    def due(self) -> Callable[[], None] | None:
        """What stores the counts, if there are new ones and a minute has passed since the last.

        It is to be called in another thread, for a disk may take half a second; there it raises
        durable.StateError. Whatever is counted, saved or cleared here meanwhile, what comes last
        is what is stored in the end.
        """
        if not self._path or not self._changed or 0 <= self._clock() - self._saved < SAVE_S:
            return None
        return self._store(self._path)

    def save(self) -> None:
        """Store the counts, now, if there are new ones. Raises durable.StateError."""
        if self._path and self._changed:
            self._store(self._path)()

    def _store(self, path: Path) -> Callable[[], None]:
        """What stores the counts as they are now."""
        self._saved = self._clock()  # a full disk is asked once a minute, not at every key
        self._changed = False
        self._edition = edition = self._edition + 1
        kept = dict(sorted(self._days.items())[-MOST_DAYS:])
        value = {
            "version": VERSION,
            "days": {day: asdict(counts) for day, counts in kept.items()},
            "bins": [asdict(bin) for bin in self._bins],
        }
        data = json.dumps(value).encode()

        def store() -> None:
            with self._storing:
                if edition != self._edition:
                    return  # newer ones are on their way, or all were cleared
                try:
                    durable.replace(path, data)
                except durable.StateError:
                    self._changed = True  # to be tried again
                    raise

        return store

    def _load(self, path: Path) -> None:
        try:
            value = json.loads(durable.read(path, at_most=MOST_BYTES))
            if value["version"] != VERSION or len(value["bins"]) != len(EDGES):
                raise ValueError("of another version")
            days = {str(day): Day(**_counts(counts)) for day, counts in value["days"].items()}
            bins = [_Bin(**_counts(bin)) for bin in value["bins"]]
        except (durable.DamagedError, ValueError, KeyError, TypeError, AttributeError):
            with suppress(durable.StateError):
                durable.set_aside(path)
            return  # counting begins anew
        except durable.StateError:
            return  # none yet
        self._days, self._bins = days, bins

    def _today(self) -> Day:
        day = time.strftime("%Y-%m-%d", time.localtime(self._clock()))
        return self._days.setdefault(day, Day())

    def _bin(self, probability: float) -> "_Bin":
        return self._bins[bisect(EDGES, probability) - 1]


@dataclass(slots=True)
class _Offer:
    probability: float
    shown: bool = False
    partly: bool = False
    settled: bool = False


@dataclass(slots=True)
class _Bin:
    """Suggestions of about the same stated probability."""

    shown: float = 0.0
    accepted: float = 0.0
    stated: float = 0.0  # sum of the probabilities

    def add(self, probability: float) -> None:
        """Count one more; the oldest fade."""
        if self.shown >= FADE:
            self.shown, self.accepted, self.stated = (
                count * (1 - 1 / FADE) for count in (self.shown, self.accepted, self.stated)
            )
        self.shown += 1
        self.stated += probability


def _counts(value: Any) -> dict[str, Any]:
    """What can be counts: finite and not negative. Raises ValueError."""
    if not all(isinstance(n, int | float) and 0 <= n < 1e15 for n in value.values()):
        raise ValueError("no counts")
    return dict(value)
