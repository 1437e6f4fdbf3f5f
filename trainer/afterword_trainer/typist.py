"""The simulated user: types a given text key by key, and takes what is offered when it is right.

Knows suggestions, lists of words and keys; knows nothing of scores, baselines or files.
What it saves is an upper bound: people do not read every suggestion.
"""

import heapq
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol, TypeVar

import numpy as np

from afterword_trainer.baselines import WORD
from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.predictor import Distribution, Predictor, Symbols, prime
from afterword_trainer.model.suggestion import (
    Continuation,
    Policy,
    Rollout,
    Suggestion,
    cut,
    readable,
)
from afterword_trainer.words import word_symbols

Tick = Callable[[], object]  # called after every character or word
OfferT = TypeVar("OfferT", covariant=True)


@dataclass(frozen=True, slots=True)
class _Counts:
    """Counts of several texts add up with `+`."""

    def __add__(self: "CountsT", other: "CountsT") -> "CountsT":
        names = [count.name for count in fields(self)]
        return type(self)(**{name: getattr(self, name) + getattr(other, name) for name in names})


CountsT = TypeVar("CountsT", bound=_Counts)


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
        """Accepted, in percent of the distinct suggestions shown.

        One that the user merely types along with, whose rest is shown after the next key, counts
        once; one that comes back after another, or after silence, counts again.
        """
        return _percent(self.accepted, self.distinct_shown)

    @property
    def rocc(self) -> float:
        """Ratio of completed characters: percent of the text that came by accepting."""
        return _percent(self.inserted, self.characters)

    @property
    def mean_accepted_length(self) -> float:
        """Characters per accepted suggestion."""
        return self.inserted / self.accepted if self.accepted else 0.0


class Suggester(Protocol[OfferT]):
    """Something that text is typed into and that offers what comes next."""

    def begin(self, header: Symbols) -> None:
        """A document begins, of which `header` says what is known."""

    def typed(self, text: str) -> None:
        """The user, or an accepted suggestion, wrote `text`."""

    def suggest(self) -> OfferT | None:
        """What to insert at the cursor."""


class Ghost:
    """A `Suggester` that offers what the daemon would, by a predictor and a policy.

    The predictor is its own from now on: text is typed into it, and one that learns learns it.
    """

    def __init__(self, predictor: Predictor, alphabet: Alphabet, policy: Policy) -> None:
        self._predictor = predictor
        self._alphabet = alphabet
        self._policy = policy
        self._rollout: Rollout | None = None

    def begin(self, header: Symbols) -> None:
        """A document begins."""
        self._rollout = None
        prime(self._predictor, header)

    def typed(self, text: str) -> None:
        """Text was written; what was expected of it need not be rolled out again."""
        for symbol in self._alphabet.encode(text).tolist():
            self._predictor.observe(symbol)
            if self._rollout and not self._rollout.follow(symbol):
                self._rollout = None

    def suggest(self) -> Suggestion | None:
        """The ghost text at the cursor."""
        return cut(self.expected(), self._policy)

    def expected(self) -> Continuation:
        """How the text goes on, by the predictor: what a suggestion is cut from."""
        self._rollout = self._rollout or Rollout(self._predictor)
        return readable(self._rollout, self._alphabet, self._policy)


class Dial:
    """A `Suggester` that offers at once what a ghost would at each of several degrees of eagerness.

    What the predictor expects does not depend on the degree, so it is asked once for all.
    """

    def __init__(
        self,
        predictor: Predictor,
        alphabet: Alphabet,
        policy: Policy,
        degrees: Sequence[float],  # in the place of the policy's `min_probability`
    ) -> None:
        self._ghost = Ghost(predictor, alphabet, policy)
        self._policies = [replace(policy, min_probability=degree) for degree in degrees]
        self.begin, self.typed = self._ghost.begin, self._ghost.typed

    def suggest(self) -> tuple[Suggestion | None, ...]:
        """The ghost text at the cursor, (degrees,)."""
        expected = self._ghost.expected()
        return tuple(cut(expected, policy) for policy in self._policies)


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

    Exact (uniform-cost search) but for words that take more than 50 steps to find. The predictor
    is its own from now on, as a ghost's is.
    """

    def __init__(self, predictor: Predictor, alphabet: Alphabet) -> None:
        self._predictor = predictor
        self._alphabet = alphabet
        self._is_letter = word_symbols(alphabet)
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
            is_letter = self._is_letter[symbol]
            self._beginning = (*self._beginning, symbol) if is_letter else ()
            if not is_letter or self._predictor.learning:
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


_FEWEST_ACCEPTED = 2  # characters: one alone costs as many keys as it saves
_FIRST_WORD = re.compile(r"\s*(?:\w[\w\u0300-\u036f]*|[^\w\s]+)")  # accents may follow letters
_LISTS = (1, 3, 6)  # words long
_SPELLING_STEPS = 50  # a list; four times as many raised no KSR by 0.3
_UNLIKELY_WORD = 1e-3


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


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0
