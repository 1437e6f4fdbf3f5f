"""The word-level expert: which letter comes next, by the words before and the letters so far.

A word-level language model asked letter by letter, so that it can be measured beside models of
characters and mixed with them. Knows symbols, and which of them spell words; knows neither
networks nor files.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from afterword_trainer.baselines import WORD
from afterword_trainer.model.alphabet import FIRST_CHARACTER, N_ASCII, N_BYTES, Alphabet
from afterword_trainer.model.predictor import Distribution, Predictor, Symbols

N_WORDS = 2  # before the one at the cursor: a trigram


def word_symbols(alphabet: Alphabet) -> NDArray[np.bool_]:
    """Which symbols words are spelled with, (n_symbols,); bytes beyond ASCII spell letters."""
    is_letter = np.zeros(alphabet.size, np.bool_)
    is_letter[N_ASCII:N_BYTES] = True
    for symbol in (*range(N_ASCII), *range(FIRST_CHARACTER, alphabet.size)):
        is_letter[symbol] = WORD.fullmatch(alphabet.decode([symbol])) is not None
    return is_letter


class WordTrigrams:
    """What followed the letters so far of a word after the same two words, one word, and any.

    A run of letters is a word and so is what stands between two such runs, so that blanks and
    punctuation are learned as words are: the context of a symbol is the last two runs of letters
    and the run at the cursor. The three orders are interpolated with absolute discounting (Ney,
    Essen and Kneser 1994), and below them stands a model of characters, which spells the unknown
    words. The places of the text are kept sorted by a hash of each context: 26 bytes a symbol.
    """

    def __init__(self, symbols: Symbols, alphabet: Alphabet) -> None:
        self.is_letter = word_symbols(alphabet)
        context = _Context(self.is_letter)
        hashes = np.empty((N_WORDS + 1, len(symbols)), np.int64)
        for place, symbol in enumerate(symbols.tolist()):
            hashes[:, place] = context.hashes()
            context.observe(symbol)
        orders = np.argsort(hashes, axis=1, kind="stable")
        self._hashes = np.take_along_axis(hashes, orders, axis=1)  # (orders, n), sorted
        self._following = symbols[orders]  # (orders, n)

    def after(self, hashes: Iterable[int], characters: Distribution) -> Distribution:
        """Probabilities of the next symbol, (n_symbols,), from those by a model of characters."""
        found = characters.astype(np.float64)
        for known, following, wanted in zip(self._hashes, self._following, hashes, strict=True):
            low, high = np.searchsorted(known, [wanted, wanted + 1])
            if low == high:
                break
            counts = np.bincount(following[low:high], minlength=len(found))
            kept = np.maximum(counts - _DISCOUNT, 0)
            found = (kept + (high - low - kept.sum()) * found) / (high - low)
        return found.astype(np.float32)


class WordExpert:
    """A `Predictor` by word trigrams over a model of characters; static."""

    learning = False

    def __init__(self, trigrams: WordTrigrams, characters: Predictor) -> None:
        self._trigrams = trigrams
        self._characters = characters.fork()
        self._context = _Context(trigrams.is_letter)

    def observe(self, symbol: int) -> None:
        """Take one more symbol of text into account."""
        self._characters.observe(symbol)
        self._context.observe(symbol)

    def distribution(self) -> Distribution:
        """Probabilities of the next symbol, (n_symbols,)."""
        return self._trigrams.after(self._context.hashes(), self._characters.distribution())

    def fork(self) -> "WordExpert":
        """An independent copy that goes on from here."""
        twin = WordExpert(self._trigrams, self._characters)
        twin._context = self._context.copy()
        return twin


_DISCOUNT = 0.8  # 0.6 and 0.95 were worse, on prose and on notes


class _Context:
    """The words before the cursor and the run of letters, or of others, that stands at it."""

    __slots__ = ("_is_letter", "_run", "_words")

    def __init__(self, is_letter: NDArray[np.bool_]) -> None:
        self._is_letter = is_letter
        self._run: tuple[int, ...] = ()
        self._words: tuple[int, ...] = (0,) * N_WORDS  # hashes of words, the latest first

    def observe(self, symbol: int) -> None:
        if self._run and self._is_letter[symbol] != self._is_letter[self._run[-1]]:
            if not self._is_letter[symbol]:
                self._words = (hash(self._run), *self._words[:-1])
            self._run = ()
        self._run = (*self._run, symbol)

    def hashes(self) -> list[int]:
        """Of the run alone, with the word before it, with the two, (N_WORDS + 1,)."""
        return [hash((self._run, *self._words[:n])) for n in range(N_WORDS + 1)]

    def copy(self) -> "_Context":
        twin = _Context(self._is_letter)
        twin._run, twin._words = self._run, self._words
        return twin
