"""What waits to be learned, when it is due, and what came of the last training; on disk.

Knows amounts, times and sentences; knows nothing of machines and processes, and asks no clock: the
time is told to it. It may be set back, and then nothing waits longer than a day for it.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from afterword_trainer import durable
from afterword_trainer.durable import StateError
from msgspec import Meta

logger = logging.getLogger(__name__)

HOUR_S: Final = 3600.0
DAY_S: Final = 24 * HOUR_S
# Ten pages. What is saved is in the memory at once, so the weights can wait for what is worth some
# minutes of a processor; of less, nobody could measure what it brought.
ENOUGH: Final = 20_000  # characters
LITTLE: Final = 2_000  # a page: enough if it has waited for a day
RETRY_S: Final = 600.0  # between two beginnings at the least, whatever became of the first
MOST_DEATHS: Final = 3  # in an hour; then there is something that a person has to look at

_MOST: Final = 10**12  # characters
_MOST_BYTES: Final = 1 << 16

How = Literal["better", "no-better", "died", "put-off"]
Time = Annotated[float, Meta(ge=0, le=1e12)]  # Unix time, s
Count = Annotated[int, Meta(ge=0, le=_MOST)]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a training."""

    how: How
    sentence: str  # for people
    model: str = ""  # that is in use since
    before: dict[str, float] = {}  # scores of the model that was in use, by their names
    after: dict[str, float] = {}  # of the new one
    when: Time = 0.0


class Backlog:
    """What outlives the daemon."""

    def __init__(self, path: Path, now: float) -> None:
        """Go on from what is at `path`; a damaged file is one that says nothing."""
        self._path = path
        self._state = _load(path, now)

    @property
    def waiting(self) -> int:
        """Characters that are not learned yet."""
        return self._state.waiting

    @property
    def next(self) -> float:
        """Unix time before which there is no training."""
        return self._state.next

    @property
    def failures(self) -> int:
        """Trainings in a row that gained nothing."""
        return self._state.failures

    @property
    def last(self) -> Result | None:
        """What came of the last training that was not put off."""
        return self._state.last

    def add(self, characters: int, now: float) -> bool:
        """Count what was saved; whether something may be due by it that was not.

        A text that is changed in its middle counts as new: what that costs is bounded by the time
        between two trainings.
        """
        state, before = self._state, self._state.waiting
        state.waiting = min(before + max(0, characters), _MOST)
        if not before:
            state.waiting_since = now
        return before < LITTLE <= state.waiting or before < ENOUGH <= state.waiting

    def drop(self) -> bool:
        """Nothing waits any more; whether anything did."""
        waiting, self._state.waiting = self._state.waiting, 0
        return waiting > 0

    def due_s(self, now: float) -> float | None:
        """Seconds until a training is due; 0: it is; None: not before more is saved."""
        state = self._state
        state.next = min(state.next, now + DAY_S)
        state.waiting_since = min(state.waiting_since, now)
        if state.waiting < LITTLE:
            return None
        since = 0.0 if state.waiting >= ENOUGH else state.waiting_since + DAY_S
        return max(0.0, state.next - now, since - now)

    def begin(self, now: float) -> None:
        """A training begins; to be stored before it does, so that one that kills us is known."""
        self._state.next = now + RETRY_S
        self._state.is_training = True

    def interrupt(self) -> bool:
        """It ends early, and nobody is to blame; whether there was one."""
        was_training, self._state.is_training = self._state.is_training, False
        return was_training

    def conclude(self, result: Result, n_known: int, now: float) -> None:
        """It has ended; `n_known` characters waited when it began."""
        state = self._state
        state.is_training = False
        if result.how == "put-off":
            return  # it waits for the rest of `RETRY_S`
        state.last = msgspec.structs.replace(result, when=now)
        state.failures = 0 if result.how == "better" else state.failures + 1
        state.next = now + _pause_s(state.failures)
        if result.how == "died":
            _note_death(state, now)
        else:  # it is learned, or was of no use, and would not be tomorrow
            state.waiting = max(0, state.waiting - n_known)
            state.waiting_since = now

    def learned(self, when: float, now: float) -> bool:
        """Somebody had all that is watched learned by hand, at `when`.

        Whether that changes anything: nothing waits then that came before.
        """
        if not (self._state.waiting and self._state.waiting_since < when <= now):
            return False
        self._state.waiting = 0
        return True

    def stored(self) -> Callable[[], None]:
        """What stores it as it is now; called, it raises durable.StateError."""
        data = msgspec.json.encode(self._state)

        def store() -> None:
            durable.replace(self._path, data)

        return store


class _State(msgspec.Struct, kw_only=True):
    version: Literal[1] = 1
    waiting: Count = 0
    waiting_since: Time = 0.0
    next: Time = 0.0
    failures: Count = 0
    deaths: Annotated[list[Time], Meta(max_length=MOST_DEATHS)] = []  # the last ones
    is_training: bool = False  # when it is read, it says that a daemon died while it trained
    last: Result | None = None


def _load(path: Path, now: float) -> _State:
    state = _State()
    try:
        state = msgspec.json.decode(durable.read(path, at_most=_MOST_BYTES), type=_State)
    except (msgspec.DecodeError, durable.DamagedError):
        with suppress(StateError):
            durable.set_aside(path)
        state.next = now + RETRY_S  # who knows what happened a minute ago
    except StateError:
        pass  # none yet
    if state.is_training:
        state.is_training = False
        logger.warning("the daemon before this one ended while it trained")
        _note_death(state, now)
    return state


def _note_death(state: _State, now: float) -> None:
    """Three of them in an hour are no accident."""
    state.deaths = [*state.deaths, now][-MOST_DEATHS:]
    if len(state.deaths) == MOST_DEATHS and 0 <= now - state.deaths[0] <= HOUR_S:
        state.next = now + DAY_S


def _pause_s(failures: int) -> float:
    """Until the next training: an hour, and twice as long after each more that gained nothing."""
    return min(HOUR_S * 2.0 ** min(max(failures - 1, 0), 10), DAY_S)
