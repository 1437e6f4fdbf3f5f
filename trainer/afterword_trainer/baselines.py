"""What the network has to beat: the words of the buffer, word trigrams, characters, PPMd.

Each learns from text given as one string or one run of symbols and is measured by `evaluation` on
the same test text as the network. Knows nothing of networks, files or scores.
"""

import heapq
import math
import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyppmd
from numpy.typing import NDArray

from afterword_trainer.model.alphabet import DOCUMENT
from afterword_trainer.model.predictor import Distribution, Symbols

WORD = re.compile(r"\w+")


class BufferWords:
    """Completes the word at the cursor from words written before, as editors do without a model.

    Offers the most recent longer word that begins so (`most_frequent`: the one written most
    often), and nothing before a word's first letter. Goes on learning from what is typed.
    """

    def __init__(self, text: str, *, most_frequent: bool) -> None:
        self._most_frequent = most_frequent
        self._counts: Counter[str] = Counter()
        self._offered: dict[str, str] = {}  # beginning -> word
        self._words = _WordStream()
        self.typed(text)

    def begin(self, header: Symbols) -> None:
        """A document begins; what is known of it says nothing to a model of words."""
        self.typed("\n")

    def typed(self, text: str) -> None:
        """The user, or a completion, wrote `text`."""
        for word in self._words.ended_by(text):
            self._counts[word] += 1
            count = self._counts[word]
            for size in range(1, len(word)):
                beginning = word[:size]
                rival = self._offered.get(beginning)
                if not (self._most_frequent and rival and self._counts[rival] > count):
                    self._offered[beginning] = word

    def suggest(self) -> str | None:
        """What to insert at the cursor."""
        beginning = self._words.unfinished
        word = self._offered.get(beginning)
        return word[len(beginning) :] if word else None


class WordTrigram:
    """The likeliest next word, or end of this word, after the two words before it.

    Interpolates the relative frequencies of 3-, 2- and 1-grams (Jelinek and Mercer 1980) and adds
    a bonus for words written lately (a cache; Kuhn and De Mori 1990). Goes on learning from what
    is typed. Case counts, punctuation does not.
    """

    # Of tri-, bi- and unigrams; the longest match is nearly always right.
    _WEIGHTS = (0.89, 0.1, 0.01)
    _RECENT = 2e-3  # the bonus of the last word; it fades by e every hundred words
    _FADES_AFTER = 100
    _CONSIDERED = 60  # most frequent words; with every follower seen and every recent word

    def __init__(self, text: str) -> None:
        self._unigrams: Counter[str] = Counter()
        self._bigrams: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._trigrams: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._beginning_so: defaultdict[str, set[str]] = defaultdict(set)
        self._last_seen: dict[str, int] = {}  # word -> how many words were written up to it
        self._n_words = 0
        self._before = ("", "")
        self._words = _WordStream()
        self.typed(text)
        self._frequent = [word for word, _ in self._unigrams.most_common(self._CONSIDERED)]

    def begin(self, header: Symbols) -> None:
        """A document begins; what is known of it says nothing to a model of words."""
        self.typed("\n")

    def typed(self, text: str) -> None:
        """The user, or a completion, wrote `text`."""
        for word in self._words.ended_by(text):
            self._n_words += 1
            if word not in self._unigrams:
                for size in range(1, len(word)):
                    self._beginning_so[word[:size]].add(word)
            self._unigrams[word] += 1
            self._bigrams[self._before[1]][word] += 1
            self._trigrams[self._before][word] += 1
            self._last_seen[word] = self._n_words
            self._before = (self._before[1], word)

    def suggest(self) -> str | None:
        """What to insert at the cursor."""
        beginning = self._words.unfinished
        return next((word[len(beginning) :] for word in self.words(1)), None)

    def words(self, n: int) -> list[str]:
        """The `n` likeliest words that begin with what is typed of this one and are longer."""
        beginning = self._words.unfinished
        followers = self._bigrams.get(self._before[1], Counter())  # those of the trigram included
        words = {word for word in followers if word.startswith(beginning) and word != beginning}
        words.update(self._beginning_so.get(beginning, ()) if beginning else self._frequent)
        pairs = followers.total() or 1
        triples = self._trigrams.get(self._before, Counter())
        n_triples = triples.total() or 1
        tri, bi, uni = self._WEIGHTS

        def score(word: str) -> float:
            age = self._n_words - self._last_seen[word]
            return (
                tri * triples[word] / n_triples
                + bi * followers[word] / pairs
                + uni * self._unigrams[word] / self._n_words
                + self._RECENT * math.exp(-age / self._FADES_AFTER)
            )

        return heapq.nlargest(n, words, key=lambda word: (score(word), word))


