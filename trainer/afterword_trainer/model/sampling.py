"""From a distribution to the next symbol: greedy, or sampled at a temperature, always seeded.

Pure functions over probabilities. Knows nothing of networks, states or suggestions.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afterword_trainer.model.alphabet import DOCUMENT, TEXT, Alphabet, Decoder
from afterword_trainer.model.predictor import Distribution, Predictor

HOTTEST = 2.0  # beyond this a character model writes noise; nothing is learned by looking at it


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a symbol is drawn. Raises ValueError for a setting outside its range.

    The temperature divides the logits; 0 is greedy. Then the `top_k` likeliest symbols are kept
    (Fan, Lewis and Dauphin 2018), then the fewest that hold `top_p` of what is left (the nucleus
    of Holtzman et al. 2020).
    """

    temperature: float = 0.8  # 1 is the model as it is; a little below it spells better
    top_k: int = 0  # 0 keeps all: the temperature alone already thins the tail
    top_p: float = 1.0  # 1 keeps all, for the same reason

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= HOTTEST:
            raise ValueError(f"temperature {self.temperature} is not within 0 to 2; 0 is greedy")
        if self.top_k < 0:
            raise ValueError(f"top-k {self.top_k} is below 0; 0 keeps every symbol")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top-p {self.top_p} is not above 0 and at most 1; 1 keeps all")


GREEDY = Sampling(temperature=0.0)


def sharpen(
    distribution: Distribution, sampling: Sampling, *, exclude: Collection[int] = ()
) -> Distribution:
    """The distribution that `choose` draws from, (n_symbols,); symbols in `exclude` get 0.

    Any finite input will do: weights are normalised, negative ones count as 0, and where nothing
    is left every symbol allowed is equally likely. Greedy ties go to the lowest id.
    """
    return _sharpened(distribution, sampling, exclude).astype(np.float32)


def choose(
    distribution: Distribution,
    sampling: Sampling,
    rng: np.random.Generator,
    *,
    exclude: Collection[int] = (),
) -> int:
    """The id of the next symbol, never one in `exclude`. Greedy choice leaves `rng` alone."""
    weights = _sharpened(distribution, sampling, exclude)
    if sampling.temperature == 0:
        return int(weights.argmax())
    cumulative = weights.cumsum()
    drawn = int(cumulative.searchsorted(rng.random() * cumulative[-1], side="right"))
    # The product may round up to the whole sum; the last symbol with any weight is meant then.
    return min(drawn, int(np.flatnonzero(weights)[-1]))


def generate(
    predictor: Predictor,
    alphabet: Alphabet,
    sampling: Sampling,
    n_characters: int,
    rng: np.random.Generator,
) -> Iterator[str]:
    """Text that goes on from `predictor`, in pieces as they are drawn; the predictor stays as is.

    Ends after `n_characters`, or where the model ends the document. The same predictor, settings
    and state of `rng` give the same text. A model may spell what is no character: broken UTF-8
    comes as U+FFFD, and a lone surrogate as itself, so write with errors="replace".
    """
    predictor = predictor.fork()
    decoder = Decoder(alphabet)
    left = n_characters
    while left > 0:
        symbol = choose(predictor.distribution(), sampling, rng, exclude=(TEXT,))
        predictor.observe(symbol)
        piece = decoder.finish() if symbol == DOCUMENT else decoder.feed(symbol)
        if piece:
            yield piece[:left]
            left -= len(piece)
        if symbol == DOCUMENT:
            return


def find_cycle(text: str) -> tuple[int, int] | None:
    """(period, start) in characters if `text` ends by repeating itself, else None.

    Greedy decoding falls into such cycles (Holtzman et al. 2020). It counts as one from three
    repetitions and 24 characters on, so that neither an ellipsis nor a ruled line is taken for it.
    """
    backwards = text[::-1]
    n = len(text)
    # match[i]: how far the text read backwards agrees with itself i characters on (the Z-array;
    # Gusfield 1997). A tail of period p reaches match[p] + p characters back.
    match = [0] * n
    left = right = 0  # the stretch furthest right that is known to agree with a beginning
    for i in range(1, n):
        length = min(right - i, match[i - left]) if i < right else 0
        while i + length < n and backwards[length] == backwards[i + length]:
            length += 1
        if i + length > right:
            left, right = i, i + length
        match[i] = length
        tail = length + i
        if tail >= max(_CYCLE_REPEATS * i, _CYCLE_CHARACTERS):
            # The first period found is the shortest, and the tail of a multiple is no longer.
            return i, n - tail
    return None


_CYCLE_REPEATS = 3
_CYCLE_CHARACTERS = 24


def _sharpened(
    distribution: Distribution, sampling: Sampling, exclude: Collection[int]
) -> NDArray[np.float64]:
    """Probabilities in float64, (n_symbols,), summing to 1; at least one is above 0."""
    weights = np.maximum(distribution.astype(np.float64), 0)
    weights[list(exclude)] = 0
    if not weights.any():
        weights[:] = 1
        weights[list(exclude)] = 0
    if sampling.temperature == 0:
        best = weights.argmax()
        weights[:] = 0
        weights[best] = 1
        return weights
    # In the log domain and relative to the best, which is exactly 0 there at any temperature.
    with np.errstate(divide="ignore", over="ignore"):  # log 0 and overflow both mean "never"
        logits = np.log(weights)
        logits = (logits - logits.max()) / sampling.temperature
    weights = np.exp(logits)
    if sampling.top_k or sampling.top_p < 1:
        weights[_unlikely(weights, sampling)] = 0
    normal: NDArray[np.float64] = weights / weights.sum()
    return normal


def _unlikely(weights: NDArray[np.float64], sampling: Sampling) -> NDArray[np.int64]:
    """Ids outside the top-k and the nucleus; among equals the lower id is kept."""
    order = np.argsort(-weights, kind="stable")
    n_kept = sampling.top_k or len(order)
    if sampling.top_p < 1:
        cumulative = weights[order[:n_kept]].cumsum()
        nucleus = cumulative.searchsorted(sampling.top_p * cumulative[-1]) + 1
        n_kept = min(n_kept, int(nucleus))
    return order[n_kept:]
