"""What was learned when, from what, into which model, with which score: added to, never changed.

One line of JSON for each event, with a checksum (`durable.append`). It holds no text and no path:
documents and folders are numbers of the `registry`, digests are salted there. A line that a crash
cut short makes room for the next; one that is damaged in the middle is skipped, counted and told,
for what it said is lost. Knows events; knows nothing of models or files.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any, Final, Literal, get_args

from afterword_trainer import durable
from afterword_trainer.paths import Paths

logger = logging.getLogger(__name__)

NAME = "ledger"
MOST_DOCUMENTS = 24_576  # in one entry, the newest; a model remembers as many

What = Literal["learned", "updated", "rejected", "forgotten", "rebuilt", "used"]
LEARNED: Final[tuple[What, ...]] = ("learned", "updated", "rebuilt")  # and is, or was, in use


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How good a model is as it serves; None is what was not measured."""

    bits_per_character: float | None = None  # of the user's newest held-out text
    ksr: float | None = None  # keystrokes saved there, percent
    base_bits_per_character: float | None = None  # of the base model's own test text


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event."""

    what: What
    when: str  # ISO 8601 in UTC: 2031-01-31T12:00:00Z
    # What came of it; what is in use from then on. None of "rebuilt": too little was left.
    model: str | None = None
    parent: str | None = None  # the model that training started from
    base: str | None = None  # the run that made the base model
    run: str | None = None  # of the corpus and the settings
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # roots as numbers, rules, work
    documents: Sequence[tuple[str, str]] = ()  # (number, salted digest) of what was learned
    before: Measured | None = None  # the model that was in use, on the same text
    after: Measured | None = None
    verdict: str = ""  # why it is in use, or why not, in a sentence

    @property
    def time(self) -> float:
        """`when` as Unix time. Raises ValueError if it is no date."""
        return datetime.fromisoformat(self.when.replace("Z", "+00:00")).timestamp()

    @property
    def roots(self) -> tuple[str, ...]:
        """The numbers of the folders and files that took part."""
        return tuple(map(str, self.settings.get("roots", ())))


def now() -> str:
    """This moment, as entries have it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def add(paths: Paths, entry: Entry) -> None:
    """Write an entry; it is on disk when this returns. Raises durable.StateError."""
    value = asdict(entry) | {"documents": list(entry.documents)[-MOST_DOCUMENTS:]}
    kept = {name: part for name, part in value.items() if part not in (None, "", [], {}, ())}
    durable.append(paths.data / NAME, json.dumps(kept, separators=(",", ":")).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All that can be read of it."""

    entries: tuple[Entry, ...]  # oldest first
    n_damaged: int = 0  # lines that cannot be read

    @property
    def problem(self) -> str | None:
        """A sentence if something is lost."""
        if not self.n_damaged:
            return None
        lines = "1 line" if self.n_damaged == 1 else f"{self.n_damaged} lines"
        return f"{lines} of the ledger cannot be read; what they said is lost, the rest stands"

    @property
    def last_learned(self) -> Entry | None:
        """The last training that gave a model which was put to use; None: there was none."""
        trainings = (one for one in reversed(self.entries) if one.what in LEARNED and one.model)
        return next(trainings, None)

    @property
    def to_rebuild(self) -> Mapping[str, Any] | None:
        """The recipe of the model that is still to be made without what was forgotten; None: there
        is none.
        """
        for entry in reversed(self.entries):
            if entry.what in ("learned", "rebuilt") or entry.settings.get("work") == "rebuilt":
                return None
            recipe: Mapping[str, Any] | None = entry.settings.get("rebuild")
            if entry.what == "forgotten" and recipe:
                return recipe
        return None


def read(paths: Paths) -> Ledger:
    """The entries, oldest first; no file is no entries. Raises durable.StateError.

    What is no file is set aside.
    """
    try:
        records, n_damaged = durable.read_records(paths.data / NAME)
    except durable.DamagedError:
        logger.warning("%s is no file and set aside", durable.set_aside(paths.data / NAME).name)
        return Ledger(entries=())
    entries = []
    for record in records:
        try:
            entries.append(_entry(json.loads(record)))
        except (AttributeError, KeyError, TypeError, ValueError):
            n_damaged += 1  # of another version, or none of ours
    if n_damaged:
        logger.warning("lines of the ledger that cannot be read: %d", n_damaged)
    return Ledger(entries=tuple(entries), n_damaged=n_damaged)


def _entry(value: Mapping[str, Any]) -> Entry:
    if value["what"] not in get_args(What):
        raise ValueError(f"an event {value['what']!r} is not known")
    return Entry(
        **{
            **value,
            "documents": tuple((str(id), str(digest)) for id, digest in value.get("documents", ())),
            "before": _measured(value.get("before")),
            "after": _measured(value.get("after")),
        }
    )


def _measured(value: Mapping[str, float] | None) -> Measured | None:
    return None if value is None else Measured(**value)