class _WordStream:
    """Cuts text that comes in pieces into words; the last one may still be growing."""

    def __init__(self) -> None:
        self.unfinished = ""

    def ended_by(self, text: str) -> Iterable[str]:
        """Words that `text` ends, in order."""
        text = self.unfinished + text
        words = WORD.findall(text)
        self.unfinished = words.pop() if words and text.endswith(words[-1]) else ""
        return words


class CharacterNgrams:
    """How often each symbol follows each context of up to `order` symbols.

    The places of the text are sorted by what stands before them, read backwards. So those after
    one context are neighbours, and each symbol more of context narrows their range (a suffix array
    of the reversed text; Manber and Myers 1993). Takes 9 + `order` bytes a symbol of text.
    """

    def __init__(
        self,
        symbols: Symbols,
        n_symbols: int,
        *,
        order: int = 8,  # of 5 to 16, the best on prose and on notes
    ) -> None:
        self.order = order
        self.n_symbols = n_symbols
        # Every place has `order` symbols before it: the text is taken to follow empty documents.
        padded = np.concatenate([np.full(order, DOCUMENT, np.uint16), symbols])
        places = order + _sorted_by_context(padded, order)
        self._following = padded[places]  # (n,)
        # Below the highest order a symbol counts once for each longer context it was seen in
        # (Kneser and Ney 1995): counted[k][i] says whether place i counts at order k.
        self._counted: list[NDArray[np.bool_]] = []
        begins = np.zeros(len(places), np.bool_)  # does another context begin here
        for depth in range(1, order + 1):
            before = padded[places - depth]
            begins[1:] |= before[1:] != before[:-1]
            pairs = np.cumsum(begins) * n_symbols + self._following
            counted = np.zeros(len(places), np.bool_)
            counted[np.unique(pairs, return_index=True)[1]] = True
            self._counted.append(counted)
        self._counted.append(np.ones(len(places), np.bool_))
        self._text = padded.data  # bisection reads single items, which numpy is slow at
        self._places = places.data
        self._remembered: dict[tuple[int, ...], _Found] = {}

    def predictor(self) -> "OrderK":
        """A predictor that has observed nothing yet."""
        return OrderK(self, ())

    def after(self, context: tuple[int, ...]) -> Distribution:
        """Probabilities of the next symbol, (n_symbols,), after `context`, the latest last.

        Interpolated Kneser-Ney with three discounts (Chen and Goodman 1999).
        """
        found = self._after_short(context[-_N_REMEMBERED_SYMBOLS:])
        for length in range(_N_REMEMBERED_SYMBOLS + 1, len(context) + 1):
            if found.low == found.high:
                break
            found = self._narrowed(found, context, length)
        return found.distribution.astype(np.float32)

    def _after_short(self, context: tuple[int, ...]) -> "_Found":
        """After a context of few symbols: many places, asked for again and again."""
        found = self._remembered.get(context)
        if found is None:
            if context:
                found = self._narrowed(self._after_short(context[1:]), context, len(context))
            else:
                uniform = np.full(self.n_symbols, 1 / self.n_symbols)
                found = self._narrowed(_Found(0, len(self._places), uniform), context, 0)
            if len(self._remembered) >= _N_REMEMBERED:
                self._remembered.clear()
            self._remembered[context] = found
        return found

    def _narrowed(self, found: "_Found", context: tuple[int, ...], order: int) -> "_Found":
        """From what follows the last `order - 1` symbols of a context to the last `order`."""
        low, high, shorter = found
        if order:
            low, high = self._range(low, high, order, context[-order])
        if low == high:
            return _Found(low, high, shorter)
        following = self._following[low:high][self._counted[order][low:high]]
        if not len(following):  # seen, but only where this order does not count it
            return _Found(low, high, shorter)
        counts = np.bincount(following, minlength=self.n_symbols)
        discounts = _DISCOUNTS[np.minimum(counts, len(_DISCOUNTS) - 1)]
        kept = counts - discounts
        return _Found(low, high, (kept + discounts.sum() * shorter) / len(following))

    def _range(self, low: int, high: int, depth: int, symbol: int) -> tuple[int, int]:
        """The part of places `low` to `high` with `symbol` standing `depth` before them."""

        def key(place: int) -> int:
            return self._text[place - depth]

        low = bisect_left(self._places, symbol, low, high, key=key)
        return low, bisect_right(self._places, symbol, low, high, key=key)


