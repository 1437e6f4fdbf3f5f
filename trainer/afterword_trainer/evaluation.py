"""How good a model is on text it has not seen: bits per character and keystrokes saved.

Asks a predictor through the very code that the daemon suggests with, and measures the baselines
beside it on the same text. Knows neither networks nor files. Savings are simulated and so an
upper bound: people do not read every suggestion.
"""

import heapq
import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from afterword_trainer.baselines import (
    WORD,
    BufferWords,
    CharacterNgrams,
    WordTrigram,
    ppmd_bits,
)
from afterword_trainer.model.alphabet import FIRST_CHARACTER, N_ASCII, N_BYTES, Alphabet
from afterword_trainer.model.predictor import Distribution, Predictor, Symbols
from afterword_trainer.model.suggestion import Policy, Rollout, Suggestion, cut

Progress = Callable[[str, float], None]  # which model is being measured, share done, 0 to 1
Tick = Callable[[], object]  # called after every character or word
OfferT = TypeVar("OfferT", covariant=True)


class Document(Protocol):
    """A text and what is known of it before its first character."""

    @property
    def path(self) -> str:
        """Relative to the folder that was learned."""

    @property
    def language(self) -> str:
        """A name such as "markdown"; empty if unknown."""

    @property
    def modified(self) -> float:
        """Seconds since 1970."""

    @property
    def text(self) -> str:
        """The text, its lines ended by LF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much is measured; a few minutes for everything with a network of 2 x 512."""

    policy: Policy = field(default_factory=Policy)
    bits_characters: int = 200_000  # of the test text; a network takes some seconds for them
    keystroke_characters: int = 20_000  # each costs about five steps; steady to a point of KSR
    presage_words: int = 1_000  # each costs about a hundred steps
    learned_characters: int = 4_000_000  # the newest; baselines hold theirs in memory
    ngram_order: int = 8  # see CharacterNgrams
    ppmd_orders: tuple[int, ...] = (6, 8, 12, 16)  # prose likes the low ones, notes and code 16
    deadline: float = math.inf  # time.monotonic(); baselines not measured by then are left out


@dataclass(frozen=True, slots=True)
class _Counts:
    """Counts of several texts add up with `+`."""

    def __add__(self: "CountsT", other: "CountsT") -> "CountsT":
        names = [count.name for count in fields(self)]
        return type(self)(**{name: getattr(self, name) + getattr(other, name) for name in names})


