"""How good a model is on text it has not seen: bits per character and keystrokes saved.

Asks predictors through the very code that the daemon suggests with, has the simulated user of
`typist` take what they offer, and measures the baselines beside them on the same text. Knows
neither networks nor files.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from afterword_trainer.baselines import (
    WORD,
    BufferWords,
    CharacterNgrams,
    WordTrigram,
    ppmd_bits,
)
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.predictor import Predictor, Symbols, prime
from afterword_trainer.model.suggestion import EAGERNESS, Policy, Suggestion
from afterword_trainer.stream import Document as Document
from afterword_trainer.typist import (
    Dial,
    Ghost,
    Keystrokes,
    ListKeys,
    Speller,
    Suggester,
    Tick,
    keystrokes,
    offers_along,
    presage,
)
from afterword_trainer.words import WordExpert, WordTrigrams

Progress = Callable[[str, float], None]  # which model is being measured, share done, 0 to 1
# Degrees of eagerness, `Policy.min_probability`, at which usefulness is measured: the named ones,
# and others so that the curve between and beyond them can be seen.
DIAL = tuple(sorted({*EAGERNESS.values(), 0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}))

HURRIED_CHARACTERS = 1_000_000  # that memory and baselines learn, in seconds, if time is short
WORD_EXPERT = "words by letters"  # a row, see `words`


@dataclass(frozen=True, slots=True, kw_only=True)
class Expert:
    """A model, or a part of one, to be measured by itself.

    `make` gives a new predictor that has learned what it is to have learned and observed nothing.
    It is called for each measure: one that learns must not know the text from the measure before.
    """

    name: str
    make: Callable[[], Predictor]
    listed: bool = False  # whether its lists of words are scored too, which take longest


class Page(NamedTuple):
    """A document as models read it."""

    header: Symbols
    text: str


# Bits of the text of pages in a row, by a model that can do nothing but read them; it says how
# many symbols it has read meanwhile.
Reader = Callable[[Sequence[Page], Callable[[int], object]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much is measured; a few minutes for everything with a network of 2 x 512."""

    policy: Policy = field(default_factory=Policy)
    bits_characters: int = 200_000  # of the test text; a network takes some seconds for them
    keystroke_characters: int = 20_000  # each costs about 14 steps; steady to a point of KSR
    presage_words: int = 1_000  # each costs about 180 steps
    learned_characters: int = 4_000_000  # the newest; baselines hold theirs in memory
    ngram_order: int = 8  # see CharacterNgrams
    ppmd_orders: tuple[int, ...] = (6, 8, 12, 16)  # prose likes the low ones, notes and code 16
    rows: Collection[str] | None = None  # to measure beside the first, by name; None: all
    deadline: float = math.inf  # time.monotonic(); rows not measured by then are left out

    @classmethod
    def unhurried(cls) -> "Options":
        """What `learn` measures when it has promised no time: a minute or so more of waiting."""
        return cls(bits_characters=100_000, keystroke_characters=10_000, presage_words=200)

    @classmethod
    def within(cls, budget_s: float, step_s: float) -> "Options":
        """As much as `budget_s` seconds from now allow when a predictor's step takes `step_s`.

        At most `unhurried`, at least what a score needs to mean something, even if the time is
        over already: 2,000 characters in bits, 1,000 typed, 20 words, some 20,000 steps in all.
        """
        most = cls.unhurried()
        # A third each for bits, typing and words, of 40 % of the time: the baselines take about as
        # long as the model, steps are slower in long use than in a short trial, and publishing
        # comes after.
        steps_each = max(0.5, 0.4 * budget_s) / 3 / step_s
        n_typed, n_words = steps_each / _STEPS_PER_OFFER, steps_each / _STEPS_PER_WORD
        return cls(
            bits_characters=_between(2_000, steps_each, most.bits_characters),
            keystroke_characters=_between(1_000, n_typed, most.keystroke_characters),
            presage_words=_between(20, n_words, most.presage_words),
            learned_characters=HURRIED_CHARACTERS,
            ppmd_orders=(8, 16),
            deadline=time.monotonic() + 0.9 * budget_s,
        )


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
class Confidence:
    """Suggestions of which the model was about equally sure; shares from 0 to 1."""

    said: float  # its mean probability
    was: float  # share that came true
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """One row of the table; None is what such a model cannot do."""

    name: str
    seconds: float  # to make it and to measure it
    learning: bool  # whether it goes on learning from the text that it is measured on
    part: bool = False  # of the model at hand, and no rival of it
    bits: Bits | None = None
    keystrokes: Keystrokes | None = None
    presage: ListKeys | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values: the counts, and the rates that follow from them."""
        value: dict[str, Any] = {
            "name": self.name,
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
class Usefulness:
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
class Table:
    """Models measured on the same text, the one at hand first."""

    rows: tuple[Scores, ...]
    dropped: tuple[str, ...]  # rows for which there was no time
    calibration: tuple[Confidence, ...]  # of the model at hand, least sure first
    dial: tuple[Usefulness, ...]  # of the model at hand, the most eager first
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


def evaluate(
    experts: Sequence[Expert],
    alphabet: Alphabet,
    learned: Iterable[Document],
    test: Iterable[Document],
    options: Options | None = None,
    progress: Progress = lambda name, share: None,
    *,
    readers: Mapping[str, Reader] | None = None,
) -> Table:
    """Measure experts on the beginning of `test`, and the baselines, which learn `learned`.

    The first expert is the one that counts: it is measured in full whatever the time; the others,
    the baselines and last the `readers` as far as there is time. Documents come oldest first;
    `test` holds nothing of `learned`. The n-grams are static; words and PPMd go on learning from
    the test text, as they always do. State is carried from one document to the next.
    """
    options = options or Options()
    newest = _newest(_pages(learned, alphabet), options.learned_characters)
    text = "\n".join(page.text for page in newest)
    for_bits = _beginning(_pages(test, alphabet), options.bits_characters)
    for_keys = _beginning(for_bits, options.keystroke_characters)
    on = _On(alphabet, options, for_bits, for_keys, progress)
    ngrams = cache(partial(_ngrams, newest, on))  # learned once there is time for it
    first, *others = experts
    ours, came_true, dial = _score_in_full(first, on)
    # The quick ones first: they are the ones to have if time runs out.
    measures: dict[str, Callable[[], Scores]] = {
        "buffer words": partial(_score_buffer, text, on, most_frequent=False),
        "buffer words, most frequent": partial(_score_buffer, text, on, most_frequent=True),
        "word trigram": partial(_score_trigram, text, on),
        "PPMd": partial(_score_ppmd, text, on),
        **{expert.name: partial(_score_expert, expert, on) for expert in reversed(others)},
        f"characters, order {options.ngram_order}": partial(_score_ngrams, ngrams, on),
        WORD_EXPERT: partial(_score_words, newest, ngrams, on),
        **{name: partial(_score_reader, name, read, on) for name, read in (readers or {}).items()},
    }
    rows: list[Scores] = []
    dropped: list[str] = []
    for name, measure in measures.items():
        if options.rows is not None and name not in options.rows:
            continue
        try:
            rows.append(measure())
        except _OutOfTimeError:  # a row is whole or it is not there
            dropped.append(name)
    parts = [*(expert.name for expert in others), *(readers or {})]  # shown first, in this order
    rows = [replace(row, part=row.name in parts) for row in reversed(rows)]
    rows.sort(key=lambda row: parts.index(row.name) if row.part else len(parts))
    return Table(
        rows=(ours, *rows),
        dropped=tuple(dropped),
        calibration=calibration(came_true),
        dial=dial,
        learned_characters=len(text),
        bits_characters=_n_characters(for_bits),
        keystroke_characters=_n_characters(for_keys),
        presage_words=ours.presage.words if ours.presage else 0,
    )


def bits_per_character(
    predictor: Predictor,
    alphabet: Alphabet,
    text: str,
    header: Symbols,
    tick: Tick = lambda: None,
) -> Bits:
    """What `text` costs after `header`, every symbol of it counted, the header's own not.

    The predictor has observed both in the end, and one that learns has learned them.
    """
    prime(predictor, header)
    bits = 0.0
    for symbol in alphabet.encode(text).tolist():
        bits -= math.log2(max(float(predictor.distribution()[symbol]), _LEAST_PROBABILITY))
        predictor.observe(symbol)
        tick()
    return Bits(bits=bits, characters=len(text))


def step_seconds(predictor: Predictor, n_steps: int = 100) -> float:
    """How long one step of `predictor` takes, by a short trial; it is left as it is."""
    trial = predictor.fork()
    began = time.perf_counter()
    for _ in range(n_steps):
        trial.observe(ord(" "))
        trial.distribution()
    return (time.perf_counter() - began) / n_steps


def outcomes(text: str, offers: Sequence[Suggestion | None]) -> list[tuple[float, bool]]:
    """Probability of each suggestion that `offers_along` gave, and whether it came true."""
    return [
        (offer.probability, text.startswith(offer.text, at))
        for at, offer in enumerate(offers)
        if offer
    ]


def calibration(outcomes: Iterable[tuple[float, bool]]) -> tuple[Confidence, ...]:
    """How often the model is right when it says that it is so sure, by tenths, least sure first."""
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


# A network rounds what it deems impossible to 0; 30 bits is dear enough for one symbol.
_LEAST_PROBABILITY = 2.0**-30
# The time that a character typed along the dial and a word listed take, in steps of the mix. It
# was 14 and 176 on notes; for one degree of eagerness, and what does not learn, it is about half.
_STEPS_PER_OFFER = 14
_STEPS_PER_WORD = 180
_CHARACTERS_PER_WORD = 5


@dataclass(frozen=True, slots=True)
class _On:
    """What all models are measured on, and how."""

    alphabet: Alphabet
    options: Options
    for_bits: list[Page]
    for_keys: list[Page]
    progress: Progress


class _OutOfTimeError(Exception):
    """The deadline has passed before a baseline was measured."""


class _Meter:
    """Says how much of one row is done, a hundred times at most; ends it at the deadline."""

    def __init__(self, on: _On, name: str, n_steps: int, deadline: float) -> None:
        self._say = partial(on.progress, name)
        self._n_steps = max(n_steps, 1)
        self._deadline = deadline
        self._done = 0
        self(0)

    def __call__(self, steps: int = 1) -> None:
        if time.monotonic() > self._deadline:
            raise _OutOfTimeError
        before = 100 * self._done // self._n_steps
        self._done += steps
        if not self._done or before < 100 * self._done // self._n_steps:
            self._say(min(self._done / self._n_steps, 1.0))


def _score_in_full(
    expert: Expert, on: _On
) -> tuple[Scores, list[tuple[float, bool]], tuple[Usefulness, ...]]:
    """The row that counts, the outcomes of its suggestions, and its usefulness along the dial."""
    began = time.perf_counter()
    meter = _Meter(on, expert.name, _n_steps(on, listed=True), math.inf)
    reader = expert.make()
    bits = _read(reader, on, meter)
    degrees = tuple(dict.fromkeys([on.options.policy.min_probability, *DIAL]))  # as it is, first
    policies = [replace(on.options.policy, min_probability=degree) for degree in degrees]
    dial = Dial(Ghost(expert.make(), on.alphabet, on.options.policy), policies)
    typed = [Keystrokes()] * len(policies)
    came_true: list[tuple[float, bool]] = []
    for header, text in on.for_keys:
        at_once = offers_along(dial, text, header, partial(meter, _STEPS_PER_OFFER))
        silent = (None,) * len(policies)
        by_policy = list(zip(*(offers or silent for offers in at_once), strict=True))
        for index, offers in enumerate(by_policy):
            typed[index] += keystrokes(text, [offer.text if offer else None for offer in offers])
        came_true += outcomes(text, by_policy[0])
    listed = _list(expert.make(), on, meter)
    scores = Scores(
        name=expert.name,
        seconds=time.perf_counter() - began,
        learning=reader.learning,
        bits=bits,
        keystrokes=typed[0],
        presage=listed,
    )
    curve = [
        Usefulness(min_probability=degree, keystrokes=keys)
        for degree, keys in sorted(zip(degrees, typed, strict=True), key=lambda point: point[0])
    ]
    return scores, came_true, tuple(curve)


def _score_expert(expert: Expert, on: _On) -> Scores:
    began = time.perf_counter()
    meter = _Meter(on, expert.name, _n_steps(on, listed=expert.listed), on.options.deadline)
    reader = expert.make()
    bits = _read(reader, on, meter)
    ghost = Ghost(expert.make(), on.alphabet, on.options.policy)
    typed = Keystrokes()
    for header, text in on.for_keys:
        offers = offers_along(ghost, text, header, partial(meter, _STEPS_PER_OFFER))
        typed += keystrokes(text, [offer.text if offer else None for offer in offers])
    listed = _list(expert.make(), on, meter) if expert.listed else None
    return Scores(
        name=expert.name,
        seconds=time.perf_counter() - began,
        learning=reader.learning,
        bits=bits,
        keystrokes=typed,
        presage=listed,
    )


def _read(predictor: Predictor, on: _On, tick: Tick) -> Bits:
    bits = Bits()
    for header, text in on.for_bits:
        bits += bits_per_character(predictor, on.alphabet, text, header, tick)
    return bits


def _list(predictor: Predictor, on: _On, meter: "_Meter") -> ListKeys:
    speller, listed = Speller(predictor, on.alphabet), ListKeys()
    for header, text in on.for_keys:
        left = on.options.presage_words - listed.words
        listed += presage(speller, text, header, left, partial(meter, _STEPS_PER_WORD))
    return listed


def _n_steps(on: _On, *, listed: bool) -> int:
    """About how many steps of a predictor a row takes."""
    words = on.options.presage_words if listed else 0
    typed = _STEPS_PER_OFFER * _n_characters(on.for_keys)
    return _n_characters(on.for_bits) + typed + _STEPS_PER_WORD * words


def _score_ngrams(ngrams: Callable[[], CharacterNgrams], on: _On) -> Scores:
    name = f"characters, order {on.options.ngram_order}"
    return _score_expert(Expert(name=name, make=lambda: ngrams().predictor(), listed=True), on)


def _score_words(learned: list[Page], ngrams: Callable[[], CharacterNgrams], on: _On) -> Scores:
    @cache
    def trigrams() -> WordTrigrams:
        return WordTrigrams(_symbols(learned, on.alphabet), on.alphabet)

    def make() -> Predictor:
        return WordExpert(trigrams(), ngrams().predictor())

    return _score_expert(Expert(name=WORD_EXPERT, make=make), on)


def _ngrams(learned: list[Page], on: _On) -> CharacterNgrams:
    symbols = _symbols(learned, on.alphabet)
    return CharacterNgrams(symbols, on.alphabet.size, order=on.options.ngram_order)


def _symbols(pages: Iterable[Page], alphabet: Alphabet) -> Symbols:
    pieces = [part for page in pages for part in (page.header, alphabet.encode(page.text))]
    return np.concatenate([np.empty(0, np.uint16), *pieces])


def _score_reader(name: str, read: Reader, on: _On) -> Scores:
    began = time.perf_counter()
    n_characters = _n_characters(on.for_bits)
    bits = read(on.for_bits, _Meter(on, name, n_characters, on.options.deadline))
    return Scores(
        name=name,
        seconds=time.perf_counter() - began,
        learning=True,
        bits=Bits(bits=bits, characters=n_characters),
    )


def _score_ppmd(learned: str, on: _On) -> Scores:
    """The row of the order that needs fewest bits."""
    began = time.perf_counter()
    text = "".join(page.text for page in on.for_bits)
    meter = _Meter(on, "PPMd", len(on.options.ppmd_orders), on.options.deadline)
    best = (math.inf, 0)
    for order in on.options.ppmd_orders:
        best = min(best, (float(ppmd_bits(learned, text, order)), order))
        meter()
    bits, order = best
    seconds = time.perf_counter() - began
    return Scores(
        name=f"PPMd, order {order}",
        seconds=seconds,
        learning=True,
        bits=Bits(bits=bits, characters=len(text)),
    )


def _score_trigram(learned: str, on: _On) -> Scores:
    began = time.perf_counter()
    name = "word trigram"
    n_steps = _n_characters(on.for_keys) + _CHARACTERS_PER_WORD * on.options.presage_words
    meter = _Meter(on, name, n_steps, on.options.deadline)
    typed, listed = _typed(WordTrigram(learned), on, meter), ListKeys()
    lister = WordTrigram(_words_only(learned))
    for header, text in on.for_keys:
        left = on.options.presage_words - listed.words
        tick = partial(meter, _CHARACTERS_PER_WORD)
        listed += presage(lister, _words_only(text), header, left, tick)
    seconds = time.perf_counter() - began
    return Scores(name=name, seconds=seconds, learning=True, keystrokes=typed, presage=listed)


def _score_buffer(learned: str, on: _On, *, most_frequent: bool) -> Scores:
    began = time.perf_counter()
    name = f"buffer words, most {'frequent' if most_frequent else 'recent'}"
    meter = _Meter(on, name, _n_characters(on.for_keys), on.options.deadline)
    typed = _typed(BufferWords(learned, most_frequent=most_frequent), on, meter)
    seconds = time.perf_counter() - began
    return Scores(name=name, seconds=seconds, learning=True, keystrokes=typed)


def _typed(suggester: Suggester[str], on: _On, tick: Tick) -> Keystrokes:
    total = Keystrokes()
    for header, text in on.for_keys:
        total += keystrokes(text, offers_along(suggester, text, header, tick))
    return total


def _rates(typed: Keystrokes) -> dict[str, Any]:
    """What follows from the counts, and the counts, for JSON."""
    return {
        "ksr": typed.ksr,
        "ksr_with_accept_word": typed.ksr_with_accept_word,
        "acceptance": typed.acceptance,
        "rocc": typed.rocc,
        "mean_accepted_length": typed.mean_accepted_length,
        "keystrokes": asdict(typed),
    }


def _pages(documents: Iterable[Document], alphabet: Alphabet) -> Iterator[Page]:
    for document in documents:
        header = alphabet.header(document.path, document.language, document.modified)
        yield Page(header, document.text)


def _beginning(pages: Iterable[Page], n_characters: int) -> list[Page]:
    """The first `n_characters` of text; the last page may be cut short."""
    kept: list[Page] = []
    left = n_characters
    for page in pages:
        if left <= 0:
            break
        kept.append(page._replace(text=page.text[:left]))
        left -= len(page.text)
    return kept


def _newest(pages: Iterable[Page], n_characters: int) -> list[Page]:
    """The last `n_characters` of text at least, in whole pages but for the first.

    Reads all pages but holds no more than these, so that memory does not grow with the corpus.
    """
    kept: deque[Page] = deque()
    n_kept = 0
    for page in pages:
        kept.append(page)
        n_kept += len(page.text)
        while n_kept - len(kept[0].text) >= n_characters:
            n_kept -= len(kept.popleft().text)
    if n_kept > n_characters:
        kept[0] = kept[0]._replace(text=kept[0].text[n_kept - n_characters :])
    return list(kept)


def _words_only(text: str) -> str:
    """The words in lower case with a space between them: what a list of words is offered for."""
    return " ".join(WORD.findall(text.lower()))


def _n_characters(pages: Iterable[Page]) -> int:
    return sum(len(page.text) for page in pages)


def _between(low: int, value: float, high: int) -> int:
    return max(low, min(high, int(value)))
