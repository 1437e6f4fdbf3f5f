"""How good models are on text that they have not seen: which ones, on how much, in which order.

`measures` does the measuring, `scores` holds what is found. Knows experts and baselines; knows
neither networks nor files.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np

from afterword_trainer import measures
from afterword_trainer.baselines import (
    WORD,
    BufferWords,
    CharacterNgrams,
    WordTrigram,
    ppmd_bits,
)
from afterword_trainer.measures import Page, Trial, Typed
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.predictor import Predictor, Symbols
from afterword_trainer.model.suggestion import Policy
from afterword_trainer.scores import (
    BUFFER_WORDS,
    DIAL,
    FREQUENT_WORDS,
    NGRAMS,
    PPMD,
    RIVALS,
    WORD_EXPERT,
    WORD_TRIGRAM,
    Bits,
    Degree,
    Scores,
    Table,
    calibration,
)
from afterword_trainer.stream import Document
from afterword_trainer.typist import Speller
from afterword_trainer.words import WordExpert, WordTrigrams

Progress = Callable[[str, float], None]  # which model is being measured, share done, 0 to 1

# The newest that memory and baselines learn; the baselines hold it in memory.
LEARNED_CHARACTERS = 4_000_000
HURRIED_CHARACTERS = 1_000_000  # learned in seconds, for when time is short


class NoSuchRowError(Exception):
    """A row was asked for that the table does not have; the message names those it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expert:
    """A model, or a part of one, to be measured by itself.

    `make` gives a new predictor that has learned what it is to have learned and observed nothing.
    It is called for each measure: one that learns must not know the text from the measure before.
    """

    name: str
    make: Callable[[], Predictor]
    listed: bool = False  # whether its lists of words are scored too, which take longest


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
            ppmd_orders=(8, 16),
            deadline=time.monotonic() + 0.9 * budget_s,
        )


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
    `test` holds nothing of `learned`, and all of `learned` is held in memory. The n-grams are
    static; words and PPMd go on learning from the test text, as they always do. State is carried
    from one document to the next. Raises NoSuchRowError for a name in `options.rows`.
    """
    options = options or Options()
    readers = readers or {}
    first, *others = experts
    parts = [*(expert.name for expert in others), *readers]
    order = [*parts, *RIVALS]  # of the rows below the first
    _require_known(options.rows, [first.name, *order])

    # 1) what is learned, and what is read and typed
    known = list(measures.pages(learned, alphabet))
    text = "\n".join(page.text for page in known)
    for_bits = measures.beginning(measures.pages(test, alphabet), options.bits_characters)
    trial = Trial(
        alphabet=alphabet,
        policy=options.policy,
        for_bits=for_bits,
        for_keys=measures.beginning(for_bits, options.keystroke_characters),
        n_words=options.presage_words,
    )
    on = _On(trial, options, progress)

    # 2) the one that counts, at every degree of eagerness, the one that was asked for first
    degrees = list(dict.fromkeys([options.policy.min_probability, *DIAL]))
    began = time.perf_counter()
    ours, typed = _expert(replace(first, listed=True), on, degrees, deadline=math.inf)
    rows = [replace(ours, seconds=time.perf_counter() - began)]

    # 3) the others; the quick ones first, for they are the ones to have if time runs out
    ngrams = cache(partial(_ngrams, known, on))  # learned once there is time for it
    measured: dict[str, Callable[[], Scores]] = {
        BUFFER_WORDS: partial(_buffer_words, text, on),
        FREQUENT_WORDS: partial(_frequent_words, text, on),
        WORD_TRIGRAM: partial(_word_trigram, text, on),
        PPMD: partial(_ppmd, text, on),
        **{expert.name: partial(_part, expert, on) for expert in reversed(others)},
        NGRAMS: partial(_character_ngrams, ngrams, on),
        WORD_EXPERT: partial(_word_expert, known, ngrams, on),
        **{name: partial(_reader, name, read, on) for name, read in readers.items()},
    }
    dropped: list[str] = []
    for name, measure in measured.items():
        if options.rows is not None and name not in options.rows:
            continue
        began = time.perf_counter()
        try:
            row = measure()
        except _OutOfTimeError:  # a row is whole or it is not there
            dropped.append(name)
            continue
        rows.append(replace(row, seconds=time.perf_counter() - began, part=name in parts))

    # 4) the table
    rows[1:] = sorted(rows[1:], key=lambda row: order.index(row.name))
    curve = sorted(zip(degrees, typed.by_degree, strict=True), key=lambda point: point[0])
    return Table(
        rows=tuple(rows),
        dropped=tuple(dropped),
        calibration=calibration(typed.outcomes),
        dial=tuple(Degree(min_probability=least, keystrokes=keys) for least, keys in curve),
        learned_characters=len(text),
        bits_characters=trial.bits_characters,
        keystroke_characters=trial.keystroke_characters,
        presage_words=ours.presage.words if ours.presage else 0,
    )


def step_seconds(predictor: Predictor, n_steps: int = 100) -> float:
    """How long one step of `predictor` takes, by a short trial; it is left as it is."""
    trial = predictor.fork()
    began = time.perf_counter()
    for _ in range(n_steps):
        trial.observe(ord(" "))
        trial.distribution()
    return (time.perf_counter() - began) / n_steps


# The time that a character typed along the dial and a word listed take, in steps of the mix. It
# was 14 and 176 on notes; for one degree of eagerness, and what does not learn, it is about half.
_STEPS_PER_OFFER = 14
_STEPS_PER_WORD = 180
_CHARACTERS_PER_WORD = 5


@dataclass(frozen=True, slots=True)
class _On:
    """What all rows are measured on, and who is told."""

    trial: Trial
    options: Options
    progress: Progress

    def meter(self, name: str, n_steps: int) -> "_Meter":
        """For a row that may be left out."""
        return _Meter(self.progress, name, n_steps, self.options.deadline)


class _OutOfTimeError(Exception):
    """The deadline has passed before a row was measured."""


class _Meter:
    """Says how much of one row is done, a hundred times at most; ends it at the deadline."""

    def __init__(self, progress: Progress, name: str, n_steps: int, deadline: float) -> None:
        self._say = partial(progress, name)
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


# -- predictors --------------------------------------------------------------------------------


def _expert(
    expert: Expert, on: _On, degrees: Sequence[float], *, deadline: float
) -> tuple[Scores, Typed]:
    """A row, its keystrokes those of the first degree; and all that came of typing."""
    trial = on.trial
    n_words = trial.n_words if expert.listed else 0
    n_steps = trial.bits_characters
    n_steps += _STEPS_PER_OFFER * trial.keystroke_characters + _STEPS_PER_WORD * n_words
    meter = _Meter(on.progress, expert.name, n_steps, deadline)
    reader = expert.make()
    bits = measures.bits_of(reader, trial, meter)
    typed = measures.typed_with(expert.make(), trial, degrees, partial(meter, _STEPS_PER_OFFER))
    listed = None
    if expert.listed:
        speller = Speller(expert.make(), trial.alphabet)
        listed = measures.listed_by(speller, trial, partial(meter, _STEPS_PER_WORD))
    row = Scores(
        name=expert.name,
        learning=reader.learning,
        bits=bits,
        keystrokes=typed.by_degree[0],
        presage=listed,
    )
    return row, typed


def _part(expert: Expert, on: _On) -> Scores:
    degrees = [on.trial.policy.min_probability]
    return _expert(expert, on, degrees, deadline=on.options.deadline)[0]


def _character_ngrams(ngrams: Callable[[], CharacterNgrams], on: _On) -> Scores:
    expert = Expert(name=NGRAMS, make=lambda: ngrams().predictor(), listed=True)
    return replace(_part(expert, on), note=f"order {on.options.ngram_order}")


def _word_expert(known: Sequence[Page], ngrams: Callable[[], CharacterNgrams], on: _On) -> Scores:
    @cache
    def trigrams() -> WordTrigrams:
        return WordTrigrams(_symbols(known, on.trial.alphabet), on.trial.alphabet)

    def make() -> Predictor:
        return WordExpert(trigrams(), ngrams().predictor())

    return _part(Expert(name=WORD_EXPERT, make=make), on)


def _reader(name: str, read: Reader, on: _On) -> Scores:
    n_characters = on.trial.bits_characters
    bits = read(on.trial.for_bits, on.meter(name, n_characters))
    return Scores(name=name, learning=True, bits=Bits(bits=bits, characters=n_characters))


def _ngrams(known: Sequence[Page], on: _On) -> CharacterNgrams:
    symbols = _symbols(known, on.trial.alphabet)
    return CharacterNgrams(symbols, on.trial.alphabet.size, order=on.options.ngram_order)


def _symbols(pages: Iterable[Page], alphabet: Alphabet) -> Symbols:
    pieces = [part for page in pages for part in (page.header, alphabet.encode(page.text))]
    return np.concatenate([np.empty(0, np.uint16), *pieces])


# -- models of words, and a packer -------------------------------------------------------------


def _buffer_words(learned: str, on: _On) -> Scores:
    meter = on.meter(BUFFER_WORDS, on.trial.keystroke_characters)
    words = BufferWords(learned, most_frequent=False)
    typed = measures.typed_with_words(words, on.trial, meter)
    return Scores(name=BUFFER_WORDS, note="most recent", learning=True, keystrokes=typed)


def _frequent_words(learned: str, on: _On) -> Scores:
    meter = on.meter(FREQUENT_WORDS, on.trial.keystroke_characters)
    words = BufferWords(learned, most_frequent=True)
    typed = measures.typed_with_words(words, on.trial, meter)
    return Scores(name=FREQUENT_WORDS, learning=True, keystrokes=typed)


def _word_trigram(learned: str, on: _On) -> Scores:
    trial = on.trial
    n_steps = trial.keystroke_characters + _CHARACTERS_PER_WORD * trial.n_words
    meter = on.meter(WORD_TRIGRAM, n_steps)
    typed = measures.typed_with_words(WordTrigram(learned), trial, meter)
    in_words = [page._replace(text=_words_only(page.text)) for page in trial.for_keys]
    listed = measures.listed_by(
        WordTrigram(_words_only(learned)),
        replace(trial, for_keys=in_words),
        partial(meter, _CHARACTERS_PER_WORD),
    )
    return Scores(name=WORD_TRIGRAM, learning=True, keystrokes=typed, presage=listed)


def _ppmd(learned: str, on: _On) -> Scores:
    """The row of the order that needs fewest bits."""
    text = "".join(page.text for page in on.trial.for_bits)
    meter = on.meter(PPMD, len(on.options.ppmd_orders))
    best = (math.inf, 0)
    for order in on.options.ppmd_orders:
        best = min(best, (float(ppmd_bits(learned, text, order)), order))
        meter()
    bits, order = best
    found = Bits(bits=bits, characters=len(text))
    return Scores(name=PPMD, note=f"order {order}", learning=True, bits=found)


def _words_only(text: str) -> str:
    """The words in lower case with a space between them: what a list of words is offered for."""
    return " ".join(WORD.findall(text.lower()))


# -- options -----------------------------------------------------------------------------------


def _require_known(asked: Collection[str] | None, rows: Sequence[str]) -> None:
    """Raises NoSuchRowError."""
    names = "; ".join(rows)  # some have a comma in them
    for name in asked or ():
        if name not in rows:
            raise NoSuchRowError(f"--rows: there is no row {name!r}; the rows are {names}")


def _between(low: int, value: float, high: int) -> int:
    return max(low, min(high, int(value)))
