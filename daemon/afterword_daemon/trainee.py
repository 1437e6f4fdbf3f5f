"""The trainer as a child: how it is called, what it says, and what came of it.

Knows `--json` of `trainer update` and `trainer forget`; knows nothing of when, nor of how a process
is kept.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

import msgspec
from afterword_trainer.paths import Paths
from msgspec import Meta

from afterword_daemon.backlog import Result
from afterword_daemon.child import ChildError
from afterword_daemon.config import Settings
from afterword_daemon.protocol import Forgot

_TRAINER: Final = (sys.executable, "-m", "afterword_trainer.cli")
UPDATE: Final = (*_TRAINER, "update", "--background", "--json")  # folders follow
FORGET: Final = (*_TRAINER, "forget", "--background", "--yes", "--json")  # a path follows
ERRORS: Final = "training.err"  # in the folder of logs: what a child says when it fails
# Bytes. Training 2 x 512 takes 1.3 GB at its highest. The child has a limit of its own, above this.
MOST_MEMORY: Final = 1_900 << 20
GAVE_WAY: Final = 75  # exit code of a child that finds no room beside others (`background`)


def arguments(settings: Settings) -> Iterator[str]:
    """Those of `UPDATE`: what to leave out, and the folders."""
    for pattern in settings.ignore:
        yield f"--ignore={pattern}"
    yield "--"
    yield from map(str, settings.watch)


def environment(paths: Paths, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a child needs to find the same folders as we. Raises ChildError if it could not.

    A daemon is told its folders by whoever starts it, and its own environment may name others.
    """
    named = {**environ, "AFTERWORD_BASE": str(paths.base)}
    for found in (named, {**named, "AFTERWORD_HOME": str(paths.data.parent)}):
        theirs = Paths.from_environment(found)
        if replace(theirs, runtime=paths.runtime) == paths:  # the socket is none of its business
            return found
    raise ChildError(
        f"{paths.data}: a child would look elsewhere; set AFTERWORD_HOME for the daemon"
    )


# -- what it says -------------------------------------------------------------------------------

Share = Annotated[float, Meta(ge=0, le=1)]
Scores = dict[str, float | None]


class _Verdict(msgspec.Struct, frozen=True):
    accepted: bool
    sentence: Annotated[str, Meta(max_length=1000)]
    before: Scores | None = None
    after: Scores | None = None


class _Updated(msgspec.Struct, frozen=True):
    """The last record of `trainer update`; it has more fields, of no concern here."""

    id: str | None  # of the model that is in use now; None: none was made, or it was no better
    verdict: _Verdict | None  # None: there was nothing to learn, or to compare with
    n_left: Annotated[int, Meta(ge=0)] = 0  # characters of new text that have to wait


class _Forgotten(msgspec.Struct, frozen=True):
    """What `trainer forget` found, and deleted."""

    tainted: dict[str, str] = {}  # models that had seen it, or may have
    successor: str | None = None  # that is in use now
    spared: tuple[str, ...] = ()  # models of which nobody knows what they have seen


class _Made(msgspec.Struct, frozen=True):
    id: str | None = None
    active: bool = False
    previous: str | None = None


class _Rebuilt(msgspec.Struct, frozen=True):
    """The last record of `trainer forget`, if the weights had to be made anew."""

    learned: _Made | None = None  # None: too little was left


_KINDS: Final = {"updated": _Updated, "forgotten": _Forgotten, "rebuilt": _Rebuilt}


@dataclass(slots=True)
class Said:
    """What a child has said so far. What is not understood is passed over."""

    share: float = 0.0
    updated: _Updated | None = None
    forgotten: _Forgotten | None = None
    rebuilt: _Rebuilt | None = None

    def take(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Understand some more."""
        for record in records:
            with suppress(msgspec.ValidationError):
                event = record.get("event")
                if event in _KINDS:
                    setattr(self, event, msgspec.convert(record, _KINDS[event]))
                elif "share" in record:
                    self.share = msgspec.convert(record["share"], Share)

    @property
    def n_left(self) -> int:
        """Characters that were new and had no room in this training."""
        return self.updated.n_left if self.updated else 0


def result_of(code: int | None, said: Said, paths: Paths) -> Result:
    """What came of a child that has ended by itself."""
    if code == GAVE_WAY:
        return Result(how="died", sentence="training gave way, as there was no room beside others")
    if code:
        return Result(how="died", sentence=f"training {how_it_ended(code, paths)}")
    updated = said.updated
    if not updated:
        return Result(how="died", sentence="training ended and did not say what came of it")
    verdict, model = updated.verdict, updated.id or ""
    if not verdict:
        sentence = f"{model} is in use" if model else "there was nothing new to learn"
        return Result(how="better" if model else "no-better", model=model, sentence=sentence)
    return Result(
        how="better" if verdict.accepted else "no-better",
        sentence=verdict.sentence,
        model=model,
        before=_measured(verdict.before),
        after=_measured(verdict.after),
    )


def forgot(said: Said, *, is_first: bool) -> Forgot:
    """What came of a child that has forgotten a path; `is_first` unless one before it had begun."""
    found = said.forgotten or _Forgotten()
    if said.rebuilt and (made := said.rebuilt.learned) and made.id:
        serves = "is in use" if made.active else f"is not in use, {made.previous or 'no model'} is"
        sentence = f"forgotten; {made.id} was made without it and {serves}"
        return Forgot(how="rebuilt", sentence=sentence, model=made.id)
    serves = f"{found.successor or 'no model'} is in use"
    if said.rebuilt:
        sentence = f"forgotten; too little is left to learn from, so {serves}"
    elif found.tainted:
        sentence = f"forgotten, and so are the models that may have seen it; {serves}"
    else:
        sentence = "forgotten; no model had seen it" if is_first else "forgotten"
    if found.spared:
        seen = f"nobody knows whether {', '.join(found.spared)} saw it"
        sentence = f"forgotten; {seen}, so to have that deleted: trainer forget PATH"
    how: Literal["deleted", "nothing"] = "deleted" if found.tainted or said.rebuilt else "nothing"
    return Forgot(how=how, sentence=sentence)


def how_it_ended(code: int | None, paths: Paths) -> str:
    """In words."""
    how = f"by signal {-code}" if code and code < 0 else f"with code {code}"
    return f"ended {how}; see {paths.logs / ERRORS}"


def _measured(scores: Scores | None) -> dict[str, float]:
    return {name: value for name, value in (scores or {}).items() if value is not None}