CountsT = TypeVar("CountsT", bound=_Counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bits(_Counts):
    """What text costs under a model."""

    bits: float = 0.0
    characters: int = 0

    @property
    def per_character(self) -> float:
        """Bits per character; 0 for no text."""
        return self.bits / self.characters if self.characters else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keystrokes(_Counts):
    """What a simulated user pressed and saw while typing with suggestions."""

    characters: int = 0  # of the text, which is the keys it takes without suggestions
    keys: int = 0
    keys_with_accept_word: int = 0  # by a user who has a second key for the first word alone
    shown: int = 0  # keys after which there was a suggestion
    distinct_shown: int = 0  # one that the user merely types along with counts once
    accepted: int = 0
    inserted: int = 0  # characters that came by accepting

    @property
    def ksr(self) -> float:
        """Keystrokes saved, percent of the characters."""
        return _percent(self.characters - self.keys, self.characters)

    @property
    def ksr_with_accept_word(self) -> float:
        """Keystrokes saved by the user who can accept a word alone."""
        return _percent(self.characters - self.keys_with_accept_word, self.characters)

    @property
    def acceptance(self) -> float:
        """Percent of the distinct suggestions shown that were accepted."""
        return _percent(self.accepted, self.distinct_shown)

    @property
    def rocc(self) -> float:
        """Ratio of completed characters: percent of the text that came by accepting."""
        return _percent(self.inserted, self.characters)

    @property
    def mean_accepted_length(self) -> float:
        """Characters per accepted suggestion."""
        return self.inserted / self.accepted if self.accepted else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListKeys(_Counts):
    """Keys to write words that a list of 1, 3 or 6 words is offered for, as Presage counts."""

    words: int = 0
    unaided: int = 0  # a word's letters and the space after it
    with_list_of_1: int = 0
    with_list_of_3: int = 0
    with_list_of_6: int = 0

    @property
    def ksr(self) -> dict[int, float]:
        """Keystrokes saved in percent, by the size of the list."""
        keys = {1: self.with_list_of_1, 3: self.with_list_of_3, 6: self.with_list_of_6}
        return {size: _percent(self.unaided - used, self.unaided) for size, used in keys.items()}


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
    baselines: list[Callable[[], Scores]] = [
        partial(_score_buffer, text, on, most_frequent=False),
        partial(_score_buffer, text, on, most_frequent=True),
        partial(_score_trigram, text, on),
        partial(_score_ppmd, text, on),
        partial(_score_ngrams, newest, on),
    ]
    rows: list[Scores] = []
    for measure in baselines:
        with suppress(_OutOfTimeError):  # a row is whole or it is not there
            rows.append(measure())
    return Table(
        rows=(ours, *reversed(rows)),
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
    bits = 0.0
    for symbol in header.tolist():
        predictor.observe(symbol)
    for symbol in alphabet.encode(text).tolist():
        bits -= math.log2(max(float(predictor.distribution()[symbol]), _LEAST_PROBABILITY))
        predictor.observe(symbol)
        tick()
    return Bits(bits=bits, characters=len(text))


class Suggester(Protocol[OfferT]):
    """Something that text is typed into and that offers what comes next."""

    def begin(self, header: Symbols) -> None:
        """A document begins, of which `header` says what is known."""

    def typed(self, text: str) -> None:
        """The user, or an accepted suggestion, wrote `text`."""

    def suggest(self) -> OfferT | None:
        """What to insert at the cursor."""


class Ghost:
    """A `Suggester` that offers what the daemon would, by a predictor and a policy."""

    def __init__(self, predictor: Predictor, alphabet: Alphabet, policy: Policy) -> None:
        self._predictor = predictor.fork()
        self._alphabet = alphabet
        self._policy = policy
        self._rollout: Rollout | None = None

    def begin(self, header: Symbols) -> None:
        """A document begins."""
        self._rollout = None
        for symbol in header.tolist():
            self._predictor.observe(symbol)

    def typed(self, text: str) -> None:
        """Text was written; what was expected of it need not be rolled out again."""
        for symbol in self._alphabet.encode(text).tolist():
            self._predictor.observe(symbol)
            if self._rollout and not self._rollout.follow(symbol):
                self._rollout = None

    def suggest(self) -> Suggestion | None:
        """The ghost text at the cursor."""
        self._rollout = self._rollout or Rollout(self._predictor)
        return cut(self._rollout, self._alphabet, self._policy)


def offers_along(
    suggester: Suggester[OfferT], text: str, header: Symbols, tick: Tick = lambda: None
) -> list[OfferT | None]:
    """What is offered after the first 0, 1, ... characters of `text`, (characters,).

    Nothing before the first: editors ask after an edit.
    """
    suggester.begin(header)
    offers: list[OfferT | None] = []
    for at, character in enumerate(text):
        offers.append(suggester.suggest() if at else None)
        suggester.typed(character)
        tick()
    return offers


def keystrokes(text: str, offers: Sequence[str | None]) -> Keystrokes:
    """Type `text` exactly, with `offers` as from `offers_along`: the editor-exact ghost KSR.

    Every character is a key, case, punctuation and line ends included. The user accepts, with one
    key, if and only if the whole suggestion is what comes next and is two characters or longer.
    """
    keys = shown = distinct_shown = accepted = inserted = 0
    along: str | None = None  # what is left of a suggestion whose first character was just typed
    at = 0
    while at < len(text):
        offer = offers[at]
        shown += bool(offer)
        distinct_shown += bool(offer) and offer != along
        keys += 1
        if offer and _fits(offer, text, at):
            accepted += 1
            inserted += len(offer)
            at += len(offer)
            along = None
        else:
            along = offer[1:] if offer and offer[0] == text[at] else None
            at += 1
    return Keystrokes(
        characters=len(text),
        keys=keys,
        keys_with_accept_word=_keys_with_accept_word(text, offers),
        shown=shown,
        distinct_shown=distinct_shown,
        accepted=accepted,
        inserted=inserted,
    )


class WordLister(Protocol):
    """Something that text is typed into and that lists how the word at the cursor may end."""

    def begin(self, header: Symbols) -> None:
        """A document begins, of which `header` says what is known."""

    def typed(self, text: str) -> None:
        """The user wrote `text`."""

    def words(self, n: int) -> list[str]:
        """At most `n` whole words that begin with what is typed of this one, likeliest first."""


class Speller:
    """A `WordLister` by a character model: the likeliest spellings, found best first.

    Exact (uniform-cost search) but for words that take more than 50 steps to find.
    """

    def __init__(self, predictor: Predictor, alphabet: Alphabet) -> None:
        self._predictor = predictor.fork()
        self._alphabet = alphabet
        self._is_letter = _letters(alphabet)
        self._beginning: tuple[int, ...] = ()  # of the word at the cursor
        # Where this word may go: symbols from its first letter on -> predictor, distribution.
        self._explored: dict[tuple[int, ...], tuple[Predictor, Distribution]] = {}

    def begin(self, header: Symbols) -> None:
        """A document begins."""
        self._observe(header.tolist())

    def typed(self, text: str) -> None:
        """Text was written."""
        self._observe(self._alphabet.encode(text).tolist())

    def words(self, n: int) -> list[str]:
        """Whole words in lower case, each once, likeliest first."""
        # (-probability, is the word over, symbols)
        paths = [(-1.0, False, self._beginning)]
        found: list[str] = []
        steps = 0
        while paths and len(found) < n:
            cost, over, symbols = heapq.heappop(paths)
            if over:
                word = self._alphabet.decode(symbols).lower()
                found += [word] if word not in found else []
                continue
            if steps == _SPELLING_STEPS:
                continue
            steps += 1
            distribution = self._after(symbols)
            letters = np.where(self._is_letter, distribution, 0)
            ends = cost * (1 - float(letters.sum()))
            if ends < -_UNLIKELY_WORD and symbols != self._beginning:
                heapq.heappush(paths, (ends, True, symbols))
            for symbol in np.flatnonzero(cost * letters < -_UNLIKELY_WORD).tolist():
                heapq.heappush(paths, (cost * float(letters[symbol]), False, (*symbols, symbol)))
        return found

    def _observe(self, symbols: list[int]) -> None:
        for symbol in symbols:
            self._predictor.observe(symbol)
            if self._is_letter[symbol]:
                self._beginning = (*self._beginning, symbol)
            else:
                self._beginning = ()
                self._explored.clear()

    def _after(self, symbols: tuple[int, ...]) -> Distribution:
        if symbols not in self._explored:
            if symbols == self._beginning:
                predictor = self._predictor.fork()
            else:
                predictor = self._explored[symbols[:-1]][0].fork()
                predictor.observe(symbols[-1])
            self._explored[symbols] = predictor, predictor.distribution().copy()
        return self._explored[symbols][1]


def presage(
    lister: WordLister, text: str, header: Symbols, at_most: int, tick: Tick = lambda: None
) -> ListKeys:
    """Keys for the first `at_most` words of `text`, counted as the Presage project does.

    Case and punctuation cost nothing. A word found in the list before its first letter costs one
    key and gives its space too, after i letters i + 1 keys; one never found costs its letters and
    the space. As in Presage's own settings, a word that was listed and not taken is not listed
    again for this word. A lister of words is given words only, a character model the text as it is.
    """
    lister.begin(header)
    total = ListKeys()
    done = 0
    for match in WORD.finditer(text):
        if total.words == at_most:
            break
        word = match[0]
        unaided = len(word) + 1
        keys: dict[int, int] = {}  # by the size of the list
        listed: dict[int, set[str]] = {size: set() for size in _LISTS}
        lister.typed(text[done : match.start()])
        for n_typed, letter in enumerate(word):
            likeliest = lister.words(_LISTS[-1] * (n_typed + 1))
            for size in _LISTS:
                fresh = [other for other in likeliest if other not in listed[size]][:size]
                listed[size].update(fresh)
                if word.lower() in fresh:
                    keys.setdefault(size, n_typed + 1)
            if len(keys) == len(_LISTS):
                lister.typed(word[n_typed:])
                break
            lister.typed(letter)
        done = match.end()
        total += ListKeys(
            words=1,
            unaided=unaided,
            with_list_of_1=keys.get(1, unaided),
            with_list_of_3=keys.get(3, unaided),
            with_list_of_6=keys.get(6, unaided),
        )
        tick()
    return total


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
_FEWEST_ACCEPTED = 2  # characters: one alone costs as many keys as it saves
_FIRST_WORD = re.compile(r"\s*(?:\w[\w\u0300-\u036f]*|[^\w\s]+)")  # accents may follow letters
_LISTS = (1, 3, 6)  # words long
_SPELLING_STEPS = 50  # a list; four times as many raised no KSR by 0.3
_UNLIKELY_WORD = 1e-3
# What a character or word costs, in steps of the network, for an even progress.
_STEPS_PER_OFFER = 5
_STEPS_PER_WORD = 100
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


def _keys_with_accept_word(text: str, offers: Sequence[str | None]) -> int:
    """Keys of a user who takes the suggestion if it fits, else its first word if that does."""
    keys = at = 0
    while at < len(text):
        offer = offers[at] or ""
        word = _FIRST_WORD.match(offer)
        fitting = [piece for piece in (offer, word[0] if word else "") if _fits(piece, text, at)]
        at += len(fitting[0]) if fitting else 1
        keys += 1
    return keys


def _fits(offer: str, text: str, at: int) -> bool:
    return len(offer) >= _FEWEST_ACCEPTED and text.startswith(offer, at)


def _letters(alphabet: Alphabet) -> NDArray[np.bool_]:
    """Which symbols words are spelled with, (n_symbols,); bytes beyond ASCII spell letters."""
    is_letter = np.zeros(alphabet.size, np.bool_)
    is_letter[N_ASCII:N_BYTES] = True
    for symbol in (*range(N_ASCII), *range(FIRST_CHARACTER, alphabet.size)):
        is_letter[symbol] = WORD.fullmatch(alphabet.decode([symbol])) is not None
    return is_letter


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


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0