class OrderK:
    """A `Predictor` by character n-grams; static, so that it compares with a frozen network."""

    __slots__ = ("_context", "_ngrams")

    learning = False

    def __init__(self, ngrams: CharacterNgrams, context: tuple[int, ...]) -> None:
        self._ngrams = ngrams
        self._context = context

    def observe(self, symbol: int) -> None:
        """Take one more symbol of text into account."""
        self._context = (*self._context, symbol)[-self._ngrams.order :]

    def distribution(self) -> Distribution:
        """Probabilities of the next symbol, (n_symbols,)."""
        return self._ngrams.after(self._context)

    def fork(self) -> "OrderK":
        """An independent copy that goes on from here."""
        return OrderK(self._ngrams, self._context)


def ppmd_bits(learned: str, test: str, order: int) -> float:
    """Bits that `test` adds to `learned` when both are packed: what PPMd needs for it.

    Prediction by partial matching, variant H by Shkarin (2001), as 7-Zip has it; it goes on
    learning as it reads `test`. `order` is 2 to 64.
    """
    before = learned.encode("utf-8", "surrogatepass")
    both = before + test.encode("utf-8", "surrogatepass")
    return 8 * (_packed_size(both, order) - _packed_size(before, order))


_PPMD_MEMORY = 512 << 20  # bytes at most; a full model would start over and score worse
# Taken off counts of 0, 1, 2 and more; of those tried, the best on prose and on notes.
_DISCOUNTS = np.array([0.0, 0.85, 1.1, 1.3])
# Distributions after up to three symbols are kept, 2 KB each.
_N_REMEMBERED_SYMBOLS = 3
_N_REMEMBERED = 8192


class _Found(NamedTuple):
    """What follows one context."""

    low: int  # range of sorted places
    high: int
    distribution: NDArray[np.float64]  # (n_symbols,)


def _sorted_by_context(padded: Symbols, order: int) -> NDArray[np.int32]:
    """Where in the text each place is, (n,), sorted by the `order` symbols before it, last first.

    Doubles the sorted depth in each round. Place i of the text is `padded[order + i]`.
    """
    # rank[j]: the order of the `depth` symbols that end at padded[j], among all such.
    rank = np.unique(padded, return_inverse=True)[1].astype(np.int64) + 1
    depth = 1
    while depth < order:
        further = np.zeros_like(rank)  # symbols before the text are all equal
        further[depth:] = rank[:-depth]
        rank = np.unique(rank * (len(rank) + 1) + further, return_inverse=True)[1] + 1
        depth *= 2
    return np.argsort(rank[order - 1 : -1], kind="stable").astype(np.int32)


def _packed_size(data: bytes, order: int) -> int:
    encoder = pyppmd.Ppmd7Encoder(order, _PPMD_MEMORY)
    return len(encoder.encode(data)) + len(encoder.flush())
