"""The table of scores: its rows and their names, the dial, and how far a model can be believed.

Frozen values, the rates that follow from what was counted, and their JSON. Knows what the simulated
user counts; measures nothing.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from afterword_trainer.model.spec import Cell
from afterword_trainer.model.suggestion import EAGERNESS
from afterword_trainer.typist import Keystrokes, ListKeys

# Names of rows: what `trainer evaluate --rows` takes, what JSON says and what benchmarks look up.
MIX = "mix"  # what serves: the network and the memory, which goes on learning
FROZEN_MIX = "frozen mix"
MEMORY = "memory"
WORD_EXPERT = "words by letters"
NGRAMS = "character n-grams"
PPMD = "PPMd"
WORD_TRIGRAM = "word trigram"
BUFFER_WORDS = "buffer words"
FREQUENT_WORDS = "buffer words, most frequent"

# What the model at hand is beside, as a table shows them: what asks most of its author first.
RIVALS = (WORD_EXPERT, NGRAMS, PPMD, WORD_TRIGRAM, FREQUENT_WORDS, BUFFER_WORDS)

# Degrees of eagerness, `Policy.min_probability`, at which usefulness is measured: the named ones,
# and others so that the curve between and beyond them can be seen.
DIAL = tuple(sorted({*EAGERNESS.values(), 0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}))


def network_row(cell: Cell, *, dynamic: bool = False) -> str:
    """The name of the network's own row; `dynamic` if its weights learn from what it reads."""
    return f"dynamic {cell.upper()}" if dynamic else cell.upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bits:
    """What text costs under a model; several texts add up with `+`."""

    bits: float = 0.0
    characters: int = 0

    def __add__(self, other: "Bits") -> "Bits":
        return Bits(bits=self.bits + other.bits, characters=self.characters + other.characters)

    @property
    def per_character(self) -> float:
        """Bits per character; 0 for no text."""
        return self.bits / self.characters if self.characters else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """One row of the table; None is what such a model cannot do."""

    name: str  # one of those above, or what the model is called
    note: str = ""  # which of several it is, such as "order 12"
    learning: bool  # whether it goes on learning from the text that it is measured on
    seconds: float = 0.0  # to make it and to measure it
    part: bool = False  # of the model at hand, and no rival of it
    bits: Bits | None = None
    keystrokes: Keystrokes | None = None
    presage: ListKeys | None = None

    @property
    def title(self) -> str:
        """Name and note, as a table shows them."""
        return f"{self.name}, {self.note}" if self.note else self.name

    def to_json(self) -> dict[str, Any]:
        """Plain values: the counts, and the rates that follow from them."""
        value: dict[str, Any] = {
            "name": self.name,
            "note": self.note,
            "seconds": round(self.seconds, 3),
            "learning": self.learning,
            "part": self.part,
        }
        if self.bits:
            value["bits_per_character"] = self.bits.per_character
        if self.keystrokes:
            value |= _rates(self.keystrokes)
        if self.presage:
            value["presage_ksr"] = {str(size): ksr for size, ksr in self.presage.ksr.items()}
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Degree:
    """What the model at hand saves at one degree of eagerness, and how often it is right."""

    min_probability: float  # see Policy
    keystrokes: Keystrokes

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the name that the degree may have."""
        names = {least: name for name, least in EAGERNESS.items()}
        return {
            "min_probability": self.min_probability,
            "name": names.get(self.min_probability, ""),
            **_rates(self.keystrokes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """Suggestions of which the model was about equally sure; shares from 0 to 1."""

    said: float  # its mean probability
    was: float  # share that came true
    n: int


def calibration(outcomes: Iterable[tuple[float, bool]]) -> tuple[Confidence, ...]:
    """How often the model is right when it says that it is so sure, by tenths, least sure first.

    An outcome is the probability of a suggestion and whether it came true.
    """
    tenths: dict[int, list[tuple[float, bool]]] = {}
    for probability, right in outcomes:
        tenths.setdefault(min(int(10 * probability), 9), []).append((probability, right))
    return tuple(
        Confidence(
            said=sum(probability for probability, _ in group) / len(group),
            was=sum(right for _, right in group) / len(group),
            n=len(group),
        )
        for _, group in sorted(tenths.items())
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Models measured on the same text, the one at hand first."""

    rows: tuple[Scores, ...]
    dropped: tuple[str, ...]  # names of rows for which there was no time
    calibration: tuple[Confidence, ...]  # of the model at hand, least sure first
    dial: tuple[Degree, ...]  # of the model at hand, the most eager first
    learned_characters: int  # by the baselines
    bits_characters: int  # of test text, from its beginning
    keystroke_characters: int
    presage_words: int

    def to_json(self) -> dict[str, Any]:
        """Plain values only."""
        return asdict(self) | {
            "rows": [row.to_json() for row in self.rows],
            "dial": [degree.to_json() for degree in self.dial],
        }


def _rates(typed: Keystrokes) -> dict[str, Any]:
    """What follows from the counts, and the counts."""
    return {
        "ksr": typed.ksr,
        "ksr_with_accept_word": typed.ksr_with_accept_word,
        "acceptance": typed.acceptance,
        "rocc": typed.rocc,
        "mean_accepted_length": typed.mean_accepted_length,
        "keystrokes": asdict(typed),
    }
