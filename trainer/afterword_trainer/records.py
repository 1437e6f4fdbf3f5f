"""What training says while it goes on: small frozen records, in the order they happen.

The one language that the training loop, the live view, `--json`, the report and the run's
history speak. Knows nothing of Keras, terminals or files.
"""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Before the first step: what will be learned, from what, for how long."""

    model: str  # the name that the new bundle will get, such as "you-3"
    origin: str  # "scratch", "resumed", or the id of the bundle that training starts from
    cell: str
    layers: int
    units: int
    n_parameters: int
    n_symbols: int
    documents: int
    characters: int  # of text to learn from, the held-out part not counted
    heldout_characters: int
    files_skipped: int
    secrets_removed: int
    seconds: float | None  # for training, of the minutes promised; None with epochs
    epochs: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """Some steps were made; sent a few times a second at most."""

    seconds: float  # of training so far
    share: float  # of the plan, 0 to 1
    seconds_left: float | None  # None while the speed is still being measured
    symbols: int  # trained on so far
    symbols_per_s: float
    epoch: float
    train_bits: float  # bits per symbol, running average
    memory_mb: float  # resident, of this process


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The held-out text was measured and the same opening continued once more."""

    seconds: float
    share: float
    epoch: float
    train_bits: float  # bits per symbol, running average
    heldout_bits: float  # bits per symbol, static, on 65,536 symbols at most
    best: bool  # better than every evaluation before
    prompt: str
    sample: str  # what the model writes after the prompt, temperature 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """Something worth one line happened: a restart, a score that flatters."""

    seconds: float
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseBits:
    """How much is left of what the base model knew: its test text before training and after."""

    seconds: float
    before: float  # bits per symbol, by the model that training started from
    after: float  # by the one that came of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last record: why training ended and how good the best network is."""

    seconds: float
    reason: str  # "planned" | "early-stop" | "interrupted"
    epochs: float
    symbols: int
    heldout_bits: float  # bits per symbol, the best of all looks
    symbols_per_s: float


class TrainingError(Exception):
    """Training cannot go on; one sentence with its remedy."""


Record = Planned | Stepped | Evaluated | Noticed | BaseBits | Finished

_NAMES: dict[type[Record], str] = {
    Planned: "planned",
    Stepped: "stepped",
    Evaluated: "evaluated",
    Noticed: "noticed",
    BaseBits: "base_bits",
    Finished: "finished",
}
_TYPES = {name: kind for kind, name in _NAMES.items()}


def to_json(record: Record) -> dict[str, Any]:
    """The record as a JSON object; its key "event" names the kind."""
    return {"event": _NAMES[type(record)], **asdict(record)}


def from_json(value: dict[str, Any]) -> Record:
    """The record that `to_json` wrote. Raises KeyError or TypeError for anything else."""
    fields = dict(value)
    return _TYPES[fields.pop("event")](**fields)
