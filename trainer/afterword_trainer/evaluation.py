"""How good a model is on text it has not seen: bits per character and keystrokes saved.

Asks a predictor through the very code that the daemon suggests with, has the simulated user of
`typist` take what it offers, and measures the baselines beside it on the same text. Knows neither
networks nor files.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
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
from afterword_trainer.model.suggestion import Policy, Suggestion
from afterword_trainer.stream import Document as Document
from afterword_trainer.typist import (
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

Progress = Callable[[str, float], None]  # which model is being measured, share done, 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much is measured; a few minutes for everything with a network of 2 x 512."""

    policy: Policy = field(default_factory=Policy)
    bits_characters: int = 200_000  # of the test text; a network takes some seconds for them
    keystroke_characters: int = 20_000  # each costs about five steps; steady to a point of KSR
    presage_words: int = 1_000  # each costs about 120 steps
    learned_characters: int = 4_000_000  # the newest; baselines hold theirs in memory
    ngram_order: int = 8  # see CharacterNgrams
    ppmd_orders: tuple[int, ...] = (6, 8, 12, 16)  # prose likes the low ones, notes and code 16
    deadline: float = math.inf  # time.monotonic(); baselines not measured by then are left out

    @classmethod
    def unhurried(cls) -> "Options":
        """What `learn` measures when it has promised no time: a minute or so more of waiting."""
        return cls(bits_characters=100_000, keystroke_characters=10_000, presage_words=200)

    @classmethod
    def within(cls, budget_s: float, step_s: float) -> "Options":
        """As much as `budget_s` seconds from now allow when a predictor's step takes `step_s`.

        At most `unhurried`, at least what a score needs to mean something, even if the time is
        over already: 2,000 characters in bits, 1,000 typed, 20 words, some 10,000 steps in all.
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
            learned_characters=1_000_000,  # baselines learn these in seconds
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
    seconds: float  # to measure it, and to make it if it is a baseline
    bits: Bits | None = None
    keystrokes: Keystrokes | None = None
    presage: ListKeys | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values: the counts, and the rates that follow from them."""
        value: dict[str, Any] = {"name": self.name, "seconds": round(self.seconds, 3)}
        if self.bits:
            value["bits_per_character"] = self.bits.per_character
        if typed := self.keystrokes:
            value |= {
                "ksr": typed.ksr,
                "ksr_with_accept_word": typed.ksr_with_accept_word,
                "acceptance": typed.acceptance,
                "rocc": typed.rocc,
                "mean_accepted_length": typed.mean_accepted_length,
                "keystrokes": asdict(typed),
            }
        if self.presage:
            value["presage_ksr"] = {str(size): ksr for size, ksr in self.presage.ksr.items()}
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Models measured on the same text, the one at hand first."""

    rows: tuple[Scores, ...]
    dropped: tuple[str, ...]  # baselines for which there was no time
    calibration: tuple[Confidence, ...]  # of the model at hand, least sure first
    learned_characters: int  # by the baselines
    bits_characters: int  # of test text, from its beginning
    keystroke_characters: int
    presage_words: int

    def to_json(self) -> dict[str, Any]:
        """Plain values only."""
        return asdict(self) | {"rows": [row.to_json() for row in self.rows]}


def evaluate(
    name: str,
    predictor: Predictor,
    alphabet: Alphabet,
    learned: Iterable[Document],
    test: Iterable[Document],
    options: Options | None = None,
    progress: Progress = lambda name, share: None,
) -> Table:
    """Measure `predictor` on the beginning of `test`, and the baselines, which learn `learned`.

    Documents come oldest first; `test` holds nothing of `learned`. The predictor and the n-grams
    are static; words and PPMd go on learning from the test text, as they always do. State is
    carried from one document to the next. `predictor` is left as it is.
    """
    options = options or Options()
    newest = _newest(_pages(learned, alphabet), options.learned_characters)
    text = "\n".join(page.text for page in newest)
    for_bits = _beginning(_pages(test, alphabet), options.bits_characters)
    for_keys = _beginning(for_bits, options.keystroke_characters)
    on = _On(alphabet, options, for_bits, for_keys, progress)
    ours, came_true = _score_predictor(name, lambda: predictor, on, deadline=math.inf)
    # The quick ones first: they are the ones to have if time runs out.
    baselines: dict[str, Callable[[], Scores]] = {
        "buffer words": partial(_score_buffer, text, on, most_frequent=False),
        "buffer words, most frequent": partial(_score_buffer, text, on, most_frequent=True),
        "word trigram": partial(_score_trigram, text, on),
        "PPMd": partial(_score_ppmd, text, on),
        f"characters, order {options.ngram_order}": partial(_score_ngrams, newest, on),
    }
    rows: list[Scores] = []
    dropped: list[str] = []
    for baseline, measure in baselines.items():
        try:
            rows.append(measure())
        except _OutOfTimeError:  # a row is whole or it is not there
            dropped.append(baseline)
    return Table(
        rows=(ours, *reversed(rows)),
        dropped=tuple(dropped),
        calibration=calibration(came_true),
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

    Static: nothing but the predictor's state moves, which ends up after the text.
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
# Steps of the network that a character typed and a word listed take. With the order-8 model they
# were 4.5 and 133 on plays, 5.3 and 109 on notes.
_STEPS_PER_OFFER = 5
_STEPS_PER_WORD = 120
_CHARACTERS_PER_WORD = 5


class _Page(NamedTuple):
    """A document as models read it."""

    header: Symbols
    text: str


@dataclass(frozen=True, slots=True)
class _On:
    """What all models are measured on, and how."""

    alphabet: Alphabet
    options: Options
    for_bits: list[_Page]
    for_keys: list[_Page]
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


def _score_predictor(
    name: str, make: Callable[[], Predictor], on: _On, deadline: float
) -> tuple[Scores, list[tuple[float, bool]]]:
    """The row of a predictor and the outcomes of its suggestions."""
    began = time.perf_counter()
    n_steps = (
        _n_characters(on.for_bits)
        + _STEPS_PER_OFFER * _n_characters(on.for_keys)
        + _STEPS_PER_WORD * on.options.presage_words
    )
    meter = _Meter(on, name, n_steps, deadline)
    predictor = make()
    reader = predictor.fork()
    ghost = Ghost(predictor, on.alphabet, on.options.policy)
    speller = Speller(predictor, on.alphabet)
    bits, typed, listed = Bits(), Keystrokes(), ListKeys()
    came_true: list[tuple[float, bool]] = []
    for header, text in on.for_bits:
        bits += bits_per_character(reader, on.alphabet, text, header, meter)
    for header, text in on.for_keys:
        offers = offers_along(ghost, text, header, partial(meter, _STEPS_PER_OFFER))
        typed += keystrokes(text, [offer.text if offer else None for offer in offers])
        came_true += outcomes(text, offers)
    for header, text in on.for_keys:
        left = on.options.presage_words - listed.words
        listed += presage(speller, text, header, left, partial(meter, _STEPS_PER_WORD))
    seconds = time.perf_counter() - began
    return Scores(
        name=name, seconds=seconds, bits=bits, keystrokes=typed, presage=listed
    ), came_true


def _score_ngrams(learned: list[_Page], on: _On) -> Scores:
    order = on.options.ngram_order

    def learn() -> Predictor:
        pieces = [part for page in learned for part in (page.header, on.alphabet.encode(page.text))]
        symbols = np.concatenate([np.empty(0, np.uint16), *pieces])
        return CharacterNgrams(symbols, on.alphabet.size, order=order).predictor()

    return _score_predictor(f"characters, order {order}", learn, on, on.options.deadline)[0]


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
        name=f"PPMd, order {order}", seconds=seconds, bits=Bits(bits=bits, characters=len(text))
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
    return Scores(name=name, seconds=seconds, keystrokes=typed, presage=listed)


def _score_buffer(learned: str, on: _On, *, most_frequent: bool) -> Scores:
    began = time.perf_counter()
    name = f"buffer words, most {'frequent' if most_frequent else 'recent'}"
    meter = _Meter(on, name, _n_characters(on.for_keys), on.options.deadline)
    typed = _typed(BufferWords(learned, most_frequent=most_frequent), on, meter)
    return Scores(name=name, seconds=time.perf_counter() - began, keystrokes=typed)


def _typed(suggester: Suggester[str], on: _On, tick: Tick) -> Keystrokes:
    total = Keystrokes()
    for header, text in on.for_keys:
        total += keystrokes(text, offers_along(suggester, text, header, tick))
    return total


def _pages(documents: Iterable[Document], alphabet: Alphabet) -> Iterator[_Page]:
    for document in documents:
        header = alphabet.header(document.path, document.language, document.modified)
        yield _Page(header, document.text)


def _beginning(pages: Iterable[_Page], n_characters: int) -> list[_Page]:
    """The first `n_characters` of text; the last page may be cut short."""
    kept: list[_Page] = []
    left = n_characters
    for page in pages:
        if left <= 0:
            break
        kept.append(page._replace(text=page.text[:left]))
        left -= len(page.text)
    return kept


def _newest(pages: Iterable[_Page], n_characters: int) -> list[_Page]:
    """The last `n_characters` of text at least, in whole pages but for the first.

    Reads all pages but holds no more than these, so that memory does not grow with the corpus.
    """
    kept: deque[_Page] = deque()
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


def _n_characters(pages: Iterable[_Page]) -> int:
    return sum(len(page.text) for page in pages)


def _between(low: int, value: float, high: int) -> int:
    return max(low, min(high, int(value)))
