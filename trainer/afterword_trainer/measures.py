"""One model on one text: what the text costs in bits, which keys it saves, how sure it rightly is.

Asks a predictor through the very code that the daemon suggests with, and has `typist` take what it
offers. Knows predictors and pages; knows neither which models there are nor files.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from afterword_trainer.model.alphabet import Alphabet
from afterword_trainer.model.predictor import Predictor, Symbols, prime
from afterword_trainer.model.suggestion import Policy, Suggestion
from afterword_trainer.scores import Bits
from afterword_trainer.stream import Document
from afterword_trainer.typist import (
    Dial,
    Keystrokes,
    ListKeys,
    Suggester,
    Tick,
    WordLister,
    keystrokes,
    offers_along,
    presage,
)


class Page(NamedTuple):
    """A document as models read it."""

    header: Symbols
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What all models are measured on, so that their figures compare."""

    alphabet: Alphabet
    policy: Policy
    for_bits: Sequence[Page]
    for_keys: Sequence[Page]  # the beginning of those
    n_words: int  # that lists are offered for

    @property
    def bits_characters(self) -> int:
        """How many are measured in bits."""
        return sum(len(page.text) for page in self.for_bits)

    @property
    def keystroke_characters(self) -> int:
        """How many are typed."""
        return sum(len(page.text) for page in self.for_keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What came of typing with suggestions, at each of several degrees of eagerness."""

    by_degree: tuple[Keystrokes, ...]
    outcomes: tuple[tuple[float, bool], ...]  # at the first: how probable, whether it came true


def bits_of(predictor: Predictor, trial: Trial, tick: Tick = lambda: None) -> Bits:
    """What the text of a trial costs; state is carried from one page to the next."""
    total = Bits()
    for header, text in trial.for_bits:
        total += bits_per_character(predictor, trial.alphabet, text, header, tick)
    return total


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


def typed_with(
    predictor: Predictor, trial: Trial, degrees: Sequence[float], tick: Tick = lambda: None
) -> Typed:
    """What a user saves who is offered what the daemon would, at `degrees` of eagerness at once."""
    dial = Dial(predictor, trial.alphabet, trial.policy, degrees)
    typed = [Keystrokes()] * len(degrees)
    came_true: list[tuple[float, bool]] = []
    for header, text in trial.for_keys:
        at_once = offers_along(dial, text, header, tick)  # (characters,) of (degrees,) or None
        for index in range(len(degrees)):
            offers = [by_degree[index] if by_degree else None for by_degree in at_once]
            typed[index] += keystrokes(text, [offer.text if offer else None for offer in offers])
            if not index:
                came_true += outcomes(text, offers)
    return Typed(by_degree=tuple(typed), outcomes=tuple(came_true))


def typed_with_words(
    suggester: Suggester[str], trial: Trial, tick: Tick = lambda: None
) -> Keystrokes:
    """What a user saves who is offered the ends of words, or words."""
    typed = Keystrokes()
    for header, text in trial.for_keys:
        typed += keystrokes(text, offers_along(suggester, text, header, tick))
    return typed


def listed_by(lister: WordLister, trial: Trial, tick: Tick = lambda: None) -> ListKeys:
    """What a user saves who is offered lists of words."""
    listed = ListKeys()
    for header, text in trial.for_keys:
        listed += presage(lister, text, header, trial.n_words - listed.words, tick)
    return listed


def outcomes(text: str, offers: Sequence[Suggestion | None]) -> list[tuple[float, bool]]:
    """Probability of each suggestion that `offers_along` gave, and whether it came true."""
    return [
        (offer.probability, text.startswith(offer.text, at))
        for at, offer in enumerate(offers)
        if offer
    ]


def pages(documents: Iterable[Document], alphabet: Alphabet) -> Iterator[Page]:
    """Documents with the headers that say what is known of them."""
    for document in documents:
        header = alphabet.header(document.path, document.language, document.modified)
        yield Page(header, document.text)


def beginning(pages: Iterable[Page], n_characters: int) -> list[Page]:
    """The first `n_characters` of text; the last page may be cut short."""
    kept: list[Page] = []
    left = n_characters
    for page in pages:
        if left <= 0:
            break
        kept.append(page._replace(text=page.text[:left]))
        left -= len(page.text)
    return kept


# A network rounds what it deems impossible to 0; 30 bits is dear enough for one symbol.
_LEAST_PROBABILITY = 2.0**-30
